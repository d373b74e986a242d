#include "lib/account.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "lib/account_impl.h"

void
account_find(struct account *a, const char *format, ...)
{
    va_list ap;
    if (a->found++ >= ACCOUNT_FINDINGS_MAX)
        return;
    va_start(ap, format);
    buf_add_format_va(&a->findings, format, ap);
    va_end(ap);
    buf_add_char(&a->findings, '\n');
}

void
account_trace(const struct account *a, const struct account_message *m, int64_t at_ns, const char *what, int64_t figure)
{
    const char *wanted = getenv("FANOUT_CHAOS_TRACE");
    for (char *end; wanted && *wanted; wanted = end) {
        long n = strtol(wanted, &end, 10);
        if (end == wanted)
            return;
        if (n == m - a->messages)
            printf("trace: %.3f ms, clock %lld: message %ld: %s %lld\n",
                   (double)(at_ns ? at_ns : clock_monotonic_ns()) / 1e6, (long long)a->rules.now_ms(), n, what,
                   (long long)figure);
    }
}

struct account *
account_new(const struct account_rules *rules)
{
    struct account *a = calloc(1, sizeof *a);
    ACCOUNT_CHECK(a);
    a->rules = *rules;
    a->began_ms = rules->now_ms();
    a->n_handles = 16 * rules->messages + 65536;
    a->messages = calloc(rules->messages, sizeof *a->messages);
    a->handles = calloc(a->n_handles, sizeof *a->handles);
    a->receives = calloc(ACCOUNT_RECEIVES_MAX, sizeof *a->receives);
    ACCOUNT_CHECK(a->messages && a->handles && a->receives);
    pthread_mutex_init(&a->lock, NULL);
    return a;
}

void
account_destroy(struct account *a)
{
    if (!a)
        return;
    pthread_mutex_destroy(&a->lock);
    buf_clean_up(&a->findings);
    free(a->messages);
    free(a->handles);
    free(a->receives);
    free(a->vain);
    free(a);
}

void
account_put(struct account *a, uint32_t n, enum account_fate fate, unsigned queue, uint32_t group)
{
    ACCOUNT_CHECK(n < a->rules.messages && queue < ACCOUNT_QUEUES);
    a->messages[n].fate = fate;
    a->messages[n].queue = queue;
    a->messages[n].group = group;
}

void
account_put_twin(struct account *a, uint32_t n, uint32_t of)
{
    ACCOUNT_CHECK(n < a->rules.messages && of < n);
    a->messages[n].twin = &a->messages[of];
    a->messages[of].twin = &a->messages[n];
}

void
account_put_pieces(struct account *a, uint32_t n, unsigned pieces)
{
    ACCOUNT_CHECK(n < a->rules.messages && pieces <= ACCOUNT_PIECES);
    a->messages[n].pieces = pieces;
}

void
account_cap(struct account *a, unsigned queue, size_t cap)
{
    pthread_mutex_lock(&a->lock);
    for (size_t i = 0; i < a->rules.messages; i++)
        if (a->messages[i].queue == queue)
            a->messages[i].in_hand = false;
    a->in_hand[queue] = a->reserved[queue] = 0;
    a->epoch[queue]++;
    a->cap[queue] = cap;
    pthread_mutex_unlock(&a->lock);
}

void
account_allow_doubles(struct account *a)
{
    a->doubles = true;
}

size_t
account_deleted(struct account *a)
{
    pthread_mutex_lock(&a->lock);
    size_t n = a->deleted;
    pthread_mutex_unlock(&a->lock);
    return n;
}

static void
note_letter(struct account *a, const struct account_letter *l)
{
    if (!l->has_n || l->n >= a->rules.messages) {
        account_find(a, "dead letter: %s has a message that nobody had sent", a->rules.dead[l->queue]);
        return;
    }
    struct account_message *m = &a->messages[l->n];
    m->letters++;
    m->letter_by_us = l->reason != NULL;
    snprintf(m->reason, sizeof m->reason, "%s", l->reason ? l->reason : "");
    if (m->queue != l->queue)
        account_find(a, "dead letter: message %u of %s lies in %s", l->n, a->rules.queues[m->queue],
                     a->rules.dead[l->queue]);
    if (!l->keeps_attribute)
        account_find(a, "dead letter: message %u lost its attribute", l->n);
}

void
account_letter(struct account *a, const struct account_letter *l)
{
    pthread_mutex_lock(&a->lock);
    note_letter(a, l);
    pthread_mutex_unlock(&a->lock);
}

void
account_piece(struct account *a, uint32_t n, unsigned piece)
{
    pthread_mutex_lock(&a->lock);
    if (n < a->rules.messages && piece < ACCOUNT_PIECES)
        a->messages[n].published[piece].times++;
    else
        account_find(a, "publish: piece %u of message %u, which nobody has sent", piece, n);
    pthread_mutex_unlock(&a->lock);
}
