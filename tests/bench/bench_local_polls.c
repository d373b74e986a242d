/* bench_local_polls: what 1,000 long polls that wait cost fanout-local: its CPU time through 20 s, in which each of
 * them ends empty once and is sent again. POLLS=1000 changes how many. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "aws/sqs.h"
#include "base/clock.h"
#include "lib/figures.h"
#include "lib/need.h"
#include "lib/queue_load.h"
#include "lib/tmp.h"

#define WAIT_S     20
#define SETTLE_MS  3000 /* until all of them wait at the server */
#define POLLS_MOST 3000

struct bench {
    struct system_client sqs;
    char queue_url[300];
    unsigned ended;
    bool stops;
};

static void poll_again(struct bench *b);

static void
ended(void *context, const struct sqs_received *r)
{
    struct bench *b = context;
    need_answer("ReceiveMessage", r->error);
    b->ended++;
    if (!b->stops)
        poll_again(b);
}

static void
poll_again(struct bench *b)
{
    const struct sqs_receive_options options = {
        .queue_url = b->queue_url, .max_messages = 10, .wait_time_s = WAIT_S, .visibility_timeout_s = -1};
    struct err e;
    need_call(sqs_receive(b->sqs.aws, &options, ended, b, NULL, &e), &e);
}

static void
run_for(struct bench *b, int64_t ms)
{
    struct err e;
    for (int64_t until_ms = clock_monotonic_ms() + ms, now_ms; (now_ms = clock_monotonic_ms()) < until_ms;)
        need_call(http_engine_run(b->sqs.engine, until_ms - now_ms, &e), &e);
}

/* Each poll is a descriptor here and one at the server. */
static void
raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int
main(void)
{
    struct bench b = {0};
    const char *text = getenv("POLLS");
    long polls = text ? strtol(text, NULL, 10) : 1000;
    char what[100];
    if (polls < 1 || polls > POLLS_MOST) {
        fprintf(stderr, "bench_local_polls: POLLS is 1 to %d\n", POLLS_MOST);
        return 1;
    }
    raise_descriptor_limit();
    setenv("TMPDIR", proc_path("tests/bench"), 1); /* /tmp may be memory */
    const char *dir = tmp_new();
    struct system *system = system_start(dir);
    b.sqs = system_connect(system, AWS_SQS);
    queue_load_find(&b.sqs, SYSTEM_QUEUE, b.queue_url, sizeof b.queue_url);
    for (long i = 0; i < polls; i++)
        poll_again(&b);
    run_for(&b, SETTLE_MS);

    b.ended = 0;
    int64_t start_ns = clock_monotonic_ns(), start_cpu_ns = figure_cpu_ns(proc_pid(system->local));
    run_for(&b, WAIT_S * 1000);
    double cpu = (double)(figure_cpu_ns(proc_pid(system->local)) - start_cpu_ns);
    double percent = 100 * cpu / (double)(clock_monotonic_ns() - start_ns);
    if (b.ended < (unsigned)polls * 9 / 10) {
        fprintf(stderr, "bench_local_polls: of %ld long polls %u ended within %d s\n", polls, b.ended, WAIT_S);
        return 1;
    }
    snprintf(what, sizeof what, "fanout-local: %ld waiting long polls", polls);
    figure_print(&(struct figure){.what = what, .unit = "% CPU", .value = percent, .most = 1});

    b.stops = true;
    system_disconnect(&b.sqs);
    system_stop(system);
    tmp_remove(dir);
    return 0;
}
