/* breaker: whether it is worth while to call the handler now.
 *
 *     closed ──▶ open ──▶ trying ──▶ closed
 *                  ▲          │
 *                  └──────────┘
 *
 * Closed, everything goes to handlers. It opens when the handler says that what it depends on is down, or when, of at
 * least min_calls in the window, failure_percent failed. Open, nothing goes, until a pause is over; then it tries with
 * one message. Each success makes room for one more at a time, each failure for one less: with the first try it is
 * decided at once, and what was down for an hour is not met by all that has gathered meanwhile. When as many may go as
 * handlers can have in their hands, or, on a queue that brings too few for that, two more than failed in a window, it
 * is closed; when none may, or the handler says that it is still down, it is open again, for longer: pauses double from
 * pause_ms to pause_cap_ms, drawn from the upper half so that workers do not try in step. They begin anew once it has
 * been closed for a window.
 *
 * What was begun before its state last changed says nothing about now, and counts no more.
 *
 * Pure: time is passed in (monotonic, ms). One owner: worker/pressure.h. */
#ifndef FANOUT_WORKER_BREAKER_H
#define FANOUT_WORKER_BREAKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct breaker_policy {
    unsigned failure_percent; /* 1 .. 100; 0: failures alone never open it */
    unsigned min_calls;       /* >= 1 */
    int64_t window_ms;        /* >= BREAKER_BUCKETS */
    int64_t pause_ms, pause_cap_ms;
    size_t full; /* what handlers can have in their hands at once, >= 1 */
};

enum breaker_state { BREAKER_CLOSED, BREAKER_TRYING, BREAKER_OPEN };

/* How it went with a message that a handler got, or was to get. */
enum breaker_outcome {
    BREAKER_NOTHING, /* it says nothing: it was not begun, or not for the dependency's sake */
    BREAKER_SUCCESS,
    BREAKER_FAILURE,
    BREAKER_DOWN, /* the handler said so */
};

#define BREAKER_BUCKETS 10 /* of the window, which so moves on a tenth at a time */

struct breaker_bucket {
    int64_t number; /* of a tenth of a window, from the clock's beginning */
    uint64_t calls, failures;
};

struct breaker {
    struct breaker_policy policy;
    enum breaker_state state;
    uint32_t turn;       /* changes with the state; never 0 */
    size_t allowed, out; /* trying: at once, now */
    int64_t tries_at_ms; /* open: when it will be trying */
    int64_t changed_ms;  /* when the state did last */
    int64_t opened_ms;   /* when it was last closed no more */
    uint32_t openings;   /* in this series */
    uint64_t random;
    struct breaker_bucket buckets[BREAKER_BUCKETS];
};

/* Closed. The same seed (not 0) gives the same pauses. */
void breaker_init(struct breaker *b, const struct breaker_policy *policy, uint64_t seed);

/* How many messages may go to handlers now: SIZE_MAX when it is closed. */
size_t breaker_room(const struct breaker *b);

/* One of them goes: its turn, which is not 0, for breaker_end. There must be room. */
uint32_t breaker_begin(struct breaker *b);

/* And how it went. Every turn ends once. True: the state changed. */
bool breaker_end(struct breaker *b, uint32_t turn, enum breaker_outcome outcome, int64_t now_ms);

/* The pause is over, if it is: true when it is trying now, and was not. */
bool breaker_tick(struct breaker *b, int64_t now_ms);

/* Of the window: for logs. */
void breaker_count(const struct breaker *b, int64_t now_ms, uint64_t *ret_calls, uint64_t *ret_failures);

const char *breaker_state_name(enum breaker_state state);

#endif
