#include "local/sqs_fair.h"

#include <stdlib.h>
#include <string.h>

#define MAX_NOISY       9  /* more than a tenth each */
#define OWN_IN_FLIGHT   30 /* from which on a group may be noisy */
#define QUIET_AFTER_MS  300000
#define MEASURE_PER     8     /* it is measured again after receiving this part of what is in flight, */
#define MEASURE_MIN     30    /* or so many, or */
#define MEASURE_MS      1000  /* after so long, and a second more */
#define MEASURE_PER_S   20000 /* for so many in flight */
#define LOOK_AGAIN_MS   60000 /* from the oldest message on */
#define ROWS_PER_LOOK   500   /* noisy messages that one receive passes over */
#define MAX_GROUP_BYTES 128

struct noisy {
    char group[MAX_GROUP_BYTES];
    size_t n;
    int64_t last_sent_at_ms;
};

/* A place in the order of the index sqs_message_due. */
struct place {
    int64_t visible_at_ms, sent_at_ms, receives, id;
};

struct lsqs_fair {
    struct noisy noisy[MAX_NOISY];
    size_t n_noisy;
    int64_t measured_at_ms, received_since;

    /* No message of a quiet group is visible up to here: messages come in behind, for what becomes visible does so now
     * or later. (What becomes so in the millisecond of that place may be missed until the next look from the front.) */
    struct place passed;
    int64_t looked_at_ms; /* when that was from the front */
};

/* Without memory the queue is as it was before AWS had this. */
static struct lsqs_fair *
fair_of(struct lsqs_queue *q)
{
    if (!q->fair)
        q->fair = calloc(1, sizeof *q->fair);
    return q->fair;
}

void
lsqs_fair_destroy(struct lsqs_fair *f)
{
    free(f);
}

void
lsqs_fair_look_again(struct lsqs_queue *q)
{
    if (q->fair)
        q->fair->passed = (struct place){0};
}

static struct noisy *
find_noisy(struct lsqs_fair *f, struct slice group)
{
    for (size_t i = 0; i < f->n_noisy; i++)
        if (slice_equals(group, slice_of(f->noisy[i].group, f->noisy[i].n)))
            return &f->noisy[i];
    return NULL;
}

void
lsqs_fair_note_sent(struct lsqs_queue *q, const struct store_tx *tx, struct slice group)
{
    struct lsqs_fair *f = fair_of(q);
    struct noisy *noisy = f ? find_noisy(f, group) : NULL;
    if (noisy)
        noisy->last_sent_at_ms = store_now_ms(tx);
}

void
lsqs_fair_note_received(struct lsqs_queue *q)
{
    struct lsqs_fair *f = fair_of(q);
    if (f)
        f->received_since++;
}

/* ---- who is noisy ------------------------------------------------------------------------------------------------ */

static void
add_noisy(struct lsqs_queue *q, struct slice group, int64_t now_ms)
{
    struct lsqs_fair *f = q->fair;
    if (!group.p || group.n > MAX_GROUP_BYTES || f->n_noisy == MAX_NOISY || find_noisy(f, group))
        return;
    struct noisy *noisy = &f->noisy[f->n_noisy++];
    memcpy(noisy->group, group.p, group.n);
    noisy->n = group.n;
    noisy->last_sent_at_ms = now_ms;
}

/* Those who became quiet leave the list; what is left of theirs may be anywhere. */
static void
drop_quiet(struct lsqs_queue *q, int64_t now_ms)
{
    struct lsqs_fair *f = q->fair;
    size_t n = 0;
    for (size_t i = 0; i < f->n_noisy; i++)
        if (now_ms - f->noisy[i].last_sent_at_ms < QUIET_AFTER_MS)
            f->noisy[n++] = f->noisy[i];
    if (n < f->n_noisy || now_ms - f->looked_at_ms >= LOOK_AGAIN_MS) {
        lsqs_fair_look_again(q);
        f->looked_at_ms = now_ms;
    }
    f->n_noisy = n;
}

static int
measure(struct store_tx *tx, struct lsqs_queue *q)
{
    sqlite3_stmt *r = store_prepare(tx, "SELECT group_id, count(*) AS n FROM sqs_message INDEXED BY sqs_message_due"
                                        " WHERE box = ?1 AND visible_at > ?2 AND receives > 0 AND group_id IS NOT NULL"
                                        " GROUP BY group_id HAVING n >= ?3 AND n * 10 > ?4");
    int code;
    if (r) {
        store_bind_int(r, 1, q->box);
        store_bind_int(r, 2, store_now_ms(tx));
        store_bind_int(r, 3, OWN_IN_FLIGHT);
        store_bind_int(r, 4, q->counts.in_flight);
    }
    while ((code = store_step(tx, r)) > 0)
        add_noisy(q, store_column(r, 0), store_now_ms(tx));
    q->fair->measured_at_ms = store_now_ms(tx);
    q->fair->received_since = 0;
    return code;
}

int
lsqs_fair_applies(struct store_tx *tx, struct lsqs_queue *q)
{
    struct lsqs_fair *f = q->fair;
    int64_t now_ms = store_now_ms(tx), in_flight = q->counts.in_flight;
    if (!f || (f->n_noisy == 0 && in_flight < OWN_IN_FLIGHT))
        return 0;
    int64_t often = in_flight / MEASURE_PER > MEASURE_MIN ? in_flight / MEASURE_PER : MEASURE_MIN;
    int64_t since_ms = now_ms - f->measured_at_ms;
    if (f->received_since >= often ||
        (f->received_since > 0 && since_ms >= MEASURE_MS + in_flight * 1000 / MEASURE_PER_S)) {
        int code = measure(tx, q);
        if (code < 0)
            return code;
    }
    drop_quiet(q, now_ms);
    return f->n_noisy > 0;
}

/* ---- what is received -------------------------------------------------------------------------------------------- */

/* The next visible message behind *at, to which *at moves. 1: there is one; 0; negative. */
static int
next_row(struct store_tx *tx, sqlite3_stmt *r, struct place *at, struct slice *ret_group)
{
    int code = store_step(tx, r);
    if (code <= 0)
        return code;
    *at = (struct place){.id = sqlite3_column_int64(r, 0),
                         .visible_at_ms = sqlite3_column_int64(r, 1),
                         .sent_at_ms = sqlite3_column_int64(r, 2),
                         .receives = sqlite3_column_int64(r, 3)};
    *ret_group = store_column(r, 4);
    return 1;
}

static sqlite3_stmt *
select_behind(struct store_tx *tx, const struct lsqs_queue *q, const struct place *at)
{
    sqlite3_stmt *r = store_prepare(tx, "SELECT id, visible_at, sent_at, receives, group_id FROM sqs_message"
                                        " INDEXED BY sqs_message_due WHERE box = ?1 AND visible_at <= ?2"
                                        " AND (visible_at, sent_at, receives, id) > (?3, ?4, ?5, ?6)"
                                        " ORDER BY visible_at, sent_at, receives, id");
    if (r) {
        store_bind_int(r, 1, q->box);
        store_bind_int(r, 2, store_now_ms(tx));
        store_bind_int(r, 3, at->visible_at_ms);
        store_bind_int(r, 4, at->sent_at_ms);
        store_bind_int(r, 5, at->receives);
        store_bind_int(r, 6, at->id);
    }
    return r;
}

static int
choose_quiet(struct store_tx *tx, struct lsqs_queue *q, size_t most, int64_t *ids, size_t *n)
{
    struct lsqs_fair *f = q->fair;
    struct slice group;
    int code = 1;
    sqlite3_stmt *r = select_behind(tx, q, &f->passed);
    for (int rows = 0; *n < most && rows < ROWS_PER_LOOK && (code = next_row(tx, r, &f->passed, &group)) > 0; rows++)
        if (!group.p || !find_noisy(f, group))
            ids[(*n)++] = f->passed.id;
    store_reset(r);
    return code < 0 ? code : 0;
}

/* What the quiet ones leave free, in the order of all. */
static int
choose_any(struct store_tx *tx, struct lsqs_queue *q, size_t most, int64_t *ids, size_t *n)
{
    const struct place front = {0};
    const size_t n_quiet = *n;
    struct place at;
    struct slice group;
    int code = 1;
    sqlite3_stmt *r = select_behind(tx, q, &front);
    while (*n < most && (code = next_row(tx, r, &at, &group)) > 0) {
        bool chosen = false;
        for (size_t i = 0; i < n_quiet && !chosen; i++)
            chosen = ids[i] == at.id;
        if (!chosen)
            ids[(*n)++] = at.id;
    }
    store_reset(r);
    return code < 0 ? code : 0;
}

int
lsqs_fair_choose(struct store_tx *tx, struct lsqs_queue *q, size_t most, int64_t *ret_ids, size_t *ret_n)
{
    const struct lsqs_counts *c = &q->counts;
    *ret_n = 0;
    int code = choose_quiet(tx, q, most, ret_ids, ret_n);
    if (code == 0 && *ret_n < most)
        code = choose_any(tx, q, most, ret_ids, ret_n);
    if (code == 0 && (int64_t)*ret_n >= c->total - c->in_flight - c->delayed) { /* nothing is left behind */
        q->fair->n_noisy = 0;
        lsqs_fair_look_again(q);
    }
    return code;
}
