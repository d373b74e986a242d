/* The requests of EventBridge's operations on rules, spoilt one member at a time as the service's model says they can
 * be: each member left out, null, of every wrong type, at its bounds and beyond them, beside members nobody knows. The
 * model is read from ../shared, so that what the server holds of it has a witness. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <cjson/cJSON.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/local.h"
#include "lib/shared.h"
#include "lib/skip.h"
#include "lib/spoil.h"

#define QUEUE "arn:aws:sqs:us-east-1:000000000000:q"

/* A good request of each, with every member but those that exclude each other. */
static const struct operation {
    const char *name, *request;
} OPERATIONS[] = {
    {"TestEventPattern",
     "{\"EventPattern\":\"{\\\"a\\\":[1]}\",\"Event\":\"{\\\"id\\\":1,\\\"account\\\":1,\\\"source\\\":1,"
     "\\\"time\\\":1,\\\"region\\\":1,\\\"detail-type\\\":1}\"}"},
    {"PutRule",
     "{\"Name\":\"r\",\"EventPattern\":\"{\\\"a\\\":[1]}\",\"State\":\"ENABLED\",\"Description\":\"d\",\"RoleArn\":"
     "\"arn\",\"Tags\":[{\"Key\":\"k\",\"Value\":\"v\"}],\"EventBusName\":\"default\"}"},
    {"DescribeRule", "{\"Name\":\"r\",\"EventBusName\":\"default\"}"},
    {"ListRules", "{\"NamePrefix\":\"r\",\"EventBusName\":\"default\",\"NextToken\":\"MA==\",\"Limit\":1}"},
    {"EnableRule", "{\"Name\":\"r\",\"EventBusName\":\"default\"}"},
    {"DisableRule", "{\"Name\":\"r\",\"EventBusName\":\"default\"}"},
    {"DeleteRule", "{\"Name\":\"another\",\"EventBusName\":\"default\",\"Force\":false}"},
    {"PutTargets",
     "{\"Rule\":\"r\",\"EventBusName\":\"default\",\"Targets\":[{\"Id\":\"1\",\"Arn\":\"" QUEUE "\",\"RoleArn\":"
     "\"arn\",\"InputTransformer\":{\"InputPathsMap\":{\"a\":\"$\"},\"InputTemplate\":\"{}\"},\"SqsParameters\":{"
     "\"MessageGroupId\":\"g\"},\"DeadLetterConfig\":{\"Arn\":\"" QUEUE "\"},\"RetryPolicy\":{"
     "\"MaximumRetryAttempts\":1,\"MaximumEventAgeInSeconds\":60}}]}"},
    {"PutTargets", "{\"Rule\":\"r\",\"Targets\":[{\"Id\":\"1\",\"Arn\":\"" QUEUE "\",\"Input\":\"{}\"}]}"},
    {"PutTargets", "{\"Rule\":\"r\",\"Targets\":[{\"Id\":\"1\",\"Arn\":\"" QUEUE "\",\"InputPath\":\"$\"}]}"},
    {"ListTargetsByRule", "{\"Rule\":\"r\",\"EventBusName\":\"default\",\"NextToken\":\"MA==\",\"Limit\":1}"},
    {"RemoveTargets", "{\"Rule\":\"r\",\"EventBusName\":\"default\",\"Ids\":[\"1\"],\"Force\":true}"},
};

struct fixture {
    struct local_server server;
    struct aws_call aws;
    cJSON *shapes;
    const struct operation *operation;
    cJSON *request;
    size_t n_calls;
};

/* ---- asking ------------------------------------------------------------------------------------------------------ */

/* Sends the request as it is now. What it never is: an error of the server's own, or no answer. */
static int
ask(struct fixture *f)
{
    char target[100];
    char *text = cJSON_PrintUnformatted(f->request);
    snprintf(target, sizeof target, "AWSEvents.%s", f->operation->name);
    assert_true(aws_call_begin(&f->aws, "events", target, slice_of_string(text)));
    int status = aws_call_finish(&f->aws);
    if (status != 200 && status != 400)
        fail_msg("%s %s: %d %.*s", f->operation->name, text, status, SLICE_ARG(f->aws.body));
    f->n_calls++;
    free(text);
    return status;
}

static void
assert_answer(struct fixture *f, const char *code, const char *words)
{
    ask(f);
    if (strcmp(f->aws.error, code) != 0 || !strstr(f->aws.message, words)) {
        char *text = cJSON_PrintUnformatted(f->request);
        fail_msg("%s %.300s: not %s with \"%s\", but %d %s: %s", f->operation->name, text, code, words, f->aws.status,
                 f->aws.error, f->aws.message);
    }
}

/* The constraint of a member is broken. */
static void
assert_breaks(struct fixture *f, const char *path, const char *constraint)
{
    char words[400];
    snprintf(words, sizeof words, "' at '%s' failed to satisfy constraint: %s", path, constraint);
    assert_answer(f, "ValidationException", words);
}

/* No constraint is broken (what else may be wrong with the value is for the operation). */
static void
assert_keeps(struct fixture *f)
{
    ask(f);
    if (strstr(f->aws.message, "failed to satisfy constraint") || strcmp(f->aws.error, "SerializationException") == 0)
        fail_msg("%s: %s", f->operation->name, f->aws.message);
}

/* ---- spoiling ---------------------------------------------------------------------------------------------------- */

static int64_t
number(const cJSON *shape, const char *name, int64_t otherwise)
{
    const cJSON *n = cJSON_GetObjectItemCaseSensitive(shape, name);
    return n ? (int64_t)n->valuedouble : otherwise;
}

static void
spoil_type(struct fixture *f, struct spoil_place *p, const char *type)
{
    static const char *const VALUES[] = {"\"x\"", "1", "true", "[]", "{}"};
    static const struct {
        const char *type, *good;
    } GOOD[] = {{"string", "\"x\""}, {"integer", "1"},    {"boolean", "true"},
                {"list", "[]"},      {"structure", "{}"}, {"map", "{}"}};
    const char *good = "";
    for (size_t i = 0; i < sizeof GOOD / sizeof *GOOD; i++)
        good = strcmp(GOOD[i].type, type) == 0 ? GOOD[i].good : good;
    for (size_t i = 0; i < sizeof VALUES / sizeof *VALUES; i++)
        if (strcmp(VALUES[i], good) != 0)
            SPOIL_WITH(p, cJSON_Parse(VALUES[i]), assert_answer(f, "SerializationException", p->path));
}

static void
spoil_string(struct fixture *f, struct spoil_place *p, const cJSON *shape)
{
    char words[100];
    int64_t min = number(shape, "min", 0), max = number(shape, "max", 0);
    if (max > 0) {
        snprintf(words, sizeof words, "Member must have length less than or equal to %lld", (long long)max);
        SPOIL_WITH(p, spoil_letters((size_t)max + 1), assert_breaks(f, p->path, words));
        SPOIL_WITH(p, spoil_letters((size_t)max), assert_keeps(f));
    }
    if (min > 0)
        SPOIL_WITH(p, spoil_letters(0),
                   assert_breaks(f, p->path, "Member must have length greater than or equal to 1"));
    if (cJSON_GetObjectItemCaseSensitive(shape, "pattern"))
        SPOIL_WITH(p, cJSON_CreateString("not this!"),
                   assert_breaks(f, p->path, "Member must satisfy regular expression pattern: "));
    if (cJSON_GetObjectItemCaseSensitive(shape, "enum"))
        SPOIL_WITH(p, cJSON_CreateString("enabled"),
                   assert_breaks(f, p->path, "Member must satisfy enum value set: ["));
}

static void
spoil_integer(struct fixture *f, struct spoil_place *p, const cJSON *shape)
{
    char words[100];
    int64_t min = number(shape, "min", 0), max = number(shape, "max", 0);
    snprintf(words, sizeof words, "Member must have value less than or equal to %lld", (long long)max);
    SPOIL_WITH(p, cJSON_CreateNumber((double)max + 1), assert_breaks(f, p->path, words));
    SPOIL_WITH(p, cJSON_CreateNumber((double)max), assert_keeps(f));
    snprintf(words, sizeof words, "Member must have value greater than or equal to %lld", (long long)min);
    SPOIL_WITH(p, cJSON_CreateNumber((double)min - 1), assert_breaks(f, p->path, words));
    SPOIL_WITH(p, cJSON_CreateNumber((double)min), assert_keeps(f));
    SPOIL_WITH(p, cJSON_CreateNumber(1.5), assert_answer(f, "SerializationException", p->path));
    SPOIL_WITH(p, cJSON_CreateRaw("1e400"), assert_answer(f, "SerializationException", p->path));
}

static void spoil(struct fixture *f, struct spoil_place *p, const char *shape_name);

static void
spoil_list(struct fixture *f, struct spoil_place *p, const cJSON *list, const cJSON *shape)
{
    char words[100];
    const cJSON *element = cJSON_GetObjectItemCaseSensitive(shape, "member");
    int64_t max = number(shape, "max", 0);
    if (number(shape, "min", 0) > 0)
        SPOIL_WITH(p, cJSON_CreateArray(),
                   assert_breaks(f, p->path, "Member must have length greater than or equal to 1"));
    if (max > 0) {
        cJSON *many = cJSON_CreateArray();
        for (int64_t i = 0; i <= max; i++)
            cJSON_AddItemToArray(many, cJSON_Duplicate(cJSON_GetArrayItem(list, 0), true));
        snprintf(words, sizeof words, "Member must have length less than or equal to %lld", (long long)max);
        SPOIL_WITH(p, many, assert_breaks(f, p->path, words));
    }
    struct spoil_place inner = {.parent = cJSON_GetObjectItemCaseSensitive(p->parent, p->name)};
    snprintf(inner.path, sizeof inner.path, "%.180s.1.member", p->path);
    spoil(f, &inner, cJSON_GetObjectItemCaseSensitive(element, "shape")->valuestring);
}

static void
spoil_members(struct fixture *f, cJSON *object, const char *path, const cJSON *shape)
{
    const cJSON *member, *required, *required_names = cJSON_GetObjectItemCaseSensitive(shape, "required");
    cJSON_ArrayForEach(member, cJSON_GetObjectItemCaseSensitive(shape, "members"))
    {
        struct spoil_place p = {.parent = object, .name = member->string};
        bool is_required = false;
        if (!cJSON_GetObjectItemCaseSensitive(object, p.name))
            continue; /* not in this request */
        snprintf(p.path, sizeof p.path, "%.120s%s%c%.70s", path, *path ? "." : "", tolower(*p.name), p.name + 1);
        cJSON_ArrayForEach(required, required_names) is_required =
            is_required || strcmp(required->valuestring, p.name) == 0;
        for (int null = 0; null < 2; null++) {
            char words[300];
            snprintf(words, sizeof words, "Value null at '%s' failed to satisfy constraint: Member must not be null",
                     p.path);
            cJSON *nothing = null ? cJSON_CreateNull() : NULL;
            if (is_required)
                SPOIL_WITH(&p, nothing, assert_answer(f, "ValidationException", words));
            else
                SPOIL_WITH(&p, nothing, assert_keeps(f));
        }
        spoil(f, &p, cJSON_GetObjectItemCaseSensitive(member, "shape")->valuestring);
    }
}

static void
spoil(struct fixture *f, struct spoil_place *p, const char *shape_name)
{
    const cJSON *shape = cJSON_GetObjectItemCaseSensitive(f->shapes, shape_name);
    const char *type = cJSON_GetObjectItemCaseSensitive(shape, "type")->valuestring;
    spoil_type(f, p, type);
    cJSON *value = spoil_value(p);
    if (strcmp(type, "string") == 0) {
        spoil_string(f, p, shape);
    } else if (strcmp(type, "integer") == 0) {
        spoil_integer(f, p, shape);
    } else if (strcmp(type, "list") == 0) {
        spoil_list(f, p, value, shape);
    } else if (strcmp(type, "structure") == 0) {
        spoil_members(f, value, p->path, shape);
        cJSON_AddRawToObject(value, "NobodyKnows", "{\"a\":[1]}");
        assert_int_equal(ask(f), 200);
        cJSON_DeleteItemFromObjectCaseSensitive(value, "NobodyKnows");
    }
}

/* ---- the tests --------------------------------------------------------------------------------------------------- */

static int
set_up(void **state)
{
    static struct fixture f;
    char url[200];
    local_server_start(&f.server, false);
    local_server_queue(&f.server, "q", "{}", url, sizeof url);
    aws_call_init(&f.aws, f.server.url);
    *state = &f;
    return 0;
}

static int
tear_down(void **state)
{
    struct fixture *f = *state;
    cJSON_Delete(f->request);
    aws_call_clean_up(&f->aws);
    local_server_clean_up(&f->server);
    return 0;
}

static void
every_member_is_checked_as_the_model_says(void **state)
{
    struct fixture *f = *state;
    struct buf text = BUF_INIT;
    if (!shared_read("data/events.model.json", &text))
        skip_because("../shared/data/events.model.json is missing");
    cJSON *model = cJSON_Parse(text.data);
    buf_clean_up(&text);
    assert_non_null(model);
    f->shapes = cJSON_GetObjectItemCaseSensitive(model, "shapes");
    f->operation = &OPERATIONS[1]; /* there is a rule r for the others */
    f->request = cJSON_Parse(f->operation->request);
    assert_int_equal(ask(f), 200);
    for (size_t i = 0; i < sizeof OPERATIONS / sizeof *OPERATIONS; i++) {
        char shape[100];
        cJSON_Delete(f->request);
        f->operation = &OPERATIONS[i];
        f->request = cJSON_Parse(f->operation->request);
        assert_non_null(f->request);
        if (ask(f) != 200)
            fail_msg("%s: %s: %s", f->operation->name, f->aws.error, f->aws.message);
        snprintf(shape, sizeof shape, "%sRequest", f->operation->name);
        spoil_members(f, f->request, "", cJSON_GetObjectItemCaseSensitive(f->shapes, shape));
        assert_int_equal(ask(f), 200); /* as it was */
    }
    print_message("%zu requests\n", f->n_calls);
    assert_true(f->n_calls > 300);
    cJSON_Delete(model);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_member_is_checked_as_the_model_says)};
    return cmocka_run_group_tests_name("local_rules_model", tests, set_up, tear_down);
}
