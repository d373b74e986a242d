#include "lib/sim_outlet.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST 10

/* A call between its start and its answer. */
struct pending {
    struct timer timer;
    struct sim_outlet *outlet;
    struct pending *previous, *next;
    enum sim_outlet_call call;
    union {
        events_put_fn *put;
        sqs_batch_fn *send;
        sqs_queue_fn *find;
    } done;
    void *context;
    struct sim_fault fault, entry_faults[MOST];
    struct sim_published entries[MOST];
    size_t n;
    char queue[100];
    bool executed;
};

static struct pending *pendings;

static void
copy(char *out, size_t size, struct slice s)
{
    assert(s.n < size);
    if (s.n > 0)
        memcpy(out, s.p, s.n);
    out[s.n] = '\0';
}

static struct sim_fault
fault_of(struct sim_outlet *o, enum sim_outlet_call call, int entry, const char *payload)
{
    struct sim_fault f = {0};
    if (entry < 0) {
        f.call = sim_chance(o->sim, o->fail_calls);
        if (!f.call && sim_chance(o->sim, o->lose_answers))
            f.call = f.executed = true;
    } else {
        f.entry = sim_chance(o->sim, o->fail_entries);
    }
    if (o->hook)
        o->hook(o->context, call, entry, payload, &f);
    return f;
}

static struct pending *
begin(struct publish_outlet *outlet, enum sim_outlet_call call, void *context,
      void (*fire)(struct timer *t, int64_t now_ms))
{
    struct sim_outlet *o = (struct sim_outlet *)outlet;
    struct pending *p = calloc(1, sizeof *p);
    if (!p)
        abort();
    *p = (struct pending){.outlet = o, .call = call, .context = context, .timer.fire = fire, .next = pendings};
    if (pendings)
        pendings->previous = p;
    pendings = p;
    o->calls[call]++;
    o->in_flight++;
    if (o->in_flight > o->most_in_flight)
        o->most_in_flight = o->in_flight;
    p->fault = fault_of(o, call, -1, "");
    if (timers_set(&o->sim->timers, &p->timer, sim_now_ms() + 1 + (int64_t)(sim_random(o->sim) % 5)) != 0)
        abort();
    return p;
}

static void
take_out(struct pending *p)
{
    timers_cancel(&p->outlet->sim->timers, &p->timer);
    *(p->previous ? &p->previous->next : &pendings) = p->next;
    if (p->next)
        p->next->previous = p->previous;
    p->outlet->in_flight--;
}

static void
end(struct pending *p)
{
    for (size_t i = 0; i < p->n; i++)
        free(p->entries[i].payload);
    free(p);
}

static struct pending *
pending_of(struct timer *t)
{
    return (struct pending *)((char *)t - offsetof(struct pending, timer));
}

static struct aws_error
error_of(const struct pending *p)
{
    struct aws_error e = {.maybe_executed = p->fault.executed, .status = 400};
    snprintf(e.code, sizeof e.code, "%s", p->fault.code ? p->fault.code : "InternalFailure");
    enum err_code code = strcmp(e.code, "AccessDenied") == 0          ? ERR_DENIED
                         : strcmp(e.code, "ValidationException") == 0 ? ERR_INVALID
                         : strcmp(e.code, "NonExistentQueue") == 0    ? ERR_NOT_FOUND
                                                                      : ERR_UNAVAILABLE;
    err_set(&e.err, code, "simulated: %s", e.code);
    return e;
}

/* ---- what arrives ---- */

static void
keep(struct sim_outlet *o, const struct sim_published *x)
{
    if ((o->n_published & (o->n_published - 1)) == 0) {
        o->published = realloc(o->published, (o->n_published ? 2 * o->n_published : 1) * sizeof *o->published);
        if (!o->published)
            abort();
    }
    struct sim_published *kept = &o->published[o->n_published++];
    *kept = *x;
    kept->at_ms = sim_now_ms();
    kept->payload = strdup(x->payload);
    if (!kept->payload)
        abort();
}

static void
execute(struct pending *p)
{
    for (size_t i = 0; i < p->n; i++) {
        p->entry_faults[i] = fault_of(p->outlet, p->call, (int)i, p->entries[i].payload);
        if (!p->entry_faults[i].entry)
            keep(p->outlet, &p->entries[i]);
    }
}

/* True: the call is answered now. */
static bool
arrives(struct pending *p)
{
    if (p->executed)
        return true;
    p->executed = true;
    if (!p->fault.call || p->fault.executed)
        execute(p);
    if (timers_set(&p->outlet->sim->timers, &p->timer, sim_now_ms() + 1 + (int64_t)(sim_random(p->outlet->sim) % 5)))
        abort();
    return false;
}

static void
add_cause(struct sim_published *x, struct slice cause)
{
    copy(x->cause, sizeof x->cause, cause);
    copy(x->message, sizeof x->message, slice_of(x->cause, strcspn(x->cause, ":")));
}

static void
note_size(struct sim_outlet *o, size_t n, size_t bytes, size_t most)
{
    assert(n >= 1 && n <= MOST && bytes <= most);
    if (n > o->largest_call)
        o->largest_call = (unsigned)n;
    if (bytes > o->largest_bytes)
        o->largest_bytes = bytes;
}

static char *
text_of(struct slice s)
{
    char *text = strndup(s.p, s.n);
    if (!text)
        abort();
    return text;
}

/* ---- events ---- */

static void
put_fires(struct timer *t, int64_t now_ms)
{
    struct pending *p = pending_of(t);
    struct events_result results[MOST] = {0};
    struct aws_error error = error_of(p);
    (void)now_ms;
    if (!arrives(p))
        return;
    struct events_put_result r = {
        .error = p->fault.call ? &error : NULL, .results = p->fault.call ? NULL : results, .n = p->n};
    for (size_t i = 0; i < p->n; i++) {
        const struct sim_fault *f = &p->entry_faults[i];
        results[i].retryable = !f->sender_fault;
        snprintf(f->entry ? results[i].code : results[i].event_id, 64, "%s", f->entry && f->code ? f->code : "ok");
        r.failed += f->entry;
    }
    take_out(p);
    p->done.put(p->context, &r);
    end(p);
}

static int
put(struct publish_outlet *outlet, const struct events_entry *entries, size_t n, events_put_fn *done, void *context,
    struct err *e)
{
    struct pending *p = begin(outlet, SIM_PUT, context, put_fires);
    size_t bytes = 0;
    (void)e;
    p->done.put = done;
    p->n = n;
    for (size_t i = 0; i < n; i++) {
        struct sim_published *x = &p->entries[i];
        *x = (struct sim_published){.is_event = true, .payload = text_of(entries[i].detail)};
        copy(x->target, sizeof x->target, entries[i].bus);
        copy(x->source, sizeof x->source, entries[i].source);
        copy(x->detail_type, sizeof x->detail_type, entries[i].detail_type);
        copy(x->trace, sizeof x->trace, entries[i].trace_header);
        x->n = entries[i].n_resources;
        for (size_t k = 0; k < x->n; k++) {
            struct slice s = entries[i].resources[k];
            if (slice_starts_with(s, SLICE("urn:fanout:cause:")))
                add_cause(x, slice_of(s.p + 17, s.n - 17));
            if (slice_starts_with(s, SLICE("urn:fanout:correlation:")))
                copy(x->correlation, sizeof x->correlation, slice_of(s.p + 23, s.n - 23));
        }
        bytes += events_entry_bytes(&entries[i]);
    }
    note_size(p->outlet, n, bytes, EVENTS_BYTES_MAX);
    return 0;
}

/* ---- messages ---- */

static void
send_fires(struct timer *t, int64_t now_ms)
{
    struct pending *p = pending_of(t);
    struct sqs_result results[MOST] = {0};
    struct aws_error error = error_of(p);
    (void)now_ms;
    if (!arrives(p))
        return;
    for (size_t i = 0; i < p->n; i++) {
        const struct sim_fault *f = &p->entry_faults[i];
        results[i].ok = !f->entry;
        results[i].sender_fault = f->sender_fault;
        snprintf(results[i].code, sizeof results[i].code, "%s", !f->entry ? "" : f->code ? f->code : "InternalError");
    }
    struct sqs_batch_result r = {
        .error = p->fault.call ? &error : NULL, .results = p->fault.call ? NULL : results, .n = p->n};
    take_out(p);
    p->done.send(p->context, &r);
    end(p);
}

static int
send(struct publish_outlet *outlet, const char *url, const struct sqs_send *entries, size_t n, sqs_batch_fn *done,
     void *context, struct err *e)
{
    struct pending *p = begin(outlet, SIM_SEND, context, send_fires);
    size_t bytes = 0;
    (void)e;
    p->done.send = done;
    p->n = n;
    for (size_t i = 0; i < n; i++) {
        struct sim_published *x = &p->entries[i];
        *x = (struct sim_published){.payload = text_of(entries[i].body), .delay_s = entries[i].delay_s};
        copy(x->target, sizeof x->target, slice_of_string(url));
        copy(x->group, sizeof x->group, entries[i].group);
        copy(x->dedup_id, sizeof x->dedup_id, entries[i].dedup_id);
        copy(x->trace, sizeof x->trace, entries[i].trace_header);
        x->n = entries[i].n_attributes;
        assert(x->n <= 10);
        bytes += entries[i].body.n;
        for (size_t k = 0; k < x->n; k++) {
            const struct sqs_attribute *a = &entries[i].attributes[k];
            bytes += a->name.n + a->type.n + a->value.n;
            if (slice_equals_string(a->name, "fanout.cause"))
                add_cause(x, a->value);
            if (slice_equals_string(a->name, "fanout.correlation"))
                copy(x->correlation, sizeof x->correlation, a->value);
        }
    }
    note_size(p->outlet, n, bytes, 1048576);
    return 0;
}

static void
find_fires(struct timer *t, int64_t now_ms)
{
    struct pending *p = pending_of(t);
    char url[150];
    struct aws_error error = error_of(p);
    (void)now_ms;
    snprintf(url, sizeof url, "http://sim/%s", p->queue);
    struct sqs_queue r = {.error = p->fault.call ? &error : NULL, .url = slice_of_string(url)};
    take_out(p);
    p->done.find(p->context, &r);
    end(p);
}

static int
find(struct publish_outlet *outlet, const char *queue, sqs_queue_fn *done, void *context, struct err *e)
{
    struct pending *p = begin(outlet, SIM_FIND_TARGET, context, find_fires);
    (void)e;
    p->done.find = done;
    copy(p->queue, sizeof p->queue, slice_of_string(queue));
    return 0;
}

/* ---- the test's side ---- */

static const struct publish_outlet_ops OPS = {.put = put, .find = find, .send = send};

void
sim_outlet_init(struct sim_outlet *o, struct sim *sim)
{
    *o = (struct sim_outlet){.outlet = {.ops = &OPS}, .sim = sim};
}

void
sim_outlet_clean_up(struct sim_outlet *o)
{
    while (pendings) {
        struct pending *p = pendings;
        take_out(p);
        end(p);
    }
    for (size_t i = 0; i < o->n_published; i++)
        free(o->published[i].payload);
    free(o->published);
}

size_t
sim_outlet_pieces(const struct sim_outlet *o, const char *message)
{
    size_t n = 0;
    for (size_t i = 0; i < o->n_published; i++) {
        bool first = strcmp(o->published[i].message, message) == 0;
        for (size_t k = 0; first && k < i; k++)
            first = strcmp(o->published[k].cause, o->published[i].cause) != 0;
        n += first;
    }
    return n;
}

size_t
sim_outlet_copies(const struct sim_outlet *o, const char *message)
{
    size_t n = 0;
    for (size_t i = 0; i < o->n_published; i++)
        n += strcmp(o->published[i].message, message) == 0;
    return n;
}
