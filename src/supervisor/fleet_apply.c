/* How a configuration becomes workers, and a new one takes the place of the old. */
#include "supervisor/fleet_impl.h"

#include <stdlib.h>
#include <string.h>

static uint64_t
next_random(uint64_t *x)
{
    *x = *x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *x ^ *x >> 32;
}

/* The places and the not yet started workers of c, in its order. */
static int
plan(struct fleet *f, const struct conf *c, unsigned generation, struct fleet_place **ret_places, struct err *e)
{
    struct fleet_place **end = ret_places;
    for (size_t i = 0; i < c->n_consumers; i++) {
        for (int n = 0; n < c->consumers[i].processes; n++) {
            struct fleet_place *p = calloc(1, sizeof *p);
            if (!p)
                return err_no_memory(e);
            *end = p;
            end = &p->next;
            p->number = n;
            p->consumer = strdup(c->consumers[i].name);
            if (!p->consumer)
                return err_no_memory(e);
            const struct child_options options = {.loop = f->loop,
                                                  .worker_path = f->worker_path,
                                                  .conf = c,
                                                  .consumer = &c->consumers[i],
                                                  .number = n,
                                                  .generation = generation,
                                                  .seed = next_random(&f->random),
                                                  .tell = fleet_hear,
                                                  .context = f};
            int rc = child_new(&options, &p->current, e);
            if (rc != 0)
                return rc;
        }
    }
    return 0;
}

static void
move_into(struct fleet_place *to, struct fleet_place *old, int64_t now_ms)
{
    memcpy(&to->past, &old->past, sizeof to->past);
    to->past_spawns = old->past_spawns;
    to->past_crashes = old->past_crashes;
    fleet_retire(old, &old->successor, now_ms); /* of a configuration that was never taken up */
    to->leaving = old->leaving;
    if (old->current) {
        to->successor = to->current;
        to->current = old->current;
    }
    old->current = old->leaving = NULL;
}

int
fleet_apply(struct fleet *f, const struct conf *c, int64_t now_ms, struct err *e)
{
    struct fleet_place *planned = NULL;
    int rc = plan(f, c, f->generation + 1, &planned, e);
    if (rc != 0) {
        fleet_destroy_places(planned);
        return rc;
    }
    f->generation++;
    f->reloading = f->generation > 1;
    f->partly = false;

    struct fleet_place *old = f->places, **end = &f->places;
    f->places = planned;
    while (*end)
        end = &(*end)->next;
    while (old) {
        struct fleet_place *p = old, *same = fleet_find_place(f, p->consumer, p->number);
        old = p->next;
        p->next = NULL;
        if (same) {
            move_into(same, p, now_ms);
            free(p->consumer);
            free(p);
        } else {
            fleet_retire(p, &p->successor, now_ms);
            fleet_retire(p, &p->current, now_ms);
            *end = p;
            end = &p->next;
        }
    }
    FOR_PLACES(p, f)
    {
        struct child *fresh = p->successor ? p->successor : p->current;
        if (fresh && fresh->generation == f->generation)
            child_apply(fresh, SLOTS_START, 0, now_ms);
    }
    return 0;
}
