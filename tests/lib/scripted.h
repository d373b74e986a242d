/* scripted: a real fanout-worker whose handler does what message bodies say (tests/plugins/script.c), on a queue of
 * local_fixture's: for tests of what becomes of each verdict and lease.
 *
 *     struct scripted s;
 *     scripted_make(&s, "{}");
 *     scripted_send(&s, "a done");
 *     scripted_start(&s, "script", "");
 *     scripted_await_count(&s, deleted, 1);
 *     assert_int_equal(scripted_drain(&s), 0);
 *     scripted_drop(&s);
 *
 * The clock is local_fixture's, if it has one. One thread; what cannot be fails the test. */
#ifndef FANOUT_TESTS_LIB_SCRIPTED_H
#define FANOUT_TESTS_LIB_SCRIPTED_H

#include <stddef.h>
#include <stdint.h>

#include "lib/local_queue.h"
#include "lib/lone_worker.h"

#define SCRIPTED_SOON_MS 20000

struct scripted {
    struct local_queue queue, dead; /* dead: its dead-letter queue, after 100 receives, FIFO if it is */
    struct lone_worker worker;
    const char *dir, *record, *log;
    int gate_fd;
};

/* attributes: of the queue, besides its RedrivePolicy: "" or ", \"VisibilityTimeout\": \"20\"". */
void scripted_make(struct scripted *s, const char *attributes);
void scripted_drop(struct scripted *s); /* kills the worker if it runs */

/* Sends messages of these bodies, up to a NULL, in one call. */
void scripted_send(struct scripted *s, const char *const *bodies);
#define SCRIPTED_SEND(s, ...) scripted_send(s, (const char *const[]){__VA_ARGS__, NULL})

/* plugin: "script", "script_each". settings: of the consumer; otherwise it has one handler thread, and long polls of a
 * second. */
void scripted_start(struct scripted *s, const char *plugin, const char *settings);

void scripted_open_gate(struct scripted *s, unsigned n);

/* Tells the worker to drain; and until it has. Returns what it left, its number. */
void scripted_begin_drain(struct scripted *s, int within_ms);
int64_t scripted_end_drain(struct scripted *s, int within_ms);
int64_t scripted_drain(struct scripted *s);

/* How many lines the handler wrote that have this text; waits for n of them. */
size_t scripted_recorded(struct scripted *s, const char *text);
void scripted_await_recorded(struct scripted *s, const char *text, size_t n);

/* The same with the worker's log. */
size_t scripted_logged(struct scripted *s, const char *text);
void scripted_await_logged(struct scripted *s, const char *text, size_t n);

/* A figure of the worker's, and waits until it is at least n. */
#define SCRIPTED_COUNT(s, field)          ((long)METRICS_GET((s)->worker.metrics, field))
#define SCRIPTED_AWAIT_COUNT(s, field, n) scripted_await_count(s, METRIC_##field, &(s)->worker.metrics->field, n)
void scripted_await_count(struct scripted *s, enum metrics_id id, _Atomic uint64_t *counter, uint64_t n);

/* Moves the clock by ms, step_ms at a time. At every step the server sees the time, the worker's engine turns, and then
 * both have come to rest: no request is unanswered but those that wait for the clock. */
void scripted_pass(struct scripted *s, int64_t ms, int64_t step_ms);

/* The receipt handle under which the worker has the message whose body is this, from its ledger. False: it has none. */
bool scripted_handle(struct scripted *s, const char *body, char *ret_handle, size_t size);

/* Waits until the queue has these. */
void scripted_await_queue(struct local_queue *q, long visible, long in_flight);

#endif
