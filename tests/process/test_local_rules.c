/* The operations of fanout-local's EventBridge on rules: what they keep, and what they refuse. Targets are in
 * test_local_targets.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "lib/admin.h"
#include "lib/rules.h"
#include "lib/shared.h"
#include "lib/skip.h"
#include "lib/tmp.h"

/* ---- rules ------------------------------------------------------------------------------------------------------- */

static void
a_rule_is_put_and_described(void **state)
{
    (void)state;
    rules_assert_done("PutRule", "{\"Name\":\"r\",\"EventPattern\":\"" ORDERS
                                 "\",\"Description\":\"say \\\"caf\\u00e9\\\"\",\"RoleArn\":\"arn:aws:iam::1:role/x\","
                                 "\"State\":\"DISABLED\",\"Tags\":[{\"Key\":\"k\",\"Value\":\"\"}]}");
    rules_assert_text("RuleArn", RULE("r"));
    rules_assert_done("DescribeRule", "{\"Name\":\"r\"}");
    rules_assert_text("Name", "r");
    rules_assert_text("Arn", RULE("r"));
    rules_assert_text("EventPattern", "{\"source\":[\"orders\"]}");
    rules_assert_text("State", "DISABLED");
    rules_assert_text("Description", "say \"caf\xc3\xa9\"");
    rules_assert_text("RoleArn", "arn:aws:iam::1:role/x");
    rules_assert_text("EventBusName", "default");
    rules_assert_text("CreatedBy", ACCOUNT);
    rules_drop("r");
    rules_assert_refused("ResourceNotFoundException", "Rule r does not exist on EventBus default.", "DescribeRule",
                         "{\"Name\":\"r\"}");
}

static void
putting_a_rule_again_replaces_all_of_it_but_its_targets(void **state)
{
    (void)state;
    rules_assert_done("PutRule",
                      "{\"Name\":\"r\",\"EventPattern\":\"{\\\"source\\\":[\\\"x\\\"]}\",\"Description\":\"d\","
                      "\"RoleArn\":\"arn\",\"State\":\"DISABLED\"}");
    rules_put_target("r", "1", "q", "");
    rules_put("r");
    rules_assert_done("DescribeRule", "{\"Name\":\"r\"}");
    rules_assert_text("State", "ENABLED");
    rules_assert_text("Description", "");
    rules_assert_text("RoleArn", "");
    rules_put_event("orders", "{}");
    rules_put_event("x", "{}");
    rules_assert_takes("q", NULL);
    rules_assert_empty("q");
    rules_drop("r");
}

static void
a_rule_counts_from_the_next_event_on_and_while_it_is_enabled(void **state)
{
    (void)state;
    rules_put_event("orders", "{}");
    rules_assert_done("PutRule", "{\"Name\":\"r\",\"EventPattern\":\"" ORDERS "\",\"State\":\"DISABLED\"}");
    rules_put_target("r", "1", "q", "");
    rules_put_event("orders", "{}");
    rules_assert_empty("q");
    rules_assert_done("EnableRule", "{\"Name\":\"r\",\"EventBusName\":\"default\"}");
    assert_int_equal(rules_aws.body.n, 0);
    rules_put_event("orders", "{}");
    rules_assert_takes("q", NULL);
    rules_assert_done("DisableRule",
                      "{\"Name\":\"r\",\"EventBusName\":\"arn:aws:events:us-east-1:" ACCOUNT ":event-bus/default\"}");
    rules_put_event("orders", "{}");
    rules_assert_empty("q");
    rules_assert_done("PutRule", "{\"Name\":\"r\",\"EventPattern\":\"" ORDERS
                                 "\",\"State\":\"ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS\"}");
    rules_put_event("orders", "{}");
    rules_assert_takes("q", NULL);
    rules_assert_done("RemoveTargets", "{\"Rule\":\"r\",\"Ids\":[\"1\"]}");
    rules_put_event("orders", "{}");
    rules_assert_empty("q");
    rules_drop("r");
}

static void
a_rule_with_targets_is_not_deleted(void **state)
{
    (void)state;
    rules_put("r");
    rules_put_target("r", "1", "q", "");
    rules_assert_refused("ValidationException", "Rule can't be deleted since it has targets.", "DeleteRule",
                         "{\"Name\":\"r\",\"Force\":true}");
    rules_assert_done("DescribeRule", "{\"Name\":\"r\"}");
    rules_drop("r");
    rules_assert_done("DeleteRule", "{\"Name\":\"r\"}"); /* again */
}

static void
what_does_not_exist_is_said_so(void **state)
{
    (void)state;
    static const char *const BY_NAME[] = {"DescribeRule", "EnableRule", "DisableRule"};
    static const char *const ALL[] = {"DescribeRule", "EnableRule", "DisableRule", "DeleteRule", "ListRules"};
    for (size_t i = 0; i < sizeof BY_NAME / sizeof *BY_NAME; i++)
        rules_assert_refused("ResourceNotFoundException", "Rule none does not exist on EventBus default.", BY_NAME[i],
                             "{\"Name\":\"none\"}");
    for (size_t i = 0; i < sizeof ALL / sizeof *ALL; i++)
        rules_assert_refused("ResourceNotFoundException", "Event bus nobody.s does not exist.", ALL[i],
                             "{\"Name\":\"none\",\"EventBusName\":\"nobody.s\"}");
    rules_assert_refused("ResourceNotFoundException", "Event bus nobody.s does not exist.", "PutRule",
                         "{\"Name\":\"r\",\"EventPattern\":\"" ORDERS
                         "\",\"EventBusName\":\"arn:aws:events:us-east-1:" ACCOUNT ":event-bus/nobody.s\"}");
    rules_assert_refused("ResourceNotFoundException", "Rule none does not exist on EventBus default.", "PutTargets",
                         "{\"Rule\":\"none\",\"Targets\":[{\"Id\":\"1\",\"Arn\":\"" QUEUE("q") "\"}]}");
    rules_assert_refused("ResourceNotFoundException", "Rule none does not exist on EventBus default.", "RemoveTargets",
                         "{\"Rule\":\"none\",\"Ids\":[\"1\"]}");
    rules_assert_refused("ResourceNotFoundException", "Rule none does not exist on EventBus default.",
                         "ListTargetsByRule", "{\"Rule\":\"none\"}");
}

static void
a_rule_needs_a_pattern_that_is_one(void **state)
{
    (void)state;
    rules_assert_refused("ValidationException", "Parameter(s) EventPattern or ScheduleExpression must be specified.",
                         "PutRule", "{\"Name\":\"r\"}");
    rules_assert_refused("ValidationException", "Parameter(s) EventPattern or ScheduleExpression must be specified.",
                         "PutRule", "{\"Name\":\"r\",\"EventPattern\":\"\"}");
    rules_assert_refused(
        "ValidationException",
        "1 validation error detected: Value 'a\\u0000b' at 'name' failed to satisfy constraint: Member must "
        "satisfy regular expression pattern: [\\.\\-_A-Za-z0-9]+",
        "PutRule", "{\"Name\":\"a\\u0000b\",\"EventPattern\":\"{}\"}");
    rules_call("PutRule", "{\"Name\":\"r\",\"EventPattern\":\"{\\\"source\\\":\\\"orders\\\"}\"}");
    assert_int_equal(rules_aws.status, 400);
    assert_string_equal(rules_aws.error, "InvalidEventPatternException");
    assert_int_equal(strncmp(rules_aws.message,
                             "Event pattern is not valid. Reason: \"source\" must be an object or an array at ", 70),
                     0);
    rules_assert_refused("ResourceNotFoundException", "Rule r does not exist on EventBus default.", "DescribeRule",
                         "{\"Name\":\"r\"}");
}

static void
schedules_are_refused_by_name(void **state)
{
    (void)state;
    rules_assert_refused("ValidationException", "Parameter ScheduleExpression is not valid.", "PutRule",
                         "{\"Name\":\"r\",\"ScheduleExpression\":\"hourly\"}");
    rules_call("PutRule", "{\"Name\":\"r\",\"ScheduleExpression\":\"rate(1 minute)\",\"EventPattern\":\"" ORDERS "\"}");
    assert_string_equal(rules_aws.error, "ValidationException");
    assert_non_null(strstr(rules_aws.message, "ScheduleExpression is not supported by fanout-local"));
    rules_assert_refused("ResourceNotFoundException", "Rule r does not exist on EventBus default.", "DescribeRule",
                         "{\"Name\":\"r\"}");
}

static void
rules_are_listed_in_pages_and_by_prefix(void **state)
{
    (void)state;
    char token[200], path[40], name[70], expected[70];
    for (int i = 0; i < 23; i++) {
        snprintf(name, sizeof name, "page-%02d", i);
        rules_put(name);
    }
    rules_put("pagE");
    rules_put("qage");
    rules_assert_done("ListRules", "{\"NamePrefix\":\"page\",\"Limit\":10}");
    for (int i = 0; i < 23; i++) {
        if (i > 0 && i % 10 == 0) {
            assert_int_equal(aws_call_count(&rules_aws, "Rules"), 10);
            assert_true(aws_call_text(&rules_aws, "NextToken", token, sizeof token));
            rules_assert_done("ListRules", "{\"NamePrefix\":\"page\",\"Limit\":10,\"NextToken\":\"%s\"}", token);
        }
        snprintf(path, sizeof path, "Rules.%d.Name", i % 10);
        snprintf(expected, sizeof expected, "page-%02d", i);
        rules_assert_text(path, expected);
    }
    assert_int_equal(aws_call_count(&rules_aws, "Rules"), 3);
    rules_assert_text("NextToken", "");
    rules_assert_text("Rules.0.EventPattern", "{\"source\":[\"orders\"]}");
    rules_assert_text("Rules.0.State", "ENABLED");
    rules_assert_text("Rules.0.EventBusName", "default");
    rules_assert_text("Rules.0.Arn", RULE("page-20"));
    rules_assert_text("Rules.0.CreatedBy", "");
    rules_assert_done("ListRules", "{\"NamePrefix\":\"page-1\",\"Limit\":10}"); /* exactly a page */
    assert_int_equal(aws_call_count(&rules_aws, "Rules"), 10);
    rules_assert_text("NextToken", "");
    rules_assert_done("ListRules", "{}");
    assert_int_equal(aws_call_count(&rules_aws, "Rules"), 25);
    rules_assert_refused("ValidationException", "Parameter NextToken is not valid.", "ListRules",
                         "{\"NextToken\":\"?\"}");
    rules_assert_refused("ValidationException", "Parameter NextToken is not valid.", "ListRules",
                         "{\"NextToken\":\"ISE=\"}");
    for (int i = 0; i < 23; i++) {
        snprintf(name, sizeof name, "page-%02d", i);
        rules_drop(name);
    }
    rules_drop("pagE");
    rules_drop("qage");
}

/* ---- TestEventPattern ---------------------------------------------------------------------------------------------
 */

#define EVENT                                                                                                          \
    "{\\\"id\\\":\\\"1\\\",\\\"account\\\":\\\"2\\\",\\\"source\\\":\\\"%s\\\",\\\"time\\\":\\\"t\\\","                \
    "\\\"region\\\":\\\"r\\\",\\\"detail-type\\\":\\\"d\\\"}"

static void
a_pattern_is_tried_on_an_event(void **state)
{
    (void)state;
    rules_assert_done("TestEventPattern", "{\"EventPattern\":\"" ORDERS "\",\"Event\":\"" EVENT "\"}", "orders");
    assert_true(slice_equals_string(rules_aws.body, "{\"Result\":true}"));
    rules_assert_done("TestEventPattern", "{\"EventPattern\":\"" ORDERS "\",\"Event\":\"" EVENT "\"}", "other");
    assert_true(slice_equals_string(rules_aws.body, "{\"Result\":false}"));
    rules_call("TestEventPattern", "{\"EventPattern\":\"{}\",\"Event\":\"" EVENT "\"}", "orders");
    assert_string_equal(rules_aws.error, "InvalidEventPatternException");
}

/* Sends what was sent to AWS, and compares with what it answered. */
static void
try_recorded(struct json one)
{
    struct json pattern, event, expect, message;
    struct buf body = BUF_INIT, words = BUF_INIT;
    assert_true(json_get(one, "pattern", &pattern));
    assert_true(json_get(one, "event", &event));
    assert_true(json_get(one, "expect", &expect));
    buf_add_string(&body, "{\"EventPattern\":");
    json_write_string(&body, pattern.text);
    buf_add_string(&body, ",\"Event\":");
    json_write_string(&body, event.text);
    buf_add_char(&body, '}');
    assert_true(aws_call_begin(&rules_aws, "events", "AWSEvents.TestEventPattern", buf_slice(&body)));
    aws_call_finish(&rules_aws);
    if (json_equals_string(expect, SLICE("error"))) {
        assert_true(json_get(one, "error_message", &message));
        assert_int_equal(json_decode(message, &words, NULL), 0);
        if (rules_aws.status != 400 || strcmp(rules_aws.error, "InvalidEventPatternException") != 0 ||
            strncmp(rules_aws.message, words.data, words.len) != 0)
            fail_msg("%.*s: not \"%s\", but %d %s: %s", SLICE_ARG(pattern.text), words.data, rules_aws.status,
                     rules_aws.error, rules_aws.message);
    } else {
        bool match = json_equals_string(expect, SLICE("match"));
        if (!slice_equals_string(rules_aws.body, match ? "{\"Result\":true}" : "{\"Result\":false}"))
            fail_msg("%.*s on %.*s: %.*s", SLICE_ARG(pattern.text), SLICE_ARG(event.text), SLICE_ARG(rules_aws.body));
    }
    buf_clean_up(&body);
    buf_clean_up(&words);
}

static void
what_aws_was_recorded_to_answer_is_answered(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    struct json file, cases;
    size_t n = 0;
    if (!shared_read("data/event-patterns/cases.json", &text))
        skip_because("../shared/data/event-patterns/cases.json is missing");
    assert_int_equal(json_parse(buf_slice(&text), &file, NULL), 0);
    assert_true(json_get(file, "cases", &cases));
    for (struct json_iter it = json_iter(cases); json_next(&it); n++)
        try_recorded(it.value);
    print_message("%zu recorded cases\n", n);
    assert_true(n > 90);
    buf_clean_up(&text);
}

static void
what_is_no_event_is_not_tried(void **state)
{
    (void)state;
    static const char *const BAD[] = {"", "{", "[]", "1", "{}", "{\\\"source\\\":\\\"orders\\\"}"};
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++)
        rules_assert_refused("ValidationException", "Parameter Event is not valid.", "TestEventPattern",
                             "{\"EventPattern\":\"" ORDERS "\",\"Event\":\"%s\"}", BAD[i]);
}

/* ---- requests that are none ---------------------------------------------------------------------------------------
 */

static void
what_is_no_request_is_refused(void **state)
{
    (void)state;
    rules_call("ListRules", "%s", "");
    assert_int_equal(rules_aws.status, 400);
    assert_string_equal(rules_aws.error, "SerializationException");
    rules_call("ListRules", "{\"Limit\":");
    assert_string_equal(rules_aws.error, "SerializationException");
    rules_assert_refused("SerializationException", "the request has to be a structure, and is a list", "ListRules",
                         "[]");
    rules_assert_refused("SerializationException", "name holds half of a surrogate pair", "DescribeRule",
                         "{\"Name\":\"\\ud83d\"}");
    rules_assert_refused("SerializationException", "targets.2.member.arn has to be a string, and is a number",
                         "PutTargets", "{\"Rule\":\"\",\"Targets\":[{},{\"Arn\":1}]}");
}

/* ---- durability ---------------------------------------------------------------------------------------------------
 */

static void
kill_9_keeps_rules_and_targets(void **state)
{
    (void)state;
    rules_put("stays");
    rules_put_target("stays", "1", "q", ",\"InputPath\":\"$.detail\"");
    rules_assert_done("PutRule", "{\"Name\":\"off\",\"EventPattern\":\"" ORDERS "\"}");
    rules_put_target("off", "1", "q", "");
    rules_assert_done("DisableRule", "{\"Name\":\"off\"}");
    rules_put("gone");
    rules_assert_done("DeleteRule", "{\"Name\":\"gone\"}");
    local_server_kill(&rules_server);
    local_server_restart(&rules_server);
    rules_connect_again();
    rules_put_event("orders", "{\"n\":1}");
    rules_assert_takes("q", "{\"n\":1}");
    rules_assert_empty("q");
    rules_assert_done("ListRules", "{}");
    assert_int_equal(aws_call_count(&rules_aws, "Rules"), 2);
    rules_assert_text("Rules.0.Name", "off");
    rules_assert_text("Rules.0.State", "DISABLED");
    rules_assert_text("Rules.1.Name", "stays");
    rules_drop("stays");
    rules_drop("off");
}

static void
execute(sqlite3 *db, const char *sql)
{
    char *fault = NULL;
    if (sqlite3_exec(db, sql, NULL, NULL, &fault) != SQLITE_OK)
        fail_msg("%s: %s", sql, fault);
}

/* The tables as the first version made them, with a rule that delivers and one that is off. */
static void
tables_of_the_first_version_are_brought_up_to_date(void **state)
{
    (void)state;
    sqlite3 *db;
    local_server_stop(&rules_server);
    assert_int_equal(sqlite3_open(tmp_path(rules_server.folder, "fanout-local.sqlite3"), &db), SQLITE_OK);
    execute(db,
            "DROP TABLE events_rules; DROP TABLE events_targets; DROP TABLE events_provisioned;"
            "CREATE TABLE events_rules (bus TEXT NOT NULL, name TEXT NOT NULL, pattern TEXT NOT NULL,"
            " enabled INTEGER NOT NULL, PRIMARY KEY (bus, name)) WITHOUT ROWID;"
            "CREATE TABLE events_targets (bus TEXT NOT NULL, rule TEXT NOT NULL, id TEXT NOT NULL,"
            " arn TEXT NOT NULL, dead_letter_arn TEXT NOT NULL, capture_bucket TEXT NOT NULL,"
            " PRIMARY KEY (bus, rule, id)) WITHOUT ROWID;"
            "INSERT INTO events_rules VALUES ('default', 'old', '{\"source\":[\"orders\"]}', 1),"
            " ('default', 'off', '{\"source\":[\"orders\"]}', 0);"
            "INSERT INTO events_targets VALUES ('default', 'old', '1', '" QUEUE("q") "', '" QUEUE(
                "dead") "', ''),"
                        " ('default', 'off', '1', '" QUEUE("q") "', '', '');"
                                                                "UPDATE service SET version = 1 WHERE name = 'events'");
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    local_server_restart(&rules_server);
    rules_connect_again();
    rules_put_event("orders", "{}");
    rules_assert_takes("q", NULL);
    rules_assert_empty("q");
    rules_assert_done("DescribeRule", "{\"Name\":\"off\"}");
    rules_assert_text("State", "DISABLED");
    rules_assert_done("ListTargetsByRule", "{\"Rule\":\"old\"}");
    rules_assert_text("Targets.0.DeadLetterConfig.Arn", QUEUE("dead"));
    rules_assert_done("ListTargetsByRule", "{\"Rule\":\"off\"}");
    rules_assert_text("Targets.0.Arn", QUEUE("q"));
    rules_assert_text("Targets.0.DeadLetterConfig.Arn", "");
    rules_drop("old");
    rules_drop("off");
}

static void
a_reset_forgets_them(void **state)
{
    (void)state;
    char url[200];
    rules_put("r");
    rules_put_target("r", "1", "q", "");
    admin_reset(rules_server.url);
    rules_assert_done("ListRules", "{}");
    assert_int_equal(aws_call_count(&rules_aws, "Rules"), 0);
    local_server_queue(&rules_server, "q", "{}", url, sizeof url);
    rules_put("r");
    rules_put_event("orders", "{}");
    rules_assert_empty("q");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rule_is_put_and_described),
        cmocka_unit_test(putting_a_rule_again_replaces_all_of_it_but_its_targets),
        cmocka_unit_test(a_rule_counts_from_the_next_event_on_and_while_it_is_enabled),
        cmocka_unit_test(a_rule_with_targets_is_not_deleted),
        cmocka_unit_test(what_does_not_exist_is_said_so),
        cmocka_unit_test(a_rule_needs_a_pattern_that_is_one),
        cmocka_unit_test(schedules_are_refused_by_name),
        cmocka_unit_test(rules_are_listed_in_pages_and_by_prefix),
        cmocka_unit_test(a_pattern_is_tried_on_an_event),
        cmocka_unit_test(what_aws_was_recorded_to_answer_is_answered),
        cmocka_unit_test(what_is_no_event_is_not_tried),
        cmocka_unit_test(what_is_no_request_is_refused),
        cmocka_unit_test(kill_9_keeps_rules_and_targets),
        cmocka_unit_test(tables_of_the_first_version_are_brought_up_to_date),
        cmocka_unit_test(a_reset_forgets_them),
    };
    return cmocka_run_group_tests_name("local_rules", tests, rules_start, rules_stop);
}
