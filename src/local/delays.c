#include "local/local_impl.h"

#include <stdlib.h>

/* A call that waits: a parked job. */
struct delay {
    struct store_job job;
    struct local_call *call;
    int64_t delay_ms, due_ms; /* due_ms 0: the writer has not seen it yet */
};

struct local_delays {
    struct store *store;
    struct store_job *waiting; /* the writer's, in no order: faults are few */
};

static struct delay *
delay_of(struct store_job *job)
{
    return (struct delay *)job;
}

static void
forget(struct local_delays *d, struct store_job *job)
{
    struct store_job **at = &d->waiting;
    while (*at && *at != job)
        at = &(*at)->next;
    if (*at)
        *at = job->next;
}

static int
run_delay(struct store_tx *tx, struct store_job *job)
{
    struct delay *w = delay_of(job);
    struct local_delays *d = w->call->local->delays;
    forget(d, job);
    if (w->due_ms == 0)
        w->due_ms = store_now_ms(tx) + w->delay_ms;
    if (w->due_ms <= store_now_ms(tx))
        return 0;
    job->next = d->waiting;
    d->waiting = job;
    return STORE_PARKED;
}

static void
finish_delay(struct store_job *job, const struct err *error)
{
    struct delay *w = delay_of(job);
    struct local_call *call = w->call;
    free(w);
    if (error)
        local_answer_failure(call, error);
    else
        call->service->serve(call->service->context, call);
}

static void
complete_until(struct local_delays *d, struct store_tx *tx, int64_t due_ms)
{
    struct store_job **at = &d->waiting;
    while (*at) {
        struct store_job *job = *at;
        if (delay_of(job)->due_ms <= due_ms) {
            *at = job->next;
            store_complete(tx, job);
        } else {
            at = &job->next;
        }
    }
}

static int
turn(void *context, struct store_tx *tx)
{
    complete_until(context, tx, store_now_ms(tx));
    return 0;
}

static int64_t
due_ms(void *context)
{
    struct local_delays *d = context;
    int64_t due = INT64_MAX;
    for (struct store_job *job = d->waiting; job; job = job->next)
        due = delay_of(job)->due_ms < due ? delay_of(job)->due_ms : due;
    return due;
}

static void
stop(void *context, struct store_tx *tx)
{
    complete_until(context, tx, INT64_MAX);
}

static int
keep_waiting(void *context, struct store_tx *tx)
{
    (void)context, (void)tx; /* what waits is in no table */
    return 0;
}

int
local_delays_new(struct local *l, struct local_delays **ret_delays, struct err *e)
{
    struct local_delays *d = calloc(1, sizeof *d);
    if (!d)
        return err_no_memory(e);
    d->store = l->store;
    struct store_service service = {
        .name = "delays", .context = d, .rollback = keep_waiting, .turn = turn, .due_ms = due_ms, .stop = stop};
    int code = store_add_service(l->store, &service, e);
    if (code)
        free(d);
    else
        *ret_delays = d;
    return code;
}

void
local_delays_destroy(struct local_delays *d)
{
    free(d);
}

void
local_delays_add(struct local_delays *d, struct local_call *call, int64_t delay_ms)
{
    struct delay *w = calloc(1, sizeof *w);
    if (!w) {
        struct err e;
        err_no_memory(&e);
        local_answer_failure(call, &e);
        return;
    }
    *w = (struct delay){.job = {.run = run_delay, .finish = finish_delay}, .call = call, .delay_ms = delay_ms};
    store_submit(d->store, &w->job);
}
