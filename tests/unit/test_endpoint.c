#include "aws/endpoint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/shared.h"
#include "lib/skip.h"
#include "lib/tmp.h"

static const char *const VARIABLES[] = {"AWS_REGION",
                                        "AWS_DEFAULT_REGION",
                                        "AWS_PROFILE",
                                        "AWS_ENDPOINT_URL",
                                        "AWS_ENDPOINT_URL_SQS",
                                        "AWS_ENDPOINT_URL_S3",
                                        "AWS_ENDPOINT_URL_EVENTBRIDGE",
                                        "AWS_ENDPOINT_URL_STS",
                                        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
                                        "AWS_USE_FIPS_ENDPOINT",
                                        "AWS_USE_DUALSTACK_ENDPOINT",
                                        "AWS_CA_BUNDLE"};

static int
forget_environment(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof VARIABLES / sizeof *VARIABLES; i++)
        unsetenv(VARIABLES[i]);
    setenv("AWS_CONFIG_FILE", "/nonexistent", 1);
    setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent", 1);
    return 0;
}

static void
config(const char *text)
{
    setenv("AWS_CONFIG_FILE", tmp_write(tmp_new(), "config", "%s", text), 1);
}

static const char *
url_of(enum aws_service service, const char *region, const char *profile, const char *argument)
{
    static struct endpoint p;
    struct err e = {0};
    if (endpoint_resolve(service, region, profile, argument, &p, &e) != 0)
        fail_msg("%s", e.text);
    return p.url;
}

static const char *
region_of(const char *region, const char *profile)
{
    static struct endpoint p;
    struct err e = {0};
    if (endpoint_resolve(AWS_SQS, region, profile, NULL, &p, &e) != 0)
        fail_msg("%s", e.text);
    return p.region;
}

static void
a_region_comes_from_argument_environment_or_profile_in_that_order(void **state)
{
    (void)state;
    struct endpoint p;
    struct err e;
    assert_int_equal(endpoint_resolve(AWS_SQS, NULL, NULL, NULL, &p, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "AWS_REGION"));
    assert_int_equal(endpoint_resolve(AWS_SQS, "", NULL, "http://127.0.0.1:1", &p, &e), ERR_INVALID);
    config("[default]\nregion = eu-west-1\n[profile dev]\nregion=eu-west-2\n");
    assert_string_equal(region_of(NULL, NULL), "eu-west-1");
    assert_string_equal(region_of(NULL, "dev"), "eu-west-2");
    setenv("AWS_PROFILE", "dev", 1);
    assert_string_equal(region_of(NULL, ""), "eu-west-2");
    setenv("AWS_DEFAULT_REGION", "eu-west-3", 1);
    assert_string_equal(region_of(NULL, NULL), "eu-west-3");
    setenv("AWS_REGION", "eu-north-1", 1);
    assert_string_equal(region_of("", "dev"), "eu-north-1");
    assert_string_equal(region_of("eu-south-1", NULL), "eu-south-1");
}

static void
names_that_are_no_region_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"us-east-1.evil.example/",
                                      "US-EAST-1",
                                      "a b",
                                      "-x",
                                      "x-",
                                      "us_east",
                                      "x@y",
                                      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct endpoint p;
        struct err e;
        assert_int_equal(endpoint_resolve(AWS_SQS, bad[i], NULL, NULL, &p, &e), ERR_INVALID);
    }
}

static void
each_service_has_its_host_and_signing_name(void **state)
{
    (void)state;
    static const struct {
        enum aws_service service;
        const char *url, *name;
    } cases[] = {{AWS_SQS, "https://sqs.us-east-1.amazonaws.com", "sqs"},
                 {AWS_S3, "https://s3.us-east-1.amazonaws.com", "s3"},
                 {AWS_EVENTBRIDGE, "https://events.us-east-1.amazonaws.com", "events"},
                 {AWS_STS, "https://sts.us-east-1.amazonaws.com", "sts"},
                 {AWS_DYNAMODB, "https://dynamodb.us-east-1.amazonaws.com", "dynamodb"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct endpoint p;
        struct err e;
        assert_int_equal(endpoint_resolve(cases[i].service, "us-east-1", NULL, NULL, &p, &e), 0);
        assert_string_equal(p.url, cases[i].url);
        assert_string_equal(p.signing_name, cases[i].name);
        assert_false(p.custom);
    }
}

static void
partitions_have_their_own_domains(void **state)
{
    (void)state;
    static const char *const cases[][2] = {{"cn-north-1", "amazonaws.com.cn"},    {"us-gov-west-1", "amazonaws.com"},
                                           {"us-iso-east-1", "c2s.ic.gov"},       {"us-isob-east-1", "sc2s.sgov.gov"},
                                           {"us-isof-south-1", "csp.hci.ic.gov"}, {"eu-isoe-west-1", "cloud.adc-e.uk"},
                                           {"eusc-de-east-1", "amazonaws.eu"},    {"mars-north-1", "amazonaws.com"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char url[200];
        snprintf(url, sizeof url, "https://s3.%s.%s", cases[i][0], cases[i][1]);
        assert_string_equal(url_of(AWS_S3, cases[i][0], NULL, NULL), url);
    }
}

static void
a_url_comes_from_the_nearest_place_that_names_one(void **state)
{
    (void)state;
    config("[default]\nregion = us-east-1\nendpoint_url = http://profile:1\nservices = local\n"
           "[services local]\nsqs =\n  endpoint_url = http://services:1/\neventbridge=\n\tendpoint_url=http://bus:1\n"
           "s3 =\n    addressing_style = path\n");
    assert_string_equal(url_of(AWS_STS, NULL, NULL, NULL), "http://profile:1");
    assert_string_equal(url_of(AWS_S3, NULL, NULL, NULL), "http://profile:1");
    assert_string_equal(url_of(AWS_SQS, NULL, NULL, NULL), "http://services:1");
    assert_string_equal(url_of(AWS_EVENTBRIDGE, NULL, NULL, NULL), "http://bus:1");
    setenv("AWS_ENDPOINT_URL", "http://all:1", 1);
    assert_string_equal(url_of(AWS_SQS, NULL, NULL, NULL), "http://all:1");
    setenv("AWS_ENDPOINT_URL_SQS", "http://sqs:1", 1);
    setenv("AWS_ENDPOINT_URL_EVENTBRIDGE", "http://eb:1", 1);
    setenv("AWS_ENDPOINT_URL_S3", "", 1); /* empty counts as unset */
    assert_string_equal(url_of(AWS_SQS, NULL, NULL, NULL), "http://sqs:1");
    assert_string_equal(url_of(AWS_EVENTBRIDGE, NULL, NULL, NULL), "http://eb:1");
    assert_string_equal(url_of(AWS_S3, NULL, NULL, NULL), "http://all:1");
    assert_string_equal(url_of(AWS_SQS, NULL, NULL, "http://argument:1"), "http://argument:1");
    setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true", 1);
    assert_string_equal(url_of(AWS_SQS, NULL, NULL, NULL), "https://sqs.us-east-1.amazonaws.com");
    assert_string_equal(url_of(AWS_SQS, NULL, NULL, "http://argument:1"), "http://argument:1");
    setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "false", 1);
    assert_string_equal(url_of(AWS_SQS, NULL, NULL, NULL), "http://sqs:1");
}

static void
a_profile_may_ignore_configured_urls(void **state)
{
    (void)state;
    config("[default]\nregion = us-east-1\nendpoint_url = http://profile:1\nignore_configured_endpoint_urls = TRUE\n");
    assert_string_equal(url_of(AWS_SQS, NULL, NULL, NULL), "https://sqs.us-east-1.amazonaws.com");
}

static void
ask_for(const char *fips, const char *dualstack)
{
    setenv("AWS_USE_FIPS_ENDPOINT", fips, 1);
    setenv("AWS_USE_DUALSTACK_ENDPOINT", dualstack, 1);
}

static void
fips_and_dualstack_hosts_are_those_of_the_endpoint_rules(void **state)
{
    (void)state;
    static const struct {
        enum aws_service service;
        const char *fips, *dualstack, *region, *url;
    } cases[] = {
        {AWS_SQS, "true", "", "us-east-1", "https://sqs-fips.us-east-1.amazonaws.com"},
        {AWS_SQS, "", "TRUE", "us-east-1", "https://sqs.us-east-1.api.aws"},
        {AWS_SQS, "True", "true", "us-east-1", "https://sqs-fips.us-east-1.api.aws"},
        {AWS_SQS, "false", "False", "us-east-1", "https://sqs.us-east-1.amazonaws.com"},
        {AWS_SQS, "true", "", "us-gov-west-1", "https://sqs.us-gov-west-1.amazonaws.com"},
        {AWS_SQS, "true", "true", "us-gov-west-1", "https://sqs-fips.us-gov-west-1.api.aws"},
        {AWS_SQS, "", "true", "cn-north-1", "https://sqs.cn-north-1.api.amazonwebservices.com.cn"},
        {AWS_EVENTBRIDGE, "true", "", "us-west-2", "https://events-fips.us-west-2.amazonaws.com"},
        {AWS_EVENTBRIDGE, "true", "", "us-gov-east-1", "https://events.us-gov-east-1.amazonaws.com"},
        {AWS_EVENTBRIDGE, "", "true", "us-gov-east-1", "https://events.us-gov-east-1.api.aws"},
        {AWS_STS, "true", "", "us-west-2", "https://sts-fips.us-west-2.amazonaws.com"},
        {AWS_STS, "", "true", "eusc-de-east-1", "https://sts.eusc-de-east-1.api.amazonwebservices.eu"},
        {AWS_DYNAMODB, "true", "", "us-west-2", "https://dynamodb-fips.us-west-2.amazonaws.com"},
        {AWS_DYNAMODB, "true", "", "us-gov-west-1", "https://dynamodb.us-gov-west-1.amazonaws.com"},
        {AWS_DYNAMODB, "", "true", "us-west-2", "https://dynamodb.us-west-2.api.aws"},
        {AWS_S3, "true", "", "us-west-2", "https://s3-fips.us-west-2.amazonaws.com"},
        {AWS_S3, "true", "", "us-gov-west-1", "https://s3-fips.us-gov-west-1.amazonaws.com"},
        {AWS_S3, "", "true", "us-west-2", "https://s3.dualstack.us-west-2.amazonaws.com"},
        {AWS_S3, "true", "true", "us-west-2", "https://s3-fips.dualstack.us-west-2.amazonaws.com"},
        {AWS_S3, "", "true", "cn-north-1", "https://s3.dualstack.cn-north-1.amazonaws.com.cn"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ask_for(cases[i].fips, cases[i].dualstack);
        assert_string_equal(url_of(cases[i].service, cases[i].region, NULL, NULL), cases[i].url);
    }
}

static void
a_profile_may_ask_for_fips_and_dualstack_and_the_environment_goes_before_it(void **state)
{
    (void)state;
    config("[default]\nregion = us-east-1\nuse_fips_endpoint = true\n"
           "[profile six]\nregion = us-east-1\nuse_dualstack_endpoint = true\n");
    assert_string_equal(url_of(AWS_SQS, NULL, NULL, NULL), "https://sqs-fips.us-east-1.amazonaws.com");
    assert_string_equal(url_of(AWS_SQS, NULL, "six", NULL), "https://sqs.us-east-1.api.aws");
    ask_for("false", "");
    assert_string_equal(url_of(AWS_SQS, NULL, NULL, NULL), "https://sqs.us-east-1.amazonaws.com");
}

static void
assert_refused(enum aws_service service, const char *region, const char *url, const char *named)
{
    struct endpoint p;
    struct err e;
    assert_int_equal(endpoint_resolve(service, region, NULL, url, &p, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, named));
}

static void
a_fips_or_dualstack_endpoint_that_cannot_be_had_is_refused_not_forgotten(void **state)
{
    (void)state;
    ask_for("true", "");
    assert_refused(AWS_SQS, "us-east-1", "http://127.0.0.1:4566", "AWS_USE_FIPS_ENDPOINT");
    assert_refused(AWS_SQS, "us-east-1", "http://127.0.0.1:4566", "http://127.0.0.1:4566");
    assert_refused(AWS_S3, "cn-north-1", NULL, "AWS_USE_FIPS_ENDPOINT");
    ask_for("", "true");
    assert_refused(AWS_SQS, "us-east-1", "http://127.0.0.1:4566", "AWS_USE_DUALSTACK_ENDPOINT");
    ask_for("1", "");
    assert_refused(AWS_SQS, "us-east-1", NULL, "AWS_USE_FIPS_ENDPOINT is \"1\"");
    ask_for("", "");
    config("[default]\nuse_dualstack_endpoint = yes\n");
    assert_refused(AWS_SQS, "us-east-1", NULL, "use_dualstack_endpoint is \"yes\"");
}

static void
urls_are_checked(void **state)
{
    (void)state;
    static const char *const good[][2] = {
        {"http://127.0.0.1:4566", "http://127.0.0.1:4566"}, {"https://sqs.example.com/", "https://sqs.example.com"},
        {"http://h/base/path///", "http://h/base/path"},    {"http://[::1]:80", "http://[::1]:80"},
        {"http://[fe80::1]", "http://[fe80::1]"},           {"http://my_host:65535", "http://my_host:65535"}};
    static const char *const bad[] = {
        "127.0.0.1:4566", "ftp://h",           "http://",          "http:///x",    "http://u:p@h", "http://h:0",
        "http://h:65536", "http://h:",         "http://h:8x",      "http://h?x=1", "http://h/a#b", "http://h/a b",
        "http://h/\x7f",  "http://h/\xc3\xa9", "http://h\r\nX: y", "http://[::1",  "http://[]",    "http://[::1]x",
        "http://h\\x",    "HTTP://h",          "http://h:-1",      "http://[g::1]"};
    struct endpoint p;
    struct err e;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_string_equal(url_of(AWS_SQS, "us-east-1", NULL, good[i][0]), good[i][1]);
        assert_int_equal(endpoint_resolve(AWS_SQS, "us-east-1", NULL, good[i][0], &p, &e), 0);
        assert_true(p.custom);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (endpoint_resolve(AWS_SQS, "us-east-1", NULL, bad[i], &p, &e) != ERR_INVALID)
            fail_msg("%s was taken for an endpoint", bad[i]);
    assert_int_equal(endpoint_resolve(AWS_SQS, "us-east-1", NULL, "http://u:hunter2@h", &p, &e), ERR_INVALID);
    assert_null(strstr(e.text, "hunter2"));
    char longest[700] = "http://h/";
    memset(longest + 9, 'a', 600);
    assert_int_equal(endpoint_resolve(AWS_SQS, "us-east-1", NULL, longest, &p, &e), ERR_INVALID);
}

static void
assert_trusted(const char *argument, const char *profile, const char *expected)
{
    char *file = NULL;
    struct err e = {0};
    if (endpoint_ca_file(argument, profile, &file, &e) != 0)
        fail_msg("%s", e.text);
    assert_string_equal(file, expected);
    free(file);
}

static void
whom_to_trust_comes_from_argument_environment_or_profile_in_that_order(void **state)
{
    (void)state;
    char *file = NULL;
    struct err e;
    assert_trusted(NULL, NULL, "");
    config("[default]\nca_bundle = /p/default.pem\n[profile dev]\nca_bundle=/p/dev.pem\n[profile none]\n");
    assert_trusted("", NULL, "/p/default.pem");
    assert_trusted(NULL, "dev", "/p/dev.pem");
    assert_trusted(NULL, "none", "");
    setenv("AWS_CA_BUNDLE", "", 1);
    assert_trusted(NULL, "dev", "/p/dev.pem");
    setenv("AWS_CA_BUNDLE", "/e.pem", 1);
    assert_trusted(NULL, "dev", "/e.pem");
    assert_trusted("/a.pem", "dev", "/a.pem");
    unsetenv("AWS_CA_BUNDLE");
    config("[default]\nca_bundle\n");
    assert_int_equal(endpoint_ca_file(NULL, NULL, &file, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "config:2"));
    assert_null(file);
}

static void
a_broken_config_file_is_an_error_that_names_the_line(void **state)
{
    (void)state;
    struct endpoint p;
    struct err e;
    config("[default]\nregion us-east-1\n");
    assert_int_equal(endpoint_resolve(AWS_SQS, "us-east-1", NULL, NULL, &p, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "config:2"));
}

static bool
is_true(const cJSON *params, const char *name)
{
    return cJSON_IsTrue(cJSON_GetObjectItem(params, name));
}

/* botocore's endpoint cases. Left out: FIPS, dual stack and the global pseudo-regions, which are not configurable here;
 * a custom endpoint without a region, which is an error here, because requests are signed for one. */
static void
the_cases_of_botocore_resolve_alike(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        enum aws_service service;
    } files[] = {{"data/endpoint-tests/sqs.json", AWS_SQS},
                 {"data/endpoint-tests/events.json", AWS_EVENTBRIDGE},
                 {"data/endpoint-tests/sts.json", AWS_STS}};
    size_t compared = 0;
    for (size_t f = 0; f < 3; f++) {
        struct buf text = BUF_INIT;
        if (!shared_read(files[f].file, &text))
            skip_because("no %s beside the repository", files[f].file);
        cJSON *root = cJSON_ParseWithLength(text.data, text.len), *c;
        cJSON_ArrayForEach(c, cJSON_GetObjectItem(root, "testCases"))
        {
            const cJSON *params = cJSON_GetObjectItem(c, "params");
            const char *region = cJSON_GetStringValue(cJSON_GetObjectItem(params, "Region"));
            const char *custom = cJSON_GetStringValue(cJSON_GetObjectItem(params, "Endpoint"));
            const cJSON *endpoint = cJSON_GetObjectItem(cJSON_GetObjectItem(c, "expect"), "endpoint");
            const char *url = cJSON_GetStringValue(cJSON_GetObjectItem(endpoint, "url"));
            if (is_true(params, "UseFIPS") || is_true(params, "UseDualStack") || is_true(params, "UseGlobalEndpoint") ||
                cJSON_GetObjectItem(params, "EndpointId") || (region && strcmp(region, "aws-global") == 0) ||
                (!region && custom))
                continue;
            struct endpoint p;
            struct err e = {0};
            int r = endpoint_resolve(files[f].service, region, NULL, custom, &p, &e);
            if ((r == 0) != (url != NULL) || (url && strcmp(p.url, url) != 0))
                fail_msg("%s: %s: %s instead of %s", files[f].file,
                         cJSON_GetStringValue(cJSON_GetObjectItem(c, "documentation")), r == 0 ? p.url : e.text,
                         url ? url : "an error");
            compared++;
        }
        cJSON_Delete(root);
        buf_clean_up(&text);
    }
    assert_true(compared > 80);
}

int
main(void)
{
#define alone(test) cmocka_unit_test_setup_teardown(test, forget_environment, forget_environment)
    const struct CMUnitTest tests[] = {
        alone(a_region_comes_from_argument_environment_or_profile_in_that_order),
        alone(names_that_are_no_region_are_refused),
        alone(each_service_has_its_host_and_signing_name),
        alone(partitions_have_their_own_domains),
        alone(a_url_comes_from_the_nearest_place_that_names_one),
        alone(a_profile_may_ignore_configured_urls),
        alone(fips_and_dualstack_hosts_are_those_of_the_endpoint_rules),
        alone(a_profile_may_ask_for_fips_and_dualstack_and_the_environment_goes_before_it),
        alone(a_fips_or_dualstack_endpoint_that_cannot_be_had_is_refused_not_forgotten),
        alone(urls_are_checked),
        alone(whom_to_trust_comes_from_argument_environment_or_profile_in_that_order),
        alone(a_broken_config_file_is_an_error_that_names_the_line),
        alone(the_cases_of_botocore_resolve_alike),
    };
    return cmocka_run_group_tests_name("endpoint", tests, NULL, NULL);
}
