/* fuzz_local_query: what strangers may send to fanout-local's SQS as Query. The first byte says which request it is, a
 * line is its query string, the rest its form. */
#include "fuzz/fuzz.h"
#include "lib/xml_tree.h"
#include "local/sqs_codec.h"
#include "local/sqs_form.h"
#include "local/sqs_shape.h"

/* What was understood is written the same again after a way through JSON, and XML can hold it, whatever it is. */
static void
check_value(const struct lsqs_shape *shape, const void *value, struct arena *arena)
{
    struct buf once = BUF_INIT, twice = BUF_INIT, xml = BUF_INIT;
    struct lsqs_error e = {.kind = LSQS_OK};
    struct xml_tree tree;
    void *again = arena_zalloc(arena, shape->size);
    lsqs_json_encode(shape, value, &once);
    check(lsqs_json_decode(buf_slice(&once), shape, again, arena, &e));
    lsqs_json_encode(shape, again, &twice);
    check(slice_equals(buf_slice(&once), buf_slice(&twice)));
    lsqs_xml_encode("Any", shape, value, "id", &xml);
    check(xml_tree_read(&tree, buf_slice(&xml)));
    xml_tree_clean_up(&tree);
    buf_clean_up(&once);
    buf_clean_up(&twice);
    buf_clean_up(&xml);
}

/* A refusal quotes what was sent. */
static void
check_refusal(const struct lsqs_error *e)
{
    struct buf xml = BUF_INIT;
    struct xml_tree tree;
    check(e->kind == LSQS_MALFORMED_QUERY || e->kind == LSQS_MALFORMED_INPUT || e->kind == LSQS_MISSING_PARAMETER);
    lsqs_xml_encode_refusal(&(struct lsqs_refusal){.status = lsqs_error_status(e->kind),
                                                   .code = lsqs_error_code(e->kind),
                                                   .message = e->message},
                            "id", &xml);
    check(xml_tree_read(&tree, buf_slice(&xml)));
    xml_tree_clean_up(&tree);
    buf_clean_up(&xml);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct lsqs_shape *const SHAPES[] = {
        &LSQS_SHAPE_SEND,         &LSQS_SHAPE_SEND_BATCH, &LSQS_SHAPE_RECEIVE,        &LSQS_SHAPE_VISIBILITY_BATCH,
        &LSQS_SHAPE_CREATE_QUEUE, &LSQS_SHAPE_UNTAG,      &LSQS_SHAPE_SET_ATTRIBUTES, &LSQS_SHAPE_PERMISSION,
        &LSQS_SHAPE_LIST_QUEUES,  &LSQS_SHAPE_SENT_BATCH /* it has a flag */};
    struct lsqs_error e = {.kind = LSQS_OK};
    struct arena arena;
    char action[LSQS_OPERATION_TEXT];
    if (size == 0)
        return 0;
    const struct lsqs_shape *shape = SHAPES[data[0] % (sizeof SHAPES / sizeof *SHAPES)];
    struct slice form = slice_of((const char *)data + 1, size - 1), query = take_line(&form);
    if (lsqs_form_find(form, "Action", action, sizeof action))
        check(strlen(action) < sizeof action);
    arena_init(&arena, 0);
    void *value = arena_zalloc(&arena, shape->size);
    if (lsqs_query_decode(query, form, shape, value, &arena, &e))
        check_value(shape, value, &arena);
    else
        check_refusal(&e);
    arena_clean_up(&arena);
    return 0;
}
