#include "aws/sqs_decode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include <limits.h>

#define HELLO_MD5 "5d41402abc4b2a76b9719d911017c592" /* of "hello" */
#define HELLO     "\"MessageId\":\"m\",\"ReceiptHandle\":\"r\",\"Body\":\"hello\",\"MD5OfBody\":\"" HELLO_MD5 "\""
#define FIVE      "{" HELLO "},{" HELLO "},{" HELLO "},{" HELLO "},{" HELLO "}"
#define ONE(more) "{\"Messages\":[{" HELLO more "}]}"

static int
receive(struct sqs_decoded *d, const char *answer, struct sqs_received *ret, struct err *e)
{
    sqs_decode_init(d);
    return sqs_decode_receive(d, slice_of_string(answer), 10, ret, e);
}

static void
assert_slice(struct slice s, const char *expected)
{
    if (!slice_equals_string(s, expected))
        fail_msg("'%.*s' is not '%s'", SLICE_ARG(s), expected);
}

static void
a_message_comes_out_whole(void **state)
{
    (void)state;
    struct sqs_decoded d;
    struct sqs_received r;
    const char *answer =
        "{\"Messages\":[{\"Attributes\":{\"ApproximateReceiveCount\":\"3\",\"SentTimestamp\":\"1795154400123\","
        "\"SenderId\":\"AIDA\",\"MessageGroupId\":\"g1\",\"MessageDeduplicationId\":\"d1\","
        "\"SequenceNumber\":\"18870993462943999744\",\"DeadLetterQueueSourceArn\":\"arn:aws:sqs:r:1:q\","
        "\"AWSTraceHeader\":\"Root=1\",\"New\":{}},\"Body\":\"{\\\"a\\\":1.10,\\n\\\"b\\\":\\\"\\\\u0000\\u00e9\\\"}\","
        "\"MD5OfBody\":\"2ca10cd2c5e5bbf2eeee5b0e1c9d92b7\",\"MD5OfMessageAttributes\":"
        "\"235c5c510d26fb653d073faed50ae77c\",\"MessageAttributes\":{\"timestamp\":{\"DataType\":\"Number\","
        "\"StringValue\":\"1493147359900\",\"StringListValues\":[]}},\"MessageId\":\"m1\",\"ReceiptHandle\":\"r1==\","
        "\"Unknown\":[1]}],\"Also\":null}";
    char md5[DIGEST_MD5_HEX];
    static const char body[] = "{\"a\":1.10,\n\"b\":\"\\u0000\xc3\xa9\"}";
    struct buf text = BUF_INIT;
    digest_md5_hex(body, sizeof body - 1, md5);
    buf_add_string(&text, answer);
    memcpy(strstr(text.data, "2ca10cd2"), md5, 32);
    assert_int_equal(receive(&d, text.data, &r, NULL), 0);
    assert_int_equal(r.n_messages, 1);
    assert_int_equal(r.corrupt, 0);
    const struct sqs_message *m = r.messages;
    assert_slice(m->id, "m1");
    assert_slice(m->receipt_handle, "r1==");
    assert_slice(m->body, body);
    assert_slice(m->md5_of_body, md5);
    assert_int_equal(m->receive_count, 3);
    assert_int_equal(m->sent_at_ms, 1795154400123);
    assert_slice(m->group, "g1");
    assert_slice(m->dedup_id, "d1");
    assert_slice(m->sequence_number, "18870993462943999744");
    assert_slice(m->dead_letter_source_arn, "arn:aws:sqs:r:1:q");
    assert_slice(m->trace_header, "Root=1");
    assert_int_equal(m->n_attributes, 1);
    assert_slice(m->attributes[0].name, "timestamp");
    assert_slice(m->attributes[0].type, "Number");
    assert_slice(m->attributes[0].value, "1493147359900");
    sqs_decode_clean_up(&d);
    buf_clean_up(&text);
}

static void
what_is_absent_has_its_default(void **state)
{
    (void)state;
    struct sqs_decoded d;
    struct sqs_received r;
    assert_int_equal(
        receive(&d, " {\"Messages\":[{\"MessageId\":\"m\",\"ReceiptHandle\":\"r\",\"Body\":\"hello\"}]}\r\n", &r, NULL),
        0);
    assert_int_equal(r.n_messages, 1);
    const struct sqs_message *m = r.messages;
    assert_int_equal(m->receive_count, 1);
    assert_int_equal(m->sent_at_ms, 0);
    assert_int_equal(m->group.n + m->dedup_id.n + m->sequence_number.n + m->dead_letter_source_arn.n, 0);
    assert_int_equal(m->n_attributes, 0);
    assert_slice(m->md5_of_body, HELLO_MD5);
    sqs_decode_clean_up(&d);
}

static void
no_messages_is_no_error(void **state)
{
    (void)state;
    static const char *const answers[] = {"{}", "{\"Messages\":[]}", "{\"Messages\":null}"};
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        struct sqs_decoded d;
        struct sqs_received r;
        assert_int_equal(receive(&d, answers[i], &r, NULL), 0);
        assert_int_equal(r.n_messages, 0);
        assert_null(r.error);
        sqs_decode_clean_up(&d);
    }
}

static void
messages_that_fail_their_md5_are_left_out_and_counted(void **state)
{
    (void)state;
    struct sqs_decoded d;
    struct sqs_received r;
    const char *answer =
        "{\"Messages\":["
        "{\"MessageId\":\"1\",\"ReceiptHandle\":\"r\",\"Body\":\"hellO\",\"MD5OfBody\":\"" HELLO_MD5 "\"},"
        "{\"MessageId\":\"2\",\"ReceiptHandle\":\"r\",\"Body\":\"hello\",\"MD5OfBody\":\"" HELLO_MD5 "\"},"
        "{\"MessageId\":\"3\",\"ReceiptHandle\":\"r\",\"Body\":\"hello\",\"MD5OfBody\":\"5d41\"},"
        "{\"MessageId\":\"4\",\"ReceiptHandle\":\"r\",\"Body\":\"hel\\u0000lo\",\"MD5OfBody\":\"" HELLO_MD5 "\"},"
        "{\"MessageId\":\"5\",\"ReceiptHandle\":\"r\",\"Body\":\"hello\",\"MD5OfBody\":\"" HELLO_MD5
        "\",\"MD5OfMessageAttributes\":\"235c5c510d26fb653d073faed50ae77c\"},"
        "{\"MessageId\":\"6\",\"ReceiptHandle\":\"r\",\"Body\":\"hello\",\"MD5OfBody\":\"" HELLO_MD5
        "\",\"MD5OfMessageAttributes\":\"235c5c510d26fb653d073faed50ae77c\",\"MessageAttributes\":"
        "{\"timestamp\":{\"DataType\":\"Number\",\"StringValue\":\"1493147359901\"}}}]}";
    assert_int_equal(receive(&d, answer, &r, NULL), 0);
    assert_int_equal(r.n_messages, 1);
    assert_slice(r.messages[0].id, "2");
    assert_int_equal(r.corrupt, 5);
    sqs_decode_clean_up(&d);
}

static void
binary_attributes_come_out_as_bytes(void **state)
{
    (void)state;
    struct sqs_decoded d;
    struct sqs_received r;
    assert_int_equal(receive(&d,
                             ONE(",\"MessageAttributes\":{\"raw\":{\"DataType\":\"Binary.x\",\"BinaryValue\":\"AAH/"
                                 "\"},\"none\":{\"DataType\":\"Binary\"},\"s\":{\"DataType\":\"String\","
                                 "\"StringValue\":\"AAH/\"}}"),
                             &r, NULL),
                     0);
    assert_int_equal(r.messages[0].n_attributes, 3);
    assert_int_equal(r.messages[0].attributes[0].value.n, 3);
    assert_memory_equal(r.messages[0].attributes[0].value.p, "\0\1\xff", 3);
    assert_int_equal(r.messages[0].attributes[1].value.n, 0);
    assert_slice(r.messages[0].attributes[2].value, "AAH/");
    sqs_decode_clean_up(&d);
}

/* Each between two that are sound. */
static void
a_message_that_makes_no_sense_costs_itself_alone(void **state)
{
    (void)state;
    static const struct {
        const char *message, *says;
    } cases[] = {
        {"1", "a message is no object"},
        {"[{" HELLO "}]", "a message is no object"},
        {"null", "a message is no object"},
        {"{\"ReceiptHandle\":\"r\",\"Body\":\"\"}", "a message has no MessageId"},
        {"{\"MessageId\":\"\",\"ReceiptHandle\":\"r\",\"Body\":\"\"}", "a message has no MessageId"},
        {"{\"MessageId\":\"m\",\"ReceiptHandle\":\"\",\"Body\":\"\"}", "message m: a message has no ReceiptHandle"},
        {"{\"MessageId\":\"m\",\"Body\":\"\"}", "message m: a message has no ReceiptHandle"},
        {"{\"MessageId\":\"m\",\"ReceiptHandle\":null,\"Body\":\"\"}", "message m: a message has no ReceiptHandle"},
        {"{\"MessageId\":\"m\",\"ReceiptHandle\":\"r\"}", "message m: a message has no Body"},
        {"{\"MessageId\":7,\"ReceiptHandle\":\"r\",\"Body\":\"\"}", "MessageId is no string"},
        {"{" HELLO ",\"Attributes\":[]}", "message m: Attributes is no object"},
        {"{" HELLO ",\"Attributes\":{\"SentTimestamp\":1,\"x\":[{}]}}", "message m: SentTimestamp is no string"},
        {"{" HELLO ",\"Attributes\":{\"SentTimestamp\":\"soon\"}}", "message m: SentTimestamp is no number"},
        {"{" HELLO ",\"Attributes\":{\"ApproximateReceiveCount\":\"-1\"}}", "ApproximateReceiveCount is no number"},
        {"{" HELLO ",\"MessageAttributes\":3}", "MessageAttributes is no object"},
        {"{" HELLO ",\"MessageAttributes\":{\"a\":3}}", "attribute is no object"},
        {"{" HELLO ",\"MessageAttributes\":{\"a\":{\"DataType\":\"Binary\",\"BinaryValue\":\"?\"}}}", "no base64"},
        {"{" HELLO ",\"MD5OfMessageAttributes\":{\"]\":[]}}", "MD5OfMessageAttributes is no string"},
        {"{" HELLO ",\"MessageAttributes\":{\"\\ud800\":{\"DataType\":\"String\"}}}", "half of a surrogate pair"},
        {"{\"MessageId\":\"m\",\"ReceiptHandle\":\"r\",\"Body\":\"\\udc00\"}", "message m: Body holds half"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sqs_decoded d;
        struct sqs_received r;
        struct err e;
        char answer[1000];
        snprintf(answer, sizeof answer, "{\"Messages\":[{" HELLO "},%s,%s,{" HELLO "}],\"x\":1}", cases[i].message,
                 cases[i].message);
        assert_int_equal(receive(&d, answer, &r, &e), 0);
        assert_int_equal(r.n_messages, 2);
        assert_slice(r.messages[1].body, "hello");
        assert_int_equal(r.corrupt, 0);
        assert_int_equal(r.garbled, 2);
        if (!strstr(r.garbled_as, cases[i].says))
            fail_msg("%s\nsays: %s\nnot: %s", answer, r.garbled_as, cases[i].says);
        sqs_decode_clean_up(&d);
    }
}

#define OF_GROUP(id, group, more)                                                                                      \
    "{\"MessageId\":\"" id "\",\"ReceiptHandle\":\"r\",\"Body\":\"hello\",\"MD5OfBody\":\"" HELLO_MD5                  \
    "\",\"Attributes\":{" more "\"MessageGroupId\":\"" group "\"}}"

/* Damaged in each way: of group g-1 if that can be told, between others of two groups. */
static void
what_may_be_of_a_damaged_message_s_group_and_stands_behind_it_is_marked(void **state)
{
    (void)state;
    static const struct {
        const char *message;
        bool told;
    } cases[] = {
        {"{\"MessageId\":\"m\",\"ReceiptHandle\":\"r\",\"Body\":\"hallo\",\"MD5OfBody\":\"" HELLO_MD5
         "\",\"Attributes\":{\"MessageGroupId\":\"g-1\"}}",
         true},
        {"{\"MessageId\":\"m\",\"ReceiptHandle\":\"r\",\"Body\":\"hallo\",\"MD5OfBody\":\"" HELLO_MD5 "\"}", false},
        {OF_GROUP("m", "g-1", "\"SentTimestamp\":\"soon\","), true},
        {OF_GROUP("m", "g-1", "\"SentTimestamp\":1,"), true},
        {OF_GROUP("", "g-1", ""), true},
        {OF_GROUP("", "\\u0067-1", ""), true},
        {OF_GROUP("", "", ""), false},
        {OF_GROUP("", "\\ud800", ""), false},
        {"{\"MessageId\":\"m\",\"Attributes\":{\"MessageGroupId\":[\"g-1\"]}}", false},
        {"{\"MessageId\":\"m\",\"Attributes\":[\"MessageGroupId\",\"g-1\"]}", false},
        {"\"g-1\"", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sqs_decoded d;
        struct sqs_received r;
        struct err e;
        char answer[1000];
        snprintf(answer, sizeof answer, "{\"Messages\":[%s,%s,%s,%s,{" HELLO "}]}", OF_GROUP("1", "g-1", ""),
                 cases[i].message, OF_GROUP("2", "g-2", ""), OF_GROUP("3", "g-1", ""));
        assert_int_equal(receive(&d, answer, &r, &e), 0);
        assert_int_equal(r.corrupt + r.garbled, 1);
        assert_int_equal(r.n_messages, 4);
        assert_false(r.messages[0].behind_damaged);
        if (r.messages[1].behind_damaged == cases[i].told)
            fail_msg("%s: another group is %s", answer, cases[i].told ? "marked" : "not marked");
        assert_true(r.messages[2].behind_damaged);
        assert_true(r.messages[3].behind_damaged); /* itself without a group */
        sqs_decode_clean_up(&d);
    }
}

static void
an_answer_that_makes_no_sense_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *answer, *says;
    } cases[] = {
        {"", "no JSON object"},
        {"<html>502</html>", "no JSON object"},
        {"[]", "no JSON object"},
        {"null", "no JSON object"},
        {"{\"Messages\":[{" HELLO "}", "no JSON object"},
        {"{}{}", "no JSON object"},
        {"{\"Messages\":{}}", "Messages is no array"},
        {"{\"Messages\":[" FIVE "," FIVE ",{" HELLO "}]}", "more messages came than the 10"},
        {"{\"Messages\":[}]}", "no JSON object"},
        {"{\"Messages\":[{" HELLO ",\"Attributes\":[]}}", "no JSON object"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sqs_decoded d;
        struct sqs_received r = {.corrupt = 77};
        struct err e;
        assert_int_equal(receive(&d, cases[i].answer, &r, &e), ERR_PROTOCOL);
        if (!strstr(e.text, cases[i].says))
            fail_msg("%s\nsays: %s\nnot: %s", cases[i].answer, e.text, cases[i].says);
        assert_int_equal(r.corrupt, 77);
        sqs_decode_clean_up(&d);
    }
}

static void
a_receive_count_past_all_bounds_is_cut(void **state)
{
    (void)state;
    struct sqs_decoded d;
    struct sqs_received r;
    assert_int_equal(receive(&d, ONE(",\"Attributes\":{\"ApproximateReceiveCount\":\"99999999999\"}"), &r, NULL), 0);
    assert_int_equal(r.messages[0].receive_count, UINT_MAX);
    sqs_decode_clean_up(&d);
}

/* ---- batches --------------------------------------------------------------------------------------------------- */

static void
batch_results_belong_to_their_entries(void **state)
{
    (void)state;
    struct sqs_decoded d;
    struct sqs_batch_result r;
    sqs_decode_init(&d);
    assert_int_equal(sqs_decode_batch(&d,
                                      SLICE("{\"Failed\":[{\"Id\":\"1\",\"Code\":\"ReceiptHandleIsInvalid\","
                                            "\"Message\":\"The receipt handle has expired\",\"SenderFault\":true}],"
                                            "\"Successful\":[{\"Id\":\"2\"},{\"Id\":\"0\",\"MessageId\":\"m0\"}]}"),
                                      3, NULL, &r, NULL),
                     0);
    assert_int_equal(r.n, 3);
    assert_true(r.results[0].ok && r.results[2].ok);
    assert_string_equal(r.results[0].code, "");
    assert_string_equal(r.results[0].message, "");
    assert_string_equal(r.results[0].message_id, "m0");
    assert_false(r.results[1].ok);
    assert_true(r.results[1].sender_fault);
    assert_string_equal(r.results[1].code, "ReceiptHandleIsInvalid");
    assert_string_equal(r.results[1].message, "The receipt handle has expired");
    sqs_decode_clean_up(&d);
}

/* Decodes a batch of two and returns the code of entry i ("" when it is ok). */
static const char *
code_of(const char *answer, size_t i)
{
    static char code[sizeof((struct sqs_result *)0)->code];
    struct sqs_decoded d;
    struct sqs_batch_result r;
    sqs_decode_init(&d);
    assert_int_equal(sqs_decode_batch(&d, slice_of_string(answer), 2, NULL, &r, NULL), 0);
    assert_int_equal(r.n, 2);
    assert_true(r.results[i].ok == (r.results[i].code[0] == '\0'));
    memcpy(code, r.results[i].code, sizeof code);
    sqs_decode_clean_up(&d);
    return code;
}

static void
an_entry_nobody_mentions_is_missing(void **state)
{
    (void)state;
    assert_string_equal(code_of("{}", 0), "missing");
    assert_string_equal(code_of("{\"Successful\":[{\"Id\":\"0\"}]}", 1), "missing");
    assert_string_equal(code_of("{\"Successful\":[{\"Id\":\"0\"}]}", 0), "");
}

static void
ids_that_are_none_of_ours_are_passed_over(void **state)
{
    (void)state;
    assert_string_equal(code_of("{\"Successful\":[{\"Id\":\"2\"},{\"Id\":\"01\"},{\"Id\":\"-1\"},{\"Id\":\"x\"},"
                                "{\"Id\":1},{},7,null,{\"Id\":\"18446744073709551617\"},{\"Id\":\"\"}]}",
                                1),
                        "missing");
    assert_string_equal(code_of("{\"Failed\":[{\"Id\":\"9\",\"Code\":\"c\"}],\"Successful\":[{\"Id\":\"0\"}]}", 0), "");
}

static void
a_contradicted_success_is_a_failure(void **state)
{
    (void)state;
    const char *both = "{\"Successful\":[{\"Id\":\"0\"}],\"Failed\":[{\"Id\":\"0\",\"Code\":\"first\"},"
                       "{\"Id\":\"0\",\"Code\":\"second\"},{\"Id\":\"1\"}]}";
    assert_string_equal(code_of(both, 0), "first");
    assert_string_equal(code_of(both, 1), "unknown");
    assert_string_equal(code_of("{\"Successful\":[{\"Id\":\"0\"},{\"Id\":\"0\"}]}", 0), "");
}

static void
a_batch_answer_that_makes_no_sense_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *answer, *says;
    } cases[] = {
        {"not json", "no JSON object"},
        {"{\"Successful\":7}", "Successful is no array"},
        {"{\"Failed\":{}}", "Failed is no array"},
        {"{\"Failed\":[{\"Id\":\"0\",\"Code\":5}]}", "Code is no string"},
        {"{\"Successful\":[{\"Id\":\"0\",\"MessageId\":5}]}", "MessageId is no string"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sqs_decoded d;
        struct sqs_batch_result r;
        struct err e;
        sqs_decode_init(&d);
        assert_int_equal(sqs_decode_batch(&d, slice_of_string(cases[i].answer), 2, NULL, &r, &e), ERR_PROTOCOL);
        if (!strstr(e.text, cases[i].says))
            fail_msg("%s\nsays: %s\nnot: %s", cases[i].answer, e.text, cases[i].says);
        sqs_decode_clean_up(&d);
    }
}

static void
long_and_strange_texts_are_cut_and_cleaned(void **state)
{
    (void)state;
    struct sqs_decoded d;
    struct sqs_batch_result r;
    struct buf answer = BUF_INIT;
    buf_add_string(&answer, "{\"Failed\":[{\"Id\":\"0\",\"Code\":\"a\\nb\\u001b\xc3\xa9\",\"Message\":\"");
    for (int i = 0; i < 1000; i++)
        buf_add_char(&answer, 'm');
    buf_add_string(&answer, "\"}]}");
    sqs_decode_init(&d);
    assert_int_equal(sqs_decode_batch(&d, buf_slice(&answer), 1, NULL, &r, NULL), 0);
    assert_string_equal(r.results[0].code, "a?b???");
    assert_int_equal(strlen(r.results[0].message), sizeof r.results[0].message - 1);
    sqs_decode_clean_up(&d);
    buf_clean_up(&answer);
}

static void
a_send_that_arrived_changed_is_no_success(void **state)
{
    (void)state;
    const struct sqs_decode_sent sent[] = {{HELLO_MD5, ""}, {HELLO_MD5, ""}, {HELLO_MD5, HELLO_MD5}, {HELLO_MD5, ""}};
    struct sqs_decoded d;
    struct sqs_batch_result r;
    sqs_decode_init(&d);
    assert_int_equal(
        sqs_decode_batch(&d,
                         SLICE("{\"Successful\":[{\"Id\":\"0\",\"MessageId\":\"a\",\"MD5OfMessageBody\":\"" HELLO_MD5
                               "\"},{\"Id\":\"1\",\"MessageId\":\"b\",\"MD5OfMessageBody\":\"0\"},{\"Id\":\"2\","
                               "\"MD5OfMessageBody\":\"" HELLO_MD5 "\",\"MD5OfMessageAttributes\":\"0\"},"
                               "{\"Id\":\"3\",\"MessageId\":\"d\"}]}"),
                         4, sent, &r, NULL),
        0);
    assert_true(r.results[0].ok);
    assert_string_equal(r.results[0].message_id, "a");
    assert_string_equal(r.results[1].code, "checksum");
    assert_string_equal(r.results[2].code, "checksum");
    assert_false(r.results[2].sender_fault);
    assert_true(r.results[3].ok);
    sqs_decode_clean_up(&d);
}

static void
a_single_send_is_a_batch_of_one(void **state)
{
    (void)state;
    const struct sqs_decode_sent sent = {HELLO_MD5, ""};
    struct sqs_decoded d;
    struct sqs_batch_result r;
    struct err e;
    sqs_decode_init(&d);
    assert_int_equal(
        sqs_decode_send(&d, SLICE("{\"MD5OfMessageBody\":\"" HELLO_MD5 "\",\"MessageId\":\"m\"}"), &sent, &r, NULL), 0);
    assert_int_equal(r.n, 1);
    assert_true(r.results[0].ok);
    assert_string_equal(r.results[0].message_id, "m");
    sqs_decode_clean_up(&d);
    sqs_decode_init(&d);
    assert_int_equal(sqs_decode_send(&d, SLICE("{\"MD5OfMessageBody\":\"1\",\"MessageId\":\"m\"}"), &sent, &r, NULL),
                     0);
    assert_false(r.results[0].ok);
    sqs_decode_clean_up(&d);
    sqs_decode_init(&d);
    assert_int_equal(sqs_decode_send(&d, SLICE("{}"), &sent, &r, &e), ERR_PROTOCOL);
    assert_non_null(strstr(e.text, "MessageId"));
    sqs_decode_clean_up(&d);
}

/* ---- queues ---------------------------------------------------------------------------------------------------- */

static void
a_queue_has_its_url(void **state)
{
    (void)state;
    struct sqs_decoded d;
    struct sqs_queue q;
    sqs_decode_init(&d);
    assert_int_equal(sqs_decode_queue_url(&d, SLICE("{\"QueueUrl\":\"http://h/q\"}"), &q, NULL), 0);
    assert_slice(q.url, "http://h/q");
    sqs_decode_clean_up(&d);
    sqs_decode_init(&d);
    assert_int_equal(sqs_decode_queue_url(&d, SLICE("{\"QueueUrl\":\"\"}"), &q, NULL), ERR_PROTOCOL);
    sqs_decode_clean_up(&d);
}

static int
queue_attributes(struct sqs_decoded *d, const char *attributes, struct sqs_queue *ret, struct err *e)
{
    struct buf answer = BUF_INIT;
    buf_add_format(&answer, "{\"Attributes\":{%s}}", attributes);
    sqs_decode_init(d);
    int rc = sqs_decode_queue_attributes(d, buf_slice(&answer), ret, e);
    buf_clean_up(&answer);
    return rc;
}

static void
a_queue_has_its_attributes(void **state)
{
    (void)state;
    struct sqs_decoded d;
    struct sqs_queue q;
    assert_int_equal(queue_attributes(&d,
                                      "\"VisibilityTimeout\":\"30\",\"FifoQueue\":\"true\",\"QueueArn\":\"arn:q\","
                                      "\"ApproximateNumberOfMessages\":\"12\","
                                      "\"ApproximateNumberOfMessagesNotVisible\":\"3\","
                                      "\"ApproximateNumberOfMessagesDelayed\":\"1\",\"KmsMasterKeyId\":\"k\","
                                      "\"RedrivePolicy\":\"{\\\"deadLetterTargetArn\\\":\\\"arn:dlq\\\","
                                      "\\\"maxReceiveCount\\\":\\\"10\\\"}\"",
                                      &q, NULL),
                     0);
    assert_int_equal(q.visibility_timeout_s, 30);
    assert_true(q.fifo);
    assert_slice(q.arn, "arn:q");
    assert_slice(q.dead_letter_arn, "arn:dlq");
    assert_int_equal(q.max_receive_count, 10);
    assert_int_equal(q.messages, 12);
    assert_int_equal(q.in_flight, 3);
    assert_int_equal(q.delayed, 1);
    sqs_decode_clean_up(&d);
    assert_int_equal(queue_attributes(&d, "\"RedrivePolicy\":\"{\\\"maxReceiveCount\\\":7}\"", &q, NULL), 0);
    assert_int_equal(q.max_receive_count, 7);
    assert_int_equal(q.dead_letter_arn.n, 0);
    assert_false(q.fifo);
    sqs_decode_clean_up(&d);
}

static void
a_queue_without_attributes_is_unknown_not_wrong(void **state)
{
    (void)state;
    struct sqs_decoded d;
    struct sqs_queue q;
    sqs_decode_init(&d);
    assert_int_equal(sqs_decode_queue_attributes(&d, SLICE("{}"), &q, NULL), 0);
    assert_int_equal(q.visibility_timeout_s, -1);
    assert_int_equal(q.max_receive_count, -1);
    assert_int_equal(q.dead_letter_arn.n, 0);
    sqs_decode_clean_up(&d);
    assert_int_equal(queue_attributes(&d, "\"RedrivePolicy\":\"\"", &q, NULL), 0);
    assert_int_equal(q.max_receive_count, -1);
    sqs_decode_clean_up(&d);
}

static void
a_broken_redrive_policy_is_named(void **state)
{
    (void)state;
    static const char *const broken[] = {"\"RedrivePolicy\":\"x\"",
                                         "\"RedrivePolicy\":{}",
                                         "\"RedrivePolicy\":\"{\\\"maxReceiveCount\\\":true}\"",
                                         "\"RedrivePolicy\":\"{\\\"maxReceiveCount\\\":\\\"ten\\\"}\"",
                                         "\"RedrivePolicy\":\"{\\\"maxReceiveCount\\\":1e300}\"",
                                         "\"VisibilityTimeout\":\"1.5\""};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        struct sqs_decoded d;
        struct sqs_queue q;
        struct err e;
        assert_int_equal(queue_attributes(&d, broken[i], &q, &e), ERR_PROTOCOL);
        assert_true(strstr(e.text, "RedrivePolicy") || strstr(e.text, "maxReceiveCount") ||
                    strstr(e.text, "VisibilityTimeout"));
        sqs_decode_clean_up(&d);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_comes_out_whole),
        cmocka_unit_test(what_is_absent_has_its_default),
        cmocka_unit_test(no_messages_is_no_error),
        cmocka_unit_test(messages_that_fail_their_md5_are_left_out_and_counted),
        cmocka_unit_test(binary_attributes_come_out_as_bytes),
        cmocka_unit_test(a_message_that_makes_no_sense_costs_itself_alone),
        cmocka_unit_test(what_may_be_of_a_damaged_message_s_group_and_stands_behind_it_is_marked),
        cmocka_unit_test(an_answer_that_makes_no_sense_is_named),
        cmocka_unit_test(a_receive_count_past_all_bounds_is_cut),
        cmocka_unit_test(batch_results_belong_to_their_entries),
        cmocka_unit_test(an_entry_nobody_mentions_is_missing),
        cmocka_unit_test(ids_that_are_none_of_ours_are_passed_over),
        cmocka_unit_test(a_contradicted_success_is_a_failure),
        cmocka_unit_test(a_batch_answer_that_makes_no_sense_is_named),
        cmocka_unit_test(long_and_strange_texts_are_cut_and_cleaned),
        cmocka_unit_test(a_send_that_arrived_changed_is_no_success),
        cmocka_unit_test(a_single_send_is_a_batch_of_one),
        cmocka_unit_test(a_queue_has_its_url),
        cmocka_unit_test(a_queue_has_its_attributes),
        cmocka_unit_test(a_queue_without_attributes_is_unknown_not_wrong),
        cmocka_unit_test(a_broken_redrive_policy_is_named),
    };
    return cmocka_run_group_tests_name("sqs_decode", tests, NULL, NULL);
}
