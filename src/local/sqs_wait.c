#include "local/sqs_fifo.h"
#include "local/sqs_impl.h"
#include "local/sqs_move.h"

/* ---- waiting ----------------------------------------------------------------------------------------------------- */

static struct lsqs_call *
call_of(struct store_job *job)
{
    return (struct lsqs_call *)job;
}

/* Sets the timer for the next thing that can happen to somebody who waits. */
static void
set_wake(struct lsqs_queue *q)
{
    int64_t due_ms = q->next_visible_ms;
    for (struct store_job *job = q->waiting; job; job = job->next)
        due_ms = call_of(job)->deadline_ms < due_ms ? call_of(job)->deadline_ms : due_ms;
    if (q->waiting)
        timers_set(&q->sqs->timers, &q->wake, due_ms);
    else
        timers_cancel(&q->sqs->timers, &q->wake);
}

void
lsqs_expect(struct lsqs_queue *q, int64_t at_ms)
{
    if (!q->waiting || at_ms >= q->next_visible_ms)
        return;
    q->next_visible_ms = at_ms;
    if (!timer_is_set(&q->wake) || q->wake.due_ms > at_ms)
        timers_set(&q->sqs->timers, &q->wake, at_ms);
}

static int
find_next_visible(struct store_tx *tx, struct lsqs_queue *q)
{
    if (q->settings.fifo)
        return lsqs_fifo_find_next_visible(tx, q, &q->next_visible_ms);
    sqlite3_stmt *r = store_prepare(tx, "SELECT min(visible_at) FROM sqs_message WHERE box = ?");
    if (r)
        store_bind_int(r, 1, q->box);
    int code = store_step(tx, r);
    if (code <= 0)
        return code;
    q->next_visible_ms = sqlite3_column_type(r, 0) == SQLITE_NULL ? INT64_MAX : sqlite3_column_int64(r, 0);
    store_reset(r);
    return 0;
}

int
lsqs_wait(struct local_sqs *s, struct store_tx *tx, struct lsqs_queue *q, struct lsqs_call *c)
{
    if (!q->waiting) {
        int code = find_next_visible(tx, q);
        if (code < 0)
            return code;
        /* a queue's first timer may need memory; setting it again does not */
        if (timers_set(&s->timers, &q->wake, q->next_visible_ms) != 0)
            return store_fail(tx, ERR_NO_MEMORY, "out of memory");
    }
    c->waits_for = q->id;
    c->job.next = NULL;
    *q->waiting_end = &c->job;
    q->waiting_end = &c->job.next;
    if (c->deadline_ms < q->wake.due_ms)
        timers_set(&s->timers, &q->wake, c->deadline_ms);
    return 0;
}

/* Takes *at out of the list of those that wait for q. */
static struct lsqs_call *
unlink_waiting(struct lsqs_queue *q, struct store_job **at)
{
    struct lsqs_call *c = call_of(*at);
    if (!(*at = c->job.next))
        q->waiting_end = at;
    c->job.next = NULL;
    c->waits_for = 0;
    return c;
}

void
lsqs_stop_waiting(struct local_sqs *s, struct lsqs_call *c)
{
    if (!c->waits_for)
        return;
    struct lsqs_queue *q = lsqs_find_queue(s, c->queue_name);
    for (struct store_job **at = q ? &q->waiting : NULL; at && *at; at = &(*at)->next)
        if (*at == &c->job) {
            unlink_waiting(q, at);
            break;
        }
    c->waits_for = 0;
}

void
lsqs_dismiss_waiting(struct local_sqs *s, struct store_tx *tx, struct lsqs_queue *q)
{
    (void)s;
    while (q->waiting) {
        struct lsqs_call *c = unlink_waiting(q, &q->waiting);
        lsqs_fail(&c->error, LSQS_NO_SUCH_QUEUE, "The specified queue does not exist.");
        store_complete(tx, &c->job);
    }
}

/* Gives what is visible to those that wait, first come first served. Whoever has hung up gets nothing: the message
 * would be invisible to the others for nothing. */
static int
serve_waiting(struct store_tx *tx, struct lsqs_queue *q)
{
    while (q->waiting && q->next_visible_ms <= store_now_ms(tx)) {
        struct lsqs_call *c = call_of(q->waiting);
        struct lsqs_messages_result *result = c->result;
        c->queue = q;
        int code = httpd_peer_gone(c->call->http) ? 0 : lsqs_receive_now(tx, c);
        if (code < 0)
            return code;
        if (result->messages.n > 0 || c->error.kind != LSQS_OK || httpd_peer_gone(c->call->http)) {
            store_complete(tx, &unlink_waiting(q, &q->waiting)->job);
            continue;
        }
        code = find_next_visible(tx, q);
        if (code < 0)
            return code;
        if (q->next_visible_ms <= store_now_ms(tx)) /* nothing there to be had after all: not before the next turn */
            q->next_visible_ms = store_now_ms(tx) + 1;
    }
    return 0;
}

static void
end_overdue(struct store_tx *tx, struct lsqs_queue *q, int64_t now_ms)
{
    for (struct store_job **at = &q->waiting; *at;) {
        if (call_of(*at)->deadline_ms <= now_ms)
            store_complete(tx, &unlink_waiting(q, at)->job);
        else
            at = &(*at)->next;
    }
}

void
lsqs_fire_wake(struct timer *t, int64_t now_ms)
{
    struct lsqs_queue *q = (struct lsqs_queue *)(void *)((char *)t - offsetof(struct lsqs_queue, wake));
    struct local_sqs *s = q->sqs;
    int code = lsqs_touch(s, s->turning, q);
    if (code == 0)
        code = serve_waiting(s->turning, q);
    if (code < 0)
        s->turn_code = code;
    else
        end_overdue(s->turning, q, now_ms);
    set_wake(q);
}

/* ---- the store's turns ------------------------------------------------------------------------------------------- */

int
lsqs_turn(void *sqs, struct store_tx *tx)
{
    struct local_sqs *s = sqs;
    s->turning = tx;
    s->turn_code = lsqs_turn_moves(s, tx); /* first: those who wait are served what was moved in the same turn */
    if (s->turn_code == 0)
        timers_run(&s->timers, store_now_ms(tx));
    s->turning = NULL;
    if (s->turn_code == 0)
        s->turn_code = lsqs_dedup_load_some(s, tx);
    if (s->turn_code == 0 && s->has_garbage)
        s->turn_code = lsqs_clear_garbage(s, tx);
    return s->turn_code;
}

int64_t
lsqs_due_ms(void *sqs)
{
    const struct local_sqs *s = sqs;
    if (s->has_garbage || !lsqs_dedup_is_loaded(s))
        return INT64_MIN;
    int64_t due_ms = s->timers.count > 0 ? s->timers.heap[0]->due_ms : INT64_MAX;
    return due_ms < s->moves_due_ms ? due_ms : s->moves_due_ms;
}

void
lsqs_stop(void *sqs, struct store_tx *tx)
{
    struct local_sqs *s = sqs;
    for (size_t i = 0; i < s->n_places; i++)
        for (struct lsqs_queue *q = s->table[i]; q; q = q->next)
            end_overdue(tx, q, INT64_MAX);
}
