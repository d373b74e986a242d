#include "lib/chaos_run.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/admin.h"
#include "lib/asleep.h"
#include "lib/aws_call.h"
#include "lib/seeds.h"
#include "lib/tmp.h"

#define SLOW_MS         25000 /* more than half of the visibility timeout */
#define DAWDLE_MS       60000 /* more than lease.max_s */
#define CALLS_MAX       40    /* of the handler, for each message, on average */
#define QUIET_NS        6000000
#define LEAP_MS         1000
#define LONGEST_LEAP_MS 4000   /* while nobody says a word; account_hear.c and account_limits.c allow for two */
#define CALM_MS         120000 /* without a delete: what is left waits for the queue to move it */
#define WAIT_LEAP_MS    10000  /* less than half of the visibility timeout */
#define SOON_MS         60000
#define STUCK_MS        (3600 * 1000) /* of the run's clock: the queue takes as long to move what is left to it */

#define TEXT(x)   #x
#define NUMBER(x) TEXT(x)
#define RECEIVES  NUMBER(CHAOS_MAX_RECEIVES)
#define ARN       "arn:aws:sqs:us-east-1:000000000000:"
#define EVENTS    "chaos-events"

static const char *const QUEUES[ACCOUNT_QUEUES] = {"chaos", "chaos.fifo"};
static const char *const DEAD[ACCOUNT_QUEUES] = {"chaos-dead", "chaos-dead.fifo"};

/* ---- time -------------------------------------------------------------------------------------------------------- */

int64_t
chaos_run_clock_ms(const struct chaos_run *r)
{
    return clock_wall_ms() - r->clock_began_ms;
}

/* Nobody speaks, and nobody is about to: whoever has something to do or to answer is awake, unless it is not to be done
 * before the clock has moved. */
static bool
is_idle(const struct chaos_run *r)
{
    pid_t workers[CHAOS_WORKERS_MAX];
    int64_t now_ns = clock_monotonic_ns();
    if (now_ns - wiretap_heard_ns(r->tap) < QUIET_NS || now_ns - r->stepped_ns < QUIET_NS)
        return false;
    if (!r->system->fleet)
        return asleep(proc_pid(r->system->local));
    size_t n = system_workers(r->system, workers, CHAOS_WORKERS_MAX);
    bool all = asleep(proc_pid(r->system->local)) && asleep(proc_pid(r->system->fleet));
    for (size_t i = 0; all && i < n; i++)
        all = asleep(workers[i]);
    return all;
}

void
chaos_run_pass(struct chaos_run *r)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    if (is_idle(r)) {
        r->leap_ms = wiretap_heard_ns(r->tap) > r->stepped_ns ? LEAP_MS : r->leap_ms * 2;
        r->leap_ms = r->leap_ms < LONGEST_LEAP_MS ? r->leap_ms : LONGEST_LEAP_MS;
        if (r->waits)
            r->leap_ms = WAIT_LEAP_MS;
        atomic_fetch_add(&r->clock->offset_ms, r->leap_ms);
        r->stepped_ns = clock_monotonic_ns();
    }
    atomic_store(&r->record->clock_ms, clock_wall_ms());
}

size_t
chaos_run_handled(const struct chaos_run *r)
{
    return atomic_load(&r->record->next);
}

/* ---- begin and end ----------------------------------------------------------------------------------------------- */

static void
make_record(struct chaos_run *r)
{
    uint32_t capacity = (uint32_t)r->messages * CALLS_MAX + 1000;
    size_t bytes = chaos_record_bytes((uint32_t)r->messages, capacity);
    r->record_path = tmp_path(r->dir, "record");
    int fd = open(r->record_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
    r->record = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(r->record != MAP_FAILED);
    close(fd);
    r->record->messages = (uint32_t)r->messages;
    r->record->capacity = capacity;
    r->record->magic = CHAOS_RECORD_MAGIC;
}

static void
make_queue(const struct chaos_run *r, const char *name, const char *dead, char *ret_url, size_t size)
{
    struct aws_call c;
    bool fifo = strstr(name, ".fifo");
    aws_call_init(&c, r->system->url);
    aws_call_sqs(&c, "CreateQueue",
                 "{\"QueueName\": \"%s\", \"Attributes\": {\"VisibilityTimeout\": \"%d\", \"MessageRetentionPeriod\": "
                 "\"1209600\"%s%s%s%s}}",
                 name, CHAOS_VISIBILITY_S, fifo ? ", \"FifoQueue\": \"true\"" : "",
                 dead ? ", \"RedrivePolicy\": \"{\\\"maxReceiveCount\\\":" RECEIVES
                        ",\\\"deadLetterTargetArn\\\":\\\"arn:aws:"
                        "sqs:us-east-1:000000000000:"
                      : "",
                 dead ? dead : "", dead ? "\\\"}\"" : "");
    if (c.status != 200)
        fail_msg("CreateQueue: %d %s: %s", c.status, c.error, c.message);
    assert_true(aws_call_text(&c, "QueueUrl", ret_url, size));
    aws_call_clean_up(&c);
}

/* What reaches the default bus from a handler goes on to the queue of events. */
static void
make_rule(const struct chaos_run *r)
{
    static const struct {
        const char *target, *body;
    } CALLS[] = {
        {"AWSEvents.PutRule", "{\"Name\":\"chaos\",\"EventPattern\":\"{\\\"source\\\":[\\\"tests.chaos\\\"]}\"}"},
        {"AWSEvents.PutTargets", "{\"Rule\":\"chaos\",\"Targets\":[{\"Id\":\"1\",\"Arn\":\"" ARN EVENTS "\"}]}"}};
    struct aws_call c;
    aws_call_init(&c, r->system->url);
    for (size_t i = 0; i < sizeof CALLS / sizeof *CALLS; i++) {
        assert_true(aws_call_begin(&c, "events", CALLS[i].target, slice_of_string(CALLS[i].body)));
        if (aws_call_finish(&c) != 200)
            fail_msg("%s: %d %s: %s", CALLS[i].target, c.status, c.error, c.message);
    }
    aws_call_clean_up(&c);
}

static struct account_rules
make_rules(const struct chaos_run *r)
{
    static const enum account_memory MEMORIES[] = {[CHAOS_DEDUP_NONE] = ACCOUNT_NOBODY,
                                                   [CHAOS_DEDUP_MEMORY] = ACCOUNT_PROCESS,
                                                   [CHAOS_DEDUP_SQLITE] = ACCOUNT_HOST};
    struct account_rules rules = {.messages = r->messages,
                                  .visibility_s = CHAOS_VISIBILITY_S,
                                  .max_attempts = CHAOS_MAX_ATTEMPTS,
                                  .max_receives = CHAOS_MAX_RECEIVES,
                                  .skips = r->plan.choice[ACCOUNT_FIFO][CHAOS_ON_FAILURE] == CHAOS_SKIP,
                                  .events = EVENTS,
                                  .now_ms = clock_wall_ms};
    for (unsigned q = 0; q < ACCOUNT_QUEUES; q++) {
        rules.queues[q] = QUEUES[q];
        rules.dead[q] = DEAD[q];
        rules.memory[q] = MEMORIES[r->plan.choice[q][CHAOS_DEDUP]];
        rules.leaves[q] = r->plan.choice[q][CHAOS_THEN] == CHAOS_LEAVE_TO_QUEUE;
        rules.rate[q] = chaos_plan_rate(&r->plan, q);
        rules.lease_max_s[q] = chaos_plan_lease_s(&r->plan, q);
    }
    return rules;
}

void
chaos_run_begin(struct chaos_run *r, uint64_t seed, size_t messages)
{
    struct err e;
    *r = (struct chaos_run){.seed = seed, .random = seed, .messages = messages, .leap_ms = LEAP_MS, .dir = tmp_new()};
    chaos_plan_draw(&r->plan, seed);
    prctl(PR_SET_CHILD_SUBREAPER, 1); /* the workers of a fleet that failed are ours to end */
    const char *clock = tmp_path(r->dir, "clock");
    if (clock_page_create(clock, &r->clock, &e) != 0)
        fail_msg("%s", e.text);
    setenv("FANOUT_TEST_CLOCK", clock, 1);
    assert_int_equal(clock_init(&e), 0);
    r->clock_began_ms = clock_wall_ms();
    make_record(r);
    r->system = system_start(r->dir);
    for (unsigned q = 0; q < ACCOUNT_QUEUES; q++) {
        make_queue(r, DEAD[q], NULL, r->dead_urls[q], sizeof r->dead_urls[q]);
        make_queue(r, QUEUES[q], DEAD[q], r->urls[q], sizeof r->urls[q]);
    }
    make_queue(r, EVENTS, NULL, r->events_url, sizeof r->events_url);
    make_rule(r);
    const struct account_rules rules = make_rules(r);
    r->account = account_new(&rules);
    r->twinned = calloc(messages, sizeof *r->twinned);
    assert_non_null(r->twinned);
    r->tap = wiretap_start(r->system->url, account_hear, r->account);
    snprintf(r->endpoint, sizeof r->endpoint, "AWS_ENDPOINT_URL=%s", wiretap_url(r->tap));
}

void
chaos_run_clean_up(struct chaos_run *r, bool failed)
{
    if (failed && r->system) {
        proc_print(r->system->local);
        proc_print(r->last_fleet);
        proc_print(r->system->fleet);
    }
    proc_destroy(r->last_fleet);
    system_stop(r->system);
    wiretap_stop(r->tap);
    account_destroy(r->account);
    free(r->twinned);
    if (r->record)
        munmap(r->record, chaos_record_bytes(r->record->messages, r->record->capacity));
    tmp_remove(r->dir);
}

/* ---- the fleet --------------------------------------------------------------------------------------------------- */

/* known: what workers there are. */
static void
set_caps(struct chaos_run *r, bool known)
{
    for (unsigned q = 0; q < ACCOUNT_QUEUES; q++)
        account_cap(r->account, q, known ? chaos_plan_cap(&r->plan, q) : 0);
}

void
chaos_run_start_fleet(struct chaos_run *r)
{
    static const char *const PUBLISH[] = {"none", "bus", "queue"};
    struct buf text = BUF_INIT;
    const char *env[] = {"AWS_ACCESS_KEY_ID=test",
                         "AWS_SECRET_ACCESS_KEY=test",
                         "AWS_REGION=us-east-1",
                         "AWS_SESSION_TOKEN",
                         "AWS_PROFILE",
                         r->endpoint,
                         NULL};
    memcpy(r->env, env, sizeof env);
    r->system->env = r->env;
    set_caps(r, true);
    const char *log = getenv("FANOUT_CHAOS_LOG");
    buf_add_format(&text, "log = { level = \"%s\"; file = \"%s\"; };\n", log ? "debug" : "info", log ? log : "");
    buf_add_string(&text, "consumers = (\n");
    for (unsigned q = 0; q < ACCOUNT_QUEUES; q++) {
        buf_add_format(&text,
                       "  %s{ name = \"%s\"; queue = \"%s\"; plugin = \"%s\";\n"
                       "    envelope = \"eventbridge\"; filter = \"{\\\"detail-type\\\": [\\\"wanted\\\"]}\";\n",
                       q > 0 ? ", " : "", q == ACCOUNT_FIFO ? "fifo" : "standard", QUEUES[q],
                       proc_path("tests/plugins/chaos.so"));
        chaos_plan_configure(&r->plan, q, tmp_path(r->dir, "done"), &text);
        buf_add_format(&text,
                       "    options = { record = \"%s\"; slow_ms = %d; dawdle_ms = %d; in_order = %s; skip = %s; "
                       "publish = \"%s\"; }; }\n",
                       r->record_path, SLOW_MS, chaos_plan_lease_s(&r->plan, q) > 0 ? DAWDLE_MS : SLOW_MS,
                       q == ACCOUNT_FIFO ? "true" : "false",
                       r->plan.choice[q][CHAOS_ON_FAILURE] == CHAOS_SKIP ? "true" : "false",
                       PUBLISH[r->plan.choice[q][CHAOS_PUBLISH]]);
    }
    buf_add_string(&text, ");");
    assert_false(buf_failed(&text));
    system_start_fleet(r->system, text.data);
    buf_clean_up(&text);
}

static bool
has_ended(void *context)
{
    struct chaos_run *r = context;
    chaos_run_pass(r);
    return !proc_is_running(r->system->fleet);
}

static void
stop_fleet(struct chaos_run *r)
{
    proc_signal(r->system->fleet, SIGTERM);
    if (!proc_wait_until(has_ended, r, SOON_MS))
        fail_msg("fanoutd does not end");
    assert_int_equal(proc_wait_exit(r->system->fleet, SOON_MS), 0);
    proc_destroy(r->last_fleet);
    r->last_fleet = r->system->fleet;
    r->system->fleet = NULL;
}

void
chaos_run_restart_fleet(struct chaos_run *r)
{
    r->n_old = 0;
    set_caps(r, false);
    stop_fleet(r);
    chaos_run_start_fleet(r);
    r->restarts++;
}

/* While some are replaced nobody knows how many there are. */
static void
expect_others(struct chaos_run *r)
{
    set_caps(r, false);
    r->n_old = system_workers(r->system, r->old, CHAOS_WORKERS_MAX);
}

void
chaos_run_look_at_fleet(struct chaos_run *r)
{
    pid_t now[CHAOS_WORKERS_MAX];
    size_t n = system_workers(r->system, now, CHAOS_WORKERS_MAX), same = 0;
    for (size_t i = 0; i < n * r->n_old; i++)
        same += now[i / r->n_old] == r->old[i % r->n_old];
    if (r->n_old == 0 || n != ACCOUNT_QUEUES || same > r->n_kept)
        return;
    set_caps(r, true);
    r->n_old = 0;
}

void
chaos_run_reload_fleet(struct chaos_run *r)
{
    expect_others(r);
    r->n_kept = 0;
    proc_signal(r->system->fleet, SIGHUP);
    r->reloads++;
}

void
chaos_run_kill_worker(struct chaos_run *r)
{
    expect_others(r);
    if (r->n_old == 0)
        return;
    r->n_kept = r->n_old - 1;
    kill(r->old[seeds_draw(&r->random, r->n_old)], SIGKILL);
    r->kills++;
}

void
chaos_run_kill_server(struct chaos_run *r)
{
    system_kill_local(r->system);
    system_restart_local(r->system);
    r->kills++;
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

static long
count_queue(struct chaos_run *r, const char *url)
{
    struct aws_call c;
    char text[3][30] = {"", "", ""};
    aws_call_init(&c, r->system->url);
    aws_call_sqs(&c, "GetQueueAttributes", "{\"QueueUrl\": \"%s\", \"AttributeNames\": [\"All\"]}", url);
    assert_int_equal(c.status, 200);
    assert_true(aws_call_text(&c, "Attributes.ApproximateNumberOfMessages", text[0], sizeof text[0]));
    assert_true(aws_call_text(&c, "Attributes.ApproximateNumberOfMessagesNotVisible", text[1], sizeof text[1]));
    assert_true(aws_call_text(&c, "Attributes.ApproximateNumberOfMessagesDelayed", text[2], sizeof text[2]));
    aws_call_clean_up(&c);
    return strtol(text[0], NULL, 10) + strtol(text[1], NULL, 10) + strtol(text[2], NULL, 10);
}

/* What it has to say goes into its log. */
static void
dump_fleet(struct chaos_run *r)
{
    pid_t pids[CHAOS_WORKERS_MAX];
    size_t n = system_workers(r->system, pids, CHAOS_WORKERS_MAX);
    for (size_t i = 0; i < n; i++)
        kill(pids[i], SIGUSR2);
    for (int i = 0; i < 200; i++)
        chaos_run_pass(r);
}

static void
empty_queues(struct chaos_run *r)
{
    int64_t until_ms = 0;
    size_t deleted = 0, asked = 0;
    long left = 1;
    while (left > 0) {
        chaos_run_pass(r);
        if (++asked % 20 == 0)
            left = count_queue(r, r->urls[0]) + count_queue(r, r->urls[1]);
        if (account_deleted(r->account) != deleted || until_ms == 0) {
            deleted = account_deleted(r->account);
            until_ms = chaos_run_clock_ms(r) + STUCK_MS;
        }
        bool waits = chaos_run_clock_ms(r) > until_ms - STUCK_MS + CALM_MS;
        if (waits && !r->waits)
            set_caps(r, false);
        r->waits |= waits;
        if (chaos_run_clock_ms(r) > until_ms) {
            dump_fleet(r);
            fail_msg("%ld messages are left, and none was deleted for %d s", left, STUCK_MS / 1000);
        }
    }
}

size_t
chaos_run_finish(struct chaos_run *r, struct buf *out, struct buf *sums)
{
    admin_clear_faults(r->system->url);
    empty_queues(r);
    stop_fleet(r);
    chaos_run_read_letters(r);
    chaos_run_read_pieces(r);
    return account_judge(r->account, r->record, out, sums);
}
