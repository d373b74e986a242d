/* dynamodb: the calls to Amazon DynamoDB that conditional writes of single items take, over JSON 1.0. Engine thread
 * only.
 *
 *     {"TableName": "events", "Item": {"id": {"S": "x"}, "expiration": {"N": "1790000000"}},
 *      "ConditionExpression": "attribute_not_exists(id)", "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
 *
 * Texts are UTF-8 as meant, numbers integers. A key has no sort part. */
#ifndef FANOUT_AWS_DYNAMODB_H
#define FANOUT_AWS_DYNAMODB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aws/aws.h"
#include "base/buf.h"
#include "base/slice.h"

/* An attribute, or the value that a placeholder (":now") of an expression stands for: a text, or, where text.p is NULL,
 * a number. */
struct dynamodb_value {
    const char *name;
    struct slice text;
    int64_t number;
};

struct dynamodb_name {
    const char *placeholder, *name; /* "#s": "status" (a reserved word of expressions) */
};

struct dynamodb_write {
    const char *table;
    const struct dynamodb_value *item; /* put: the attributes; update and delete: the key alone */
    size_t n_item;
    const char *update;    /* update: "SET #s = :s" */
    const char *condition; /* NULL: none */
    const struct dynamodb_name *names;
    size_t n_names;
    const struct dynamodb_value *values;
    size_t n_values;
};

struct cJSON;
struct dynamodb_result {
    const struct aws_error *error; /* NULL: written, or condition_failed */
    bool condition_failed;
    const struct cJSON *old; /* of condition_failed: the item as it is; NULL: the service did not say */
};
typedef void dynamodb_done_fn(void *context, const struct dynamodb_result *r);

/* done as aws_submit's. A condition that fails is an answer, not an error. *ret_call (may be NULL) is valid until done
 * returns. */
int dynamodb_put(struct aws_client *c, const struct dynamodb_write *w, dynamodb_done_fn *done, void *context,
                 struct aws_call **ret_call, struct err *e);
int dynamodb_update(struct aws_client *c, const struct dynamodb_write *w, dynamodb_done_fn *done, void *context,
                    struct aws_call **ret_call, struct err *e);
int dynamodb_delete(struct aws_client *c, const struct dynamodb_write *w, dynamodb_done_fn *done, void *context,
                    struct aws_call **ret_call, struct err *e);

/* An attribute of `old`. False: there is none of that type. */
bool dynamodb_get_text(const struct dynamodb_result *r, const char *name, struct slice *ret_text);
bool dynamodb_get_number(const struct dynamodb_result *r, const char *name, int64_t *ret_number);

/* What a table is: texts of its description. */
struct dynamodb_table {
    const struct aws_error *error;
    struct slice status;        /* "ACTIVE" */
    struct slice key, key_type; /* the partition key's name; "S", "N", "B" */
    bool has_sort_key;
};
typedef void dynamodb_table_fn(void *context, const struct dynamodb_table *t);
int dynamodb_describe_table(struct aws_client *c, const char *table, dynamodb_table_fn *done, void *context,
                            struct aws_call **ret_call, struct err *e);

/* dynamodb_message.c. operation: which of item's places is meant, "PutItem", "UpdateItem" or "DeleteItem". */
void dynamodb_message_encode(struct buf *out, const char *operation, const struct dynamodb_write *w);

#endif
