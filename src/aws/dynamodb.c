#include "aws/dynamodb.h"

#include <stdlib.h>
#include <string.h>

#include "aws/answer.h"
#include "base/json.h"

#define TIMEOUT_MS      3000 /* of an attempt: usual answers take milliseconds, and a lease runs meanwhile */
#define CONDITION_FAILS "ConditionalCheckFailedException"

/* A call on its way. */
struct call {
    struct buf body; /* the request's */
    dynamodb_done_fn *done;
    dynamodb_table_fn *table_done;
    void *context;
};

static void
destroy(void *p)
{
    struct call *call = p;
    buf_clean_up(&call->body);
    free(call);
}

static struct call *
make_call(void *context)
{
    struct call *call = calloc(1, sizeof *call);
    if (call)
        call->context = context;
    return call;
}

/* Takes call. */
static int
submit(struct aws_client *c, const char *operation, struct call *call, aws_done_fn *done, struct aws_call **ret_call,
       struct err *e)
{
    const struct aws_request request = {.operation = operation,
                                        .body = buf_slice(&call->body),
                                        .body_borrowed = true,
                                        .timeout_ms = TIMEOUT_MS,
                                        .drop = destroy};
    int rc = buf_failed(&call->body) ? err_no_memory(e) : aws_submit(c, &request, done, call, ret_call, e);
    if (rc != 0)
        destroy(call);
    return rc;
}

/* ---- writes ---- */

static void
write_done(void *context, const struct aws_response *response)
{
    struct call *call = context;
    struct dynamodb_result result = {.error = response->error};
    cJSON *tree = NULL;
    if (response->error && strcmp(response->error->code, CONDITION_FAILS) == 0) {
        result.error = NULL;
        result.condition_failed = true;
        if (answer_parse(response->body, &tree, NULL) == 0)
            answer_object(tree, "Item", &result.old, NULL);
    }
    call->done(call->context, &result);
    cJSON_Delete(tree);
    destroy(call);
}

static int
write_item(struct aws_client *c, const char *operation, const struct dynamodb_write *w, dynamodb_done_fn *done,
           void *context, struct aws_call **ret_call, struct err *e)
{
    struct call *call = make_call(context);
    if (!call)
        return err_no_memory(e);
    call->done = done;
    dynamodb_message_encode(&call->body, operation, w);
    return submit(c, operation, call, write_done, ret_call, e);
}

int
dynamodb_put(struct aws_client *c, const struct dynamodb_write *w, dynamodb_done_fn *done, void *context,
             struct aws_call **ret_call, struct err *e)
{
    return write_item(c, "PutItem", w, done, context, ret_call, e);
}

int
dynamodb_update(struct aws_client *c, const struct dynamodb_write *w, dynamodb_done_fn *done, void *context,
                struct aws_call **ret_call, struct err *e)
{
    return write_item(c, "UpdateItem", w, done, context, ret_call, e);
}

int
dynamodb_delete(struct aws_client *c, const struct dynamodb_write *w, dynamodb_done_fn *done, void *context,
                struct aws_call **ret_call, struct err *e)
{
    return write_item(c, "DeleteItem", w, done, context, ret_call, e);
}

/* ---- what a table is ---- */

static int
read_key(const cJSON *table, struct dynamodb_table *t, struct err *e)
{
    const cJSON *keys, *attributes, *item;
    int rc = answer_array(table, "KeySchema", &keys, e);
    if (rc == 0)
        rc = answer_array(table, "AttributeDefinitions", &attributes, e);
    if (rc != 0)
        return rc;
    cJSON_ArrayForEach(item, keys)
    {
        struct slice type = {0};
        rc = answer_string(item, "KeyType", &type, e);
        if (rc == 0 && slice_equals_string(type, "HASH"))
            rc = answer_string(item, "AttributeName", &t->key, e);
        else if (rc == 0)
            t->has_sort_key = true;
        if (rc != 0)
            return rc;
    }
    cJSON_ArrayForEach(item, attributes)
    {
        struct slice name = {0};
        rc = answer_string(item, "AttributeName", &name, e);
        if (rc == 0 && slice_equals(name, t->key))
            rc = answer_string(item, "AttributeType", &t->key_type, e);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int
read_table(struct slice body, cJSON **ret_tree, struct dynamodb_table *t, struct err *e)
{
    const cJSON *table = NULL;
    int rc = answer_parse(body, ret_tree, e);
    if (rc == 0)
        rc = answer_object(*ret_tree, "Table", &table, e);
    if (rc == 0 && !table)
        rc = err_set(e, ERR_PROTOCOL, "there is no Table");
    if (rc == 0)
        rc = answer_string(table, "TableStatus", &t->status, e);
    return rc == 0 ? read_key(table, t, e) : rc;
}

static void
described(void *context, const struct aws_response *response)
{
    struct call *call = context;
    struct dynamodb_table t = {.error = response->error};
    struct aws_error garbled;
    struct err e;
    cJSON *tree = NULL;
    if (!response->error && read_table(response->body, &tree, &t, &e) != 0) {
        answer_garbled("DescribeTable", response, &e, &garbled);
        t = (struct dynamodb_table){.error = &garbled};
    }
    call->table_done(call->context, &t);
    cJSON_Delete(tree);
    destroy(call);
}

int
dynamodb_describe_table(struct aws_client *c, const char *table, dynamodb_table_fn *done, void *context,
                        struct aws_call **ret_call, struct err *e)
{
    struct call *call = make_call(context);
    if (!call)
        return err_no_memory(e);
    call->table_done = done;
    buf_add_string(&call->body, "{\"TableName\":");
    json_write_string(&call->body, slice_of_string(table));
    buf_add_char(&call->body, '}');
    return submit(c, "DescribeTable", call, described, ret_call, e);
}
