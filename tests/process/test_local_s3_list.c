/* ListObjectsV2 of fanout-local: what a client sees that follows the pages to their end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/s3_server.h"

/* ---- helpers ----------------------------------------------------------------------------------------------------- */

static void
put(const char *path)
{
    assert_int_equal(s3_server_call(REQUEST(.method = "PUT", .path = path)), 200);
}

static void
list(const char *bucket, const char *query, struct s3_answer *a)
{
    char text[4000];
    snprintf(text, sizeof text, "list-type=2%s", query);
    s3_call(s3_server_url, REQUEST(.method = "GET", .path = bucket, .query = text), a);
}

static void
assert_text(const struct s3_answer *a, const char *element, const char *text)
{
    char got[3000];
    assert_string_equal(s3_answer_text(a, element, got, sizeof got), text);
}

/* What a listing gives in all its pages: keys, then "P:" and the common prefixes of each page, in the order they came.
 */
#define NAMES_MAX 3000
struct names {
    char *text[NAMES_MAX];
    size_t n;
    unsigned pages;
};

static void
forget(struct names *names)
{
    for (size_t i = 0; i < names->n; i++)
        free(names->text[i]);
    *names = (struct names){.n = 0};
}

static void
add_name(struct names *names, const char *mark, const char *p, size_t n)
{
    assert_true(names->n < NAMES_MAX);
    assert_true(asprintf(&names->text[names->n++], "%s%.*s", mark, (int)n, p) >= 0);
}

static size_t
add_all(struct names *names, const struct s3_answer *a, const char *open, const char *close, const char *mark)
{
    size_t n = 0;
    for (const char *at = a->body.p; (at = strstr(at, open)); n++) {
        at += strlen(open);
        const char *end = strstr(at, close);
        assert_non_null(end);
        add_name(names, mark, at, (size_t)(end - at));
    }
    return n;
}

/* Follows the continuation tokens; page_size is what KeyCount may not pass. */
static void
list_all(const char *bucket, const char *query, size_t page_size, struct names *names)
{
    char text[3000], token[2000] = "", count[20];
    for (bool more = true; more; names->pages++) {
        struct s3_answer a;
        snprintf(text, sizeof text, "%s%s%s", query, *token ? "&continuation-token=" : "", token);
        list(bucket, text, &a);
        assert_int_equal(a.status, 200);
        size_t n = add_all(names, &a, "<Contents><Key>", "</Key>", "");
        n += add_all(names, &a, "<CommonPrefixes><Prefix>", "</Prefix>", "P:");
        snprintf(count, sizeof count, "%zu", n);
        assert_text(&a, "KeyCount", count);
        assert_true(n <= page_size);
        s3_answer_text(&a, "IsTruncated", text, sizeof text);
        more = strcmp(text, "true") == 0;
        if (more)
            assert_int_equal(n, page_size); /* no page but the last one is short */
        else
            assert_string_equal(text, "false");
        s3_answer_text(&a, "NextContinuationToken", text, sizeof text);
        assert_int_equal(*text != '\0', more);
        token[0] = '\0';
        for (const char *c = text; *c; c++) /* base64 in a query */
            snprintf(token + strlen(token), sizeof token - strlen(token), strchr("+/=", *c) ? "%%%02X" : "%c", *c);
        s3_answer_clean_up(&a);
    }
}

/* ---- 2,500 keys -------------------------------------------------------------------------------------------------- */

static void
twenty_five_hundred_keys_come_in_three_pages_in_order(void **state)
{
    (void)state;
    struct names names = {.n = 0};
    char path[100];
    put("/many");
    for (int i = 0; i < 2500; i++) { /* not in their order: 7 and 2,500 have no common factor */
        int k = i * 7 % 2500;
        snprintf(path, sizeof path, "/many/raw-events/%02d/%04d", k / 100, k);
        put(path);
    }
    list_all("/many", "", 1000, &names);
    assert_int_equal(names.pages, 3);
    assert_int_equal(names.n, 2500);
    for (int i = 0; i < 2500; i++) {
        snprintf(path, sizeof path, "raw-events/%02d/%04d", i / 100, i);
        assert_string_equal(names.text[i], path);
    }
    forget(&names);
    list_all("/many", "&prefix=raw-events/&delimiter=/", 1000, &names);
    assert_int_equal(names.pages, 1);
    assert_int_equal(names.n, 25);
    assert_string_equal(names.text[24], "P:raw-events/24/");
    forget(&names);
    list_all("/many", "&prefix=raw-events/1&max-keys=300", 300, &names);
    assert_int_equal(names.pages, 4);
    assert_int_equal(names.n, 1000);
    forget(&names);
    list_all("/many", "&start-after=raw-events/24/2449&max-keys=5000", 1000, &names);
    assert_int_equal(names.n, 50);
    assert_string_equal(names.text[0], "raw-events/24/2450");
    forget(&names);
}

/* ---- any listing, against the definition of it ------------------------------------------------------------------- */

static uint32_t
draw(uint64_t *random, uint32_t below)
{
    *random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*random >> 33) % below;
}

/* Few letters, so that prefixes and groups are common. */
static void
draw_text(uint64_t *random, uint32_t longest, char *out)
{
    uint32_t n = draw(random, longest + 1);
    for (uint32_t i = 0; i < n; i++)
        out[i] = "ab/"[draw(random, 3)];
    out[n] = '\0';
}

static int
by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A group of keys by its common prefix, as S3 documents it: the key up to the first delimiter behind the prefix. */
static void
expect(char *const *keys, size_t n, const char *prefix, const char *delimiter, const char *after, struct names *names)
{
    char group[100], last[100] = "";
    for (size_t i = 0; i < n; i++) {
        if (strncmp(keys[i], prefix, strlen(prefix)) != 0)
            continue;
        const char *hit = *delimiter ? strstr(keys[i] + strlen(prefix), delimiter) : NULL;
        snprintf(group, sizeof group, "%.*s", hit ? (int)(hit - keys[i] + (ptrdiff_t)strlen(delimiter)) : 99, keys[i]);
        if (strcmp(group, after) <= 0 || (hit && strncmp(after, group, strlen(group)) == 0) || strcmp(group, last) == 0)
            continue;
        snprintf(last, sizeof last, "%s", group);
        add_name(names, hit ? "P:" : "", group, strlen(group));
    }
}

/* In the order of their text, since a page tells keys and prefixes apart. */
static void
sort_without_marks(struct names *names)
{
    for (size_t i = 0; i < names->n; i++)
        if (strncmp(names->text[i], "P:", 2) == 0)
            memmove(names->text[i], names->text[i] + 2, strlen(names->text[i]) - 1);
    qsort(names->text, names->n, sizeof *names->text, by_text);
}

static void
check_listing(uint64_t *random, char *const *keys, size_t n)
{
    struct names expected = {.n = 0}, got = {.n = 0};
    char prefix[8], delimiter[8], after[8], query[200];
    draw_text(random, 3, prefix);
    draw_text(random, 2, delimiter);
    draw_text(random, 4, after);
    uint32_t max = 1 + draw(random, 7);
    snprintf(query, sizeof query, "&prefix=%s&delimiter=%s&start-after=%s&max-keys=%u", prefix, delimiter, after, max);
    expect(keys, n, prefix, delimiter, after, &expected);
    list_all("/any", query, max, &got);
    sort_without_marks(&expected);
    sort_without_marks(&got);
    for (size_t i = 0; i < expected.n || i < got.n; i++)
        if (i >= expected.n || i >= got.n || strcmp(expected.text[i], got.text[i]) != 0)
            fail_msg("%s: entry %zu is %s, not %s", query, i, i < got.n ? got.text[i] : "missing",
                     i < expected.n ? expected.text[i] : "none");
    forget(&expected);
    forget(&got);
}

static void
every_listing_gives_each_key_or_group_once(void **state)
{
    (void)state;
    char texts[80][8], *keys[80], path[40];
    uint64_t random = 20261120;
    size_t n = 0;
    put("/any");
    for (size_t i = 0; i < 80; i++) {
        draw_text(&random, 6, texts[n]);
        bool known = texts[n][0] == '\0';
        for (size_t k = 0; k < n; k++)
            known |= strcmp(texts[n], texts[k]) == 0;
        if (known)
            continue;
        keys[n] = texts[n];
        snprintf(path, sizeof path, "/any/%s", keys[n++]);
        put(path);
    }
    assert_true(n > 40);
    qsort(keys, n, sizeof *keys, by_text);
    for (int i = 0; i < 300; i++)
        check_listing(&random, keys, n);
}

/* ---- the rest ---------------------------------------------------------------------------------------------------- */

static void
a_start_after_that_begins_the_prefix_hides_nothing(void **state)
{
    (void)state;
    struct names names = {.n = 0};
    put("/begin");
    put("/begin/raw-a");
    put("/begin/raw-events/1");
    list_all("/begin", "&prefix=raw-events/&start-after=raw", 1000, &names);
    assert_int_equal(names.n, 1);
    assert_string_equal(names.text[0], "raw-events/1");
    forget(&names);
}

static void
encoding_type_url_encodes_what_xml_cannot_hold(void **state)
{
    (void)state;
    struct s3_answer a;
    put("/enc");
    put("/enc/a%20%26%20%3Cb%3E/%01%22%C3%A9%2B~");
    list("/enc", "&encoding-type=url&prefix=a%20&start-after=a%20&delimiter=%26", &a);
    assert_text(&a, "EncodingType", "url");
    assert_text(&a, "Prefix", "a%20");
    assert_text(&a, "StartAfter", "a%20");
    assert_text(&a, "Delimiter", "%26");
    assert_int_equal(s3_answer_count(&a, "<CommonPrefixes><Prefix>a%20%26</Prefix></CommonPrefixes>"), 1);
    s3_answer_clean_up(&a);
    list("/enc", "&encoding-type=url", &a);
    assert_text(&a, "Key", "a%20%26%20%3Cb%3E/%01%22%C3%A9%2B~");
    s3_answer_clean_up(&a);
    list("/enc", "", &a);
    assert_text(&a, "EncodingType", "");
    assert_text(&a, "Key", "a &amp; &lt;b&gt;/&#x1;&quot;\xc3\xa9+~");
    s3_answer_clean_up(&a);
}

static void
an_entry_says_what_the_object_is(void **state)
{
    (void)state;
    struct s3_answer a;
    put("/what");
    s3_call(s3_server_url, REQUEST(.method = "PUT", .path = "/what/k", .body = SLICE("hello")), &a);
    s3_answer_clean_up(&a);
    list("/what", "", &a);
    assert_text(&a, "Name", "what");
    assert_text(&a, "Size", "5");
    assert_text(&a, "ETag", "&quot;5d41402abc4b2a76b9719d911017c592&quot;");
    assert_text(&a, "StorageClass", "STANDARD");
    assert_text(&a, "MaxKeys", "1000");
    assert_int_equal(s3_answer_count(&a, "<Owner>"), 0);
    char modified[40];
    assert_int_equal(strlen(s3_answer_text(&a, "LastModified", modified, sizeof modified)),
                     strlen("2026-11-20T06:00:00.123Z"));
    s3_answer_clean_up(&a);
    list("/what", "&fetch-owner=true", &a);
    assert_text(&a, "ID", "000000000000");
    assert_int_equal(s3_answer_count(&a, "<Checksum"), 0);
    s3_answer_clean_up(&a);
    s3_call(s3_server_url,
            REQUEST(.method = "PUT", .path = "/what/k", .body = SLICE("hello"),
                    .headers = (const char *const[]){"x-amz-meta-a", "b", "x-amz-checksum-crc32", "NhCmhg==", NULL}),
            &a);
    assert_int_equal(a.status, 200);
    s3_answer_clean_up(&a);
    list("/what", "", &a);
    assert_text(&a, "ChecksumAlgorithm", "CRC32");
    assert_text(&a, "ChecksumType", "FULL_OBJECT");
    s3_answer_clean_up(&a);
}

static void
no_key_at_all_is_an_empty_listing(void **state)
{
    (void)state;
    struct s3_answer a;
    put("/empty");
    list("/empty", "", &a);
    assert_text(&a, "KeyCount", "0");
    assert_text(&a, "IsTruncated", "false");
    s3_answer_clean_up(&a);
    put("/empty/k");
    list("/empty", "&max-keys=0", &a);
    assert_text(&a, "KeyCount", "0");
    assert_text(&a, "MaxKeys", "0");
    assert_text(&a, "IsTruncated", "false");
    s3_answer_clean_up(&a);
}

static void
what_makes_no_sense_is_refused(void **state)
{
    (void)state;
    static const char *const QUERIES[] = {
        "&max-keys=x",          "&max-keys=-1",          "&max-keys=", "&max-keys=99999999999", "&encoding-type=base64",
        "&continuation-token=", "&continuation-token=!",
    };
    struct s3_answer a;
    put("/sense");
    for (size_t i = 0; i < sizeof QUERIES / sizeof *QUERIES; i++) {
        list("/sense", QUERIES[i], &a);
        assert_int_equal(a.status, 400);
        assert_text(&a, "Code", "InvalidArgument");
        s3_answer_clean_up(&a);
    }
    s3_call(s3_server_url, REQUEST(.method = "GET", .path = "/sense", .query = "list-type=3"), &a);
    assert_int_equal(a.status, 400);
    assert_text(&a, "Code", "InvalidArgument");
    s3_answer_clean_up(&a);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(twenty_five_hundred_keys_come_in_three_pages_in_order),
        cmocka_unit_test(every_listing_gives_each_key_or_group_once),
        cmocka_unit_test(a_start_after_that_begins_the_prefix_hides_nothing),
        cmocka_unit_test(encoding_type_url_encodes_what_xml_cannot_hold),
        cmocka_unit_test(an_entry_says_what_the_object_is),
        cmocka_unit_test(no_key_at_all_is_an_empty_listing),
        cmocka_unit_test(what_makes_no_sense_is_refused),
    };
    return cmocka_run_group_tests_name("local_s3_list", tests, s3_server_start, s3_server_stop);
}
