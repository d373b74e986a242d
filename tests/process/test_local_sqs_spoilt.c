/* The requests of SQS's operations, spoilt one member at a time as the service's model says they can be, in both
 * protocols: each member left out, null, of every wrong type, empty, huge, at its bounds and beyond them, beside
 * members nobody knows. The answer is AWS's, or one of AWS's errors: never the server's own, and never none. The model
 * is read from ../shared, so that what the server holds of it has a witness. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/shared_json.h"
#include "lib/skip.h"
#include "lib/spoil.h"
#include "lib/sqs_requests.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HUGE_BYTES (1 << 16) /* the test client is looked at as well, byte by byte */
#else
#define HUGE_BYTES (1 << 20)
#endif
#define MAX_ASKED 8000

/* What may be, of members the model has no bounds for. Beyond, the answer is a 4xx, or a failed entry. */
static const struct bound {
    const char *operation, *path;
    long low, high;
    bool as_text; /* an attribute's value is a string */
} BOUNDS[] = {
    {"ReceiveMessage", "MaxNumberOfMessages", 1, 10, false},
    {"ReceiveMessage", "WaitTimeSeconds", 0, 20, false},
    {"ReceiveMessage", "VisibilityTimeout", 0, 43200, false},
    {"SendMessage", "DelaySeconds", 0, 900, false},
    {"SendMessageBatch", "Entries.DelaySeconds", 0, 900, false},
    {"ListQueues", "MaxResults", 1, 1000, false},
    {"ListDeadLetterSourceQueues", "MaxResults", 1, 1000, false},
    {"ListMessageMoveTasks", "MaxResults", 1, 10, false},
    {"CreateQueue", "Attributes.DelaySeconds", 0, 900, true},
    {"CreateQueue", "Attributes.MaximumMessageSize", 1024, 1048576, true},
    {"CreateQueue", "Attributes.MessageRetentionPeriod", 60, 1209600, true},
    {"CreateQueue", "Attributes.ReceiveMessageWaitTimeSeconds", 0, 20, true},
    {"CreateQueue", "Attributes.VisibilityTimeout", 0, 43200, true},
    {"CreateQueue", "Attributes.KmsDataKeyReusePeriodSeconds", 60, 86400, true},
    {"SetQueueAttributes", "Attributes.DelaySeconds", 0, 900, true},
    {"StartMessageMoveTask", "MaxNumberOfMessagesPerSecond", 1, 500, false},
};

/* How long texts may be. */
static const struct length {
    const char *operation, *path;
    size_t max;
} LENGTHS[] = {
    {"SendMessage", "MessageGroupId", 128},
    {"SendMessageBatch", "Entries.MessageGroupId", 128},
    {"SendMessageBatch", "Entries.Id", 80},
    {"DeleteMessageBatch", "Entries.Id", 80},
    {"CreateQueue", "QueueName", 80},
    {"AddPermission", "Label", 80},
    {"TagQueue", "Tags.k", 256},
    {"ChangeMessageVisibilityBatch", "Entries.Id", 80},
    {"CreateQueue", "tags.k", 256},
    {"SendMessage", "MessageDeduplicationId", 128},
    {"SendMessageBatch", "Entries.MessageDeduplicationId", 128},
    {"ReceiveMessage", "ReceiveRequestAttemptId", 128},
};

/* What a request was answered. */
struct asked {
    uint64_t request; /* a hash of it */
    char code[100];
};

/* How many a list may hold. */
static const struct length COUNTS[] = {
    {"AddPermission", "Actions", 7},
    {"AddPermission", "AWSAccountIds", 50},
};

struct fixture {
    struct sqs_requests r;
    cJSON *model, *shapes, *visited;
    char *huge;          /* a JSON string */
    struct asked *asked; /* in JSON */
    size_t n_asked, n_compared;
};

/* ---- asking ------------------------------------------------------------------------------------------------------ */

static uint64_t
hash(const char *operation, const char *json)
{
    uint64_t h = UINT64_C(14695981039346656037); /* FNV-1a */
    for (; *operation; operation++)
        h = (h ^ (unsigned char)*operation) * UINT64_C(1099511628211);
    for (; *json; json++)
        h = (h ^ (unsigned char)*json) * UINT64_C(1099511628211);
    return h;
}

/* A form says what JSON says, but for types, for nulls and for lists and maps with nothing in them. */
static bool
may_differ(const char *json, const char *code, const char *form_code)
{
    return strcmp(code, "MalformedInput") == 0 || strcmp(form_code, "MalformedInput") == 0 || strstr(json, "null") ||
           strstr(json, "[]") || strstr(json, "{}");
}

/* Both protocols answer the same request with the same code. */
static void
compare_protocols(struct fixture *f, const char *json)
{
    uint64_t h = hash(f->r.request->operation, json);
    if (f->r.protocol == SQS_JSON) {
        assert_true(f->n_asked < MAX_ASKED);
        f->asked[f->n_asked].request = h;
        snprintf(f->asked[f->n_asked++].code, sizeof f->asked->code, "%s", f->r.error.code);
        return;
    }
    for (size_t i = 0; i < f->n_asked; i++)
        if (f->asked[i].request == h) {
            f->n_compared++;
            if (strcmp(f->asked[i].code, f->r.error.code) != 0 && !may_differ(json, f->asked[i].code, f->r.error.code))
                fail_msg("%s %.500s: \"%s\" in JSON, in a form \"%s\": %s", f->r.request->operation, json,
                         f->asked[i].code, f->r.error.code, f->r.error.message);
            return;
        }
}

/* Sends the request as it is now. */
static int
ask(struct fixture *f)
{
    int status = sqs_requests_ask(&f->r);
    char *json = cJSON_PrintUnformatted(f->r.tree);
    compare_protocols(f, json);
    free(json);
    return status;
}

static void
assert_good(struct fixture *f, const char *why)
{
    if (sqs_request_is_refused(f->r.request) ? ask(f) == 200 : ask(f) != 200 || sqs_requests_has_failed_entry(&f->r)) {
        char *json = cJSON_PrintUnformatted(f->r.tree);
        fail_msg("%s %.500s (%s): %d %s: %s", f->r.request->operation, json, why, f->r.error.status, f->r.error.code,
                 f->r.error.message);
    }
}

static void
assert_refused(struct fixture *f, const char *why)
{
    if (ask(f) == 200 && !sqs_requests_has_failed_entry(&f->r)) {
        char *json = cJSON_PrintUnformatted(f->r.tree);
        fail_msg("%s %.500s (%s) was accepted", f->r.request->operation, json, why);
    }
}

/* JSON alone has types. */
static void
assert_wrong_type(struct fixture *f, const struct spoil_place *p, const char *value)
{
    ask(f);
    if (f->r.protocol == SQS_JSON && strcmp(f->r.error.shape, "SerializationException") != 0)
        fail_msg("%s: %s is %s: %d %s: %s", f->r.request->operation, p->path, value, f->r.error.status, f->r.error.code,
                 f->r.error.message);
}

/* ---- spoiling ---------------------------------------------------------------------------------------------------- */

static const char *const NUMBERS[] = {
    "0", "-1", "1.5", "1e400", "-1e400", "9223372036854775808", "2147483648", "1e0", "-0.0", "-9223372036854775809"};
static const char *const TEXTS[] = {"\"\"",          "\" \"",        "\"x\"",        "\"\\u0000\"",
                                    "\"a\\u0000b\"", "\"\\ud800\"",  "\"\\udc00x\"", "\"\\uffff\"",
                                    "\"\\u001b\"",   "\"%s%n&<>'\"", "\"-1\""};

static void
try_raw(struct fixture *f, struct spoil_place *p, const char *value)
{
    SPOIL_WITH(p, cJSON_CreateRaw(value), ask(f));
}

static void
spoil_type(struct fixture *f, struct spoil_place *p, const char *type)
{
    static const struct {
        const char *value, *types;
    } VALUES[] = {{"\"x\"", "string"}, {"1", "integer"}, {"true", ""},
                  {"false", ""},       {"[]", "list"},   {"{}", "map structure"}};
    for (size_t i = 0; i < sizeof VALUES / sizeof *VALUES; i++)
        if (!strstr(VALUES[i].types, type))
            SPOIL_WITH(p, cJSON_CreateRaw(VALUES[i].value), assert_wrong_type(f, p, VALUES[i].value));
    if (f->r.protocol == SQS_JSON) { /* a form is made of JSON that is well-formed */
        SPOIL_WITH(p, cJSON_CreateRaw("\"\xff\xfe\""), assert_wrong_type(f, p, "no UTF-8"));
        SPOIL_WITH(p, cJSON_CreateRaw("nonsense"), assert_wrong_type(f, p, "no JSON"));
    }
}

static void spoil(struct fixture *f, struct spoil_place *p, const char *shape_name);
static void spoil_members(struct fixture *f, cJSON *object, const char *path, const char *shape_name);

static void
spoil_list(struct fixture *f, struct spoil_place *p, const cJSON *shape)
{
    const cJSON *list = spoil_value(p);
    const cJSON *element = cJSON_GetObjectItemCaseSensitive(shape, "member");
    try_raw(f, p, "[null]");
    try_raw(f, p, "[[]]");
    try_raw(f, p, "[{}]");
    try_raw(f, p, "[\"x\", null, \"x\"]");
    if (cJSON_GetArraySize(list) == 0)
        return;
    struct spoil_place inner = {.parent = spoil_value(p)};
    snprintf(inner.path, sizeof inner.path, "%.190s[0]", p->path);
    spoil(f, &inner, shared_json_text(element, "shape"));
}

static void
spoil_map(struct fixture *f, struct spoil_place *p, const cJSON *shape)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(shape, "value");
    cJSON *map = spoil_value(p);
    char text[400];
    try_raw(f, p, "{\"x\": null}");
    try_raw(f, p, "{\"x\": {}}");
    try_raw(f, p, "{\"x\": [[]]}");
    for (size_t i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++) {
        char *first = cJSON_PrintUnformatted(map->child);
        snprintf(text, sizeof text, "{%s: %s}", TEXTS[i], first);
        try_raw(f, p, text);
        free(first);
    }
    /* spoiling moves what it puts back to the end, so the names are taken before */
    char names[16][40];
    size_t n = 0;
    for (const cJSON *item = map->child; item && n < 16; item = item->next)
        snprintf(names[n++], sizeof *names, "%s", item->string);
    for (size_t i = 0; i < n; i++) {
        struct spoil_place inner = {.parent = map, .name = names[i]};
        snprintf(inner.path, sizeof inner.path, "%.150s.%.40s", p->path, names[i]);
        spoil(f, &inner, shared_json_text(value, "shape"));
    }
}

static void
spoil(struct fixture *f, struct spoil_place *p, const char *shape_name)
{
    const cJSON *shape = cJSON_GetObjectItemCaseSensitive(f->shapes, shape_name);
    const char *type = shared_json_text(shape, "type");
    spoil_type(f, p, type);
    try_raw(f, p, "null");
    if (strcmp(type, "string") == 0 || strcmp(type, "blob") == 0) {
        for (size_t i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++)
            try_raw(f, p, TEXTS[i]);
        try_raw(f, p, f->huge);
    } else if (strcmp(type, "integer") == 0) {
        for (size_t i = 0; i < sizeof NUMBERS / sizeof *NUMBERS; i++)
            try_raw(f, p, NUMBERS[i]);
    } else if (strcmp(type, "list") == 0) {
        spoil_list(f, p, shape);
    } else if (strcmp(type, "map") == 0) {
        spoil_map(f, p, shape);
    } else {
        assert_string_equal(type, "structure");
        cJSON *value = spoil_value(p);
        spoil_members(f, value, p->path, shape_name);
    }
}

static bool
is_required(const cJSON *shape, const char *member)
{
    const cJSON *required;
    cJSON_ArrayForEach(required, cJSON_GetObjectItemCaseSensitive(shape, "required"))
    {
        if (strcmp(required->valuestring, member) == 0)
            return true;
    }
    return false;
}

static void
visit(struct fixture *f, const char *shape_name, const char *member)
{
    char name[120];
    snprintf(name, sizeof name, "%s.%s", shape_name, member);
    cJSON_DeleteItemFromObjectCaseSensitive(f->visited, name);
    cJSON_AddTrueToObject(f->visited, name);
}

static void
spoil_members(struct fixture *f, cJSON *object, const char *path, const char *shape_name)
{
    const cJSON *member, *shape = cJSON_GetObjectItemCaseSensitive(f->shapes, shape_name);
    cJSON_ArrayForEach(member, cJSON_GetObjectItemCaseSensitive(shape, "members"))
    {
        struct spoil_place p = {.parent = object, .name = member->string};
        if (!spoil_value(&p))
            continue; /* not in this request */
        visit(f, shape_name, p.name);
        snprintf(p.path, sizeof p.path, "%.120s%s%.70s", path, *path ? "." : "", p.name);
        char missing[sizeof f->r.error.code];
        SPOIL_WITH(&p, NULL, ask(f));
        snprintf(missing, sizeof missing, "%s", f->r.error.code);
        SPOIL_WITH(&p, cJSON_CreateNull(), ask(f));
        assert_string_equal(f->r.error.code, missing);
        if (is_required(shape, p.name))
            SPOIL_WITH(&p, NULL, assert_refused(f, p.path));
        spoil(f, &p, shared_json_text(member, "shape"));
    }
    cJSON_AddRawToObject(object, "NobodyKnows", "{\"a\":[1]}");
    assert_good(f, "an unknown member");
    cJSON_DeleteItemFromObjectCaseSensitive(object, "NobodyKnows");
}

/* ---- bounds ------------------------------------------------------------------------------------------------------ */

/* The place that a path names, through the first items of lists; false: it is not in this request. */
static bool
find_place(struct fixture *f, const char *path, struct spoil_place *p, char name[80])
{
    cJSON *at = f->r.tree;
    for (;; path++) {
        size_t n = strcspn(path, ".");
        if (cJSON_IsArray(at))
            at = at->child;
        snprintf(name, 80, "%.*s", (int)n, path);
        *p = (struct spoil_place){.parent = at, .name = name};
        if (!(at = spoil_value(p)))
            return false;
        path += n;
        if (!*path)
            return true;
    }
}

static cJSON *
number(long value, bool as_text)
{
    char text[30];
    snprintf(text, sizeof text, as_text ? "\"%ld\"" : "%ld", value);
    return cJSON_CreateRaw(text);
}

/* A list of n items, each like the first of list. */
static cJSON *
repeat(const cJSON *list, size_t n)
{
    cJSON *many = cJSON_CreateArray();
    for (size_t i = 0; i < n; i++)
        cJSON_AddItemToArray(many, cJSON_Duplicate(list->child, true));
    return many;
}

static void
try_bounds(struct fixture *f)
{
    struct spoil_place p;
    char name[80];
    for (size_t i = 0; i < sizeof BOUNDS / sizeof *BOUNDS; i++) {
        const struct bound *b = &BOUNDS[i];
        if (strcmp(b->operation, f->r.request->operation) != 0 || !find_place(f, b->path, &p, name))
            continue;
        SPOIL_WITH(&p, number(b->low, b->as_text), assert_good(f, b->path));
        SPOIL_WITH(&p, number(b->high, b->as_text), assert_good(f, b->path));
        SPOIL_WITH(&p, number(b->low - 1, b->as_text), assert_refused(f, b->path));
        SPOIL_WITH(&p, number(b->high + 1, b->as_text), assert_refused(f, b->path));
    }
    for (size_t i = 0; i < sizeof LENGTHS / sizeof *LENGTHS; i++) {
        const struct length *l = &LENGTHS[i];
        if (strcmp(l->operation, f->r.request->operation) != 0 || !find_place(f, l->path, &p, name))
            continue;
        SPOIL_WITH(&p, spoil_letters(l->max), assert_good(f, l->path));
        SPOIL_WITH(&p, spoil_letters(l->max + 1), assert_refused(f, l->path));
    }
    for (size_t i = 0; i < sizeof COUNTS / sizeof *COUNTS; i++) {
        const struct length *l = &COUNTS[i];
        if (strcmp(l->operation, f->r.request->operation) != 0 || !find_place(f, l->path, &p, name))
            continue;
        SPOIL_WITH(&p, repeat(spoil_value(&p), l->max), assert_good(f, l->path));
        SPOIL_WITH(&p, repeat(spoil_value(&p), l->max + 1), assert_refused(f, l->path));
    }
}

/* ---- the tests --------------------------------------------------------------------------------------------------- */

static int
set_up(void **state)
{
    static struct fixture f;
    f.model = shared_json("data/sqs.model.json");
    f.shapes = cJSON_GetObjectItemCaseSensitive(f.model, "shapes");
    f.visited = cJSON_CreateObject();
    f.asked = calloc(MAX_ASKED, sizeof *f.asked);
    f.huge = malloc(HUGE_BYTES + 3);
    assert_true(f.huge && f.asked);
    memset(f.huge, 'h', HUGE_BYTES + 2);
    f.huge[0] = f.huge[HUGE_BYTES + 1] = '"';
    f.huge[HUGE_BYTES + 2] = '\0';
    *state = &f;
    if (f.shapes)
        sqs_requests_start(&f.r);
    return 0;
}

static int
tear_down(void **state)
{
    struct fixture *f = *state;
    cJSON_Delete(f->visited);
    cJSON_Delete(f->model);
    free(f->asked);
    free(f->huge);
    sqs_requests_stop(&f->r);
    return 0;
}

static void
spoil_everything(struct fixture *f, enum sqs_protocol protocol)
{
    f->r.n_calls = f->r.n_refused = 0;
    f->r.protocol = protocol;
    for (size_t i = 0; i < N_SQS_REQUESTS; i++) {
        char shape[100];
        sqs_requests_take(&f->r, &SQS_REQUESTS[i]);
        assert_good(f, "as it is");
        snprintf(shape, sizeof shape, "%sRequest", f->r.request->operation);
        try_bounds(f);
        spoil_members(f, f->r.tree, "", shape);
        assert_good(f, "again");
    }
    print_message("%zu requests, %zu of them refused\n", f->r.n_calls, f->r.n_refused);
}

static void
every_member_is_spoilt_in_json(void **state)
{
    struct fixture *f = *state;
    if (!f->r.server.process)
        skip_because("../shared/data/sqs.model.json is missing");
    spoil_everything(f, SQS_JSON);
}

static void
every_member_is_spoilt_in_forms(void **state)
{
    struct fixture *f = *state;
    if (!f->r.server.process)
        skip_because("../shared/data/sqs.model.json is missing");
    spoil_everything(f, SQS_QUERY);
    print_message("%zu of them answered as in JSON\n", f->n_compared);
    assert_true(f->n_compared > f->n_asked / 2);
}

/* Every structure that a request is made of. */
static void
count_members(struct fixture *f, const char *shape_name, size_t *ret_n)
{
    const cJSON *member, *shape = cJSON_GetObjectItemCaseSensitive(f->shapes, shape_name);
    cJSON_ArrayForEach(member, cJSON_GetObjectItemCaseSensitive(shape, "members"))
    {
        char name[120];
        snprintf(name, sizeof name, "%s.%s", shape_name, member->string);
        if (!cJSON_GetObjectItemCaseSensitive(f->visited, name))
            fail_msg("%s was never spoilt", name);
        (*ret_n)++;
        count_members(f, shared_json_text(member, "shape"), ret_n);
    }
    static const char *const PARTS[] = {"member", "value"};
    for (size_t i = 0; i < 2; i++) {
        const cJSON *part = cJSON_GetObjectItemCaseSensitive(shape, PARTS[i]);
        if (part)
            count_members(f, shared_json_text(part, "shape"), ret_n);
    }
}

static void
no_operation_and_no_member_was_left_out(void **state)
{
    struct fixture *f = *state;
    const cJSON *operation, *operations = cJSON_GetObjectItemCaseSensitive(f->model, "operations");
    size_t n = 0;
    if (!f->r.server.process)
        skip_because("../shared/data/sqs.model.json is missing");
    cJSON_ArrayForEach(operation, operations)
    {
        count_members(f, shared_json_text(cJSON_GetObjectItemCaseSensitive(operation, "input"), "shape"), &n);
    }
    print_message("%d operations, %zu members\n", cJSON_GetArraySize(operations), n);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_member_is_spoilt_in_json),
        cmocka_unit_test(every_member_is_spoilt_in_forms),
        cmocka_unit_test(no_operation_and_no_member_was_left_out),
    };
    return cmocka_run_group_tests_name("local/sqs spoilt", tests, set_up, tear_down);
}
