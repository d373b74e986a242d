/* bench_worker: CPU of a whole worker process for each message, against an SQS endpoint that answers from memory: HTTP,
 * signatures, JSON, MD5, ledger, handler threads, deletes.
 *
 * Beside it, in turns and in the same run, a bare loop over libcurl and cJSON consumes the same messages. Both count
 * from the first tenth of the messages to the last, so that no start-up is in the figures. MESSAGES=20000 and ROUNDS=3
 * change how many; bench_worker --bare URL is the bare loop alone. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "lib/bare_loop.h"
#include "lib/canned_sqs.h"
#include "lib/figures.h"
#include "lib/lone_worker.h"
#include "lib/proc.h"
#include "lib/tls_front.h"
#include "lib/tmp.h"

#define ROUNDS_MAX 25
#define BARE_LANES 4 /* as many requests as the worker has polls */

enum {
    BARE_1K,
    WORKER_1K,
    TLS_1K,
    BATCH_1K,
    ONE_1K,
    SIXTEEN_1K,
    MANY_1K,
    BARE_100,
    WORKER_100,
    BARE_10K,
    WORKER_10K,
    CASES
};

static const struct bench_case {
    const char *what;
    const char *plugin; /* NULL: the bare loop */
    size_t body_bytes;
    unsigned threads;
    int floor; /* the case it is a ratio to */
    double most_us;
    bool tls;
} cases[CASES] = {
    [BARE_1K] = {"bare loop, 1 KB", NULL, 1024, 0, BARE_1K, 0},
    [WORKER_1K] = {"worker, 1 KB", "tests/plugins/noop.so", 1024, 4, BARE_1K, 15},
    [TLS_1K] = {"worker, 1 KB, TLS", "tests/plugins/noop.so", 1024, 4, WORKER_1K, 16, true},
    [BATCH_1K] = {"worker, 1 KB, handle_batch", "tests/plugins/noop_batch.so", 1024, 4, BARE_1K, 15},
    [ONE_1K] = {"worker, 1 KB, 1 thread", "tests/plugins/noop.so", 1024, 1, WORKER_1K, 0},
    [SIXTEEN_1K] = {"worker, 1 KB, 16 threads", "tests/plugins/noop.so", 1024, 16, WORKER_1K, 0},
    [MANY_1K] = {"worker, 1 KB, 64 threads", "tests/plugins/noop.so", 1024, 64, WORKER_1K, 0},
    [BARE_100] = {"bare loop, 100 B", NULL, 100, 0, BARE_100, 0},
    [WORKER_100] = {"worker, 100 B", "tests/plugins/noop.so", 100, 4, BARE_100, 0},
    [BARE_10K] = {"bare loop, 10 KB", NULL, 10240, 0, BARE_10K, 0},
    [WORKER_10K] = {"worker, 10 KB", "tests/plugins/noop.so", 10240, 4, BARE_10K, 0},
};

/* A server's certificate, and who signed it. */
struct trust {
    struct cert *authority, *leaf;
    const char *ca_file;
};

struct samples {
    double cpu_us[ROUNDS_MAX], per_second[ROUNDS_MAX], ratio[ROUNDS_MAX];
};

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

/* CPU and time from here to the last message. */
static bool
measure(pid_t pid, struct canned_sqs *server, uint64_t messages, double *ret_cpu_us, double *ret_per_second)
{
    struct progress warm = {server, messages - messages / 10}, over = {server, 0};
    if (!proc_wait_until(reached, &warm, 30000))
        return false;
    uint64_t first = canned_sqs_left(server);
    int64_t start_ns = clock_monotonic_ns(), start_cpu_ns = figure_cpu_ns(pid);
    if (first == 0 || !proc_wait_until(reached, &over, 60000))
        return false;
    *ret_cpu_us = (double)(figure_cpu_ns(pid) - start_cpu_ns) / 1e3 / (double)first;
    *ret_per_second = (double)first * 1e9 / (double)(clock_monotonic_ns() - start_ns);
    return true;
}

static bool
run_bare(struct canned_sqs *server, uint64_t messages, double *ret_cpu_us, double *ret_per_second)
{
    const char *argv[] = {proc_path("tests/bench/bench_worker"), "--bare", canned_sqs_url(server), NULL};
    struct proc *p = proc_spawn(argv, NULL);
    bool ok = measure(proc_pid(p), server, messages, ret_cpu_us, ret_per_second);
    ok = proc_wait_exit(p, 10000) == 0 && ok;
    proc_destroy(p);
    return ok;
}

static bool
run_worker(const struct bench_case *c, const struct trust *trust, struct canned_sqs *server, uint64_t messages,
           double *ret_cpu_us, double *ret_per_second)
{
    char conf[2048], url[100];
    struct tls_front *front = NULL;
    snprintf(url, sizeof url, "%s", canned_sqs_url(server));
    if (c->tls) {
        front = tls_front_start(atoi(strrchr(url, ':') + 1), trust->leaf, NULL);
        snprintf(url, sizeof url, "https://localhost:%d", tls_front_port(front));
    }
    snprintf(conf, sizeof conf,
             "log = { level = \"warn\"; };\n"
             "aws = { region = \"us-east-1\"; endpoint_url = \"%s\"; ca_file = \"%s\"; };\n"
             "consumers = ( { name = \"orders\"; queue = \"bench\"; plugin = \"%s\"; threads = %u; prefetch = 2;\n"
             "                wait_time_s = 1; batch = { size = 10; }; } );\n",
             url, trust->ca_file, proc_path(c->plugin), c->threads);
    struct lone_worker w;
    lone_worker_start(&w, conf, c->threads, c->threads * 30, NULL, NULL);
    bool ok = measure(w.pid, server, messages, ret_cpu_us, ret_per_second);
    canned_sqs_release(server);
    kill(w.pid, SIGTERM);
    int code = lone_worker_end(&w, 20000);
    if (code != 0)
        fprintf(stderr, "%s: the worker ended with %d\n", c->what, code);
    lone_worker_clean_up(&w);
    tls_front_stop(front);
    return ok && code == 0;
}

static bool
run_round(struct samples *samples, const struct trust *trust, int round, uint64_t messages)
{
    for (int i = 0; i < CASES; i++) {
        const struct bench_case *c = &cases[i];
        uint64_t n = c->body_bytes > 4096 ? messages / 4 : messages;
        struct canned_sqs *server = canned_sqs_start(n, c->body_bytes);
        double *cpu_us = &samples[i].cpu_us[round], *per_second = &samples[i].per_second[round];
        bool ok =
            c->plugin ? run_worker(c, trust, server, n, cpu_us, per_second) : run_bare(server, n, cpu_us, per_second);
        if (!ok)
            fprintf(stderr, "%s: %llu of %llu messages left\n", c->what, (unsigned long long)canned_sqs_left(server),
                    (unsigned long long)n);
        canned_sqs_stop(server);
        if (!ok)
            return false;
        samples[i].ratio[round] = *cpu_us / samples[c->floor].cpu_us[round];
    }
    return true;
}

static void
print(struct samples *samples, size_t rounds)
{
    char what[80];
    for (int i = 0; i < CASES; i++) {
        const struct bench_case *c = &cases[i];
        snprintf(what, sizeof what, "%s: CPU per message", c->what);
        figure_print(&(struct figure){.what = what,
                                      .value = figure_median(samples[i].cpu_us, rounds),
                                      .unit = "us",
                                      .ratio = figure_median(samples[i].ratio, rounds),
                                      .ratio_of = c->tls                   ? "without TLS"
                                                  : cases[c->floor].plugin ? "4 threads"
                                                                           : "bare loop",
                                      .most = c->most_us});
    }
    for (int i = BARE_1K; i <= TLS_1K; i++) {
        snprintf(what, sizeof what, "%s: messages", cases[i].what);
        figure_print(
            &(struct figure){.what = what, .value = figure_median(samples[i].per_second, rounds), .unit = "/s"});
    }
}

static long
number_from(const char *name, long otherwise)
{
    const char *text = getenv(name);
    return text ? strtol(text, NULL, 10) : otherwise;
}

int
main(int argc, char **argv)
{
    static struct samples samples[CASES];
    if (argc == 3 && strcmp(argv[1], "--bare") == 0)
        return bare_loop_run(argv[2], BARE_LANES) > 0 ? 0 : 1;
    long messages = number_from("MESSAGES", 20000), rounds = number_from("ROUNDS", 3);
    if (messages < 1000 || rounds < 1 || rounds > ROUNDS_MAX) {
        fprintf(stderr, "MESSAGES is at least 1000, ROUNDS 1 to %d\n", ROUNDS_MAX);
        return 1;
    }
    setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", 1);
    struct trust trust = {.authority = cert_new(&(struct cert_wish){.name = "bench authority", .authority = true})};
    trust.leaf = cert_new(&(struct cert_wish){.name = "bench", .hosts = "DNS:localhost", .issuer = trust.authority});
    trust.ca_file = cert_write(tmp_new(), "ca.pem", trust.authority, NULL);
    bool ok = true;
    for (int round = 0; ok && round < rounds; round++)
        ok = run_round(samples, &trust, round, (uint64_t)messages);
    if (ok)
        print(samples, (size_t)rounds);
    cert_destroy(trust.leaf);
    cert_destroy(trust.authority);
    return ok ? 0 : 1;
}
