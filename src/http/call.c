#include <assert.h>

#include "base/clock.h"
#include "http/internal.h"

#define DEFAULT_MAX_RESPONSE_BYTES (64u << 20)
#define KEEP_BYTES                 (256u << 10) /* a pooled call keeps buffers up to this size */

/* ---- starting -----------------------------------------------------------------------------------------------------
 */

/* When to look at the call again: at its deadline, or four times within the time it may stand still. */
static int
set_timer(struct http_call *c, int64_t now_ms)
{
    int64_t due_ms = c->deadline_ms;
    if (c->stall_timeout_ms > 0) {
        int64_t look_ms = now_ms + (c->stall_timeout_ms + 3) / 4;
        due_ms = look_ms < due_ms ? look_ms : due_ms;
    }
    return timers_set(&c->engine->timers, &c->timer, due_ms);
}

static void look_after(struct timer *t, int64_t now_ms);

static int
prepare(struct http_call *c, const struct http_request *q, struct err *e)
{
    if (q->timeout_ms <= 0)
        return err_set(e, ERR_INVALID, "a call needs a time-out above 0 ms");
    int r = http_handle_set(c, q, e);
    if (r < 0)
        return r;
    c->timer.fire = look_after;
    c->on_data = q->on_data;
    c->context = q->context;
    c->max_response_bytes = q->max_response_bytes ? q->max_response_bytes : DEFAULT_MAX_RESPONSE_BYTES;
    c->submitted_at_ms = c->moved_at_ms = clock_monotonic_ms();
    c->timeout_ms = q->timeout_ms;
    c->deadline_ms = c->submitted_at_ms + q->timeout_ms;
    c->stall_timeout_ms = q->stall_timeout_ms;
    c->moved = 0;
    c->header_bytes = 0;
    c->answered_ms = 0;
    c->header_complete = false;
    c->paused = c->resent = false;
    c->gave_up = 0;
    c->text[0] = '\0';
    buf_reset(&c->body);
    return set_timer(c, c->submitted_at_ms) < 0 ? err_no_memory(e) : 0;
}

int
http_submit(struct http_engine *g, const struct http_request *request, http_done_fn *done, struct http_call **ret_call,
            struct err *e)
{
    struct http_call *c = TAILQ_FIRST(&g->pool);
    if (c) {
        TAILQ_REMOVE(&g->pool, c, link);
        g->n_pooled--;
    } else if (!(c = http_call_new(g))) {
        return err_no_memory(e);
    }
    int r = prepare(c, request, e);
    if (r < 0) {
        http_engine_recycle(g, c);
        return r;
    }
    c->done = done;
    c->state = CALL_PENDING;
    TAILQ_INSERT_TAIL(&g->pending, c, link);
    g->stats.calls++;
    g->stats.in_flight++;
    if (ret_call)
        *ret_call = c;
    return 0;
}

void
http_call_start(struct http_call *c)
{
    struct http_engine *g = c->engine;
    http_engine_make_room(g);
    http_known_apply(c);
    if (curl_multi_add_handle(g->multi, c->easy) != CURLM_OK) {
        http_call_finish(c, CURLE_OUT_OF_MEMORY);
        return;
    }
    TAILQ_REMOVE(&g->pending, c, link);
    TAILQ_INSERT_TAIL(&g->active, c, link);
    c->state = CALL_ACTIVE;
}

/* ---- ending -------------------------------------------------------------------------------------------------------
 */

static void
count(struct http_call *c)
{
    struct http_stats *s = &c->engine->stats;
    struct http_traffic t = http_outcome_traffic(c);
    long connections = 0;
    curl_easy_getinfo(c->easy, CURLINFO_NUM_CONNECTS, &connections);
    s->bytes_sent += t.sent;
    s->bytes_received += t.received;
    s->connections += (uint64_t)connections;
}

static void
recycle(struct http_call *c)
{
    if (c->body.capacity > KEEP_BYTES)
        buf_clean_up(&c->body);
    http_engine_recycle(c->engine, c);
}

/* Takes the call out of curl and its list. */
static void
withdraw(struct http_call *c)
{
    struct http_engine *g = c->engine;
    timers_cancel(&g->timers, &c->timer);
    if (c->state == CALL_PENDING) {
        TAILQ_REMOVE(&g->pending, c, link);
    } else {
        count(c);
        curl_multi_remove_handle(g->multi, c->easy);
        TAILQ_REMOVE(&g->active, c, link);
    }
    g->stats.in_flight--;
}

static void
call_back(struct http_call *c, struct http_response *r)
{
    int64_t now_ms = clock_monotonic_ms();
    r->elapsed_ms = now_ms - c->submitted_at_ms;
    r->age_ms = c->answered_ms > 0 ? now_ms - c->answered_ms : 0;
    r->call = c;
    withdraw(c);
    c->state = CALL_DELIVERING;
    c->done(c->context, r);
    recycle(c);
}

/* The peer ended a kept connection when the request came. libcurl sends it again by itself, but counts how often over
 * all the calls of a handle, and each sixth time it gives up (and counts anew). */
static bool
was_lost_on_kept_connection(const struct http_call *c, CURLcode result)
{
    long connections = 0;
    curl_easy_getinfo(c->easy, CURLINFO_NUM_CONNECTS, &connections);
    return (result == CURLE_RECV_ERROR || result == CURLE_SEND_ERROR || result == CURLE_GOT_NOTHING) &&
           connections == 0 && c->header_bytes == 0 && c->body.len == 0 && c->state == CALL_ACTIVE && !c->resent;
}

static bool
send_again(struct http_call *c)
{
    struct http_engine *g = c->engine;
    count(c);
    c->resent = true;
    c->request_body_sent = 0;
    c->moved = 0;
    c->text[0] = '\0';
    curl_multi_remove_handle(g->multi, c->easy);
    return curl_multi_add_handle(g->multi, c->easy) == CURLM_OK;
}

void
http_call_finish(struct http_call *c, CURLcode result)
{
    struct http_response r = {0};
    if (was_lost_on_kept_connection(c, result) && send_again(c))
        return;
    http_outcome_of(c, result, &r);
    http_known_note(c, result);
    call_back(c, &r);
}

static void
look_after(struct timer *t, int64_t now_ms)
{
    struct http_call *c = (struct http_call *)((char *)t - offsetof(struct http_call, timer));
    struct http_response r = {0};
    struct http_traffic traffic = http_outcome_traffic(c);
    if (traffic.sent + traffic.received != c->moved) {
        c->moved = traffic.sent + traffic.received;
        c->moved_at_ms = now_ms;
    }
    if (now_ms >= c->deadline_ms) {
        http_known_note_timeout(c);
        http_outcome_timeout(c, "no complete answer within", c->timeout_ms, &r);
    } else if (c->stall_timeout_ms > 0 && now_ms - c->moved_at_ms >= c->stall_timeout_ms) {
        http_outcome_timeout(c, "no byte came or went for", c->stall_timeout_ms, &r);
    } else if (set_timer(c, now_ms) < 0) {
        http_outcome_of(c, CURLE_OUT_OF_MEMORY, &r);
    } else {
        return;
    }
    call_back(c, &r);
}

void
http_cancel(struct http_call *c)
{
    assert(c->state != CALL_POOLED);
    if (c->state == CALL_DELIVERING)
        return;
    if (c->engine->inside_curl && c->state != CALL_PENDING) {
        c->state = CALL_CANCELLED;
        c->engine->any_cancelled = true;
        return;
    }
    withdraw(c);
    recycle(c);
}
