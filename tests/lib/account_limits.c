/* How often at most: calls of a message, messages in a while, requests in a while. */
#include <stdlib.h>
#include <string.h>

#include "lib/account_impl.h"

#include <fanout/handler.h>

#define BEHIND_MS 9000 /* the handlers' clock may be behind the worker's by so much: a leap, and one unseen */

/* ---- calls ------------------------------------------------------------------------------------------------------- */

/* Which calls count towards retry.max_attempts: those that end in a retry, in a broken contract or with the lease lost.
 * Not: HANDLER_DOWN, which says nothing of the message; "done" or "reject", which end it (that such a one comes again
 * is a lost delete or dead letter, or one delivered twice); and a call whose worker was killed. */
static bool
counts(int32_t verdict)
{
    return verdict == HANDLER_RETRY || verdict == CHAOS_VIOLATION || verdict == CHAOS_LOST;
}

void
account_count_call(struct account_message *m, const struct chaos_entry *e, int32_t verdict)
{
    unsigned w = 0;
    m->downs += verdict == HANDLER_DOWN;
    m->lost += verdict == CHAOS_LOST;
    while (w < m->n_workers && m->tries[w].pid != e->pid)
        w++;
    ACCOUNT_CHECK(w < ACCOUNT_WORKERS);
    if (w == m->n_workers)
        m->tries[m->n_workers++].pid = e->pid;
    m->tries[w].failed += counts(verdict);
}

/* A worker counts a receive as an attempt, and each failure here beyond the first of a receive; so none lets a message
 * fail more often than it may, but for one failure as it drains, which is no attempt. Its successor knows of receives
 * alone. On a standard queue each failure had a receive, so that all of them together are bounded by the same number. A
 * message that was delivered twice at one receive count may fail twice at it.
 *
 * And whatever a call came to, it has a cause: a delivery; a failure that is followed by another try here, without a
 * receive (be it only what the handler published that was refused); a HANDLER_DOWN, after which the message is held; a
 * worker that took it over from another; or one before it in its group that came again, so that its own verdict, told
 * in the same call, was dropped. */
static void
judge_calls(struct account *a, const struct account_message *m, uint32_t n, unsigned before)
{
    unsigned most = a->rules.leaves[m->queue] ? a->rules.max_receives : a->rules.max_attempts, failed = 0;
    unsigned twice = m->deliveries > m->receives ? m->deliveries - m->receives : 0;
    for (unsigned w = 0; w < m->n_workers; w++) {
        failed += m->tries[w].failed;
        if (m->tries[w].failed > most + 1 + twice)
            account_find(a, "attempts: message %u failed %u times with one worker, of %u (%u receives, %u deliveries)",
                         n, m->tries[w].failed, most, m->receives, m->deliveries);
    }
    if (m->queue != ACCOUNT_FIFO && failed > most + m->n_workers + twice)
        account_find(a, "attempts: message %u failed %u times, of %u (%u receives, %u deliveries, %u workers)", n,
                     failed, most, m->receives, m->deliveries, m->n_workers);
    if (m->handled > m->deliveries + failed + m->unsent + m->downs + before + (m->n_workers ? m->n_workers - 1 : 0))
        account_find(a, "calls: message %u was handled %u times: %u deliveries, %u failures, %u times down, %u workers",
                     n, m->handled, m->deliveries, failed, m->downs, m->n_workers);
}

void
account_judge_calls(struct account *a)
{
    unsigned *again =
        calloc(a->rules.messages + 1, sizeof *again); /* by group: deliveries and calls beyond the first */
    ACCOUNT_CHECK(again);
    for (uint32_t n = 0; n < a->rules.messages; n++) {
        const struct account_message *m = &a->messages[n];
        bool grouped = m->group < a->rules.messages;
        judge_calls(a, m, n, grouped ? again[m->group] : 0);
        if (grouped)
            again[m->group] += (m->handled > 1 ? m->handled - 1 : 0) + (m->deliveries > 1 ? m->deliveries - 1 : 0);
    }
    free(again);
}

/* With lease.max_s a message that was held for longer is lost to its handler; but it counts from the last receive, when
 * that brought the message once more while its handler had it. */
void
account_check_lease(struct account *a, const struct chaos_entry *e, int32_t verdict)
{
    unsigned most_s = a->rules.lease_max_s[a->messages[e->message].queue];
    int64_t held_ms = atomic_load(&e->ended_clock_ms) - e->began_clock_ms;
    bool once = a->messages[e->message].deliveries <= 1;
    if (most_s > 0 && once && verdict == HANDLER_DONE && held_ms > most_s * INT64_C(1000) + BEHIND_MS)
        account_find(a, "lease: message %u was done %lld ms after its handler began, and lease.max_s is %u", e->message,
                     (long long)held_ms, most_s);
}

/* ---- rates ------------------------------------------------------------------------------------------------------- */

#define WINDOW_S  10
#define WINDOW_MS (WINDOW_S * INT64_C(1000))
#define IN_CALLS  120 /* messages that calls had before the window and begin with in it, at most */

struct start {
    int32_t pid;
    int64_t at_ms;
};

static int
compare_starts(const void *x, const void *y)
{
    const struct start *a = x, *b = y;
    if (a->pid != b->pid)
        return a->pid < b->pid ? -1 : 1;
    return (a->at_ms > b->at_ms) - (a->at_ms < b->at_ms);
}

/* Any WINDOW_S seconds of a worker: what a bucket of a second's tokens lets through. */
static void
judge_rate(struct account *a, unsigned queue, struct start *starts, size_t n)
{
    size_t most = a->rules.rate[queue] * (size_t)(WINDOW_MS + 1000 + BEHIND_MS) / 1000 + IN_CALLS;
    qsort(starts, n, sizeof *starts, compare_starts);
    for (size_t i = 0, first = 0; i < n; i++) {
        while (starts[first].pid != starts[i].pid || starts[i].at_ms - starts[first].at_ms > WINDOW_MS)
            first++;
        if (i - first + 1 <= most)
            continue;
        account_find(a, "rate: %s: more than %zu messages were handled in %d s, of %u a second", a->rules.queues[queue],
                     most, WINDOW_S, a->rules.rate[queue]);
        return;
    }
}

/* ---- requests in vain -------------------------------------------------------------------------------------------- */

void
account_note_use(struct account *a, bool useful)
{
    size_t at = (size_t)(a->rules.now_ms() - a->began_ms) / 1000;
    if (at >= a->n_vain) {
        size_t n = at + 1000;
        a->vain = realloc(a->vain, n * sizeof *a->vain);
        ACCOUNT_CHECK(a->vain);
        memset(a->vain + a->n_vain, 0, (n - a->n_vain) * sizeof *a->vain);
        a->n_vain = n;
    }
    a->vain[at] += useful ? -1 : 1;
}

unsigned
account_most_vain(const struct account *a)
{
    int32_t most = 0, sum = 0;
    for (size_t i = 0; i < a->n_vain; i++) {
        sum += a->vain[i];
        sum -= i >= WINDOW_S ? a->vain[i - WINDOW_S] : 0;
        most = sum > most ? sum : most;
    }
    return (unsigned)most;
}

/* In vain is what failed, was broken off, or brought no messages. While others go well, faults strike less than half
 * and each is outweighed by one of use. Otherwise each kind of request that fails waits before the next one
 * (src/worker/poll.c, outbox.c: 100 ms at least and doubling), an outbox having up to sixteen calls under way that may
 * fail together; and a receive that brings nothing has waited for seconds, or pauses. That leaves room for some hundred
 * in ten seconds of two workers and their successors; a loop without a pause makes thousands. */
#define VAIN_MOST 400

void
account_judge_rates(struct account *a, struct chaos_record *record)
{
    if (account_most_vain(a) > VAIN_MOST)
        account_find(a, "requests: %u in vain within %d s", account_most_vain(a), WINDOW_S);
    uint32_t n = atomic_load(&record->next), n_starts;
    n = n < record->capacity ? n : record->capacity;
    struct start *starts = calloc(n + 1, sizeof *starts);
    ACCOUNT_CHECK(starts);
    for (unsigned q = 0; q < ACCOUNT_QUEUES; q++) {
        n_starts = 0;
        for (uint32_t i = 0; i < n && a->rules.rate[q] > 0; i++) {
            const struct chaos_entry *e = &chaos_record_entries(record)[i];
            if (e->began_ns && e->message < a->rules.messages && a->messages[e->message].queue == q)
                starts[n_starts++] = (struct start){e->pid, e->began_clock_ms};
        }
        judge_rate(a, q, starts, n_starts);
    }
    free(starts);
}
