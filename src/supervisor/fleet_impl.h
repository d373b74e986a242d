/* fleet_impl: what fleet.c (life) and fleet_apply.c (configurations) share. */
#ifndef FANOUT_SUPERVISOR_FLEET_IMPL_H
#define FANOUT_SUPERVISOR_FLEET_IMPL_H

#include "supervisor/fleet.h"

#define FOR_CHILDREN(c, p) for (struct child *c = fleet_next_child(p, NULL); c; c = fleet_next_child(p, c))
#define FOR_PLACES(p, f)   for (struct fleet_place *p = (f)->places; p; p = p->next)

struct fleet_place *fleet_find_place(const struct fleet *f, const char *consumer, int number);

/* Takes the worker out of its role (which may be empty) and stops it; it stays in its place until it is gone. */
void fleet_retire(struct fleet_place *p, struct child **role, int64_t now_ms);

/* What children tell (child.h). */
void fleet_hear(void *context, struct child *c, enum child_news news, int64_t now_ms);

/* A list of places and their workers; a process that still runs sees its channel end, and drains. */
void fleet_destroy_places(struct fleet_place *p);

#endif
