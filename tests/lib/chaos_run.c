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
#include "lib/aws_call.h"
#include "lib/seeds.h"
#include "lib/tmp.h"

#define THREADS      4
#define BATCH        10
#define PREFETCH     1
#define CAP          (THREADS * BATCH * (1 + PREFETCH))
#define VISIBILITY_S 37
#define SLOW_MS      25000 /* more than half of it */
#define MAX_ATTEMPTS 12
#define CALLS_MAX    40 /* of the handler, for each message, on average */
#define QUIET_NS     6000000
#define OVERDUE_NS   150000000
#define WAIT_S       5 /* of a long poll */
#define LEAP_MS      1000
#define SOON_MS      60000
#define STUCK_MS     (1200 * 1000) /* of the run's clock: nothing takes so long */

static const char *const QUEUES[ACCOUNT_QUEUES] = {"chaos", "chaos.fifo"};
static const char *const DEAD[ACCOUNT_QUEUES] = {"chaos-dead", "chaos-dead.fifo"};

/* ---- time -------------------------------------------------------------------------------------------------------- */

int64_t
chaos_run_clock_ms(const struct chaos_run *r)
{
    return clock_wall_ms() - r->clock_began_ms;
}

/* Nobody speaks, and nobody is about to: an answer that is due comes soon, unless a fault holds it back. */
static bool
is_idle(const struct chaos_run *r)
{
    int64_t now_ns = clock_monotonic_ns(), quiet_ns = now_ns - wiretap_heard_ns(r->tap);
    if (quiet_ns < QUIET_NS || now_ns - r->stepped_ns < QUIET_NS)
        return false;
    return quiet_ns > OVERDUE_NS || !account_awaits_answer(r->account, WAIT_S * 1000);
}

void
chaos_run_pass(struct chaos_run *r)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    if (is_idle(r)) {
        atomic_fetch_add(&r->clock->offset_ms, LEAP_MS);
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
make_queue(struct chaos_run *r, const char *name, const char *dead, char *ret_url, size_t size)
{
    struct aws_call c;
    bool fifo = strstr(name, ".fifo");
    aws_call_init(&c, r->system->url);
    aws_call_sqs(&c, "CreateQueue",
                 "{\"QueueName\": \"%s\", \"Attributes\": {\"VisibilityTimeout\": \"%d\", \"MessageRetentionPeriod\": "
                 "\"1209600\"%s%s%s%s}}",
                 name, VISIBILITY_S, fifo ? ", \"FifoQueue\": \"true\"" : "",
                 dead ? ", \"RedrivePolicy\": \"{\\\"maxReceiveCount\\\":40,\\\"deadLetterTargetArn\\\":\\\"arn:aws:"
                        "sqs:us-east-1:000000000000:"
                      : "",
                 dead ? dead : "", dead ? "\\\"}\"" : "");
    if (c.status != 200)
        fail_msg("CreateQueue: %d %s: %s", c.status, c.error, c.message);
    assert_true(aws_call_text(&c, "QueueUrl", ret_url, size));
    aws_call_clean_up(&c);
}

void
chaos_run_begin(struct chaos_run *r, uint64_t seed, size_t messages)
{
    struct err e;
    *r = (struct chaos_run){.seed = seed, .random = seed, .messages = messages, .dir = tmp_new()};
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
    const struct account_rules rules = {.messages = messages,
                                        .visibility_s = VISIBILITY_S,
                                        .max_attempts = MAX_ATTEMPTS,
                                        .ordered = true,
                                        .queues = {QUEUES[0], QUEUES[1]},
                                        .dead = {DEAD[0], DEAD[1]},
                                        .memory = {ACCOUNT_HOST, ACCOUNT_PROCESS},
                                        .now_ms = clock_wall_ms};
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

static void
set_caps(struct chaos_run *r, size_t standard, size_t fifo)
{
    account_cap(r->account, 0, standard);
    account_cap(r->account, ACCOUNT_FIFO, fifo);
}

void
chaos_run_start_fleet(struct chaos_run *r)
{
    struct buf text = BUF_INIT;
    char memory[300];
    const char *const settings[ACCOUNT_QUEUES] = {memory, "dedup = { store = \"memory\"; };"};
    snprintf(memory, sizeof memory, "dedup = { store = \"sqlite\"; path = \"%s\"; };", tmp_path(r->dir, "done.db"));
    const char *env[] = {"AWS_ACCESS_KEY_ID=test",
                         "AWS_SECRET_ACCESS_KEY=test",
                         "AWS_REGION=us-east-1",
                         "AWS_SESSION_TOKEN",
                         "AWS_PROFILE",
                         r->endpoint,
                         NULL};
    memcpy(r->env, env, sizeof env);
    r->system->env = r->env;
    set_caps(r, CAP, CAP);
    buf_add_string(&text, "log = { level = \"info\"; };\n");
    buf_add_string(&text, "consumers = (\n");
    for (unsigned q = 0; q < ACCOUNT_QUEUES; q++)
        buf_add_format(&text,
                       "  %s{ name = \"%s\"; queue = \"%s\"; plugin = \"%s\"; threads = %d; prefetch = %d; %s\n"
                       "    wait_time_s = %d; retry = { base_ms = 500; cap_ms = 20000; max_attempts = %d; };\n"
                       "    envelope = \"eventbridge\"; filter = \"{\\\"detail-type\\\": [\\\"wanted\\\"]}\";\n"
                       "    breaker = { pause_ms = 1000; pause_cap_ms = 5000; };\n"
                       "    options = { record = \"%s\"; slow_ms = %d; in_order = %s; }; }\n",
                       q > 0 ? ", " : "", q == ACCOUNT_FIFO ? "fifo" : "standard", QUEUES[q],
                       proc_path("tests/plugins/chaos.so"), THREADS, PREFETCH, settings[q], WAIT_S, MAX_ATTEMPTS,
                       r->record_path, SLOW_MS, q == ACCOUNT_FIFO ? "true" : "false");
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
    set_caps(r, 0, 0);
    stop_fleet(r);
    chaos_run_start_fleet(r);
    r->restarts++;
}

/* While some are replaced nobody knows how many there are. */
static void
expect_others(struct chaos_run *r)
{
    set_caps(r, 0, 0);
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
    set_caps(r, CAP, CAP);
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
    return account_judge(r->account, r->record, out, sums);
}
