/* bench_local_queues: does fanout-local become slower when there are many queues? The same load, sends, receives and
 * deletes in tens, through 16 queues and through 10,000 in turns, in one server and one run; what making that many
 * takes, what they take of memory, and how long the server takes to start with them.
 *
 * QUEUES=10000 and MESSAGES=10000 (of each measurement, of which the best of three counts) change how much. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "lib/aws_call.h"
#include "lib/figures.h"
#include "lib/need.h"
#include "lib/queue_load.h"
#include "lib/tmp.h"

#define LANES      16 /* also the few queues */
#define ROUNDS     3
#define BODY_BYTES 256

/* Makes n queues, LANES calls at a time, and writes their URLs. Returns queues per second. */
static double
make_queues(const struct system *system, size_t n, char **urls)
{
    struct aws_call calls[LANES];
    int64_t start_ns = clock_monotonic_ns();
    for (size_t i = 0; i < LANES; i++)
        aws_call_init(&calls[i], system->url);
    for (size_t at = 0; at < n; at += LANES) {
        size_t here = n - at < LANES ? n - at : LANES;
        for (size_t i = 0; i < here; i++) {
            char body[80];
            int length = snprintf(body, sizeof body, "{\"QueueName\": \"many-%zu\"}", at + i);
            if (!aws_call_begin(&calls[i], "sqs", "AmazonSQS.CreateQueue", slice_of(body, (size_t)length)))
                need_give_up("CreateQueue", "the connection broke");
        }
        for (size_t i = 0; i < here; i++) {
            char url[200];
            if (aws_call_finish(&calls[i]) != 200)
                need_give_up("CreateQueue", calls[i].message);
            aws_call_text(&calls[i], "QueueUrl", url, sizeof url);
            urls[at + i] = strdup(url);
        }
    }
    for (size_t i = 0; i < LANES; i++)
        aws_call_clean_up(&calls[i]);
    return (double)n / ((double)(clock_monotonic_ns() - start_ns) / 1e9);
}

static double
best_rate(const struct queue_load *load, size_t messages)
{
    double best = 0;
    for (int i = 0; i < ROUNDS; i++) {
        double rate = queue_load_cycle(load, messages);
        best = rate > best ? rate : best;
    }
    return best;
}

int
main(void)
{
    size_t queues = (size_t)figure_setting("QUEUES", 10000, 100) / 10 * 10;
    size_t messages = (size_t)figure_setting("MESSAGES", 10000, 100) / 10 * 10;
    char **urls = calloc(queues, sizeof *urls), what[100];
    if (!urls)
        need_give_up("the URLs", "out of memory");
    setenv("TMPDIR", proc_path("tests/bench"), 1); /* /tmp may be memory */
    const char *dir = tmp_new();
    struct system *system = system_start(dir);
    struct system_client sqs = system_connect(system, AWS_SQS);
    struct queue_load load = {.sqs = &sqs, .queue_urls = urls, .body_bytes = BODY_BYTES, .lanes = LANES};

    double made = make_queues(system, queues, urls);
    load.n_queues = LANES;
    double few = best_rate(&load, messages);
    load.n_queues = queues;
    double many = best_rate(&load, messages);
    snprintf(what, sizeof what, "fanout-local: CreateQueue, %zu of them", queues);
    figure_print(&(struct figure){.what = what, .unit = "/s", .value = made});
    snprintf(what, sizeof what, "fanout-local: rate in %d queues / over %zu", LANES, queues);
    figure_print(&(struct figure){.what = what, .unit = "x", .value = few / many, .most = 1.3});
    snprintf(what, sizeof what, "fanout-local: memory (PSS) with %zu queues", queues);
    figure_print(&(struct figure){
        .what = what, .unit = "MiB", .value = (double)figure_pss_bytes(proc_pid(system->local)) / (1 << 20)});
    system_kill_local(system);
    int64_t start_ns = clock_monotonic_ns();
    system_restart_local(system);
    snprintf(what, sizeof what, "fanout-local: start with %zu queues", queues);
    figure_print(&(struct figure){
        .what = what, .unit = "ms", .value = (double)(clock_monotonic_ns() - start_ns) / 1e6, .most = 1000});

    system_disconnect(&sqs);
    system_stop(system);
    tmp_remove(dir);
    for (size_t i = 0; i < queues; i++)
        free(urls[i]);
    free(urls);
    return 0;
}
