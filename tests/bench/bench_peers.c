/* bench_peers: CPU of other consumers for each message, over the same messages and in the same run as a worker's.
 *
 * Each is a program under tests/bench/peers, written as its users write one: batches of ten, MD5s checked where the
 * library does, deleted in batches. Its `prepare OUT` fetches and builds what it needs into OUT, once, and makes
 * OUT/run, which takes the queue's URL; it ends with 77, having said why, where that is impossible, and the peer is
 * skipped. PEERS="go python" names the ones to run; MESSAGES=20000 and ROUNDS=3 change how many. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/canned_sqs.h"
#include "lib/consume.h"
#include "lib/figures.h"
#include "lib/proc.h"

#define ROUNDS_MAX 25
#define PREPARE_MS (30 * 60 * 1000)
#define SKIPPED    77
#define BODY_BYTES 1024

static const struct peer {
    const char *name, *what;
} peers[] = {
    {"python", "boto3"},
    {"node", "sqs-consumer (AWS SDK for JavaScript v3)"},
    {"go", "aws-sdk-go-v2"},
    {"rust", "aws-sdk-sqs (Rust)"},
};
#define PEERS (sizeof peers / sizeof *peers)

struct samples {
    double cpu_us[ROUNDS_MAX], ratio[ROUNDS_MAX];
};

static const char *
out_of(const struct peer *p)
{
    static char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", proc_path("peers"), p->name);
    return path;
}

static const char *
program_of(const struct peer *p)
{
    static char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s/run", proc_path("peers"), p->name);
    return path;
}

static bool
is_wanted(const struct peer *p)
{
    const char *names = getenv("PEERS");
    return !names || strstr(names, p->name);
}

/* False: it is skipped, with a word. */
static bool
prepare(const struct peer *p)
{
    char folder[PATH_MAX];
    snprintf(folder, sizeof folder, "tests/bench/peers/%s", p->name);
    mkdir(proc_path("peers"), 0777);
    mkdir(out_of(p), 0777);
    const struct proc_options o = {.argv = (const char *[]){"./prepare", out_of(p), NULL}, .cwd = folder};
    struct proc *made = proc_start(&o);
    int code = proc_wait_exit(made, PREPARE_MS);
    if (code != 0)
        fprintf(stderr, "%s: skipped: %s%s", p->what, proc_stdout(made), code == SKIPPED ? "" : "its prepare failed\n");
    proc_destroy(made);
    return code == 0;
}

static bool
run_worker(double *ret_cpu_us, uint64_t messages)
{
    struct consumed r;
    const struct consume_worker w = {.plugin = "tests/plugins/noop.so", .threads = 4};
    struct canned_sqs *server = canned_sqs_start(messages, BODY_BYTES);
    bool ok = consume_by_worker("worker", &w, server, messages, &r);
    canned_sqs_stop(server);
    *ret_cpu_us = r.cpu_us;
    return ok;
}

static bool
run_peer(const struct peer *p, double *ret_cpu_us, uint64_t messages)
{
    struct consumed r;
    char queue[200];
    struct canned_sqs *server = canned_sqs_start(messages, BODY_BYTES);
    snprintf(queue, sizeof queue, "%s/000000000000/bench", canned_sqs_url(server));
    const char *argv[] = {program_of(p), queue, NULL};
    bool ok = consume_by_program(p->what, proc_spawn(argv, NULL), server, messages, &r);
    canned_sqs_stop(server);
    *ret_cpu_us = r.cpu_us;
    return ok;
}

int
main(void)
{
    static struct samples samples[PEERS];
    bool ready[PEERS] = {false};
    long messages = figure_setting("MESSAGES", 20000, 1000), rounds = figure_setting("ROUNDS", 3, 1);
    if (rounds > ROUNDS_MAX) {
        fprintf(stderr, "ROUNDS is %d at most\n", ROUNDS_MAX);
        return 1;
    }
    consume_set_credentials();
    for (size_t i = 0; i < PEERS; i++)
        ready[i] = is_wanted(&peers[i]) && prepare(&peers[i]);
    for (int round = 0; round < rounds; round++) {
        double worker_us;
        if (!run_worker(&worker_us, (uint64_t)messages))
            return 1;
        for (size_t i = 0; i < PEERS; i++) {
            ready[i] = ready[i] && run_peer(&peers[i], &samples[i].cpu_us[round], (uint64_t)messages);
            samples[i].ratio[round] = samples[i].cpu_us[round] / worker_us;
        }
    }
    for (size_t i = 0; i < PEERS; i++) {
        char what[80];
        snprintf(what, sizeof what, "%s: CPU per message", peers[i].what);
        if (ready[i])
            figure_print(&(struct figure){.what = what,
                                          .value = figure_median(samples[i].cpu_us, (size_t)rounds),
                                          .unit = "us",
                                          .ratio = figure_median(samples[i].ratio, (size_t)rounds),
                                          .ratio_of = "worker"});
    }
    return 0;
}
