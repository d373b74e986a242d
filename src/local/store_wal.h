/* store_wal: is the write-ahead log whole?
 *
 * SQLite reads a log up to the first frame whose checksum is wrong, and takes all behind it for what a crash left
 * unfinished; a log whose header is wrong, or that is not there, it takes for an empty one. Commits that were answered
 * may be among what it passes over so. Before it opens the log this looks whether that can be known:
 *
 *   - behind a wrong frame there is the end of a transaction, and more of the same log behind that: a transaction is
 *     only begun when the one before is on the disk, so the log was damaged later. Refused;
 *   - the header is wrong, or the log is gone although the database was not closed. Refused;
 *   - there is a wrong frame, and no second transaction behind it: what a loss of power in a commit leaves. A warning
 *     is logged;
 *   - the log is cut off: that cannot be told from a log that was never longer. Nothing can be said.
 *
 * (The format: https://www.sqlite.org/fileformat2.html, section 4.) */
#ifndef FANOUT_LOCAL_STORE_WAL_H
#define FANOUT_LOCAL_STORE_WAL_H

#include <stdbool.h>

#include "base/err.h"

/* path: the database's. was_open: it was not closed, and has a log. salvage: what would be refused is logged, and 0 is
 * returned. ERR_CORRUPT. */
int store_wal_check(const char *path, bool was_open, bool salvage, struct err *e);

#endif
