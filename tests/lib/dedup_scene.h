/* dedup_scene: workers without a supervisor on one queue of a fanout-local, messages with events in them, and what
 * their handlers (plugin flaky) did. For tests of deduplication with the real programs.
 *
 * One thread. What cannot be fails the test. */
#ifndef FANOUT_TESTS_LIB_DEDUP_SCENE_H
#define FANOUT_TESTS_LIB_DEDUP_SCENE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/clock.h"
#include "lib/aws_call.h"
#include "lib/lone_worker.h"
#include "lib/system.h"

#define DEDUP_SCENE_WORKERS 2
#define DEDUP_SCENE_SOON_MS 30000

struct dedup_scene {
    const char *dir;
    struct system *system;
    struct aws_call call;
    char queue[200];          /* its URL */
    const char *record;       /* of the handlers: ID VERDICT RECEIVES BODY, a line each */
    struct clock_page *clock; /* of all programs; NULL: the machine's */
    bool hurries; /* set by a test with a clock: its waits move it, as fast as engines and handlers follow. A lease may
                   * then be over before what was decided is confirmed: not for tests that count redeliveries */
    int64_t turned_ms[DEDUP_SCENE_WORKERS]; /* private: when an engine has seen the last step */
    struct lone_worker workers[DEDUP_SCENE_WORKERS];
};

/* For cmocka: *state is a new struct dedup_scene, with a server that runs, on a clock that can be moved or on the
 * machine's; its end. */
int dedup_scene_set_up(void **state);
int dedup_scene_set_up_with_clock(void **state);
int dedup_scene_tear_down(void **state);

/* Starts worker i and waits until it is ready. settings: of the consumer ("dedup = { ... };"); its leases are two
 * seconds unless they say otherwise. options: of flaky. */
void dedup_scene_start(struct dedup_scene *s, unsigned i, const char *settings, const char *options);

/* kill -9; or a drain, after which it has ended well. */
void dedup_scene_kill(struct dedup_scene *s, unsigned i);
void dedup_scene_drain(struct dedup_scene *s, unsigned i);

/* Moves the clock. */
void dedup_scene_pass(struct dedup_scene *s, int64_t ms);

/* Sends a message with that event. */
void dedup_scene_send(struct dedup_scene *s, const char *event_id);

/* A fault of fanout-local's (local/faults.h); NULL: no more of them. */
void dedup_scene_fault(struct dedup_scene *s, const char *json);

void dedup_scene_await_empty(struct dedup_scene *s);               /* nothing is in the queue, visible or in flight */
void dedup_scene_await_handler(struct dedup_scene *s, unsigned i); /* worker i is inside one */
void dedup_scene_await(struct dedup_scene *s, unsigned i, const char *counter_name, _Atomic uint64_t *counter,
                       uint64_t at_least);

/* Lines of the record that hold this text. */
size_t dedup_scene_recorded(struct dedup_scene *s, const char *text);

#define DEDUP_SCENE_COUNT(s, i, counter)    ((unsigned long)atomic_load(&(s)->workers[i].metrics->counter))
#define DEDUP_SCENE_AWAIT(s, i, counter, n) dedup_scene_await(s, i, #counter, &(s)->workers[i].metrics->counter, n)

#endif
