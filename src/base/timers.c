#include "base/timers.h"

#include <assert.h>
#include <stdlib.h>

#include "base/err.h"

/* A timer's place is where its pointer is: 1 to count in the heap; and while a run is on, counted down from SIZE_MAX
 * in the list of those the run has yet to fire. */
static bool
is_in_run(const struct timers *ts, const struct timer *t)
{
    return t->place > ts->capacity;
}

static size_t
place_in_run(size_t index)
{
    return SIZE_MAX - index;
}

static void
put(struct timers *ts, size_t place, struct timer *t)
{
    ts->heap[place - 1] = t;
    t->place = place;
}

static void
sift_up(struct timers *ts, size_t place, struct timer *t)
{
    while (place > 1 && ts->heap[place / 2 - 1]->due_ms > t->due_ms) {
        put(ts, place, ts->heap[place / 2 - 1]);
        place /= 2;
    }
    put(ts, place, t);
}

static void
sift_down(struct timers *ts, size_t place, struct timer *t)
{
    for (size_t child; (child = 2 * place) <= ts->count; place = child) {
        if (child < ts->count && ts->heap[child]->due_ms < ts->heap[child - 1]->due_ms)
            child++;
        if (ts->heap[child - 1]->due_ms >= t->due_ms)
            break;
        put(ts, place, ts->heap[child - 1]);
    }
    put(ts, place, t);
}

static void
place_again(struct timers *ts, size_t place, struct timer *t)
{
    if (place > 1 && ts->heap[place / 2 - 1]->due_ms > t->due_ms)
        sift_up(ts, place, t);
    else
        sift_down(ts, place, t);
}

static void
remove_from_heap(struct timers *ts, struct timer *t)
{
    size_t hole = t->place;
    struct timer *last = ts->heap[--ts->count];
    if (last != t)
        place_again(ts, hole, last);
    t->place = 0;
}

void
timers_init(struct timers *ts)
{
    *ts = (struct timers){0};
}

void
timers_clean_up(struct timers *ts)
{
    free(ts->heap);
    free(ts->due);
    *ts = (struct timers){0};
}

static int
grow(struct timers *ts)
{
    size_t capacity = ts->capacity ? ts->capacity * 2 : 16;
    if (capacity > PTRDIFF_MAX / sizeof(struct timer *))
        return ERR_NO_MEMORY;
    struct timer **heap = realloc(ts->heap, capacity * sizeof(struct timer *));
    if (!heap)
        return ERR_NO_MEMORY;
    ts->heap = heap;
    struct timer **due = realloc(ts->due, capacity * sizeof(struct timer *));
    if (!due)
        return ERR_NO_MEMORY;
    ts->due = due;
    ts->capacity = capacity;
    return 0;
}

/* A place for one timer more, in both arrays: what a run has yet to fire must find room in the heap when it is set
 * again, and the whole heap may be due at once. */
static int
claim_place(struct timers *ts)
{
    if (ts->claimed == ts->capacity && grow(ts) < 0)
        return ERR_NO_MEMORY;
    ts->claimed++;
    return 0;
}

static void
leave_place(struct timers *ts, const struct timer *t)
{
    if (!t->reserved)
        ts->claimed--;
}

int
timers_reserve(struct timers *ts, struct timer *t)
{
    if (!t->reserved && !timer_is_set(t) && claim_place(ts) < 0)
        return ERR_NO_MEMORY;
    t->reserved = true;
    return 0;
}

static void
take_out(struct timers *ts, struct timer *t)
{
    if (is_in_run(ts, t)) {
        ts->due[SIZE_MAX - t->place] = NULL;
        t->place = 0;
    } else {
        remove_from_heap(ts, t);
    }
}

int
timers_set(struct timers *ts, struct timer *t, int64_t due_ms)
{
    if (timer_is_set(t) && !is_in_run(ts, t)) {
        t->due_ms = due_ms;
        place_again(ts, t->place, t);
        return 0;
    }
    if (timer_is_set(t))
        take_out(ts, t);
    else if (!t->reserved && claim_place(ts) < 0)
        return ERR_NO_MEMORY;
    t->due_ms = due_ms;
    ts->count++;
    sift_up(ts, ts->count, t);
    return 0;
}

void
timers_cancel(struct timers *ts, struct timer *t)
{
    if (!timer_is_set(t))
        return;
    take_out(ts, t);
    leave_place(ts, t);
}

int64_t
timers_next_ms(const struct timers *ts, int64_t now_ms)
{
    if (ts->count == 0)
        return -1;
    int64_t due_ms = ts->heap[0]->due_ms;
    return due_ms > now_ms ? due_ms - now_ms : 0;
}

size_t
timers_run(struct timers *ts, int64_t now_ms)
{
    size_t fired = 0;
    assert(ts->due_count == 0); /* no run inside a run */
    while (ts->count > 0 && ts->heap[0]->due_ms <= now_ms) {
        struct timer *t = ts->heap[0];
        remove_from_heap(ts, t);
        t->place = place_in_run(ts->due_count);
        ts->due[ts->due_count++] = t;
    }
    for (size_t i = 0; i < ts->due_count; i++) {
        struct timer *t = ts->due[i];
        if (!t)
            continue;
        take_out(ts, t);
        leave_place(ts, t);
        t->fire(t, now_ms); /* may free t */
        fired++;
    }
    ts->due_count = 0;
    return fired;
}
