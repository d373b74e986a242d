#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/account_impl.h"

#include <fanout/handler.h>

/* ---- the record -------------------------------------------------------------------------------------------------- */

static void
read_entry(struct account *a, struct chaos_entry *e)
{
    int32_t verdict = atomic_load(&e->verdict);
    int64_t ended_ns = atomic_load(&e->ended_ns);
    if (e->began_ns == 0 || e->message >= a->rules.messages)
        return; /* killed before it was written */
    struct account_message *m = &a->messages[e->message];
    m->handled++;
    account_count_call(m, e, verdict);
    account_check_lease(a, e, verdict);
    account_trace(a, m, e->began_ns, "handling begun, receive count", e->receives);
    account_trace(a, m, ended_ns, "handling ended, verdict", verdict);
    if (!m->first_began_ns || e->began_ns < m->first_began_ns)
        m->first_began_ns = e->began_ns;
    if (e->began_ns > m->last_began_ns) {
        m->last_began_ns = e->began_ns;
        m->last_verdict = verdict;
        m->last_ended_ns = ended_ns;
        m->last_pid = e->pid;
    }
    bool stumbled = verdict != HANDLER_DONE && verdict != HANDLER_REJECT;
    int64_t stumbled_ns = ended_ns ? ended_ns : e->began_ns;
    if (stumbled && (!m->stumbled_ns || stumbled_ns < m->stumbled_ns))
        m->stumbled_ns = stumbled_ns;
    if (verdict == HANDLER_REJECT && (!m->rejected_ns || ended_ns < m->rejected_ns))
        m->rejected_ns = ended_ns;
    if (verdict == HANDLER_DONE && (!m->done_ns || ended_ns < m->done_ns)) {
        m->done_ns = ended_ns;
        m->done_began_ns = e->began_ns;
        m->done_pid = e->pid;
    }
}

static void
read_record(struct account *a, struct chaos_record *r)
{
    uint32_t n = atomic_load(&r->next);
    if (n > r->capacity) {
        account_find(a, "record: no room for %u entries of %u", n - r->capacity, n);
        n = r->capacity;
    }
    for (uint32_t i = 0; i < n; i++)
        read_entry(a, &chaos_record_entries(r)[i]);
}

/* ---- one message ------------------------------------------------------------------------------------------------- */

static bool
begins_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* A message of a group that its handler left alone, because one before it had failed, counts as forgotten when that one
 * was given up: a call that is in no record. */
#define UNRECORDED(m) ((m)->group == ACCOUNT_NO_GROUP ? 0 : 2)

/* Whether a dead letter's reason is that its attempts, or the queue's receives, were used up, and they were. Receives
 * that faults swallowed count, so one that was to be done in the end may have been given up. */
static bool
is_given_up(const struct account *a, const struct account_message *m)
{
    unsigned times;
    if (sscanf(m->reason, "failed %u times, as often as retry.max_attempts allows; last: ", &times) == 1)
        return times >= a->rules.max_attempts && m->receives + m->handled + UNRECORDED(m) > times;
    if (sscanf(m->reason, "failed %u times, as often as the queue's maxReceiveCount allows; last: ", &times) == 1)
        return m->receives + m->handled + UNRECORDED(m) > times;
    return sscanf(m->reason,
                  "failed at receive %u, the last that the queue's maxReceiveCount allows; last: ", &times) == 1 &&
           times <= m->receives;
}

/* What its handler published was refused each time, or once more when that had happened before. */
static bool
is_given_up_done(const struct account *a, const struct account_message *m)
{
    return m->pieces > 0 && is_given_up(a, m) && strstr(m->reason, "; last: publish to ");
}

static bool
has_right_reason(const struct account *a, const struct account_message *m, uint32_t n)
{
    char wanted[ACCOUNT_REASON];
    switch (m->fate) {
    case ACCOUNT_DONE:
        return (m->done_ns == 0 && is_given_up(a, m)) || is_given_up_done(a, m);
    case ACCOUNT_REJECTED:
        snprintf(wanted, sizeof wanted, "message %u is rejected", n);
        return strcmp(m->reason, wanted) == 0;
    case ACCOUNT_FAILED:
        return is_given_up(a, m);
    case ACCOUNT_UNDECODABLE:
        return begins_with(m->reason, "undecodable body: ");
    case ACCOUNT_MISMATCHED:
        return strcmp(m->reason, "does not match the consumer's filter") == 0;
    default:
        return false;
    }
}

/* It had not to be handled itself. */
static bool
is_done_by_twin(const struct account_message *m)
{
    return m->twin && m->twin->done_ns && m->delete_asked_ns > m->twin->done_ns;
}

static bool
is_never_handled(const struct account_message *m)
{
    return m->fate == ACCOUNT_FILTERED || m->fate == ACCOUNT_UNDECODABLE || m->fate == ACCOUNT_MISMATCHED ||
           m->fate == ACCOUNT_LEFT;
}

/* That the queue moved it is what it was to come to: it was left to it, and it was received as often as it may be. */
static bool
is_moved_rightly(const struct account *a, const struct account_message *m)
{
    bool failed = m->fate == ACCOUNT_FAILED || (m->fate == ACCOUNT_DONE && (!m->done_ns || m->pieces > 0));
    return (m->fate == ACCOUNT_LEFT || (failed && a->rules.leaves[m->queue])) && m->receives >= a->rules.max_attempts &&
           m->receives <= a->rules.max_receives;
}

static void
judge_end(struct account *a, const struct account_message *m, uint32_t n)
{
    if (is_never_handled(m) && m->handled > 0)
        account_find(a, "handled: message %u, which was to be %s, %u times", n,
                     m->fate == ACCOUNT_UNDECODABLE ? "found undecodable" : "filtered out", m->handled);
    if (m->letters > 0 && !m->letter_by_us && is_moved_rightly(a, m))
        return;
    if (m->letters > 0 && !m->letter_by_us)
        account_find(a, "end: message %u was moved by the queue, not by us, after %u receives and %u calls", n,
                     m->receives, m->handled);
    else if (m->letters > 0 && !has_right_reason(a, m, n))
        account_find(a,
                     "reason: message %u, whose fate is %d, was dead-lettered: \"%s\", after %u receives and %u calls",
                     n, m->fate, m->reason, m->receives, m->handled);
    bool accounted = m->letters > 0 || (m->fate == ACCOUNT_DONE && (m->done_ns || is_done_by_twin(m))) ||
                     (m->fate == ACCOUNT_FILTERED && m->delete_asked_ns);
    if (!accounted)
        account_find(a, "lost: message %u, whose fate is %d: %u deliveries, %u calls, the last verdict %d", n, m->fate,
                     m->deliveries, m->handled, m->last_verdict);
    if (m->letter_by_us && m->letters > m->letters_asked * (a->doubles ? 2 : 1))
        account_find(a, "dead letter: message %u lies there %u times and was sent %u times", n, m->letters,
                     m->letters_asked);
}

static void
judge_delete(struct account *a, const struct account_message *m, uint32_t n)
{
    bool done = m->done_ns && m->done_ns <= m->delete_asked_ns;
    bool moved = m->letter_confirmed_ns && m->letter_confirmed_ns <= m->delete_asked_ns;
    if (m->delete_asked_ns && !done && !moved && !is_done_by_twin(m) && m->fate != ACCOUNT_FILTERED)
        account_find(a, "delete: message %u was deleted before it was done or moved", n);
    /* One that was delivered once more, by a receive that was under way then, is at least once's. */
    bool excused = m->delivered_ns > m->done_began_ns && m->receive_ns < m->delete_confirmed_ns;
    if (m->delete_confirmed_ns && m->last_began_ns > m->delete_confirmed_ns && !excused)
        account_find(a, "again: message %u was handled after its delete was confirmed", n);
}

/* done: that was, and whose delete was then sent, so that its event was completed. */
static bool
is_repeated(const struct account *a, const struct account_message *done, const struct account_message *m)
{
    enum account_memory memory = a->rules.memory[m->queue];
    return memory != ACCOUNT_NOBODY && (memory == ACCOUNT_HOST || m->last_pid == done->done_pid) && done->done_ns &&
           done->delete_asked_ns > done->done_ns && m->last_began_ns > done->delete_asked_ns;
}

static void
judge_event(struct account *a, const struct account_message *m, uint32_t n)
{
    if (is_repeated(a, m, m))
        account_find(a, "event: message %u was handled again after its event was completed", n);
    if (m->twin && is_repeated(a, m->twin, m))
        account_find(a, "event: message %u was handled after its event was completed by message %zu", n,
                     (size_t)(m->twin - a->messages));
}

/* When what stands behind m in its group may be begun; 0: never. A rejected one does not come again: the handler of a
 * batch goes on. One whose twin is done may be a duplicate from then on. */
static int64_t
decided_ns(const struct account_message *m)
{
    if (m->rejected_ns)
        return m->rejected_ns;
    if (m->letters > 0 && m->letter_by_us)
        return m->letter_confirmed_ns;
    int64_t twin_ns = m->twin ? m->twin->done_ns : 0;
    return twin_ns && (!m->done_ns || twin_ns < m->done_ns) ? twin_ns : m->done_ns;
}

/* With fifo.on_failure = skip those behind one that failed may be begun from then on. */
static int64_t
passable_ns(const struct account *a, const struct account_message *m)
{
    int64_t at_ns = decided_ns(m);
    return a->rules.skips && m->stumbled_ns && (!at_ns || m->stumbled_ns < at_ns) ? m->stumbled_ns : at_ns;
}

/* ---- groups ------------------------------------------------------------------------------------------------------ */

static void
judge_order(struct account *a)
{
    uint32_t groups = 0;
    for (size_t i = 0; i < a->rules.messages; i++)
        if (a->messages[i].group != ACCOUNT_NO_GROUP && a->messages[i].group >= groups)
            groups = a->messages[i].group + 1;
    struct account_message **last = calloc(groups + 1, sizeof(struct account_message *));
    if (!last)
        abort();
    for (size_t i = 0; i < a->rules.messages; i++) {
        struct account_message *m = &a->messages[i];
        if (m->group == ACCOUNT_NO_GROUP)
            continue;
        struct account_message *before = last[m->group];
        bool passes = is_never_handled(m) || (m->twin && m->handled == 0);
        if (!passes)
            last[m->group] = m;
        if (before && m->first_began_ns && (!passable_ns(a, before) || m->first_began_ns < passable_ns(a, before)))
            account_find(a,
                         "order: message %zu (fate %d, %u deliveries) of group %u was begun %.3f ms before message %zu "
                         "(fate %d, %u deliveries, %u calls, %u letters) was decided",
                         i, m->fate, m->deliveries, m->group,
                         passable_ns(a, before) ? (double)(passable_ns(a, before) - m->first_began_ns) / 1e6 : -1,
                         (size_t)(before - a->messages), before->fate, before->deliveries, before->handled,
                         before->letters);
    }
    free(last);
}

/* ---- all --------------------------------------------------------------------------------------------------------- */

static void
sum_up(const struct account *a, struct buf *out)
{
    size_t handled = 0, again = 0, twins = 0, letters = 0, moved = 0, deliveries = 0, by_fate[ACCOUNT_FATES] = {0};
    size_t downs = 0, lost = 0, pieces = 0;
    for (size_t i = 0; i < a->rules.messages; i++) {
        const struct account_message *m = &a->messages[i];
        handled += m->handled;
        again += m->handled > 1;
        letters += m->letters;
        moved += m->letters > 0 && !m->letter_by_us;
        downs += m->downs;
        lost += m->lost;
        for (size_t k = 0; k < ACCOUNT_PIECES; k++)
            pieces += m->published[k].times;
        deliveries += m->deliveries;
        twins += m->twin != NULL;
        by_fate[m->fate]++;
    }
    buf_add_format(
        out,
        "%zu messages (to be done %zu, of which %zu are twins, rejected %zu, given up %zu, filtered out %zu "
        "+ %zu dead-lettered + %zu left, found undecodable %zu): %zu deliveries, %zu calls of the handler "
        "(%zu messages more than once, %zu times down, %zu leases lost), %zu dead letters (%zu by the "
        "queue), %zu pieces published; %zu requests, %zu failed, %zu broken off, %u more in vain than of use in 10 s",
        a->rules.messages, by_fate[ACCOUNT_DONE], twins, by_fate[ACCOUNT_REJECTED], by_fate[ACCOUNT_FAILED],
        by_fate[ACCOUNT_FILTERED], by_fate[ACCOUNT_MISMATCHED], by_fate[ACCOUNT_LEFT], by_fate[ACCOUNT_UNDECODABLE],
        deliveries, handled, again, downs, lost, letters, moved, pieces, a->calls, a->failed_calls, a->broken_calls,
        account_most_vain(a));
}

size_t
account_judge(struct account *a, struct chaos_record *record, struct buf *out, struct buf *sums)
{
    pthread_mutex_lock(&a->lock);
    read_record(a, record);
    for (uint32_t n = 0; n < a->rules.messages; n++) {
        judge_end(a, &a->messages[n], n);
        judge_delete(a, &a->messages[n], n);
        judge_event(a, &a->messages[n], n);
        account_judge_pieces(a, &a->messages[n], n, is_done_by_twin(&a->messages[n]));
    }
    account_judge_calls(a);
    account_judge_rates(a, record);
    judge_order(a);
    sum_up(a, sums);
    if (a->found > 0)
        buf_add_slice(out, buf_slice(&a->findings));
    if (a->found > ACCOUNT_FINDINGS_MAX)
        buf_add_format(out, "... and %zu more\n", a->found - ACCOUNT_FINDINGS_MAX);
    size_t found = a->found;
    pthread_mutex_unlock(&a->lock);
    return found;
}
