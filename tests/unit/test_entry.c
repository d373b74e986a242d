#include "ctl/entry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct entry *
parsed(const char *text)
{
    struct entry *entry = NULL;
    struct err e = {0};
    if (entry_parse(slice_of_string(text), 7, "a-bus", &entry, &e) != 0)
        fail_msg("%s", e.text);
    return entry;
}

static void
assert_refused(const char *text, const char *reason)
{
    struct entry *entry = NULL;
    struct err e = {0};
    assert_int_equal(entry_parse(slice_of_string(text), 1, NULL, &entry, &e), ERR_INVALID);
    assert_null(entry);
    if (!strstr(e.text, reason))
        fail_msg("\"%s\" does not say \"%s\"", e.text, reason);
}

static void
all_members_are_read(void **state)
{
    (void)state;
    struct entry *entry =
        parsed("{\"Source\":\"s\",\"DetailType\":\"t\",\"Detail\":\"{\\\"a\\\": 1.10}\",\"EventBusName\":\"b\","
               "\"Resources\":[\"r1\",\"r2\"],\"Time\":\"2026-11-20T06:00:00Z\",\"TraceHeader\":\"x\"}");
    assert_true(slice_equals_string(entry->event.source, "s"));
    assert_true(slice_equals_string(entry->event.detail_type, "t"));
    assert_true(slice_equals_string(entry->event.detail, "{\"a\": 1.10}"));
    assert_true(slice_equals_string(entry->event.bus, "b"));
    assert_int_equal(entry->event.n_resources, 2);
    assert_true(slice_equals_string(entry->event.resources[1], "r2"));
    assert_int_equal(entry->event.time_ms, INT64_C(1795154400000));
    assert_true(slice_equals_string(entry->event.trace_header, "x"));
    assert_int_equal(entry->line, 7);
    entry_destroy(entry);
}

static void
a_detail_written_as_an_object_keeps_its_bytes(void **state)
{
    (void)state;
    struct entry *entry = parsed("{\"Source\":\"s\",\"DetailType\":\"t\",\"Detail\":{\"n\": 9007199254740993, \"e\" : "
                                 "1e400,\"z\":\"a\\u0000b\"}}");
    assert_true(
        slice_equals_string(entry->event.detail, "{\"n\": 9007199254740993, \"e\" : 1e400,\"z\":\"a\\u0000b\"}"));
    entry_destroy(entry);
}

static void
a_missing_bus_is_the_default_one(void **state)
{
    (void)state;
    struct entry *entry = parsed("{\"Source\":\"s\",\"DetailType\":\"t\",\"Detail\":\"{}\"}");
    assert_true(slice_equals_string(entry->event.bus, "a-bus"));
    entry_destroy(entry);
}

static void
what_is_wrong_is_said(void **state)
{
    (void)state;
    assert_refused("[]", "a PutEvents entry is a JSON object");
    assert_refused("{\"DetailType\":\"t\",\"Detail\":\"{}\"}", "Source is missing");
    assert_refused("{\"Source\":\"s\",\"Detail\":\"{}\"}", "DetailType is missing");
    assert_refused("{\"Source\":\"s\",\"DetailType\":\"t\"}", "Detail is missing");
    assert_refused("{\"Source\":\"s\",\"DetailType\":\"t\",\"Detail\":\"{\"}", "Detail is no JSON");
    assert_refused("{\"Source\":\"s\",\"DetailType\":\"t\",\"Detail\":\"[1]\"}", "Detail must hold a JSON object");
    assert_refused("{\"Source\":1,\"DetailType\":\"t\",\"Detail\":\"{}\"}", "Source must be a string");
    assert_refused("{\"source\":\"s\",\"DetailType\":\"t\",\"Detail\":\"{}\"}", "unknown member \"source\"");
    assert_refused("{\"Source\":\"s\",\"DetailType\":\"t\",\"Detail\":\"{}\",\"Resources\":\"r\"}",
                   "Resources must be an array of strings");
    assert_refused("{\"Source\":\"s\",\"DetailType\":\"t\",\"Detail\":\"{}\",\"Resources\":[\"r\",1]}",
                   "Resources must be an array of strings");
    assert_refused("{\"Source\":\"s\",\"DetailType\":\"t\",\"Detail\":\"{}\",\"Time\":\"yesterday\"}", "Time");
}

static void
a_time_no_bus_can_keep_is_refused_here(void **state)
{
    (void)state;
    static const char *const TIMES[] = {
        "\"1960-12-31T23:59:59Z\"", "\"1970-01-01T00:00:00Z\"", "0", "-1", "1e300", "253402300800"};
    for (size_t i = 0; i < sizeof TIMES / sizeof *TIMES; i++) {
        char line[200];
        snprintf(line, sizeof line, "{\"Source\":\"s\",\"DetailType\":\"t\",\"Detail\":\"{}\",\"Time\":%s}", TIMES[i]);
        assert_refused(line, "Time is out of range");
    }
    entry_destroy(
        parsed("{\"Source\":\"s\",\"DetailType\":\"t\",\"Detail\":\"{}\",\"Time\":\"9999-12-31T23:59:59Z\"}"));
    entry_destroy(parsed("{\"Source\":\"s\",\"DetailType\":\"t\",\"Detail\":\"{}\",\"Time\":1.5}"));
}

static void
an_entry_over_the_size_limit_is_refused_here(void **state)
{
    (void)state;
    size_t n = EVENTS_BYTES_MAX + 200;
    char *text = malloc(n + 200), *padding = malloc(n + 1);
    assert_non_null(text);
    assert_non_null(padding);
    memset(padding, 'x', n);
    padding[EVENTS_BYTES_MAX] = '\0';
    sprintf(text, "{\"Source\":\"s\",\"DetailType\":\"t\",\"Detail\":{\"p\":\"%s\"}}", padding);
    assert_refused(text, "EventBridge takes at most 1048576");
    free(padding);
    free(text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_members_are_read),
        cmocka_unit_test(a_detail_written_as_an_object_keeps_its_bytes),
        cmocka_unit_test(a_missing_bus_is_the_default_one),
        cmocka_unit_test(what_is_wrong_is_said),
        cmocka_unit_test(a_time_no_bus_can_keep_is_refused_here),
        cmocka_unit_test(an_entry_over_the_size_limit_is_refused_here),
    };
    return cmocka_run_group_tests_name("entry", tests, NULL, NULL);
}
