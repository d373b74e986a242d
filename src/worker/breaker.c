#include "worker/breaker.h"

#include <assert.h>

#include "base/backoff.h"

void
breaker_init(struct breaker *b, const struct breaker_policy *policy, uint64_t seed)
{
    assert(policy->full > 0 && policy->min_calls > 0 && policy->window_ms >= BREAKER_BUCKETS);
    assert(policy->pause_ms > 0 && policy->pause_cap_ms >= policy->pause_ms);
    *b = (struct breaker){.policy = *policy, .turn = 1, .random = seed};
}

/* ---- the window ---- */

static int64_t
bucket_number(const struct breaker *b, int64_t now_ms)
{
    return now_ms / (b->policy.window_ms / BREAKER_BUCKETS);
}

static void
note_call(struct breaker *b, bool failed, int64_t now_ms)
{
    int64_t number = bucket_number(b, now_ms);
    struct breaker_bucket *bucket = &b->buckets[number % BREAKER_BUCKETS];
    if (bucket->number != number)
        *bucket = (struct breaker_bucket){.number = number};
    bucket->calls++;
    bucket->failures += failed;
}

void
breaker_count(const struct breaker *b, int64_t now_ms, uint64_t *ret_calls, uint64_t *ret_failures)
{
    int64_t number = bucket_number(b, now_ms);
    *ret_calls = *ret_failures = 0;
    for (int i = 0; i < BREAKER_BUCKETS; i++) {
        if (b->buckets[i].number <= number - BREAKER_BUCKETS)
            continue;
        *ret_calls += b->buckets[i].calls;
        *ret_failures += b->buckets[i].failures;
    }
}

static bool
too_many_failed(const struct breaker *b, int64_t now_ms)
{
    uint64_t calls, failures;
    breaker_count(b, now_ms, &calls, &failures);
    return calls >= b->policy.min_calls && failures * 100 >= calls * b->policy.failure_percent;
}

/* ---- states ---- */

static void
enter(struct breaker *b, enum breaker_state state, int64_t now_ms)
{
    b->state = state;
    b->changed_ms = now_ms;
    b->out = 0;
    if (++b->turn == 0)
        b->turn = 1;
}

static void
close_again(struct breaker *b, int64_t now_ms)
{
    enter(b, BREAKER_CLOSED, now_ms);
    for (int i = 0; i < BREAKER_BUCKETS; i++)
        b->buckets[i] = (struct breaker_bucket){0};
}

static void
open_for_a_pause(struct breaker *b, int64_t now_ms)
{
    if (b->state == BREAKER_CLOSED) {
        b->opened_ms = now_ms;
        if (now_ms - b->changed_ms >= b->policy.window_ms)
            b->openings = 0;
    }
    enter(b, BREAKER_OPEN, now_ms);
    int64_t longest_ms = b->policy.pause_ms;
    for (uint32_t i = 0; i < b->openings && longest_ms < b->policy.pause_cap_ms; i++)
        longest_ms = longest_ms <= b->policy.pause_cap_ms / 2 ? longest_ms * 2 : b->policy.pause_cap_ms;
    const struct backoff_policy pause = {
        .base_ms = longest_ms, .cap_ms = longest_ms, .floor_ms = longest_ms - longest_ms / 2};
    b->tries_at_ms = now_ms + backoff_wait_ms(&pause, 1, &b->random);
    b->openings++;
}

static void
learn_closed(struct breaker *b, enum breaker_outcome outcome, int64_t now_ms)
{
    if (outcome == BREAKER_DOWN) {
        open_for_a_pause(b, now_ms);
    } else if (b->policy.failure_percent > 0) {
        note_call(b, outcome == BREAKER_FAILURE, now_ms);
        if (outcome == BREAKER_FAILURE && too_many_failed(b, now_ms))
            open_for_a_pause(b, now_ms);
    }
}

static void
learn_trying(struct breaker *b, enum breaker_outcome outcome, int64_t now_ms)
{
    if (outcome == BREAKER_SUCCESS)
        b->allowed++;
    else
        b->allowed--;
    if (outcome == BREAKER_DOWN || b->allowed == 0)
        open_for_a_pause(b, now_ms);
    else if (outcome == BREAKER_SUCCESS &&
             (b->allowed >= b->policy.full || (b->allowed > 2 && now_ms - b->changed_ms >= b->policy.window_ms)))
        close_again(b, now_ms);
}

/* ---- what the owner does ---- */

size_t
breaker_room(const struct breaker *b)
{
    switch (b->state) {
    case BREAKER_CLOSED:
        return SIZE_MAX;
    case BREAKER_TRYING:
        return b->allowed > b->out ? b->allowed - b->out : 0;
    case BREAKER_OPEN:
        break;
    }
    return 0;
}

uint32_t
breaker_begin(struct breaker *b)
{
    assert(b->state == BREAKER_CLOSED || (b->state == BREAKER_TRYING && b->out < b->allowed));
    if (b->state == BREAKER_TRYING)
        b->out++;
    return b->turn;
}

bool
breaker_end(struct breaker *b, uint32_t turn, enum breaker_outcome outcome, int64_t now_ms)
{
    if (turn != b->turn)
        return false;
    assert(b->state == BREAKER_CLOSED || (b->state == BREAKER_TRYING && b->out > 0));
    if (b->state == BREAKER_TRYING)
        b->out--;
    if (outcome == BREAKER_NOTHING)
        return false;
    if (b->state == BREAKER_CLOSED)
        learn_closed(b, outcome, now_ms);
    else
        learn_trying(b, outcome, now_ms);
    return turn != b->turn;
}

bool
breaker_tick(struct breaker *b, int64_t now_ms)
{
    if (b->state != BREAKER_OPEN || now_ms < b->tries_at_ms)
        return false;
    enter(b, BREAKER_TRYING, now_ms);
    b->allowed = 1;
    return true;
}

const char *
breaker_state_name(enum breaker_state state)
{
    static const char *const NAMES[] = {
        [BREAKER_CLOSED] = "closed", [BREAKER_TRYING] = "trying", [BREAKER_OPEN] = "open"};
    return NAMES[state];
}
