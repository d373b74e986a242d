/* CPU of a whole worker per message, against an SQS endpoint that answers from memory: HTTP, signatures, JSON, MD5,
 * ledger, handler threads, deletes. MESSAGES=100000 changes how many. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "lib/canned_sqs.h"
#include "lib/lone_worker.h"
#include "lib/proc.h"

static double
seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static double
now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool
all_deleted(void *context)
{
    struct canned_sqs *s = context;
    return canned_sqs_left(s) == 0;
}

static bool
row(const char *plugin, unsigned threads, size_t body_bytes, uint64_t messages)
{
    struct canned_sqs *s = canned_sqs_start(messages, body_bytes);
    char conf[2048];
    snprintf(conf, sizeof conf,
             "log = { level = \"warn\"; };\n"
             "aws = { region = \"us-east-1\"; endpoint_url = \"%s\"; };\n"
             "consumers = ( { name = \"orders\"; queue = \"bench\"; plugin = \"%s\"; threads = %u; prefetch = 2;\n"
             "                wait_time_s = 1; batch = { size = 10; }; } );\n",
             canned_sqs_url(s), proc_path(plugin), threads);
    struct lone_worker w;
    double start_s = now_s();
    lone_worker_start(&w, conf, threads, threads * 30, NULL, NULL);
    bool ok = proc_wait_until(all_deleted, s, 120000);
    double end_s = now_s();
    kill(w.pid, SIGTERM);
    int code = lone_worker_end(&w, 20000);
    double user_us = seconds(w.usage.ru_utime) * 1e6 / (double)messages;
    double sys_us = seconds(w.usage.ru_stime) * 1e6 / (double)messages;
    printf("%-12s %3u threads %7zu B %9llu messages  %6.2f us CPU each (%5.2f user + %5.2f system) %9.0f/s  "
           "%.2f requests/10  %ld kB%s\n",
           plugin + sizeof "tests/plugins/" - 1, threads, body_bytes, (unsigned long long)messages, user_us + sys_us,
           user_us, sys_us, (double)messages / (end_s - start_s),
           10.0 * (double)canned_sqs_requests(s) / (double)messages, w.usage.ru_maxrss,
           ok && code == 0 ? "" : "  FAILED");
    lone_worker_clean_up(&w);
    canned_sqs_stop(s);
    return ok && code == 0;
}

int
main(void)
{
    const char *text = getenv("MESSAGES");
    uint64_t messages = text ? strtoull(text, NULL, 10) : 100000;
    setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", 1);
    bool ok = true;
    printf("worker, end to end\n");
    ok &= row("tests/plugins/noop_batch.so", 4, 1024, messages);
    ok &= row("tests/plugins/noop.so", 4, 1024, messages);
    ok &= row("tests/plugins/noop_batch.so", 1, 1024, messages);
    ok &= row("tests/plugins/noop_batch.so", 16, 1024, messages);
    ok &= row("tests/plugins/noop_batch.so", 4, 100, messages);
    ok &= row("tests/plugins/noop_batch.so", 4, 10240, messages / 4);
    return ok ? 0 : 1;
}
