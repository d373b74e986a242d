/* What a configuration may say, and what is said of one that is wrong. */
#include "config/conf.h"

#include <libconfig.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/options.h"
#include "config/read.h"
#include "lib/conf_text.h"

/* Reads a configuration that must be wrong in just this way: all its problems, one a line. */
static void
assert_problems(const char *text, const char *expected)
{
    struct conf *conf = NULL;
    struct conf_problems problems;
    struct err e;
    size_t lines = 0;
    assert_int_equal(conf_read_text("x.conf", slice_of_string(text), &conf, &problems, &e), ERR_INVALID);
    assert_null(conf);
    assert_string_equal(problems.text.data, expected);
    for (const char *p = expected; (p = strchr(p, '\n')); p++)
        lines++;
    assert_int_equal(problems.count, lines);
    assert_int_equal(e.code, ERR_INVALID);
    assert_memory_equal(e.text, expected, strcspn(expected, "\n"));
    buf_clean_up(&problems.text);
}

/* The same for one consumer with these members besides the required ones. */
static void
assert_consumer_problems(const char *members, const char *expected)
{
    char text[4096];
    snprintf(text, sizeof text, "consumers = ( { name = \"a\"; queue = \"q\"; plugin = \"p\";\n%s } );\n", members);
    assert_problems(text, expected);
}

static void
what_is_not_given_has_its_default(void **state)
{
    (void)state;
    struct conf *c = conf_text_read(CONF_TEXT_ONE);
    assert_int_equal(c->log.level, LOG_INFO);
    assert_int_equal(c->log.format, LOG_FORMAT_TEXT);
    assert_string_equal(c->log.file, "");
    assert_string_equal(c->aws.region, "");
    assert_string_equal(c->aws.profile, "");
    assert_string_equal(c->aws.endpoint_url, "");
    assert_string_equal(c->aws.ca_file, "");
    assert_string_equal(c->admin.listen, "");
    assert_int_equal(c->drain_timeout_s, 25);
    assert_string_equal(c->plugin_dir, "");
    assert_int_equal(c->n_consumers, 1);
    const struct conf_consumer *a = &c->consumers[0];
    assert_string_equal(a->name, "a");
    assert_string_equal(a->queue, "q");
    assert_string_equal(a->plugin, "p");
    assert_int_equal(a->processes, 1);
    assert_int_equal(a->threads, 4);
    assert_int_equal(a->prefetch, 1);
    assert_int_equal(a->start_timeout_s, 60);
    assert_int_equal(a->wait_time_s, 20);
    assert_int_equal(a->visibility_timeout_s, 0);
    assert_int_equal(a->batch.size, 10);
    assert_int_equal(a->batch.window_ms, 0);
    assert_int_equal(a->lease.max_s, 0);
    assert_int_equal(a->retry.base_ms, 1000);
    assert_int_equal(a->retry.cap_ms, 900000);
    assert_int_equal(a->retry.policy, CONF_RETRY_EXPONENTIAL);
    assert_string_equal(a->retry.delays_ms, "");
    assert_int_equal(a->retry.max_attempts, 0);
    assert_int_equal(a->retry.then, CONF_RETRY_DEAD_LETTER);
    assert_string_equal(a->dead_letter.queue, "");
    assert_string_equal(a->publish.bus, "");
    assert_string_equal(a->publish.queue, "");
    assert_int_equal(a->publish.buffer_mb, 64);
    assert_int_equal(a->n_options, 0);
    conf_destroy(c);
}

static void
every_option_can_be_given(void **state)
{
    (void)state;
    struct conf *c =
        conf_text_read("log = { level = \"debug\"; format = \"json\"; file = \"/var/log/f\"; };\n"
                       "aws = { region = \"eu-central-1\"; profile = \"p 1\"; ca_file = \"/ca.pem\";\n"
                       "        endpoint_url = \"http://127.0.0.1:4566\"; };\n"
                       "admin = { listen = \"[::1]:0\"; };\n"
                       "drain_timeout_s = 3600; plugin_dir = \"/plugins\";\n"
                       "consumers = ( " CONF_TEXT_CONSUMER ", {\n"
                       "  name = \"b-2\"; queue = \"https://sqs.eu-central-1.amazonaws.com/1/q.fifo\";\n"
                       "  plugin = \"./p.so\"; processes = 2; threads = 256; prefetch = 0; wait_time_s = 0;\n"
                       "  start_timeout_s = 3600;\n"
                       "  visibility_timeout_s = 43200; batch = { size = 100; window_ms = 300000; };\n"
                       "  lease = { max_s = 43200; };\n"
                       "  retry = { base_ms = 1; cap_ms = 43200000; policy = \"linear\";\n"
                       "            max_attempts = 1000; then = \"leave_to_queue\"; };\n"
                       "  dead_letter = { queue = \"dead.fifo\"; }; fifo = { on_failure = \"skip\"; };\n"
                       "  publish = { bus = \"default\"; queue = \"https://x/1/q\"; buffer_mb = 65536; };\n"
                       "  options = { path = \"/x\"; n = -3; big = 9007199254740993L; f = 0.1; g = 1e30;\n"
                       "              t = true; no = false; };\n"
                       "}, { name = \"c\"; queue = \"q\"; plugin = \"p\";\n"
                       "     retry = { policy = \"list\"; delays_ms = \"1,20 , 43200000\"; }; } );");
    assert_int_equal(c->log.level, LOG_DEBUG);
    assert_int_equal(c->log.format, LOG_FORMAT_JSON);
    assert_string_equal(c->log.file, "/var/log/f");
    assert_string_equal(c->aws.region, "eu-central-1");
    assert_string_equal(c->aws.profile, "p 1");
    assert_string_equal(c->aws.endpoint_url, "http://127.0.0.1:4566");
    assert_string_equal(c->aws.ca_file, "/ca.pem");
    assert_string_equal(c->admin.listen, "[::1]:0");
    assert_int_equal(c->drain_timeout_s, 3600);
    assert_string_equal(c->plugin_dir, "/plugins");
    assert_int_equal(c->n_consumers, 3);
    const struct conf_consumer *b = &c->consumers[1];
    assert_string_equal(b->name, "b-2");
    assert_string_equal(b->queue, "https://sqs.eu-central-1.amazonaws.com/1/q.fifo");
    assert_string_equal(b->plugin, "./p.so");
    assert_int_equal(b->processes, 2);
    assert_int_equal(b->threads, 256);
    assert_int_equal(b->prefetch, 0);
    assert_int_equal(b->start_timeout_s, 3600);
    assert_int_equal(b->wait_time_s, 0);
    assert_int_equal(b->visibility_timeout_s, 43200);
    assert_int_equal(b->batch.size, 100);
    assert_int_equal(b->batch.window_ms, 300000);
    assert_int_equal(b->lease.max_s, 43200);
    assert_int_equal(b->retry.base_ms, 1);
    assert_int_equal(b->retry.cap_ms, 43200000);
    assert_int_equal(b->retry.policy, CONF_RETRY_LINEAR);
    assert_int_equal(c->consumers[2].retry.policy, CONF_RETRY_LIST);
    assert_string_equal(c->consumers[2].retry.delays_ms, "1,20 , 43200000");
    assert_int_equal(b->retry.max_attempts, 1000);
    assert_int_equal(b->retry.then, CONF_RETRY_LEAVE_TO_QUEUE);
    assert_string_equal(b->dead_letter.queue, "dead.fifo");
    assert_int_equal(b->fifo.on_failure, CONF_FIFO_SKIP);
    assert_string_equal(b->publish.bus, "default");
    assert_string_equal(b->publish.queue, "https://x/1/q");
    assert_int_equal(b->publish.buffer_mb, 65536);
    static const char *const PAIRS[][2] = {{"path", "/x"}, {"n", "-3"},    {"big", "9007199254740993"},
                                           {"f", "0.1"},   {"g", "1e+30"}, {"t", "true"},
                                           {"no", "false"}};
    assert_int_equal(b->n_options, sizeof PAIRS / sizeof *PAIRS);
    for (size_t i = 0; i < b->n_options; i++) {
        assert_string_equal(b->options[i].name, PAIRS[i][0]);
        assert_string_equal(b->options[i].value, PAIRS[i][1]);
    }
    conf_destroy(c);
}

static void
an_unknown_key_is_refused_and_the_nearest_option_named(void **state)
{
    (void)state;
    assert_consumer_problems("thread = 3;", "x.conf:2: consumers[0].thread: unknown option; did you mean threads?\n");
    assert_consumer_problems("batch_size = 3;",
                             "x.conf:2: consumers[0].batch_size: unknown option; did you mean batch.size?\n");
    assert_consumer_problems("batch = {\n sise = 3; };",
                             "x.conf:3: consumers[0].batch.sise: unknown option; did you mean size?\n");
    assert_consumer_problems("region = \"x\";",
                             "x.conf:2: consumers[0].region: unknown option; did you mean aws.region?\n");
    assert_problems("threads = 3;\n" CONF_TEXT_ONE,
                    "x.conf:1: threads: unknown option; did you mean consumers.threads?\n");
    assert_problems("level = \"info\";\n" CONF_TEXT_ONE, "x.conf:1: level: unknown option; did you mean log.level?\n");
    assert_problems("zebra = 3;\n" CONF_TEXT_ONE,
                    "x.conf:1: zebra: unknown option; known here: log, aws, admin, drain_timeout_s, "
                    "plugin_dir, consumers\n");
    assert_consumer_problems(
        "zebra = 1;", "x.conf:2: consumers[0].zebra: unknown option; known here: name, queue, plugin, "
                      "processes, threads, prefetch, start_timeout_s, wait_time_s, visibility_timeout_s, unwrap, "
                      "envelope, filter, on_mismatch, batch, lease, retry, dead_letter, dedup, fifo, publish, rate, "
                      "breaker, options\n");
    assert_consumer_problems("publish = { zebra = 1; };", "x.conf:2: consumers[0].publish.zebra: unknown option; known "
                                                          "here: bus, queue, buffer_mb\n");
    assert_consumer_problems("retry = { zebra = 1; };",
                             "x.conf:2: consumers[0].retry.zebra: unknown option; known here: policy, base_ms, "
                             "cap_ms, delays_ms, max_attempts, then\n");
}

static void
a_wrong_type_is_refused(void **state)
{
    (void)state;
    assert_consumer_problems("threads = 4.0;", "x.conf:2: consumers[0].threads: 4.0 is not a whole number, 1 to 256\n");
    assert_consumer_problems("threads = 1.5;", "x.conf:2: consumers[0].threads: 1.5 is not a whole number, 1 to 256\n");
    assert_consumer_problems("threads = true;",
                             "x.conf:2: consumers[0].threads: true is not a whole number, 1 to 256\n");
    assert_consumer_problems("threads = \"four\";",
                             "x.conf:2: consumers[0].threads: \"four\" is not a whole number, 1 to 256\n");
    assert_consumer_problems("threads = \" 4\";",
                             "x.conf:2: consumers[0].threads: \" 4\" is not a whole number, 1 to 256\n");
    assert_consumer_problems("threads = { };",
                             "x.conf:2: consumers[0].threads: a group is not a whole number, 1 to 256\n");
    assert_consumer_problems("batch = 10;", "x.conf:2: consumers[0].batch: must be a group, batch = { ... };\n");
    assert_consumer_problems("options = (1);",
                             "x.conf:2: consumers[0].options: a list is not a group { NAME = VALUE; ... } of strings, "
                             "numbers and booleans\n");
    assert_consumer_problems("options = { x = [1]; };",
                             "x.conf:2: consumers[0].options.x: a list is not a string, number or boolean\n");
    assert_problems("log = { level = 3; };" CONF_TEXT_ONE,
                    "x.conf:1: log.level: 3 is not error, warn, info or debug\n");
    assert_problems("log = { file = 3; };" CONF_TEXT_ONE,
                    "x.conf:1: log.file: 3 is not a string (write it in \"quotes\"): a "
                    "path; \"\" is standard error\n");
    assert_problems("log = \"info\";" CONF_TEXT_ONE, "x.conf:1: log: must be a group, log = { ... };\n");
    assert_problems("consumers = { };", "x.conf:1: consumers: must be a list of groups, ( { ... }, { ... } )\n");
    assert_problems("consumers = ( \"a\" );",
                    "x.conf:1: consumers[0]: must be a group, { name = ...; queue = ...; plugin = ...; }\n");
}

static void
a_value_out_of_range_is_refused(void **state)
{
    (void)state;
    assert_consumer_problems("threads = 0;", "x.conf:2: consumers[0].threads: 0 is out of range, 1 to 256\n");
    assert_consumer_problems("threads = 257;", "x.conf:2: consumers[0].threads: 257 is out of range, 1 to 256\n");
    assert_consumer_problems("threads = \"257\";",
                             "x.conf:2: consumers[0].threads: \"257\" is out of range, 1 to 256\n");
    assert_consumer_problems("threads = -1;", "x.conf:2: consumers[0].threads: -1 is out of range, 1 to 256\n");
    assert_problems("log = { level = \"loud\"; };" CONF_TEXT_ONE,
                    "x.conf:1: log.level: \"loud\" is not error, warn, info or debug\n");
}

/* libconfig 1.5 keeps the lower 32 bits of an integer without a suffix: 4294967300 became 4. */
static void
an_integer_of_more_than_32_bits_is_not_cut(void **state)
{
    (void)state;
    assert_consumer_problems("threads = 4294967300;",
                             "x.conf:2: consumers[0].threads: 4294967300 is out of range, 1 to 256\n");
    assert_consumer_problems("threads = 0x100000004;",
                             "x.conf:2: consumers[0].threads: 4294967300 is out of range, 1 to 256\n");
    assert_consumer_problems("threads = 99999999999999999999;",
                             "x.conf:2: consumers[0].threads: 9223372036854775807 is out of range, 1 to 256\n");
    assert_consumer_problems("threads = \"99999999999999999999\";",
                             "x.conf:2: consumers[0].threads: \"99999999999999999999\" is out of range, 1 to 256\n");
    struct conf *c = conf_text_read("consumers = ( { name = \"a\"; queue = \"q\"; plugin = \"p\"; threads = 0x10;\n"
                                    "  options = { big = 4294967300; x2 = 5; y-3 = +7; f = 1.5e3; g = .5; } } );");
    assert_int_equal(c->consumers[0].threads, 16);
    assert_string_equal(c->consumers[0].options[0].value, "4294967300");
    assert_string_equal(c->consumers[0].options[1].value, "5");
    assert_string_equal(c->consumers[0].options[2].name, "y-3");
    assert_string_equal(c->consumers[0].options[2].value, "7");
    assert_string_equal(c->consumers[0].options[3].value, "1500");
    assert_string_equal(c->consumers[0].options[4].value, "0.5");
    conf_destroy(c);
}

static void
each_string_has_its_rules(void **state)
{
    (void)state;
    static const struct {
        const char *path, *value;
        bool good;
    } CASES[] = {
        {"consumers.name", "a", true},
        {"consumers.name", "orders-2", true},
        {"consumers.name", "", false},
        {"consumers.name", "Orders", false},
        {"consumers.name", "a_b", false},
        {"consumers.name", "a2345678901234567890123456789012345678901", false},
        {"consumers.queue", "durable-fanout-queue", true},
        {"consumers.queue", "Q_1.fifo", true},
        {"consumers.queue", ".fifo", false},
        {"consumers.queue", "a.b", false},
        {"consumers.queue", "a b", false},
        {"consumers.queue", "", false},
        {"consumers.queue", "http://127.0.0.1:4566/000000000000/q", true},
        {"consumers.queue", "ftp://x/q", false},
        {"consumers.queue", "https:///q", false},
        {"consumers.queue", "https://x/q q", false},
        {"consumers.queue", "12345678901234567890123456789012345678901234567890123456789012345678901234567890", true},
        {"consumers.queue", "123456789012345678901234567890123456789012345678901234567890123456789012345678901", false},
        {"consumers.plugin", "jsonl", true},
        {"consumers.plugin", "/a/b.so", true},
        {"consumers.plugin", "./b c.so", true},
        {"consumers.plugin", "a.so", false},
        {"consumers.plugin", "a/", false},
        {"consumers.plugin", "", false},
        {"admin.listen", "127.0.0.1:9464", true},
        {"admin.listen", "0.0.0.0:0", true},
        {"admin.listen", "localhost:65535", true},
        {"admin.listen", "[::1]:9464", true},
        {"admin.listen", "::1:9464", false},
        {"admin.listen", "[::1:9464", false},
        {"admin.listen", "[:", false},
        {"admin.listen", "[]:1", false},
        {"admin.listen", "[zz]:1", false},
        {"admin.listen", "127.0.0.1", false},
        {"admin.listen", ":9464", false},
        {"admin.listen", "127.0.0.1:65536", false},
        {"admin.listen", "127.0.0.1:", false},
        {"admin.listen", "127.0.0.1:94x", false},
        {"aws.endpoint_url", "", true},
        {"aws.endpoint_url", "https://localhost.localstack.cloud:4566/x", true},
        {"aws.endpoint_url", "http://[::1]:4566", true},
        {"aws.endpoint_url", "https://[::1]", true},
        {"aws.endpoint_url", "127.0.0.1:4566", false},
        {"aws.endpoint_url", "http://localhost:65536", false},
        {"aws.endpoint_url", "http://localhost:/", false},
        {"aws.endpoint_url", "http://:4566", false},
        {"aws.endpoint_url", "http://user:secret@localhost", false},
        {"aws.endpoint_url", "http://[::1", false},
        {"aws.endpoint_url", "http://]", false},
        {"consumers.publish.bus", "", true},
        {"consumers.publish.bus", "durable-event-bus", true},
        {"consumers.publish.bus", "aws.partner/example.com/1", true},
        {"consumers.publish.bus", "arn:aws:events:eu-west-1:000000000000:event-bus/orders", true},
        {"consumers.publish.bus", "a b", false},
        {"consumers.publish.bus", "orders:1", false},
        {"consumers.publish.queue", "", true},
        {"consumers.publish.queue", "invoices.fifo", true},
        {"consumers.publish.queue", "https://sqs.eu-west-1.amazonaws.com/1/q", true},
        {"consumers.publish.queue", "a/b", false},
        {"aws.region", "us-gov-west-1", true},
        {"aws.region", "eu central", false},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        const struct conf_option *o = conf_option_find(CASES[i].path);
        assert_non_null(o);
        if ((strlen(CASES[i].value) <= (size_t)o->max && o->fits(CASES[i].value)) != CASES[i].good)
            fail_msg("%s = \"%s\" should be %s", CASES[i].path, CASES[i].value, CASES[i].good ? "allowed" : "refused");
    }
    assert_problems("consumers = ( { name = \"A\"; queue = \"q\"; plugin = \"p\"; } );",
                    "x.conf:1: consumers[0].name: \"A\" is not allowed, write 1 to 40 of a-z, 0-9 and \"-\", no two "
                    "alike\n");
    assert_problems("aws = { region = \"0123456789012345678901234567890123456789a\"; };" CONF_TEXT_ONE,
                    "x.conf:1: aws.region: has 41 bytes; 40 at most\n");
}

static void
what_must_be_given_is_named_when_it_is_missing(void **state)
{
    (void)state;
    assert_problems("", "x.conf: consumers: is missing: ( { name = ...; queue = ...; plugin = ...; } )\n");
    assert_problems("consumers = ();", "x.conf:1: consumers: is empty: at least one is needed\n");
    assert_problems("consumers = (\n  { queue = \"q\"; }\n);",
                    "x.conf:2: consumers[0]: name is missing: 1 to 40 of a-z, 0-9 and \"-\", no two alike\n"
                    "x.conf:2: consumers[0]: plugin is missing: a plugin's name (letters, digits, \"-\" and \"_\"), "
                    "looked up as plugin_dir/NAME.so, or a path with a /\n");
}

static void
options_are_checked_against_each_other(void **state)
{
    (void)state;
    assert_consumer_problems("retry = { base_ms = 10; cap_ms = 9; };",
                             "x.conf:2: consumers[0]: retry.cap_ms (9) is below retry.base_ms (10)\n");
    assert_problems(
        "consumers = ( { name = \"a\"; queue = \"q.fifo\"; plugin = \"p\";\n"
        "retry = { then = \"leave_to_queue\"; }; } );\n",
        "x.conf:2: consumers[0]: retry.then = leave_to_queue on a FIFO queue: each receive that is spent on "
        "the message is spent on those behind it in its group, too, and SQS moves them to the dead-letter "
        "queue with it, unhandled; choose dead_letter, or fifo.on_failure = skip\n");
    assert_consumer_problems("retry = { policy = \"list\"; };",
                             "x.conf:2: consumers[0]: retry.policy is list, but there are no retry.delays_ms\n");
    assert_consumer_problems(
        "breaker = { pause_ms = 60001; };",
        "x.conf:2: consumers[0]: breaker.pause_cap_ms (60000) is below breaker.pause_ms (60001)\n");
    assert_consumer_problems("processes = 2; threads = 10; batch = { size = 2001; }; prefetch = 2;",
                             "x.conf:1: consumers[0]: processes x threads x batch.size x (1 + prefetch) = 2 x 10 x "
                             "2001 x 3 = 120060 messages in flight; SQS allows 120000 of a queue\n");
    assert_consumer_problems("visibility_timeout_s = 30;\n lease = { max_s = 29; };",
                             "x.conf:3: consumers[0]: lease.max_s (29) is below visibility_timeout_s (30), which each "
                             "receive grants\n");
    assert_consumer_problems("visibility_timeout_s = 30;\n batch = { window_ms = 15001; };",
                             "x.conf:3: consumers[0]: batch.window_ms (15001) is more than half of "
                             "visibility_timeout_s (30): messages would spend their lease waiting for a batch\n");
    conf_destroy(
        conf_text_read("consumers = ( { name = \"a\"; queue = \"q\"; plugin = \"p\"; visibility_timeout_s = 30;\n"
                       "batch = { window_ms = 15000; size = 2000; }; retry = { base_ms = 9; cap_ms = 9; };\n"
                       "processes = 2; threads = 10; prefetch = 2; } );"));
    assert_problems("consumers = ( " CONF_TEXT_CONSUMER ",\n" CONF_TEXT_CONSUMER ",\n" CONF_TEXT_CONSUMER " );",
                    "x.conf:2: consumers[1].name: \"a\" is the name of consumers[0] already\n"
                    "x.conf:3: consumers[2].name: \"a\" is the name of consumers[0] already\n");
}

static void
an_option_that_would_do_nothing_beside_the_others_is_refused(void **state)
{
    (void)state;
#define NO_LIST  "retry.policy is not \"list\""
#define BY_LIST  "retry.policy = \"list\" has its delays from retry.delays_ms"
#define NO_STORE "dedup.store is \"none\": nothing is deduplicated"
    static const struct {
        const char *beside, *group, *name, *value, *since; /* of a consumer */
    } CASES[] = {
        {"", "retry", "delays_ms", "\"1\"", NO_LIST},
        {"retry = { policy = \"list\"; delays_ms = \"5\"; ", NULL, "retry.base_ms", "base_ms = 7", BY_LIST},
        {"retry = { policy = \"list\"; delays_ms = \"5\"; ", NULL, "retry.cap_ms", "cap_ms = 7", BY_LIST},
        {"", NULL, "on_mismatch", "on_mismatch = \"dead_letter\"", "there is no filter for a message to mismatch"},
        {"", "fifo", "on_failure", "\"skip\"", "the queue is no FIFO queue (their names end in .fifo)"},
        {"", "dedup", "window_s", "60", NO_STORE},
        {"", "dedup", "key", "\"body\"", NO_STORE},
        {"", "dedup", "on_error", "\"handle\"", NO_STORE},
        {"", "dedup", "max_entries", "9", "dedup.store is not \"memory\""},
        {"", "dedup", "path", "\"/x\"", "dedup.store is not \"sqlite\""},
        {"", "dedup", "table", "\"events\"", "dedup.store is not \"dynamodb\""},
        {"", "dedup", "endpoint_url", "\"http://h\"", "dedup.store is not \"dynamodb\""},
        {"dedup = { store = \"sqlite\"; path = \"/x\"; ", NULL, "dedup.max_entries", "max_entries = 9",
         "dedup.store is not \"memory\""},
        {"dedup = { store = \"memory\"; ", NULL, "dedup.table", "table = \"events\"",
         "dedup.store is not \"dynamodb\""},
        {"envelope = \"eventbridge\"; dedup = { store = \"memory\"; ", NULL, "dedup.key", "key = \"body\"",
         "with envelope = \"eventbridge\" every message has an event's id"},
        {"", "publish", "buffer_mb", "65", "there is neither publish.bus nor publish.queue: handlers publish nothing"},
        {"", "breaker", "min_calls", "9", "breaker.failure_percent is 0: failures do not open the breaker"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        char settings[200], expected[300];
        bool is_in_group = strchr(CASES[i].beside, '{');
        if (CASES[i].group)
            snprintf(settings, sizeof settings, "%s = {\n%s = %s; };", CASES[i].group, CASES[i].name, CASES[i].value);
        else
            snprintf(settings, sizeof settings, "%s\n%s;%s", CASES[i].beside, CASES[i].value, is_in_group ? " };" : "");
        snprintf(expected, sizeof expected, "x.conf:3: consumers[0]: %s%s%s would do nothing, since %s; leave it out\n",
                 CASES[i].group ? CASES[i].group : "", CASES[i].group ? "." : "", CASES[i].name, CASES[i].since);
        assert_consumer_problems(settings, expected);
    }
    conf_destroy(conf_text_read("consumers = ( { name = \"a\"; queue = \"q\"; plugin = \"p\";\n"
                                "dedup = { window_s = 86400; key = \"event_id\"; path = \"\"; };\n"
                                "publish = { buffer_mb = 64; }; } );")); /* as they are printed */
    conf_destroy(conf_text_read("consumers = ( { name = \"a\"; queue = \"q\"; plugin = \"p\"; unwrap = \"auto\";\n"
                                "envelope = \"eventbridge\"; dedup = { store = \"memory\"; key = \"body\"; }; } );"));
}

#define URL "https://sqs.eu-west-1.amazonaws.com/000000000000/"

static void
dead_letters_do_not_go_to_the_queue_they_come_from(void **state)
{
    (void)state;
    static const struct {
        const char *queue, *dead;
        const char *refused; /* NULL: it is not */
    } CASES[] = {
        {"q", "q", ""},
        {"q", "q-dlq", NULL},
        {"orders", "q", NULL},
        {URL "q", URL "q", ""},
        {URL "q", URL "q/", ""},
        {URL "q", "https://SQS.eu-west-1.amazonaws.com/000000000000/q", ""},
        {URL "q", "https://sqs.eu-west-1.amazonaws.com/111111111111/q", NULL},
        {URL "q", URL "Q", NULL},
        {URL "q", "q", "; if it is one of that name in another account or region, give its URL"},
        {URL "q/", "q", "; if it is one of that name in another account or region, give its URL"},
        {URL "orders-q", "q", NULL},
        {"q", URL "q", NULL}, /* the worker asks the queue itself */
        {URL "q", "", NULL},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        char text[400], expected[200];
        snprintf(text, sizeof text,
                 "consumers = ( { name = \"a\"; queue = \"%s\"; plugin = \"p\";\n dead_letter = { queue = \"%s\"; }; "
                 "} );",
                 CASES[i].queue, CASES[i].dead);
        if (CASES[i].refused) {
            snprintf(expected, sizeof expected,
                     "x.conf:2: consumers[0]: dead_letter.queue is the consumer's own queue%s\n", CASES[i].refused);
            assert_problems(text, expected);
        } else {
            conf_destroy(conf_text_read(text));
        }
    }
}

static void
all_problems_are_reported_at_once(void **state)
{
    (void)state;
    assert_problems("log = { level = \"x\"; };\ndrain_timeout_s = 0;\nconsumers = (\n"
                    "  { name = \"a\"; queue = \"q\"; plugin = \"p\"; threads = 0;\n    threds = 1; },\n  { } );",
                    "x.conf:1: log.level: \"x\" is not error, warn, info or debug\n"
                    "x.conf:2: drain_timeout_s: 0 is out of range, 1 to 3600\n"
                    "x.conf:4: consumers[0].threads: 0 is out of range, 1 to 256\n"
                    "x.conf:5: consumers[0].threds: unknown option; did you mean threads?\n"
                    "x.conf:6: consumers[1]: name is missing: 1 to 40 of a-z, 0-9 and \"-\", no two alike\n"
                    "x.conf:6: consumers[1]: queue is missing: a queue's name (1 to 80 letters, digits, \"-\" and "
                    "\"_\", with or without .fifo at the end) or its URL\n"
                    "x.conf:6: consumers[1]: plugin is missing: a plugin's name (letters, digits, \"-\" and \"_\"), "
                    "looked up as plugin_dir/NAME.so, or a path with a /\n");
}

static void
a_flood_of_problems_is_cut_at_a_hundred(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    struct conf *conf = NULL;
    struct conf_problems problems;
    size_t lines = 0;
    for (int i = 0; i < 1000; i++)
        buf_add_format(&text, "zebra%d = 1;\n", i);
    buf_add_string(&text, CONF_TEXT_ONE);
    assert_int_equal(conf_read_text("x.conf", buf_slice(&text), &conf, &problems, NULL), ERR_INVALID);
    for (const char *p = problems.text.data; (p = strchr(p, '\n')); p++)
        lines++;
    assert_int_equal(lines, 101);
    assert_int_equal(problems.count, 1000);
    assert_non_null(strstr(problems.text.data, "\nand 900 more problems\n"));
    buf_clean_up(&problems.text);
    buf_clean_up(&text);
}

static void
a_syntax_error_names_its_line(void **state)
{
    (void)state;
    assert_problems("log = {\n  level = ;\n};",
                    "x.conf:2: syntax error at or before \"level = ;\": " CONF_TEXT_HOW_TO_WRITE "\n");
    assert_problems("log = {\n  level = \"info\";\n", "x.conf:3: syntax error at the end: a ;, }, ) or ] is missing\n");
    assert_problems(
        "a = 1\n/* long */ b 2222222222222222222222222222222222222222222222;",
        "x.conf:2: syntax error at or before \"/* long */ b 222222222222222222222222222...\": " CONF_TEXT_HOW_TO_WRITE
        "\n");
    assert_problems("drain_timeout_s = 3;\ndrain_timeout_s = 4;\n" CONF_TEXT_ONE,
                    "x.conf:2: drain_timeout_s: is given twice, first in x.conf:1; one of them has to go\n");
    assert_problems("log = { level = \"info\"; };\n/* log = { x = 1; } */ aws = { region = \"\\\"log = {\"; };\n"
                    "consumers = ( { name = \"a\";\n  batch = { size = 1; };\n  options = { name = \"n\"; # name = 2\n"
                    " path = \"p\"; path: \"q\"; }; } );\n",
                    "x.conf:6: path: is given twice, first in x.conf:6; one of them has to go\n");
    assert_problems(CONF_TEXT_ONE "\nlog = { file = \"a;\n};\n", "x.conf:3: this string has no closing quote\n");
    assert_problems(CONF_TEXT_ONE "/* all\nthe rest\n", "x.conf:2: this comment has no closing */\n");
    assert_problems("plugin_dir = \"a\\x00b\";\n", "x.conf:1: a string cannot hold \\x00\n");
    assert_problems("@include \"x\"\n", "x.conf:1: @include works in files only\n");
}

static void
comments_and_strings_are_left_alone(void **state)
{
    (void)state;
    struct conf *c = conf_text_read("# @include \"x\"\n// 99999999999 \"\n/* \" @include\n ( { */ " CONF_TEXT_ONE
                                    "plugin_dir = \"@include \\\"y\\\" # // /* 4294967300\" \" two\n  lines\";\r\n");
    assert_string_equal(c->plugin_dir, "@include \"y\" # // /* 4294967300 two\n  lines");
    conf_destroy(c);
}

static void
hostile_text_is_refused_in_bounded_time(void **state)
{
    (void)state;
    struct conf *conf = NULL;
    struct err e;
    struct buf text = BUF_INIT;
    for (int i = 0; i < 200000; i++)
        buf_add_char(&text, '(');
    assert_int_equal(conf_read_text("x.conf", buf_slice(&text), &conf, NULL, &e), ERR_INVALID);
    assert_string_equal(e.text, "x.conf:1: groups and lists are nested more than 32 deep");
    for (int i = 0; i < 100000; i++)
        buf_add_char(&text, '(');
    assert_int_equal(conf_read_text("x.conf", buf_slice(&text), &conf, NULL, &e), ERR_INVALID);
    assert_string_equal(e.text, "x.conf: a configuration has 256 KiB at most");
    assert_int_equal(conf_read_text("x.conf", slice_of("a\0b", 3), &conf, NULL, &e), ERR_INVALID);
    assert_string_equal(e.text, "x.conf holds a NUL byte: it is no text");
    buf_reset(&text);
    buf_add_string(&text, "consumers = (");
    for (int i = 0; i < 101; i++)
        buf_add_format(&text, "%s{ name = \"a%d\"; queue = \"q\"; plugin = \"p\"; }", i ? "," : "", i);
    buf_add_string(&text, ");");
    assert_int_equal(conf_read_text("x.conf", buf_slice(&text), &conf, NULL, &e), ERR_INVALID);
    assert_string_equal(e.text, "x.conf:1: consumers: 101 are too many, 1 to 100");
    buf_clean_up(&text);
}

/* ---- the environment ------------------------------------------------------------------------------------------- */

static void
assert_expands(const char *written, const char *expected)
{
    char text[1000];
    snprintf(text, sizeof text, CONF_TEXT_ONE "plugin_dir = \"%s\";", written);
    struct conf *c = conf_text_read(text);
    assert_string_equal(c->plugin_dir, expected);
    conf_destroy(c);
}

static void
strings_take_values_from_the_environment(void **state)
{
    (void)state;
    setenv("CONF_TEST_A", "one", 1);
    setenv("CONF_TEST_EMPTY", "", 1);
    setenv("CONF_TEST_DOLLAR", "${CONF_TEST_A} $", 1);
    unsetenv("CONF_TEST_UNSET");
    assert_expands("/x/${CONF_TEST_A}/y${CONF_TEST_A}", "/x/one/yone");
    assert_expands("${CONF_TEST_EMPTY}", "");
    assert_expands("${CONF_TEST_UNSET:-two}", "two");
    assert_expands("${CONF_TEST_EMPTY:-two}", "two");
    assert_expands("${CONF_TEST_A:-two}", "one");
    assert_expands("${CONF_TEST_UNSET:-}", "");
    assert_expands("${CONF_TEST_UNSET:-${CONF_TEST_EMPTY:-${CONF_TEST_A}}}!", "one!");
    assert_expands("${CONF_TEST_A:-${CONF_TEST_UNSET}}", "one");
    assert_expands("${CONF_TEST_DOLLAR}", "${CONF_TEST_A} $");
    assert_expands("$$${CONF_TEST_A}$$$$", "$one$$");
    assert_expands("$${CONF_TEST_A}", "${CONF_TEST_A}");
    assert_expands("a}b", "a}b");
    assert_expands("${CONF_TEST_UNSET:-a$$b c:-d}", "a$b c:-d");
}

static void
numbers_and_choices_are_converted_after_expansion(void **state)
{
    (void)state;
    setenv("CONF_TEST_THREADS", "16", 1);
    unsetenv("CONF_TEST_UNSET");
    struct conf *c = conf_text_read("log = { level = \"${CONF_TEST_UNSET:-warn}\"; };"
                                    "consumers = ( { name = \"a\"; queue = \"q\"; plugin = \"p\";\n"
                                    "threads = \"${CONF_TEST_THREADS}\"; prefetch = \"${CONF_TEST_UNSET:-0}\";\n"
                                    "options = { x = \"${CONF_TEST_THREADS}$$\"; }; } );");
    assert_int_equal(c->log.level, LOG_WARN);
    assert_int_equal(c->consumers[0].threads, 16);
    assert_int_equal(c->consumers[0].prefetch, 0);
    assert_string_equal(c->consumers[0].options[0].value, "16$");
    conf_destroy(c);
    setenv("CONF_TEST_THREADS", "1000", 1);
    assert_consumer_problems("threads = \"${CONF_TEST_THREADS}\";",
                             "x.conf:2: consumers[0].threads: \"1000\" is out of range, 1 to 256\n");
}

static void
a_reference_that_means_nothing_is_refused(void **state)
{
    (void)state;
    unsetenv("CONF_TEST_UNSET");
    static const char *const CASES[][2] = {
        {"${CONF_TEST_UNSET}", "the environment has no CONF_TEST_UNSET: set it, or write ${CONF_TEST_UNSET:-default}"},
        {"a$b", "a dollar sign starts ${NAME}; write $$ for a dollar sign"},
        {"a$", "a dollar sign starts ${NAME}; write $$ for a dollar sign"},
        {"${", "${ wants the name of an environment variable; write $$ for a dollar sign"},
        {"${1A}", "${ wants the name of an environment variable; write $$ for a dollar sign"},
        {"${CONF_TEST_UNSET", "${CONF_TEST_UNSET must go on with } or :-default}"},
        {"${CONF_TEST_UNSET:x}", "${CONF_TEST_UNSET must go on with } or :-default}"},
        {"${CONF_TEST_UNSET:-x", "${CONF_TEST_UNSET:- has no closing }"},
        {"${A:-${A:-${A:-${A:-${A:-${A:-${A:-${A:-${A:-}}}}}}}}}", "${...} is nested more than 8 deep"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        char text[1000], expected[1000];
        snprintf(text, sizeof text, CONF_TEXT_ONE "plugin_dir = \"%s\";", CASES[i][0]);
        snprintf(expected, sizeof expected, "x.conf:2: plugin_dir: %s\n", CASES[i][1]);
        assert_problems(text, expected);
    }
    assert_consumer_problems("options = { x = \"$\"; };", "x.conf:2: consumers[0].options.x: a dollar sign starts "
                                                          "${NAME}; write $$ for a dollar sign\n");
}

/* ---- the table ------------------------------------------------------------------------------------------------- */

static void
the_table_keeps_its_own_rules(void **state)
{
    (void)state;
    for (const struct conf_option *o = conf_options; o->path; o++) {
        assert_true(o->help && *o->help && o->help[strlen(o->help) - 1] == '.');
        assert_non_null(o->unit);
        assert_true(o->def || o->example);
        assert_ptr_equal(conf_option_find(o->path), o);
        if (o->type == CONF_INT)
            assert_in_range(strtoll(o->def, NULL, 10), o->min, o->max);
        if (o->type == CONF_STRING)
            assert_true(o->allowed && o->max > 0);
        if (o->type == CONF_STRING && o->fits)
            assert_true(o->fits(o->def ? o->def : o->example));
        if (o->type == CONF_ENUM)
            assert_true(conf_option_choice(o, o->def) >= 0);
    }
}

/* No option is a boolean yet; the type is there for those that come. */
static void
a_boolean_is_true_or_false(void **state)
{
    (void)state;
    static const struct conf_option OPTION = {.path = "flag", .type = CONF_BOOL, .def = "true"};
    struct conf conf = {0};
    struct err e;
    struct conf_problems problems = {.text = BUF_INIT};
    struct conf_reader r = {.conf = &conf, .problems = &problems, .e = &e};
    config_t settings;
    config_init(&settings);
    arena_init(&conf.arena, 0);
    conf_source_init(&r.source);
    assert_int_equal(conf_source_read_text(&r.source, "x.conf", SLICE(""), &e), 0);
    assert_true(config_read_string(&settings, "a = false; b = \"true\"; c = \"false\"; d = 1; e = \"yes\";"));
    config_setting_t *root = config_root_setting(&settings);
    bool flag = false;
    conf_set_default(&OPTION, &flag);
    assert_true(flag);
    conf_set_option(&r, &OPTION, config_setting_get_elem(root, 0), "flag", &flag);
    assert_false(flag);
    conf_set_option(&r, &OPTION, config_setting_get_elem(root, 1), "flag", &flag);
    assert_true(flag);
    conf_set_option(&r, &OPTION, config_setting_get_elem(root, 2), "flag", &flag);
    assert_false(flag);
    assert_int_equal(problems.count, 0);
    conf_set_option(&r, &OPTION, config_setting_get_elem(root, 3), "flag", &flag);
    conf_set_option(&r, &OPTION, config_setting_get_elem(root, 4), "flag", &flag);
    assert_string_equal(problems.text.data, "x.conf:1: flag: 1 is not true or false\n"
                                            "x.conf:1: flag: \"yes\" is not true or false\n");
    buf_clean_up(&problems.text);
    conf_source_clean_up(&r.source);
    arena_clean_up(&conf.arena);
    config_destroy(&settings);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_given_has_its_default),
        cmocka_unit_test(every_option_can_be_given),
        cmocka_unit_test(an_unknown_key_is_refused_and_the_nearest_option_named),
        cmocka_unit_test(a_wrong_type_is_refused),
        cmocka_unit_test(a_value_out_of_range_is_refused),
        cmocka_unit_test(an_integer_of_more_than_32_bits_is_not_cut),
        cmocka_unit_test(each_string_has_its_rules),
        cmocka_unit_test(what_must_be_given_is_named_when_it_is_missing),
        cmocka_unit_test(options_are_checked_against_each_other),
        cmocka_unit_test(an_option_that_would_do_nothing_beside_the_others_is_refused),
        cmocka_unit_test(dead_letters_do_not_go_to_the_queue_they_come_from),
        cmocka_unit_test(all_problems_are_reported_at_once),
        cmocka_unit_test(a_flood_of_problems_is_cut_at_a_hundred),
        cmocka_unit_test(a_syntax_error_names_its_line),
        cmocka_unit_test(comments_and_strings_are_left_alone),
        cmocka_unit_test(hostile_text_is_refused_in_bounded_time),
        cmocka_unit_test(strings_take_values_from_the_environment),
        cmocka_unit_test(numbers_and_choices_are_converted_after_expansion),
        cmocka_unit_test(a_reference_that_means_nothing_is_refused),
        cmocka_unit_test(the_table_keeps_its_own_rules),
        cmocka_unit_test(a_boolean_is_true_or_false),
    };
    return cmocka_run_group_tests_name("conf", tests, NULL, NULL);
}
