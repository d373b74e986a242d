/* bench_fleet: what a fleet that has nothing to do takes - time to start, memory - and whether a worker grows.
 *
 * GROWTH_MESSAGES=1000000 changes over how many messages the worker is watched. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "lib/canned_sqs.h"
#include "lib/consume.h"
#include "lib/figures.h"
#include "lib/lone_worker.h"
#include "lib/proc.h"
#include "lib/tmp.h"

#define STARTS  9
#define THREADS 4
#define WAIT_MS 30000
#define MIB     (1024.0 * 1024.0)

#define CONSUMER                                                                                                       \
    "log = { level = \"warn\"; };\n"                                                                                   \
    "aws = { region = \"us-east-1\"; endpoint_url = \"%s\"; };\n"                                                      \
    "consumers = ( { name = \"orders\"; queue = \"bench\"; plugin = \"%s\"; threads = %d;\n"                           \
    "                prefetch = 2; wait_time_s = 1; batch = { size = 10; }; } );\n"

static bool
was_polled(void *server)
{
    return canned_sqs_first_receive_ns(server) != 0;
}

/* The only child of a process. */
static pid_t
child_of(pid_t pid)
{
    char path[64];
    int child = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    FILE *f = fopen(path, "re");
    if (!f || fscanf(f, "%d", &child) != 1)
        fprintf(stderr, "no child of fanoutd in %s\n", path);
    if (f)
        fclose(f);
    return child;
}

struct start {
    double first_poll_ms, supervisor_bytes, worker_bytes;
};

/* fanoutd, from its start to its first poll; its memory then. */
static bool
measure_start(struct start *ret)
{
    const char *dir = tmp_new();
    struct canned_sqs *server = canned_sqs_start(0, 1024);
    const char *file =
        tmp_write(dir, "fanoutd.conf", CONSUMER, canned_sqs_url(server), proc_path("tests/plugins/noop.so"), THREADS);
    int64_t start_ns = clock_monotonic_ns();
    struct proc *fleet = proc_spawn((const char *[]){proc_path("bin/fanoutd"), "-c", file, NULL}, NULL);
    pid_t worker = 0;
    bool ok = proc_wait_until(was_polled, server, WAIT_MS) && (worker = child_of(proc_pid(fleet))) > 0;
    if (ok)
        *ret = (struct start){.first_poll_ms = (double)(canned_sqs_first_receive_ns(server) - start_ns) / 1e6,
                              .supervisor_bytes = (double)figure_pss_bytes(proc_pid(fleet)),
                              .worker_bytes = (double)figure_pss_bytes(worker)};
    canned_sqs_release(server);
    proc_signal(fleet, SIGTERM);
    ok = proc_wait_exit(fleet, WAIT_MS) == 0 && ok;
    if (!ok)
        proc_print(fleet);
    proc_destroy(fleet);
    canned_sqs_stop(server);
    tmp_remove(dir);
    return ok;
}

static bool
bench_starts(void)
{
    double first_poll_ms[STARTS], supervisor[STARTS], worker[STARTS];
    for (int i = 0; i < STARTS; i++) {
        struct start s;
        if (!measure_start(&s))
            return false;
        first_poll_ms[i] = s.first_poll_ms;
        supervisor[i] = s.supervisor_bytes / MIB;
        worker[i] = s.worker_bytes / MIB;
    }
    figure_print(&(struct figure){.what = "fanoutd: start to the first poll",
                                  .value = figure_median(first_poll_ms, STARTS),
                                  .unit = "ms",
                                  .most = 50});
    figure_print(&(struct figure){.what = "supervisor beside a worker: memory (PSS)",
                                  .value = figure_median(supervisor, STARTS),
                                  .unit = "MiB",
                                  .most = 3.5});
    figure_print(&(struct figure){.what = "idle worker, 4 threads: memory (PSS)",
                                  .value = figure_median(worker, STARTS),
                                  .unit = "MiB",
                                  .most = 15});
    return true;
}

struct progress {
    struct canned_sqs *server;
    uint64_t left;
};

static bool
reached(void *context)
{
    const struct progress *p = context;
    return canned_sqs_left(p->server) <= p->left;
}

/* A worker's memory after the first tenth of so many messages, and after the last. */
static bool
bench_growth(uint64_t messages)
{
    char conf[2048], what[100];
    struct canned_sqs *server = canned_sqs_start(messages, 1024);
    snprintf(conf, sizeof conf, CONSUMER, canned_sqs_url(server), proc_path("tests/plugins/noop.so"), THREADS);
    struct lone_worker w;
    lone_worker_start(&w, conf, THREADS, THREADS * 30, NULL, NULL);
    struct progress warm = {server, messages - messages / 10}, over = {server, 0};
    double before = 0, after = 0;
    bool ok = proc_wait_until(reached, &warm, 10 * WAIT_MS);
    if (ok)
        before = (double)figure_pss_bytes(w.pid);
    ok = ok && proc_wait_until(reached, &over, 20 * WAIT_MS);
    if (ok)
        after = (double)figure_pss_bytes(w.pid);
    canned_sqs_release(server);
    kill(w.pid, SIGTERM);
    ok = lone_worker_end(&w, WAIT_MS) == 0 && ok;
    lone_worker_clean_up(&w);
    canned_sqs_stop(server);
    if (!ok)
        return false;
    snprintf(what, sizeof what, "worker: memory after %llu messages", (unsigned long long)messages);
    figure_print(&(struct figure){
        .what = what, .value = after / MIB, .unit = "MiB", .ratio = after / before, .ratio_of = "after a tenth"});
    snprintf(what, sizeof what, "worker: memory after %llu messages, beside after a tenth",
             (unsigned long long)messages);
    figure_print(&(struct figure){.what = what, .value = after / before, .unit = "x", .most = 1.1});
    return true;
}

int
main(void)
{
    const char *text = getenv("GROWTH_MESSAGES");
    consume_set_credentials();
    return bench_starts() && bench_growth(text ? strtoull(text, NULL, 10) : 1000000) ? 0 : 1;
}
