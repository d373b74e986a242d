/* deadletters: messages that nobody will handle, moved to the dead-letter queue with the reason.
 *
 * Body, message attributes and trace header stay what they were; letter.h says what comes along. On a FIFO dead-letter
 * queue the group is kept (the message id is that of a message without one), and the original message id is the
 * deduplication id.
 *
 * A move starts only with 30 s of lease in hand (extended first when there is less), and the message is deleted from
 * its queue only after the send was confirmed. A send whose answer was lost is sent again, so that a dead letter can be
 * there twice, with the same fanout.message-id. Engine thread only. */
#ifndef FANOUT_WORKER_DEADLETTERS_H
#define FANOUT_WORKER_DEADLETTERS_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/lease.h"
#include "worker/letter.h"
#include "worker/message.h"
#include "worker/outbox.h"
#include "worker/world.h"

struct deadletters_options {
    struct letter_sender sender; /* borrowed, as all here */

    /* The dead letter is safe: delete the message. */
    void (*moved)(void *context, struct message *m, int64_t now_ms);
    /* The dead-letter queue refuses this message for good, or may not be sent to: its own queue has to decide about
     * it. */
    void (*refused)(void *context, struct message *m, int64_t now_ms);
    /* The dead-letter queue does not exist any more: which one is it now? Messages are held, and tried again. */
    void (*gone)(void *context);
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
