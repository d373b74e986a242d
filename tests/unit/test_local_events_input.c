#include "local/events_input.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/failing_malloc.h"
#include "lib/parsed.h"
#include "local/events_path.h"
#include "local/events_requests.h"

#define EVENT                                                                                                          \
    "{\"version\":\"0\",\"id\":\"i\",\"detail-type\":\"customerCreated\",\"source\":\"s\",\"account\":\"1\","          \
    "\"time\":\"2025-11-20T06:00:00Z\",\"region\":\"r\",\"resources\":[\"x\", \"y\"],"                                 \
    "\"detail\":{\"command\":\"display\\\"message\",\"payload\": {\"acc_id\": \"0a\", \"n\": [1, \"two\"]},"           \
    "\"items\":[{\"id\":7},{\"id\":8}],\"a/b\":1.10,\"big\":9007199254740993,\"nothing\":null,\"flag\":true,"          \
    "\"listsingle\":[\"HIGH\"],\"pair\":\"\\ud83d\\ude00\"}}"
#define HEAD                                                                                                           \
    "{\"version\":\"0\",\"id\":\"i\",\"detailType\":\"customerCreated\",\"source\":\"s\",\"account\":\"1\","           \
    "\"time\":\"2025-11-20T06:00:00Z\",\"region\":\"r\",\"resources\":[\"x\", \"y\"]}"

/* What the target makes of EVENT; NULL: it cannot be delivered (then *e says why). */
static char *
applied_to(const char *event, const char *target, struct err *e)
{
    struct events_input input = {.kind = EVENTS_INPUT_EVENT};
    const struct events_input_subject subject = {.rule_arn = SLICE("arn:rule"),
                                                 .rule_name = SLICE("rule"),
                                                 .event = parsed(event),
                                                 .ingested_at_ms = INT64_C(1763618401999)};
    struct arena arena;
    struct buf made = BUF_INIT;
    struct slice text;
    char *copy = NULL;
    arena_init(&arena, 0);
    if (local_events_input_compile(parsed(target), SLICE("t"), &arena, &input, e) != 0)
        fail_msg("%s: %s", target, e->text);
    if (local_events_input_apply(&input, &subject, &made, &text, e) == 0) {
        copy = strndup(text.p, text.n);
        assert_non_null(copy);
    }
    buf_clean_up(&made);
    arena_clean_up(&arena);
    return copy;
}

static void
assert_gives(const char *target, const char *expected)
{
    struct err e = {0};
    char *text = applied_to(EVENT, target, &e);
    if (!text)
        fail_msg("%s: %s", target, e.text);
    assert_string_equal(text, expected);
    free(text);
}

static void
assert_gives_nothing(const char *target, const char *reason)
{
    struct err e = {0};
    char *text = applied_to(EVENT, target, &e);
    if (text)
        fail_msg("%s gives %s", target, text);
    assert_int_equal(e.code, ERR_INVALID);
    assert_non_null(strstr(e.text, reason));
}

/* A target with an InputTransformer; the template is written as it is meant. */
static char *
transformer(const char *paths, const char *template)
{
    struct buf target = BUF_INIT;
    buf_add_format(&target, "{\"InputTransformer\":{\"InputPathsMap\":{%s},\"InputTemplate\":", paths);
    json_write_string(&target, slice_of_string(template));
    buf_add_string(&target, "}}");
    return buf_take(&target);
}

#define PATHS                                                                                                          \
    "\"type\":\"$.detail-type\",\"time\":\"$.time\",\"command\":\"$.detail.command\",\"payload\":\"$.detail."          \
    "payload\","                                                                                                       \
    "\"none\":\"$.detail.none\",\"list\":\"$.detail.listsingle\",\"n\":\"$.detail.a/"                                  \
    "b\",\"null\":\"$.detail.nothing\","                                                                               \
    "\"flag\":\"$.detail.flag\",\"pair\":\"$.detail.pair\",\"id\":\"$.detail.items[1].id\",\"r\":\"$.resources\""

static void
assert_template(const char *template, const char *expected)
{
    char *target = transformer(PATHS, template);
    assert_gives(target, expected);
    free(target);
}

static void
assert_template_gives_nothing(const char *template, const char *reason)
{
    char *target = transformer(PATHS, template);
    assert_gives_nothing(target, reason);
    free(target);
}

static void
assert_refused(const char *target, const char *message)
{
    struct events_input input;
    struct err e = {0};
    struct arena arena;
    arena_init(&arena, 0);
    assert_int_equal(local_events_input_compile(parsed(target), SLICE("t"), &arena, &input, &e), ERR_INVALID);
    assert_string_equal(e.text, message);
    arena_clean_up(&arena);
}

/* ---- tests ------------------------------------------------------------------------------------------------------- */

static void
without_anything_said_it_is_the_event(void **state)
{
    (void)state;
    assert_gives("{}", EVENT);
    assert_gives("{\"Input\":null,\"InputPath\":null,\"InputTransformer\":null}", EVENT);
}

static void
an_input_is_the_text_it_is(void **state)
{
    (void)state;
    assert_gives("{\"Input\":\"{\\\"a\\\": 1.10}\"}", "{\"a\": 1.10}");
    assert_gives("{\"Input\":\"\\\"text\\\"\"}", "\"text\"");
}

static void
a_path_gives_the_part_of_the_event_byte_for_byte(void **state)
{
    (void)state;
    assert_gives("{\"InputPath\":\"$\"}", EVENT);
    assert_gives("{\"InputPath\":\"$.detail.payload\"}", "{\"acc_id\": \"0a\", \"n\": [1, \"two\"]}");
    assert_gives("{\"InputPath\":\"$.detail.payload.acc_id\"}", "\"0a\""); /* recorded: with its quotes */
    assert_gives("{\"InputPath\":\"$.detail-type\"}", "\"customerCreated\"");
    assert_gives("{\"InputPath\":\"$.detail.big\"}", "9007199254740993");
    assert_gives("{\"InputPath\":\"$.detail.a/b\"}", "1.10");
    assert_gives("{\"InputPath\":\"$.detail.items[1].id\"}", "8");
    assert_gives("{\"InputPath\":\"$.detail.payload.n[1]\"}", "\"two\"");
    assert_gives("{\"InputPath\":\"$.detail.nothing\"}", "null");
}

static void
a_path_to_nothing_gives_nothing(void **state)
{
    (void)state;
    static const char *const PATHS_TO_NOTHING[] = {"$.none",      "$.detail.items[2]", "$.detail.items.id",
                                                   "$.source[0]", "$.source.x",        "$.detail[0]"};
    for (size_t i = 0; i < sizeof PATHS_TO_NOTHING / sizeof *PATHS_TO_NOTHING; i++) {
        char target[100];
        snprintf(target, sizeof target, "{\"InputPath\":\"%s\"}", PATHS_TO_NOTHING[i]);
        assert_gives_nothing(target, PATHS_TO_NOTHING[i]);
    }
}

/* The first two were recorded. */
static void
a_text_template_keeps_its_quotes_and_takes_texts(void **state)
{
    (void)state;
    assert_template("\"Event of <type> type, at time <time>, info extracted from detail <id>\"",
                    "\"Event of customerCreated type, at time 2025-11-20T06:00:00Z, info extracted from detail 8\"");
    assert_template("\"Event of <type> type, info extracted from detail <none>\"",
                    "\"Event of customerCreated type, info extracted from detail \"");
    assert_template("\"<command>\"", "\"display\\\"message\""); /* what was escaped still is */
    assert_template("\"<payload>, <list>, <r>\"", "\"{acc_id:0a,n:[1,two]}, [HIGH], [x,y]\"");
    assert_template("\"<n> <null> <flag> <pair>\"", "\"1.10 null true \\ud83d\\ude00\"");
    assert_template("\"say \\\"<type>\\\"\"", "\"say \\\"customerCreated\\\"\"");
    assert_template("\"a < b\"", "\"a < b\"");
}

static void
a_structure_takes_values_outside_of_strings_and_texts_inside(void **state)
{
    (void)state;
    assert_template("{\"t\":<type>,\"n\":<n>,\"p\":<payload>,\"l\":[<list>,<id>]}",
                    "{\"t\":\"customerCreated\",\"n\":1.10,\"p\":{\"acc_id\": \"0a\", \"n\": [1, \"two\"]},"
                    "\"l\":[[\"HIGH\"],8]}");
    assert_template("{\"a\":<none>,\"b\":\"<none>\",\"c\":<null>}", "{\"a\":\"\",\"b\":\"\",\"c\":null}");
    assert_template("{\"path\":\"users/<id>/<id>\"}", "{\"path\":\"users/8/8\"}");
    assert_template("{\"bod\":\"<payload>\"}", "{\"bod\":\"{acc_id:0a,n:[1,two]}\"}");
    assert_template(" [<id>, \"<id>\"]", " [8, \"8\"]");
    assert_template("{\"multi\\\"quote\":\"<id>\"}", "{\"multi\\\"quote\":\"8\"}");
}

static void
predefined_variables_are_known(void **state)
{
    (void)state;
    assert_template("\"<aws.events.rule-arn> <aws.events.rule-name> <aws.events.event.ingestion-time>\"",
                    "\"arn:rule rule 2025-11-20T06:00:01Z\"");
    assert_template("{\"arn\":<aws.events.rule-arn>,\"t\":<aws.events.event.ingestion-time>}",
                    "{\"arn\":\"arn:rule\",\"t\":\"2025-11-20T06:00:01Z\"}");
    assert_template("{\"originalEvent\": <aws.events.event>}", "{\"originalEvent\": " HEAD "}");
    assert_template("{\"originalEventJson\": <aws.events.event.json>}", "{\"originalEventJson\": " EVENT "}");
}

static void
what_makes_no_json_is_not_delivered(void **state)
{
    (void)state;
    assert_template_gives_nothing("<type> is a type", "The input template gives no JSON for this event: ");
    assert_template_gives_nothing("{\"a\":\"<list>\"}", "The input template has a list inside a string.");
    assert_template_gives_nothing("{<type>}", "The input template gives no JSON for this event: ");
    assert_template_gives_nothing("", "The input template gives no JSON for this event: ");
}

static void
what_is_no_input_is_refused_in_aws_s_words_where_they_are_known(void **state)
{
    (void)state;
    assert_refused("{\"Input\":\"{}\",\"InputPath\":\"$\"}",
                   "Only one of Input, InputPath, or InputTransformer must be provided for target t.");
    assert_refused("{\"InputTransformer\":{\"InputTemplate\":\"\\\"<notdefinedkey>\\\"\"}}",
                   "InputTemplate for target t contains invalid placeholder notdefinedkey.");
    assert_refused("{\"InputTransformer\":{\"InputTemplate\":\"\\\"<aws.events.event.detail>\\\"\"}}",
                   "InputTemplate for target t contains invalid placeholder aws.events.event.detail.");
    assert_refused("{\"InputTransformer\":{\"InputTemplate\":\"\\\"a < b, c > d\\\"\"}}",
                   "InputTemplate for target t contains invalid placeholder  b, c .");
    assert_refused("{\"InputTransformer\":{\"InputTemplate\":\"\\\"<>\\\"\"}}",
                   "InputTemplate for target t contains invalid placeholder .");
    assert_refused("{\"InputTransformer\":{\"InputPathsMap\":{\"unused\":\"x\"},\"InputTemplate\":\"1\"}}",
                   "Parameter InputPathsMap of target t is not valid. Reason: x: a path begins with $");
}

static void
what_is_no_path_is_refused_with_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *path, *reason;
    } CASES[] = {
        {"", "a path begins with $"},
        {"detail", "a path begins with $"},
        {"$detail", "at character 2 there is neither a . nor a ["},
        {"$.", "a name is missing at character 3"},
        {"$..id", "a name is missing at character 3"},
        {"$.detail.*", "'*' at character 10 is not supported: a path is $ and steps like .name and [0]"},
        {"$.items[*]", "at character 9 there is no index of a list like [0]; brackets hold nothing else here"},
        {"$['detail']", "at character 3 there is no index of a list like [0]; brackets hold nothing else here"},
        {"$.items[0", "at character 9 there is no index of a list like [0]; brackets hold nothing else here"},
        {"$.items[0]id", "at character 11 there is neither a . nor a ["},
        {"$.items[9999999999]", "at character 9 there is no index of a list like [0]; brackets hold nothing else here"},
    };
    struct arena arena;
    arena_init(&arena, 0);
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        const struct events_path *path;
        struct err e = {0};
        assert_int_equal(local_events_path_compile(slice_of_string(CASES[i].path), &arena, &path, &e), ERR_INVALID);
        assert_string_equal(e.text, CASES[i].reason);
    }
    arena_clean_up(&arena);
}

/* 1,000 times the whole event, which is large. */
static void
a_template_cannot_make_more_than_a_message_holds(void **state)
{
    (void)state;
    struct buf event = BUF_INIT, template = BUF_INIT;
    struct err e = {0};
    buf_add_string(&event, "{\"detail\":\"");
    for (int i = 0; i < 100000; i++)
        buf_add_char(&event, 'x');
    buf_add_string(&event, "\"}");
    buf_add_string(&template, "[0");
    for (int i = 0; i < 1000; i++)
        buf_add_string(&template, ",<aws.events.event.json>");
    buf_add_string(&template, "]");
    char *target = transformer("", template.data);
    assert_null(applied_to(event.data, target, &e));
    assert_int_equal(e.code, ERR_LIMIT);
    free(target);
    buf_clean_up(&event);
    buf_clean_up(&template);
}

/* Everything that allocates, of a target's way from the request to the text it gets. */
static int
check_compile_and_apply(void)
{
    static const char TARGET[] =
        "{\"Id\":\"t\",\"Arn\":\"arn\",\"InputTransformer\":{\"InputPathsMap\":{\"a\":\"$.detail.items[1].id\"},"
        "\"InputTemplate\":\"{\\\"a\\\":<a>,\\\"r\\\":\\\"<aws.events.rule-name>\\\",\\\"e\\\":<aws.events.event>}\"}}";
    struct events_input_subject subject = {.rule_arn = SLICE("arn"), .rule_name = SLICE("rule")};
    struct events_violations v = {0};
    struct events_input input;
    struct json target;
    struct arena arena;
    struct buf made = BUF_INIT;
    struct slice text;
    struct err e = {0};
    int rc = json_parse(slice_of_string(TARGET), &target, &e);
    if (rc == 0)
        rc = json_parse(SLICE(EVENT), &subject.event, &e);
    arena_init(&arena, 0);
    if (rc == 0)
        local_events_check_shape(&v, &EVENTS_TARGET, target);
    if (rc == 0 && !local_events_is_valid(&v))
        rc = v.no_memory ? ERR_NO_MEMORY : ERR_INVALID;
    if (rc == 0)
        rc = local_events_input_compile(target, SLICE("t"), &arena, &input, &e);
    if (rc == 0)
        rc = local_events_input_apply(&input, &subject, &made, &text, &e);
    local_events_violations_clean_up(&v);
    buf_clean_up(&made);
    arena_clean_up(&arena);
    return rc;
}

/* A request that is refused, for its types or for its lengths. */
static int
refuse_a_request(void)
{
    static const char *const REQUESTS[] = {"{\"Id\":1,\"Arn\":[]}", "{\"Id\":\"?\",\"Arn\":\"\"}"};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < 2; i++) {
        struct events_violations v = {0};
        struct json target;
        rc = json_parse(slice_of_string(REQUESTS[i]), &target, NULL);
        local_events_check_shape(&v, &EVENTS_TARGET, target);
        if (local_events_is_valid(&v))
            rc = ERR_INVALID; /* never */
        else if (v.no_memory)
            rc = ERR_NO_MEMORY;
        local_events_violations_clean_up(&v);
    }
    return rc;
}

static void
no_allocation_that_fails_makes_good_of_bad_or_leaks(void **state)
{
    (void)state;
    failing_malloc_each(check_compile_and_apply);
    failing_malloc_each(refuse_a_request);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_anything_said_it_is_the_event),
        cmocka_unit_test(an_input_is_the_text_it_is),
        cmocka_unit_test(a_path_gives_the_part_of_the_event_byte_for_byte),
        cmocka_unit_test(a_path_to_nothing_gives_nothing),
        cmocka_unit_test(a_text_template_keeps_its_quotes_and_takes_texts),
        cmocka_unit_test(a_structure_takes_values_outside_of_strings_and_texts_inside),
        cmocka_unit_test(predefined_variables_are_known),
        cmocka_unit_test(what_makes_no_json_is_not_delivered),
        cmocka_unit_test(what_is_no_input_is_refused_in_aws_s_words_where_they_are_known),
        cmocka_unit_test(what_is_no_path_is_refused_with_its_place),
        cmocka_unit_test(a_template_cannot_make_more_than_a_message_holds),
        cmocka_unit_test(no_allocation_that_fails_makes_good_of_bad_or_leaks),
    };
    return cmocka_run_group_tests_name("local_events_input", tests, NULL, NULL);
}
