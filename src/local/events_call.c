/* A call of any operation but PutEvents, from the request's text to the answer. */
#include <stdarg.h>
#include <string.h>

#include "base/digest.h"
#include "local/events_impl.h"

#define JSON_TYPE "application/x-amz-json-1.1"

const struct events_operation *
local_events_find_operation(struct slice name)
{
    const struct events_operation *const lists[] = {EVENTS_RULE_OPERATIONS, EVENTS_TARGET_OPERATIONS};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        for (const struct events_operation *o = lists[i]; o->name; o++)
            if (slice_equals_string(name, o->name))
                return o;
    return NULL;
}

/* ---- answers ------------------------------------------------------------------------------------------------------
 */

bool
local_events_take(struct events_violations *v, struct local_call *call)
{
    struct buf message = BUF_INIT;
    bool valid = local_events_is_valid(v);
    if (!valid)
        local_events_write_violations(v, &message);
    if (v->no_memory || buf_failed(&message))
        local_events_refuse(call, 500, "InternalException", "Out of memory.");
    else if (!valid)
        local_events_refuse(call, 400, v->n_wrong_types > 0 ? "SerializationException" : "ValidationException",
                            message.data);
    valid = valid && !buf_failed(&message);
    buf_clean_up(&message);
    local_events_violations_clean_up(v);
    return valid;
}

int
local_events_reject(struct events_request *r, const char *code, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    buf_add_format_va(&r->message, format, ap);
    va_end(ap);
    r->code = code;
    return 0;
}

static void
answer(struct events_request *r)
{
    const struct httpd_answer ok = {.status = 200, .content_type = JSON_TYPE, .body = buf_slice(&r->answer)};
    if (r->code)
        local_events_refuse(r->call, 400, r->code, r->message.data ? r->message.data : "");
    else if (buf_failed(&r->answer))
        local_events_refuse(r->call, 500, "InternalException", "Out of memory.");
    else
        local_answer(r->call, &ok);
}

void
local_events_add_text(struct buf *out, const char *name, struct slice text)
{
    if (text.n == 0)
        return;
    bool is_first = out->len == 0 || out->data[out->len - 1] == '{';
    buf_add_format(out, "%s\"%s\":", is_first ? "" : ",", name);
    json_write_string(out, text);
}

/* ---- the job ------------------------------------------------------------------------------------------------------
 */

static int
run(struct store_tx *tx, struct store_job *job)
{
    struct events_request *r = (struct events_request *)job;
    buf_reset(&r->answer);
    buf_reset(&r->message);
    r->code = NULL;
    return r->operation->run(tx, r);
}

/* The request lies in the call's arena, which is gone with the answer. */
static void
finish(struct store_job *job, const struct err *error)
{
    struct events_request *r = (struct events_request *)job;
    struct buf result = r->answer, message = r->message;
    if (error)
        local_answer_failure(r->call, error);
    else
        answer(r);
    buf_clean_up(&result);
    buf_clean_up(&message);
}

/* The rule that a request names, for the log of requests. */
static struct slice
resource_of(struct events_request *r)
{
    struct slice name = {0};
    if (local_events_read_text(&r->call->arena, r->body, "Rule", &name, NULL) != 0 || name.n == 0)
        (void)local_events_read_text(&r->call->arena, r->body, "Name", &name, NULL);
    return name;
}

void
local_events_serve(struct local_events *s, struct local_call *call, const struct events_operation *operation)
{
    struct events_request *r = arena_zalloc(&call->arena, sizeof *r);
    struct events_violations v = {0};
    struct err e = {0};
    if (!r) {
        local_events_refuse(call, 500, "InternalException", "Out of memory.");
        return;
    }
    *r = (struct events_request){
        .job = {.run = run, .finish = finish}, .operation = operation, .events = s, .call = call};
    if (json_parse(httpd_body(call->http), &r->body, &e) != 0) {
        local_events_refuse(call, 400, "SerializationException", e.text);
        return;
    }
    local_events_check_shape(&v, operation->shape, r->body);
    if (!local_events_take(&v, call))
        return;
    call->resource = resource_of(r);
    if (!operation->without_store) {
        store_submit(local_store(s->local), &r->job);
        return;
    }
    if (run(NULL, &r->job) == 0)
        finish(&r->job, NULL);
    else
        finish(&r->job, (err_no_memory(&e), &e));
}

/* ---- reading the request ------------------------------------------------------------------------------------------
 */

int
local_events_text(struct store_tx *tx, struct events_request *r, struct json object, const char *name,
                  struct slice *ret)
{
    struct err e = {0};
    int rc = local_events_read_text(&r->call->arena, object, name, ret, &e);
    return rc == 0 || !tx ? rc : store_fail(tx, (enum err_code)rc, "%s", e.text);
}

int
local_events_find_bus(struct store_tx *tx, struct events_request *r, struct slice *ret_bus)
{
    struct slice bus;
    int rc = local_events_text(tx, r, r->body, "EventBusName", &bus);
    if (rc != 0)
        return rc;
    bus = local_events_bus_name(bus);
    if (!local_events_bus(r->events, bus)) {
        local_events_reject(r, "ResourceNotFoundException", "Event bus %.*s does not exist.", SLICE_ARG(bus));
        return 1;
    }
    *ret_bus = bus;
    return 0;
}

int
local_events_find_rule(struct store_tx *tx, struct events_request *r, const char *name, struct slice *ret_bus,
                       struct slice *ret_rule)
{
    int rc = local_events_find_bus(tx, r, ret_bus);
    if (rc == 0)
        rc = local_events_text(tx, r, r->body, name, ret_rule);
    if (rc != 0)
        return rc;
    sqlite3_stmt *q =
        local_events_prepare(tx, "SELECT 1 FROM events_rules WHERE bus = ?1 AND name = ?2", *ret_bus, *ret_rule);
    if ((rc = store_step(tx, q)) < 0)
        return rc;
    if (rc == 1) {
        store_reset(q);
        return 0;
    }
    local_events_reject(r, "ResourceNotFoundException", "Rule %.*s does not exist on EventBus %.*s.",
                        SLICE_ARG(*ret_rule), SLICE_ARG(*ret_bus));
    return 1;
}

/* ---- tables -------------------------------------------------------------------------------------------------------
 */

sqlite3_stmt *
local_events_prepare(struct store_tx *tx, const char *sql, struct slice bus, struct slice rule)
{
    sqlite3_stmt *q = store_prepare(tx, sql);
    if (q) {
        store_bind_text(q, 1, bus);
        store_bind_text(q, 2, rule);
    }
    return q;
}

/* ---- pages --------------------------------------------------------------------------------------------------------
 */

#define PAGE_ENTRIES 100

/* A token is the last name of the page before, in base64: opaque enough, and good across restarts. */
int
local_events_read_page(struct store_tx *tx, struct events_request *r, struct events_page *ret_page)
{
    struct events_page page = {.limit = PAGE_ENTRIES};
    struct slice token;
    struct json limit;
    struct buf after = BUF_INIT;
    int rc = local_events_text(tx, r, r->body, "NextToken", &token);
    if (rc != 0)
        return rc;
    if (local_events_get(r->body, "Limit", &limit))
        json_int64(limit, &page.limit);
    if (token.p && digest_base64_decode(&after, token) && EVENTS_FORM_NAME.matches(buf_slice(&after)))
        page.after = slice_of(arena_strndup(&r->call->arena, after.data, after.len), after.len);
    buf_clean_up(&after);
    if (token.p && !page.after.p) {
        local_events_reject(r, "ValidationException", "Parameter NextToken is not valid.");
        return 1;
    }
    *ret_page = page;
    return 0;
}

int
local_events_write_page(struct store_tx *tx, struct events_request *r, const struct events_page *page, sqlite3_stmt *q,
                        const char *list, events_add_fn *add)
{
    struct slice last = {0};
    int64_t n = 0;
    int rc;
    buf_add_format(&r->answer, "{\"%s\":[", list);
    while ((rc = store_step(tx, q)) == 1 && n < page->limit) {
        struct slice name = store_column(q, 0);
        if (++n == page->limit)
            last = slice_of(arena_strdup_slice(&r->call->arena, name), name.n);
        buf_add_string(&r->answer, n > 1 ? "," : "");
        if ((rc = add(tx, r, q)) != 0) {
            store_reset(q);
            return rc;
        }
    }
    if (rc < 0)
        return rc;
    buf_add_char(&r->answer, ']');
    if (rc == 1) {
        struct buf token = BUF_INIT;
        store_reset(q);
        digest_base64_encode(&token, last.p, last.n);
        local_events_add_text(&r->answer, "NextToken", buf_slice(&token));
        buf_clean_up(&token);
    }
    buf_add_char(&r->answer, '}');
    return 0;
}
