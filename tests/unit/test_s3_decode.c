#include "aws/s3_decode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"

#define HEAD "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
#define OPEN HEAD "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
#define SHUT "</ListBucketResult>"

static void
assert_slice(struct slice s, const char *expected)
{
    if (!slice_equals_string(s, expected))
        fail_msg("'%.*s' is not '%s'", SLICE_ARG(s), expected);
}

static void
a_listing_comes_out_whole(void **state)
{
    (void)state;
    struct arena a;
    struct s3_listing l;
    arena_init(&a, 0);
    assert_int_equal(
        s3_decode_list(
            SLICE(OPEN
                  "<Name>bucket</Name><Prefix>raw-events%2F</Prefix><StartAfter/><KeyCount>3</KeyCount>"
                  "<MaxKeys>2</MaxKeys><Delimiter>%2F</Delimiter><EncodingType>url</EncodingType>"
                  "<IsTruncated>true</IsTruncated>\n  <Contents>\n    <Key>raw-events/2026-11-20T06%3A00%3A00Z+a%2Bb"
                  "-%C3%A9.json</Key><LastModified>2026-11-20T06:00:01.000Z</LastModified>"
                  "<ETag>&quot;9b2cf535f27731c974343645a3985328&quot;</ETag>"
                  "<ChecksumAlgorithm>CRC32</ChecksumAlgorithm><Size>431</Size><Owner><ID>i</ID><DisplayName>Key"
                  "</DisplayName></Owner><StorageClass>STANDARD</StorageClass></Contents>"
                  "<Contents><Key>b</Key><Size>0</Size></Contents>"
                  "<CommonPrefixes><Prefix>raw-events%2F2026-11%2F</Prefix></CommonPrefixes>"
                  "<NextContinuationToken>1ueGcxLPRx1Tr/XYExHnhbYLgveDs2J/wm36Hy4vbOwM=</NextContinuationToken>" SHUT),
            &a, &l, NULL),
        0);
    assert_int_equal(l.n_entries, 2);
    assert_slice(l.entries[0].key, "raw-events/2026-11-20T06:00:00Z a+b-\xc3\xa9.json");
    assert_slice(l.entries[0].etag, "\"9b2cf535f27731c974343645a3985328\"");
    assert_int_equal(l.entries[0].size, 431);
    assert_int_equal(l.entries[0].modified_at_ms, INT64_C(1795154401000));
    assert_slice(l.entries[1].key, "b");
    assert_int_equal(l.entries[1].size, 0);
    assert_int_equal(l.n_prefixes, 1);
    assert_slice(l.prefixes[0], "raw-events/2026-11/");
    assert_true(l.truncated);
    assert_slice(l.next_token, "1ueGcxLPRx1Tr/XYExHnhbYLgveDs2J/wm36Hy4vbOwM=");
    arena_clean_up(&a);
}

static void
an_empty_listing_is_no_error(void **state)
{
    (void)state;
    struct arena a;
    struct s3_listing l;
    arena_init(&a, 0);
    assert_int_equal(s3_decode_list(SLICE(OPEN "<IsTruncated>false</IsTruncated>"
                                               "<NextContinuationToken>x</NextContinuationToken>" SHUT),
                                    &a, &l, NULL),
                     0);
    assert_int_equal(l.n_entries + l.n_prefixes, 0);
    assert_false(l.truncated);
    assert_int_equal(l.next_token.n, 0);
    assert_int_equal(s3_decode_list(SLICE("<ListBucketResult/>"), &a, &l, NULL), 0);
    assert_int_equal(l.n_entries, 0);
    arena_clean_up(&a);
}

static void
keys_are_decoded_only_if_the_answer_says_so_wherever_it_does(void **state)
{
    (void)state;
    struct arena a;
    struct s3_listing l;
    arena_init(&a, 0);
    assert_int_equal(s3_decode_list(SLICE(OPEN "<Contents><Key>a%2Bb+c&amp;</Key></Contents>" SHUT), &a, &l, NULL), 0);
    assert_slice(l.entries[0].key, "a%2Bb+c&");
    assert_int_equal(s3_decode_list(SLICE(OPEN "<Contents><Key>a%2Bb+c</Key></Contents>"
                                               "<EncodingType>url</EncodingType>" SHUT),
                                    &a, &l, NULL),
                     0);
    assert_slice(l.entries[0].key, "a+b c");
    arena_clean_up(&a);
}

static void
a_thousand_keys_come_out_in_order(void **state)
{
    (void)state;
    struct arena a;
    struct s3_listing l;
    struct buf xml = BUF_INIT;
    arena_init(&a, 0);
    buf_add_string(&xml, OPEN);
    for (int i = 0; i < 1000; i++)
        buf_add_format(&xml, "<Contents><Key>k%04d</Key><Size>%d</Size></Contents>", i, i);
    for (int i = 0; i < 200; i++)
        buf_add_format(&xml, "<CommonPrefixes><Prefix>p%04d</Prefix></CommonPrefixes>", i);
    buf_add_string(&xml, SHUT);
    assert_int_equal(s3_decode_list(buf_slice(&xml), &a, &l, NULL), 0);
    assert_int_equal(l.n_entries, 1000);
    assert_int_equal(l.n_prefixes, 200);
    assert_slice(l.entries[999].key, "k0999");
    assert_int_equal(l.entries[999].size, 999);
    assert_slice(l.prefixes[199], "p0199");
    buf_clean_up(&xml);
    arena_clean_up(&a);
}

static void
an_answer_that_makes_no_sense_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *xml, *says;
    } cases[] = {
        {"", "broken at line 1"},
        {"{}", "broken at line 1"},
        {OPEN, "broken at line 2"},
        {OPEN "<Contents></ListBucketResult>", "mismatched tag"},
        {OPEN SHUT "<x/>", "junk after document"},
        {HEAD "<Error><Code>NoSuchBucket</Code></Error>", "Error, no ListBucketResult"},
        {HEAD "<html><body>hello</body></html>", "html, no ListBucketResult"},
        {"<!DOCTYPE l [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><ListBucketResult>&b;</ListBucketResult>",
         "document type"},
        {"<!DOCTYPE ListBucketResult SYSTEM \"file:///etc/passwd\"><ListBucketResult/>", "document type"},
        {OPEN "<Contents><Size>1</Size></Contents>" SHUT, "no Key"},
        {OPEN "<Contents><Key></Key></Contents>" SHUT, "no Key"},
        {OPEN "<EncodingType>url</EncodingType><Contents><Key>%4</Key></Contents>" SHUT, "badly encoded"},
        {OPEN "<Contents><Key>k</Key><Size>-1</Size></Contents>" SHUT, "Size is no number"},
        {OPEN "<Contents><Key>k</Key><Size/></Contents>" SHUT, "Size is no number"},
        {OPEN "<Contents><Key>k</Key><LastModified>today</LastModified></Contents>" SHUT, "LastModified is no time"},
        {OPEN "<IsTruncated>true</IsTruncated>" SHUT, "without a NextContinuationToken"},
        {OPEN "<a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a></a></a></a></a></a></a></a></a></a></a></a></a></a></a>"
              "</a></a>" SHUT,
         "nested deeper than 16"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena a;
        struct s3_listing l = {.n_entries = 77};
        struct err e;
        arena_init(&a, 0);
        assert_int_equal(s3_decode_list(slice_of_string(cases[i].xml), &a, &l, &e), ERR_PROTOCOL);
        if (!strstr(e.text, cases[i].says))
            fail_msg("%s\nsays: %s\nnot: %s", cases[i].xml, e.text, cases[i].says);
        assert_int_equal(l.n_entries, 77);
        arena_clean_up(&a);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_listing_comes_out_whole),
        cmocka_unit_test(an_empty_listing_is_no_error),
        cmocka_unit_test(keys_are_decoded_only_if_the_answer_says_so_wherever_it_does),
        cmocka_unit_test(a_thousand_keys_come_out_in_order),
        cmocka_unit_test(an_answer_that_makes_no_sense_is_named),
    };
    return cmocka_run_group_tests_name("s3_decode", tests, NULL, NULL);
}
