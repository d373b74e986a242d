#include <stdlib.h>
#include <string.h>

#include "aws/dynamodb.h"
#include "worker/dedup_store.h"

#define MAX_CALLS  64    /* at once; others wait their turn */
#define TTL_LATE_S 86400 /* DynamoDB may not remove what is in progress by a clock that is ahead of ours */

enum table_state { TABLE_UNKNOWN, TABLE_ASKED, TABLE_GOOD };

struct dynamodb {
    struct dedup_store store;
    struct aws_client *client;
    char *table;
    enum table_state state;
    struct dedup_op *queued, **queued_end;
    size_t calls;
};

static const struct dynamodb_name NAMES[] = {{"#s", "status"}, {"#o", "owner"}};

/* ---- answers ---- */

/* Ends op, which failed. */
static void
fail(struct dynamodb *t, struct dedup_op *op, const struct err *e)
{
    op->code = e->code;
    t->store.error = *e;
    op->done(op);
}

/* What stands in op's way; 0, or an error. */
static int
read_record(const struct dynamodb_result *r, struct dedup_op *op, struct err *e)
{
    struct slice status;
    if (!r->old)
        return err_set(e, ERR_PROTOCOL,
                       "PutItem: a condition failed, and the answer does not hold the item: this DynamoDB is too old");
    if (!dynamodb_get_text(r, "status", &status))
        return err_set(e, ERR_CORRUPT, "item %.*s has no status that is a string", SLICE_ARG(op->key));
    if (slice_equals_string(status, "COMPLETED")) {
        op->found = DEDUP_COMPLETED;
        return 0;
    }
    op->found = DEDUP_BUSY;
    if (!dynamodb_get_number(r, "in_progress_expiration", &op->until_ms))
        return err_set(e, ERR_CORRUPT, "item %.*s has no in_progress_expiration that is a number", SLICE_ARG(op->key));
    return 0;
}

static void send_queued(struct dynamodb *t);

static void
answered(void *context, const struct dynamodb_result *r)
{
    struct dedup_op *op = context;
    struct dynamodb *t = (struct dynamodb *)op->store;
    struct err e;
    int rc = 0;
    t->calls--;
    op->code = 0;
    op->found = DEDUP_FRESH;
    if (r->error) {
        e = r->error->err;
        rc = e.code;
    } else if (r->condition_failed && op->kind == DEDUP_BEGIN)
        rc = read_record(r, op, &e);
    if (rc != 0) {
        if (rc == ERR_NOT_FOUND && t->state == TABLE_GOOD)
            t->state = TABLE_UNKNOWN; /* it may come back as another one */
        fail(t, op, &e);
    } else {
        op->done(op);
    }
    send_queued(t);
}

/* ---- calls ---- */

static int
begin(struct dynamodb *t, struct dedup_op *op, struct err *e)
{
    const struct dynamodb_value item[] = {{.name = "id", .text = op->key},
                                          {.name = "status", .text = SLICE("INPROGRESS")},
                                          {.name = "owner", .text = op->owner},
                                          {.name = "in_progress_expiration", .number = op->expires_ms},
                                          {.name = "expiration", .number = op->expires_ms / 1000 + TTL_LATE_S}};
    const struct dynamodb_value values[] = {{.name = ":begun", .text = SLICE("INPROGRESS")},
                                            {.name = ":owner", .text = op->owner},
                                            {.name = ":now_ms", .number = op->now_ms},
                                            {.name = ":completed", .text = SLICE("COMPLETED")},
                                            {.name = ":now_s", .number = op->now_ms / 1000}};
    const struct dynamodb_write w = {
        .table = t->table,
        .item = item,
        .n_item = sizeof item / sizeof *item,
        .condition = "attribute_not_exists(id)"
                     " OR (#s = :begun AND (#o = :owner OR in_progress_expiration <= :now_ms))"
                     " OR (#s = :completed AND expiration <= :now_s)",
        .names = NAMES,
        .n_names = sizeof NAMES / sizeof *NAMES,
        .values = values,
        .n_values = sizeof values / sizeof *values,
    };
    return dynamodb_put(t->client, &w, answered, op, NULL, e);
}

static int
complete(struct dynamodb *t, struct dedup_op *op, struct err *e)
{
    const struct dynamodb_value key = {.name = "id", .text = op->key};
    const struct dynamodb_value values[] = {{.name = ":completed", .text = SLICE("COMPLETED")},
                                            {.name = ":until", .number = (op->expires_ms + 999) / 1000}};
    const struct dynamodb_write w = {.table = t->table,
                                     .item = &key,
                                     .n_item = 1,
                                     .update = "SET #s = :completed, expiration = :until REMOVE #o, "
                                               "in_progress_expiration",
                                     .names = NAMES,
                                     .n_names = sizeof NAMES / sizeof *NAMES,
                                     .values = values,
                                     .n_values = sizeof values / sizeof *values};
    return dynamodb_update(t->client, &w, answered, op, NULL, e);
}

static int
forget(struct dynamodb *t, struct dedup_op *op, struct err *e)
{
    const struct dynamodb_value key = {.name = "id", .text = op->key};
    const struct dynamodb_value values[] = {{.name = ":begun", .text = SLICE("INPROGRESS")},
                                            {.name = ":owner", .text = op->owner},
                                            {.name = ":until", .number = op->expires_ms}};
    const struct dynamodb_write w = {.table = t->table,
                                     .item = &key,
                                     .n_item = 1,
                                     .condition = "#s = :begun AND #o = :owner AND in_progress_expiration = :until",
                                     .names = NAMES,
                                     .n_names = sizeof NAMES / sizeof *NAMES,
                                     .values = values,
                                     .n_values = sizeof values / sizeof *values};
    return dynamodb_delete(t->client, &w, answered, op, NULL, e);
}

static int
send(struct dynamodb *t, struct dedup_op *op, struct err *e)
{
    int rc = 0;
    op->store = &t->store;
    switch (op->kind) {
    case DEDUP_BEGIN:
        rc = begin(t, op, e);
        break;
    case DEDUP_COMPLETE:
        rc = complete(t, op, e);
        break;
    case DEDUP_FORGET:
        rc = forget(t, op, e);
        break;
    }
    t->calls += rc == 0;
    return rc;
}

/* ---- the table ---- */

static struct dedup_op *
take_queued(struct dynamodb *t)
{
    struct dedup_op *op = t->queued;
    t->queued = op->next;
    if (!t->queued)
        t->queued_end = &t->queued;
    return op;
}

static int
check_table(const struct dynamodb *t, const struct dynamodb_table *table, struct err *e)
{
    if (table->error && aws_error_is_missing_permission(table->error))
        return 0; /* who may not look has to take it as it is */
    if (table->error) {
        *e = table->error->err;
        return err_prefix(e, e->code, "dedup.table \"%s\"", t->table);
    }
    if (!slice_equals_string(table->key, "id") || !slice_equals_string(table->key_type, "S") || table->has_sort_key)
        return err_set(e, ERR_INVALID,
                       "dedup.table \"%s\" has the partition key %.*s (%.*s)%s; it must be id (S), and the only one",
                       t->table, SLICE_ARG(table->key), SLICE_ARG(table->key_type),
                       table->has_sort_key ? " and a sort key" : "");
    return 0;
}

static void
described(void *context, const struct dynamodb_table *table)
{
    struct dynamodb *t = context;
    struct err e;
    int rc = check_table(t, table, &e);
    t->state = rc == 0 ? TABLE_GOOD : TABLE_UNKNOWN;
    if (rc == 0) {
        send_queued(t);
        return;
    }
    struct dedup_op *op = t->queued;
    t->queued = NULL;
    t->queued_end = &t->queued;
    while (op) { /* their owners may start others, which ask again */
        struct dedup_op *next = op->next;
        fail(t, op, &e);
        op = next;
    }
}

/* ---- the store ---- */

static void
send_queued(struct dynamodb *t)
{
    struct err e;
    while (t->state == TABLE_UNKNOWN && t->queued) {
        if (dynamodb_describe_table(t->client, t->table, described, t, NULL, &e) == 0)
            t->state = TABLE_ASKED;
        else
            fail(t, take_queued(t), &e);
    }
    while (t->state == TABLE_GOOD && t->queued && t->calls < MAX_CALLS) {
        struct dedup_op *op = take_queued(t);
        if (send(t, op, &e) != 0)
            fail(t, op, &e);
    }
}

/* Fails only for want of memory. */
static bool
start(struct dedup_store *s, struct dedup_op *op)
{
    struct dynamodb *t = (struct dynamodb *)s;
    if (t->state == TABLE_GOOD && t->calls < MAX_CALLS && !t->queued) {
        op->code = send(t, op, &s->error);
        return op->code != 0;
    }
    op->code = 0;
    if (t->state == TABLE_UNKNOWN) {
        op->code = dynamodb_describe_table(t->client, t->table, described, t, NULL, &s->error);
        if (op->code != 0)
            return true;
        t->state = TABLE_ASKED;
    }
    op->next = NULL;
    *t->queued_end = op;
    t->queued_end = &op->next;
    return false;
}

static void
destroy(struct dedup_store *s)
{
    struct dynamodb *t = (struct dynamodb *)s;
    aws_client_destroy(t->client);
    free(t->table);
    free(t);
}

int
dedup_dynamodb_new(struct aws_client *client, const char *table, struct dedup_store **ret_store, struct err *e)
{
    static const struct dedup_store_ops OPS = {.start = start, .destroy = destroy};
    struct dynamodb *t = calloc(1, sizeof *t);
    if (!t || !(t->table = strdup(table))) {
        free(t);
        aws_client_destroy(client);
        return err_no_memory(e);
    }
    t->store.ops = &OPS;
    t->client = client;
    t->queued_end = &t->queued;
    *ret_store = &t->store;
    return 0;
}
