/* bench_local_fifo: what fanout-local's FIFO queues move, durable: sends, receives and deletes in tens over 1,000
 * groups, in turns with a standard queue; through a queue that holds 1,000 messages and through one that holds
 * 1,000,000, in as many groups; and how long the server takes to start with those.
 *
 * DEPTH=1000000 and MESSAGES=20000 (of each measurement, of which the best of three counts) change how much. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "lib/aws_call.h"
#include "lib/figures.h"
#include "lib/need.h"
#include "lib/queue_load.h"
#include "lib/tmp.h"

#define LANES   32
#define ROUNDS  3
#define GROUPS  1000
#define SHALLOW 1000

static void
make_queue(const struct system *system, const char *name, const char *attributes, char *ret_url, size_t size)
{
    struct aws_call c;
    aws_call_init(&c, system->url);
    if (aws_call_sqs(&c, "CreateQueue", "{\"QueueName\": \"%s\", \"Attributes\": %s}", name, attributes) != 200)
        need_give_up("CreateQueue", c.message);
    aws_call_text(&c, "QueueUrl", ret_url, size);
    aws_call_clean_up(&c);
}

struct result {
    double rate, cpu_us;
};

/* The best so far, and one more. */
static void
measure(const struct queue_load *load, pid_t server, size_t messages, struct result *r)
{
    int64_t start_cpu_ns = figure_cpu_ns(server);
    double rate = queue_load_cycle(load, messages);
    double cpu_us = (double)(figure_cpu_ns(server) - start_cpu_ns) / 1e3 / (double)messages;
    r->cpu_us = r->rate > 0 && r->cpu_us < cpu_us ? r->cpu_us : cpu_us;
    r->rate = rate > r->rate ? rate : r->rate;
}

static void
measure_groups(struct system_client *sqs, const char *fifo_url, const char *plain_url, pid_t server, size_t messages)
{
    struct queue_load load = {.sqs = sqs, .queue_url = fifo_url, .groups = GROUPS, .body_bytes = 1024, .lanes = LANES};
    struct queue_load standard = {.sqs = sqs, .queue_url = plain_url, .body_bytes = 1024, .lanes = LANES};
    struct result fifo = {0}, plain = {0};
    for (int i = 0; i < ROUNDS; i++) {
        measure(&load, server, messages, &fifo);
        measure(&standard, server, messages, &plain);
    }
    figure_print(&(struct figure){.what = "fanout-local: FIFO, send + receive + delete, 1 KB",
                                  .unit = "/s",
                                  .value = fifo.rate,
                                  .ratio = fifo.rate / plain.rate,
                                  .ratio_of = "standard",
                                  .least = 12000});
    figure_print(&(struct figure){.what = "fanout-local: FIFO, CPU per message",
                                  .unit = "us",
                                  .value = fifo.cpu_us,
                                  .ratio = fifo.cpu_us / plain.cpu_us,
                                  .ratio_of = "standard"});
}

static void
measure_depth(struct system_client *sqs, const char *url, pid_t server, size_t messages, size_t depth)
{
    struct queue_load load = {.sqs = sqs, .queue_url = url, .groups = depth, .body_bytes = 256, .lanes = LANES / 2};
    struct result shallow = {0}, deep = {0};
    char what[100];
    queue_load_fill(&load, SHALLOW);
    for (int i = 0; i < ROUNDS; i++)
        measure(&load, server, messages, &shallow);
    queue_load_fill(&load, depth - SHALLOW);
    for (int i = 0; i < ROUNDS; i++)
        measure(&load, server, messages, &deep);
    snprintf(what, sizeof what, "fanout-local: FIFO, CPU per message, %zu queued", depth);
    figure_print(&(struct figure){.what = what,
                                  .unit = "us",
                                  .value = deep.cpu_us,
                                  .ratio = deep.cpu_us / shallow.cpu_us,
                                  .ratio_of = "1,000 queued"});
    snprintf(what, sizeof what, "fanout-local: FIFO, rate at 1,000 queued / at %zu", depth);
    figure_print(&(struct figure){.what = what, .unit = "x", .value = shallow.rate / deep.rate, .most = 1.3});
}

int
main(void)
{
    static const char fifo[] = "{\"FifoQueue\": \"true\", \"VisibilityTimeout\": \"600\"}";
    size_t depth = (size_t)figure_setting("DEPTH", 1000000, 2 * SHALLOW) / 10 * 10;
    size_t messages = (size_t)figure_setting("MESSAGES", 20000, 2 * SHALLOW) / 10 * 10;
    char fifo_url[200], deep_url[200], plain_url[200], what[100];
    setenv("TMPDIR", proc_path("tests/bench"), 1); /* /tmp may be memory */
    const char *dir = tmp_new();
    struct system *system = system_start(dir);
    struct system_client sqs = system_connect(system, AWS_SQS);
    make_queue(system, "groups.fifo", fifo, fifo_url, sizeof fifo_url);
    make_queue(system, "deep.fifo", fifo, deep_url, sizeof deep_url);
    make_queue(system, "plain", "{}", plain_url, sizeof plain_url);
    measure_groups(&sqs, fifo_url, plain_url, proc_pid(system->local), messages);
    measure_depth(&sqs, deep_url, proc_pid(system->local), messages, depth);

    system_kill_local(system);
    int64_t start_ns = clock_monotonic_ns();
    system_restart_local(system);
    snprintf(what, sizeof what, "fanout-local: start with %zu FIFO messages", depth);
    figure_print(&(struct figure){
        .what = what, .unit = "ms", .value = (double)(clock_monotonic_ns() - start_ns) / 1e6, .most = 1000});

    system_disconnect(&sqs);
    system_stop(system);
    tmp_remove(dir);
    return 0;
}
