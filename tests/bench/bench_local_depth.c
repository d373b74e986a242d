/* bench_local_depth: does fanout-local become slower when a queue is long? The same load, sends, receives and deletes
 * in tens, through a queue that holds 1,000 messages and through one that holds 1,000,000, in one server and one run.
 * And how long does it take to start again with so many, after a kill -9?
 *
 * DEPTH=1000000 and MESSAGES=10000 (of each measurement, of which the best of three counts) change how much. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "lib/figures.h"
#include "lib/queue_load.h"
#include "lib/tmp.h"

#define SHALLOW    1000
#define ROUNDS     3
#define BODY_BYTES 256

struct result {
    double rate, cpu_us;
};

static struct result
best(const struct queue_load *load, pid_t server, size_t messages)
{
    struct result r = {0};
    for (int i = 0; i < ROUNDS; i++) {
        int64_t start_cpu_ns = figure_cpu_ns(server);
        double rate = queue_load_cycle(load, messages);
        double cpu_us = (double)(figure_cpu_ns(server) - start_cpu_ns) / 1e3 / (double)messages;
        r.rate = rate > r.rate ? rate : r.rate;
        r.cpu_us = i == 0 || cpu_us < r.cpu_us ? cpu_us : r.cpu_us;
    }
    return r;
}

int
main(void)
{
    size_t depth = (size_t)figure_setting("DEPTH", 1000000, 2 * SHALLOW) / 10 * 10;
    size_t messages = (size_t)figure_setting("MESSAGES", 10000, 2 * SHALLOW) / 10 * 10;
    char queue_url[300], what[100];
    setenv("TMPDIR", proc_path("tests/bench"), 1); /* /tmp may be memory */
    const char *dir = tmp_new();
    struct system *system = system_start(dir);
    struct system_client sqs = system_connect(system, AWS_SQS);
    queue_load_find(&sqs, SYSTEM_QUEUE, queue_url, sizeof queue_url);
    const struct queue_load load = {.sqs = &sqs, .queue_url = queue_url, .body_bytes = BODY_BYTES, .lanes = 16};

    pid_t server = proc_pid(system->local);
    queue_load_fill(&load, SHALLOW);
    struct result shallow = best(&load, server, messages);
    double filled = queue_load_fill(&load, depth - SHALLOW);
    struct result deep = best(&load, server, messages);
    figure_print(&(struct figure){.what = "fanout-local: send, 256 B", .unit = "/s", .value = filled});
    snprintf(what, sizeof what, "fanout-local: CPU per message, %zu queued", depth);
    figure_print(&(struct figure){.what = what,
                                  .unit = "us",
                                  .value = deep.cpu_us,
                                  .ratio = deep.cpu_us / shallow.cpu_us,
                                  .ratio_of = "1,000 queued"});
    snprintf(what, sizeof what, "fanout-local: rate at 1,000 queued / at %zu", depth);
    figure_print(&(struct figure){.what = what, .unit = "x", .value = shallow.rate / deep.rate, .most = 1.3});

    system_kill_local(system);
    int64_t start_ns = clock_monotonic_ns();
    system_restart_local(system);
    snprintf(what, sizeof what, "fanout-local: start with %zu stored messages", depth);
    figure_print(&(struct figure){
        .what = what, .unit = "ms", .value = (double)(clock_monotonic_ns() - start_ns) / 1e6, .most = 1000});

    system_disconnect(&sqs);
    system_stop(system);
    tmp_remove(dir);
    return 0;
}
