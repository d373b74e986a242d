/* engine_thread: the one thread that owns all AWS traffic, and the loop that drives the engine.
 *
 * It is made on the main thread, before any other thread exists (it reads the environment), and then runs on its own
 * until a drain has ended. Handler threads reach it through the pool's inbox, the main thread through the functions
 * below; neither ever waits for it, nor it for them. It runs no plugin code and writes no log line itself (base/log's
 * asynchronous mode). */
#ifndef FANOUT_WORKER_ENGINE_THREAD_H
#define FANOUT_WORKER_ENGINE_THREAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "config/conf.h"
#include "event/pattern.h"
#include "ipc/ledger.h"
#include "worker/pool.h"

struct engine_thread;

struct engine_thread_options {
    const struct conf *conf; /* borrowed, as all here */
    const struct conf_consumer *consumer;
    const char *handler;                /* the plugin's "name version" */
    const struct event_pattern *filter; /* NULL: none */
    struct ledger *ledger;
    int channel_fd; /* health goes there */
};

/* ERR_INVALID: the configuration makes no sense (no region, a URL that is none). */
int engine_thread_new(const struct engine_thread_options *options, struct engine_thread **ret_thread, struct err *e);

/* The in-flight cap: as many batches may wait for a handler thread. */
size_t engine_thread_cap(const struct engine_thread *t);

/* For pool_options: ends the loop's wait. Any thread. */
void engine_thread_wake(void *engine_thread);

/* Receives ask for all system attributes. Before the start. */
void engine_thread_ask_for_attributes(struct engine_thread *t);

/* Where handlers publish, for pool_options; NULL: the consumer publishes nothing. It lives as long as t. */
struct publish_desk *engine_thread_desk(struct engine_thread *t);

/* Starts the thread. pool must outlive it. */
int engine_thread_start(struct engine_thread *t, struct pool *pool, struct err *e);

/* Asks for a drain of at most wait_ms; asking again can only shorten it. Any thread. */
void engine_thread_drain(struct engine_thread *t, int64_t wait_ms);

/* Asks for a dump of the state to the log. Any thread. */
void engine_thread_dump(struct engine_thread *t);

/* A descriptor that becomes readable when the drain has ended. */
int engine_thread_done_fd(const struct engine_thread *t);

/* Waits for the thread's end; the number of messages that were left in hand. */
size_t engine_thread_join(struct engine_thread *t);

/* The thread must not run (any more). NULL is fine. */
void engine_thread_destroy(struct engine_thread *t);

#endif
