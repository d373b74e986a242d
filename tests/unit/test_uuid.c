#include "base/uuid.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void
an_id_is_a_version_4_uuid_in_lower_case(void **state)
{
    (void)state;
    static const char form[] = "xxxxxxxx-xxxx-4xxx-vxxx-xxxxxxxxxxxx";
    for (int i = 0; i < 1000; i++) {
        char id[UUID_TEXT_BYTES];
        uuid_generate(id);
        assert_int_equal(strlen(id), 36);
        for (size_t k = 0; k < 36; k++) {
            if (form[k] == 'x')
                assert_non_null(strchr("0123456789abcdef", id[k]));
            else if (form[k] == 'v')
                assert_non_null(strchr("89ab", id[k]));
            else
                assert_int_equal(id[k], form[k]);
        }
    }
}

static int
compare_ids(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void
no_two_ids_are_equal(void **state)
{
    (void)state;
    enum { COUNT = 20000 };
    char(*ids)[UUID_TEXT_BYTES] = malloc(COUNT * sizeof *ids);
    assert_non_null(ids);
    for (size_t i = 0; i < COUNT; i++)
        uuid_generate(ids[i]);
    qsort(ids, COUNT, sizeof *ids, compare_ids);
    for (size_t i = 1; i < COUNT; i++)
        assert_string_not_equal(ids[i - 1], ids[i]);
    free(ids);
}

static void
random_bytes_fill_all_that_was_asked_and_no_more(void **state)
{
    (void)state;
    enum { N = 100000 };
    unsigned char *bytes = calloc(1, N + 1);
    size_t ones = 0;
    assert_non_null(bytes);
    uuid_random_bytes(bytes, 0);
    assert_int_equal(bytes[0], 0);
    uuid_random_bytes(bytes, N);
    assert_int_equal(bytes[N], 0);
    for (size_t i = 0; i < N; i++)
        ones += (size_t)__builtin_popcount(bytes[i]);
    assert_in_range(ones, N * 4 - 5000, N * 4 + 5000); /* more than eleven standard deviations */
    free(bytes);
}

static void
seeds_differ_and_are_not_zero(void **state)
{
    (void)state;
    uint64_t a = uuid_random_seed(), b = uuid_random_seed();
    assert_true(a != 0 && b != 0 && a != b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_id_is_a_version_4_uuid_in_lower_case),
        cmocka_unit_test(no_two_ids_are_equal),
        cmocka_unit_test(random_bytes_fill_all_that_was_asked_and_no_more),
        cmocka_unit_test(seeds_differ_and_are_not_zero),
    };
    return cmocka_run_group_tests_name("uuid", tests, NULL, NULL);
}
