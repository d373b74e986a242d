/* The two protocols of fanout-local's SQS: what goes in comes out, through either of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/seeds.h"
#include "lib/sqs_values.h"
#include "local/sqs_form.h"

static const uint64_t KEPT_SEEDS[] = {1, 2};

#define ROUNDS 40

/* ---- there and back ---------------------------------------------------------------------------------------------- */

static void
through_json(struct sqs_values *v, const struct lsqs_shape *shape, const void *value)
{
    struct buf text = BUF_INIT;
    struct lsqs_error e = {.kind = LSQS_OK};
    void *back = arena_zalloc(v->arena, shape->size);
    lsqs_json_encode(shape, value, &text);
    if (!lsqs_json_decode(buf_slice(&text), shape, back, v->arena, &e))
        fail_msg("%s: %s", text.data, e.message);
    sqs_values_compare(shape, value, back, "JSON");
    buf_clean_up(&text);
}

/* In one piece, and a part of it in the query string. */
static void
through_query(struct sqs_values *v, const struct lsqs_shape *shape, const void *value)
{
    struct buf text = BUF_INIT;
    struct lsqs_error e = {.kind = LSQS_OK};
    void *back = arena_zalloc(v->arena, shape->size);
    sqs_values_write_query(v, shape, value, &text);
    const char *cut = seeds_draw(&v->random, 2) ? memchr(text.data, '&', text.len) : NULL;
    size_t n = cut ? (size_t)(cut - text.data) : 0;
    struct slice query = slice_of(text.data, n), form = slice_of(text.data + n, text.len - n);
    if (!lsqs_query_decode(query, form, shape, back, v->arena, &e))
        fail_msg("%s: %s", text.data, e.message);
    sqs_values_compare(shape, value, back, "Query");
    buf_clean_up(&text);
}

static void
through_xml(struct sqs_values *v, const struct lsqs_shape *shape, const void *value)
{
    struct buf text = BUF_INIT;
    struct xml_tree tree;
    lsqs_xml_encode("Any", shape, value, "the-id", &text);
    if (!xml_tree_read(&tree, buf_slice(&text)))
        fail_msg("not well-formed: %s", text.data);
    assert_string_equal(tree.root->name, "AnyResponse");
    assert_string_equal(xml_tree_text(&tree, "ResponseMetadata.RequestId"), "the-id");
    sqs_values_compare(shape, value, sqs_values_read_xml(v->arena, shape, xml_tree_at(&tree, "AnyResult")), "XML");
    xml_tree_clean_up(&tree);
    buf_clean_up(&text);
}

static void
through_all(uint64_t seed, const struct lsqs_shape *shape)
{
    struct arena arena;
    struct sqs_values v = {.random = seed, .arena = &arena, .any_text = seed % 2};
    arena_init(&arena, 0);
    const void *value = sqs_values_make(&v, shape);
    through_json(&v, shape, value);
    through_query(&v, shape, value);
    v.any_text = false;
    through_xml(&v, shape, sqs_values_make(&v, shape));
    arena_clean_up(&arena);
}

static void
whatever_an_operation_takes_or_gives_comes_through_every_codec(void **state)
{
    (void)state;
    const struct lsqs_operation *op;
    struct seeds seeds;
    uint64_t seed;
    seeds_init(&seeds, KEPT_SEEDS, sizeof KEPT_SEEDS / sizeof *KEPT_SEEDS);
    while (seeds_next(&seeds, &seed))
        for (size_t i = 0; (op = lsqs_operation_at(i)); i++)
            for (size_t round = 0; round < ROUNDS; round++) {
                through_all(seed * ROUNDS + round, op->request);
                if (op->result)
                    through_all(seed * ROUNDS + round, op->result);
            }
}

/* ---- Query ------------------------------------------------------------------------------------------------------- */

static void
assert_text(struct slice s, const char *expected)
{
    if (!slice_equals_string(s, expected))
        fail_msg("\"%.*s\" is not \"%s\"", SLICE_ARG(s), expected);
}

static bool
decode(const char *form, const struct lsqs_shape *shape, void *out, struct arena *arena, struct lsqs_error *e)
{
    *e = (struct lsqs_error){.kind = LSQS_OK};
    return lsqs_query_decode((struct slice){0}, slice_of_string(form), shape, out, arena, e);
}

static void
a_form_is_decoded_by_its_shape(void **state)
{
    (void)state;
    struct lsqs_send_one r = {0};
    struct lsqs_error e;
    struct arena arena;
    arena_init(&arena, 0);
    assert_true(decode("Action=SendMessage&Unknown=1&MessageBody=a+b%2B%c3%a9&&DelaySeconds=7&"
                       "MessageAttribute.2.Name=second&MessageAttribute.2.Value.DataType=Binary&"
                       "MessageAttribute.2.Value.BinaryValue=AAE%3D&MessageAttribute.1.Value.StringValue=&"
                       "MessageAttribute.1.Value.DataType=String&MessageAttribute.1.Name=fir%73t&Version=x",
                       &LSQS_SHAPE_SEND, &r, &arena, &e));
    assert_text(r.entry.body, "a b+\xc3\xa9");
    assert_true(r.entry.delay_s.given && r.entry.delay_s.value == 7);
    assert_null(r.queue_url.p);
    assert_int_equal(r.entry.attributes.n, 2);
    const struct lsqs_attribute *a = r.entry.attributes.items;
    assert_text(a[0].name, "first");
    assert_non_null(a[0].string_value.p);
    assert_int_equal(a[0].string_value.n, 0);
    assert_text(a[1].name, "second");
    assert_int_equal(a[1].binary_value.n, 2);
    assert_null(a[1].string_value.p);
    arena_clean_up(&arena);
}

/* It was arithmetic with a null pointer. */
static void
a_form_without_parameters_gives_nothing(void **state)
{
    (void)state;
    static const char *const FORMS[] = {"", "&", "&&&"};
    for (size_t i = 0; i < 3; i++) {
        struct lsqs_receive r = {0};
        struct lsqs_error e;
        struct arena arena;
        arena_init(&arena, 0);
        assert_true(decode(FORMS[i], &LSQS_SHAPE_RECEIVE, &r, &arena, &e));
        assert_null(r.queue_url.p);
        assert_false(r.attribute_names.given);
        arena_clean_up(&arena);
    }
}

static void
the_only_item_of_a_list_needs_no_number(void **state)
{
    (void)state;
    struct lsqs_get_attributes names = {0};
    struct lsqs_set_attributes set = {0};
    struct lsqs_batch batch = {0};
    struct lsqs_error e;
    struct arena arena;
    arena_init(&arena, 0);
    assert_true(decode("AttributeName=All", &LSQS_SHAPE_GET_ATTRIBUTES, &names, &arena, &e));
    assert_int_equal(names.names.n, 1);
    assert_text(*(struct slice *)names.names.items, "All");
    assert_true(
        decode("Attribute.Value=40&Attribute.Name=VisibilityTimeout", &LSQS_SHAPE_SET_ATTRIBUTES, &set, &arena, &e));
    const struct local_sqs_attribute *a = set.attributes.items;
    assert_int_equal(set.attributes.n, 1);
    assert_text(a->name, "VisibilityTimeout");
    assert_text(a->value, "40");
    assert_true(decode("Attribute.Name=last&Attribute.2.Name=b&Attribute.2.Value=&Attribute.Value=v&"
                       "Attribute.1.Value=&Attribute.1.Name=a",
                       &LSQS_SHAPE_SET_ATTRIBUTES, &set, &arena, &e));
    a = set.attributes.items;
    assert_int_equal(set.attributes.n, 3);
    assert_text(a[0].name, "a");
    assert_text(a[1].name, "b");
    assert_text(a[2].name, "last"); /* among others it is the last */
    assert_true(decode("DeleteMessageBatchRequestEntry.Id=x&DeleteMessageBatchRequestEntry.ReceiptHandle=h",
                       &LSQS_SHAPE_DELETE_BATCH, &batch, &arena, &e));
    assert_int_equal(batch.entries.n, 1);
    assert_text(((struct lsqs_settle *)batch.entries.items)->handle, "h");
    arena_clean_up(&arena);
}

static void
items_come_in_the_order_of_their_numbers(void **state)
{
    (void)state;
    struct lsqs_untag r = {0};
    struct lsqs_error e;
    struct arena arena;
    static const char *const EXPECTED[] = {"zero", "two", "nine", "ten", "ninety", "huge"};
    arena_init(&arena, 0);
    assert_true(decode("TagKey.10=ten&TagKey.99999999999999999999999999999=huge&TagKey.2=first&TagKey.0=zero&"
                       "TagKey.009=nine&TagKey.90=ninety&TagKey.02=two",
                       &LSQS_SHAPE_UNTAG, &r, &arena, &e));
    assert_int_equal(r.keys.n, 6);
    for (size_t i = 0; i < 6; i++)
        assert_text(((struct slice *)r.keys.items)[i], EXPECTED[i]);
    arena_clean_up(&arena);
}

static void
what_no_client_may_send_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *form;
        const struct lsqs_shape *shape;
        enum lsqs_error_kind kind;
        const char *message; /* what it begins with */
    } CASES[] = {
        {"MessageBody=%", &LSQS_SHAPE_SEND, LSQS_MALFORMED_QUERY, "The query string contains a syntax error: \"%\""},
        {"MessageBody=%4", &LSQS_SHAPE_SEND, LSQS_MALFORMED_QUERY, "The query string contains a syntax error: \"%4\""},
        {"MessageBody=a%4gb", &LSQS_SHAPE_SEND, LSQS_MALFORMED_QUERY,
         "The query string contains a syntax error: \"%4g"},
        {"Unkn%zzwn=1", &LSQS_SHAPE_SEND, LSQS_MALFORMED_QUERY, "The query string contains"},
        {"MessageBody=%ff", &LSQS_SHAPE_SEND, LSQS_MALFORMED_QUERY, "The query string is not encoded in UTF-8."},
        {"MessageBody=\xc3", &LSQS_SHAPE_SEND, LSQS_MALFORMED_QUERY, "The query string is not encoded in UTF-8."},
        {"DelaySeconds=", &LSQS_SHAPE_SEND, LSQS_MALFORMED_INPUT, "\"\" is not an integer"},
        {"DelaySeconds=5.0", &LSQS_SHAPE_SEND, LSQS_MALFORMED_INPUT, "\"5.0\" is not an integer"},
        {"DelaySeconds=%2B5", &LSQS_SHAPE_SEND, LSQS_MALFORMED_INPUT, "\"+5\" is not an integer"},
        {"DelaySeconds=-", &LSQS_SHAPE_SEND, LSQS_MALFORMED_INPUT, "\"-\" is not an integer"},
        {"DelaySeconds.1=5", &LSQS_SHAPE_SEND, LSQS_MALFORMED_INPUT, "Start of structure or map found"},
        {"MessageBody=a&MessageBody.x=b", &LSQS_SHAPE_SEND, LSQS_MALFORMED_INPUT, "Start of structure or map found"},
        {"AttributeName.1.x=b", &LSQS_SHAPE_RECEIVE, LSQS_MALFORMED_INPUT, "Start of structure or map found"},
        {"AttributeName.member.1=b", &LSQS_SHAPE_RECEIVE, LSQS_MALFORMED_INPUT, "Start of structure or map found"},
        {"AttributeName=a&AttributeName.1=b", &LSQS_SHAPE_RECEIVE, LSQS_MALFORMED_INPUT, "Start of structure or map"},
        {"MessageAttribute.1.Name=x&MessageAttribute.1.Value.BinaryValue=%21", &LSQS_SHAPE_SEND, LSQS_MALFORMED_INPUT,
         "a blob is not in base64"},
        {"MessageAttribute.1.Name=x", &LSQS_SHAPE_SEND, LSQS_MISSING_PARAMETER,
         "The request must contain the parameter MessageAttribute.1.Value."},
        {"Attribute.12.Value=x", &LSQS_SHAPE_SET_ATTRIBUTES, LSQS_MISSING_PARAMETER,
         "The request must contain the parameter Attribute.12.Name."},
        {"Attribute.Name=x", &LSQS_SHAPE_SET_ATTRIBUTES, LSQS_MISSING_PARAMETER,
         "The request must contain the parameter Attribute.Value."},
        {"Tag.1.Name=x&Tag.1.Value=y", &LSQS_SHAPE_TAG, LSQS_MISSING_PARAMETER,
         "The request must contain the parameter Tag.1.Key."},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct lsqs_error e;
        struct arena arena;
        arena_init(&arena, 0);
        void *out = arena_zalloc(&arena, CASES[i].shape->size);
        if (decode(CASES[i].form, CASES[i].shape, out, &arena, &e) || e.kind != CASES[i].kind ||
            strncmp(e.message, CASES[i].message, strlen(CASES[i].message)) != 0)
            fail_msg("%s: %d, %s", CASES[i].form, (int)e.kind, e.message);
        arena_clean_up(&arena);
    }
}

static void
a_number_that_is_too_large_is_the_largest(void **state)
{
    (void)state;
    static const struct {
        const char *form;
        int64_t value;
    } CASES[] = {
        {"DelaySeconds=9223372036854775807", INT64_MAX},          {"DelaySeconds=9223372036854775808", INT64_MAX},
        {"DelaySeconds=-99999999999999999999999999", -INT64_MAX}, {"DelaySeconds=-0", 0},
        {"DelaySeconds=000000000000000000000000000012", 12},      {"DelaySeconds=1&DelaySeconds=2", 2}};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct lsqs_send_one r = {0};
        struct lsqs_error e;
        struct arena arena;
        arena_init(&arena, 0);
        assert_true(decode(CASES[i].form, &LSQS_SHAPE_SEND, &r, &arena, &e));
        assert_true(r.entry.delay_s.given);
        assert_true(r.entry.delay_s.value == CASES[i].value);
        arena_clean_up(&arena);
    }
}

static void
parameters_are_counted(void **state)
{
    (void)state;
    struct buf form = BUF_INIT;
    struct lsqs_receive r = {0};
    struct lsqs_error e;
    struct arena arena;
    arena_init(&arena, 0);
    for (int i = 0; i < LSQS_FORM_FIELDS; i++)
        buf_add_format(&form, "&AttributeName.%d=x", LSQS_FORM_FIELDS - i);
    assert_true(decode(form.data, &LSQS_SHAPE_RECEIVE, &r, &arena, &e));
    assert_int_equal(r.attribute_names.n, LSQS_FORM_FIELDS);
    buf_add_string(&form, "&x");
    assert_false(decode(form.data, &LSQS_SHAPE_RECEIVE, &r, &arena, &e));
    assert_string_equal(e.message, "The request has more than 10000 parameters.");
    buf_clean_up(&form);
    arena_clean_up(&arena);
}

static void
the_first_parameter_of_a_name_is_found(void **state)
{
    (void)state;
    char out[8];
    assert_true(
        lsqs_form_find(SLICE("NoAction=a&Action%20=b&Act%69on=Send%4dessage&Action=c"), "Action", out, sizeof out));
    assert_string_equal(out, "SendMes");
    assert_false(lsqs_form_find(SLICE("Action=&Action=x"), "Action", out, sizeof out));
    assert_false(lsqs_form_find(SLICE("Action&Actio=x&Actions=y&Action%"), "Action", out, sizeof out));
    assert_false(lsqs_form_find((struct slice){0}, "Action", out, sizeof out));
}

/* ---- XML --------------------------------------------------------------------------------------------------------- */

static void
text_is_escaped_and_what_xml_cannot_hold_is_replaced(void **state)
{
    (void)state;
    static const struct {
        const char *text, *written;
    } CASES[] = {
        {"a&<>\"'b", "a&amp;&lt;&gt;&quot;'b"},
        {"\t\n\r", "\t\n&#xD;"},
        {"\x01x\x1f\x7f", "\xef\xbf\xbdx\xef\xbf\xbd\x7f"},
        {"\xef\xbf\xbe\xef\xbf\xbf\xef\xbf\xbd", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xff"
         "a\xc3",
         "\xef\xbf\xbd"
         "a\xef\xbf\xbd"},
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xc3\xa9\xf0\x9f\x98\x80", "\xc3\xa9\xf0\x9f\x98\x80"},
        {"", ""},
    };
    struct buf out = BUF_INIT;
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        buf_reset(&out);
        buf_add_string(&out, "");
        lsqs_xml_write_text(&out, slice_of_string(CASES[i].text));
        assert_string_equal(out.data, CASES[i].written);
    }
    buf_reset(&out);
    lsqs_xml_write_text(&out, SLICE("a\0b"));
    assert_string_equal(out.data, "a\xef\xbf\xbd"
                                  "b");
    buf_clean_up(&out);
}

static void
a_result_is_written_as_aws_writes_it(void **state)
{
    (void)state;
    struct local_sqs_attribute attribute = {SLICE("SenderId"), SLICE("a")};
    struct lsqs_attribute user = {.name = SLICE("x"), .data_type = SLICE("Binary"), .binary_value = SLICE("\x00\x01")};
    struct lsqs_message m = {.message_id = SLICE("id"),
                             .body = SLICE("1<2"),
                             .attributes = {.items = &attribute, .n = 1},
                             .message_attributes = {.items = &user, .n = 1}};
    struct lsqs_messages_result r = {.messages = {.items = &m, .n = 1}};
    struct buf out = BUF_INIT;
    lsqs_xml_encode("ReceiveMessage", &LSQS_SHAPE_MESSAGES, &r, "ID", &out);
    assert_string_equal(
        out.data,
        "<?xml version=\"1.0\"?><ReceiveMessageResponse xmlns=\"http://queue.amazonaws.com/doc/2012-11-05/\">"
        "<ReceiveMessageResult><Message><MessageId>id</MessageId><Body>1&lt;2</Body><Attribute><Name>SenderId</Name>"
        "<Value>a</Value></Attribute><MessageAttribute><Name>x</Name><Value><BinaryValue>AAE=</BinaryValue>"
        "<DataType>Binary</DataType></Value></MessageAttribute></Message></ReceiveMessageResult>"
        "<ResponseMetadata><RequestId>ID</RequestId></ResponseMetadata></ReceiveMessageResponse>");
    buf_reset(&out);
    lsqs_xml_encode("ReceiveMessage", &LSQS_SHAPE_MESSAGES, &(struct lsqs_messages_result){0}, "ID", &out);
    assert_non_null(strstr(out.data, "/\"><ReceiveMessageResult/><ResponseMetadata>"));
    buf_reset(&out);
    lsqs_xml_encode("DeleteMessage", NULL, NULL, "ID", &out);
    assert_non_null(strstr(out.data, "/\"><ResponseMetadata>"));
    buf_clean_up(&out);
}

static void
an_error_is_written_as_aws_writes_it(void **state)
{
    (void)state;
    struct buf out = BUF_INIT;
    lsqs_xml_encode_refusal(&(struct lsqs_refusal){.status = 400, .shape = "s", .code = "C", .message = "\"\x01\""},
                            "ID", &out);
    assert_string_equal(out.data, "<?xml version=\"1.0\"?><ErrorResponse "
                                  "xmlns=\"http://queue.amazonaws.com/doc/2012-11-05/\"><Error><Type>Sender</Type>"
                                  "<Code>C</Code><Message>&quot;\xef\xbf\xbd&quot;</Message><Detail/></Error>"
                                  "<RequestId>ID</RequestId></ErrorResponse>");
    buf_reset(&out);
    lsqs_xml_encode_refusal(&(struct lsqs_refusal){.status = 503, .code = "C", .message = ""}, "ID", &out);
    assert_non_null(strstr(out.data, "<Type>Receiver</Type>"));
    buf_reset(&out);
    lsqs_xml_encode_refusal(&(struct lsqs_refusal){.status = 400, .code = LSQS_NO_OPERATION, .message = ""}, "ID",
                            &out);
    assert_string_equal(out.data, "<UnknownOperationException/>\n");
    buf_clean_up(&out);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_an_operation_takes_or_gives_comes_through_every_codec),
        cmocka_unit_test(a_form_is_decoded_by_its_shape),
        cmocka_unit_test(a_form_without_parameters_gives_nothing),
        cmocka_unit_test(the_only_item_of_a_list_needs_no_number),
        cmocka_unit_test(items_come_in_the_order_of_their_numbers),
        cmocka_unit_test(what_no_client_may_send_is_refused),
        cmocka_unit_test(a_number_that_is_too_large_is_the_largest),
        cmocka_unit_test(parameters_are_counted),
        cmocka_unit_test(the_first_parameter_of_a_name_is_found),
        cmocka_unit_test(text_is_escaped_and_what_xml_cannot_hold_is_replaced),
        cmocka_unit_test(a_result_is_written_as_aws_writes_it),
        cmocka_unit_test(an_error_is_written_as_aws_writes_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
