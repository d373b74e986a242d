#include "base/ring.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"

struct ring {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* something was pushed, or it was closed */
    size_t capacity;
    size_t first, count; /* guarded by lock, as is all below */
    size_t waiting;      /* threads inside a wait of ring_pop */
    bool waking;         /* one of them was signalled and has not run since: it will see to the others */
    bool closed;
    void *items[];
};

int
ring_new(size_t capacity, struct ring **ret_ring, struct err *e)
{
    assert(capacity > 0);
    if (capacity > (SIZE_MAX / 2 - sizeof(struct ring)) / sizeof(void *))
        return err_no_memory(e);
    struct ring *r = calloc(1, sizeof *r + capacity * sizeof *r->items);
    if (!r)
        return err_no_memory(e);
    r->capacity = capacity;
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&r->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&r->lock, NULL);
    *ret_ring = r;
    return 0;
}

void
ring_destroy(struct ring *r)
{
    if (!r)
        return;
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

static bool
put(struct ring *r, void *item)
{
    assert(item);
    bool fits = !r->closed && r->count < r->capacity;
    if (fits) {
        r->items[(r->first + r->count) % r->capacity] = item;
        r->count++;
    }
    return fits;
}

/* Unlocks, and wakes a waiter if there is something for it and no other is being woken. */
static void
unlock_and_wake(struct ring *r)
{
    bool wake = r->count > 0 && r->waiting > 0 && !r->waking;
    if (wake)
        r->waking = true;
    pthread_mutex_unlock(&r->lock);
    if (wake) /* not under the lock: the woken thread would at once sleep again, on the lock */
        pthread_cond_signal(&r->changed);
}

bool
ring_push(struct ring *r, void *item)
{
    pthread_mutex_lock(&r->lock);
    bool fits = put(r, item);
    unlock_and_wake(r);
    return fits;
}

bool
ring_push_first(struct ring *r, void *item)
{
    assert(item);
    pthread_mutex_lock(&r->lock);
    bool fits = !r->closed && r->count < r->capacity;
    if (fits) {
        r->first = (r->first + r->capacity - 1) % r->capacity;
        r->items[r->first] = item;
        r->count++;
    }
    unlock_and_wake(r);
    return fits;
}

bool
ring_put(struct ring *r, void *item)
{
    pthread_mutex_lock(&r->lock);
    bool fits = put(r, item);
    pthread_mutex_unlock(&r->lock);
    return fits;
}

void
ring_wake(struct ring *r)
{
    pthread_mutex_lock(&r->lock);
    unlock_and_wake(r);
}

static void
wait_at_most_ms(struct ring *r, int64_t ms)
{
    if (ms < 0) {
        pthread_cond_wait(&r->changed, &r->lock);
        return;
    }
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_cond_timedwait(&r->changed, &r->lock, &until);
}

/* What is left of a wait: by real time or by the test clock, whichever is further. Negative: for ever. */
static int64_t
left_ms(int64_t wait_ms, int64_t started_ns, int64_t started_ms)
{
    if (wait_ms < 0)
        return -1;
    int64_t real = (clock_monotonic_ns() - started_ns) / 1000000;
    int64_t test = clock_monotonic_ms() - started_ms;
    int64_t waited = real > test ? real : test;
    return waited < wait_ms ? wait_ms - waited : 0;
}

void *
ring_pop(struct ring *r, int64_t wait_ms)
{
    void *item = NULL;
    int64_t started_ns = 0, started_ms = 0, left = wait_ms;
    pthread_mutex_lock(&r->lock);
    if (r->count == 0 && wait_ms > 0) {
        started_ns = clock_monotonic_ns();
        started_ms = clock_monotonic_ms();
    }
    while (r->count == 0 && !r->closed && left != 0) {
        r->waiting++;
        wait_at_most_ms(r, clock_cap_wait_ms(left));
        r->waiting--;
        r->waking = false;
        left = left_ms(wait_ms, started_ns, started_ms);
    }
    if (r->count > 0) {
        item = r->items[r->first];
        r->first = (r->first + 1) % r->capacity;
        r->count--;
    }
    unlock_and_wake(r);
    return item;
}

void
ring_close(struct ring *r)
{
    pthread_mutex_lock(&r->lock);
    r->closed = true;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

bool
ring_is_closed(struct ring *r)
{
    pthread_mutex_lock(&r->lock);
    bool closed = r->closed;
    pthread_mutex_unlock(&r->lock);
    return closed;
}

size_t
ring_count(struct ring *r)
{
    pthread_mutex_lock(&r->lock);
    size_t count = r->count;
    pthread_mutex_unlock(&r->lock);
    return count;
}
