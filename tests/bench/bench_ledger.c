/* bench_ledger: what it costs to keep a message in the ledger, beside what a bare copy of it costs. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "ipc/ledger.h"
#include "lib/figures.h"

#define IN_HAND 100

static struct ledger *ledger;

/* Nanoseconds for one message's way through the ledger, or through a copy of the same bytes when there is no ledger. */
static double
measure(const struct ledger_message *m, char *copies, int rounds)
{
    uint32_t record[IN_HAND];
    int64_t start = clock_monotonic_ns();
    for (int r = 0; r < rounds; r++) {
        for (int i = 0; i < IN_HAND; i++) {
            if (copies)
                memcpy(copies + (size_t)i * m->body.n, m->body.p, m->body.n);
            else if (ledger_put(ledger, m, &record[i], NULL) != 0)
                abort();
        }
        for (int i = 0; i < IN_HAND && !copies; i++) {
            ledger_set_state(ledger, record[i], LEDGER_HANDLING, 0);
            ledger_set_state(ledger, record[i], LEDGER_DONE, -1);
            ledger_release(ledger, record[i]);
        }
        __asm__ volatile("" ::"r"(copies) : "memory");
    }
    return (double)(clock_monotonic_ns() - start) / rounds / IN_HAND;
}

int
main(void)
{
    static const size_t sizes[] = {200, 1500, 10000, 262144};
    const struct ledger_options options = {.records = 1000, .threads = 4};
    struct err e;
    int fd;
    if (ledger_create(&options, &fd, &ledger, &e) != 0) {
        fprintf(stderr, "%s\n", e.text);
        return 1;
    }
    ledger_reset(ledger);
    char *body = calloc(1, 262144), *copies = malloc((size_t)IN_HAND * 262144);
    if (!body || !copies)
        abort();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const struct ledger_message m = {.id = SLICE("5fea7756-0ea4-451a-a703-a558b933e274"),
                                         .receipt_handle = slice_of(body, 180),
                                         .md5_of_body = slice_of(body, 32),
                                         .body = slice_of(body, sizes[i])};
        int rounds = sizes[i] < 100000 ? 3000 : 30;
        measure(&m, NULL, rounds / 10);
        double ns = measure(&m, NULL, rounds), bare = measure(&m, copies, rounds);
        char what[80];
        snprintf(what, sizeof what, "ledger: put, two states, release of %zu bytes", sizes[i]);
        figure_print(&(struct figure){.what = what, .value = ns, .unit = "ns", .ratio = ns / bare, .ratio_of = "copy"});
    }
    free(copies);
    free(body);
    ledger_close(ledger);
    close(fd);
    return 0;
}
