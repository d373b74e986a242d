/* settle: what becomes of a message once its handler has spoken.
 *
 *     done   -> deleted (deletes.h)
 *     retry  -> given back with a delay (releases.h): the handler's own, or one by the consumer's policy and the
 *               message's attempts (retry.h). Its extensions are stopped first and one under way is waited for, so
 *               that no heartbeat overwrites the delay.
 *     reject -> moved to the dead-letter queue with the reason, then deleted (deadletters.h). Where the queue has none
 *               it is retried, which is logged: nothing is deleted that nobody handled.
 *     lost   -> nothing; but a message whose handler declared it done after the lease had ended is deleted once,
 *               late, and its id is noted in case it comes back.
 *
 * Each message is settled once, and `over` is called once for it when that is confirmed or given up. Engine thread
 * only. */
#ifndef FANOUT_WORKER_SETTLE_H
#define FANOUT_WORKER_SETTLE_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/deadletters.h"
#include "worker/deletes.h"
#include "worker/lease.h"
#include "worker/message.h"
#include "worker/releases.h"
#include "worker/retry.h"
#include "worker/world.h"

struct settle_options {
    const struct retry_policy *retry; /* borrowed, as all here: the consumer's */
    const char *consumer;
    const char *handler;                                /* "name version" */
    const char *host;                                   /* its name */
    void (*settling)(void *context, struct message *m); /* m->state has become _DONE, _RETRY or _REJECT; may be NULL */
    void (*over)(void *context, struct message *m, int64_t now_ms);
    void (*dead_letters_gone)(void *context); /* the dead-letter queue was deleted: which one is it now? */
    void *context;
};

struct settle {
    struct world *world;
    struct lease *lease;
    struct settle_options options;
    struct deletes deletes;
    struct releases releases;
    struct deadletters deadletters;
};

int settle_init(struct settle *s, struct world *w, struct lease *lease, const struct settle_options *options,
                struct err *e);
void settle_clean_up(struct settle *s);

/* Carries out m->verdict; m is MESSAGE_QUEUED. */
void settle_verdict(struct settle *s, struct message *m, int64_t now_ms);

/* The delay that a verdict of HANDLER_RETRY gets: its own, or one that is drawn. */
int64_t settle_retry_delay_ms(struct settle *s, const struct message *m);

/* m was just received. True: it was declared done before, and is deleted without being handled again. */
bool settle_again(struct settle *s, struct message *m, int64_t now_ms);

/* m was just received again while its verdict is being carried out: that goes on with the newer receipt handle. */
void settle_receipt(struct settle *s, struct message *m, int64_t now_ms);

/* What failed for m and waits for its backoff is tried at once. */
void settle_hurry(struct settle *s, struct message *m, int64_t now_ms);

/* From the lease's watcher, for messages that are settled. */
void settle_lost(struct settle *s, struct message *m, int64_t now_ms);
void settle_extended(struct settle *s, struct message *m, int64_t now_ms);
void settle_quiet(struct settle *s, struct message *m, int64_t now_ms);

/* From now on nothing waits for company. */
void settle_drain(struct settle *s, int64_t now_ms);

#endif
