/* The n-th allocation fails, with n rising until nothing fails any more: what reads and writes AWS's messages and files
 * must end each time with an error or a whole result, and leak nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "aws/aws.h"
#include "aws/error.h"
#include "aws/events_message.h"
#include "aws/profile.h"
#include "aws/s3_decode.h"
#include "aws/sigv4.h"
#include "aws/sqs_decode.h"
#include "aws/sqs_encode.h"
#include "lib/failing_malloc.h"

static int
decode_received(void)
{
    struct sqs_decoded d;
    struct sqs_received r;
    struct err e;
    sqs_decode_init(&d);
    int rc = sqs_decode_receive(
        &d,
        SLICE("{\"Messages\":[{\"MessageId\":\"m\",\"ReceiptHandle\":\"r\",\"Body\":\"hello\",\"Attributes\":"
              "{\"ApproximateReceiveCount\":\"2\"},\"MD5OfMessageAttributes\":\"235c5c510d26fb653d073faed50ae77c\","
              "\"MessageAttributes\":{\"timestamp\":{\"DataType\":\"Number\",\"StringValue\":\"1493147359900\"}}},"
              "{\"MessageId\":\"n\",\"ReceiptHandle\":\"s\",\"Body\":\"\",\"MessageAttributes\":{\"b\":{\"DataType\":"
              "\"Binary\",\"BinaryValue\":\"AAH/\"}}}]}"),
        10, &r, &e);
    if (rc == 0 && (r.n_messages != 2 || r.corrupt != 0 || r.messages[1].attributes[0].value.n != 3))
        rc = ERR_CORRUPT;
    sqs_decode_clean_up(&d);
    return rc;
}

static int
decode_results(void)
{
    struct sqs_decoded d;
    struct sqs_batch_result r;
    struct err e;
    sqs_decode_init(&d);
    int rc = sqs_decode_batch(&d, SLICE("{\"Successful\":[{\"Id\":\"0\",\"MessageId\":\"m\"}]}"), 2, NULL, &r, &e);
    if (rc == 0 && (!r.results[0].ok || r.results[1].ok))
        rc = ERR_CORRUPT;
    sqs_decode_clean_up(&d);
    return rc;
}

static int
decode_queue(void)
{
    struct sqs_decoded d;
    struct sqs_queue q;
    struct err e;
    sqs_decode_init(&d);
    int rc = sqs_decode_queue_attributes(
        &d,
        SLICE("{\"Attributes\":{\"RedrivePolicy\":\"{\\\"deadLetterTargetArn\\\":\\\"a\\\",\\\"maxReceiveCount\\\":3}"
              "\"}}"),
        &q, &e);
    if (rc == 0 && (q.max_receive_count != 3 || q.dead_letter_arn.n != 1))
        rc = ERR_CORRUPT;
    sqs_decode_clean_up(&d);
    return rc;
}

static int
encode_send(void)
{
    const struct sqs_attribute attribute = {.name = SLICE("b"), .type = SLICE("Binary"), .value = SLICE("bytes")};
    const struct sqs_send message = {.body = SLICE("a body"), .attributes = &attribute, .n_attributes = 1};
    struct buf text = BUF_INIT;
    sqs_encode_send_batch(&text, "http://q", &message, 1);
    int rc = buf_failed(&text) ? ERR_NO_MEMORY : text.data[text.len - 1] == '}' ? 0 : ERR_CORRUPT;
    buf_clean_up(&text);
    return rc;
}

static int
put_events(void)
{
    const struct events_entry entry = {.source = SLICE("s"), .detail_type = SLICE("t"), .detail = SLICE("{}")};
    struct events_result result;
    struct buf text = BUF_INIT;
    struct err e;
    size_t failed;
    events_message_encode(&text, &entry, 1);
    int rc = buf_failed(&text) ? ERR_NO_MEMORY : 0;
    buf_clean_up(&text);
    if (rc == 0)
        rc = events_message_decode(SLICE("{\"Entries\":[{\"EventId\":\"e\"}]}"), 1, &result, &failed, &e);
    return rc;
}

static int
decode_listing(void)
{
    struct arena arena;
    struct s3_listing l;
    struct err e;
    arena_init(&arena, 0);
    int rc = s3_decode_list(SLICE("<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
                                  "<NextContinuationToken>t</NextContinuationToken><Contents><Key>a%2Bb</Key><ETag>e"
                                  "</ETag></Contents><CommonPrefixes><Prefix>p</Prefix></CommonPrefixes>"
                                  "</ListBucketResult>"),
                            &arena, &l, &e);
    if (rc == 0 && (l.n_entries != 1 || l.n_prefixes != 1 || !slice_equals_string(l.entries[0].key, "a+b")))
        rc = ERR_CORRUPT;
    arena_clean_up(&arena);
    return rc;
}

/* The canonical text alone: OpenSSL without memory for a hash ends the program, as base/digest.h says. */
static int
canonicalise(void)
{
    struct sigv4_header headers[40];
    struct sigv4_request request = {.method = SLICE("GET"),
                                    .path = SLICE("/a/../b c"),
                                    .query = SLICE("b=1&a=2"),
                                    .headers = headers,
                                    .n_headers = 40,
                                    .payload_hash = SLICE("UNSIGNED-PAYLOAD")};
    const struct sigv4_scope scope = {.region = SLICE("r"), .service = SLICE("s"), .normalize_path = true};
    struct buf text = BUF_INIT, names = BUF_INIT;
    struct err e;
    for (size_t i = 0; i < 40; i++)
        headers[i] = (struct sigv4_header){.name = SLICE("host"), .value = SLICE("h")};
    int rc = sigv4_canonical_request(&request, &scope, &text, &names, &e);
    if (rc == 0 && !slice_starts_with(buf_slice(&text), SLICE("GET\n/b%20c\na=2&b=1\nhost:h,h,h")))
        rc = ERR_CORRUPT;
    if (rc != 0 && (text.len > 0 || names.len > 0))
        rc = ERR_CORRUPT;
    buf_clean_up(&text);
    buf_clean_up(&names);
    return rc;
}

/* Without memory its body is not read, and its status has to do. */
static int
decode_error(struct slice body)
{
    const struct aws_error_answer answer = {.status = 400, .body = body};
    struct aws_error error;
    aws_error_decode("SendMessage", &answer, &error);
    if (strcmp(error.code, "400") == 0)
        return ERR_NO_MEMORY;
    return strcmp(error.code, "InvalidMessageContents") == 0 && strcmp(error.message, "no") == 0 ? 0 : ERR_CORRUPT;
}

static int
decode_json_error(void)
{
    return decode_error(SLICE("{\"__type\":\"com.amazonaws.sqs#InvalidMessageContents\",\"message\":\"no\"}"));
}

static int
decode_xml_error(void)
{
    return decode_error(SLICE("<ErrorResponse><Error><Code>InvalidMessageContents</Code><Message>no</Message></Error>"
                              "</ErrorResponse>"));
}

static int
read_profile(void)
{
    struct profile_files *f;
    struct err e;
    int rc = profile_files_parse(SLICE("[profile p]\nregion = r\nservices = s\n[services s]\nsqs =\n"
                                       "  endpoint_url = http://h\n"),
                                 "config", SLICE("[p]\naws_access_key_id = a\naws_secret_access_key = b\n"),
                                 "credentials", &f, &e);
    if (rc != 0)
        return rc;
    const char *id = profile_get(f, "p", "aws_access_key_id"), *region = profile_get(f, "p", "region"),
               *url = profile_get_service(f, "p", "sqs", "endpoint_url");
    if (!id || !region || !url || strcmp(id, "a") != 0 || strcmp(region, "r") != 0 || strcmp(url, "http://h") != 0)
        rc = ERR_CORRUPT;
    profile_files_destroy(f);
    return rc;
}

/* ---- a call ---- */

static void
refuse_credentials(struct creds_provider *p, creds_done_fn *done, void *context)
{
    struct err e;
    (void)p;
    err_set(&e, ERR_NOT_FOUND, "none");
    done(context, NULL, &e);
}

static void
count_end(void *context, const struct aws_response *response)
{
    unsigned *ended = context;
    *ended += response->error != NULL;
}

/* A call that has failed before it was sent tells so from the loop, or not at all because it could not be started. */
static int
submit_call(void)
{
    struct creds_provider credentials = {.name = "none", .get = refuse_credentials};
    const struct http_engine_options http = {0};
    struct aws_client_options options = {
        .credentials = &credentials, .service = AWS_SQS, .region = "us-east-1", .endpoint_url = "http://127.0.0.1:1"};
    const struct aws_request request = {.operation = "ReceiveMessage", .body = SLICE("{}")};
    struct aws_client *client = NULL;
    unsigned ended = 0;
    struct err e;
    /* libcurl's own allocations balance in ways that are not looked into */
    struct failing_malloc before = failing_malloc_suspend();
    int rc = http_engine_new(&http, &options.engine, &e);
    if (rc == 0)
        rc = aws_client_new(&options, &client, &e);
    if (rc != 0)
        return ERR_CORRUPT;
    failing_malloc_resume(&before);
    rc = aws_submit(client, &request, count_end, &ended, NULL, &e);
    long made = failing_malloc_stop();
    bool early = ended > 0;
    for (int turn = 0; turn < 3 && http_engine_run(options.engine, 0, &e) == 0; turn++)
        continue;
    if (early || ended != (rc == 0))
        rc = ERR_CORRUPT;
    aws_client_destroy(client);
    http_engine_destroy(options.engine);
    failing_malloc_disregard(&before, made);
    return rc;
}

#define TEST_WITHOUT_MEMORY(f)                                                                                         \
    static void f##_survives_want_of_memory(void **state)                                                              \
    {                                                                                                                  \
        (void)state;                                                                                                   \
        failing_malloc_each(f);                                                                                        \
    }
TEST_WITHOUT_MEMORY(decode_received)
TEST_WITHOUT_MEMORY(decode_results)
TEST_WITHOUT_MEMORY(decode_queue)
TEST_WITHOUT_MEMORY(encode_send)
TEST_WITHOUT_MEMORY(put_events)
TEST_WITHOUT_MEMORY(decode_listing)
TEST_WITHOUT_MEMORY(canonicalise)
TEST_WITHOUT_MEMORY(decode_json_error)
TEST_WITHOUT_MEMORY(decode_xml_error)
TEST_WITHOUT_MEMORY(read_profile)
TEST_WITHOUT_MEMORY(submit_call)

int
main(void)
{
    cJSON_InitHooks(&(cJSON_Hooks){.malloc_fn = malloc, .free_fn = free}); /* else it has the C library's */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decode_received_survives_want_of_memory),
        cmocka_unit_test(decode_results_survives_want_of_memory),
        cmocka_unit_test(decode_queue_survives_want_of_memory),
        cmocka_unit_test(encode_send_survives_want_of_memory),
        cmocka_unit_test(put_events_survives_want_of_memory),
        cmocka_unit_test(decode_listing_survives_want_of_memory),
        cmocka_unit_test(canonicalise_survives_want_of_memory),
        cmocka_unit_test(decode_json_error_survives_want_of_memory),
        cmocka_unit_test(decode_xml_error_survives_want_of_memory),
        cmocka_unit_test(read_profile_survives_want_of_memory),
        cmocka_unit_test(submit_call_survives_want_of_memory),
    };
    return cmocka_run_group_tests_name("aws without memory", tests, NULL, NULL);
}
