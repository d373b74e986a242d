/* fuzz_put_events: PutEvents on both sides. The first byte says how the rest is read: as a request that a stranger
 * sends to fanout-local, or as lines for fanoutctl send.
 *
 * Of a stranger's request each entry is answered, and each one that is not refused is delivered as an envelope that
 * reads back. What fanoutctl takes from lines, fanout-local takes from fanoutctl, field for field. */

#include "aws/events_message.h"

#include "ctl/entry.h"
#include "event/envelope.h"
#include "fuzz/fuzz.h"
#include "local/events_impl.h"
#include "local/store.h"

#define MOST 10

/* ---- in place of what surrounds the call ---- */

struct httpd_request {
    struct slice body;
    struct event_envelope delivered[MOST];
    size_t n_delivered;
    struct events_result results[MOST];
    size_t n_expected; /* of a request of ours; 0: a stranger's */
    bool refused, out_of_bounds;
};

static struct httpd_request request; /* store_submit's job does not say whose it is */

struct slice
httpd_body(const struct httpd_request *r)
{
    return r->body;
}

void
local_events_refuse(struct local_call *call, int status, const char *code, const char *message)
{
    check(call->http == &request && status == 400 && *code && *message);
    request.refused = true;
    request.out_of_bounds = strcmp(code, "ValidationException") == 0;
}

void
httpd_answer_later(struct httpd_request *r, httpd_late_fn *answer, void *context)
{
    check(r == &request);
    answer(context);
}

void
local_answer_failure(struct local_call *call, const struct err *error)
{
    (void)call, (void)error;
    abort();
}

void
local_answer(struct local_call *call, const struct httpd_answer *answer)
{
    size_t failed, n = 0;
    struct json body, entries = {0};
    check(call->http == &request && answer->status == 200);
    check(json_parse(answer->body, &body, NULL) == 0 && json_get(body, "Entries", &entries));
    n = json_count(entries);
    check(n >= 1 && n <= MOST);
    check(events_message_decode(answer->body, n, request.results, &failed, NULL) == 0);
    check(request.n_delivered + failed == n);
    check(request.n_expected == 0 || request.n_expected == n);
}

struct store *
local_store(const struct local *l)
{
    (void)l;
    return NULL;
}

const char *
local_account(const struct local *l)
{
    (void)l;
    return "000000000000";
}

const char *
local_region(const struct local *l)
{
    (void)l;
    return "us-east-1";
}

size_t
local_put_events_bytes(const struct local *l)
{
    (void)l;
    return EVENTS_BYTES_MAX;
}

void
store_submit(struct store *s, struct store_job *job)
{
    (void)s;
    check(job->run(NULL, job) == 0);
    job->finish(job, NULL);
}

const struct events_bus *
local_events_bus(const struct local_events *s, struct slice name)
{
    static const struct events_bus ANY;
    (void)s, (void)name;
    return &ANY;
}

struct slice
local_events_bus_name(struct slice bus)
{
    return bus;
}

int
local_events_deliver(struct local_events *s, struct store_tx *tx, const struct events_event *event)
{
    (void)s, (void)tx;
    check(request.n_delivered < MOST);
    check(event_envelope_parse(event->event.text, &request.delivered[request.n_delivered++], NULL) == 0);
    return 0;
}

/* ---- both sides ---- */

static void
compare(const struct events_entry *sent, const struct event_envelope *got)
{
    struct json detail; /* without white space around it */
    size_t n = 0;
    int64_t at_ms;
    check(json_equals_string(got->source, sent->source) && json_equals_string(got->detail_type, sent->detail_type));
    check(json_parse(sent->detail, &detail, NULL) == 0 && slice_equals(got->detail.text, detail.text));
    for (struct json_iter it = json_iter(got->resources); json_next(&it); n++)
        check(n < sent->n_resources && json_equals_string(it.value, sent->resources[n]));
    check(n == sent->n_resources);
    check(event_envelope_time_ms(got, &at_ms, NULL) == 0);
    check(sent->time_ms == 0 || at_ms == sent->time_ms / 1000 * 1000);
}

/* sent: n_expected entries that all have to come out as they are; NULL for a stranger's request. */
static void
serve(struct slice body, const struct events_entry *sent, size_t n_expected)
{
    struct local_events events = {.local = NULL};
    struct local_call call = {.http = &request};
    request = (struct httpd_request){.body = body, .n_expected = n_expected};
    arena_init(&call.arena, 0);
    local_events_put(&events, &call);
    check(request.refused || request.n_delivered <= MOST);
    for (size_t i = 0; i < request.n_delivered; i++) {
        const struct event_envelope *v = &request.delivered[i];
        int64_t at_ms;
        check(v->detail.type == JSON_OBJECT && json_raw(v->source).n > 0 && json_raw(v->detail_type).n > 0);
        check(event_envelope_time_ms(v, &at_ms, NULL) == 0);
    }
    /* Bounds of lengths and names are the service's to know. */
    check(!sent || request.out_of_bounds || (!request.refused && request.n_delivered == n_expected));
    for (size_t i = 0; sent && !request.refused && i < n_expected; i++)
        compare(&sent[i], &request.delivered[i]);
    arena_clean_up(&call.arena);
}

/* The deepest that fits fanoutctl is one too deep with an envelope around it. */
static bool
is_too_deep_to_wrap(const struct events_entry *entry)
{
    size_t depth = 0;
    for (size_t i = 0; i < entry->detail.n; i++)
        depth += entry->detail.p[i] == '{' || entry->detail.p[i] == '[';
    return depth >= JSON_MAX_DEPTH;
}

static void
send_lines(struct slice rest)
{
    struct entry *entries[MOST];
    struct events_entry events[MOST];
    struct buf body = BUF_INIT;
    struct err e;
    size_t n = 0;
    bool deep = false;
    while (rest.n > 0 && n < MOST) {
        const char *end = memchr(rest.p, '\n', rest.n);
        size_t line = end ? (size_t)(end - rest.p) : rest.n;
        int rc = entry_parse(slice_of(rest.p, line), n + 1, "bus", &entries[n], &e);
        check(rc == 0 || (rc == e.code && e.text[0] && !strchr(e.text, '\n')));
        if (rc == 0) {
            events[n] = entries[n]->event;
            deep = deep || is_too_deep_to_wrap(&events[n]);
            n++;
        }
        rest = slice_of(rest.p + line + (end != NULL), rest.n - line - (end != NULL));
    }
    if (n > 0 && !deep) {
        events_message_encode(&body, events, n);
        serve(buf_slice(&body), events, n);
    }
    buf_clean_up(&body);
    for (size_t i = 0; i < n; i++)
        entry_destroy(entries[i]);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct slice rest = slice_of((const char *)data + 1, size - 1);
    if (data[0] & 1)
        send_lines(rest);
    else
        serve(rest, NULL, 0);
    return 0;
}
