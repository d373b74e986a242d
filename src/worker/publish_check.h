/* publish_check: what handlers hand in to be published, held against AWS's rules, so that a mistake is an error of the
 * call that made it and not, much later, of a batch. Handler threads; pure. */
#ifndef FANOUT_WORKER_PUBLISH_CHECK_H
#define FANOUT_WORKER_PUBLISH_CHECK_H

#include <fanout/handler.h>

#include <stdbool.h>

#include "base/err.h"

/* Reads as much of *event as its size says into *ret_event, with bus_default ("": none) where it names none, and checks
 * it. Sizes that count together are the caller's. ERR_INVALID, ERR_LIMIT, ERR_NOT_FOUND (no target) with a text that
 * names the field. */
int publish_check_event(const struct handler_new_event *event, const char *bus_default,
                        struct handler_new_event *ret_event, struct err *e);

int publish_check_message(const struct handler_new_message *message, const char *queue_default,
                          struct handler_new_message *ret_message, bool *ret_fifo, struct err *e);

#endif
