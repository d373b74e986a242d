#include <stdlib.h>
#include <string.h>

#include "aws/creds.h"
#include "base/clock.h"

#define ADVISORY_MS  (15 * 60 * 1000) /* before expiry: refresh, and hand out the old ones meanwhile */
#define MANDATORY_MS (10 * 60 * 1000) /* before expiry: wait for the refresh */
#define RETRY_MS     (30 * 1000)      /* between refreshes that fail while the old ones are still valid */

struct waiter {
    creds_done_fn *done;
    void *context;
};

struct cache {
    struct creds_provider base;
    struct creds_provider *inner;
    struct creds *current; /* NULL: none */
    bool refreshing;
    int64_t not_before_ms;  /* no refresh earlier (monotonic) while there are valid ones */
    struct waiter *waiters; /* for the refresh under way */
    size_t n_waiters, capacity;
};

static int64_t
left_ms(const struct cache *c)
{
    if (!c->current)
        return INT64_MIN;
    return c->current->expires_at_ms == 0 ? INT64_MAX : c->current->expires_at_ms - clock_wall_ms();
}

/* Hands the outcome of a refresh to all who waited for it. Their callbacks may ask again. */
static void
tell_waiters(struct cache *c, struct creds *creds, const struct err *error)
{
    struct waiter *waiters = c->waiters;
    size_t n = c->n_waiters;
    c->waiters = NULL;
    c->n_waiters = c->capacity = 0;
    for (size_t i = 0; i < n; i++)
        waiters[i].done(waiters[i].context, creds, creds ? NULL : error);
    free(waiters);
}

static void
refreshed(void *context, struct creds *creds, const struct err *error)
{
    struct cache *c = context;
    c->refreshing = false;
    if (!error) {
        creds_hold(creds);
        creds_release(c->current);
        c->current = creds;
    }
    bool again_soon = left_ms(c) <= ADVISORY_MS; /* it failed, or brought what is about to expire as well */
    c->not_before_ms = again_soon ? clock_monotonic_ms() + RETRY_MS : 0;
    struct creds *answer = error && left_ms(c) <= 0 ? NULL : creds_hold(c->current);
    tell_waiters(c, answer, error);
    creds_release(answer);
}

static void
refresh(struct cache *c)
{
    if (c->refreshing || (left_ms(c) > 0 && clock_monotonic_ms() < c->not_before_ms))
        return;
    c->refreshing = true;
    c->inner->get(c->inner, refreshed, c);
}

static void
cached_get(struct creds_provider *p, creds_done_fn *done, void *context)
{
    struct cache *c = (struct cache *)p;
    if (left_ms(c) <= ADVISORY_MS && left_ms(c) > MANDATORY_MS)
        refresh(c);
    if (left_ms(c) > MANDATORY_MS || (left_ms(c) > 0 && !c->refreshing && clock_monotonic_ms() < c->not_before_ms)) {
        struct creds *held = creds_hold(c->current); /* the callback may invalidate */
        done(context, held, NULL);
        creds_release(held);
        return;
    }
    if (c->n_waiters == c->capacity) {
        size_t capacity = c->capacity ? c->capacity * 2 : 4;
        struct waiter *more = reallocarray(c->waiters, capacity, sizeof *more);
        if (!more) {
            struct err e;
            err_no_memory(&e);
            done(context, NULL, &e);
            return;
        }
        c->waiters = more;
        c->capacity = capacity;
    }
    c->waiters[c->n_waiters++] = (struct waiter){.done = done, .context = context};
    refresh(c);
}

static void
cached_invalidate(struct creds_provider *p, const struct creds *refused)
{
    struct cache *c = (struct cache *)p;
    if (c->current == refused) {
        creds_release(c->current);
        c->current = NULL;
    }
    creds_provider_invalidate(c->inner, refused);
}

static void
cached_destroy(struct creds_provider *p)
{
    struct cache *c = (struct cache *)p;
    creds_provider_destroy(c->inner); /* answers a refresh under way, and so all who wait for it */
    creds_release(c->current);
    free(c->waiters);
    free(c);
}

int
creds_cached_new(struct creds_provider *inner, struct creds_provider **ret_provider, struct err *e)
{
    struct cache *c = calloc(1, sizeof *c);
    if (!c) {
        creds_provider_destroy(inner);
        return err_no_memory(e);
    }
    c->base = (struct creds_provider){
        .name = inner->name, .get = cached_get, .invalidate = cached_invalidate, .destroy = cached_destroy};
    c->inner = inner;
    *ret_provider = &c->base;
    return 0;
}
