#include "aws/sqs_md5.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#define ATTRIBUTE(n, t, v)                                                                                             \
    {                                                                                                                  \
        .name = SLICE(n), .type = SLICE(t), .value = SLICE(v)                                                          \
    }

static void
assert_md5(const struct sqs_attribute *attributes, size_t n, const char *expected)
{
    char md5[DIGEST_MD5_HEX];
    assert_int_equal(sqs_md5_attributes(attributes, n, md5), 0);
    assert_string_equal(md5, expected);
}

/* Values that AWS gave, as the tests of moto have them. */
static void
numbers_and_custom_types_match_aws(void **state)
{
    (void)state;
    const struct sqs_attribute number[] = {ATTRIBUTE("timestamp", "Number", "1493147359900")};
    const struct sqs_attribute custom[] = {ATTRIBUTE("timestamp", "Number.java.lang.Long", "1493147359900")};
    const struct sqs_attribute name[] = {ATTRIBUTE("SOME_Valid.attribute-Name", "Number", "1493147359900")};
    assert_md5(number, 1, "235c5c510d26fb653d073faed50ae77c");
    assert_md5(custom, 1, "2e2e4876d8e0bd6b8c2c8f556831c349");
    assert_md5(name, 1, "36655e7e9d7c0e8479fa3f3f42247ae7");
}

/* The bytes are written out here, as the developer guide describes them. */
static void
every_part_has_its_length_and_binary_its_own_mark(void **state)
{
    (void)state;
    static const char text[] = "\0\0\0\1a"
                               "\0\0\0\6Binary"
                               "\2"
                               "\0\0\0\3\0\1\xff"
                               "\0\0\0\2ab"
                               "\0\0\0\x0d"
                               "String.orders"
                               "\1"
                               "\0\0\0\2\xc3\xa9"
                               "\0\0\0\1b"
                               "\0\0\0\x0a"
                               "Binary.gif"
                               "\2"
                               "\0\0\0\0";
    const struct sqs_attribute attributes[] = {ATTRIBUTE("b", "Binary.gif", ""),
                                               ATTRIBUTE("ab", "String.orders", "\xc3\xa9"),
                                               ATTRIBUTE("a", "Binary", "\0\1\xff")};
    char expected[DIGEST_MD5_HEX];
    digest_md5_hex(text, sizeof text - 1, expected);
    assert_md5(attributes, 3, expected);
}

static void
names_are_sorted_by_byte_and_order_does_not_matter(void **state)
{
    (void)state;
    const struct sqs_attribute some[] = {ATTRIBUTE("B", "String", "1"), ATTRIBUTE("a", "String", "2"),
                                         ATTRIBUTE("B.", "String", "3"), ATTRIBUTE("\xc3\xa9", "String", "4")};
    const struct sqs_attribute same[] = {some[3], some[2], some[1], some[0]};
    char expected[DIGEST_MD5_HEX];
    static const char text[] = "\0\0\0\1B"
                               "\0\0\0\6String\1"
                               "\0\0\0\1"
                               "1"
                               "\0\0\0\2B."
                               "\0\0\0\6String\1"
                               "\0\0\0\1"
                               "3"
                               "\0\0\0\1a"
                               "\0\0\0\6String\1"
                               "\0\0\0\1"
                               "2"
                               "\0\0\0\2\xc3\xa9"
                               "\0\0\0\6String\1"
                               "\0\0\0\1"
                               "4";
    digest_md5_hex(text, sizeof text - 1, expected);
    assert_md5(some, 4, expected);
    assert_md5(same, 4, expected);
}

static void
more_attributes_than_sqs_allows_are_summed_too(void **state)
{
    (void)state;
    enum { N = 100 };
    static char names[N][16];
    struct sqs_attribute up[N], down[N];
    char md5[DIGEST_MD5_HEX];
    for (int i = 0; i < N; i++) {
        snprintf(names[i], sizeof names[i], "n%03d", i);
        up[i] = (struct sqs_attribute){.name = slice_of_string(names[i]), .type = SLICE("String"), .value = SLICE("v")};
        down[N - 1 - i] = up[i];
    }
    assert_int_equal(sqs_md5_attributes(up, N, md5), 0);
    assert_md5(down, N, md5);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_and_custom_types_match_aws),
        cmocka_unit_test(every_part_has_its_length_and_binary_its_own_mark),
        cmocka_unit_test(names_are_sorted_by_byte_and_order_does_not_matter),
        cmocka_unit_test(more_attributes_than_sqs_allows_are_summed_too),
    };
    return cmocka_run_group_tests_name("sqs_md5", tests, NULL, NULL);
}
