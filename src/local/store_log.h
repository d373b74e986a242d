/* store_log: how SQLite's write-ahead log reaches the disk.
 *
 * SQLite writes each page of a commit in two pieces and, while the log grows, has the file system allocate blocks and
 * write its inode beside the data. Here the pieces of a commit are gathered in memory and written at once when SQLite
 * wants the log synced, read or measured; and the log grows by a mebibyte of zeros at a time, so that nearly every sync
 * is one write of blocks that are there. Neither changes what the log holds: zeros are no frame (the page number of one
 * is never 0), as what an earlier turn of the log left behind is none.
 *
 * Only with synchronous=FULL: then SQLite syncs, and so writes, every commit before it reports it. store.c's. */
#ifndef FANOUT_LOCAL_STORE_LOG_H
#define FANOUT_LOCAL_STORE_LOG_H

#include <sqlite3.h>
#include <stdbool.h>

#include "base/err.h"

struct store_log;

/* Takes its place between SQLite and the log of db, which is open by now: after a first transaction. Ends with
 * store_log_destroy after sqlite3_close. */
int store_log_attach(sqlite3 *db, struct store_log **ret_log, struct err *e);
void store_log_destroy(struct store_log *log); /* NULL is fine */

/* True when the log should grow before a commit has to wait for that. */
bool store_log_is_short(const struct store_log *log);

/* Makes it longer, durably; no transaction is open. What goes wrong is left to the commit that needs the space. */
void store_log_lengthen(struct store_log *log);

/* Is all that SQLite wrote in the file's hands? True between transactions. */
bool store_log_is_written(const struct store_log *log);

#endif
