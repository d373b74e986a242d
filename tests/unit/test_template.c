#include "local/template.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/buf.h"

static const struct template_environment ENVIRONMENT = {
    .account = "000000000000",
    .region = "us-east-1",
    .queue_url_base = "http://localhost:4566/000000000000/",
};

static struct template *
parsed(const char *text)
{
    struct template *t = NULL;
    struct err e = {0};
    if (template_parse(slice_of_string(text), &ENVIRONMENT, &t, &e) != 0)
        fail_msg("%s", e.text);
    return t;
}

static const struct template_resource *
resource(const struct template *t, const char *id)
{
    for (size_t i = 0; i < t->n_resources; i++)
        if (strcmp(t->resources[i].id, id) == 0)
            return &t->resources[i];
    fail_msg("no resource %s", id);
    return NULL;
}

static void
assert_properties(const struct template *t, const char *id, const char *properties)
{
    char text[2000];
    snprintf(text, sizeof text, "%.*s", SLICE_ARG(resource(t, id)->properties));
    assert_string_equal(text, properties);
}

static void
assert_refused(const char *text, const char *reason)
{
    struct template *t = NULL;
    struct err e = {0};
    assert_int_equal(template_parse(slice_of_string(text), &ENVIRONMENT, &t, &e), ERR_INVALID);
    assert_null(t);
    assert_string_equal(e.text, reason);
}

#define QUEUE "\"Q\":{\"Type\":\"AWS::SQS::Queue\",\"Properties\":{\"QueueName\":\"q\"}}"
#define WITH(value)                                                                                                    \
    "{\"Parameters\":{\"P\":{\"Type\":\"String\",\"Default\":\"pv\"},"                                                 \
    "\"L\":{\"Type\":\"CommaDelimitedList\",\"Default\":\"a, b\"},\"N\":{\"Type\":\"String\"}},\"Resources\":{" QUEUE  \
    ",\"X\":{\"Type\":\"T\",\"Properties\":{\"V\":" value "}}}}"

static void
references_become_names_urls_and_arns(void **state)
{
    (void)state;
    static const struct {
        const char *template, *properties;
    } CASES[] = {
        {WITH("{\"Ref\":\"Q\"}"), "{\"V\":\"http://localhost:4566/000000000000/q\"}"},
        {WITH("{\"Fn::GetAtt\":[\"Q\",\"Arn\"]}"), "{\"V\":\"arn:aws:sqs:us-east-1:000000000000:q\"}"},
        {WITH("{\"Fn::GetAtt\":\"Q.QueueName\"}"), "{\"V\":\"q\"}"},
        {WITH("{\"Ref\":\"P\"}"), "{\"V\":\"pv\"}"},
        {WITH("{\"Ref\":\"L\"}"), "{\"V\":[\"a\",\"b\"]}"},
        {WITH("{\"Ref\":\"AWS::Region\"}"), "{\"V\":\"us-east-1\"}"},
        {WITH("{\"Fn::Sub\":\"x-${AWS::AccountId}-${P}-${Q.Arn}-${!literal}\"}"),
         "{\"V\":\"x-000000000000-pv-arn:aws:sqs:us-east-1:000000000000:q-${literal}\"}"},
        {WITH("{\"Fn::Sub\":[\"${A}/${P}\",{\"A\":{\"Ref\":\"AWS::Region\"}}]}"), "{\"V\":\"us-east-1/pv\"}"},
        {WITH("{\"Fn::Join\":[\"-\",[\"a\",{\"Ref\":\"P\"},\"c\"]]}"), "{\"V\":\"a-pv-c\"}"},
        {WITH("{\"Fn::Select\":[1,{\"Ref\":\"L\"}]}"), "{\"V\":\"b\"}"},
        {WITH("{\"Fn::Split\":[\"::\",\"a::b::\"]}"), "{\"V\":[\"a\",\"b\",\"\"]}"},
        {WITH("{\"Fn::Split\":[\"\\u0000\",\"a\\u0000b\"]}"), "{\"V\":[\"a\",\"b\"]}"},
        {WITH("{\"Fn::Split\":[\",\",\"\"]}"), "{\"V\":[\"\"]}"},
        {WITH("{\"Fn::Sub\":\"\"}"), "{\"V\":\"\"}"},
        {WITH("{\"Fn::Sub\":[\"${A}${B}\",{\"A\":1.10,\"B\":true}]}"), "{\"V\":\"1.10true\"}"},
        {WITH("{\"Fn::Select\":[\"0\",[{\"Ref\":\"P\"}]]}"), "{\"V\":\"pv\"}"},
        {WITH("{\"Ref\":\"P\",\"x\":1}"), "{\"V\":{\"Ref\":\"P\",\"x\":1}}"},
        {WITH("{\"Ref\":\"AWS::NoValue\"}"), "{\"V\":null}"},
        {WITH("{\"a\": [1.10, {\"Ref\" : \"P\"} , null]}"), "{\"V\":{\"a\":[1.10,\"pv\",null]}}"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct template *t = parsed(CASES[i].template);
        assert_properties(t, "X", CASES[i].properties);
        template_destroy(t);
    }
}

static void
a_resource_comes_after_those_it_refers_to(void **state)
{
    (void)state;
    struct template *t = parsed("{\"Resources\":{\"A\":{\"Type\":\"AWS::Events::Rule\",\"Properties\":{\"Name\":\"a\","
                                "\"EventBusName\":{\"Ref\":\"B\"}}},\"B\":{\"Type\":\"AWS::Events::EventBus\","
                                "\"Properties\":{\"Name\":\"bus\"}},\"C\":{\"Type\":\"T\",\"Properties\":"
                                "{\"Rule\":{\"Fn::GetAtt\":[\"A\",\"Arn\"]}}}}}");
    assert_int_equal(t->n_resources, 3);
    assert_string_equal(t->resources[0].id, "B");
    assert_string_equal(t->resources[1].id, "A");
    assert_properties(t, "C", "{\"Rule\":\"arn:aws:events:us-east-1:000000000000:rule/bus/a\"}");
    template_destroy(t);
}

static void
a_resource_comes_after_those_it_depends_on(void **state)
{
    (void)state;
    struct template *t =
        parsed("{\"Resources\":{\"A\":{\"Type\":\"T\",\"DependsOn\":[\"C\",\"B\"]},\"B\":{\"Type\":\"T\"},"
               "\"C\":{\"Type\":\"T\",\"DependsOn\":\"B\"}}}");
    assert_int_equal(t->n_resources, 3);
    assert_string_equal(t->resources[0].id, "B");
    assert_string_equal(t->resources[1].id, "C");
    assert_string_equal(t->resources[2].id, "A");
    template_destroy(t);
}

static void
the_arn_of_a_rule_names_its_bus_unless_it_is_the_default_one(void **state)
{
    (void)state;
    static const struct {
        const char *bus, *arn;
    } CASES[] = {
        {"", "arn:aws:events:us-east-1:000000000000:rule/r"},
        {",\"EventBusName\":\"default\"", "arn:aws:events:us-east-1:000000000000:rule/r"},
        {",\"EventBusName\":\"b\"", "arn:aws:events:us-east-1:000000000000:rule/b/r"},
        {",\"EventBusName\":\"arn:aws:events:us-east-1:1:event-bus/b\"",
         "arn:aws:events:us-east-1:000000000000:rule/b/r"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        char text[600], properties[200];
        snprintf(text, sizeof text,
                 "{\"Resources\":{\"R\":{\"Type\":\"AWS::Events::Rule\",\"Properties\":{\"Name\":\"r\"%s}},"
                 "\"X\":{\"Type\":\"T\",\"Properties\":{\"V\":{\"Fn::GetAtt\":[\"R\",\"Arn\"]}}}}}",
                 CASES[i].bus);
        snprintf(properties, sizeof properties, "{\"V\":\"%s\"}", CASES[i].arn);
        struct template *t = parsed(text);
        assert_properties(t, "X", properties);
        template_destroy(t);
    }
}

static void
a_resource_without_a_name_is_called_by_its_id(void **state)
{
    (void)state;
    struct template *t = parsed("{\"Resources\":{\"Unnamed\":{\"Type\":\"AWS::SQS::Queue\"}}}");
    assert_string_equal(t->resources[0].name, "Unnamed");
    assert_properties(t, "Unnamed", "{}");
    template_destroy(t);
    t = parsed("{\"Resources\":{\"MyBucket\":{\"Type\":\"AWS::S3::Bucket\"}}}");
    assert_string_equal(t->resources[0].name, "mybucket"); /* which can have small letters only */
    template_destroy(t);
}

static void
a_given_parameter_replaces_the_default(void **state)
{
    (void)state;
    const struct template_parameter given[] = {{SLICE("L"), SLICE("x,y,z")}, {SLICE("N"), SLICE("n")}};
    struct template_environment environment = ENVIRONMENT;
    struct template *t = NULL;
    struct err e = {0};
    environment.parameters = given;
    environment.n_parameters = 2;
    assert_int_equal(template_parse(slice_of_string(WITH("[{\"Ref\":\"L\"},{\"Ref\":\"N\"}]")), &environment, &t, &e),
                     0);
    assert_properties(t, "X", "{\"V\":[[\"x\",\"y\",\"z\"],\"n\"]}");
    template_destroy(t);
    environment.n_parameters = 1;
    t = NULL;
    assert_int_equal(template_parse(SLICE("{\"Resources\":{" QUEUE "}}"), &environment, &t, &e), ERR_INVALID);
    assert_string_equal(e.text, "the template has no parameter \"L\"");
}

static void
a_fault_is_named_with_its_path(void **state)
{
    (void)state;
    assert_refused("[]", "template: must be a JSON object");
    assert_refused("{}", "Resources: must be an object with at least one resource");
    assert_refused("{\"Resources\":{\"A\":1}}", "Resources.A: must be an object");
    assert_refused("{\"Resources\":{\"A\":{}}}", "Resources.A.Type: is missing");
    assert_refused("{\"Resources\":{\"A\":{\"Type\":1}}}", "Resources.A.Type: must be a string that is not empty");
    assert_refused("{\"Resources\":{\"a-b\":{\"Type\":\"T\"}}}",
                   "Resources: \"a-b\" is no logical id: 1 to 255 letters and digits");
    assert_refused("{\"Resources\":{\"\":{\"Type\":\"T\"}}}",
                   "Resources: \"\" is no logical id: 1 to 255 letters and digits");
    assert_refused("{\"Resources\":{\"A\":{\"Type\":\"T\",\"Condition\":\"C\"}}}",
                   "Resources.A: conditions are not supported here");
    assert_refused("{\"Transform\":\"AWS::Serverless-2016-10-31\",\"Resources\":{\"A\":{\"Type\":\"T\"}}}",
                   "Transform: macros are not supported here");
    assert_refused(
        "{\"Resources\":{\"A\":{\"Type\":\"AWS::SQS::Queue\",\"Properties\":{\"QueueName\":\"a\\u0000b\"}}}}",
        "Resources.A.Properties.QueueName: holds a NUL character");
    assert_refused("{\"Resources\":{\"A\":{\"Type\":\"T\",\"DependsOn\":\"B\"}}}",
                   "Resources.A.DependsOn: there is no resource \"B\"");
    assert_refused("{\"Resources\":{\"A\":{\"Type\":\"T\",\"DependsOn\":[\"A\"]}}}",
                   "Resources.A: refers to itself in a circle");
    assert_refused("{\"Resources\":{\"A\":{\"Type\":\"T\",\"DependsOn\":[1]}}}",
                   "Resources.A.DependsOn[0]: must be a resource's logical id");
    assert_refused("{\"Resources\":{\"A\":{\"Type\":\"T\",\"Properties\":[]}}}",
                   "Resources.A.Properties: must be an object");
    assert_refused("{\"Resources\":{\"A\":{\"Type\":\"AWS::SQS::Queue\",\"Properties\":{\"Ref\":\"B\"}},"
                   "\"B\":{\"Type\":\"AWS::S3::Bucket\"}}}",
                   "Resources.A.Properties: must be an object");
    assert_refused("{\"Resources\":{\"A\":{\"Type\":\"AWS::SQS::Queue\",\"Properties\":{\"QueueName\":\"\"}}}}",
                   "Resources.A.Properties.QueueName: must be a string that is not empty");
    assert_refused(WITH("[1,{\"Ref\":\"Nobody\"}]"),
                   "Resources.X.Properties.V[1].Ref: there is no resource or parameter \"Nobody\"");
    assert_refused(WITH("{\"Ref\":\"N\"}"),
                   "Resources.X.Properties.V.Ref: parameter \"N\" has no value and no default");
    assert_refused(WITH("{\"Fn::GetAtt\":[\"Nobody\",\"Arn\"]}"),
                   "Resources.X.Properties.V.Fn::GetAtt: there is no resource \"Nobody\"");
    assert_refused(WITH("{\"Fn::GetAtt\":[\"Q\",\"Color\"]}"),
                   "Resources.X.Properties.V.Fn::GetAtt: AWS::SQS::Queue \"Q\" has no attribute \"Color\" here");
    assert_refused(WITH("{\"Fn::If\":[1,2,3]}"),
                   "Resources.X.Properties.V.Fn::If: this function is not supported here");
    assert_refused(WITH("{\"Fn::Sub\":\"${A\"}"), "Resources.X.Properties.V.Fn::Sub: \"${\" without \"}\"");
    assert_refused(WITH("{\"Ref\":\"X\"}"), "Resources.X: refers to itself in a circle");
}

static void
a_template_nested_without_end_is_refused(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    struct template *t = NULL;
    struct err e = {0};
    buf_add_string(&text, "{\"Resources\":{\"A\":{\"Type\":\"T\",\"Properties\":{\"V\":");
    for (int i = 0; i < 200; i++)
        buf_add_char(&text, '[');
    for (int i = 0; i < 200; i++)
        buf_add_char(&text, ']');
    buf_add_string(&text, "}}}}");
    assert_int_equal(template_parse(buf_slice(&text), &ENVIRONMENT, &t, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "nested deeper than"));
    buf_clean_up(&text);
}

/* Each level of such an Fn::Sub evaluates the one below twice. */
static void
a_template_that_doubles_with_each_level_is_refused_in_time(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    struct template *t = NULL;
    struct err e = {0};
    buf_add_string(&text, "{\"Resources\":{\"A\":{\"Type\":\"T\",\"Properties\":{\"V\":");
    for (int i = 0; i < 40; i++)
        buf_add_string(&text, "{\"Fn::Sub\":[\"${a}${a}\",{\"a\":");
    buf_add_string(&text, "\"\"");
    for (int i = 0; i < 40; i++)
        buf_add_string(&text, "}]}");
    buf_add_string(&text, "}}}}");
    assert_int_equal(template_parse(buf_slice(&text), &ENVIRONMENT, &t, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "the template grows without measure"));
    buf_clean_up(&text);
}

static void
five_hundred_resources_are_taken_and_one_more_is_not(void **state)
{
    (void)state;
    for (int n = 500; n <= 501; n++) {
        struct buf text = BUF_INIT;
        struct template *t = NULL;
        struct err e = {0};
        buf_add_string(&text, "{\"Resources\":{");
        for (int i = 0; i < n; i++)
            buf_add_format(&text, "%s\"R%d\":{\"Type\":\"T\"}", i > 0 ? "," : "", i);
        buf_add_string(&text, "}}");
        int rc = template_parse(buf_slice(&text), &ENVIRONMENT, &t, &e);
        assert_int_equal(rc, n == 500 ? 0 : ERR_INVALID);
        if (n > 500)
            assert_string_equal(e.text, "Resources: 501 resources are more than the 500 a template may have");
        template_destroy(t);
        buf_clean_up(&text);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(references_become_names_urls_and_arns),
        cmocka_unit_test(a_resource_comes_after_those_it_refers_to),
        cmocka_unit_test(a_resource_comes_after_those_it_depends_on),
        cmocka_unit_test(the_arn_of_a_rule_names_its_bus_unless_it_is_the_default_one),
        cmocka_unit_test(a_resource_without_a_name_is_called_by_its_id),
        cmocka_unit_test(a_given_parameter_replaces_the_default),
        cmocka_unit_test(a_fault_is_named_with_its_path),
        cmocka_unit_test(a_template_nested_without_end_is_refused),
        cmocka_unit_test(a_template_that_doubles_with_each_level_is_refused_in_time),
        cmocka_unit_test(five_hundred_resources_are_taken_and_one_more_is_not),
    };
    return cmocka_run_group_tests_name("template", tests, NULL, NULL);
}
