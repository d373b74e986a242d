#include "ctl/publisher.h"

#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/clock.h"
#include "base/uuid.h"

struct put {
    struct publisher *publisher;
    struct entry *entries[EVENTS_BATCH_MAX];
    size_t n;
    struct aws_call *call; /* NULL: free */
};

struct publisher {
    struct publisher_options options;
    struct put *puts;           /* options.calls of them */
    struct entry *head, **tail; /* waiting to be sent, in order */
    size_t waiting, pending;
    bool flushing;      /* until the next publisher_add */
    struct timer pause; /* set while a failure is waited out */
    struct backoff backoff;
};

static const struct backoff_policy PAUSE = {.base_ms = 100, .cap_ms = 2000, .floor_ms = 20, .reset_ms = 10000};

static void send_waiting(struct publisher *p);

static void
append(struct publisher *p, struct entry *entry)
{
    entry->next = NULL;
    *p->tail = entry;
    p->tail = &entry->next;
    p->waiting++;
}

static struct entry *
take(struct publisher *p)
{
    struct entry *entry = p->head;
    p->head = entry->next;
    if (!p->head)
        p->tail = &p->head;
    p->waiting--;
    return entry;
}

static void
finish(struct publisher *p, struct entry *entry)
{
    p->pending--;
    entry_destroy(entry);
}

static void
fail_or_retry(struct publisher *p, struct entry *entry, bool retryable, const char *code, const char *message)
{
    if (retryable && ++entry->attempts < p->options.max_attempts) {
        append(p, entry);
        return;
    }
    p->options.on_failed(p->options.context, entry, code, message);
    finish(p, entry);
}

/* The call was refused for what is in it, and one bad entry is enough for that (a Time out of range, a member of the
 * wrong kind): each goes again by itself, so that only the bad one fails. */
static bool
is_refused_for_one(const struct put *put, const struct aws_error *error)
{
    return put->n > 1 && error->err.code == ERR_INVALID && !error->err.retryable &&
           (error->status == 400 || error->status == 413);
}

static void
send_each_alone(struct put *put)
{
    for (size_t i = 0; i < put->n; i++) {
        put->entries[i]->alone = true;
        append(put->publisher, put->entries[i]);
    }
}

static void
pause_sending(struct publisher *p)
{
    if (timer_is_set(&p->pause))
        return;
    int64_t now_ms = clock_monotonic_ms();
    (void)timers_set(p->options.timers, &p->pause, now_ms + backoff_fail(&p->backoff, now_ms));
}

static void
resume_sending(struct timer *t, int64_t now_ms)
{
    (void)now_ms;
    send_waiting((struct publisher *)((char *)t - offsetof(struct publisher, pause)));
}

static void
put_done(void *context, const struct events_put_result *r)
{
    struct put *put = context;
    struct publisher *p = put->publisher;
    bool failed = false;
    put->call = NULL;
    if (r->error && is_refused_for_one(put, r->error)) {
        send_each_alone(put);
        put->n = 0;
    }
    for (size_t i = 0; i < put->n; i++) {
        struct entry *entry = put->entries[i];
        if (r->error) {
            failed = true;
            fail_or_retry(p, entry, r->error->err.retryable, r->error->code, r->error->err.text);
        } else if (r->results[i].event_id[0]) {
            p->options.on_published(p->options.context, entry, r->results[i].event_id);
            finish(p, entry);
        } else {
            failed |= r->results[i].retryable;
            fail_or_retry(p, entry, r->results[i].retryable, r->results[i].code, r->results[i].message);
        }
    }
    put->n = 0;
    if (failed)
        pause_sending(p);
    else
        backoff_succeed(&p->backoff);
    send_waiting(p);
}

static bool
full_batch_waits(const struct publisher *p)
{
    size_t n = 0, bytes = 0;
    for (const struct entry *entry = p->head; entry; entry = entry->next) {
        bytes += events_entry_bytes(&entry->event);
        if (++n == EVENTS_BATCH_MAX || bytes > EVENTS_BYTES_MAX || entry->alone)
            return true;
    }
    return false;
}

static void
send_one(struct publisher *p, struct put *put)
{
    struct events_entry events[EVENTS_BATCH_MAX];
    size_t bytes = 0;
    struct err e = {0};
    while (p->head && put->n < EVENTS_BATCH_MAX) {
        bytes += events_entry_bytes(&p->head->event);
        if (put->n > 0 && (bytes > EVENTS_BYTES_MAX || p->head->alone || put->entries[0]->alone))
            break;
        put->entries[put->n] = take(p);
        events[put->n] = put->entries[put->n]->event;
        put->n++;
    }
    if (events_put(p->options.client, events, put->n, put_done, put, &put->call, &e) == 0)
        return;
    for (size_t i = 0; i < put->n; i++)
        fail_or_retry(p, put->entries[i], false, err_name(e.code), e.text);
    put->n = 0;
}

static void
send_waiting(struct publisher *p)
{
    for (unsigned i = 0; i < p->options.calls && p->head && !timer_is_set(&p->pause); i++) {
        if (p->puts[i].call)
            continue;
        if (!p->flushing && !full_batch_waits(p))
            return;
        send_one(p, &p->puts[i]);
    }
}

int
publisher_new(const struct publisher_options *options, struct publisher **ret_publisher, struct err *e)
{
    struct publisher *p = calloc(1, sizeof *p);
    if (!p)
        return err_no_memory(e);
    p->options = *options;
    p->options.calls = options->calls ? options->calls : 8;
    p->options.max_attempts = options->max_attempts ? options->max_attempts : 10;
    p->tail = &p->head;
    p->pause.fire = resume_sending;
    backoff_init(&p->backoff, &PAUSE, uuid_random_seed());
    p->puts = calloc(p->options.calls, sizeof *p->puts);
    if (!p->puts) {
        free(p);
        return err_no_memory(e);
    }
    for (unsigned i = 0; i < p->options.calls; i++)
        p->puts[i].publisher = p;
    *ret_publisher = p;
    return 0;
}

void
publisher_destroy(struct publisher *p)
{
    if (!p)
        return;
    timers_cancel(p->options.timers, &p->pause);
    for (unsigned i = 0; i < p->options.calls; i++) {
        if (p->puts[i].call)
            aws_cancel(p->puts[i].call);
        for (size_t k = 0; k < p->puts[i].n; k++)
            entry_destroy(p->puts[i].entries[k]);
    }
    while (p->head)
        entry_destroy(take(p));
    free(p->puts);
    free(p);
}

void
publisher_add(struct publisher *p, struct entry **entry)
{
    append(p, *entry);
    *entry = NULL;
    p->flushing = false;
    p->pending++;
    send_waiting(p);
}

void
publisher_flush(struct publisher *p)
{
    p->flushing = true;
    send_waiting(p);
}

size_t
publisher_pending(const struct publisher *p)
{
    return p->pending;
}

bool
publisher_wants_more(const struct publisher *p)
{
    return p->waiting < (size_t)p->options.calls * EVENTS_BATCH_MAX;
}
