#include "local/sqs_fair.h"
#include "local/sqs_fifo.h"

#include <stdio.h>
#include <string.h>

/* ---- one --------------------------------------------------------------------------------------------------------- */

static bool
too_long(struct lsqs_error *e, const char *what, int64_t max_bytes)
{
    return lsqs_fail(e, LSQS_INVALID_VALUE,
                     "One or more parameters %s. Reason: Message must be shorter than %lld bytes.", what,
                     (long long)max_bytes);
}

bool
lsqs_check_send(struct lsqs_call *c)
{
    struct lsqs_send *m = &((struct lsqs_send_one *)c->request)->entry;
    if (m->body.n == 0)
        return lsqs_fail_missing(&c->error, "MessageBody");
    if (!lsqs_prepare_send(m, &c->call->arena, &c->error))
        return false;
    if (m->bytes > LSQS_MAX_BYTES)
        return too_long(&c->error, "are invalid", LSQS_MAX_BYTES);
    return true;
}

/* What depends on the queue. AWS words it differently for an entry of a batch. */
static bool
check_for_queue(const struct lsqs_queue *q, const struct lsqs_send *m, bool entry, struct lsqs_error *e)
{
    if ((int64_t)m->bytes > q->settings.max_bytes)
        return too_long(e, entry ? "cannot be validated" : "are invalid", q->settings.max_bytes);
    if (q->settings.fifo)
        return lsqs_fifo_check_send(q, m, e);
    if (m->deduplication_id.p && entry)
        return lsqs_fail(e, LSQS_INVALID_VALUE, "The request include parameter that is not valid for this queue type");
    if (m->deduplication_id.p)
        return lsqs_fail(e, LSQS_INVALID_VALUE,
                         "Value %.*s for parameter MessageDeduplicationId is invalid. Reason: The request include "
                         "parameter that is not valid for this queue type.",
                         SLICE_ARG(m->deduplication_id));
    return true;
}

/* A random UUID (RFC 9562: version 4, variant 1), of which one call of the kernel pays for many. */
void
lsqs_take_uuid(struct local_sqs *s, uint8_t uuid[16])
{
    if (s->random_left == 0) {
        uuid_random_bytes(s->random, sizeof s->random);
        s->random_left = sizeof s->random;
    }
    s->random_left -= 16;
    memcpy(uuid, s->random + s->random_left, 16);
    uuid[6] = (uuid[6] & 0x0f) | 0x40;
    uuid[8] = (uuid[8] & 0x3f) | 0x80;
}

struct row {
    int64_t id, box, visible_at_ms;
    const uint8_t *uuid;
    struct slice dedup_id; /* p NULL: none, of a standard queue */
};

static int
insert(struct store_tx *tx, const struct row *row, const struct lsqs_send *m)
{
    sqlite3_stmt *w = store_prepare(tx, "INSERT INTO sqs_message (id, box, visible_at, sent_at, receives, received_at,"
                                        " first_received_at, uuid, md5, trace, group_id, attributes, body, dedup_id,"
                                        " sender)"
                                        " VALUES (?1, ?2, ?3, ?4, 0, ?4, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)");
    if (w) {
        store_bind_int(w, 1, row->id);
        store_bind_int(w, 2, row->box);
        store_bind_int(w, 3, row->visible_at_ms);
        store_bind_int(w, 4, store_now_ms(tx));
        store_bind_blob(w, 5, slice_of((const char *)row->uuid, 16));
        store_bind_blob(w, 6, slice_of((const char *)m->md5, sizeof m->md5));
        if (m->trace.p)
            store_bind_text(w, 7, m->trace);
        if (m->group_id.p)
            store_bind_text(w, 8, m->group_id);
        if (m->packed.p)
            store_bind_blob(w, 9, m->packed);
        store_bind_text(w, 10, m->body);
        if (row->dedup_id.p)
            store_bind_text(w, 11, row->dedup_id);
        if (m->sender.p)
            store_bind_text(w, 12, m->sender);
    }
    return store_run(tx, w);
}

int
lsqs_put_message(struct local_sqs *s, struct store_tx *tx, struct lsqs_queue *q, const struct lsqs_send *m,
                 char ret_id[UUID_TEXT_BYTES], int64_t *ret_sequence)
{
    uint8_t uuid[16];
    bool fifo = q->settings.fifo;
    struct slice dedup_id = fifo ? lsqs_fifo_dedup_id(m) : (struct slice){0};
    int64_t now_ms = store_now_ms(tx), first = 0;
    int64_t delay_s = m->delay_s.given && !fifo ? m->delay_s.value : q->settings.delay_s;
    int code = fifo ? lsqs_dedup_find(q, tx, dedup_id, m->group_id, &first, uuid) : 0;
    if (code < 0)
        return code;
    int64_t id = first ? first : s->next_message_id++, visible_at_ms = now_ms + delay_s * 1000;
    if (!first)
        lsqs_take_uuid(s, uuid);
    lsqs_format_uuid(uuid, ret_id);
    *ret_sequence = fifo ? id : 0;
    if (first)
        return 0;
    code = lsqs_touch(s, tx, q);
    if (code == 0)
        code = insert(tx, &(struct row){id, q->box, visible_at_ms, uuid, dedup_id}, m);
    if (code == 0 && fifo)
        code = lsqs_dedup_add(q, tx, dedup_id, m->group_id, id, uuid);
    if (code < 0)
        return code;
    q->counts.total++;
    q->counts.delayed += visible_at_ms > now_ms;
    if (q->counts.oldest_at_ms > now_ms) {
        q->counts.oldest_at_ms = now_ms;
        lsqs_set_expiry(q);
    }
    if (m->group_id.p && !fifo)
        lsqs_fair_note_sent(q, tx, m->group_id);
    if (fifo)
        lsqs_fifo_added(q, id, visible_at_ms, m->group_id);
    else
        lsqs_expect(q, visible_at_ms);
    return 0;
}

/* Puts it once, or twice when a fault says so, and fills in what the client is told. */
static int
put(struct store_tx *tx, struct lsqs_call *c, const struct lsqs_send *entry, struct lsqs_sent *sent)
{
    struct lsqs_send from_sender = *entry;
    const struct lsqs_send *m = &from_sender;
    if (local_principal(c->call) != local_account(c->sqs->local))
        from_sender.sender = slice_of_string(local_principal(c->call));
    char id[UUID_TEXT_BYTES], sequence[LSQS_SEQUENCE_TEXT];
    int64_t number;
    int code = lsqs_put_message(c->sqs, tx, c->queue, m, id, &number);
    if (code < 0)
        return code;
    *sent = (struct lsqs_sent){.id = m->id,
                               .message_id = slice_of_string(arena_strdup(&c->call->arena, id)),
                               .md5 = m->md5_hex,
                               .md5_attributes = m->md5_attributes_hex,
                               .md5_system = m->md5_system_hex};
    if (number) {
        lsqs_fifo_format_sequence(number, sequence);
        sent->sequence = slice_of_string(arena_strdup(&c->call->arena, sequence));
    }
    if (!sent->message_id.p || (number && !sent->sequence.p))
        return store_fail(tx, ERR_NO_MEMORY, "out of memory");
    return c->call->duplicate ? lsqs_put_message(c->sqs, tx, c->queue, m, id, &number) : 0;
}

int
lsqs_run_send(struct store_tx *tx, struct lsqs_call *c)
{
    const struct lsqs_send *m = &((struct lsqs_send_one *)c->request)->entry;
    return check_for_queue(c->queue, m, false, &c->error) ? put(tx, c, m, c->result) : 0;
}

/* ---- a batch ----------------------------------------------------------------------------------------------------- */

static bool
prepare_entry(struct lsqs_send *m, size_t i, struct arena *arena, struct lsqs_error *e)
{
    char name[64];
    snprintf(name, sizeof name, "SendMessageBatchRequestEntry.%zu.MessageBody", i + 1);
    return m->body.n > 0 ? lsqs_prepare_send(m, arena, e) : lsqs_fail_missing(e, name);
}

bool
lsqs_check_send_batch(struct lsqs_call *c)
{
    const struct lsqs_batch *r = c->request;
    struct lsqs_send *m = r->entries.items;
    size_t bytes = 0;
    if (!lsqs_check_entries(&r->entries, sizeof *m, "SendMessageBatchRequestEntry", &c->error))
        return false;
    for (size_t i = 0; i < r->entries.n; i++) {
        struct lsqs_error e = {.kind = LSQS_OK};
        if (!prepare_entry(&m[i], i, &c->call->arena, &e)) {
            m[i].refused = arena_alloc(&c->call->arena, sizeof e);
            if (!m[i].refused || e.kind == LSQS_INTERNAL)
                return lsqs_fail(&c->error, LSQS_INTERNAL, "out of memory");
            *m[i].refused = e;
        }
        bytes += m[i].bytes;
    }
    if (bytes > LSQS_MAX_BYTES)
        return lsqs_fail(&c->error, LSQS_BATCH_TOO_LONG,
                         "Batch requests cannot be longer than %d bytes. You have sent %zu bytes.", LSQS_MAX_BYTES,
                         bytes);
    return true;
}

int
lsqs_run_send_batch(struct store_tx *tx, struct lsqs_call *c)
{
    const struct lsqs_batch *r = c->request;
    const struct lsqs_send *m = r->entries.items;
    struct lsqs_batch_result *result = c->result;
    struct lsqs_sent *sent = arena_alloc(&c->call->arena, r->entries.n * sizeof *sent);
    int code = 0;
    if (!sent)
        return store_fail(tx, ERR_NO_MEMORY, "out of memory");
    if (c->queue->settings.fifo && !lsqs_fifo_check_batch(c->queue, m, r->entries.n, &c->error))
        return 0;
    result->successful.items = sent;
    for (size_t i = 0; i < r->entries.n && code == 0; i++) {
        struct lsqs_error e = {.kind = LSQS_OK};
        if (m[i].refused)
            e = *m[i].refused;
        if (local_fails_entry(c->call, i))
            code = lsqs_add_injected_failure(c, m[i].id);
        else if (e.kind != LSQS_OK || !check_for_queue(c->queue, &m[i], true, &e))
            code = lsqs_add_failure(c, m[i].id, &e);
        else
            code = put(tx, c, &m[i], &sent[result->successful.n++]);
    }
    return code;
}

/* ---- for other services ------------------------------------------------------------------------------------------ */

int
local_sqs_deliver(struct local_sqs *s, struct store_tx *tx, struct slice queue_arn, struct slice body,
                  struct slice group_id, const struct local_sqs_attribute *attributes, size_t n_attributes,
                  struct err *e)
{
    char id[UUID_TEXT_BYTES];
    int64_t number;
    struct lsqs_attribute items[10];
    struct lsqs_error refused = {.kind = LSQS_OK};
    struct lsqs_send m = {.body = body, .attributes = {.items = items, .n = n_attributes}};
    if (group_id.n > 0)
        m.group_id = group_id;
    struct lsqs_queue *q = lsqs_find_queue_by_arn(s, queue_arn);
    struct arena arena;
    if (!q)
        return err_set(e, ERR_NOT_FOUND, "there is no queue %.*s", (int)(queue_arn.n < 200 ? queue_arn.n : 200),
                       queue_arn.p);
    if (body.n == 0 || n_attributes > 10)
        return err_set(e, ERR_INVALID, "a message has a body, and ten attributes at most");
    for (size_t i = 0; i < n_attributes; i++)
        items[i] = (struct lsqs_attribute){
            .name = attributes[i].name, .data_type = SLICE("String"), .string_value = attributes[i].value};
    arena_init(&arena, 0);
    int code = 0;
    if (!lsqs_prepare_send(&m, &arena, &refused))
        code = err_set(e, ERR_INVALID, "%s", refused.message);
    else if (!check_for_queue(q, &m, false, &refused))
        code = err_set(e, q->settings.fifo && (int64_t)m.bytes <= q->settings.max_bytes ? ERR_INVALID : ERR_LIMIT, "%s",
                       refused.message);
    else
        code = lsqs_put_message(s, tx, q, &m, id, &number);
    arena_clean_up(&arena);
    return code;
}
