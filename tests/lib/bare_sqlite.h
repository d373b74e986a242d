/* bare_sqlite: what the disk and SQLite alone need for a message's life: the floor under fanout-local's figures. */
#ifndef FANOUT_TESTS_LIB_BARE_SQLITE_H
#define FANOUT_TESTS_LIB_BARE_SQLITE_H

#include <stddef.h>

/* Writes, marks as received and deletes messages in DIR/bare.sqlite3 as fanout-local's disk work does (WAL,
 * synchronous=FULL), ten to a transaction, one transaction after the other. Returns messages per second. Aborts on any
 * failure. */
double bare_sqlite_rate(const char *dir, size_t messages, size_t body_bytes);

#endif
