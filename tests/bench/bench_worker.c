/* bench_worker: CPU of a whole worker process for each message, against an SQS endpoint that answers from memory: HTTP,
 * signatures, JSON, MD5, ledger, handler threads, deletes.
 *
 * Beside it, in turns and in the same run, a bare loop over libcurl and cJSON consumes the same messages. A machine
 * that is shared charges a process for what its neighbours do to caches and cores: never the other way round, so of
 * several rounds the quietest one is nearest to what a message costs, and the median says what this machine made of it.
 * MESSAGES=20000 and ROUNDS=5 change how many; bench_worker --bare URL is the bare loop alone. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/bare_loop.h"
#include "lib/canned_sqs.h"
#include "lib/consume.h"
#include "lib/figures.h"
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
    BARE_200K,
    WORKER_200K,
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
    [BARE_1K] = {"bare loop, 1 KB", NULL, 1024, 0, BARE_1K, 0, false},
    [WORKER_1K] = {"worker, 1 KB", "tests/plugins/noop.so", 1024, 4, BARE_1K, 12, false},
    [TLS_1K] = {"worker, 1 KB, TLS", "tests/plugins/noop.so", 1024, 4, WORKER_1K, 16, true},
    [BATCH_1K] = {"worker, 1 KB, handle_batch", "tests/plugins/noop_batch.so", 1024, 4, BARE_1K, 12, false},
    [ONE_1K] = {"worker, 1 KB, 1 thread", "tests/plugins/noop.so", 1024, 1, WORKER_1K, 0, false},
    [SIXTEEN_1K] = {"worker, 1 KB, 16 threads", "tests/plugins/noop.so", 1024, 16, WORKER_1K, 0, false},
    [MANY_1K] = {"worker, 1 KB, 64 threads", "tests/plugins/noop.so", 1024, 64, WORKER_1K, 0, false},
    [BARE_100] = {"bare loop, 100 B", NULL, 100, 0, BARE_100, 0, false},
    [WORKER_100] = {"worker, 100 B", "tests/plugins/noop.so", 100, 4, BARE_100, 0, false},
    [BARE_10K] = {"bare loop, 10 KB", NULL, 10240, 0, BARE_10K, 0, false},
    [WORKER_10K] = {"worker, 10 KB", "tests/plugins/noop.so", 10240, 4, BARE_10K, 0, false},
    [BARE_200K] = {"bare loop, 200 KB", NULL, 200 << 10, 0, BARE_200K, 0, false},
    [WORKER_200K] = {"worker, 200 KB", "tests/plugins/noop.so", 200 << 10, 4, BARE_200K, 0, false},
};

/* A server's certificate, and who signed it. */
struct trust {
    struct cert *authority, *leaf;
    const char *ca_file;
};

struct samples {
    double cpu_us[ROUNDS_MAX], per_second[ROUNDS_MAX], ratio[ROUNDS_MAX];
};

static bool
run_bare(const struct bench_case *c, struct canned_sqs *server, uint64_t messages, struct consumed *ret)
{
    const char *argv[] = {proc_path("tests/bench/bench_worker"), "--bare", canned_sqs_url(server), NULL};
    return consume_by_program(c->what, proc_spawn(argv, NULL), server, messages, ret);
}

static bool
run_worker(const struct bench_case *c, const struct trust *trust, struct canned_sqs *server, uint64_t messages,
           struct consumed *ret)
{
    char url[100];
    struct consume_worker w = {.plugin = c->plugin, .threads = c->threads};
    struct tls_front *front = NULL;
    if (c->tls) {
        front = tls_front_start(atoi(strrchr(canned_sqs_url(server), ':') + 1), trust->leaf, NULL);
        snprintf(url, sizeof url, "https://localhost:%d", tls_front_port(front));
        w.url = url;
        w.ca_file = trust->ca_file;
    }
    bool ok = consume_by_worker(c->what, &w, server, messages, ret);
    tls_front_stop(front);
    return ok;
}

/* A message's cost in bare loops of the same round. The targets in microseconds come from a machine where the bare loop
 * took BARE_US; as ratios they mean the same on any other. */
#define BARE_US 7.0

static void
print_in_bare_loops(const struct samples *samples, int which, size_t rounds)
{
    char what[80];
    double ratios[ROUNDS_MAX];
    for (size_t r = 0; r < rounds; r++)
        ratios[r] = samples[which].cpu_us[r] / samples[BARE_1K].cpu_us[r];
    snprintf(what, sizeof what, "%s: CPU per message, in bare loops", cases[which].what);
    figure_print(&(struct figure){.what = what,
                                  .value = figure_median(ratios, rounds),
                                  .unit = "x",
                                  .most = round(cases[which].most_us / BARE_US * 100) / 100});
}

/* How much dearer a message is with the worst number of handler threads than with the best, by their medians: within a
 * round, noise alone would set them apart. */
static double
spread(const double *medians)
{
    static const int numbers[] = {ONE_1K, WORKER_1K, SIXTEEN_1K, MANY_1K};
    double least = medians[WORKER_1K], most = least;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        double us = medians[numbers[i]];
        least = us < least ? us : least;
        most = us > most ? us : most;
    }
    return most / least;
}

static bool
run_round(struct samples *samples, const struct trust *trust, int round, uint64_t messages)
{
    for (int i = 0; i < CASES; i++) {
        const struct bench_case *c = &cases[i];
        uint64_t n = c->body_bytes > 100000 ? messages / 50 : c->body_bytes > 4096 ? messages / 4 : messages;
        struct canned_sqs *server = canned_sqs_start(n, c->body_bytes);
        struct consumed r = {0};
        bool ok = c->plugin ? run_worker(c, trust, server, n, &r) : run_bare(c, server, n, &r);
        canned_sqs_stop(server);
        if (!ok)
            return false;
        samples[i].cpu_us[round] = r.cpu_us;
        samples[i].per_second[round] = r.per_second;
        samples[i].ratio[round] = r.cpu_us / samples[c->floor].cpu_us[round];
    }
    return true;
}

static void
print(struct samples *samples, size_t rounds)
{
    char what[80];
    double medians[CASES];
    print_in_bare_loops(samples, WORKER_1K, rounds);
    print_in_bare_loops(samples, TLS_1K, rounds);
    for (int i = 0; i < CASES; i++) {
        const struct bench_case *c = &cases[i];
        medians[i] = figure_median(samples[i].cpu_us, rounds);
        snprintf(what, sizeof what, "%s: CPU per message", c->what);
        figure_print(&(struct figure){.what = what,
                                      .value = medians[i],
                                      .unit = "us",
                                      .ratio = figure_median(samples[i].ratio, rounds),
                                      .ratio_of = c->tls                   ? "without TLS"
                                                  : cases[c->floor].plugin ? "4 threads"
                                                                           : "bare loop",
                                      .most = c->most_us});
    }
    figure_print(&(struct figure){.what = "worker, 1 KB: dearest / cheapest of 1 to 64 threads",
                                  .value = spread(medians),
                                  .unit = "x",
                                  .most = 1.3});
    for (int i = BARE_1K; i <= TLS_1K; i++) {
        snprintf(what, sizeof what, "%s: CPU per message, the quietest round", cases[i].what);
        figure_print(&(struct figure){
            .what = what, .value = figure_least(samples[i].cpu_us, rounds), .unit = "us", .most = cases[i].most_us});
    }
    for (int i = BARE_1K; i <= TLS_1K; i++) {
        snprintf(what, sizeof what, "%s: messages", cases[i].what);
        figure_print(&(struct figure){.what = what,
                                      .value = figure_median(samples[i].per_second, rounds),
                                      .unit = "/s",
                                      .least = i == WORKER_1K ? 60000 : 0});
    }
}

int
main(int argc, char **argv)
{
    static struct samples samples[CASES];
    if (argc == 3 && strcmp(argv[1], "--bare") == 0)
        return bare_loop_run(argv[2], BARE_LANES) > 0 ? 0 : 1;
    long messages = figure_setting("MESSAGES", 20000, 1000), rounds = figure_setting("ROUNDS", 5, 1);
    if (rounds > ROUNDS_MAX) {
        fprintf(stderr, "ROUNDS is %d at most\n", ROUNDS_MAX);
        return 1;
    }
    consume_set_credentials();
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
