/* done: ids of messages that were handled.
 *
 * When such a message comes back it is deleted without being handled again. Bounded: past its capacity the id that was
 * noted longest ago is forgotten; so those whose delete was never confirmed, which will come back, have a table apart
 * from those whose delete was, which may (SQS delivers at least once, and a delete by a handle that is no longer the
 * newest is confirmed and does nothing). Ids are compared byte for byte: a message is never taken for another one.
 * Engine thread only. */
#ifndef FANOUT_WORKER_DONE_H
#define FANOUT_WORKER_DONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

struct done_id;

struct done {
    struct done_id **buckets;
    size_t n_buckets, capacity, count;
    struct done_id *oldest, *newest;
};

int done_init(struct done *d, size_t capacity, struct err *e);
void done_clean_up(struct done *d);

/* Notes id (hash: message_hash) as the newest. Without memory it is not noted: the message may be handled again. */
void done_note(struct done *d, struct slice id, uint64_t hash);
void done_forget(struct done *d, struct slice id, uint64_t hash);
bool done_has(const struct done *d, struct slice id, uint64_t hash);

#endif
