#include "local/sqs_receive.h"

#include <stdio.h>
#include <string.h>

#include "local/sqs_dead_letters.h"
#include "local/sqs_fair.h"
#include "local/sqs_fifo.h"

#define MAX_MESSAGES   10
#define MAX_ROUNDS     100
#define MAX_ATTRIBUTES 10 /* system attributes of one message */

/* ---- what is asked for ------------------------------------------------------------------------------------------- */

static const char *const SYSTEM_NAMES[] = {"SenderId",
                                           "SentTimestamp",
                                           "ApproximateReceiveCount",
                                           "ApproximateFirstReceiveTimestamp",
                                           "SequenceNumber",
                                           "MessageDeduplicationId",
                                           "MessageGroupId",
                                           "AWSTraceHeader",
                                           "DeadLetterQueueSourceArn"};
#define N_SYSTEM_NAMES (sizeof SYSTEM_NAMES / sizeof *SYSTEM_NAMES)

static bool
check_names(const struct lsqs_list *names, struct lsqs_error *e)
{
    const struct slice *s = names->items;
    for (size_t i = 0; i < names->n; i++) {
        bool known = slice_equals(s[i], SLICE("All"));
        for (size_t j = 0; j < N_SYSTEM_NAMES && !known; j++)
            known = slice_equals_string(s[i], SYSTEM_NAMES[j]);
        if (!known)
            return lsqs_fail(e, LSQS_INVALID_ATTRIBUTE_NAME, "Unknown Attribute %.*s.",
                             (int)(s[i].n < 200 ? s[i].n : 200), s[i].p);
    }
    return true;
}

bool
lsqs_check_receive(struct lsqs_call *c)
{
    const struct lsqs_receive *r = c->request;
    if (r->max.given && (r->max.value < 1 || r->max.value > MAX_MESSAGES))
        return lsqs_fail(
            &c->error, LSQS_INVALID_VALUE,
            "Value %lld for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if "
            "provided.",
            (long long)r->max.value);
    if (r->wait_s.given && (r->wait_s.value < 0 || r->wait_s.value > 20))
        return lsqs_fail(
            &c->error, LSQS_INVALID_VALUE,
            "Value %lld for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= 20, if provided.",
            (long long)r->wait_s.value);
    if (r->visibility_s.given && (r->visibility_s.value < 0 || r->visibility_s.value > LSQS_MAX_VISIBILITY_S))
        return lsqs_fail(&c->error, LSQS_INVALID_VALUE,
                         "Value %lld for parameter VisibilityTimeout is invalid. Reason: Must be >= 0 and <= 43200, if "
                         "provided.",
                         (long long)r->visibility_s.value);
    if (r->attempt_id.p && !lsqs_check_token(r->attempt_id, "ReceiveRequestAttemptId", &c->error))
        return false;
    return check_names(&r->attribute_names, &c->error) && check_names(&r->system_names, &c->error);
}

static bool
wants(const struct lsqs_receive *r, const char *name)
{
    const struct lsqs_list *lists[] = {&r->attribute_names, &r->system_names};
    for (size_t i = 0; i < 2; i++) {
        const struct slice *s = lists[i]->items;
        for (size_t j = 0; j < lists[i]->n; j++)
            if (slice_equals(s[j], SLICE("All")) || slice_equals_string(s[j], name))
                return true;
    }
    return false;
}

/* ---- taking messages --------------------------------------------------------------------------------------------- */

static struct slice
keep(struct arena *arena, struct slice s)
{
    return s.p ? slice_of(arena_strndup(arena, s.p, s.n), s.n) : s;
}

/* A column of bytes of a fixed length. */
static bool
copy_bytes(struct slice from, uint8_t *to, size_t n)
{
    if (from.n != n || !from.p)
        return false;
    memcpy(to, from.p, n);
    return true;
}

int
lsqs_read_candidate(struct store_tx *tx, sqlite3_stmt *r, struct arena *arena, struct lsqs_candidate *m)
{
    *m = (struct lsqs_candidate){.id = sqlite3_column_int64(r, 0),
                                 .sent_at_ms = sqlite3_column_int64(r, 1),
                                 .receives = sqlite3_column_int64(r, 2),
                                 .first_received_at_ms = sqlite3_column_int64(r, 3)};
    if (!copy_bytes(store_column(r, 4), m->uuid, sizeof m->uuid) ||
        !copy_bytes(store_column(r, 5), m->md5, sizeof m->md5))
        return store_fail(tx, ERR_CORRUPT, "message %lld makes no sense", (long long)m->id);
    m->source = keep(arena, store_column(r, 6));
    m->trace = keep(arena, store_column(r, 7));
    m->group_id = keep(arena, store_column(r, 8));
    m->attributes = keep(arena, store_column(r, 9));
    m->body = keep(arena, store_column(r, 10));
    m->dedup_id = keep(arena, store_column(r, 11));
    m->sender = keep(arena, store_column(r, 12));
    return m->body.p ? 0 : store_fail(tx, ERR_NO_MEMORY, "out of memory");
}

/* The messages that are due, in the order in which they became visible. */
static int
find_in_order(struct store_tx *tx, struct lsqs_call *c, size_t most, struct lsqs_candidate *out, size_t *ret_n)
{
    size_t n = 0;
    int code = 0;
    sqlite3_stmt *r = store_prepare(tx, "SELECT " LSQS_CANDIDATE_COLUMNS " FROM sqs_message"
                                        " WHERE box = ? AND visible_at <= ? ORDER BY visible_at, sent_at LIMIT ?");
    if (r) {
        store_bind_int(r, 1, c->queue->box);
        store_bind_int(r, 2, store_now_ms(tx));
        store_bind_int(r, 3, (int64_t)most);
    }
    while (n < most && (code = store_step(tx, r)) > 0)
        if ((code = lsqs_read_candidate(tx, r, &c->call->arena, &out[n++])) < 0)
            break;
    store_reset(r);
    *ret_n = n;
    return code < 0 ? code : 0;
}

/* Those whose turn it is while a tenant is noisy. */
static int
find_fairly(struct store_tx *tx, struct lsqs_call *c, size_t most, struct lsqs_candidate *out, size_t *ret_n)
{
    int64_t ids[MAX_MESSAGES];
    int code = lsqs_fair_choose(tx, c->queue, most, ids, ret_n);
    for (size_t i = 0; i < *ret_n && code >= 0; i++) {
        sqlite3_stmt *r = store_prepare(tx, "SELECT " LSQS_CANDIDATE_COLUMNS " FROM sqs_message WHERE id = ?");
        if (r)
            store_bind_int(r, 1, ids[i]);
        code = store_step(tx, r);
        if (code == 0) {
            store_fail(tx, ERR_CORRUPT, "message %lld is in an index and nowhere else", (long long)ids[i]);
            return ERR_CORRUPT;
        }
        if (code > 0)
            code = lsqs_read_candidate(tx, r, &c->call->arena, &out[i]);
        store_reset(r);
    }
    return code < 0 ? code : 0;
}

static int
find_candidates(struct store_tx *tx, struct lsqs_call *c, size_t most, struct lsqs_candidate *out, size_t *ret_n)
{
    int fair = lsqs_fair_applies(tx, c->queue);
    if (fair < 0)
        return fair;
    return (fair ? find_fairly : find_in_order)(tx, c, most, out, ret_n);
}

static int
mark_received(struct store_tx *tx, const struct lsqs_candidate *m, int64_t visible_at_ms)
{
    sqlite3_stmt *w = store_prepare(tx, "UPDATE sqs_message SET visible_at = ?, receives = ?, received_at = ?,"
                                        " first_received_at = ? WHERE id = ?");
    if (w) {
        store_bind_int(w, 1, visible_at_ms);
        store_bind_int(w, 2, m->receives);
        store_bind_int(w, 3, store_now_ms(tx));
        store_bind_int(w, 4, m->first_received_at_ms);
        store_bind_int(w, 5, m->id);
    }
    return store_run(tx, w);
}

/* ---- telling of them --------------------------------------------------------------------------------------------- */

/* By hand: three of them for each message by printf would cost as much as building the rest of its answer. */
static struct slice
number(struct arena *arena, int64_t v)
{
    char digits[20], *end = digits + sizeof digits, *at = end;
    uint64_t left = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    do
        *--at = (char)('0' + left % 10);
    while ((left /= 10) > 0);
    if (v < 0)
        *--at = '-';
    char *text = arena_strndup(arena, at, (size_t)(end - at));
    return slice_of(text, text ? (size_t)(end - at) : 0);
}

static void
add(struct lsqs_list *list, const struct lsqs_receive *r, const char *name, struct slice value)
{
    struct local_sqs_attribute *items = list->items;
    if (value.p && wants(r, name))
        items[list->n++] = (struct local_sqs_attribute){.name = slice_of_string(name), .value = value};
}

static void
tell_attributes(struct store_tx *tx, struct lsqs_call *c, const struct lsqs_candidate *m, struct lsqs_message *out)
{
    const struct lsqs_receive *r = c->request;
    struct arena *arena = &c->call->arena;
    char sequence[LSQS_SEQUENCE_TEXT];
    if (r->attribute_names.n == 0 && r->system_names.n == 0)
        return;
    out->attributes.items = arena_alloc(arena, MAX_ATTRIBUTES * sizeof(struct local_sqs_attribute));
    if (!out->attributes.items)
        return;
    add(&out->attributes, r, "SenderId", m->sender.p ? m->sender : slice_of_string(local_account(c->sqs->local)));
    add(&out->attributes, r, "ApproximateFirstReceiveTimestamp",
        number(arena, store_wall_ms(tx, m->first_received_at_ms)));
    add(&out->attributes, r, "ApproximateReceiveCount", number(arena, m->receives));
    add(&out->attributes, r, "SentTimestamp", number(arena, store_wall_ms(tx, m->sent_at_ms)));
    add(&out->attributes, r, "AWSTraceHeader", m->trace);
    add(&out->attributes, r, "MessageGroupId", m->group_id);
    add(&out->attributes, r, "MessageDeduplicationId", m->dedup_id);
    if (c->queue->settings.fifo) {
        lsqs_fifo_format_sequence(m->id, sequence);
        add(&out->attributes, r, "SequenceNumber", keep(arena, slice_of_string(sequence)));
    }
    add(&out->attributes, r, "DeadLetterQueueSourceArn", m->source);
}

int
lsqs_tell(struct store_tx *tx, struct lsqs_call *c, const struct lsqs_candidate *m, struct lsqs_message *out)
{
    const struct lsqs_receive *r = c->request;
    struct arena *arena = &c->call->arena;
    struct lsqs_handle handle = {.queue = c->queue->id, .message = m->id, .receive = (uint32_t)m->receives};
    char text[LSQS_HANDLE_TEXT], uuid[UUID_TEXT_BYTES];
    memcpy(handle.uuid, m->uuid, sizeof handle.uuid);
    lsqs_write_handle(c->sqs->handle_key, &handle, text);
    lsqs_format_uuid(m->uuid, uuid);
    *out = (struct lsqs_message){.message_id = slice_of_string(arena_strdup(arena, uuid)),
                                 .handle = slice_of_string(arena_strdup(arena, text)),
                                 .md5 = lsqs_hex(arena, m->md5, sizeof m->md5),
                                 .body = m->body};
    tell_attributes(tx, c, m, out);
    bool ok = m->attributes.n == 0 || lsqs_unpack_attributes(m->attributes, &r->message_names, arena,
                                                             &out->message_attributes, &out->md5_attributes);
    return ok && out->handle.p ? 0 : store_fail(tx, ERR_NO_MEMORY, "out of memory");
}

/* ---- receiving --------------------------------------------------------------------------------------------------- */

int64_t
lsqs_receive_until_ms(const struct store_tx *tx, const struct lsqs_call *c)
{
    const struct lsqs_receive *r = c->request;
    int64_t visibility_s = r->visibility_s.given ? r->visibility_s.value : c->queue->settings.visibility_s;
    return store_now_ms(tx) + (c->call->duplicate ? 0 : visibility_s * 1000);
}

int
lsqs_take(struct store_tx *tx, struct lsqs_call *c, struct lsqs_candidate *m, struct lsqs_list *messages)
{
    struct lsqs_queue *q = c->queue, *dead_letters;
    const struct lsqs_settings *t = &q->settings;
    int64_t now_ms = store_now_ms(tx);
    if (m->sent_at_ms <= now_ms - t->retention_s * 1000) {
        q->counts.total--;
        lsqs_fifo_removed(q, m->id);
        return lsqs_remove_message(tx, m->id);
    }
    if ((dead_letters = lsqs_dead_letter_queue(q, m->receives))) {
        int code = lsqs_bury(tx, q, dead_letters, &(struct lsqs_letter){m->id, m->sent_at_ms, m->uuid});
        lsqs_fifo_removed(q, m->id);
        return code;
    }
    int64_t visible_at_ms = lsqs_receive_until_ms(tx, c);
    if (m->group_id.p && !t->fifo)
        lsqs_fair_note_received(q);
    m->receives++;
    if (m->receives == 1)
        m->first_received_at_ms = now_ms;
    int code = mark_received(tx, m, visible_at_ms);
    if (code < 0)
        return code;
    q->counts.in_flight += visible_at_ms > now_ms;
    if (t->fifo)
        lsqs_fifo_changed(q, m->id, visible_at_ms);
    else
        lsqs_expect(q, visible_at_ms);
    return lsqs_tell(tx, c, m, &((struct lsqs_message *)messages->items)[messages->n++]);
}

int
lsqs_receive_now(struct store_tx *tx, struct lsqs_call *c)
{
    const struct lsqs_receive *r = c->request;
    struct lsqs_messages_result *result = c->result;
    size_t most = r->max.given ? (size_t)r->max.value : 1, wanted, found = 0;
    struct lsqs_candidate candidates[MAX_MESSAGES];
    struct lsqs_queue *q = c->queue;
    /* one that stays visible would be found by the next round, too */
    bool found_once =
        !c->call->duplicate && (r->visibility_s.given ? r->visibility_s.value : q->settings.visibility_s) > 0;
    result->messages.n = 0;
    if (q->settings.fifo)
        return lsqs_fifo_receive(tx, c, most);
    if (q->counts.total - q->counts.in_flight - q->counts.delayed <= 0)
        return 0;
    if (q->counts.in_flight >= LSQS_MAX_IN_FLIGHT) {
        lsqs_fail(&c->error, LSQS_OVER_LIMIT, "Too many messages in flight: the limit of a queue is %d.",
                  LSQS_MAX_IN_FLIGHT);
        return 0;
    }
    if (!result->messages.items &&
        !(result->messages.items = arena_alloc(&c->call->arena, most * sizeof(struct lsqs_message))))
        return store_fail(tx, ERR_NO_MEMORY, "out of memory");
    if ((int64_t)most > LSQS_MAX_IN_FLIGHT - q->counts.in_flight)
        most = (size_t)(LSQS_MAX_IN_FLIGHT - q->counts.in_flight);
    /* rounds go on while some of what is found is too old or moves to the dead letters, but not for ever in one turn */
    for (int round = 0; round < MAX_ROUNDS && (result->messages.n == 0 || found_once); round++) {
        wanted = most - result->messages.n;
        int code = find_candidates(tx, c, wanted, candidates, &found);
        for (size_t i = 0; i < found && code == 0; i++)
            code = lsqs_take(tx, c, &candidates[i], &result->messages);
        if (code < 0)
            return code;
        if (found < wanted || result->messages.n == most)
            break;
    }
    return 0;
}

int
lsqs_run_receive(struct store_tx *tx, struct lsqs_call *c)
{
    const struct lsqs_receive *r = c->request;
    const struct lsqs_messages_result *result = c->result;
    int64_t wait_s = r->wait_s.given ? r->wait_s.value : c->queue->settings.wait_s;
    int code = lsqs_touch(c->sqs, tx, c->queue);
    if (code == 0)
        code = lsqs_receive_now(tx, c);
    if (c->deadline_ms == 0)
        c->deadline_ms = store_now_ms(tx) + wait_s * 1000;
    if (code < 0 || result->messages.n > 0 || c->error.kind != LSQS_OK || c->deadline_ms <= store_now_ms(tx))
        return code;
    code = lsqs_wait(c->sqs, tx, c->queue, c);
    return code < 0 ? code : STORE_PARKED;
}
