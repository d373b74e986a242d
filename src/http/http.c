#include "http/http.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "http/internal.h"

#define DEFAULT_CONNECTIONS      64
#define DEFAULT_CONNECT_MS       3000
#define DEFAULT_CONNECTION_AGE_S 300
#define DEFAULT_CA_KEEP_S        300
#define DEFAULT_DNS_KEEP_S       5
/* After so long a turn takes in no more bytes and begins no more callbacks. One of them can take as much again and
 * more: an answer of ten messages of 1 MiB is read, verified and copied in some 35 ms. */
#define TURN_NS INT64_C(20000000)

static bool
has_proxy(void)
{
    static const char *const names[] = {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = getenv(names[i]);
        if (value && *value)
            return true;
    }
    return false;
}

int
http_engine_new(const struct http_engine_options *options, struct http_engine **ret_engine, struct err *e)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return err_set(e, ERR_IO, "libcurl cannot be initialised");
    struct http_engine *g = calloc(1, sizeof *g);
    if (!g) {
        curl_global_cleanup();
        return err_no_memory(e);
    }
    g->watched = -1;
    TAILQ_INIT(&g->pending);
    TAILQ_INIT(&g->active);
    TAILQ_INIT(&g->pool);
    timers_init(&g->timers);
    g->max_connections = options->max_connections ? options->max_connections : DEFAULT_CONNECTIONS;
    g->connect_timeout_ms = options->connect_timeout_ms ? options->connect_timeout_ms : DEFAULT_CONNECT_MS;
    g->max_connection_age_s = options->max_connection_age_s ? options->max_connection_age_s : DEFAULT_CONNECTION_AGE_S;
    g->dns_keep_s = options->dns_keep_s == 0 ? DEFAULT_DNS_KEEP_S : options->dns_keep_s > 0 ? options->dns_keep_s : 0;
    g->proxied = has_proxy();
    const char *agent = options->user_agent ? options->user_agent : "fanoutd/" FANOUT_VERSION;
    if (asprintf(&g->user_agent, "User-Agent: %s", agent) < 0)
        g->user_agent = NULL;
    g->ca_keep_s = options->ca_keep_s ? options->ca_keep_s : DEFAULT_CA_KEEP_S;
    g->ca_file = strdup(options->ca_file ? options->ca_file : "");
    g->ca_option = strdup(options->ca_option ? options->ca_option : "ca_file");
    g->multi = curl_multi_init();
    g->share = curl_share_init();
    if (!g->user_agent || !g->ca_file || !g->ca_option || !g->multi || !g->share ||
        curl_share_setopt(g->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION) != CURLSHE_OK) {
        http_engine_destroy(g);
        return err_no_memory(e);
    }
    curl_multi_setopt(g->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
    *ret_engine = g;
    return 0;
}

static void
free_list(struct http_engine *g, struct call_list *list)
{
    struct http_call *c;
    while ((c = TAILQ_FIRST(list))) {
        TAILQ_REMOVE(list, c, link);
        if (list == &g->active)
            curl_multi_remove_handle(g->multi, c->easy);
        timers_cancel(&g->timers, &c->timer);
        http_call_free(c);
    }
}

void
http_engine_destroy(struct http_engine *g)
{
    if (!g)
        return;
    assert(!g->running);
    free_list(g, &g->active);
    free_list(g, &g->pending);
    free_list(g, &g->pool);
    curl_multi_cleanup(g->multi);
    curl_share_cleanup(g->share);
    timers_clean_up(&g->timers);
    free(g->user_agent);
    free(g->ca_file);
    free(g->ca_option);
    free(g);
    curl_global_cleanup();
}

/* libcurl counts connections in use and idle ones together: the limit has to grow with the calls in flight, or each
 * finished call would close its connection while enough others wait. */
void
http_engine_make_room(struct http_engine *g)
{
    size_t wanted = g->max_connections + g->stats.in_flight;
    if (wanted <= g->connection_limit)
        return;
    g->connection_limit = wanted;
    curl_multi_setopt(g->multi, CURLMOPT_MAXCONNECTS, (long)wanted);
}

void
http_engine_recycle(struct http_engine *g, struct http_call *c)
{
    if (g->n_pooled >= g->max_connections) {
        http_call_free(c);
        return;
    }
    c->state = CALL_POOLED;
    TAILQ_INSERT_HEAD(&g->pool, c, link);
    g->n_pooled++;
}

/* How long to sleep when there is nothing to hand to curl. */
static int
wait_for(const struct http_engine *g, int64_t wait_ms)
{
    if (g->undelivered || g->any_paused)
        return 0;
    int64_t timer_ms = timers_next_ms(&g->timers, clock_monotonic_ms());
    if (timer_ms >= 0 && (wait_ms < 0 || timer_ms < wait_ms))
        wait_ms = timer_ms;
    if (wait_ms < 0 || wait_ms > INT_MAX)
        wait_ms = INT_MAX;
    return clock_cap_wait_ms(wait_ms);
}

static void
remove_cancelled(struct http_engine *g)
{
    if (!g->any_cancelled)
        return;
    g->any_cancelled = false;
    struct http_call *next;
    for (struct http_call *c = TAILQ_FIRST(&g->active); c; c = next) {
        next = TAILQ_NEXT(c, link);
        if (c->state == CALL_CANCELLED)
            http_cancel(c);
    }
}

bool
http_engine_turn_is_over(const struct http_engine *g)
{
    return clock_monotonic_ns() - g->turn_ns > TURN_NS;
}

/* Goes on with the calls that the last turn had no more time for. */
static void
resume_paused(struct http_engine *g)
{
    if (!g->any_paused)
        return;
    g->any_paused = false;
    struct http_call *next;
    for (struct http_call *c = TAILQ_FIRST(&g->active); c; c = next) {
        next = TAILQ_NEXT(c, link); /* stays: what is cancelled now is taken out later */
        if (!c->paused)
            continue;
        c->paused = false;
        CURLcode result = curl_easy_pause(c->easy, CURLPAUSE_CONT);
        if (result != CURLE_OK && c->state == CALL_ACTIVE)
            http_call_finish(c, result);
    }
}

/* Callbacks take apart what came: a turn ends when that has taken its time, and the rest waits for the next. */
static void
deliver(struct http_engine *g)
{
    CURLMsg *message;
    int left;
    g->undelivered = false;
    while (!g->undelivered && (message = curl_multi_info_read(g->multi, &left))) {
        struct http_call *c = NULL;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &c);
        http_call_finish(c, message->data.result);
        g->undelivered = left > 0 && http_engine_turn_is_over(g);
    }
}

static int64_t
cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void
begin_turn(struct http_engine *g)
{
    g->turn_ns = clock_monotonic_ns();
    g->looked_before_ms = g->looked_ms;
    g->looked_ms = g->turn_ns / 1000000;
    g->turn_cpu_ns = cpu_ns();
}

static void
end_turn(struct http_engine *g)
{
    if (g->turn_ns == 0)
        return;
    int64_t turn_ms = (clock_monotonic_ns() - g->turn_ns) / 1000000;
    g->turn_ns = 0;
    if (turn_ms > g->stats.longest_turn_ms)
        g->stats.longest_turn_ms = turn_ms;
    if (turn_ms <= g->stats.longest_turn_cpu_ms)
        return;
    int64_t cpu_ms = (cpu_ns() - g->turn_cpu_ns) / 1000000;
    if (cpu_ms > g->stats.longest_turn_cpu_ms)
        g->stats.longest_turn_cpu_ms = cpu_ms;
}

int
http_engine_run(struct http_engine *g, int64_t wait_ms, struct err *e)
{
    assert(!g->running);
    CURLMcode result = CURLM_OK;
    end_turn(g);
    struct curl_waitfd watched = {.fd = g->watched, .events = CURL_WAIT_POLLIN};
    if (TAILQ_EMPTY(&g->pending))
        result = curl_multi_poll(g->multi, &watched, g->watched >= 0 ? 1 : 0, wait_for(g, wait_ms), NULL);
    if (result != CURLM_OK)
        return err_set(e, ERR_IO, "waiting for network traffic: %s", curl_multi_strerror(result));

    begin_turn(g);
    g->running = true;
    for (struct http_call *c; (c = TAILQ_FIRST(&g->pending));)
        http_call_start(c);
    g->inside_curl = true;
    resume_paused(g);
    int running;
    result = curl_multi_perform(g->multi, &running);
    g->inside_curl = false;
    remove_cancelled(g);
    deliver(g);
    timers_run(&g->timers, clock_monotonic_ms());
    g->running = false;
    if (result != CURLM_OK)
        return err_set(e, ERR_IO, "moving network traffic: %s", curl_multi_strerror(result));
    return 0;
}

int
http_engine_run_until(struct http_engine *g, const bool *done, int64_t timeout_ms, struct err *e)
{
    int64_t deadline_ms = clock_monotonic_ms() + timeout_ms;
    while (!*done) {
        int64_t left_ms = -1;
        if (timeout_ms >= 0) {
            left_ms = deadline_ms - clock_monotonic_ms();
            if (left_ms <= 0)
                return err_set(e, ERR_TIMEOUT, "not done within %lld ms", (long long)timeout_ms);
        }
        int r = http_engine_run(g, left_ms, e);
        if (r < 0)
            return r;
    }
    return 0;
}

void
http_engine_watch(struct http_engine *g, int fd)
{
    g->watched = fd;
}

void
http_engine_wakeup(struct http_engine *g)
{
    curl_multi_wakeup(g->multi);
}

struct timers *
http_engine_timers(struct http_engine *g)
{
    return &g->timers;
}

void
http_engine_stats(const struct http_engine *g, struct http_stats *ret_stats)
{
    *ret_stats = g->stats;
}
