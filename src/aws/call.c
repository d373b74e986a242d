#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "aws/error.h"
#include "aws/internal.h"
#include "base/clock.h"

#define POOL_MAX 64
#define SKEW_MS  (4 * 60 * 1000) /* services tolerate 5 minutes: less is no reason to correct the clock */

/* ---- making and freeing -------------------------------------------------------------------------------------------
 */

static void timer_fired(struct timer *t, int64_t now_ms);

struct aws_call *
aws_call_take_pooled(struct aws_client *c)
{
    struct aws_call *q = TAILQ_FIRST(&c->pool);
    if (q) {
        TAILQ_REMOVE(&c->pool, q, link);
        c->n_pooled--;
    }
    return q;
}

void
aws_call_free(struct aws_call *q)
{
    creds_release(q->creds);
    creds_release(q->refused);
    arena_clean_up(&q->arena);
    free(q);
}

static void
recycle(struct aws_call *q)
{
    struct aws_client *c = q->client;
    if (c->n_pooled >= POOL_MAX) {
        aws_call_free(q);
        return;
    }
    creds_release(q->creds);
    creds_release(q->refused);
    q->creds = q->refused = NULL;
    arena_reset(&q->arena);
    TAILQ_INSERT_HEAD(&c->pool, q, link);
    c->n_pooled++;
}

/* ---- ending -------------------------------------------------------------------------------------------------------
 */

static void
end(struct aws_call *q, const struct aws_error *error, const struct http_response *r)
{
    struct aws_client *c = q->client;
    bool has_answer = r && r->error.code == 0;
    struct aws_response response = {.error = error,
                                    .status = has_answer ? r->status
                                              : error    ? error->status
                                                         : 0,
                                    .body = has_answer ? r->body : slice_of(NULL, 0),
                                    .attempts = q->attempts,
                                    .http = has_answer ? r : NULL};
    if (error)
        c->stats.failed++;
    TAILQ_REMOVE(&c->calls, q, link);
    q->state = CALL_DELIVERING;
    q->done(q->context, &response);
    recycle(q);
}

/* Sets the call's timer; without memory for it the call ends as it is, or aws_submit fails. */
static void
set_timer(struct aws_call *q, enum call_state state, int64_t wait_ms)
{
    q->state = state;
    if (timers_set(http_engine_timers(q->client->engine), &q->timer, clock_monotonic_ms() + wait_ms) == 0)
        return;
    if (q->submitting)
        q->unstarted = true;
    else
        end(q, &q->error, NULL);
}

/* Fails with q->error in the next turn of the loop: the caller may still be inside aws_submit. */
static void
fail_later(struct aws_call *q)
{
    q->error.maybe_executed = q->maybe_executed;
    set_timer(q, CALL_ENDING, 0);
}

static void
fail_locally(struct aws_call *q, const char *code, const struct err *e)
{
    aws_error_local(q->operation, code, e, &q->error);
    fail_later(q);
}

/* ---- sending ------------------------------------------------------------------------------------------------------
 */

static void answered(void *context, const struct http_response *r);

static int
pass_data(void *context, struct slice piece)
{
    struct aws_call *q = context;
    q->data_came = true;
    return q->on_data(q->context, piece);
}

/* Hands the present attempt to the engine. */
static int
send_attempt(struct aws_call *q, struct err *e)
{
    struct aws_client *c = q->client;
    size_t n;
    int r = aws_call_sign(q, &n, e);
    if (r < 0)
        return r;
    struct http_request request = {.method = q->method,
                                   .url = q->url,
                                   .headers = q->headers,
                                   .n_headers = n,
                                   .body = q->body,
                                   .timeout_ms = q->timeout_ms,
                                   .stall_timeout_ms = q->stall_timeout_ms,
                                   .max_response_bytes = q->max_response_bytes,
                                   .on_data = q->on_data ? pass_data : NULL,
                                   .context = q};
    r = http_submit(c->engine, &request, answered, &q->http, e);
    if (r < 0)
        return r;
    q->state = CALL_SENT;
    c->stats.attempts++;
    return 0;
}

static bool
same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static void
got_credentials(void *context, struct creds *creds, const struct err *error)
{
    struct aws_call *q = context;
    struct err e;
    if (q->abandoned) {
        aws_call_free(q);
        return;
    }
    if (error && !q->refused) {
        e = *error;
        e.code = e.code == ERR_NOT_FOUND ? ERR_DENIED : e.code; /* it is not the queue that is missing */
        fail_locally(q, "credentials", &e);
        return;
    }
    if (q->refused && (error || (same(creds->access_key_id, q->refused->access_key_id) &&
                                 same(creds->secret_access_key, q->refused->secret_access_key) &&
                                 same(creds->session_token, q->refused->session_token)))) {
        fail_later(q); /* with the refusal: there are no others to try */
        return;
    }
    creds_release(q->creds);
    q->creds = creds_hold(creds);
    if (send_attempt(q, &e) < 0)
        fail_locally(q, "internal", &e);
}

static void
start_attempt(struct aws_call *q)
{
    q->state = CALL_ASKING;
    q->client->credentials->get(q->client->credentials, got_credentials, q);
}

/* ---- what came back -----------------------------------------------------------------------------------------------
 */

static bool
is_one_of(const char *code, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(code, *list) == 0)
            return true;
    return false;
}

/* True when the answer says that our clock is wrong, its Date says so too, and that was not tried yet. */
static bool
correct_clock(struct aws_call *q, const struct http_response *r)
{
    static const char *const codes[] = {"RequestTimeTooSkewed",
                                        "RequestExpired",
                                        "RequestInTheFuture",
                                        "InvalidSignatureException",
                                        "SignatureDoesNotMatch",
                                        "AuthFailure",
                                        NULL};
    struct aws_client *c = q->client;
    int64_t theirs_ms;
    if (q->clock_corrected || r->error.code != 0 || !is_one_of(q->error.code, codes))
        return false;
    struct slice date = http_response_header(r, "date");
    if (clock_parse_http_date(date.p, date.n, &theirs_ms, NULL) < 0)
        return false;
    int64_t offset_ms = theirs_ms - clock_wall_ms(), change_ms = offset_ms - q->clock_offset_ms;
    if (change_ms > -SKEW_MS && change_ms < SKEW_MS)
        return false;
    c->clock_offset_ms = offset_ms;
    c->stats.clock_corrections++;
    q->clock_corrected = true;
    return true;
}

static bool
credentials_refused(const struct aws_call *q)
{
    static const char *const codes[] = {
        "ExpiredToken", "ExpiredTokenException",       "InvalidClientTokenId", "InvalidAccessKeyId",
        "InvalidToken", "UnrecognizedClientException", "TokenRefreshRequired", NULL};
    return !q->creds_renewed && is_one_of(q->error.code, codes);
}

/* x-amz-retry-after, in milliseconds; -1: none. */
static int64_t
retry_after_ms(const struct http_response *r)
{
    struct slice value = http_response_header(r, "x-amz-retry-after");
    char text[16];
    if (r->error.code != 0 || value.n == 0 || value.n >= sizeof text)
        return -1;
    snprintf(text, sizeof text, "%.*s", SLICE_ARG(value));
    return text[strspn(text, "0123456789")] == '\0' ? strtoll(text, NULL, 10) : -1;
}

static enum retry_kind
kind_of(const struct aws_call *q, const struct http_response *r)
{
    if (q->data_came)
        return RETRY_NEVER;
    if (r->error.code != 0)
        return r->error.retryable ? RETRY_TRANSIENT : RETRY_NEVER;
    return retry_classify(r->status, q->error.code);
}

static void
failed(struct aws_call *q, const struct http_response *r)
{
    struct aws_client *c = q->client;
    aws_error_from_response(q->operation, r, &q->error);
    q->maybe_executed = q->maybe_executed || q->error.maybe_executed;
    q->error.maybe_executed = q->maybe_executed;
    if (q->error.throttled)
        c->stats.throttled++;
    if (!q->data_came && correct_clock(q, r)) {
        start_attempt(q);
        return;
    }
    if (!q->data_came && credentials_refused(q)) {
        q->creds_renewed = true;
        q->refused = creds_hold(q->creds);
        creds_provider_invalidate(c->credentials, q->creds);
        start_attempt(q);
        return;
    }
    struct retry_decision d = retry_next(&c->bucket, kind_of(q, r), q->attempts, q->max_attempts, retry_after_ms(r));
    if (d.verdict == RETRY_AGAIN) {
        q->last_cost = d.cost;
        c->stats.retries++;
        set_timer(q, CALL_WAITING, d.wait_ms);
    } else if (d.verdict == RETRY_EXHAUSTED && q->long_poll) {
        set_timer(q, CALL_ENDING, d.wait_ms);
    } else {
        end(q, &q->error, r);
    }
}

static void
answered(void *context, const struct http_response *r)
{
    struct aws_call *q = context;
    q->http = NULL;
    if (r->error.code != 0 || r->status / 100 != 2) {
        failed(q, r);
        return;
    }
    retry_succeeded(&q->client->bucket, q->last_cost);
    end(q, NULL, r);
}

static void
timer_fired(struct timer *t, int64_t now_ms)
{
    (void)now_ms;
    struct aws_call *q = (struct aws_call *)((char *)t - offsetof(struct aws_call, timer));
    if (q->state == CALL_ENDING) {
        end(q, &q->error, NULL);
        return;
    }
    q->attempts++;
    start_attempt(q);
}

/* ---- a request ----------------------------------------------------------------------------------------------------
 */

int
aws_submit(struct aws_client *c, const struct aws_request *request, aws_done_fn *done, void *context,
           struct aws_call **ret_call, struct err *e)
{
    struct aws_call *q = aws_call_take_pooled(c);
    struct arena arena;
    if (q) {
        arena = q->arena;
    } else {
        arena_init(&arena, 0);
        q = malloc(sizeof *q);
        if (!q)
            return err_no_memory(e);
    }
    *q = (struct aws_call){.client = c, .done = done, .context = context, .arena = arena, .attempts = 1};
    q->timer.fire = timer_fired;
    int r = aws_call_prepare(q, request, e);
    if (r < 0) {
        recycle(q);
        return r;
    }
    TAILQ_INSERT_TAIL(&c->calls, q, link);
    q->submitting = true;
    start_attempt(q);
    q->submitting = false;
    if (q->unstarted) {
        TAILQ_REMOVE(&c->calls, q, link);
        recycle(q);
        return err_no_memory(e);
    }
    c->stats.calls++;
    if (ret_call)
        *ret_call = q;
    return 0;
}

void
aws_cancel(struct aws_call *q)
{
    struct aws_client *c = q->client;
    if (q->state == CALL_DELIVERING)
        return;
    TAILQ_REMOVE(&c->calls, q, link);
    timers_cancel(http_engine_timers(c->engine), &q->timer);
    if (q->drop)
        q->drop(q->context);
    if (q->state == CALL_ASKING) {
        q->abandoned = true;
        return;
    }
    if (q->state == CALL_SENT)
        http_cancel(q->http);
    recycle(q);
}
