#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "aws/sigv4.h"
#include "base/digest.h"
#include "base/err.h"
#include "local/s3_impl.h"

/* ---- the framing of aws-chunked ---------------------------------------------------------------------------------- */

static void
assert_unchunked(const char *framed, const char *data, const char *trailers)
{
    struct buf got = BUF_INIT, lines = BUF_INIT;
    struct err e = {0};
    buf_add_string(&got, "");
    buf_add_string(&lines, "");
    if (local_s3_unchunk(slice_of_string(framed), NULL, NULL, &got, &lines, &e) != 0)
        fail_msg("%s", e.text);
    assert_string_equal(got.data, data);
    assert_string_equal(lines.data, trailers);
    buf_clean_up(&got);
    buf_clean_up(&lines);
}

static int
unchunk(struct slice framed, struct err *e)
{
    struct buf data = BUF_INIT, trailers = BUF_INIT;
    int rc = local_s3_unchunk(framed, NULL, NULL, &data, &trailers, e);
    buf_clean_up(&data);
    buf_clean_up(&trailers);
    return rc;
}

static void
assert_refused(const char *framed, const char *reason)
{
    struct err e = {0};
    assert_int_equal(unchunk(slice_of_string(framed), &e), ERR_INVALID);
    assert_string_equal(e.text, reason);
}

static void
chunks_are_joined_and_trailers_kept(void **state)
{
    (void)state;
    assert_unchunked("5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n", "hello",
                     "x-amz-checksum-crc32:NhCmhg==\n");
    assert_unchunked("3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", "hello", "");
    assert_unchunked("A\r\n0123456789\r\n0\r\na:1\r\nb:2\r\n\r\n", "0123456789", "a:1\nb:2\n");
    assert_unchunked("00000005;chunk-signature=ad80c730\r\nhello\r\n0;chunk-signature=b6c6ea8a\r\n\r\n", "hello", "");
    assert_unchunked("0\r\n\r\n", "", "");
    assert_unchunked("0\r\na:1\n\r\nb:2\r\n\r\n", "", "a:1\nb:2\n"); /* so AWS's documentation writes it */
}

static void
line_ends_inside_a_chunk_are_data(void **state)
{
    (void)state;
    assert_unchunked("8\r\na\r\n0\r\n\r\n\r\n0\r\n\r\n", "a\r\n0\r\n\r\n", "");
    assert_unchunked("4\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n\r\n", "");
}

static void
the_last_empty_line_may_be_missing(void **state)
{
    (void)state;
    assert_unchunked("5\r\nhello\r\n0\r\n", "hello", "");
    assert_unchunked("5\r\nhello\r\n0\r\na:1\r\n", "hello", "a:1\n");
}

static void
a_broken_stream_is_refused_with_the_place(void **state)
{
    (void)state;
    assert_refused("", "there is no chunk header at byte 0");
    assert_refused("hello", "there is no chunk header at byte 0");
    assert_refused("5\nhello\n0\n\n", "there is no chunk header at byte 0");
    assert_refused("\r\nhello\r\n", "there is no chunk header at byte 0");
    assert_refused(";x\r\nhello\r\n", "there is no chunk header at byte 0");
    assert_refused("-5\r\nhello\r\n", "there is no chunk header at byte 0");
    assert_refused("0x5\r\nhello\r\n0\r\n\r\n", "there is no chunk header at byte 0");
    assert_refused("100000000\r\nhello\r\n0\r\n\r\n", "there is no chunk header at byte 0");
    assert_refused("ffffffff\r\nhello\r\n0\r\n\r\n", "the chunk at byte 0 is not 4294967295 bytes long");
    assert_refused("6\r\nhello\r\n0\r\n\r\n", "the chunk at byte 0 is not 6 bytes long");
    assert_refused("4\r\nhello\r\n0\r\n\r\n", "the chunk at byte 0 is not 4 bytes long");
    assert_refused("5\r\nhello\r\nz\r\n\r\n", "there is no chunk header at byte 10");
    assert_refused("5\r\nhello\r\n", "there is no chunk header at byte 10");
    assert_refused("5\r\nhello\r\n0\r\n\r\nmore", "something follows the last chunk at byte 15");
    assert_refused("5\r\nhello\r\n0\r\na:1", "something follows the last chunk at byte 13");
}

/* Each cut sits at the end of memory of its own size, so that a sanitizer sees a byte read too many. */
static void
a_stream_cut_anywhere_is_refused_but_for_its_empty_line(void **state)
{
    (void)state;
    static const char WHOLE[] =
        "5\r\nhello\r\n6;chunk-signature=ad80\r\n world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n";
    size_t n = sizeof WHOLE - 1, whole = n;
    size_t data_end = (size_t)(strstr(WHOLE, "0\r\nx-amz") - WHOLE) + 3, trailer_end = n - 2;
    for (size_t cut = 0; cut <= whole; cut++) {
        char *copy = malloc(cut ? cut : 1);
        assert_non_null(copy);
        memcpy(copy, WHOLE, cut);
        int rc = unchunk(slice_of(copy, cut), NULL);
        bool complete = cut == whole || cut == trailer_end || cut == data_end;
        if (rc != (complete ? 0 : ERR_INVALID))
            fail_msg("cut at byte %zu gives %d", cut, rc);
        free(copy);
    }
}

static bool
note_extension(void *context, struct slice extension, struct slice data)
{
    struct buf *seen = context;
    buf_add_format(seen, "%.*s=%.*s\n", SLICE_ARG(extension), SLICE_ARG(data));
    return data.n != 1;
}

static void
each_chunk_is_shown_with_its_extension_and_may_be_refused(void **state)
{
    (void)state;
    struct buf data = BUF_INIT, trailers = BUF_INIT, seen = BUF_INIT;
    struct err e = {0};
    assert_int_equal(local_s3_unchunk(SLICE("3;s=a\r\nhel\r\n2\r\nlo\r\n0;s=b\r\n\r\n"), note_extension, &seen, &data,
                                      &trailers, &e),
                     0);
    assert_string_equal(seen.data, "s=a=hel\n=lo\ns=b=\n");
    assert_int_equal(
        local_s3_unchunk(SLICE("3\r\nhel\r\n1\r\nl\r\n0\r\n\r\n"), note_extension, &seen, &data, &trailers, &e),
        ERR_DENIED);
    assert_string_equal(e.text, "the chunk at byte 8 is not signed as it must be");
    buf_clean_up(&data);
    buf_clean_up(&trailers);
    buf_clean_up(&seen);
}

/* ---- signatures of chunks ---------------------------------------------------------------------------------------- */

#define EXAMPLE_MS INT64_C(1369353600000) /* 20130524T000000Z */

static void
assert_signed(const struct buf *text, const char *signature)
{
    static const struct sigv4_scope SCOPE = {.region = {"us-east-1", 9}, .service = {"s3", 2}, .wall_ms = EXAMPLE_MS};
    char got[65];
    assert_int_equal(
        sigv4_signature(&SCOPE, SLICE("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"), buf_slice(text), NULL, got), 0);
    assert_string_equal(got, signature);
}

/* AWS's own example: 64 KiB and 1 KiB of 'a', then the empty chunk. */
static void
assert_chain(const char *seed, const char *const signatures[3])
{
    static char bytes[65536];
    static const size_t SIZES[] = {65536, 1024, 0};
    const char *previous = seed;
    memset(bytes, 'a', sizeof bytes);
    for (size_t i = 0; i < 3; i++) {
        struct buf text = BUF_INIT;
        local_s3_chunk_to_sign(&text, EXAMPLE_MS, "us-east-1", previous, slice_of(bytes, SIZES[i]));
        assert_signed(&text, signatures[i]);
        previous = signatures[i];
        buf_clean_up(&text);
    }
}

static void
chunks_and_trailers_are_signed_as_in_aws_s_examples(void **state)
{
    (void)state;
    assert_chain("4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
                 (const char *const[]){"ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
                                       "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
                                       "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"});
    assert_chain("106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
                 (const char *const[]){"b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
                                       "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
                                       "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992"});
    struct buf text = BUF_INIT;
    local_s3_trailers_to_sign(&text, EXAMPLE_MS, "us-east-1",
                              "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
                              SLICE("x-amz-checksum-crc32c:sOO8/Q==\n"));
    assert_signed(&text, "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435");
    buf_clean_up(&text);
}

/* ---- checksums --------------------------------------------------------------------------------------------------- */

static void
assert_checksum(const char *name, struct slice data, const char *hex)
{
    struct buf base64 = BUF_INIT, bytes = BUF_INIT;
    char got[130];
    assert_true(local_s3_checksum(slice_of_string(name), data, &base64));
    assert_true(digest_base64_decode(&bytes, buf_slice(&base64)));
    assert_true(bytes.len <= 64);
    digest_hex((const uint8_t *)bytes.data, bytes.len, got);
    assert_string_equal(got, hex);
    buf_clean_up(&base64);
    buf_clean_up(&bytes);
}

static void
checksums_are_those_of_the_known_vectors(void **state)
{
    (void)state;
    struct slice check = SLICE("123456789"), none = slice_of(NULL, 0);
    assert_checksum("crc32", check, "cbf43926");
    assert_checksum("crc32c", check, "e3069283");
    assert_checksum("crc64nvme", check, "ae8b14860a799888");
    assert_checksum("sha1", check, "f7c3bc1d808e04732adf679965ccc34ca7ae3441");
    assert_checksum("sha256", check, "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225");
    assert_checksum("crc32", none, "00000000");
    assert_checksum("crc32c", none, "00000000");
    assert_checksum("crc64nvme", none, "0000000000000000");
    assert_checksum("sha1", none, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    assert_checksum("sha256", none, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

/* RFC 3720, B.4: 32 bytes of zeroes, of ones, and counting up. */
static void
crc32c_is_that_of_the_rfc_s_vectors(void **state)
{
    (void)state;
    char bytes[32] = {0};
    assert_checksum("crc32c", slice_of(bytes, 32), "8a9136aa");
    memset(bytes, 0xff, sizeof bytes);
    assert_checksum("crc32c", slice_of(bytes, 32), "62a8ab43");
    for (int i = 0; i < 32; i++)
        bytes[i] = (char)i;
    assert_checksum("crc32c", slice_of(bytes, 32), "46dd794e");
}

static void
an_algorithm_that_is_not_here_says_so(void **state)
{
    (void)state;
    struct buf out = BUF_INIT;
    assert_false(local_s3_checksum(SLICE("md5"), SLICE("x"), &out));
    assert_false(local_s3_checksum(SLICE("CRC32"), SLICE("x"), &out));
    assert_false(local_s3_checksum(SLICE(""), SLICE("x"), &out));
    assert_int_equal(out.len, 0);
    buf_clean_up(&out);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_are_joined_and_trailers_kept),
        cmocka_unit_test(line_ends_inside_a_chunk_are_data),
        cmocka_unit_test(the_last_empty_line_may_be_missing),
        cmocka_unit_test(a_broken_stream_is_refused_with_the_place),
        cmocka_unit_test(a_stream_cut_anywhere_is_refused_but_for_its_empty_line),
        cmocka_unit_test(each_chunk_is_shown_with_its_extension_and_may_be_refused),
        cmocka_unit_test(chunks_and_trailers_are_signed_as_in_aws_s_examples),
        cmocka_unit_test(checksums_are_those_of_the_known_vectors),
        cmocka_unit_test(crc32c_is_that_of_the_rfc_s_vectors),
        cmocka_unit_test(an_algorithm_that_is_not_here_says_so),
    };
    return cmocka_run_group_tests_name("local_s3_upload", tests, NULL, NULL);
}
