/* deadletters: rejected messages, moved to the queue's dead-letter queue with the reason.
 *
 * Body and message attributes stay what they were; fanout.reason, fanout.message-id, fanout.receive-count,
 * fanout.consumer and fanout.handler say why the message is there and where it came from. SQS allows ten attributes:
 * when ours do not fit beside the message's own they are folded into one, fanout.dead-letter, a JSON object; when even
 * that does not fit, or the message would pass SQS's size limit, it goes without. On a FIFO dead-letter queue the group
 * is kept and the original message id is the deduplication id.
 *
 * A move starts only with 30 s of lease in hand (extended first when there is less), and the message is deleted from
 * its queue only after the send was confirmed. A send whose answer was lost is sent again, so that a dead letter can be
 * there twice, with the same fanout.message-id. Engine thread only. */
#ifndef FANOUT_WORKER_DEADLETTERS_H
#define FANOUT_WORKER_DEADLETTERS_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/lease.h"
#include "worker/message.h"
#include "worker/outbox.h"
#include "worker/world.h"

struct deadletters_options {
    const char *consumer; /* borrowed, as all here */
    const char *handler;  /* the plugin's "name version" */

    /* The dead letter is safe: delete the message. */
    void (*moved)(void *context, struct message *m, int64_t now_ms);
    /* The dead-letter queue refuses this message for good, or may not be sent to: its own queue has to decide about
     * it. */
    void (*refused)(void *context, struct message *m, int64_t now_ms);
    /* Given up without either. */
    void (*over)(void *context, struct message *m, int64_t now_ms);
    void *context;
};

struct deadletters {
    struct world *world;
    struct lease *lease;
    struct outbox box;
    struct deadletters_options options;
};

void deadletters_init(struct deadletters *d, struct world *w, struct lease *lease,
                      const struct deadletters_options *options);
void deadletters_clean_up(struct deadletters *d);

/* m->verdict.reason says why. The queue must have a dead-letter queue (world->queue->dead_letter_url). */
void deadletters_add(struct deadletters *d, struct message *m, int64_t now_ms);

/* The lease of m was extended: a move that waited for that may start. */
void deadletters_extended(struct deadletters *d, struct message *m, int64_t now_ms);

/* The lease of m is over. */
void deadletters_lost(struct deadletters *d, struct message *m, int64_t now_ms);

#endif
