#include "supervisor/fleet.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "supervisor/fleet_impl.h"

void
fleet_init(struct fleet *f, struct loop *loop, const char *worker_path, void (*ready)(void *context), void *context)
{
    *f = (struct fleet){
        .loop = loop,
        .worker_path = worker_path,
        .random = (uint64_t)clock_wall_ms() << 20 ^ (uint64_t)getpid(),
        .ready = ready,
        .context = context,
    };
}

/* ---- places and their workers ---- */

struct child *
fleet_next_child(const struct fleet_place *p, const struct child *c)
{
    if (!c && p->current)
        return p->current;
    if ((!c || c == p->current) && p->successor)
        return p->successor;
    if (!c || c == p->current || c == p->successor)
        return p->leaving;
    return c->next;
}

struct fleet_place *
fleet_find_place(const struct fleet *f, const char *consumer, int number)
{
    FOR_PLACES(p, f)
    if (p->number == number && strcmp(p->consumer, consumer) == 0)
        return p;
    return NULL;
}

static struct fleet_place *
place_of(const struct fleet *f, const struct child *child)
{
    return fleet_find_place(f, child->consumer, child->number);
}

void
fleet_read(const struct fleet_place *p, enum metrics_id id, struct metrics_reading *ret_reading)
{
    *ret_reading = (struct metrics_reading){0};
    metrics_read(&p->past, id, ret_reading);
    FOR_CHILDREN(c, p)
    metrics_read(ledger_metrics(c->ledger), id, ret_reading);
}

uint64_t
fleet_spawns(const struct fleet_place *p)
{
    uint64_t n = p->past_spawns;
    FOR_CHILDREN(c, p)
    n += c->slots.spawns;
    return n;
}

uint64_t
fleet_crashes(const struct fleet_place *p)
{
    uint64_t n = p->past_crashes;
    FOR_CHILDREN(c, p)
    n += c->slots.crashes;
    return n;
}

void
fleet_retire(struct fleet_place *p, struct child **role, int64_t now_ms)
{
    struct child *c = *role;
    if (!c)
        return;
    *role = NULL;
    c->next = p->leaving;
    p->leaving = c;
    child_apply(c, SLOTS_STOP, c->drain_ms, now_ms);
}

/* ---- what workers tell ---- */

/* It has reached its queue; what its handler depends on may be down, as it is for the current one, too. */
static bool
can_take_over(const struct child *c)
{
    return c->slots.state == SLOTS_READY && c->health_known &&
           (c->health == IPC_HEALTH_OK || c->health == IPC_HEALTH_HANDLER);
}

static void
note_progress(struct fleet *f)
{
    bool all_ready = true, successors = false;
    FOR_PLACES(p, f)
    {
        all_ready &= !p->current || p->current->slots.state == SLOTS_READY;
        successors |= p->successor != NULL;
    }
    if (all_ready && !f->was_ready && !f->stopping) {
        f->was_ready = true;
        f->ready(f->context);
    }
    if (f->reloading && all_ready && !successors) {
        f->reloading = false;
        if (f->partly)
            log_write(LOG_WARN, "new configuration in use, but for what was refused above",
                      LOG_INT("generation", f->generation));
        else
            log_write(LOG_INFO, "new configuration in use", LOG_INT("generation", f->generation));
    }
}

static void
hear_refusal(struct fleet *f, struct fleet_place *p, struct child *c, int64_t now_ms)
{
    if (c == p->successor) {
        log_write(LOG_ERROR, "new configuration refused, the old worker goes on", LOG_STR("consumer", c->consumer),
                  LOG_INT("slot", c->number), LOG_STR("error", c->refusal));
        fleet_retire(p, &p->successor, now_ms);
        f->partly = true;
        note_progress(f);
        return;
    }
    log_write(LOG_ERROR, "worker refuses its configuration", LOG_STR("consumer", c->consumer),
              LOG_INT("slot", c->number), LOG_INT("pid", c->pid), LOG_STR("error", c->refusal));
    if (c->generation == 1 && !c->slots.was_ready && !f->stopping) {
        f->refused = true;
        fleet_stop(f, now_ms);
    }
}

void
fleet_hear(void *context, struct child *c, enum child_news news, int64_t now_ms)
{
    struct fleet *f = context;
    struct fleet_place *p = place_of(f, c);
    assert(p);
    if (news == CHILD_REFUSED) {
        hear_refusal(f, p, c, now_ms);
        return;
    }
    if (c == p->successor && can_take_over(c)) {
        log_write(LOG_INFO, "successor takes over", LOG_STR("consumer", c->consumer), LOG_INT("slot", c->number),
                  LOG_INT("pid", c->pid), LOG_INT("generation", c->generation));
        p->successor = NULL;
        fleet_retire(p, &p->current, now_ms);
        p->current = c;
    }
    note_progress(f);
}

void
fleet_destroy_places(struct fleet_place *p)
{
    while (p) {
        struct fleet_place *next = p->next;
        for (struct child *c = fleet_next_child(p, NULL), *following; c; c = following) {
            following = fleet_next_child(p, c);
            child_destroy(c);
        }
        free(p->consumer);
        free(p);
        p = next;
    }
}

void
fleet_clean_up(struct fleet *f)
{
    fleet_destroy_places(f->places);
    f->places = NULL;
}

/* ---- time, exits, the end ---- */

void
fleet_stop(struct fleet *f, int64_t now_ms)
{
    f->stopping = true;
    f->reloading = false;
    FOR_PLACES(p, f)
    FOR_CHILDREN(c, p)
    if (c->slots.want != SLOTS_WANT_NONE)
        child_apply(c, SLOTS_STOP, c->drain_ms, now_ms);
}

void
fleet_stop_now(struct fleet *f, int64_t now_ms)
{
    f->stopping = true;
    f->reloading = false;
    FOR_PLACES(p, f)
    FOR_CHILDREN(c, p)
    child_apply(c, SLOTS_STOP_NOW, 0, now_ms);
}

/* By process number, which a child has from its start until it was reaped. */
static struct child *
find_process(const struct fleet *f, pid_t pid)
{
    FOR_PLACES(p, f)
    FOR_CHILDREN(c, p)
    if (c->pid == pid)
        return c;
    return NULL;
}

void
fleet_reap(struct fleet *f, int64_t now_ms)
{
    int status;
    pid_t pid;
    /* All children: as a container's first process we inherit strangers too. */
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0 || (pid < 0 && errno == EINTR)) {
        struct child *c = pid > 0 ? find_process(f, pid) : NULL;
        if (c)
            child_exited(c, status, now_ms);
    }
}

static void
bury(struct fleet *f, struct fleet_place *p, struct child *c)
{
    f->unclean |= f->stopping && c->slots.unclean;
    metrics_add(&p->past, ledger_metrics(c->ledger));
    p->past_spawns += c->slots.spawns;
    p->past_crashes += c->slots.crashes;
    child_destroy(c);
}

static void
sweep(struct fleet *f)
{
    for (struct fleet_place **at = &f->places; *at;) {
        struct fleet_place *p = *at;
        for (struct child **c = &p->leaving; *c;) {
            struct child *gone = *c;
            if (gone->slots.state != SLOTS_IDLE) {
                c = &gone->next;
                continue;
            }
            *c = gone->next;
            bury(f, p, gone);
        }
        if (p->current || p->successor || p->leaving) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        free(p->consumer);
        free(p);
    }
}

void
fleet_tick(struct fleet *f, int64_t now_ms)
{
    FOR_PLACES(p, f)
    FOR_CHILDREN(c, p)
    if (slots_tick_at_ms(&c->slots) <= now_ms)
        child_apply(c, SLOTS_TICK, 0, now_ms);
    sweep(f);
}

int64_t
fleet_tick_at_ms(const struct fleet *f)
{
    int64_t earliest = INT64_MAX;
    FOR_PLACES(p, f)
    {
        FOR_CHILDREN(c, p)
        {
            int64_t at = slots_tick_at_ms(&c->slots);
            earliest = at < earliest ? at : earliest;
        }
    }
    return earliest;
}

void
fleet_send(struct fleet *f, enum ipc_type type, int64_t number)
{
    FOR_PLACES(p, f)
    FOR_CHILDREN(c, p)
    child_send(c, type, number);
}

bool
fleet_is_over(const struct fleet *f)
{
    if (!f->stopping)
        return false;
    FOR_PLACES(p, f)
    FOR_CHILDREN(c, p)
    if (c->slots.state != SLOTS_IDLE)
        return false;
    return true;
}

bool
fleet_was_unclean(const struct fleet *f)
{
    bool unclean = f->unclean;
    FOR_PLACES(p, f)
    FOR_CHILDREN(c, p)
    unclean |= c->slots.unclean;
    return unclean;
}

bool
fleet_is_ready(const struct fleet *f)
{
    if (f->stopping)
        return false;
    FOR_PLACES(p, f)
    {
        bool ready = false, wanted = false;
        FOR_PLACES(other, f)
        {
            if (strcmp(p->consumer, other->consumer) == 0 && other->current) {
                wanted = true;
                ready |= other->current->slots.state == SLOTS_READY;
            }
        }
        if (wanted && !ready)
            return false;
    }
    return true;
}

bool
fleet_is_well(const struct fleet *f, int64_t now_ms)
{
    if (f->stopping)
        return false;
    FOR_PLACES(p, f)
    {
        if (p->current && !child_is_well(p->current, now_ms))
            return false;
    }
    return true;
}
