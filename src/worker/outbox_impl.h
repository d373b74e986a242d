/* outbox_impl: what the two halves of an outbox need of each other: outbox.c, the box, and outbox_call.c, its calls. */
#ifndef FANOUT_WORKER_OUTBOX_IMPL_H
#define FANOUT_WORKER_OUTBOX_IMPL_H

#include "worker/outbox.h"

/* ---- outbox.c ---- */

/* x, which is in no list, waits behind the others, in front of them, or for a backoff of its own. */
void outbox_put_behind(struct outbox *b, struct outbox_entry *x, int64_t now_ms);
void outbox_put_in_front(struct outbox *b, struct outbox_entry *x);
void outbox_put_off(struct outbox *b, struct outbox_entry *x, int64_t now_ms);

/* The first of what is ready, which is in no list then. */
struct outbox_entry *outbox_take_first(struct outbox *b);

/* A call failed as a whole, or could not be started; denied: for want of this permission, or NULL. */
void outbox_pause(struct outbox *b, const struct err *err, const char *denied, int64_t now_ms);

/* Sends what is due, and sees to it that it is called again when more is. */
void outbox_pump(struct outbox *b, int64_t now_ms);

/* ---- outbox_call.c ---- */

/* One call. False: it could not be started, and the box is paused. */
bool outbox_send(struct outbox *b, int64_t now_ms);

/* As outbox_clean_up. */
void outbox_forget_calls(struct outbox *b);

#endif
