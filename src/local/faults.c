#include "local/faults.h"

#include <cjson/cJSON.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

#define MAX_RULES 1000

static const char *const KINDS[] = {
    [LOCAL_FAULT_ERROR] = "error",
    [LOCAL_FAULT_DELAY] = "delay",
    [LOCAL_FAULT_DROP_BEFORE] = "drop_before",
    [LOCAL_FAULT_DROP_AFTER] = "drop_after",
    [LOCAL_FAULT_DUPLICATE] = "duplicate",
    [LOCAL_FAULT_PARTIAL] = "partial",
};
#define N_KINDS (sizeof KINDS / sizeof *KINDS)

struct rule {
    char action[128];
    struct local_fault fault;
    int64_t count, struck;
    double percent;
    uint64_t random; /* xorshift64* state, never 0 */
    struct rule *next;
};

struct local_faults {
    atomic_bool any;
    pthread_mutex_t lock;
    struct rule *first, **end;
    size_t n;
};

int
local_faults_new(struct local_faults **ret_faults, struct err *e)
{
    struct local_faults *f = calloc(1, sizeof *f);
    if (!f)
        return err_no_memory(e);
    pthread_mutex_init(&f->lock, NULL);
    f->end = &f->first;
    *ret_faults = f;
    return 0;
}

void
local_faults_destroy(struct local_faults *f)
{
    if (!f)
        return;
    local_faults_clear(f);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

void
local_faults_clear(struct local_faults *f)
{
    pthread_mutex_lock(&f->lock);
    struct rule *r = f->first, *next;
    f->first = NULL;
    f->end = &f->first;
    f->n = 0;
    atomic_store(&f->any, false);
    pthread_mutex_unlock(&f->lock);
    for (; r; r = next) {
        next = r->next;
        free(r);
    }
}

/* ---- reading a rule ---------------------------------------------------------------------------------------------- */

static int
read_text(const cJSON *object, const char *name, char *out, size_t size, struct err *e)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(object, name);
    if (!v)
        return 0;
    if (!cJSON_IsString(v) || strlen(v->valuestring) == 0 || strlen(v->valuestring) >= size)
        return err_set(e, ERR_INVALID, "%s must be a string of 1 to %zu bytes", name, size - 1);
    snprintf(out, size, "%s", v->valuestring);
    return 0;
}

static int
read_number(const cJSON *object, const char *name, double low, double high, bool whole, double *out, struct err *e)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(object, name);
    if (!v)
        return 0;
    if (!cJSON_IsNumber(v) || !(v->valuedouble >= low && v->valuedouble <= high) ||
        (whole && v->valuedouble != (double)(int64_t)v->valuedouble))
        return err_set(e, ERR_INVALID, "%s must be a %snumber from %.0f to %.0f", name, whole ? "whole " : "", low,
                       high);
    *out = v->valuedouble;
    return 0;
}

static int
read_kind(const char *text, enum local_fault_kind *ret_kind, struct err *e)
{
    for (size_t i = 0; i < N_KINDS; i++)
        if (strcmp(text, KINDS[i]) == 0) {
            *ret_kind = (enum local_fault_kind)i;
            return 0;
        }
    return err_set(e, ERR_INVALID, "kind must be error, delay, drop_before, drop_after, duplicate or partial");
}

static int
check_names(const cJSON *object, struct err *e)
{
    static const char *const KNOWN[] = {"action",   "kind",  "status", "code",    "message",
                                        "delay_ms", "every", "count",  "percent", "seed"};
    const cJSON *v;
    cJSON_ArrayForEach(v, object)
    {
        bool known = false;
        for (size_t i = 0; i < sizeof KNOWN / sizeof *KNOWN; i++)
            known |= strcmp(v->string, KNOWN[i]) == 0;
        if (!known)
            return err_set(e, ERR_INVALID, "unknown member \"%.60s\"", v->string);
    }
    return 0;
}

static int
check_action(const char *action, local_faults_has_fn *has, void *context, struct err *e)
{
    const char *colon = strchr(action, ':');
    if (strcmp(action, "*") == 0)
        return 0;
    if (!colon)
        return err_set(e, ERR_INVALID,
                       "action must be SERVICE:OPERATION, like \"sqs:SendMessage\", \"sqs:*\" or \"*\"");
    struct slice service = slice_of(action, (size_t)(colon - action)), operation = slice_of_string(colon + 1);
    if (operation.n > 0 && (!has || has(context, service, slice_equals(operation, SLICE("*")) ? SLICE("") : operation)))
        return 0;
    return err_set(e, ERR_INVALID, "action: this server has no \"%s\"", action);
}

/* A rule that could only strike calls without entries would do nothing, and say nothing. */
static int
check_partial(const struct rule *r, struct err *e)
{
    static const char *const WITH_ENTRIES[] = {"events:PutEvents", "sqs:SendMessageBatch", "sqs:DeleteMessageBatch",
                                               "sqs:ChangeMessageVisibilityBatch"};
    bool has = r->fault.kind != LOCAL_FAULT_PARTIAL;
    for (size_t i = 0; i < sizeof WITH_ENTRIES / sizeof *WITH_ENTRIES; i++)
        has |= strcmp(r->action, WITH_ENTRIES[i]) == 0;
    return has ? 0
               : err_set(e, ERR_INVALID,
                         "kind partial is for events:PutEvents, sqs:SendMessageBatch, sqs:DeleteMessageBatch and "
                         "sqs:ChangeMessageVisibilityBatch");
}

static int
read_rule(const cJSON *object, struct rule *r, local_faults_has_fn *has, void *context, struct err *e)
{
    char kind[32] = "";
    double status = 500, delay_ms = 0, every = 2, count = 1, percent = 100, seed = 1;
    snprintf(r->fault.code, sizeof r->fault.code, "InternalFailure");
    snprintf(r->fault.message, sizeof r->fault.message, "A fault was injected.");
    if (!cJSON_IsObject(object))
        return err_set(e, ERR_INVALID,
                       "a fault rule is a JSON object, like {\"action\": \"sqs:*\", \"kind\": \"error\"}");
    int code = check_names(object, e);
    if (!code)
        code = read_text(object, "action", r->action, sizeof r->action, e);
    if (!code)
        code = read_text(object, "kind", kind, sizeof kind, e);
    if (!code)
        code = read_text(object, "code", r->fault.code, sizeof r->fault.code, e);
    if (!code)
        code = read_text(object, "message", r->fault.message, sizeof r->fault.message, e);
    if (!code)
        code = read_number(object, "status", 400, 599, true, &status, e);
    if (!code)
        code = read_number(object, "delay_ms", 0, 600000, true, &delay_ms, e);
    if (!code)
        code = read_number(object, "every", 1, 10, true, &every, e);
    if (!code)
        code = read_number(object, "count", 0, 1e15, true, &count, e);
    if (!code)
        code = read_number(object, "percent", 0, 100, false, &percent, e);
    if (!code)
        code = read_number(object, "seed", 1, 9007199254740991.0, true, &seed, e);
    if (!code)
        code = read_kind(kind, &r->fault.kind, e);
    if (!code)
        code = check_action(r->action, has, context, e);
    if (!code)
        code = check_partial(r, e);
    r->fault.status = (int)status;
    r->fault.delay_ms = (int64_t)delay_ms;
    r->fault.every = (unsigned)every;
    r->count = (int64_t)count;
    r->percent = percent;
    r->random = (uint64_t)seed * UINT64_C(0x9E3779B97F4A7C15);
    return code;
}

int
local_faults_add(struct local_faults *f, struct slice json, local_faults_has_fn *has, void *context, struct err *e)
{
    struct rule *r = calloc(1, sizeof *r);
    if (!r)
        return err_no_memory(e);
    cJSON *object = json.n > 0 ? cJSON_ParseWithLength(json.p, json.n) : NULL;
    int code = object ? read_rule(object, r, has, context, e) : err_set(e, ERR_INVALID, "the body is no JSON");
    cJSON_Delete(object);
    if (code) {
        free(r);
        return code;
    }
    pthread_mutex_lock(&f->lock);
    bool room = f->n < MAX_RULES;
    if (room) {
        *f->end = r;
        f->end = &r->next;
        f->n++;
        atomic_store(&f->any, true);
    }
    pthread_mutex_unlock(&f->lock);
    if (room)
        return 0;
    free(r);
    return err_set(e, ERR_LIMIT, "there are %d fault rules already; DELETE /_fanout/faults forgets them", MAX_RULES);
}

void
local_faults_describe(struct local_faults *f, struct buf *out)
{
    buf_add_string(out, "{\"rules\":[");
    pthread_mutex_lock(&f->lock);
    for (const struct rule *r = f->first; r; r = r->next) {
        buf_add_string(out, r == f->first ? "{\"action\":" : ",{\"action\":");
        json_write_string(out, slice_of_string(r->action));
        buf_add_format(out, ",\"kind\":\"%s\",\"status\":%d,\"code\":", KINDS[r->fault.kind], r->fault.status);
        json_write_string(out, slice_of_string(r->fault.code));
        buf_add_string(out, ",\"message\":");
        json_write_string(out, slice_of_string(r->fault.message));
        buf_add_format(out, ",\"delay_ms\":%lld,\"every\":%u,\"count\":%lld,\"percent\":%g,\"struck\":%lld}",
                       (long long)r->fault.delay_ms, r->fault.every, (long long)r->count, r->percent,
                       (long long)r->struck);
    }
    pthread_mutex_unlock(&f->lock);
    buf_add_string(out, "]}\n");
}

/* ---- drawing ----------------------------------------------------------------------------------------------------- */

static bool
covers(const struct rule *r, const char *service, struct slice operation)
{
    size_t n = strlen(service);
    if (strcmp(r->action, "*") == 0)
        return true;
    if (strncmp(r->action, service, n) != 0 || r->action[n] != ':')
        return false;
    return strcmp(r->action + n + 1, "*") == 0 || slice_equals_string(operation, r->action + n + 1);
}

/* One draw for each request that a rule covers, so that which of them are struck depends on the seed alone. */
static bool
strikes(struct rule *r)
{
    uint64_t x = r->random;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    r->random = x;
    double part = (double)((x * UINT64_C(0x2545F4914F6CDD1D)) >> 11) / 9007199254740992.0;
    return part * 100 < r->percent;
}

bool
local_faults_draw(struct local_faults *f, const char *service, struct slice operation, struct local_fault *ret)
{
    bool struck = false;
    if (!atomic_load_explicit(&f->any, memory_order_relaxed))
        return false;
    pthread_mutex_lock(&f->lock);
    for (struct rule *r = f->first; r && !struck; r = r->next) {
        if ((r->count > 0 && r->struck >= r->count) || !covers(r, service, operation) || !strikes(r))
            continue;
        r->struck++;
        *ret = r->fault;
        struck = true;
    }
    pthread_mutex_unlock(&f->lock);
    return struck;
}
