/* Numbers as doubles: the nearest ones, as strtod has them. */
#include "base/json.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/parsed.h"
#include "lib/xorshift.h"

#define N_ELEMENTS(a) (sizeof(a) / sizeof *(a))

static uint64_t
bits(double v)
{
    uint64_t u;
    memcpy(&u, &v, sizeof u);
    return u;
}

static void
assert_same_as_strtod(const char *text)
{
    if (bits(json_double(parsed(text))) != bits(strtod(text, NULL)))
        fail_msg("%s: %.17g, not %.17g", text, json_double(parsed(text)), strtod(text, NULL));
}

static void
doubles_are_the_nearest_ones(void **state)
{
    (void)state;
    static const char *const EDGES[] = {
        "0",
        "-0",
        "0.0",
        "-0.0e5",
        "0e999999999999999999999",
        "1",
        "300.0",
        "3e2",
        "0.1",
        "1.10",
        "9007199254740993",
        "9007199254740992.9999999999999999999999999999999",
        "1e22",
        "1e23",
        "123456789012345678e22",
        "8.5e-17",
        "2.2250738585072011e-308",
        "2.2250738585072014e-308",
        "4.9406564584124654e-324",
        "2.4703282292062327e-324",
        "2.4703282292062328e-324",
        "1.7976931348623157e308",
        "1.7976931348623158e308",
        "1.7976931348623159e308",
        "1e308",
        "1e309",
        "-1e309",
        "1e400",
        "1e-400",
        "1e99999999999999999999",
        "1e-99999999999999999999",
        "0.000000000000000000000000000000000000000000000000000000000000000000000000001e75",
        "100000000000000000000000000000000000000000000000000000000000000000000000000e-75",
    };
    for (size_t i = 0; i < N_ELEMENTS(EDGES); i++)
        assert_same_as_strtod(EDGES[i]);
    assert_true(isinf(json_double(parsed("1e400"))));

    uint64_t random = 4711;
    char text[64];
    for (int i = 0; i < 50000; i++) {
        uint64_t u = xorshift_next(&random);
        double d;
        memcpy(&d, &u, sizeof d);
        if (!isfinite(d))
            continue;
        snprintf(text, sizeof text, i % 2 ? "%.17g" : "%.15e", d);
        assert_same_as_strtod(text);
        snprintf(text, sizeof text, "%llu.%llue%d", (unsigned long long)(xorshift_next(&random) >> (u & 63)),
                 (unsigned long long)xorshift_next(&random), (int)(u % 60) - 30);
        assert_same_as_strtod(text);
    }
}

static void
numbers_of_any_length_are_rounded_rightly(void **state)
{
    (void)state;
    /* 1 + 2^-53 lies halfway between 1 and its upper neighbour, so what decides is whether anything follows. */
    static const char HALFWAY[] = "1.00000000000000011102230246251565404236316680908203125";
    struct buf b = BUF_INIT;
    for (size_t zeros = 0; zeros < 3000; zeros += 97) {
        for (int more = 0; more < 2; more++) {
            buf_reset(&b);
            buf_add_string(&b, HALFWAY);
            for (size_t i = 0; i < zeros; i++)
                buf_add_char(&b, '0');
            buf_add_string(&b, more ? "1" : "0");
            assert_true(json_double(parsed(b.data)) == (more ? nextafter(1, 2) : 1));
            assert_same_as_strtod(b.data);
        }
    }
    for (size_t digits = 1; digits < 2000; digits += 61) {
        buf_reset(&b);
        buf_add_char(&b, '-');
        for (size_t i = 0; i < digits; i++)
            buf_add_char(&b, (char)('1' + i % 9));
        buf_add_format(&b, "e-%zu", digits + 3);
        assert_same_as_strtod(b.data);
        buf_reset(&b);
        buf_add_string(&b, "0.");
        for (size_t i = 0; i < digits; i++)
            buf_add_char(&b, '0');
        buf_add_format(&b, "12345678901234567890e%zu", digits);
        assert_same_as_strtod(b.data);
    }
    buf_clean_up(&b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(doubles_are_the_nearest_ones),
        cmocka_unit_test(numbers_of_any_length_are_rounded_rightly),
    };
    return cmocka_run_group_tests_name("json_double", tests, NULL, NULL);
}
