/* lease: the right to a message until its visibility timeout, kept alive while we need it.
 *
 * Every message in hand is watched from its receive. When half of the visibility timeout is left it is extended, ten a
 * call, over and over, until lease_stop (its retry is about to be sent) or lease_remove (it is over), but never past
 * SQS's 12 hours from the receive, and not past lease.max_s from when its handler was called with it, while it is
 * undecided: a handler that holds a message for so long has lost it. What waits, in a batch behind others or at a gate,
 * is nobody's fault and knows the 12 hours alone. What was decided by then is still held until that is confirmed. What
 * the queue answers is inspected entry by entry: what it refuses as the sender's fault, and what it did not confirm
 * before the lease ended, is lost.
 *
 * When a call began is looked at as an extension is computed. One that began since the last has a lease of at most a
 * visibility timeout, which ends within lease.max_s unless the queue's own timeout is longer than that; then it lasts
 * until that extension ends.
 *
 * Times are cautious: a lease counts from when an extension was sent, not from when it was answered; after a receive,
 * whose waiting time says nothing, it counts from when the answer can have come (http.h: age_ms), and a margin is taken
 * off. Engine thread only. */
#ifndef FANOUT_WORKER_LEASE_H
#define FANOUT_WORKER_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/timers.h"
#include "worker/message.h"
#include "worker/outbox.h"
#include "worker/world.h"

#define LEASE_LONGEST_MS INT64_C(43200000) /* 12 h, from the receive (SQS, visibility timeout) */

struct lease_watcher {
    /* The lease is over, or no longer ours: m->lost is set, and it ended now at the latest. It is watched no more. */
    void (*lost)(void *context, struct message *m, int64_t now_ms);
    /* An extension was confirmed. */
    void (*extended)(void *context, struct message *m, int64_t now_ms);
    /* After lease_stop said that an extension was under way: it has ended, whatever came of it. */
    void (*quiet)(void *context, struct message *m, int64_t now_ms);
    void *context;
};

struct lease {
    struct world *world;
    struct lease_watcher watcher;
    int64_t visibility_ms;
    int64_t max_ms;    /* of a message that is undecided, from when its handler was called with it */
    struct timers due; /* of all watched messages */
    struct timer next; /* of the loop, for the earliest of them */
    struct outbox box; /* extensions */
    int64_t now_ms;    /* during a run */
};

/* max_s: lease.max_s, 0: as long as SQS allows. */
void lease_init(struct lease *l, struct world *w, int max_s, const struct lease_watcher *watcher);
void lease_clean_up(struct lease *l);

/* The visibility timeout that receives ask for; before the first lease_begin. >= 1. */
void lease_set_visibility(struct lease *l, int visibility_s);

/* m was just received, for the first time or again: its lease began at began_ms, and it is not lost. ERR_NO_MEMORY: it
 * is not watched (the first time only). */
int lease_begin(struct lease *l, struct message *m, int64_t began_ms);

/* No extension will be sent for m any more; its end is still watched. True: one is under way, so that nothing may be
 * sent about m's visibility until watcher.quiet was called. */
bool lease_stop(struct lease *l, struct message *m);

/* m was decided and is to be held until that is confirmed: lease.max_s no longer counts. */
void lease_decided(struct lease *l, struct message *m, int64_t now_ms);

/* m waits to be handled again: lease.max_s will count from its next call. */
void lease_waits(struct lease *l, struct message *m, int64_t now_ms);

/* m is over: not watched any more. */
void lease_remove(struct lease *l, struct message *m);

/* The lease of m should reach at least until_ms: extended at once if it does not. */
void lease_reach(struct lease *l, struct message *m, int64_t until_ms, int64_t now_ms);

/* The longest visibility timeout that can be set for m now under the 12 h rule, in seconds, >= 0. */
int64_t lease_longest_s(const struct message *m, int64_t now_ms);

#endif
