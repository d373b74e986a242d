/* The screen gate in the engine: what is filtered out, what cannot be decoded, and that none of it stays in hand. */
#include "worker/screen.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/bench.h"
#include "worker/content.h"

#define MINUTE INT64_C(60000)
#define HOUR   (60 * MINUTE)

#define EVENT(source)                                                                                                  \
    "{\"version\":\"0\",\"id\":\"id-1\",\"detail-type\":\"t\",\"source\":\"" source "\",\"account\":\"1\","            \
    "\"time\":\"2026-11-20T06:00:01Z\",\"region\":\"r\",\"resources\":[],\"detail\":{}}"
#define IN_SNS(message)                                                                                                \
    "{\"Type\":\"Notification\",\"MessageId\":\"sns-1\",\"TopicArn\":\"arn:aws:sns:r:1:t\",\"Message\":\"" message "\"}"
#define S3_RECORDS "{\"Records\":[{\"eventSource\":\"aws:s3\"}]}"
#define S3_TEST    "{\"Service\":\"Amazon S3\",\"Event\":\"s3:TestEvent\"}"

static void
start(struct bench *b, const struct screen_options *screen)
{
    struct engine_options o = bench_defaults();
    o.screen = *screen;
    bench_init(b, 1, &o);
}

static struct event_pattern *
pattern(const char *text)
{
    struct event_pattern *p = NULL;
    struct err e;
    if (event_pattern_compile(slice_of_string(text), &p, &e) != 0)
        fail_msg("%s: %s", text, e.text);
    return p;
}

static const struct sim_message *
only(struct bench *b)
{
    assert_int_equal(b->sim.n_messages, 1);
    return &b->sim.messages[0];
}

/* ---- filter ---- */

static void
what_matches_is_handled_and_the_rest_deleted_unseen(void **state)
{
    (void)state;
    struct bench b;
    struct event_pattern *p = pattern("{\"source\":[\"shop\"]}");
    start(&b, &(struct screen_options){.filter = p});
    for (size_t i = 0; i < 100; i++)
        sim_put(&b.sim, i % 4 == 0 ? EVENT("shop") : EVENT("other"));
    assert_true(bench_run_until(&b, bench_all_deleted, MINUTE));
    for (size_t i = 0; i < 100; i++) {
        assert_int_equal(b.sim.messages[i].handled, i % 4 == 0);
        assert_int_equal(b.sim.messages[i].dead_letters, 0);
    }
    assert_int_equal(BENCH_COUNT(&b, filtered), 75);
    assert_int_equal(BENCH_COUNT(&b, done), 25);
    assert_true(bench_ledger_is_empty(&b));
    bench_clean_up(&b);
    event_pattern_destroy(p);
}

static void
what_does_not_match_can_be_a_dead_letter(void **state)
{
    (void)state;
    struct bench b;
    struct event_pattern *p = pattern("{\"source\":[\"shop\"]}");
    start(&b, &(struct screen_options){.filter = p, .on_mismatch = CONF_MISMATCH_DEAD_LETTER});
    sim_put(&b.sim, EVENT("other"));
    assert_true(bench_run_until(&b, bench_all_deleted, MINUTE));
    assert_int_equal(only(&b)->handled, 0);
    assert_int_equal(only(&b)->dead_letters, 1);
    assert_string_equal(only(&b)->dead_reason, "does not match the consumer's filter");
    assert_int_equal(BENCH_COUNT(&b, filtered_dead), 1);
    assert_int_equal(BENCH_COUNT(&b, rejected), 0); /* no handler did */
    bench_clean_up(&b);
    event_pattern_destroy(p);
}

/* The delays that were set when messages were given back. */
struct delays {
    unsigned n, shortest_s, longest_s;
};

static void
note_delay(void *context, enum sim_call call, int entry, struct sim_fault *fault)
{
    struct bench *b = context;
    struct delays *d = b->context;
    (void)fault;
    if (call != SIM_VISIBILITY || entry >= 0 || b->sim.entries[SIM_VISIBILITY] == 0)
        return;
    unsigned s = b->sim.last_timeout_s;
    d->n++;
    d->shortest_s = s < d->shortest_s ? s : d->shortest_s;
    d->longest_s = s > d->longest_s ? s : d->longest_s;
}

static void
what_is_left_to_others_goes_back_after_a_delay_that_is_bounded_and_no_hot_loop(void **state)
{
    (void)state;
    struct bench b;
    struct delays d = {.shortest_s = UINT32_MAX};
    struct event_pattern *p = pattern("{\"source\":[\"shop\"]}");
    start(&b, &(struct screen_options){.filter = p, .on_mismatch = CONF_MISMATCH_LEAVE});
    b.context = &d;
    b.sim.hook = note_delay;
    b.sim.context = &b;
    sim_put(&b.sim, EVENT("other"));
    bench_run(&b, 5000);
    assert_in_range(only(&b)->receives, 2, 6); /* the other consumer gets its turn soon */
    bench_run(&b, 24 * HOUR);
    assert_false(only(&b)->deleted);
    assert_int_equal(only(&b)->handled, 0);
    assert_int_equal(only(&b)->dead_letters, 0);
    assert_in_range(only(&b)->receives, 24 * 60, 24 * 60 * 4);
    assert_in_range(d.shortest_s, 1, 5);
    assert_in_range(d.longest_s, 50, 60);
    assert_true(BENCH_COUNT(&b, filtered_left) >= 24 * 60);
    assert_int_equal(BENCH_COUNT(&b, retried), 0);
    bench_clean_up(&b);
    event_pattern_destroy(p);
}

/* ---- bodies that are not what is expected ---- */

static void
an_undecodable_body_is_a_dead_letter_and_never_just_deleted(void **state)
{
    (void)state;
    static const struct {
        const char *body, *reason;
    } bodies[] = {{"", "undecodable body: event envelope: "},
                  {"no json", "undecodable body: event envelope: "},
                  {"{}", "undecodable body: event envelope: \"id\" is missing"},
                  {"[]", "undecodable body: event envelope: must be an object, not an"},
                  {S3_RECORDS, "undecodable body: event envelope: \"id\" is missing"},
                  {IN_SNS("x"), "undecodable body: event envelope: \"id\" is missing"}};
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct bench b;
        start(&b, &(struct screen_options){.envelope = CONF_ENVELOPE_EVENTBRIDGE});
        sim_put(&b.sim, bodies[i].body);
        assert_true(bench_run_until(&b, bench_all_deleted, MINUTE));
        assert_int_equal(only(&b)->handled, 0);
        assert_int_equal(only(&b)->dead_letters, 1);
        assert_true(slice_starts_with(slice_of_string(only(&b)->dead_reason), slice_of_string(bodies[i].reason)));
        assert_int_equal(BENCH_COUNT(&b, undecodable), 1);
        bench_clean_up(&b);
    }
}

static void
a_filter_deletes_nothing_that_it_cannot_read(void **state)
{
    (void)state;
    static const char *const bodies[] = {"", "no json", "[]", "7", "\"text\"", "{\"a\":"};
    struct event_pattern *p = pattern("{\"source\":[\"shop\"]}");
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct bench b;
        start(&b, &(struct screen_options){.filter = p, .on_mismatch = CONF_MISMATCH_DELETE});
        sim_put(&b.sim, bodies[i]);
        assert_true(bench_run_until(&b, bench_all_deleted, MINUTE));
        assert_int_equal(only(&b)->dead_letters, 1);
        assert_int_equal(BENCH_COUNT(&b, filtered), 0);
        bench_clean_up(&b);
    }
    event_pattern_destroy(p);
}

/* "a" five times, each an array of 40 elements that have one of the fields: too many ways to try. Given: what its last
 * field is. */
static const char *
with_too_many_ways(const char *last)
{
    static char text[10000];
    size_t n = (size_t)snprintf(text, sizeof text, "{\"source\":\"shop\"");
    for (const char *field = "bcdez"; *field; field++) {
        n += (size_t)snprintf(text + n, sizeof text - n, ",\"a\":[");
        for (int i = 0; i < 40; i++)
            n += (size_t)snprintf(text + n, sizeof text - n, "%s{\"%c\":%s}", i ? "," : "", *field,
                                  *field == 'z' ? last : "1");
        n += (size_t)snprintf(text + n, sizeof text - n, "]");
    }
    snprintf(text + n, sizeof text - n, "}");
    return text;
}

static void
what_the_filter_cannot_decide_in_time_is_a_dead_letter_and_never_deleted(void **state)
{
    (void)state;
    static const enum conf_mismatch mismatches[] = {CONF_MISMATCH_DELETE, CONF_MISMATCH_LEAVE,
                                                    CONF_MISMATCH_DEAD_LETTER};
    struct event_pattern *p = pattern("{\"a\":{\"b\":[1],\"c\":[1],\"d\":[1],\"e\":[1],\"z\":[2]}}");
    for (size_t i = 0; i < sizeof mismatches / sizeof *mismatches; i++) {
        struct bench b;
        start(&b, &(struct screen_options){.filter = p, .on_mismatch = mismatches[i]});
        sim_put(&b.sim, with_too_many_ways("3"));
        assert_true(bench_run_until(&b, bench_all_deleted, MINUTE));
        assert_int_equal(only(&b)->handled, 0);
        assert_int_equal(only(&b)->dead_letters, 1);
        assert_string_equal(only(&b)->dead_kind, "undecided");
        assert_true(
            slice_starts_with(slice_of_string(only(&b)->dead_reason), SLICE("the filter could not be decided")));
        assert_int_equal(BENCH_COUNT(&b, undecided), 1);
        assert_int_equal(BENCH_COUNT(&b, filtered) + BENCH_COUNT(&b, filtered_left) + BENCH_COUNT(&b, filtered_dead),
                         0);
        bench_clean_up(&b);
    }
    struct bench b; /* nowhere to go */
    start(&b, &(struct screen_options){.filter = p, .on_mismatch = CONF_MISMATCH_DELETE});
    b.sim.has_dead_letters = false;
    sim_put(&b.sim, with_too_many_ways("3"));
    bench_run(&b, HOUR);
    assert_false(only(&b)->deleted);
    assert_int_equal(b.sim.calls[SIM_DELETE], 0);
    assert_int_equal(only(&b)->handled, 0);
    bench_clean_up(&b);
    event_pattern_destroy(p);
}

static void
without_a_dead_letter_queue_an_undecodable_body_stays_in_the_queue(void **state)
{
    (void)state;
    struct bench b;
    start(&b, &(struct screen_options){.envelope = CONF_ENVELOPE_EVENTBRIDGE});
    b.sim.has_dead_letters = false;
    sim_put(&b.sim, "no json");
    bench_run(&b, HOUR);
    assert_false(only(&b)->deleted);
    assert_int_equal(only(&b)->handled, 0);
    assert_in_range(only(&b)->receives, 10, 1000);
    assert_int_equal(bench_in_hand(&b), 0);
    bench_clean_up(&b);
}

static void
a_dead_letter_that_cannot_be_sent_is_not_deleted(void **state)
{
    (void)state;
    struct bench b;
    start(&b, &(struct screen_options){.envelope = CONF_ENVELOPE_EVENTBRIDGE});
    b.sim.poisoned_call = SIM_SEND_DEAD;
    b.sim.poison = "m-0";
    sim_put(&b.sim, "no json");
    bench_run(&b, HOUR);
    assert_false(only(&b)->deleted);
    b.sim.poison = NULL;
    assert_true(bench_run_until(&b, bench_all_deleted, HOUR));
    assert_int_equal(only(&b)->dead_letters, 1);
    bench_clean_up(&b);
}

/* More than the worker may have in hand, over and over: what cannot be decoded must not hold on to its place. */
static void
bodies_that_cannot_be_decoded_leak_no_place_in_hand(void **state)
{
    (void)state;
    struct bench b;
    struct event_pattern *p = pattern("{\"source\":[\"shop\"]}");
    start(&b, &(struct screen_options){.filter = p, .envelope = CONF_ENVELOPE_EVENTBRIDGE, .unwrap = CONF_UNWRAP_AUTO});
    static const char *const bodies[] = {"no json", EVENT("shop"), "{}", EVENT("other"), IN_SNS("\\ud800")};
    size_t n = 20 * b.cap;
    for (size_t i = 0; i < n; i++)
        sim_put(&b.sim, bodies[i % 5]);
    assert_true(bench_run_until(&b, bench_all_deleted, HOUR));
    for (size_t i = 0; i < n; i++) {
        const struct sim_message *m = &b.sim.messages[i];
        assert_int_equal(m->handled, i % 5 == 1);
        assert_int_equal(m->dead_letters, i % 5 != 1 && i % 5 != 3);
    }
    assert_int_equal(bench_in_hand(&b), 0);
    assert_true(bench_ledger_is_empty(&b));
    assert_true(b.most_in_hand <= b.cap);
    assert_int_equal(BENCH_COUNT(&b, undecodable), n / 5 * 3);
    size_t polls = b.sim.calls[SIM_RECEIVE];
    sim_put(&b.sim, EVENT("shop")); /* it still receives */
    assert_true(bench_run_until(&b, bench_all_deleted, MINUTE));
    assert_true(b.sim.calls[SIM_RECEIVE] >= polls);
    assert_int_equal(b.sim.messages[n].handled, 1);
    bench_clean_up(&b);
    event_pattern_destroy(p);
}

/* bench watches the order of what is handled. */
static void
in_a_fifo_queue_nobody_waits_for_what_no_handler_sees(void **state)
{
    (void)state;
    static const enum conf_mismatch ways[] = {CONF_MISMATCH_DELETE, CONF_MISMATCH_DEAD_LETTER};
    struct event_pattern *p = pattern("{\"source\":[\"shop\"]}");
    static const char *const bodies[] = {EVENT("other"), EVENT("shop"), "no json", EVENT("shop"), "{}"};
    for (size_t way = 0; way < 2; way++) {
        struct bench b;
        struct engine_options o = bench_defaults();
        o.screen =
            (struct screen_options){.filter = p, .envelope = CONF_ENVELOPE_EVENTBRIDGE, .on_mismatch = ways[way]};
        bench_init_fifo(&b, 1, &o);
        b.early = 300;
        b.retry = 100;
        b.longest_ms = 200;
        for (size_t i = 0; i < 200; i++) {
            const struct sim_message *m = sim_put_in_group(&b.sim, (int)(i % 3), bodies[i % 5]);
            if (i % 5 != 1 && i % 5 != 3)
                order_witness_excuse(b.order, (size_t)m->group, m->place);
        }
        assert_true(bench_run_until(&b, bench_all_deleted, HOUR));
        for (size_t i = 0; i < 200; i++) {
            const struct sim_message *m = &b.sim.messages[i];
            bool shop = i % 5 == 1 || i % 5 == 3;
            assert_int_equal(m->handled > 0, shop);
            assert_int_equal(m->dead_letters, !shop && (i % 5 != 0 || ways[way] == CONF_MISMATCH_DEAD_LETTER));
        }
        assert_true(bench_ledger_is_empty(&b));
        bench_clean_up(&b);
    }
    event_pattern_destroy(p);
}

/* ---- unwrapping ---- */

static void
note_body(struct bench *b, struct message *m, struct sim_message *s)
{
    (void)s;
    snprintf(b->context, 200, "%s", m->view.body);
    m->verdict.kind = HANDLER_DONE;
}

static void
the_handler_sees_what_was_unwrapped(void **state)
{
    (void)state;
    static const struct {
        enum conf_unwrap unwrap;
        const char *body, *seen;
    } cases[] = {{CONF_UNWRAP_NONE, IN_SNS("a\\nb"), IN_SNS("a\\nb")},
                 {CONF_UNWRAP_SNS, IN_SNS("a\\nb"), "a\nb"},
                 {CONF_UNWRAP_AUTO, IN_SNS("a\\nb"), "a\nb"},
                 {CONF_UNWRAP_SNS, "raw delivery", "raw delivery"},
                 {CONF_UNWRAP_SNS, IN_SNS("\\ud800"), IN_SNS("\\ud800")},
                 {CONF_UNWRAP_AUTO, S3_TEST, S3_TEST}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bench b;
        char seen[200] = "nothing";
        start(&b, &(struct screen_options){.unwrap = cases[i].unwrap});
        b.decide = note_body;
        b.context = seen;
        sim_put(&b.sim, cases[i].body);
        assert_true(bench_run_until(&b, bench_all_deleted, MINUTE));
        assert_string_equal(seen, cases[i].seen);
        bench_clean_up(&b);
    }
}

static void
an_envelope_is_looked_for_inside_and_auto_knows_notifications_of_s3(void **state)
{
    (void)state;
#define INSIDE                                                                                                         \
    IN_SNS("{\\\"id\\\":\\\"i\\\",\\\"detail-type\\\":\\\"\\\",\\\"source\\\":\\\"shop\\\",\\\"account\\\":\\\"\\\","  \
           "\\\"time\\\":\\\"\\\",\\\"region\\\":\\\"\\\",\\\"resources\\\":[],\\\"detail\\\":{}}")
    static const struct {
        enum conf_unwrap unwrap;
        const char *body;
        bool handled;
    } cases[] = {{CONF_UNWRAP_NONE, INSIDE, false},      {CONF_UNWRAP_SNS, INSIDE, true},
                 {CONF_UNWRAP_AUTO, INSIDE, true},       {CONF_UNWRAP_SNS, EVENT("shop"), true},
                 {CONF_UNWRAP_NONE, S3_RECORDS, false},  {CONF_UNWRAP_SNS, S3_RECORDS, false},
                 {CONF_UNWRAP_AUTO, S3_RECORDS, true},   {CONF_UNWRAP_AUTO, S3_TEST, true},
                 {CONF_UNWRAP_AUTO, "no json", false},   {CONF_UNWRAP_AUTO, "{}", false},
                 {CONF_UNWRAP_AUTO, IN_SNS("x"), false}, {CONF_UNWRAP_SNS, S3_TEST, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bench b;
        start(&b, &(struct screen_options){.unwrap = cases[i].unwrap, .envelope = CONF_ENVELOPE_EVENTBRIDGE});
        sim_put(&b.sim, cases[i].body);
        assert_true(bench_run_until(&b, bench_all_deleted, MINUTE));
        if (only(&b)->handled != cases[i].handled || only(&b)->dead_letters == cases[i].handled)
            fail_msg("case %zu", i);
        bench_clean_up(&b);
    }
}

static void
a_filter_looks_inside(void **state)
{
    (void)state;
    struct bench b;
    struct event_pattern *p = pattern("{\"source\":[\"shop\"]}");
    start(&b, &(struct screen_options){.unwrap = CONF_UNWRAP_SNS, .filter = p});
    sim_put(&b.sim, INSIDE);
    sim_put(&b.sim, IN_SNS("{\\\"source\\\":\\\"other\\\"}"));
    assert_true(bench_run_until(&b, bench_all_deleted, MINUTE));
    assert_int_equal(b.sim.messages[0].handled, 1);
    assert_int_equal(b.sim.messages[1].handled, 0);
    assert_int_equal(BENCH_COUNT(&b, unwrapped), 2);
    bench_clean_up(&b);
    event_pattern_destroy(p);
}

static void
expect_untouched(struct bench *b, struct message *m, struct sim_message *s)
{
    (void)b;
    (void)s;
    assert_null(m->content);
    assert_ptr_equal(m->view.body, m->body.p);
    m->verdict.kind = HANDLER_DONE;
}

static void
where_nothing_is_configured_nothing_is_looked_at(void **state)
{
    (void)state;
    struct bench b;
    start(&b, &(struct screen_options){.unwrap = CONF_UNWRAP_NONE});
    b.decide = expect_untouched;
    sim_put(&b.sim, INSIDE);
    sim_put(&b.sim, "no json");
    assert_true(bench_run_until(&b, bench_all_deleted, MINUTE));
    bench_clean_up(&b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_matches_is_handled_and_the_rest_deleted_unseen),
        cmocka_unit_test(what_does_not_match_can_be_a_dead_letter),
        cmocka_unit_test(what_is_left_to_others_goes_back_after_a_delay_that_is_bounded_and_no_hot_loop),
        cmocka_unit_test(an_undecodable_body_is_a_dead_letter_and_never_just_deleted),
        cmocka_unit_test(a_filter_deletes_nothing_that_it_cannot_read),
        cmocka_unit_test(what_the_filter_cannot_decide_in_time_is_a_dead_letter_and_never_deleted),
        cmocka_unit_test(without_a_dead_letter_queue_an_undecodable_body_stays_in_the_queue),
        cmocka_unit_test(a_dead_letter_that_cannot_be_sent_is_not_deleted),
        cmocka_unit_test(bodies_that_cannot_be_decoded_leak_no_place_in_hand),
        cmocka_unit_test(in_a_fifo_queue_nobody_waits_for_what_no_handler_sees),
        cmocka_unit_test(the_handler_sees_what_was_unwrapped),
        cmocka_unit_test(an_envelope_is_looked_for_inside_and_auto_knows_notifications_of_s3),
        cmocka_unit_test(a_filter_looks_inside),
        cmocka_unit_test(where_nothing_is_configured_nothing_is_looked_at),
    };
    return cmocka_run_group_tests_name("worker_screen", tests, NULL, NULL);
}
