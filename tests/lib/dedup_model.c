#include "lib/dedup_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/xorshift.h"

#define KEYS    4
#define OWNERS  3
#define BASE_MS INT64_C(1790000000000)

/* ---- driving ---- */

static void
answered(struct dedup_op *op)
{
    *(bool *)(op + 1) = true;
}

/* An operation, and behind it whether it is answered. */
struct running {
    struct dedup_op op;
    bool answered;
};
_Static_assert(offsetof(struct running, answered) == sizeof(struct dedup_op), "answered() finds it there");

static void
begin_running(struct dedup_store *s, struct running *r)
{
    r->op.done = answered;
    if (s->ops->start(s, &r->op))
        r->answered = true;
}

static void
collect(struct dedup_driver *d)
{
    for (unsigned i = 0; i < DEDUP_MODEL_STORES; i++)
        if (d->stores[i] && d->stores[i]->ops->collect)
            d->stores[i]->ops->collect(d->stores[i]);
}

static void
finish(struct dedup_driver *d, const struct running *r)
{
    collect(d);
    while (!r->answered) {
        d->wait(d->context);
        collect(d);
    }
}

struct dedup_op
dedup_driver_do(struct dedup_driver *d, unsigned store, enum dedup_kind kind, const char *key, const char *owner,
                int64_t now_ms, int64_t expires_ms)
{
    struct running r = {.op = {.kind = kind,
                               .key = slice_of_string(key),
                               .owner = slice_of_string(owner),
                               .now_ms = now_ms,
                               .expires_ms = expires_ms}};
    begin_running(d->stores[store], &r);
    finish(d, &r);
    return r.op;
}

/* ---- the model ---- */

struct record {
    bool there, completed;
    unsigned owner;
    int64_t expires_ms;
};

static enum dedup_found
model_begin(struct record *r, unsigned owner, int64_t now_ms, int64_t expires_ms)
{
    if (r->there && r->expires_ms > now_ms) {
        if (r->completed)
            return DEDUP_COMPLETED;
        if (r->owner != owner)
            return DEDUP_BUSY;
    }
    *r = (struct record){.there = true, .owner = owner, .expires_ms = expires_ms};
    return DEDUP_FRESH;
}

static void
model_forget(struct record *r, unsigned owner, int64_t expires_ms)
{
    if (r->there && !r->completed && r->owner == owner && r->expires_ms == expires_ms)
        r->there = false;
}

static void
step(struct dedup_driver *d, struct record *records, uint64_t *random, int64_t *now_ms)
{
    unsigned key = xorshift_next(random) % KEYS, owner = xorshift_next(random) % OWNERS;
    unsigned store = d->stores[1] ? xorshift_next(random) % 2 : 0;
    struct record *r = &records[key], before = *r;
    char key_text[40], owner_text[40];
    snprintf(key_text, sizeof key_text, "orders/event/%llx-%u \"\xc3\xa4\"", (unsigned long long)(*now_ms >> 40), key);
    snprintf(owner_text, sizeof owner_text, "message-%u", owner);
    *now_ms += xorshift_next(random) % 4 == 0 ? (int64_t)(xorshift_next(random) % 5) * 1000 : 0;
    switch (xorshift_next(random) % 5) {
    default: {
        int64_t expires_ms = *now_ms + (int64_t)(xorshift_next(random) % 9000);
        enum dedup_found expected = model_begin(r, owner, *now_ms, expires_ms);
        struct dedup_op op = dedup_driver_do(d, store, DEDUP_BEGIN, key_text, owner_text, *now_ms, expires_ms);
        assert_int_equal(op.code, 0);
        assert_int_equal(op.found, expected);
        if (expected == DEDUP_BUSY)
            assert_int_equal(op.until_ms, before.expires_ms);
        break;
    }
    case 3: {
        int64_t expires_ms = *now_ms + (int64_t)(xorshift_next(random) % 20) * 1000;
        *r = (struct record){.there = true, .completed = true, .expires_ms = expires_ms};
        assert_int_equal(dedup_driver_do(d, store, DEDUP_COMPLETE, key_text, owner_text, *now_ms, expires_ms).code, 0);
        break;
    }
    case 4: {
        int64_t expires_ms = r->expires_ms + (xorshift_next(random) % 3 == 0);
        model_forget(r, owner, expires_ms);
        assert_int_equal(dedup_driver_do(d, store, DEDUP_FORGET, key_text, owner_text, *now_ms, expires_ms).code, 0);
        break;
    }
    }
}

void
dedup_model_run(struct dedup_driver *d, uint64_t seed, unsigned count)
{
    struct record records[KEYS] = {0};
    uint64_t random = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    int64_t now_ms = BASE_MS;
    for (unsigned i = 0; i < count; i++)
        step(d, records, &random, &now_ms);
}

/* ---- the race ---- */

void
dedup_model_race(struct dedup_driver *d, unsigned keys)
{
    struct running *all = calloc((size_t)keys * DEDUP_MODEL_STORES, sizeof *all);
    char(*texts)[40] = calloc(keys, sizeof *texts);
    assert_non_null(all);
    assert_non_null(texts);
    for (unsigned i = 0; i < keys; i++) {
        snprintf(texts[i], sizeof texts[i], "race/event/%u", i);
        for (unsigned k = 0; k < DEDUP_MODEL_STORES; k++) {
            struct running *r = &all[i * DEDUP_MODEL_STORES + k];
            r->op = (struct dedup_op){.kind = DEDUP_BEGIN,
                                      .key = slice_of_string(texts[i]),
                                      .owner = k == 0 ? SLICE("a") : SLICE("b"),
                                      .now_ms = BASE_MS,
                                      .expires_ms = BASE_MS + 30000};
            begin_running(d->stores[k], r);
        }
    }
    for (unsigned i = 0; i < keys; i++) {
        unsigned fresh = 0;
        for (unsigned k = 0; k < DEDUP_MODEL_STORES; k++) {
            struct running *r = &all[i * DEDUP_MODEL_STORES + k];
            finish(d, r);
            assert_int_equal(r->op.code, 0);
            assert_true(r->op.found == DEDUP_FRESH || r->op.found == DEDUP_BUSY);
            fresh += r->op.found == DEDUP_FRESH;
        }
        assert_int_equal(fresh, 1);
    }
    free(texts);
    free(all);
}
