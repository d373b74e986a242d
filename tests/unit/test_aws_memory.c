/* The n-th allocation fails, with n rising until nothing fails any more: what reads and writes AWS's messages must end
 * each time with an error or a whole result, and leak nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "aws/aws.h"
#include "aws/events_message.h"
#include "aws/s3_decode.h"
#include "aws/sigv4.h"
#include "aws/sqs_decode.h"
#include "aws/sqs_encode.h"

/* Whose allocator is behind ours. A sanitizer's own strdup and strndup go past it, so they are made anew. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HAS_SANITIZER 1
#endif
#endif
#ifdef HAS_SANITIZER
#define REAL(f) __interceptor_##f
#define UNSEEN  __attribute__((no_sanitize("address", "thread", "undefined"))) /* called before it is set up, too */
#else
#define REAL(f) __libc_##f
#define UNSEEN
#endif

void *REAL(malloc)(size_t n);
void *REAL(calloc)(size_t n, size_t size);
void *REAL(realloc)(void *p, size_t n);
void REAL(free)(void *p);

static long allocations, fails_at; /* fails_at 0: never; the failing one and all behind it if lasting */
static bool lasting;
static long live;

UNSEEN static bool
refused(void)
{
    allocations++;
    if (fails_at == 0 || allocations < fails_at || (!lasting && allocations > fails_at))
        return false;
    errno = ENOMEM;
    return true;
}

UNSEEN void *
malloc(size_t n)
{
    void *p = refused() ? NULL : REAL(malloc)(n);
    live += p != NULL;
    return p;
}

UNSEEN void *
calloc(size_t n, size_t size)
{
    void *p = refused() ? NULL : REAL(calloc)(n, size);
    live += p != NULL;
    return p;
}

UNSEEN void *
realloc(void *p, size_t n)
{
    void *grown = refused() ? NULL : REAL(realloc)(p, n);
    live += !p && grown;
    return grown;
}

UNSEEN void *
reallocarray(void *p, size_t n, size_t size)
{
    return realloc(p, n * size); /* the tests' are small */
}

UNSEEN void
free(void *p)
{
    live -= p != NULL;
    REAL(free)(p);
}

#ifdef HAS_SANITIZER
UNSEEN char *
strndup(const char *text, size_t most)
{
    size_t n = strnlen(text, most);
    char *copy = malloc(n + 1);
    if (!copy)
        return NULL;
    memcpy(copy, text, n);
    copy[n] = '\0';
    return copy;
}

UNSEEN char *
strdup(const char *text)
{
    return strndup(text, strlen(text));
}
#endif

/* Runs f with every allocation failing in turn, alone and together with all that follow. f gets whether anything may
 * have failed, and returns 0 when it ended as if nothing had. */
static void
fail_each(int (*f)(void))
{
    assert_int_equal(f(), 0); /* what is kept for ever is made here */
    for (int together = 0; together < 2; together++) {
        long n = 0, before;
        int rc;
        do {
            before = live;
            allocations = 0;
            lasting = together;
            fails_at = ++n;
            rc = f();
            fails_at = 0;
            if (live != before)
                fail_msg("allocation %ld failed and %ld were not freed", n, live - before);
            if (rc != 0 && rc != ERR_NO_MEMORY && rc != ERR_PROTOCOL)
                fail_msg("allocation %ld failed with %d", n, rc);
        } while (allocations >= n);
        assert_int_equal(rc, 0);
        assert_true(n > 1);
    }
}

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
    long failing = fails_at, counted = live; /* libcurl's own allocations balance in ways that are not looked into */
    fails_at = 0;
    int rc = http_engine_new(&http, &options.engine, &e);
    if (rc == 0)
        rc = aws_client_new(&options, &client, &e);
    if (rc != 0)
        return ERR_CORRUPT;
    allocations = 0;
    fails_at = failing;
    rc = aws_submit(client, &request, count_end, &ended, NULL, &e);
    long made = allocations;
    fails_at = 0;
    bool early = ended > 0;
    for (int turn = 0; turn < 3 && http_engine_run(options.engine, 0, &e) == 0; turn++)
        continue;
    if (early || ended != (rc == 0))
        rc = ERR_CORRUPT;
    aws_client_destroy(client);
    http_engine_destroy(options.engine);
    allocations = made;
    live = counted;
    return rc;
}

#define TEST_WITHOUT_MEMORY(f)                                                                                         \
    static void f##_survives_want_of_memory(void **state)                                                              \
    {                                                                                                                  \
        (void)state;                                                                                                   \
        fail_each(f);                                                                                                  \
    }
TEST_WITHOUT_MEMORY(decode_received)
TEST_WITHOUT_MEMORY(decode_results)
TEST_WITHOUT_MEMORY(decode_queue)
TEST_WITHOUT_MEMORY(encode_send)
TEST_WITHOUT_MEMORY(put_events)
TEST_WITHOUT_MEMORY(decode_listing)
TEST_WITHOUT_MEMORY(canonicalise)
TEST_WITHOUT_MEMORY(submit_call)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decode_received_survives_want_of_memory),
        cmocka_unit_test(decode_results_survives_want_of_memory),
        cmocka_unit_test(decode_queue_survives_want_of_memory),
        cmocka_unit_test(encode_send_survives_want_of_memory),
        cmocka_unit_test(put_events_survives_want_of_memory),
        cmocka_unit_test(decode_listing_survives_want_of_memory),
        cmocka_unit_test(canonicalise_survives_want_of_memory),
        cmocka_unit_test(submit_call_survives_want_of_memory),
    };
    return cmocka_run_group_tests_name("aws without memory", tests, NULL, NULL);
}
