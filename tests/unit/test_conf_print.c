/* A configuration that is printed, and the example. */
#include "config/conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "config/options.h"
#include "config/read.h"
#include "lib/conf_text.h"
#include "lib/xorshift.h"

static int
random_int(uint64_t *random, const char *path)
{
    const struct conf_option *o = conf_option_find(path);
    return (int)(o->min + (int64_t)(xorshift_next(random) % (uint64_t)(o->max - o->min + 1)));
}

/* Any bytes but NUL, those that mean something to the printer or the reader above all. */
static const char *
random_string(uint64_t *random, struct arena *arena)
{
    static const char SPECIAL[] = "\"\\$\n\r\t${}@#/*x0;:-\x7f\x01\xff";
    size_t n = xorshift_next(random) % 24;
    char *s = arena_alloc(arena, n + 1);
    assert_non_null(s);
    for (size_t i = 0; i < n; i++) {
        uint64_t r = xorshift_next(random);
        s[i] = r % 3 ? SPECIAL[(r >> 8) % (sizeof SPECIAL - 1)] : (char)(1 + (r >> 8) % 255);
    }
    s[n] = 0;
    return s;
}

static void
assert_same_consumer(const struct conf_consumer *a, const struct conf_consumer *b)
{
    assert_string_equal(a->name, b->name);
    assert_string_equal(a->queue, b->queue);
    assert_string_equal(a->plugin, b->plugin);
    assert_int_equal(a->processes, b->processes);
    assert_int_equal(a->threads, b->threads);
    assert_int_equal(a->prefetch, b->prefetch);
    assert_int_equal(a->start_timeout_s, b->start_timeout_s);
    assert_int_equal(a->wait_time_s, b->wait_time_s);
    assert_int_equal(a->visibility_timeout_s, b->visibility_timeout_s);
    assert_int_equal(a->batch.size, b->batch.size);
    assert_int_equal(a->batch.window_ms, b->batch.window_ms);
    assert_int_equal(a->lease.max_s, b->lease.max_s);
    assert_int_equal(a->retry.base_ms, b->retry.base_ms);
    assert_int_equal(a->retry.cap_ms, b->retry.cap_ms);
    assert_int_equal(a->retry.policy, b->retry.policy);
    assert_string_equal(a->retry.delays_ms, b->retry.delays_ms);
    assert_int_equal(a->retry.max_attempts, b->retry.max_attempts);
    assert_int_equal(a->retry.then, b->retry.then);
    assert_string_equal(a->dead_letter.queue, b->dead_letter.queue);
    assert_int_equal(a->rate.max_per_s, b->rate.max_per_s);
    assert_int_equal(a->breaker.failure_percent, b->breaker.failure_percent);
    assert_int_equal(a->breaker.window_s, b->breaker.window_s);
    assert_int_equal(a->breaker.min_calls, b->breaker.min_calls);
    assert_int_equal(a->breaker.pause_ms, b->breaker.pause_ms);
    assert_int_equal(a->breaker.pause_cap_ms, b->breaker.pause_cap_ms);
    assert_int_equal(a->dedup.store, b->dedup.store);
    assert_int_equal(a->dedup.window_s, b->dedup.window_s);
    assert_int_equal(a->dedup.key, b->dedup.key);
    assert_int_equal(a->dedup.on_error, b->dedup.on_error);
    assert_int_equal(a->dedup.max_entries, b->dedup.max_entries);
    assert_string_equal(a->dedup.path, b->dedup.path);
    assert_string_equal(a->dedup.table, b->dedup.table);
    assert_string_equal(a->dedup.endpoint_url, b->dedup.endpoint_url);
    assert_int_equal(a->fifo.on_failure, b->fifo.on_failure);
    assert_string_equal(a->publish.bus, b->publish.bus);
    assert_string_equal(a->publish.queue, b->publish.queue);
    assert_int_equal(a->publish.buffer_mb, b->publish.buffer_mb);
    assert_int_equal(a->n_options, b->n_options);
    for (size_t i = 0; i < a->n_options; i++) {
        assert_string_equal(a->options[i].name, b->options[i].name);
        assert_string_equal(a->options[i].value, b->options[i].value);
    }
}

static void
assert_same_settings(const struct conf *a, const struct conf *b)
{
    assert_int_equal(a->log.level, b->log.level);
    assert_int_equal(a->log.format, b->log.format);
    assert_string_equal(a->log.file, b->log.file);
    assert_string_equal(a->aws.region, b->aws.region);
    assert_string_equal(a->aws.profile, b->aws.profile);
    assert_string_equal(a->aws.endpoint_url, b->aws.endpoint_url);
    assert_string_equal(a->aws.ca_file, b->aws.ca_file);
    assert_string_equal(a->admin.listen, b->admin.listen);
    assert_int_equal(a->drain_timeout_s, b->drain_timeout_s);
    assert_string_equal(a->plugin_dir, b->plugin_dir);
}

/* What its store looks at; the defaults of all else. */
static void
random_dedup(uint64_t *random, struct conf *c, struct conf_consumer *a)
{
    enum conf_dedup_store store = a->dedup.store = (enum conf_dedup_store)(xorshift_next(random) % 4);
    a->dedup.window_s = store ? random_int(random, "consumers.dedup.window_s") : 86400;
    a->dedup.key = store ? (enum conf_dedup_key)(xorshift_next(random) % 2) : CONF_DEDUP_EVENT_ID;
    a->dedup.on_error = store ? (enum conf_dedup_on_error)(xorshift_next(random) % 2) : CONF_DEDUP_HOLD;
    a->dedup.max_entries = store == CONF_DEDUP_MEMORY ? random_int(random, "consumers.dedup.max_entries") : 100000;
    a->dedup.path = store == CONF_DEDUP_SQLITE ? arena_format(&c->arena, "/%s", random_string(random, &c->arena)) : "";
    bool table = store == CONF_DEDUP_DYNAMODB;
    a->dedup.table = table ? "table_1.x-y" : "";
    a->dedup.endpoint_url = table && xorshift_next(random) % 2 ? "http://h/$x${\"\\" : "";
}

static void
random_conf(uint64_t *random, struct conf *c)
{
    arena_init(&c->arena, 0);
    c->log.level = (enum log_level)(xorshift_next(random) % 4);
    c->log.format = (enum log_format)(xorshift_next(random) % 2);
    c->log.file = random_string(random, &c->arena);
    c->aws.region = xorshift_next(random) % 2 ? "eu-west-1" : "";
    c->aws.profile = random_string(random, &c->arena);
    c->aws.endpoint_url = xorshift_next(random) % 2 ? "http://h/$x${\"\\" : "";
    c->aws.ca_file = random_string(random, &c->arena);
    c->admin.listen = "127.0.0.1:0";
    c->drain_timeout_s = random_int(random, "drain_timeout_s");
    c->plugin_dir = random_string(random, &c->arena);
    c->n_consumers = 1 + xorshift_next(random) % 3;
    c->consumers = arena_zalloc(&c->arena, c->n_consumers * sizeof *c->consumers);
    for (size_t i = 0; i < c->n_consumers; i++) {
        struct conf_consumer *a = &c->consumers[i];
        a->name = arena_format(&c->arena, "consumer-%zu", i);
        a->queue = xorshift_next(random) % 2 ? "a.fifo" : "https://x/\"$\\";
        a->plugin = arena_format(&c->arena, "/%s.so", random_string(random, &c->arena));
        a->processes = random_int(random, "consumers.processes");
        a->threads = 1 + (int)(xorshift_next(random) % 11);
        a->prefetch = random_int(random, "consumers.prefetch");
        a->start_timeout_s = random_int(random, "consumers.start_timeout_s");
        a->wait_time_s = random_int(random, "consumers.wait_time_s");
        a->visibility_timeout_s = xorshift_next(random) % 2 ? 600 + (int)(xorshift_next(random) % 42600) : 0;
        a->batch.size = 1 + (int)(xorshift_next(random) % 10);
        a->batch.window_ms = random_int(random, "consumers.batch.window_ms");
        a->lease.max_s = xorshift_next(random) % 2 ? 43200 : 0;
        a->retry.base_ms = random_int(random, "consumers.retry.base_ms");
        a->retry.cap_ms = a->retry.base_ms + (int)(xorshift_next(random) % (uint64_t)(43200001 - a->retry.base_ms));
        a->retry.policy = (enum conf_retry_policy)(xorshift_next(random) % 3);
        a->retry.delays_ms = "";
        if (a->retry.policy == CONF_RETRY_LIST) {
            a->retry.base_ms = 1000;
            a->retry.cap_ms = 900000;
            a->retry.delays_ms = "1, 43200000";
        }
        a->retry.max_attempts = random_int(random, "consumers.retry.max_attempts");
        a->retry.then = (enum conf_retry_then)(xorshift_next(random) % 2);
        a->dead_letter.queue = xorshift_next(random) % 2 ? "b.fifo" : "";
        a->rate.max_per_s = random_int(random, "consumers.rate.max_per_s");
        a->breaker.failure_percent = random_int(random, "consumers.breaker.failure_percent");
        a->breaker.window_s = random_int(random, "consumers.breaker.window_s");
        a->breaker.min_calls = a->breaker.failure_percent ? random_int(random, "consumers.breaker.min_calls") : 20;
        a->breaker.pause_ms = random_int(random, "consumers.breaker.pause_ms");
        a->breaker.pause_cap_ms = 3600000;
        random_dedup(random, c, a);
        a->fifo.on_failure = a->retry.then == CONF_RETRY_LEAVE_TO_QUEUE
                                 ? CONF_FIFO_SKIP
                                 : (enum conf_fifo_failure)(xorshift_next(random) % 2);
        if (*a->queue != 'a') /* no FIFO queue */
            a->fifo.on_failure = CONF_FIFO_STOP_GROUP;
        a->publish.bus = xorshift_next(random) % 2 ? "arn:aws:events:eu-west-1:1:event-bus/a" : "";
        a->publish.queue = xorshift_next(random) % 2 ? "b.fifo" : "";
        bool publishes = *a->publish.bus || *a->publish.queue;
        a->publish.buffer_mb = publishes ? random_int(random, "consumers.publish.buffer_mb") : 64;
        a->n_options = xorshift_next(random) % 4;
        a->options = arena_zalloc(&c->arena, 4 * sizeof *a->options);
        for (size_t k = 0; k < a->n_options; k++)
            a->options[k] = (struct conf_pair){.name = arena_format(&c->arena, "Opt-%zu_*", k),
                                               .value = random_string(random, &c->arena)};
    }
}

static void
what_is_printed_reads_back_the_same(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 500; seed++) {
        uint64_t random = seed * UINT64_C(0x9E3779B97F4A7C15);
        struct conf c = {0};
        struct buf all = BUF_INIT, one = BUF_INIT;
        random_conf(&random, &c);
        conf_print(&c, NULL, &all);
        struct conf *read = conf_text_read(all.data);
        assert_same_settings(&c, read);
        assert_int_equal(read->n_consumers, c.n_consumers);
        for (size_t i = 0; i < c.n_consumers; i++)
            assert_same_consumer(&c.consumers[i], &read->consumers[i]);
        conf_destroy(read);

        const struct conf_consumer *last = &c.consumers[c.n_consumers - 1];
        conf_print(&c, last, &one);
        read = conf_text_read(one.data);
        assert_same_settings(&c, read);
        assert_int_equal(read->n_consumers, 1);
        assert_same_consumer(last, &read->consumers[0]);
        conf_destroy(read);
        buf_clean_up(&all);
        buf_clean_up(&one);
        arena_clean_up(&c.arena);
    }
}

static void
printing_names_every_option(void **state)
{
    (void)state;
    struct buf out = BUF_INIT;
    struct conf *c = conf_text_read(CONF_TEXT_ONE "plugin_dir = \"a\\\"b\\\\c\\n$$d\";");
    conf_print(c, NULL, &out);
    assert_string_equal(out.data, "log = {\n"
                                  "    level = \"info\";\n"
                                  "    format = \"text\";\n"
                                  "    file = \"\";\n"
                                  "};\n"
                                  "aws = {\n"
                                  "    region = \"\";\n"
                                  "    profile = \"\";\n"
                                  "    endpoint_url = \"\";\n"
                                  "    ca_file = \"\";\n"
                                  "};\n"
                                  "admin = {\n"
                                  "    listen = \"\";\n"
                                  "};\n"
                                  "drain_timeout_s = 25;\n"
                                  "plugin_dir = \"a\\\"b\\\\c\\n$$d\";\n"
                                  "consumers = (\n"
                                  "    {\n"
                                  "        name = \"a\";\n"
                                  "        queue = \"q\";\n"
                                  "        plugin = \"p\";\n"
                                  "        processes = 1;\n"
                                  "        threads = 4;\n"
                                  "        prefetch = 1;\n"
                                  "        start_timeout_s = 60;\n"
                                  "        wait_time_s = 20;\n"
                                  "        visibility_timeout_s = 0;\n"
                                  "        unwrap = \"none\";\n"
                                  "        envelope = \"none\";\n"
                                  "        filter = \"\";\n"
                                  "        on_mismatch = \"delete\";\n"
                                  "        batch = {\n"
                                  "            size = 10;\n"
                                  "            window_ms = 0;\n"
                                  "        };\n"
                                  "        lease = {\n"
                                  "            max_s = 0;\n"
                                  "        };\n"
                                  "        retry = {\n"
                                  "            policy = \"exponential\";\n"
                                  "            base_ms = 1000;\n"
                                  "            cap_ms = 900000;\n"
                                  "            delays_ms = \"\";\n"
                                  "            max_attempts = 0;\n"
                                  "            then = \"dead_letter\";\n"
                                  "        };\n"
                                  "        dead_letter = {\n"
                                  "            queue = \"\";\n"
                                  "        };\n"
                                  "        dedup = {\n"
                                  "            store = \"none\";\n"
                                  "            window_s = 86400;\n"
                                  "            key = \"event_id\";\n"
                                  "            on_error = \"hold\";\n"
                                  "            max_entries = 100000;\n"
                                  "            path = \"\";\n"
                                  "            table = \"\";\n"
                                  "            endpoint_url = \"\";\n"
                                  "        };\n"
                                  "        fifo = {\n"
                                  "            on_failure = \"stop_group\";\n"
                                  "        };\n"
                                  "        publish = {\n"
                                  "            bus = \"\";\n"
                                  "            queue = \"\";\n"
                                  "            buffer_mb = 64;\n"
                                  "        };\n"
                                  "        rate = {\n"
                                  "            max_per_s = 0;\n"
                                  "        };\n"
                                  "        breaker = {\n"
                                  "            failure_percent = 0;\n"
                                  "            window_s = 30;\n"
                                  "            min_calls = 20;\n"
                                  "            pause_ms = 5000;\n"
                                  "            pause_cap_ms = 60000;\n"
                                  "        };\n"
                                  "        options = { };\n"
                                  "    }\n"
                                  ");\n");
    conf_destroy(c);
    buf_clean_up(&out);
}

static void
the_example_is_a_right_configuration_of_the_defaults(void **state)
{
    (void)state;
    struct buf out = BUF_INIT;
    conf_print_example(&out);
    struct conf *example = conf_text_read(out.data), *plain = conf_text_read(CONF_TEXT_ONE);
    assert_same_settings(example, plain);
    struct conf_consumer *e = &example->consumers[0], *p = &plain->consumers[0];
    assert_string_equal(e->name, "example");
    assert_string_equal(e->queue, "durable-fanout-queue");
    assert_string_equal(e->plugin, "jsonl");
    e->name = p->name;
    e->queue = p->queue;
    e->plugin = p->plugin;
    e->n_options = 0;
    assert_same_consumer(e, p);
    conf_destroy(example);
    conf_destroy(plain);
    buf_clean_up(&out);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_printed_reads_back_the_same),
        cmocka_unit_test(printing_names_every_option),
        cmocka_unit_test(the_example_is_a_right_configuration_of_the_defaults),
    };
    return cmocka_run_group_tests_name("conf_print", tests, NULL, NULL);
}
