#include "ctl/widen.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "lib/tmp.h"

#define EVERY "{ \"source\": [ { \"prefix\": \"\" } ] }"

static void
the_patterns_of_rules_are_replaced_and_nothing_else(void **state)
{
    (void)state;
    static const char TEXT[] =
        "{ \"x\": 1.10,\n \"Resources\": {\n"
        "  \"A\": {\"Type\": \"AWS::Events::Rule\", \"Properties\": {\"EventPattern\": {\"source\": [\"a\"]}, \"n\": "
        "1e2}},\n"
        "  \"Q\": {\"Type\": \"AWS::SQS::Queue\", \"Properties\": {\"EventPattern\": {\"source\": [\"q\"]}}},\n"
        "  \"B\": {\"Properties\": {\"EventPattern\": {}}, \"Type\": \"AWS::Events::Rule\"}}}\n";
    static const char WIDE[] =
        "{ \"x\": 1.10,\n \"Resources\": {\n"
        "  \"A\": {\"Type\": \"AWS::Events::Rule\", \"Properties\": {\"EventPattern\": " EVERY ", \"n\": 1e2}},\n"
        "  \"Q\": {\"Type\": \"AWS::SQS::Queue\", \"Properties\": {\"EventPattern\": {\"source\": [\"q\"]}}},\n"
        "  \"B\": {\"Properties\": {\"EventPattern\": " EVERY "}, \"Type\": \"AWS::Events::Rule\"}}}\n";
    struct buf out = BUF_INIT;
    assert_int_equal(widen_template(slice_of(TEXT, sizeof TEXT - 1), &out, NULL), 0);
    assert_string_equal(out.data, WIDE);
    buf_clean_up(&out);
}

static void
a_template_without_a_rule_is_refused_by_its_name(void **state)
{
    (void)state;
    struct err e = {0};
    const char *dir = tmp_new();
    const char *from = tmp_write(dir, "t.json", "{\"Resources\": {}}");
    const char *to = tmp_path(dir, "wide.json");
    assert_int_equal(widen_file(from, to, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "/t.json: there is no AWS::Events::Rule"));
    assert_null(tmp_read(to, NULL));
    assert_int_equal(widen_file(tmp_write(dir, "t.json", "{"), to, &e), ERR_INVALID);
    assert_int_equal(widen_file(tmp_path(dir, "none"), to, &e), ERR_NOT_FOUND);
}

static void
the_template_that_ships_has_its_two_rules_widened(void **state)
{
    (void)state;
    const char *to = tmp_path(tmp_new(), "wide.json");
    struct err e = {0};
    if (widen_file("conf/durable-event-buffer.template.json", to, &e) != 0)
        fail_msg("%s", e.text);
    char *wide = tmp_read(to, NULL);
    assert_non_null(wide);
    char *first = strstr(wide, EVERY);
    assert_non_null(first);
    assert_non_null(strstr(first + 1, EVERY));
    free(wide);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_patterns_of_rules_are_replaced_and_nothing_else),
        cmocka_unit_test(a_template_without_a_rule_is_refused_by_its_name),
        cmocka_unit_test(the_template_that_ships_has_its_two_rules_widened),
    };
    return cmocka_run_group_tests_name("widen", tests, NULL, NULL);
}
