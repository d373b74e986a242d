#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

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
    if (local_s3_unchunk(slice_of_string(framed), &got, &lines, &e) != 0)
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
    int rc = local_s3_unchunk(framed, &data, &trailers, e);
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
        cmocka_unit_test(checksums_are_those_of_the_known_vectors),
        cmocka_unit_test(crc32c_is_that_of_the_rfc_s_vectors),
        cmocka_unit_test(an_algorithm_that_is_not_here_says_so),
    };
    return cmocka_run_group_tests_name("local_s3_upload", tests, NULL, NULL);
}
