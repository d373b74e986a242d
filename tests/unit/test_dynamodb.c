/* What the calls to DynamoDB send and what they make of its answers; and what the store that is built on them says of
 * answers that moto never gives. */
#include "aws/dynamodb.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "lib/aws_stub.h"
#include "lib/dedup_model.h"

#define CONDITION_FAILED                                                                                               \
    "{\"__type\":\"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException\",\"message\":\"The conditional "  \
    "request failed\""
#define THROTTLED                                                                                                      \
    "{\"__type\":\"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException\",\"message\":\"Slow "      \
    "down.\"}"

struct got {
    struct aws_stub *stub;
    bool done, failed, condition_failed, has_old, throttled;
    char code[128], text[100], key[20], key_type[20];
    int64_t number;
    bool has_sort_key;
};

static int
set_up(void **state)
{
    struct got *g = calloc(1, sizeof *g);
    assert_non_null(g);
    g->stub = aws_stub_start(AWS_DYNAMODB);
    *state = g;
    return 0;
}

static int
tear_down(void **state)
{
    struct got *g = *state;
    aws_stub_stop(g->stub);
    free(g);
    return 0;
}

static void
note_error(struct got *g, const struct aws_error *error)
{
    g->done = true;
    g->failed = error != NULL;
    if (error)
        snprintf(g->code, sizeof g->code, "%s", error->code);
    g->throttled = error && error->throttled;
}

static void
written(void *context, const struct dynamodb_result *r)
{
    struct got *g = context;
    struct slice text;
    note_error(g, r->error);
    g->condition_failed = r->condition_failed;
    g->has_old = r->old != NULL;
    if (dynamodb_get_text(r, "status", &text))
        snprintf(g->text, sizeof g->text, "%.*s", SLICE_ARG(text));
    if (!dynamodb_get_number(r, "n", &g->number))
        g->number = -1;
}

static const struct dynamodb_value ITEM[] = {{.name = "id", .text = SLICE("a \"b\" \xc3\xa4")},
                                             {.name = "n", .number = 1790000000}};
static const struct dynamodb_value VALUES[] = {{.name = ":s", .text = SLICE("x")}, {.name = ":n", .number = 0}};
static const struct dynamodb_name NAMES[] = {{"#s", "status"}, {"#o", "owner"}};

static void
an_item_is_put_on_a_condition(void **state)
{
    struct got *g = *state;
    const struct dynamodb_write w = {.table = "events",
                                     .item = ITEM,
                                     .n_item = 2,
                                     .condition = "attribute_not_exists(id) OR #s = :s",
                                     .names = NAMES,
                                     .n_names = 2,
                                     .values = VALUES,
                                     .n_values = 2};
    aws_stub_answer(g->stub, 200, "", "{}");
    assert_int_equal(dynamodb_put(aws_stub_client(g->stub), &w, written, g, NULL, NULL), 0);
    aws_stub_run(g->stub, &g->done);
    assert_false(g->failed);
    assert_false(g->condition_failed);
    assert_string_equal(aws_stub_line(g->stub, 0), "POST / HTTP/1.1");
    assert_string_equal(aws_stub_header(g->stub, 0, "x-amz-target"), "DynamoDB_20120810.PutItem");
    assert_string_equal(aws_stub_header(g->stub, 0, "content-type"), "application/x-amz-json-1.0");
    assert_non_null(strstr(aws_stub_header(g->stub, 0, "authorization"), "/eu-north-1/dynamodb/aws4_request"));
    assert_string_equal(aws_stub_body(g->stub, 0),
                        "{\"TableName\":\"events\",\"Item\":{\"id\":{\"S\":\"a \\\"b\\\" \xc3\xa4\"},"
                        "\"n\":{\"N\":\"1790000000\"}},"
                        "\"ConditionExpression\":\"attribute_not_exists(id) OR #s = :s\","
                        "\"ReturnValuesOnConditionCheckFailure\":\"ALL_OLD\","
                        "\"ExpressionAttributeNames\":{\"#s\":\"status\",\"#o\":\"owner\"},"
                        "\"ExpressionAttributeValues\":{\":s\":{\"S\":\"x\"},\":n\":{\"N\":\"0\"}}}");
}

static void
updates_and_deletes_name_a_key(void **state)
{
    struct got *g = *state;
    struct dynamodb_write w = {.table = "events", .item = ITEM, .n_item = 1, .update = "SET n = :n"};
    aws_stub_answer(g->stub, 200, "", "{}");
    assert_int_equal(dynamodb_update(aws_stub_client(g->stub), &w, written, g, NULL, NULL), 0);
    aws_stub_run(g->stub, &g->done);
    assert_string_equal(aws_stub_body(g->stub, 0), "{\"TableName\":\"events\",\"Key\":{\"id\":{\"S\":\"a \\\"b\\\" "
                                                   "\xc3\xa4\"}},\"UpdateExpression\":\"SET n = :n\"}");
    w.update = NULL;
    g->done = false;
    assert_int_equal(dynamodb_delete(aws_stub_client(g->stub), &w, written, g, NULL, NULL), 0);
    aws_stub_run(g->stub, &g->done);
    assert_string_equal(aws_stub_header(g->stub, 1, "x-amz-target"), "DynamoDB_20120810.DeleteItem");
    assert_string_equal(aws_stub_body(g->stub, 1),
                        "{\"TableName\":\"events\",\"Key\":{\"id\":{\"S\":\"a \\\"b\\\" \xc3\xa4\"}}}");
}

static void
put_answered(struct got *g, int status, const char *body)
{
    const struct dynamodb_write w = {.table = "t", .item = ITEM, .n_item = 2, .condition = "c"};
    g->done = false;
    aws_stub_answer(g->stub, status, "", body);
    assert_int_equal(dynamodb_put(aws_stub_client(g->stub), &w, written, g, NULL, NULL), 0);
    aws_stub_run(g->stub, &g->done);
}

static void
a_condition_that_fails_is_an_answer_with_the_item_that_is_there(void **state)
{
    struct got *g = *state;
    put_answered(g, 400, CONDITION_FAILED ",\"Item\":{\"status\":{\"S\":\"DONE\"},\"n\":{\"N\":\"7\"}}}");
    assert_false(g->failed);
    assert_true(g->condition_failed && g->has_old);
    assert_string_equal(g->text, "DONE");
    assert_int_equal(g->number, 7);
    put_answered(g, 400, CONDITION_FAILED ",\"Item\":{\"status\":{\"N\":\"1\"},\"n\":{\"N\":\"-7.5\"}}}");
    assert_true(g->condition_failed && g->has_old);
    assert_int_equal(g->number, -1);
    put_answered(g, 400, CONDITION_FAILED "}");
    assert_true(g->condition_failed && !g->has_old);
    put_answered(g, 400, THROTTLED);
    assert_true(g->failed && g->throttled && !g->condition_failed);
    assert_string_equal(g->code, "ProvisionedThroughputExceededException");
}

static void
described(void *context, const struct dynamodb_table *t)
{
    struct got *g = context;
    note_error(g, t->error);
    snprintf(g->key, sizeof g->key, "%.*s", SLICE_ARG(t->key));
    snprintf(g->key_type, sizeof g->key_type, "%.*s", SLICE_ARG(t->key_type));
    g->has_sort_key = t->has_sort_key;
}

static void
describe(struct got *g, int status, const char *body)
{
    g->done = false;
    aws_stub_answer(g->stub, status, "", body);
    assert_int_equal(dynamodb_describe_table(aws_stub_client(g->stub), "events", described, g, NULL, NULL), 0);
    aws_stub_run(g->stub, &g->done);
}

static void
a_table_is_described_by_its_key(void **state)
{
    struct got *g = *state;
    describe(g, 200,
             "{\"Table\":{\"TableName\":\"events\",\"TableStatus\":\"ACTIVE\",\"KeySchema\":["
             "{\"AttributeName\":\"id\",\"KeyType\":\"HASH\"},{\"AttributeName\":\"at\",\"KeyType\":\"RANGE\"}],"
             "\"AttributeDefinitions\":[{\"AttributeName\":\"at\",\"AttributeType\":\"N\"},"
             "{\"AttributeName\":\"id\",\"AttributeType\":\"S\"}]}}");
    assert_false(g->failed);
    assert_string_equal(g->key, "id");
    assert_string_equal(g->key_type, "S");
    assert_true(g->has_sort_key);
    assert_string_equal(aws_stub_body(g->stub, 0), "{\"TableName\":\"events\"}");
    static const char *const garbled[] = {"{}", "{\"Table\":3}", "{\"Table\":{\"KeySchema\":[{\"KeyType\":1}]}}",
                                          "no JSON"};
    for (size_t i = 0; i < sizeof garbled / sizeof *garbled; i++) {
        describe(g, 200, garbled[i]);
        assert_string_equal(g->code, "garbled");
    }
    describe(g, 400, "{\"__type\":\"ResourceNotFoundException\",\"message\":\"Requested resource not found\"}");
    assert_string_equal(g->code, "ResourceNotFoundException");
}

/* ---- the store ---- */

static void
wait(void *context)
{
    struct err e;
    assert_int_equal(http_engine_run(aws_stub_engine(((struct got *)context)->stub), 20000, &e), 0);
}

static struct dedup_store *
make_store(struct got *g, struct creds_provider **ret_credentials)
{
    struct dedup_store *store;
    struct aws_client *client;
    struct err e;
    setenv("AWS_ACCESS_KEY_ID", "test", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "test", 1);
    assert_int_equal(creds_default_new(NULL, ret_credentials, &e), 0);
    const struct aws_client_options options = {.engine = aws_stub_engine(g->stub),
                                               .credentials = *ret_credentials,
                                               .service = AWS_DYNAMODB,
                                               .region = "eu-north-1",
                                               .max_attempts = 1,
                                               .endpoint_url = aws_client_endpoint(aws_stub_client(g->stub))};
    assert_int_equal(aws_client_new(&options, &client, &e), 0);
    assert_int_equal(dedup_dynamodb_new(client, "events", &store, &e), 0);
    return store;
}

static int
begin_answered(struct dedup_driver *d, int status, const char *body)
{
    struct got *g = d->context;
    aws_stub_answer(g->stub, status, "", body);
    return dedup_driver_do(d, 0, DEDUP_BEGIN, "k", "me", 1000, 2000).code;
}

/* Nothing that is not understood counts as permission to handle, or to delete. */
static void
what_the_store_does_not_understand_is_an_error(void **state)
{
    struct got *g = *state;
    struct creds_provider *credentials;
    struct dedup_driver d = {.stores = {make_store(g, &credentials)}, .wait = wait, .context = g};
    assert_int_equal(begin_answered(&d, 400, "{\"__type\":\"AccessDeniedException\",\"message\":\"no\"}"), ERR_DENIED);
    assert_string_equal(aws_stub_header(g->stub, 0, "x-amz-target"),
                        "DynamoDB_20120810.DescribeTable"); /* may be denied */
    assert_string_equal(aws_stub_header(g->stub, 1, "x-amz-target"), "DynamoDB_20120810.PutItem");
    assert_int_equal(begin_answered(&d, 400, THROTTLED), ERR_UNAVAILABLE);
    assert_int_equal(begin_answered(&d, 400, CONDITION_FAILED "}"), ERR_PROTOCOL);
    assert_int_equal(begin_answered(&d, 400, CONDITION_FAILED ",\"Item\":{\"id\":{\"S\":\"k\"}}}"), ERR_CORRUPT);
    assert_int_equal(begin_answered(&d, 400, CONDITION_FAILED ",\"Item\":{\"status\":{\"S\":\"INPROGRESS\"}}}"),
                     ERR_CORRUPT);
    assert_int_equal(begin_answered(&d, 500, "x"), ERR_UNAVAILABLE);
    assert_int_equal(begin_answered(&d, 400, CONDITION_FAILED ",\"Item\":{\"status\":{\"S\":\"COMPLETED\"}}}"), 0);
    d.stores[0]->ops->destroy(d.stores[0]);
    creds_provider_destroy(credentials);
}

static void
a_store_ends_with_calls_under_way(void **state)
{
    struct got *g = *state;
    struct creds_provider *credentials;
    struct dedup_store *s = make_store(g, &credentials);
    struct dedup_op ops[100];
    for (int i = 0; i < 100; i++) {
        ops[i] = (struct dedup_op){
            .kind = DEDUP_COMPLETE, .key = SLICE("k"), .owner = SLICE("o"), .now_ms = 1000, .expires_ms = 2000};
        assert_false(s->ops->start(s, &ops[i]));
    }
    s->ops->destroy(s);
    creds_provider_destroy(credentials);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_item_is_put_on_a_condition, set_up, tear_down),
        cmocka_unit_test_setup_teardown(updates_and_deletes_name_a_key, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_condition_that_fails_is_an_answer_with_the_item_that_is_there, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_table_is_described_by_its_key, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_the_store_does_not_understand_is_an_error, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_store_ends_with_calls_under_way, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
