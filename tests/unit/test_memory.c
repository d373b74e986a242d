/* The n-th allocation fails, with n rising until nothing fails any more: parsers of outside text, and a worker's engine
 * being set up, end each time with an error or as if nothing had been, and leak nothing. (AWS's messages:
 * test_aws_memory.c. libconfig without memory ends the program, at its start.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <cjson/cJSON.h>
#include <curl/curl.h>
#include <stdlib.h>
#include <unistd.h>

#include "config/conf.h"
#include "event/envelope.h"
#include "event/pattern.h"
#include "event/ruleset.h"
#include "ipc/ledger.h"
#include "lib/failing_malloc.h"
#include "lib/sim.h"
#include "local/template.h"
#include "worker/dedup.h"
#include "worker/engine.h"
#include "worker/engine_thread.h"
#include "worker/host_view.h"
#include "worker/publish.h"
#include "worker/screen.h"

/* Something of everything: operators, $or, names in common, wildcards. */
#define PATTERN                                                                                                        \
    "{\"source\":[\"a\",\"b\",{\"prefix\":\"c\"},{\"suffix\":{\"equals-ignore-case\":\"D\"}}],\"detail\":{\"x\":{"     \
    "\"y\":["                                                                                                          \
    "1,null,true,1e400,\"10.0.0.1\",{\"exists\":false}]},\"z\":[{\"anything-but\":[\"q\"]},{\"wildcard\":\"a*b\"}],"   \
    "\"$or\":[{\"n\":[{\"numeric\":[\">\",1,\"<\",5]}]},{\"n\":[{\"cidr\":\"10.0.0.0/"                                 \
    "8\"}],\"m\":[{\"suffix\":\"x\"}]}]}}"

static int
compile_pattern(void)
{
    struct event_pattern *p;
    struct err e;
    int rc = event_pattern_compile(SLICE(PATTERN), &p, &e);
    if (rc == 0)
        event_pattern_destroy(p);
    return rc;
}

static int
compile_rules(void)
{
    const struct slice patterns[] = {SLICE(PATTERN), SLICE("{\"source\":[\"a\"],\"detail\":{\"x\":{\"y\":[1]}}}"),
                                     SLICE(PATTERN)};
    struct event_rules *rules;
    struct event_scratch *scratch;
    size_t bad = 0;
    struct err e;
    int rc = event_rules_compile(patterns, 3, &rules, &bad, &e);
    if (rc != 0) {
        assert_int_equal(bad, 3);
        return rc;
    }
    rc = event_scratch_new(rules, &scratch, &e);
    if (rc == 0)
        event_scratch_destroy(scratch);
    event_rules_destroy(rules);
    return rc;
}

static int
explain_pattern(void)
{
    struct failing_malloc given = failing_malloc_suspend();
    struct event_pattern *p;
    struct json event;
    struct err e;
    assert_int_equal(event_pattern_compile(SLICE(PATTERN), &p, &e), 0);
    assert_int_equal(event_parse(SLICE("{\"source\":\"x\",\"detail\":{\"x\":[{\"y\":7}],\"n\":9}}"), &event, &e), 0);
    failing_malloc_resume(&given);
    struct buf out = BUF_INIT;
    int rc = event_pattern_explain(p, event, &out, &e);
    buf_clean_up(&out);
    long counted = failing_malloc_stop();
    event_pattern_destroy(p);
    failing_malloc_disregard(&given, counted);
    return rc;
}

/* With every allocation failing it matches as ever. */
static void
matching_does_not_allocate(void **state)
{
    (void)state;
    const struct slice patterns[] = {SLICE(PATTERN), SLICE("{\"a\":{\"b\":[1],\"c\":[{\"exists\":false}]}}")};
    struct slice event = SLICE("{\"source\":\"\\u0061\",\"detail\":{\"x\":{\"y\":1.0},\"z\":\"r\",\"n\":2.5},"
                               "\"a\":[{\"b\":[1]},[[{\"c\":2}]]],\"a.c\":3}");
    struct event_pattern *p;
    struct event_rules *rules;
    struct event_scratch *scratch;
    uint32_t indexes[2];
    bool matches = false;
    size_t n = 0;
    struct err e;
    assert_int_equal(event_pattern_compile(patterns[0], &p, &e), 0);
    assert_int_equal(event_rules_compile(patterns, 2, &rules, NULL, &e), 0);
    assert_int_equal(event_scratch_new(rules, &scratch, &e), 0);
    failing_malloc_begin();
    int rc = event_pattern_match_text(p, event, &matches, &e);
    int rules_rc = event_rules_match_text(rules, scratch, event, indexes, &n, &e);
    long counted = failing_malloc_stop();
    assert_int_equal(rc, 0);
    assert_int_equal(rules_rc, 0);
    assert_int_equal(counted, 0);
    assert_true(matches);
    assert_int_equal(n, 1);
    assert_int_equal(indexes[0], 0);
    event_scratch_destroy(scratch);
    event_rules_destroy(rules);
    event_pattern_destroy(p);
}

static int
write_envelope(void)
{
    struct event_fields f = {.id = SLICE("i"), .detail_type = SLICE("t"), .source = SLICE("s"), .detail = SLICE("{}")};
    struct event_envelope v;
    struct err e;
    struct buf text = BUF_INIT;
    event_envelope_write(&text, &f);
    int rc = buf_failed(&text) ? ERR_NO_MEMORY : event_envelope_parse(buf_slice(&text), &v, &e);
    buf_clean_up(&text);
    return rc;
}

static int
parse_template(void)
{
    const struct template_environment environment = {
        .account = "000000000000", .region = "us-east-1", .queue_url_base = "http://h/000000000000/"};
    struct template *t;
    struct err e;
    int rc = template_parse(
        SLICE(
            "{\"Resources\":{\"Q\":{\"Type\":\"AWS::SQS::Queue\",\"Properties\":{\"QueueName\":{\"Fn::Sub\":"
            "\"q-${AWS::Region}\"}}},\"B\":{\"Type\":\"AWS::S3::Bucket\",\"Properties\":{\"BucketName\":{\"Fn::Join\":"
            "[\"-\",[\"b\",{\"Ref\":\"AWS::AccountId\"}]]},\"Tag\":{\"Fn::GetAtt\":[\"Q\",\"Arn\"]}}}}}"),
        &environment, &t, &e);
    if (rc == 0)
        template_destroy(t);
    return rc;
}

static int
hold_messages(void)
{
    const struct ledger_options options = {.records = 10, .threads = 2};
    const struct ledger_message m = {.id = SLICE("id"), .receipt_handle = SLICE("handle"), .body = SLICE("body")};
    struct ledger *ledger;
    struct err e;
    uint32_t number;
    int fd;
    int rc = ledger_create(&options, &fd, &ledger, &e);
    if (rc != 0)
        return rc;
    ledger_reset(ledger);
    rc = ledger_put(ledger, &m, &number, &e);
    ledger_close(ledger);
    close(fd);
    return rc;
}

static struct conf *conf;
static struct ledger *ledger;

static int
make_surroundings(void **state)
{
    (void)state;
    const struct ledger_options options = {.records = 100, .threads = 2};
    struct err e;
    int fd;
    assert_int_equal(curl_global_init(CURL_GLOBAL_DEFAULT), CURLE_OK); /* so that the engine's own does nothing */
    setenv("AWS_ACCESS_KEY_ID", "a", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "b", 1);
    assert_int_equal(conf_read_text("x",
                                    SLICE("aws = { region = \"us-east-1\"; endpoint_url = \"http://127.0.0.1:1\"; };"
                                          "consumers = ( { name = \"t\"; queue = \"q\"; plugin = \"jsonl\"; } );"),
                                    &conf, NULL, &e),
                     0);
    assert_int_equal(ledger_create(&options, &fd, &ledger, &e), 0);
    close(fd);
    return 0;
}

static int
end_surroundings(void **state)
{
    (void)state;
    conf_destroy(conf);
    ledger_close(ledger);
    curl_global_cleanup();
    return 0;
}

static int
set_up_engine(void)
{
    const struct engine_thread_options options = {
        .conf = conf, .consumer = &conf->consumers[0], .handler = "h 1", .ledger = ledger, .channel_fd = -1};
    struct engine_thread *t = NULL;
    struct err e;
    /* What the libraries allocate for us to free is not counted: leaks are for the leak sanitizer. */
    struct failing_malloc before = failing_malloc_suspend();
    failing_malloc_resume(&before);
    int rc = engine_thread_new(&options, &t, &e);
    long made = failing_malloc_stop();
    engine_thread_destroy(t);
    failing_malloc_disregard(&before, made);
    return rc;
}

static unsigned lookups;

static int
find_nothing(struct queue *q, const char *name, sqs_queue_fn *done, void *context, struct err *e)
{
    (void)q, (void)name, (void)done, (void)context;
    lookups++;
    return err_no_memory(e);
}

static int
hear_of_health(void *context, enum ipc_health state, const char *why)
{
    (void)context, (void)state, (void)why;
    return 0;
}

static void
never(struct timer *t, int64_t now_ms)
{
    (void)t, (void)now_ms;
}

/* A body is unwrapped, taken apart and shown, or it is a matter of memory; never half of it. */
static int
show_message(void)
{
    static const char BODY[] = "{\"Type\":\"Notification\",\"MessageId\":\"m\",\"TopicArn\":\"\\u0061rn\",\"Message\":"
                               "\"{\\\"Records\\\":[{\\\"eventSource\\\":\\\"aws:s3\\\",\\\"s3\\\":{\\\"object\\\":"
                               "{\\\"key\\\":\\\"a%20\\\\u0062\\\"}}}]}\"}";
    const struct handler_event_extension *x = &host_event_extension;
    struct metrics metrics = {0};
    struct world world = {.metrics = &metrics, .random = 1};
    struct call_shared shared = {.metrics = &metrics, .plugin = "p"};
    struct screen screen;
    struct sqs_message received = sim_sqs_message("id", "handle", BODY, 1);
    struct message *m = message_new(&received, "q", 1, 1);
    if (!m)
        return ERR_NO_MEMORY;
    screen_init(&screen, &world, &(struct screen_options){.unwrap = CONF_UNWRAP_AUTO});
    int rc = screen_message(&screen, m) ? 0 : ERR_NO_MEMORY;
    assert_int_equal(m->verdict.kind, rc == 0 ? VERDICT_NONE : VERDICT_LATER);
    struct handler_call call = {.shared = &shared, .thread = pthread_self(), .messages = &m, .count = 1};
    arena_init(&call.arena, 64);
    atomic_store(&call.running, true);
    int32_t kind = rc == 0 ? x->kind(&call, 0) : HANDLER_E_LIMIT;
    if (kind != HANDLER_BODY_S3) {
        assert_int_equal(kind, HANDLER_E_LIMIT);
        rc = ERR_NO_MEMORY;
    }
    const struct handler_sns *sns = rc == 0 ? x->sns(&call, 0) : NULL;
    const struct handler_s3_record *r = rc == 0 ? x->s3(&call, 0, 0) : NULL;
    if (sns)
        assert_memory_equal(sns->topic_arn.p, "arn", sns->topic_arn.n);
    if (r)
        assert_memory_equal(r->key.p, "a b", r->key.n);
    if (!sns || !r)
        rc = ERR_NO_MEMORY;
    arena_clean_up(&call.arena);
    message_release(m);
    return rc;
}

/* A bus and a queue that answer when they are asked to, and need no memory for it. */
static struct {
    struct publish_outlet outlet;
    events_put_fn *put;
    sqs_batch_fn *sent;
    void *put_context, *sent_context;
    bool decided;
} outside;

static int
put_later(struct publish_outlet *o, const struct events_entry *entries, size_t n, events_put_fn *done, void *context,
          struct err *e)
{
    (void)o, (void)entries, (void)e;
    assert_int_equal(n, 1);
    outside.put = done;
    outside.put_context = context;
    return 0;
}

static int
send_later(struct publish_outlet *o, const char *url, const struct sqs_send *entries, size_t n, sqs_batch_fn *done,
           void *context, struct err *e)
{
    (void)o, (void)url, (void)entries, (void)e;
    assert_int_equal(n, 1);
    outside.sent = done;
    outside.sent_context = context;
    return 0;
}

static void
answer(void)
{
    const struct events_result event = {.event_id = "e"};
    const struct sqs_result message = {.ok = true};
    events_put_fn *put = outside.put;
    sqs_batch_fn *sent = outside.sent;
    outside.put = NULL;
    outside.sent = NULL;
    if (put)
        put(outside.put_context, &(struct events_put_result){.results = &event, .n = 1});
    if (sent)
        sent(outside.sent_context, &(struct sqs_batch_result){.results = &message, .n = 1});
}

static void
note_decision(void *context, struct message *m, int64_t now_ms)
{
    (void)context, (void)now_ms;
    assert_null(m->publish);
    outside.decided = true;
}

/* What is published is confirmed, or its message is to be retried, or it waits: nothing in between. */
static int
send_pieces(struct message *m, struct world *world)
{
    static const struct publish_outlet_ops OPS = {.put = put_later, .send = send_later};
    struct publish p;
    outside.outlet.ops = &OPS;
    outside.decided = false;
    publish_init(&p, world, &(struct publish_options){.outlet = &outside.outlet, .decided = note_decision});
    m->verdict.kind = HANDLER_DONE;
    publish_start(&p, m, sim_now_ms());
    for (int i = 0; i < 20 && !outside.decided; i++) {
        answer();
        sim_set_now(sim_now_ms() + 30000);
        timers_run(world->timers, sim_now_ms());
    }
    bool confirmed = outside.decided && m->verdict.kind == HANDLER_DONE;
    if (!outside.decided)
        publish_lost(&p, m);
    publish_clean_up(&p);
    return confirmed ? 0 : ERR_NO_MEMORY;
}

static int
publish_pieces(void)
{
    struct publish_desk desk = {.bus = "orders", .queue = "http://sim/q.fifo", .max_bytes = 1 << 20};
    struct metrics metrics = {0};
    struct timers timers;
    struct world world = {.clock_ms = sim_now_ms, .timers = &timers, .metrics = &metrics, .random = 1};
    struct sqs_message received = sim_sqs_message("id", "handle", "{}", 1);
    const struct handler_slice resource = HANDLER_TEXT("arn:aws:x");
    struct handler_new_event event = {.size = sizeof event,
                                      .resource_count = 1,
                                      .source = HANDLER_TEXT("shop"),
                                      .detail_type = HANDLER_TEXT("Paid"),
                                      .detail = HANDLER_TEXT("{}"),
                                      .resources = &resource};
    struct handler_new_message message = {.size = sizeof message, .body = HANDLER_TEXT("x")};
    struct err e;
    struct message *m = message_new(&received, "q", 1, 1);
    if (!m)
        return ERR_NO_MEMORY;
    timers_init(&timers);
    int rc = publish_list_add_event(&desk, m, &event, &e);
    if (rc == 0)
        rc = publish_list_add_message(&desk, m, &message, &e);
    if (rc == 0)
        rc = send_pieces(m, &world);
    assert_true(rc == 0 || rc == ERR_NO_MEMORY);
    message_release(m);
    timers_clean_up(&timers);
    assert_int_equal(atomic_load(&desk.bytes), 0);
    return rc;
}

static void
note_pass(void *context, struct message *m, int64_t now_ms)
{
    (void)m, (void)now_ms;
    *(bool *)context = true;
}

/* An event is begun, at once or when there is memory again, and completed; or its message waits, or is put off. */
static int
deduplicate(void)
{
    struct metrics metrics = {0};
    struct timers timers;
    struct world world = {
        .clock_ms = sim_now_ms, .wall_ms = sim_now_ms, .timers = &timers, .metrics = &metrics, .random = 1};
    struct sqs_message received = sim_sqs_message("id", "handle", "{}", 1);
    struct dedup_options options = {.consumer = "orders", .window_ms = 1000};
    struct dedup d;
    struct err e;
    bool passed = false;
    struct message *m = message_new(&received, "q", 1, 1);
    if (!m)
        return ERR_NO_MEMORY;
    timers_init(&timers);
    int rc = dedup_memory_new(10, &options.store, &e);
    options.pass = note_pass;
    options.context = &passed;
    if (rc == 0)
        rc = dedup_init(&d, &world, &options, &e);
    if (rc == 0) {
        atomic_store(&m->lease_ms, sim_now_ms() + 3600000);
        enum dedup_arrival arrival = dedup_arrive(&d, m, sim_now_ms());
        for (int i = 0; i < 20 && arrival == DEDUP_WAIT && !passed; i++) {
            sim_set_now(sim_now_ms() + 30000);
            timers_run(&timers, sim_now_ms());
        }
        passed = passed || arrival == DEDUP_GO;
        m->verdict.kind = passed ? HANDLER_DONE : HANDLER_RETRY;
        assert_true(dedup_settle(&d, m));
        assert_null(m->dedup);
        assert_int_equal(dedup_memory_count(options.store), passed);
        dedup_clean_up(&d);
        rc = passed ? 0 : ERR_NO_MEMORY;
    }
    message_release(m);
    timers_clean_up(&timers);
    return rc;
}

/* Neither the first question nor the timer for the second finds memory. */
static void
a_queue_is_looked_for_again_though_there_was_no_memory_for_a_timer(void **state)
{
    (void)state;
    static struct timer fillers[100];
    struct engine *g;
    struct sim s;
    struct err e;
    sim_init(&s, 1, 100, 2);
    const struct queue_ops *sound = s.queue.ops;
    struct queue_ops without_memory = *sound;
    without_memory.find = find_nothing;
    s.queue.ops = &without_memory;
    const struct engine_options options = {
        .world = s.world,
        .consumer = "orders",
        .queue = "orders",
        .handler = "h 1",
        .threads = 1,
        .batch_size = 10,
        .wait_time_s = 20,
        .retry = {.base_ms = 1000, .cap_ms = 60000},
        .breaker = {.min_calls = 1, .window_ms = 1000, .pause_ms = 1, .pause_cap_ms = 1},
        .health = hear_of_health};
    assert_int_equal(engine_new(&options, &g, &e), 0);
    for (size_t i = 0; s.timers.claimed < s.timers.capacity; i++) {
        assert_true(i < sizeof fillers / sizeof *fillers);
        fillers[i].fire = never;
        assert_int_equal(timers_set(&s.timers, &fillers[i], INT64_MAX), 0);
    }
    failing_malloc_begin();
    engine_start(g);
    failing_malloc_stop();
    assert_int_equal(lookups, 1);
    s.queue.ops = sound;
    sim_run(&s, 20000);
    assert_true(s.calls[SIM_FIND] > 0);
    assert_non_null(s.queue.url);
    engine_destroy(g);
    sim_clean_up(&s);
}

#define TEST_WITHOUT_MEMORY(f)                                                                                         \
    static void f##_survives_want_of_memory(void **state)                                                              \
    {                                                                                                                  \
        (void)state;                                                                                                   \
        failing_malloc_each(f);                                                                                        \
    }
TEST_WITHOUT_MEMORY(compile_pattern)
TEST_WITHOUT_MEMORY(compile_rules)
TEST_WITHOUT_MEMORY(explain_pattern)
TEST_WITHOUT_MEMORY(write_envelope)
TEST_WITHOUT_MEMORY(parse_template)
TEST_WITHOUT_MEMORY(hold_messages)
TEST_WITHOUT_MEMORY(show_message)
TEST_WITHOUT_MEMORY(publish_pieces)
TEST_WITHOUT_MEMORY(deduplicate)
TEST_WITHOUT_MEMORY(set_up_engine)

int
main(void)
{
    cJSON_InitHooks(&(cJSON_Hooks){.malloc_fn = malloc, .free_fn = free}); /* else it has the C library's */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compile_pattern_survives_want_of_memory),
        cmocka_unit_test(compile_rules_survives_want_of_memory),
        cmocka_unit_test(explain_pattern_survives_want_of_memory),
        cmocka_unit_test(matching_does_not_allocate),
        cmocka_unit_test(write_envelope_survives_want_of_memory),
        cmocka_unit_test(parse_template_survives_want_of_memory),
        cmocka_unit_test(hold_messages_survives_want_of_memory),
        cmocka_unit_test(show_message_survives_want_of_memory),
        cmocka_unit_test(publish_pieces_survives_want_of_memory),
        cmocka_unit_test(deduplicate_survives_want_of_memory),
        cmocka_unit_test(a_queue_is_looked_for_again_though_there_was_no_memory_for_a_timer),
        cmocka_unit_test_setup_teardown(set_up_engine_survives_want_of_memory, make_surroundings, end_surroundings),
    };
    return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
