#include "local/sqs_fifo.h"

#include <stdlib.h>
#include <string.h>

#define EXPIRE_PER_TURN 5000
#define EXPIRE_EVERY_MS 1000
#define LOAD_PER_TURN   5000
#define FIRST_ENTRIES   256

/* A message that was sent. Ids of messages and groups are known by their hashes, keyed by the database's own key: 128
 * bits of the first, so that no two in five minutes are the same; 64 of the second, which only tell apart what has the
 * same first. */
struct entry {
    uint64_t key[2]; /* queue and deduplication id */
    uint64_t group;
    uint64_t scope; /* group, or 0: whatever the group */
    int64_t id, at_ms;
};

/* Entries in the order they came, which is that of their ids, in a ring; and where they are, by key and scope. On disk
 * they are appended to and removed from the front in the same order, so that the table costs little. */
struct lsqs_dedup {
    struct entry *ring;
    size_t room; /* a power of two */
    uint64_t first, end;
    uint64_t *slots; /* an entry's number and some of its key; 0: free. Open addressing, twice as many as room. */
    uint64_t serial, end_before; /* end when transaction `serial` began to add */
    struct timer expiry;
    struct local_sqs *sqs;
    bool loaded;        /* the whole of the table */
    int64_t loaded_id;  /* or up to here, */
    int64_t expired_id; /* of which so much was too old */
};

static struct entry *
entry_at(const struct lsqs_dedup *d, uint64_t number)
{
    return &d->ring[number & (d->room - 1)];
}

/* ---- slots ------------------------------------------------------------------------------------------------------- */

static size_t
slot_mask(const struct lsqs_dedup *d)
{
    return 2 * d->room - 1;
}

/* What a slot holds: 1 + the number, which stays below 2^40 for centuries, under bits of the key, so that another key's
 * entry need not be looked at. */
#define NUMBER_MASK ((UINT64_C(1) << 40) - 1)

static uint64_t
slot_of(uint64_t number, const struct entry *e)
{
    return (number + 1) | (e->key[1] & ~NUMBER_MASK);
}

static uint64_t
number_in(uint64_t slot)
{
    return (slot & NUMBER_MASK) - 1;
}

static size_t
home_of(const struct lsqs_dedup *d, const struct entry *e)
{
    return (size_t)(e->key[0] ^ e->scope) & slot_mask(d);
}

/* The slot of the entry with this key and scope, or the free one where it belongs. */
static size_t
find_slot(const struct lsqs_dedup *d, const struct entry *e)
{
    size_t at = home_of(d, e);
    for (; d->slots[at]; at = (at + 1) & slot_mask(d)) {
        if ((d->slots[at] ^ e->key[1]) & ~NUMBER_MASK)
            continue;
        const struct entry *x = entry_at(d, number_in(d->slots[at]));
        if (x->key[0] == e->key[0] && x->key[1] == e->key[1] && x->scope == e->scope)
            break;
    }
    return at;
}

/* Frees a slot; those behind it that would not be found any more move up. */
static void
free_slot(struct lsqs_dedup *d, size_t at)
{
    size_t mask = slot_mask(d);
    for (size_t next = (at + 1) & mask; d->slots[next]; next = (next + 1) & mask) {
        size_t home = home_of(d, entry_at(d, number_in(d->slots[next])));
        if (((next - home) & mask) >= ((next - at) & mask)) {
            d->slots[at] = d->slots[next];
            at = next;
        }
    }
    d->slots[at] = 0;
}

/* Takes an entry's slot from it, if it is still its own: a later one of the same key may have it. */
static void
forget(struct lsqs_dedup *d, uint64_t number)
{
    size_t at = find_slot(d, entry_at(d, number));
    if (d->slots[at] && number_in(d->slots[at]) == number)
        free_slot(d, at);
}

static bool
grow(struct lsqs_dedup *d)
{
    if (d->end - d->first < d->room)
        return true;
    size_t old_room = d->room, room = old_room ? 2 * old_room : FIRST_ENTRIES;
    struct entry *old_ring = d->ring, *ring = malloc(room * sizeof *ring);
    uint64_t *slots = calloc(2 * room, sizeof *slots);
    if (!ring || !slots) {
        free(ring);
        free(slots);
        return false;
    }
    free(d->slots);
    d->slots = slots;
    d->ring = ring;
    d->room = room;
    for (uint64_t i = d->first; i < d->end; i++) {
        *entry_at(d, i) = old_ring[i & (old_room - 1)];
        d->slots[find_slot(d, entry_at(d, i))] = slot_of(i, entry_at(d, i));
    }
    free(old_ring);
    return true;
}

static bool
append(struct lsqs_dedup *d, const struct entry *e)
{
    if (!grow(d))
        return false;
    *entry_at(d, d->end) = *e;
    d->slots[find_slot(d, e)] = slot_of(d->end, e);
    d->end++;
    return true;
}

/* ---- expiry ------------------------------------------------------------------------------------------------------ */

/* The very last row stays: it keeps sequence numbers from being given out again after a start (lsqs_state_load). */
static int
remove_until(struct store_tx *tx, int64_t id)
{
    sqlite3_stmt *w = store_prepare(tx, "DELETE FROM sqs_dedup WHERE id <= ? AND id < (SELECT max(id) FROM sqs_dedup)");
    if (w)
        store_bind_int(w, 1, id);
    return store_run(tx, w);
}

/* When there is something to be removed next; nothing happens when there is nothing. */
static void
set_expiry(struct lsqs_dedup *d, int64_t now_ms, int64_t oldest_attempt_ms)
{
    int64_t oldest_ms = d->first < d->end ? entry_at(d, d->first)->at_ms : INT64_MAX;
    oldest_ms = oldest_attempt_ms < oldest_ms ? oldest_attempt_ms : oldest_ms;
    if (oldest_ms == INT64_MAX)
        return;
    int64_t due_ms = oldest_ms + LSQS_FIFO_DEDUP_MS;
    if (due_ms > now_ms && due_ms < now_ms + EXPIRE_EVERY_MS)
        due_ms = now_ms + EXPIRE_EVERY_MS;
    timers_set(&d->sqs->timers, &d->expiry, due_ms); /* its place is reserved */
}

/* Removes what is too old from memory and from the tables: some of it, and the rest in the next turn. */
static void
fire_expiry(struct timer *t, int64_t now_ms)
{
    struct lsqs_dedup *d = (struct lsqs_dedup *)(void *)((char *)t - offsetof(struct lsqs_dedup, expiry));
    struct store_tx *tx = d->sqs->turning;
    int64_t last = 0, oldest_attempt_ms = INT64_MAX;
    for (size_t n = 0; n < EXPIRE_PER_TURN && d->first < d->end; n++) {
        const struct entry *e = entry_at(d, d->first);
        if (e->at_ms > now_ms - LSQS_FIFO_DEDUP_MS)
            break;
        last = e->id;
        forget(d, d->first++);
    }
    int code = last > 0 ? remove_until(tx, last) : 0;
    if (code == 0)
        code = lsqs_attempt_expire(tx, &oldest_attempt_ms);
    if (code < 0)
        d->sqs->turn_code = code;
    set_expiry(d, now_ms, oldest_attempt_ms);
}

void
lsqs_dedup_expect(struct local_sqs *s, int64_t now_ms)
{
    if (s->dedup->loaded && !timer_is_set(&s->dedup->expiry))
        set_expiry(s->dedup, now_ms, now_ms);
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

static int
read_row(struct store_tx *tx, sqlite3_stmt *r, struct lsqs_dedup *d)
{
    int64_t now_ms = store_now_ms(tx);
    struct entry e = {.id = sqlite3_column_int64(r, 0),
                      .at_ms = sqlite3_column_int64(r, 1),
                      .group = (uint64_t)sqlite3_column_int64(r, 3),
                      .scope = (uint64_t)sqlite3_column_int64(r, 4)};
    struct slice key = store_column(r, 2);
    d->loaded_id = e.id;
    if (e.at_ms <= now_ms - LSQS_FIFO_DEDUP_MS) {
        d->expired_id = e.id;
        return 0;
    }
    if (e.at_ms > now_ms)
        e.at_ms = now_ms;
    if (key.n != sizeof e.key || !key.p)
        return store_fail(tx, ERR_CORRUPT, "what is remembered of message %lld makes no sense", (long long)e.id);
    memcpy(e.key, key.p, sizeof e.key);
    return append(d, &e) ? 0 : store_fail(tx, ERR_NO_MEMORY, "out of memory");
}

static int
read_rows(struct store_tx *tx, struct lsqs_dedup *d, int64_t most)
{
    int64_t n = 0;
    int code;
    sqlite3_stmt *r =
        store_prepare(tx, "SELECT id, at, key, group_hash, scope_hash FROM sqs_dedup WHERE id > ? ORDER BY id LIMIT ?");
    if (r) {
        store_bind_int(r, 1, d->loaded_id);
        store_bind_int(r, 2, most);
    }
    for (; (code = store_step(tx, r)) > 0; n++)
        if ((code = read_row(tx, r, d)) < 0) {
            store_reset(r);
            return code;
        }
    if (code < 0 || n == most)
        return code;
    if (d->expired_id > 0)
        code = remove_until(tx, d->expired_id);
    if (code == 0)
        d->loaded = true;
    lsqs_dedup_expect(d->sqs, store_now_ms(tx));
    return code;
}

int
lsqs_dedup_new(struct local_sqs *s)
{
    struct lsqs_dedup *d = s->dedup = calloc(1, sizeof *d);
    if (!d)
        return ERR_NO_MEMORY;
    d->sqs = s;
    d->expiry.fire = fire_expiry;
    return timers_reserve(&s->timers, &d->expiry) == 0 && grow(d) ? 0 : ERR_NO_MEMORY;
}

bool
lsqs_dedup_is_loaded(const struct local_sqs *s)
{
    return s->dedup->loaded;
}

int
lsqs_dedup_load_some(struct local_sqs *s, struct store_tx *tx)
{
    return s->dedup->loaded ? 0 : read_rows(tx, s->dedup, LOAD_PER_TURN);
}

/* Before anything is looked up or added. */
static int
load_rest(struct lsqs_dedup *d, struct store_tx *tx)
{
    return d->loaded ? 0 : read_rows(tx, d, INT64_MAX);
}

void
lsqs_dedup_rollback(struct local_sqs *s, struct store_tx *tx)
{
    struct lsqs_dedup *d = s->dedup;
    if (d->serial != store_serial(tx))
        return;
    while (d->end > d->end_before && d->end > d->first)
        forget(d, --d->end);
    d->serial = 0;
}

void
lsqs_dedup_free(struct local_sqs *s)
{
    struct lsqs_dedup *d = s->dedup;
    if (!d)
        return;
    timers_cancel(&s->timers, &d->expiry);
    free(d->ring);
    free(d->slots);
    free(d);
    s->dedup = NULL;
}

/* ---- what was sent ----------------------------------------------------------------------------------------------- */

static struct entry
make_entry(const struct lsqs_queue *q, struct slice dedup_id, struct slice group_id)
{
    const uint8_t *key = q->sqs->handle_key;
    uint8_t other[16], text[8 + LSQS_MAX_TOKEN];
    size_t n = dedup_id.n < LSQS_MAX_TOKEN ? dedup_id.n : LSQS_MAX_TOKEN;
    memcpy(text, &q->box, 8);
    memcpy(text + 8, dedup_id.p, n);
    for (size_t i = 0; i < sizeof other; i++)
        other[i] = key[i] ^ 0x5a;
    struct entry e = {.key = {lsqs_hash(key, text, 8 + n), lsqs_hash(other, text, 8 + n)},
                      .group = lsqs_hash(key, group_id.p, group_id.n) | 1};
    e.scope = q->settings.group_scope ? e.group : 0;
    return e;
}

/* The entry of this key and scope, if it is not too old. */
static const struct entry *
find_live(const struct lsqs_dedup *d, struct entry e, uint64_t scope, int64_t now_ms)
{
    e.scope = scope;
    size_t at = find_slot(d, &e);
    const struct entry *x = d->slots[at] ? entry_at(d, number_in(d->slots[at])) : NULL;
    return x && x->at_ms > now_ms - LSQS_FIFO_DEDUP_MS ? x : NULL;
}

int
lsqs_dedup_find(struct lsqs_queue *q, struct store_tx *tx, struct slice dedup_id, struct slice group_id,
                int64_t *ret_id, uint8_t ret_uuid[16])
{
    struct lsqs_dedup *d = q->sqs->dedup;
    int64_t now_ms = store_now_ms(tx);
    int code = load_rest(d, tx);
    if (code < 0)
        return code;
    struct entry e = make_entry(q, dedup_id, group_id);
    const struct entry *wide = find_live(d, e, 0, now_ms), *narrow = find_live(d, e, e.group, now_ms);
    if (wide && q->settings.group_scope && wide->group != e.group)
        wide = NULL;
    const struct entry *found = !wide || (narrow && narrow->id < wide->id) ? narrow : wide;
    *ret_id = found ? found->id : 0;
    if (!found)
        return 0;
    sqlite3_stmt *r = store_prepare(tx, "SELECT uuid FROM sqs_dedup WHERE id = ?");
    if (r)
        store_bind_int(r, 1, found->id);
    code = store_step(tx, r);
    if (code < 0)
        return code;
    struct slice uuid = code > 0 ? store_column(r, 0) : (struct slice){0};
    bool ok = uuid.n == 16 && uuid.p;
    if (ok)
        memcpy(ret_uuid, uuid.p, 16);
    store_reset(r);
    return ok ? 0 : store_fail(tx, ERR_CORRUPT, "what is remembered of message %lld is gone", (long long)*ret_id);
}

int
lsqs_dedup_add(struct lsqs_queue *q, struct store_tx *tx, struct slice dedup_id, struct slice group_id, int64_t id,
               const uint8_t uuid[16])
{
    struct local_sqs *s = q->sqs;
    struct lsqs_dedup *d = s->dedup;
    struct entry e = make_entry(q, dedup_id, group_id);
    int code = load_rest(d, tx);
    if (code < 0)
        return code;
    e.id = id;
    e.at_ms = store_now_ms(tx);
    if (d->serial != store_serial(tx)) {
        d->serial = store_serial(tx);
        d->end_before = d->end;
    }
    if (!append(d, &e))
        return store_fail(tx, ERR_NO_MEMORY, "out of memory");
    if (!timer_is_set(&d->expiry))
        set_expiry(d, e.at_ms, INT64_MAX);
    sqlite3_stmt *w = store_prepare(
        tx, "INSERT INTO sqs_dedup (id, at, key, group_hash, scope_hash, uuid) VALUES (?, ?, ?, ?, ?, ?)");
    if (w) {
        store_bind_int(w, 1, id);
        store_bind_int(w, 2, e.at_ms);
        store_bind_blob(w, 3, slice_of((const char *)e.key, sizeof e.key));
        store_bind_int(w, 4, (int64_t)e.group);
        store_bind_int(w, 5, (int64_t)e.scope);
        store_bind_blob(w, 6, slice_of((const char *)uuid, 16));
    }
    return store_run(tx, w);
}
