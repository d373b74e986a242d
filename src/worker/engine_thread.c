#include "worker/engine_thread.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "aws/aws.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/uuid.h"
#include "http/http.h"
#include "ipc/channel.h"
#include "worker/engine.h"
#include "worker/fatal.h"
#include "worker/publish_list.h"
#include "worker/services.h"

#define WAIT_MS        1000 /* the beat of an idle loop */
#define FAILED_MS      50   /* of a loop whose waiting fails */
#define STATS_EVERY_MS 1000
#define UNTOLD_MS      1 /* how long batches of a turn may wait for its end */
#define NO_DRAIN       INT64_MAX
#define HOST_BYTES     256

struct engine_thread {
    char host[HOST_BYTES];
    struct engine_thread_options options;
    struct services services;
    struct publish_desk desk;
    struct engine *engine;
    struct pool *pool;
    pthread_t thread;
    bool started;
    int done_fd;
    size_t left;
    bool untold; /* batches were submitted since untold_since_ms, and no handler thread was woken for them */
    int64_t untold_since_ms;
    int64_t stats_due_ms;
    uint64_t log_dropped;

    /* from other threads */
    _Atomic int64_t drain_deadline_ms;
    _Atomic bool dump;
};

/* ---- the engine's surroundings ---- */

/* Waking a thread costs as much as handling a small message: the batches of a turn share a wake-up, unless the turn
 * takes long. */
static void
tell_handlers(struct engine_thread *t)
{
    if (t->untold)
        pool_wake(t->pool);
    t->untold = false;
}

static void
submit(void *context, struct batch *b)
{
    struct engine_thread *t = context;
    int64_t now_ms = clock_monotonic_ms();
    pool_submit(t->pool, b);
    if (!t->untold)
        t->untold_since_ms = now_ms;
    t->untold = true;
    if (now_ms - t->untold_since_ms > UNTOLD_MS)
        tell_handlers(t);
}

static struct batch *
take_back(void *context)
{
    return pool_take_back(((struct engine_thread *)context)->pool);
}

static void
hold(void *context, bool held)
{
    pool_set_held(((struct engine_thread *)context)->pool, held);
}

static int
health(void *context, enum ipc_health state, const char *why)
{
    struct engine_thread *t = context;
    struct err e;
    int rc = ipc_send(t->options.channel_fd, IPC_HEALTH, state, why, &e);
    if (rc != 0)
        log_write_limited(LOG_WARN, 10000, "cannot tell the supervisor about health", LOG_ERR(&e));
    return rc;
}

/* ---- figures ---- */

static void
update_stats(struct engine_thread *t, int64_t now_ms)
{
    if (now_ms < t->stats_due_ms)
        return;
    t->stats_due_ms = now_ms + STATS_EVERY_MS;
    struct metrics *c = ledger_metrics(t->options.ledger);
    struct aws_stats aws, events = {0};
    aws_client_stats(t->services.client, &aws);
    if (t->services.events)
        aws_client_stats(t->services.events, &events);
    METRICS_SET(c, aws_calls, aws.calls + events.calls);
    METRICS_SET(c, aws_retries, aws.retries + events.retries);
    METRICS_SET(c, aws_throttled, aws.throttled + events.throttled);
    struct http_stats http;
    http_engine_stats(t->services.http, &http);
    METRICS_SET(c, longest_turn_ms, http.longest_turn_ms);
    METRICS_SET(c, longest_turn_cpu_ms, http.longest_turn_cpu_ms);
    uint64_t dropped = log_dropped();
    METRICS_COUNT(c, log_dropped, dropped - t->log_dropped);
    t->log_dropped = dropped;
}

/* ---- the loop ---- */

static void
obey(struct engine_thread *t, int64_t now_ms)
{
    int64_t deadline_ms = atomic_load_explicit(&t->drain_deadline_ms, memory_order_relaxed);
    if (deadline_ms != NO_DRAIN) {
        pool_set_stopping(t->pool);
        engine_drain(t->engine, deadline_ms, now_ms);
    }
    if (atomic_exchange_explicit(&t->dump, false, memory_order_relaxed))
        engine_dump(t->engine, now_ms);
}

static void *
run(void *argument)
{
    struct engine_thread *t = argument;
    struct metrics *metrics = ledger_metrics(t->options.ledger);
    struct err e;
    pthread_setname_np(pthread_self(), "engine");
    fatal_thread_begin(-1);
    engine_start(t->engine);
    for (;;) {
        int64_t now_ms = clock_monotonic_ms();
        METRICS_SET(metrics, engine_beat_ms, now_ms);
        engine_take(t->engine, inbox_take(pool_inbox(t->pool)), now_ms);
        obey(t, now_ms);
        engine_turn(t->engine, now_ms);
        update_stats(t, now_ms);
        if (engine_is_over(t->engine, &t->left))
            break;
        tell_handlers(t); /* of what gates let pass in this turn: the wait may be long */
        if (http_engine_run(t->services.http, pool_watch(t->pool, WAIT_MS, clock_monotonic_ms()), &e) != 0) {
            log_write_limited(LOG_ERROR, 10000, "the HTTP engine fails", LOG_ERR(&e));
            poll(NULL, 0, FAILED_MS); /* it may not have waited */
        }
        tell_handlers(t);
    }
    t->stats_due_ms = 0;
    update_stats(t, clock_monotonic_ms());
    uint64_t one = 1;
    ssize_t n = write(t->done_fd, &one, sizeof one);
    (void)n; /* an eventfd takes it */
    return NULL;
}

/* ---- life ---- */

/* The options of c that are nothing without a dead-letter queue, as a person would name them; NULL: there are none. */
static const char *
needs_dead_letters(const struct conf_consumer *c)
{
    if (c->retry.max_attempts > 0 && c->retry.then == CONF_RETRY_DEAD_LETTER)
        return "retry.max_attempts (unless retry.then is leave_to_queue)";
    if (c->envelope == CONF_ENVELOPE_EVENTBRIDGE)
        return "envelope = eventbridge (for bodies that are no events)";
    if (c->on_mismatch == CONF_MISMATCH_DEAD_LETTER)
        return "on_mismatch = dead_letter";
    if (*c->dead_letter.queue)
        return "dead_letter.queue";
    return NULL;
}

static int
make_engine(struct engine_thread *t, struct err *e)
{
    const struct conf_consumer *c = t->options.consumer;
    struct dedup_store *store = NULL;
    int rc = services_make_dedup_store(&t->services, engine_thread_wake, t, &store, e);
    if (rc != 0)
        return rc;
    struct engine_options engine = {.world = {.clock_ms = clock_monotonic_ms,
                                              .wall_ms = clock_wall_ms,
                                              .timers = http_engine_timers(t->services.http),
                                              .queue = t->services.queue,
                                              .ledger = t->options.ledger,
                                              .metrics = ledger_metrics(t->options.ledger),
                                              .random = uuid_random_seed()},
                                    .consumer = c->name,
                                    .queue = c->queue,
                                    .handler = t->options.handler,
                                    .host = t->host,
                                    .threads = (size_t)c->threads,
                                    .batch_size = (size_t)c->batch.size,
                                    .prefetch = (size_t)c->prefetch,
                                    .batch_window_ms = c->batch.window_ms,
                                    .wait_time_s = (unsigned)c->wait_time_s,
                                    .visibility_timeout_s = c->visibility_timeout_s,
                                    .lease_max_s = c->lease.max_s,
                                    .dead_letters = c->dead_letter.queue,
                                    .needs_dead_letters = needs_dead_letters(c),
                                    .screen = {.unwrap = c->unwrap,
                                               .envelope = c->envelope,
                                               .filter = t->options.filter,
                                               .on_mismatch = c->on_mismatch},
                                    .breaker = {.failure_percent = (unsigned)c->breaker.failure_percent,
                                                .min_calls = (unsigned)c->breaker.min_calls,
                                                .window_ms = c->breaker.window_s * INT64_C(1000),
                                                .pause_ms = c->breaker.pause_ms,
                                                .pause_cap_ms = c->breaker.pause_cap_ms},
                                    .max_per_s = (unsigned)c->rate.max_per_s,
                                    .dedup = {.store = store,
                                              .window_ms = c->dedup.window_s * INT64_C(1000),
                                              .by_body = c->dedup.key == CONF_DEDUP_BODY,
                                              .handle_anyway = c->dedup.on_error == CONF_DEDUP_HANDLE},
                                    .fifo_skips = c->fifo.on_failure == CONF_FIFO_SKIP,
                                    .outlet = t->services.events ? &t->services.outlet.outlet : NULL,
                                    .submit = submit,
                                    .take_back = take_back,
                                    .hold = hold,
                                    .health = health,
                                    .context = t};
    t->desk.bus = c->publish.bus;
    t->desk.queue = c->publish.queue;
    t->desk.max_bytes = (size_t)c->publish.buffer_mb << 20;
    retry_read_policy(c, &engine.retry);
    return engine_new(&engine, &t->engine, e);
}

int
engine_thread_new(const struct engine_thread_options *options, struct engine_thread **ret_thread, struct err *e)
{
    struct engine_thread *t = calloc(1, sizeof *t);
    if (!t)
        return err_no_memory(e);
    t->options = *options;
    if (gethostname(t->host, sizeof t->host) != 0 || !memchr(t->host, 0, sizeof t->host))
        t->host[0] = 0;
    atomic_init(&t->drain_deadline_ms, NO_DRAIN);
    t->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int rc = t->done_fd < 0 ? err_set_errno(e, errno, "eventfd")
                            : services_init(&t->services, options->conf, options->consumer, e);
    if (rc == 0)
        rc = make_engine(t, e);
    if (rc != 0) {
        engine_thread_destroy(t);
        return rc;
    }
    *ret_thread = t;
    return 0;
}

size_t
engine_thread_cap(const struct engine_thread *t)
{
    return engine_cap(t->engine);
}

struct publish_desk *
engine_thread_desk(struct engine_thread *t)
{
    return t->services.events ? &t->desk : NULL;
}

void
engine_thread_wake(void *engine_thread)
{
    http_engine_wakeup(((struct engine_thread *)engine_thread)->services.http);
}

void
engine_thread_ask_for_attributes(struct engine_thread *t)
{
    engine_ask_for_attributes(t->engine);
}

int
engine_thread_start(struct engine_thread *t, struct pool *pool, struct err *e)
{
    t->pool = pool;
    int error = pthread_create(&t->thread, NULL, run, t);
    if (error != 0)
        return err_set_errno(e, error, "engine thread");
    t->started = true;
    return 0;
}

void
engine_thread_drain(struct engine_thread *t, int64_t wait_ms)
{
    int64_t deadline_ms = clock_monotonic_ms() + wait_ms;
    int64_t old_ms = atomic_load_explicit(&t->drain_deadline_ms, memory_order_relaxed);
    while (deadline_ms < old_ms && !atomic_compare_exchange_weak(&t->drain_deadline_ms, &old_ms, deadline_ms))
        ;
    engine_thread_wake(t);
}

void
engine_thread_dump(struct engine_thread *t)
{
    atomic_store_explicit(&t->dump, true, memory_order_relaxed);
    engine_thread_wake(t);
}

int
engine_thread_done_fd(const struct engine_thread *t)
{
    return t->done_fd;
}

size_t
engine_thread_join(struct engine_thread *t)
{
    if (t->started)
        pthread_join(t->thread, NULL);
    t->started = false;
    return t->left;
}

void
engine_thread_destroy(struct engine_thread *t)
{
    if (!t)
        return;
    engine_destroy(t->engine);
    services_clean_up(&t->services);
    if (t->done_fd >= 0)
        close(t->done_fd);
    free(t);
}
