#include "lib/consume.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "lib/figures.h"
#include "lib/lone_worker.h"

#define FIRST_MS 30000
#define REST_MS  120000
#define END_MS   20000

struct progress {
    struct canned_sqs *server;
    uint64_t left; /* reached when no more than these are left */
};

static bool
reached(void *context)
{
    const struct progress *p = context;
    return canned_sqs_left(p->server) <= p->left;
}

static bool
measure(const char *what, pid_t pid, struct canned_sqs *server, uint64_t messages, struct consumed *ret)
{
    struct progress warm = {server, messages - messages / 10}, over = {server, messages / 100};
    bool ok = proc_wait_until(reached, &warm, FIRST_MS);
    uint64_t first = canned_sqs_left(server);
    int64_t start_ns = clock_monotonic_ns(), start_cpu_ns = figure_cpu_ns(pid);
    ok = ok && first > over.left && proc_wait_until(reached, &over, REST_MS);
    if (!ok) {
        fprintf(stderr, "%s: %llu of %llu messages left\n", what, (unsigned long long)canned_sqs_left(server),
                (unsigned long long)messages);
        return false;
    }
    uint64_t consumed = first - canned_sqs_left(server);
    ret->cpu_us = (double)(figure_cpu_ns(pid) - start_cpu_ns) / 1e3 / (double)consumed;
    ret->per_second = (double)consumed * 1e9 / (double)(clock_monotonic_ns() - start_ns);
    return true;
}

bool
consume_by_program(const char *what, struct proc *program, struct canned_sqs *server, uint64_t messages,
                   struct consumed *ret)
{
    bool ok = measure(what, proc_pid(program), server, messages, ret);
    if (!ok)
        proc_print(program);
    proc_destroy(program);
    return ok;
}

bool
consume_by_worker(const char *what, const struct consume_worker *worker, struct canned_sqs *server, uint64_t messages,
                  struct consumed *ret)
{
    char conf[2048];
    snprintf(conf, sizeof conf,
             "log = { level = \"warn\"; };\n"
             "aws = { region = \"us-east-1\"; endpoint_url = \"%s\"; ca_file = \"%s\"; };\n"
             "consumers = ( { name = \"orders\"; queue = \"bench\"; plugin = \"%s\"; threads = %u; prefetch = 2;\n"
             "                wait_time_s = 1; batch = { size = 10; }; } );\n",
             worker->url ? worker->url : canned_sqs_url(server), worker->ca_file ? worker->ca_file : "",
             proc_path(worker->plugin), worker->threads);
    struct lone_worker w;
    lone_worker_start(&w, conf, worker->threads, worker->threads * 30, NULL, NULL);
    bool ok = measure(what, w.pid, server, messages, ret);
    canned_sqs_release(server);
    kill(w.pid, SIGTERM);
    int code = lone_worker_end(&w, END_MS);
    if (code != 0)
        fprintf(stderr, "%s: the worker ended with %d\n", what, code);
    lone_worker_clean_up(&w);
    return ok && code == 0;
}

void
consume_set_credentials(void)
{
    setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", 1);
}
