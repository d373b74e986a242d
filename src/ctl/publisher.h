/* publisher: puts many events on a bus: batches of up to ten entries and EventBridge's size limit, several calls in
 * flight, failed entries alone sent again. When the service refuses a whole call for what is in it, each of its entries
 * is sent once more by itself: one bad entry does not take nine good ones along.
 *
 * One thread, the engine's. An entry ends in exactly one of the two callbacks. A call whose answer was lost is sent
 * again, so an event can be published twice under two ids: PutEvents has no idempotency token. */
#ifndef FANOUT_CTL_PUBLISHER_H
#define FANOUT_CTL_PUBLISHER_H

#include <stdbool.h>
#include <stddef.h>

#include "aws/aws.h"
#include "base/err.h"
#include "ctl/entry.h"

struct publisher;

struct publisher_options {
    struct aws_client *client; /* borrowed */
    struct timers *timers;     /* the engine's */
    unsigned calls;            /* in flight at most; 0: 8 */
    unsigned max_attempts;     /* of an entry; 0: 10 */
    void (*on_published)(void *context, const struct entry *entry, const char *event_id);
    void (*on_failed)(void *context, const struct entry *entry, const char *code, const char *message);
    void *context;
};

int publisher_new(const struct publisher_options *options, struct publisher **ret_publisher, struct err *e);
void publisher_destroy(struct publisher *p);

/* Takes entry (*entry becomes NULL) and sends as soon as a batch is full and a call is free. */
void publisher_add(struct publisher *p, struct entry **entry);

/* Sends what is waiting although no batch is full. */
void publisher_flush(struct publisher *p);

size_t publisher_pending(const struct publisher *p);  /* entries without an outcome yet */
bool publisher_wants_more(const struct publisher *p); /* less is waiting than the free calls could carry */

#endif
