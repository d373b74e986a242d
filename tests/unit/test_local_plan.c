#include "local/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "lib/tmp.h"

static const struct template_environment ENVIRONMENT = {
    .account = "000000000000",
    .region = "us-east-1",
    .queue_url_base = "http://localhost:4566/000000000000/",
};

/* ---- helpers ----------------------------------------------------------------------------------------------------- */

struct planned {
    struct template *template;
    struct local_plan *plan;
};

static struct planned
planned(const char *text)
{
    struct planned p = {0};
    struct err e = {0};
    if (template_parse(slice_of_string(text), &ENVIRONMENT, &p.template, &e) != 0 ||
        local_plan_make(p.template, &p.plan, &e) != 0)
        fail_msg("%s", e.text);
    return p;
}

static void
done(struct planned p)
{
    local_plan_destroy(p.plan);
    template_destroy(p.template);
}

static void
assert_refused(const char *text, const char *reason)
{
    struct planned p = {0};
    struct err e = {0};
    assert_int_equal(template_parse(slice_of_string(text), &ENVIRONMENT, &p.template, &e), 0);
    assert_int_equal(local_plan_make(p.template, &p.plan, &e), ERR_INVALID);
    assert_null(p.plan);
    assert_string_equal(e.text, reason);
    done(p);
}

static const struct local_plan_step *
step(const struct local_plan *plan, const char *id)
{
    for (size_t i = 0; i < plan->n_steps; i++)
        if (strcmp(plan->steps[i].id, id) == 0)
            return &plan->steps[i];
    fail_msg("no step for %s", id);
    return NULL;
}

static void
assert_slice(struct slice s, const char *expected)
{
    char text[2000];
    snprintf(text, sizeof text, "%.*s", SLICE_ARG(s));
    assert_string_equal(text, expected);
}

static void
assert_attribute(const struct local_plan_step *queue, const char *name, const char *value)
{
    for (size_t i = 0; i < queue->n_attributes; i++)
        if (slice_equals_string(queue->attributes[i].name, name)) {
            assert_slice(queue->attributes[i].value, value);
            return;
        }
    fail_msg("no attribute %s", name);
}

/* The warnings as "PATH: TEXT" lines. */
static void
assert_warnings(const struct local_plan *plan, const char *expected)
{
    struct buf lines = BUF_INIT;
    buf_add_string(&lines, "");
    for (size_t i = 0; i < plan->n_notes; i++)
        if (plan->notes[i].warning)
            buf_add_format(&lines, "%s: %s\n", plan->notes[i].path, plan->notes[i].text);
    assert_string_equal(lines.data, expected);
    buf_clean_up(&lines);
}

#define QUEUE(properties) "{\"Resources\":{\"Q\":{\"Type\":\"AWS::SQS::Queue\",\"Properties\":" properties "}}}"
#define RULE(properties)  "{\"Resources\":{\"R\":{\"Type\":\"AWS::Events::Rule\",\"Properties\":" properties "}}}"
#define TARGETS(targets)  RULE("{\"EventPattern\":{\"source\":[\"s\"]},\"Targets\":" targets "}")

/* ---- tests ------------------------------------------------------------------------------------------------------- */

static void
the_template_that_comes_with_the_program_needs_no_warning(void **state)
{
    (void)state;
    char *text = tmp_read("conf/durable-event-buffer.template.json", NULL);
    assert_non_null(text);
    struct planned p = planned(text);
    assert_warnings(p.plan, "");
    assert_int_equal(p.plan->n_steps, 7);
    assert_slice(step(p.plan, "DurableEventBus")->name, "durable-event-bus");
    assert_slice(step(p.plan, "DurableEventBuffer")->name, "durable-event-buffer-000000000000-us-east-1");
    const struct local_plan_step *queue = step(p.plan, "DurableFanoutQueue");
    assert_slice(queue->name, "durable-fanout-queue");
    assert_int_equal(queue->n_attributes, 3);
    assert_attribute(queue, "VisibilityTimeout", "60");
    assert_attribute(queue, "MessageRetentionPeriod", "345600");
    assert_attribute(queue, "RedrivePolicy",
                     "{\"deadLetterTargetArn\":\"arn:aws:sqs:us-east-1:000000000000:durable-fanout-dlq\","
                     "\"maxReceiveCount\":10}");
    const struct local_plan_step *fanout = step(p.plan, "FanoutRule"), *capture = step(p.plan, "CaptureRule");
    assert_slice(fanout->bus, "durable-event-bus");
    assert_slice(fanout->pattern, "{\"source\":[\"buffer.source\"]}");
    assert_true(fanout->enabled);
    assert_int_equal(fanout->n_targets, 1);
    assert_slice(fanout->targets[0].arn, "arn:aws:sqs:us-east-1:000000000000:durable-fanout-queue");
    assert_slice(fanout->targets[0].dead_letter_arn, "arn:aws:sqs:us-east-1:000000000000:durable-fanout-dlq");
    assert_slice(fanout->targets[0].capture_bucket, "");
    assert_slice(capture->targets[0].arn, "arn:aws:lambda:us-east-1:000000000000:function:S3BufferLambda");
    assert_slice(capture->targets[0].dead_letter_arn, "arn:aws:sqs:us-east-1:000000000000:durable-capture-dlq");
    assert_slice(capture->targets[0].capture_bucket, "durable-event-buffer-000000000000-us-east-1");
    done(p);
    free(text);
}

static void
a_queue_s_properties_become_its_attributes(void **state)
{
    (void)state;
    struct planned p = planned(QUEUE("{\"QueueName\":\"q\",\"DelaySeconds\":5,\"SqsManagedSseEnabled\":true,"
                                     "\"RedriveAllowPolicy\":\"{\\\"redrivePermission\\\":\\\"allowAll\\\"}\","
                                     "\"VisibilityTimeout\":\"30\",\"MaximumMessageSize\":{\"Ref\":\"AWS::NoValue\"},"
                                     "\"Tags\":[{\"Key\":\"a\",\"Value\":\"b\"}]}"));
    const struct local_plan_step *queue = step(p.plan, "Q");
    assert_int_equal(queue->n_attributes, 4);
    assert_attribute(queue, "DelaySeconds", "5");
    assert_attribute(queue, "SqsManagedSseEnabled", "true");
    assert_attribute(queue, "RedriveAllowPolicy", "{\"redrivePermission\":\"allowAll\"}");
    assert_attribute(queue, "VisibilityTimeout", "30");
    assert_warnings(p.plan, "");
    done(p);
}

static void
a_rule_without_state_is_enabled_and_a_disabled_one_is_not(void **state)
{
    (void)state;
    struct planned p = planned(RULE("{\"EventPattern\":\"{\\\"source\\\":[\\\"s\\\"]}\"}"));
    assert_true(step(p.plan, "R")->enabled);
    assert_slice(step(p.plan, "R")->pattern, "{\"source\":[\"s\"]}");
    assert_slice(step(p.plan, "R")->bus, "");
    done(p);
    p = planned(RULE("{\"EventPattern\":{\"source\":[\"s\"]},\"State\":\"DISABLED\"}"));
    assert_false(step(p.plan, "R")->enabled);
    done(p);
}

static void
a_qualified_arn_of_the_capture_function_captures(void **state)
{
    (void)state;
    struct planned p = planned("{\"Resources\":{\"F\":{\"Type\":\"AWS::Lambda::Function\",\"Properties\":{"
                               "\"FunctionName\":\"f\",\"Environment\":{\"Variables\":{\"BUCKET\":\"b\"}},"
                               "\"Code\":{\"ZipFile\":\"raw-events/\"}}},"
                               "\"R\":{\"Type\":\"AWS::Events::Rule\",\"DependsOn\":\"F\",\"Properties\":{"
                               "\"EventPattern\":{\"source\":[\"s\"]},\"Targets\":["
                               "{\"Id\":\"1\",\"Arn\":{\"Fn::Sub\":\"${F.Arn}:$LATEST\"}},"
                               "{\"Id\":\"2\",\"Arn\":\"arn:aws:lambda:us-east-1:000000000000:function:ff\"}]}}}}");
    assert_slice(step(p.plan, "R")->targets[0].capture_bucket, "b");
    assert_slice(step(p.plan, "R")->targets[1].capture_bucket, "");
    assert_warnings(p.plan, "Resources.R.Properties.Targets[1].Arn: is neither a queue nor the capture function: "
                            "nothing takes its events here\n");
    done(p);
}

static void
a_queue_gets_what_its_target_says(void **state)
{
    (void)state;
    struct planned p =
        planned("{\"Resources\":{\"Q\":{\"Type\":\"AWS::SQS::Queue\",\"Properties\":{\"QueueName\":\"q\"}},"
                "\"R\":{\"Type\":\"AWS::Events::Rule\",\"Properties\":{"
                "\"EventPattern\":{\"source\":[\"s\"]},\"Targets\":["
                "{\"Id\":\"1\",\"Arn\":{\"Fn::GetAtt\":[\"Q\",\"Arn\"]},\"InputTransformer\":{"
                "\"InputPathsMap\":{\"x\": \"$.detail.x\"},\"InputTemplate\":\"{\\\"x\\\":<x>}\"},"
                "\"RetryPolicy\":{\"MaximumRetryAttempts\":\"3\"}},"
                "{\"Id\":\"2\",\"Arn\":{\"Fn::GetAtt\":[\"Q\",\"Arn\"]}},"
                "{\"Id\":\"3\",\"Arn\":\"arn:aws:lambda:us-east-1:000000000000:function:f\","
                "\"InputPath\":\"$.detail\"}]}}}}");
    const struct local_plan_step *rule = step(p.plan, "R");
    assert_slice(rule->targets[0].settings, "{\"InputTransformer\":{\"InputPathsMap\":{\"x\":\"$.detail.x\"},"
                                            "\"InputTemplate\":\"{\\\"x\\\":<x>}\"}}");
    assert_slice(rule->targets[1].settings, "{}");
    assert_slice(rule->targets[2].settings, "");
    assert_warnings(p.plan, "Resources.R.Properties.Targets[2].Arn: is neither a queue nor the capture function: "
                            "nothing takes its events here\n"
                            "Resources.R.Properties.Targets[2].InputPath: is not known here and does nothing\n");
    done(p);
}

static void
what_has_no_counterpart_here_is_named(void **state)
{
    (void)state;
    struct planned p = planned(
        "{\"Resources\":{\"T\":{\"Type\":\"AWS::DynamoDB::Table\",\"Properties\":{}},"
        "\"F\":{\"Type\":\"AWS::Lambda::Function\",\"Properties\":{\"Code\":{\"ZipFile\":\"pass\"}}},"
        "\"S\":{\"Type\":\"AWS::Events::Rule\",\"Properties\":{\"ScheduleExpression\":\"rate(1 minute)\"}},"
        "\"B\":{\"Type\":\"AWS::S3::Bucket\",\"Properties\":{\"BucketName\":\"bbb\",\"VersioningConfiguration\":{}}},"
        "\"Q\":{\"Type\":\"AWS::SQS::Queue\",\"Properties\":{\"Colour\":1}},"
        "\"P\":{\"Type\":\"AWS::Lambda::Permission\",\"Properties\":{\"Anything\":1}},"
        "\"R\":{\"Type\":\"AWS::Events::Rule\",\"Properties\":{\"EventPattern\":{},\"Targets\":["
        "{\"Id\":\"1\",\"Arn\":{\"Fn::GetAtt\":[\"Q\",\"Arn\"]},\"EcsParameters\":{}}]}}}}");
    assert_warnings(p.plan, "Resources.T: AWS::DynamoDB::Table is a type that is not known here: left out\n"
                            "Resources.F: functions do not run here, and this one is not the capture function: its "
                            "events go to the dead-letter queues of its rules\n"
                            "Resources.S.Properties.ScheduleExpression: schedules do not run here\n"
                            "Resources.B.Properties.VersioningConfiguration: is not known here and does nothing\n"
                            "Resources.Q.Properties.Colour: is not known here and does nothing\n"
                            "Resources.R.Properties.Targets[0].EcsParameters: is not known here and does nothing\n");
    assert_int_equal(p.plan->n_steps, 3);
    done(p);
}

static void
a_fault_is_named_with_its_path(void **state)
{
    (void)state;
    assert_refused(QUEUE("{\"DelaySeconds\":[5]}"), "Resources.Q.Properties.DelaySeconds: must not be a list");
    assert_refused(RULE("{\"Name\":\"a b\",\"EventPattern\":{}}"),
                   "Resources.R.Properties.Name: \"a b\" holds something else than letters, digits and \".-_\"");
    assert_refused(RULE("{\"Name\":\"a2345678901234567890123456789012345678901234567890123456789012345\","
                        "\"EventPattern\":{}}"),
                   "Resources.R.Properties.Name: is longer than 64 characters");
    assert_refused("{\"Resources\":{\"B\":{\"Type\":\"AWS::Events::EventBus\",\"Properties\":{\"Name\":\"a:b\"}}}}",
                   "Resources.B.Properties.Name: \"a:b\" holds something else than letters, digits and \"/.-_\"");
    assert_refused(RULE("{}"), "Resources.R.Properties.EventPattern: must be an event pattern");
    assert_refused(RULE("{\"EventPattern\":{},\"State\":\"ON\"}"),
                   "Resources.R.Properties.State: must be ENABLED or DISABLED");
    assert_refused(RULE("{\"EventPattern\":{},\"EventBusName\":7}"),
                   "Resources.R.Properties.EventBusName: must be a string that is not empty");
    assert_refused(TARGETS("{}"), "Resources.R.Properties.Targets: must be a list of at most 5 targets");
    assert_refused(TARGETS("[1,2,3,4,5,6]"), "Resources.R.Properties.Targets: must be a list of at most 5 targets");
    assert_refused(TARGETS("[1]"), "Resources.R.Properties.Targets[0].Id: must be a string that is not empty");
    assert_refused(TARGETS("[{\"Id\":\"a\"}]"),
                   "Resources.R.Properties.Targets[0].Arn: must be a string that is not empty");
    assert_refused(TARGETS("[{\"Id\":\"a\",\"Arn\":\"x\"},{\"Id\":\"a\",\"Arn\":\"y\"}]"),
                   "Resources.R.Properties.Targets[1].Id: \"a\" is another target's");
    assert_refused(TARGETS("[{\"Id\":\"a\",\"Arn\":\"x\",\"DeadLetterConfig\":{}}]"),
                   "Resources.R.Properties.Targets[0].DeadLetterConfig.Arn: must be a string that is not empty");
}

static void
five_targets_are_taken(void **state)
{
    (void)state;
    struct planned p =
        planned(TARGETS("[{\"Id\":\"1\",\"Arn\":\"arn:aws:sqs:a\"},{\"Id\":\"2\",\"Arn\":\"arn:aws:sqs:a\"},"
                        "{\"Id\":\"3\",\"Arn\":\"arn:aws:sqs:a\"},{\"Id\":\"4\",\"Arn\":\"arn:aws:sqs:a\"},"
                        "{\"Id\":\"5\",\"Arn\":\"arn:aws:sqs:b\"}]"));
    assert_int_equal(step(p.plan, "R")->n_targets, 5);
    assert_slice(step(p.plan, "R")->targets[4].arn, "arn:aws:sqs:b");
    done(p);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_template_that_comes_with_the_program_needs_no_warning),
        cmocka_unit_test(a_queue_s_properties_become_its_attributes),
        cmocka_unit_test(a_rule_without_state_is_enabled_and_a_disabled_one_is_not),
        cmocka_unit_test(a_qualified_arn_of_the_capture_function_captures),
        cmocka_unit_test(a_queue_gets_what_its_target_says),
        cmocka_unit_test(what_has_no_counterpart_here_is_named),
        cmocka_unit_test(a_fault_is_named_with_its_path),
        cmocka_unit_test(five_targets_are_taken),
    };
    return cmocka_run_group_tests_name("local_plan", tests, NULL, NULL);
}
