/* admin: the supervisor's HTTP listener, driven from its loop: /livez, /readyz, /healthz, /metrics.
 *
 * /livez: the supervisor's loop turns. /readyz: every consumer has a worker that is ready. /healthz: every worker is
 * ready, and its engine turns (`fanoutd --health` asks for this one). */
#ifndef FANOUT_SUPERVISOR_ADMIN_H
#define FANOUT_SUPERVISOR_ADMIN_H

#include <stdint.h>

#include "base/err.h"
#include "supervisor/fleet.h"
#include "supervisor/loop.h"

struct admin;

/* listen: HOST:PORT. fleet and loop outlive it. */
int admin_new(const char *listen, const struct fleet *fleet, int64_t started_at_ms, struct loop *loop,
              struct admin **ret_admin, struct err *e);
void admin_destroy(struct admin *a); /* NULL is fine */

const char *admin_url(const struct admin *a); /* "": there is no listener (a is NULL) */

/* What time makes due (connections that idle); wait no longer than admin_wait_ms, -1 being for ever. NULL is fine. */
void admin_tick(struct admin *a);
int64_t admin_wait_ms(const struct admin *a);

#endif
