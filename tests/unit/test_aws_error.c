#include "aws/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/shared.h"
#include "lib/skip.h"

static struct aws_error
decode(int status, const char *body, const char *query_error)
{
    struct aws_error e;
    struct aws_error_answer a = {
        .status = status, .body = slice_of_string(body), .query_error = slice_of_string(query_error)};
    memset(&e, 'x', sizeof e);
    aws_error_decode("Operation", &a, &e);
    assert_int_equal(e.status, status);
    return e;
}

static void
json_gives_the_shape_without_its_namespace_and_the_message(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "{\"__type\":\"com.amazonaws.sqs#QueueDoesNotExist\",\"message\":\"gone\"}",
        "{\"__type\":\"QueueDoesNotExist\",\"Message\":\"gone\"}",
        " \r\n{\"__type\":\"a.b#QueueDoesNotExist:http://internal/doc\",\"errorMessage\":\"gone\"}",
        "{\"code\":\"QueueDoesNotExist\",\"message\":\"gone\"}",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct aws_error e = decode(400, bodies[i], NULL);
        assert_string_equal(e.code, "QueueDoesNotExist");
        assert_string_equal(e.message, "gone");
        assert_int_equal(e.err.code, ERR_NOT_FOUND);
        assert_string_equal(e.err.text, "Operation: QueueDoesNotExist: gone (HTTP 400)");
        assert_false(e.err.retryable || e.throttled || e.maybe_executed);
    }
}

static void
the_query_error_header_wins_when_it_has_two_parts(void **state)
{
    (void)state;
    static const char body[] = "{\"__type\":\"com.amazonaws.sqs#Shape\",\"message\":\"m\"}";
    static const char *const headers[][2] = {{"AWS.SimpleQueueService.Code;Sender", "AWS.SimpleQueueService.Code"},
                                             {"Code;Receiver", "Code"},
                                             {"Code;", "Code"},
                                             {"", "Shape"},
                                             {"Code", "Shape"},
                                             {";Sender", "Shape"},
                                             {"Code;Sender;More", "Shape"}};
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
        assert_string_equal(decode(400, body, headers[i][0]).code, headers[i][1]);
}

static void
the_error_type_header_goes_before_the_body(void **state)
{
    (void)state;
    struct aws_error e;
    struct aws_error_answer a = {.status = 400,
                                 .body = SLICE("{\"__type\":\"x#B\",\"message\":\"m\"}"),
                                 .error_type = SLICE("A:http://x"),
                                 .request_id = SLICE("id-1")};
    aws_error_decode("Operation", &a, &e);
    assert_string_equal(e.code, "A");
    assert_string_equal(e.request_id, "id-1");
    assert_string_equal(e.err.text, "Operation: A: m (HTTP 400, request id-1)");
}

static void
xml_of_s3_and_of_the_query_protocol_is_understood(void **state)
{
    (void)state;
    struct aws_error e = decode(404,
                                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>NoSuchKey</Code><Message>The "
                                "specified key does not exist &amp; never did.</Message><Key>a</Key><RequestId>R1"
                                "</RequestId><HostId>h</HostId></Error>",
                                NULL);
    assert_string_equal(e.code, "NoSuchKey");
    assert_string_equal(e.message, "The specified key does not exist & never did.");
    assert_string_equal(e.request_id, "R1");
    assert_int_equal(e.err.code, ERR_NOT_FOUND);
    e = decode(400,
               "<ErrorResponse xmlns=\"http://queue.amazonaws.com/doc/2012-11-05/\"><Error><Type>Sender</Type>"
               "<Code>InvalidParameterValue</Code><Message>Bad</Message><Detail><Code>inner</Code></Detail></Error>"
               "<RequestId>R2</RequestId></ErrorResponse>",
               NULL);
    assert_string_equal(e.code, "InvalidParameterValue");
    assert_string_equal(e.message, "Bad");
    assert_string_equal(e.request_id, "R2");
    assert_int_equal(e.err.code, ERR_INVALID);
}

static void
an_answer_without_a_body_is_known_by_its_status(void **state)
{
    (void)state;
    static const struct {
        int status, code;
        bool retryable, maybe_executed;
    } cases[] = {
        {301, ERR_PROTOCOL, false, false},   {400, ERR_INVALID, false, false},    {401, ERR_DENIED, false, false},
        {403, ERR_DENIED, false, false},     {404, ERR_NOT_FOUND, false, false},  {409, ERR_EXISTS, false, false},
        {412, ERR_EXISTS, false, false},     {429, ERR_UNAVAILABLE, true, false}, {500, ERR_UNAVAILABLE, true, true},
        {501, ERR_UNAVAILABLE, false, true}, {503, ERR_UNAVAILABLE, true, true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char number[8];
        struct aws_error e = decode(cases[i].status, "", NULL);
        snprintf(number, sizeof number, "%d", cases[i].status);
        assert_string_equal(e.code, number);
        assert_int_equal(e.err.code, cases[i].code);
        assert_int_equal(e.err.retryable, cases[i].retryable);
        assert_int_equal(e.maybe_executed, cases[i].maybe_executed);
    }
}

static void
a_throttled_call_was_not_executed(void **state)
{
    (void)state;
    struct aws_error e = decode(503, "<Error><Code>SlowDown</Code></Error>", NULL);
    assert_true(e.throttled && e.err.retryable);
    assert_false(e.maybe_executed);
    assert_int_equal(e.err.code, ERR_UNAVAILABLE);
    e = decode(403, "{\"__type\":\"com.amazonaws.sqs#RequestThrottled\"}", "RequestThrottled;Sender");
    assert_true(e.throttled);
}

/* A code says more than its status: SQS answers 403 for what has nothing to do with who asks, and 400 for what has. */
static void
a_code_goes_before_its_status(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *query_error;
        int code;
        bool retryable;
    } cases[] = {
        {403, "OverLimit;Sender", ERR_UNAVAILABLE, true},
        {403, "AWS.SimpleQueueService.PurgeQueueInProgress;Sender", ERR_UNAVAILABLE, true},
        {400, "AWS.SimpleQueueService.QueueDeletedRecently;Sender", ERR_UNAVAILABLE, true},
        {400, "KMS.AccessDeniedException;Sender", ERR_DENIED, false},
        {400, "QueueAlreadyExists;Sender", ERR_EXISTS, false},
        {404, "InvalidAddress;Sender", ERR_INVALID, false},
        {404, "ReceiptHandleIsInvalid;Sender", ERR_INVALID, false},
        {403, "InvalidSecurity;Sender", ERR_DENIED, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct aws_error e = decode(cases[i].status, "{\"__type\":\"x#Y\"}", cases[i].query_error);
        if (e.err.code != cases[i].code || e.err.retryable != cases[i].retryable)
            fail_msg("%s is %s%s", cases[i].query_error, err_name(e.err.code), e.err.retryable ? ", retryable" : "");
        assert_false(e.throttled || e.maybe_executed);
    }
}

static void
hostile_bodies_cost_nothing_and_break_no_line(void **state)
{
    (void)state;
    struct aws_error e = decode(400, "{\"__type\":\"A\\nB\",\"message\":\"line\\r\\nERROR forged\\u0007\"}", NULL);
    assert_string_equal(e.code, "A?B");
    assert_string_equal(e.message, "line??ERROR forged?");

    /* Entities that grow: the document type is not read at all. */
    e = decode(400,
               "<!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;\">]>"
               "<Error><Code>&b;</Code></Error>",
               NULL);
    assert_string_equal(e.code, "400");

    struct buf deep = BUF_INIT;
    for (int i = 0; i < 100000; i++)
        buf_add_string(&deep, i % 2 ? "{\"a\":" : "[");
    assert_string_equal(decode(400, deep.data, NULL).code, "400");
    buf_reset(&deep);
    for (int i = 0; i < 60000; i++)
        buf_add_string(&deep, "<a>");
    assert_string_equal(decode(400, deep.data, NULL).code, "400");

    /* Longer than is looked into. */
    buf_reset(&deep);
    buf_add_string(&deep, "{\"__type\":\"X\",\"pad\":\"");
    for (int i = 0; i < 300000; i++)
        buf_add_char(&deep, 'p');
    buf_add_string(&deep, "\"}");
    assert_string_equal(decode(400, deep.data, NULL).code, "400");
    buf_clean_up(&deep);
}

static void
long_texts_are_cut_between_characters(void **state)
{
    (void)state;
    struct buf body = BUF_INIT;
    buf_add_string(&body, "{\"__type\":\"");
    for (int i = 0; i < 400; i++)
        buf_add_char(&body, 'C');
    buf_add_string(&body, "\",\"message\":\"");
    for (int i = 0; i < 300; i++)
        buf_add_string(&body, "\xe2\x82\xac");
    buf_add_string(&body, "\"}");
    struct aws_error e = decode(400, body.data, NULL);
    assert_int_equal(strlen(e.code), sizeof e.code - 1);
    assert_int_equal(strlen(e.message), (sizeof e.message - 1) / 3 * 3);
    buf_clean_up(&body);
}

static void
a_body_cut_anywhere_gives_its_code_or_the_status(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "{\"__type\":\"com.amazonaws.sqs#QueueDoesNotExist\",\"message\":\"gone\"}",
        "<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code><Message>gone</Message></Error>"};
    for (size_t i = 0; i < 2; i++)
        for (size_t n = 0; n < strlen(bodies[i]); n++) {
            char *cut = strndup(bodies[i], n);
            struct aws_error e = decode(400, cut, NULL);
            if (strcmp(e.code, "400") != 0 && strcmp(e.code, "NoSuchKey") != 0)
                fail_msg("cut at %zu: %s", n, e.code);
            free(cut);
        }
}

static void
our_own_failures_are_named(void **state)
{
    (void)state;
    static const struct {
        int code;
        bool truncated;
        const char *name;
    } cases[] = {{ERR_UNAVAILABLE, false, "connection"},
                 {ERR_UNAVAILABLE, true, "truncated"},
                 {ERR_TIMEOUT, false, "timeout"},
                 {ERR_DENIED, false, "tls"},
                 {ERR_LIMIT, false, "limit"},
                 {ERR_PROTOCOL, false, "protocol"},
                 {ERR_CANCELLED, false, "cancelled"},
                 {ERR_NO_MEMORY, false, "internal"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int sent = 0; sent < 2; sent++) {
            struct http_response r = {.truncated = cases[i].truncated, .request_sent = sent};
            struct aws_error e;
            err_set(&r.error, (enum err_code)cases[i].code, "text");
            aws_error_from_response("Op", &r, &e);
            assert_string_equal(e.code, cases[i].name);
            assert_string_equal(e.err.text, "Op: text");
            assert_int_equal(e.err.code, cases[i].code);
            assert_int_equal(e.err.retryable, r.error.retryable);
            assert_int_equal(e.maybe_executed, sent);
            assert_int_equal(e.status, 0);
        }
}

static void
a_garbled_success_was_executed(void **state)
{
    (void)state;
    struct aws_error e;
    aws_error_garbled("Op", &(struct http_response){.status = 200}, "Messages is no array", &e);
    assert_string_equal(e.code, "garbled");
    assert_int_equal(e.err.code, ERR_PROTOCOL);
    assert_true(e.maybe_executed);
    assert_false(e.err.retryable);
    assert_string_equal(e.err.text, "Op: garbled: Messages is no array (HTTP 200)");
}

/* Every error recorded against AWS, wrapped as its protocol wraps it. */
static void
what_aws_was_seen_to_answer_is_read_back(void **state)
{
    (void)state;
    static const char *const files[] = {"data/sqs.observed-errors.json", "data/events.observed-errors.json"};
    size_t seen = 0;
    for (size_t f = 0; f < 2; f++) {
        struct buf text = BUF_INIT;
        if (!shared_read(files[f], &text))
            skip_because("no %s beside the repository", files[f]);
        cJSON *root = cJSON_ParseWithLength(text.data, text.len), *row;
        cJSON_ArrayForEach(row, cJSON_GetObjectItem(root, "rows"))
        {
            const cJSON *code = cJSON_GetObjectItem(row, "code"), *shape = cJSON_GetObjectItem(row, "shape");
            const cJSON *message = cJSON_GetObjectItem(row, "message"), *http = cJSON_GetObjectItem(row, "http");
            bool query = strcmp(cJSON_GetStringValue(cJSON_GetObjectItem(row, "protocol")), "query") == 0;
            if (!cJSON_IsString(code) || !cJSON_IsNumber(http))
                continue;
            struct buf body = BUF_INIT, header = BUF_INIT;
            if (query) {
                buf_add_format(&body, "<ErrorResponse><Error><Code>%s</Code></Error></ErrorResponse>",
                               code->valuestring);
            } else {
                cJSON *o = cJSON_CreateObject();
                const char *name = cJSON_IsString(shape) ? shape->valuestring : code->valuestring;
                char type[200];
                snprintf(type, sizeof type, "com.amazonaws.x#%s", name);
                cJSON_AddStringToObject(o, "__type", type);
                if (cJSON_IsString(message))
                    cJSON_AddStringToObject(o, "message", message->valuestring);
                char *printed = cJSON_PrintUnformatted(o);
                buf_add_string(&body, printed);
                if (cJSON_IsString(shape))
                    buf_add_format(&header, "%s;Sender", code->valuestring);
                free(printed);
                cJSON_Delete(o);
            }
            struct aws_error e = decode(http->valueint, body.data, header.data);
            assert_string_equal(e.code, code->valuestring);
            if (!query && cJSON_IsString(message) && strlen(message->valuestring) < sizeof e.message &&
                !strpbrk(message->valuestring, "\r\n\t"))
                assert_string_equal(e.message, message->valuestring);
            assert_int_not_equal(e.err.code, 0);
            buf_clean_up(&body);
            buf_clean_up(&header);
            seen++;
        }
        cJSON_Delete(root);
        buf_clean_up(&text);
    }
    assert_true(seen > 50);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_gives_the_shape_without_its_namespace_and_the_message),
        cmocka_unit_test(the_query_error_header_wins_when_it_has_two_parts),
        cmocka_unit_test(the_error_type_header_goes_before_the_body),
        cmocka_unit_test(xml_of_s3_and_of_the_query_protocol_is_understood),
        cmocka_unit_test(an_answer_without_a_body_is_known_by_its_status),
        cmocka_unit_test(a_throttled_call_was_not_executed),
        cmocka_unit_test(a_code_goes_before_its_status),
        cmocka_unit_test(hostile_bodies_cost_nothing_and_break_no_line),
        cmocka_unit_test(long_texts_are_cut_between_characters),
        cmocka_unit_test(a_body_cut_anywhere_gives_its_code_or_the_status),
        cmocka_unit_test(our_own_failures_are_named),
        cmocka_unit_test(a_garbled_success_was_executed),
        cmocka_unit_test(what_aws_was_seen_to_answer_is_read_back),
    };
    return cmocka_run_group_tests_name("aws_error", tests, NULL, NULL);
}
