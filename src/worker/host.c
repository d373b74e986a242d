/* The functions a plugin can call (fanout/handler.h, struct handler_host): handler threads, and any thread for log. */
#include "worker/call.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "plugin/plugin.h"
#include "worker/host_view.h"
#include "worker/publish_list.h"

#define DELAY_MAX_MS   INT64_C(43200000)
#define LOG_TEXT_BYTES 4000
#define LOG_IDS        10

/* ---- what is wrong with a plugin ---- */

static const char *const BREACHES[BREACH_KINDS] = {
    [BREACH_INDEX] = "an index that the call does not have",
    [BREACH_TWICE] = "settle for a message that was settled before; the first verdict stands",
    [BREACH_VERDICT] = "settle with a verdict that does not exist",
    [BREACH_CALL] = "a host function was called with a call that is over, another thread's or NULL",
    [BREACH_RETURN] = "the handler returned a value that is no verdict; what it did not settle is retried",
    [BREACH_FORGOTTEN] = "the handler returned without a verdict for some messages; they are retried",
    [BREACH_PUBLISH] = "something was published for a message that was settled before; it is not sent",
};

void
host_breach(struct call_shared *shared, enum breach kind, const struct message *m, int64_t value)
{
    METRICS_COUNT(shared->metrics, violations, 1);
    if (!atomic_exchange_explicit(&shared->breached[kind], true, memory_order_relaxed))
        log_write(LOG_ERROR, "the plugin breaks the handler contract (logged once a kind)",
                  LOG_STR("plugin", shared->plugin), LOG_STR("breach", BREACHES[kind]), LOG_INT("value", value),
                  LOG_SLICE("id", m ? m->id : slice_of(NULL, 0)));
}

void
host_post(struct call_shared *shared, struct inbox_node *node)
{
    if (inbox_push(&shared->inbox, node))
        shared->wake(shared->context);
}

/* So that a call that is NULL can be held against its plugin. */
static _Thread_local struct call_shared *thread_shared;

void
host_set_thread(struct call_shared *shared)
{
    thread_shared = shared;
}

/* The call is the calling thread's current one. */
static bool
is_current(struct handler_call *call)
{
    if (!call) {
        if (thread_shared)
            host_breach(thread_shared, BREACH_CALL, NULL, 0);
        return false;
    }
    if (atomic_load_explicit(&call->running, memory_order_relaxed) && pthread_equal(call->thread, pthread_self()))
        return true;
    host_breach(call->shared, BREACH_CALL, NULL, 0);
    return false;
}

struct message *
host_message(struct handler_call *call, uint32_t index)
{
    if (!is_current(call))
        return NULL;
    if (index < call->count)
        return call->messages[index];
    host_breach(call->shared, BREACH_INDEX, NULL, index);
    return NULL;
}

/* ---- log ---- */

static enum log_level
level_of(int32_t level)
{
    return level <= HANDLER_LOG_ERROR  ? LOG_ERROR
           : level <= HANDLER_LOG_WARN ? LOG_WARN
           : level <= HANDLER_LOG_INFO ? LOG_INFO
                                       : LOG_DEBUG;
}

/* "id,id,... and 90 more" */
static void
list_ids(const struct handler_call *call, char *out, size_t capacity)
{
    size_t n = 0;
    for (uint32_t i = 0; i < call->count && i < LOG_IDS && n < capacity; i++)
        n += (size_t)snprintf(out + n, capacity - n, "%s%s", i > 0 ? "," : "", call->messages[i]->view.id);
    if (call->count > LOG_IDS && n < capacity)
        snprintf(out + n, capacity - n, " and %u more", call->count - LOG_IDS);
}

static void
host_log(struct handler_call *call, int32_t level, const char *text)
{
    enum log_level l = level_of(level);
    if (!text || l > log_level())
        return;
    char line[LOG_TEXT_BYTES + 1];
    size_t n = strnlen(text, LOG_TEXT_BYTES);
    memcpy(line, text, n);
    line[n] = '\0';
    if (!call || !is_current(call)) {
        log_write(l, line, LOG_STR("by", "handler"));
        return;
    }
    char ids[LOG_IDS * (LEDGER_ID_BYTES + 1) + 32] = "";
    list_ids(call, ids, sizeof ids);
    log_write(l, line, LOG_STR("by", "handler"), LOG_STR("id", ids));
}

/* ---- verdicts ---- */

static int32_t
host_settle(struct handler_call *call, uint32_t index, int32_t verdict, int64_t delay_ms, const char *reason)
{
    struct message *m = host_message(call, index);
    if (!m)
        return HANDLER_E_INDEX;
    if (m->verdict.kind == VERDICT_LOST)
        return HANDLER_E_LOST;
    if (m->verdict.kind != VERDICT_NONE) {
        host_breach(call->shared, BREACH_TWICE, m, verdict);
        return HANDLER_E_SETTLED;
    }
    if (verdict < HANDLER_DONE || verdict > HANDLER_DOWN) {
        host_breach(call->shared, BREACH_VERDICT, m, verdict);
        return HANDLER_E_VERDICT;
    }
    if (message_lease_left_ms(m, clock_monotonic_ms()) == 0) {
        m->verdict.kind = VERDICT_LOST;
        return HANDLER_E_LOST;
    }
    m->verdict.kind = verdict;
    m->verdict.delay_ms = delay_ms > DELAY_MAX_MS ? DELAY_MAX_MS : delay_ms;
    m->verdict.reason = verdict == HANDLER_DONE ? NULL : message_copy_reason(reason);
    call->down |= verdict == HANDLER_DOWN;
    call->publishes |= verdict == HANDLER_DONE && publish_list_has_pieces(m->publish);
    call->posted = true;
    host_post(call->shared, &m->settled);
    return HANDLER_OK;
}

/* ---- leases ---- */

static int64_t
host_remaining_ms(struct handler_call *call)
{
    if (!is_current(call))
        return 0;
    int64_t now_ms = clock_monotonic_ms();
    int64_t least_ms = DELAY_MAX_MS;
    for (uint32_t i = 0; i < call->count; i++) {
        const struct message *m = call->messages[i];
        if (m->verdict.kind != VERDICT_NONE && m->verdict.kind != VERDICT_LOST)
            continue;
        int64_t left_ms = message_lease_left_ms(m, now_ms);
        least_ms = left_ms < least_ms ? left_ms : least_ms;
    }
    return least_ms;
}

static int32_t
host_extend(struct handler_call *call, int64_t more_ms)
{
    if (!is_current(call))
        return HANDLER_E_LOST;
    int64_t now_ms = clock_monotonic_ms();
    more_ms = more_ms < 0 ? 0 : more_ms > DELAY_MAX_MS ? DELAY_MAX_MS : more_ms;
    bool lost = false, asked = false;
    for (uint32_t i = 0; i < call->count; i++) {
        struct message *m = call->messages[i];
        if (m->verdict.kind == VERDICT_LOST || message_lease_left_ms(m, now_ms) == 0) {
            lost |= m->verdict.kind == VERDICT_NONE || m->verdict.kind == VERDICT_LOST;
        } else if (m->verdict.kind == VERDICT_NONE) {
            atomic_store_explicit(&m->asked_until_ms, now_ms + more_ms, memory_order_relaxed);
            asked = true;
        }
    }
    if (asked && !atomic_exchange_explicit(&call->batch->extend_queued, true, memory_order_acq_rel))
        host_post(call->shared, &call->batch->extend);
    return lost ? HANDLER_E_LOST : HANDLER_OK;
}

static int32_t
host_stopping(struct handler_call *call)
{
    if (!call)
        return is_current(call);
    return atomic_load_explicit(&call->shared->stopping, memory_order_relaxed) ? 1 : 0;
}

/* ---- the rest ---- */

/* Set while open runs, on the thread it runs on: the ABI's option() has no other way to know whose. */
static _Thread_local const struct plugin *opening;
static _Thread_local unsigned looked_up; /* a bit for each extension, in their order */

void
host_set_opening(const struct plugin *plugin)
{
    opening = plugin;
    if (plugin)
        looked_up = 0;
}

static const char *
host_option(const char *name)
{
    return opening && name ? plugin_option(opening, name) : NULL;
}

static const struct {
    const char *id;
    const void *functions;
} EXTENSIONS[] = {
    {HANDLER_EVENT_EXTENSION, &host_event_extension},
    {HANDLER_ATTRIBUTES_EXTENSION, &host_attributes_extension},
    {HANDLER_PUBLISH_EXTENSION, &host_publish_extension},
};
#define N_EXTENSIONS (sizeof EXTENSIONS / sizeof *EXTENSIONS)

static unsigned
number_of_extension(const char *id)
{
    unsigned i = 0;
    while (i < N_EXTENSIONS && strcmp(id, EXTENSIONS[i].id) != 0)
        i++;
    return i;
}

static const void *
host_extension(const char *id)
{
    unsigned i = id ? number_of_extension(id) : N_EXTENSIONS;
    if (i == N_EXTENSIONS)
        return NULL;
    if (opening)
        looked_up |= 1u << i;
    return EXTENSIONS[i].functions;
}

bool
host_opened_with(const char *extension)
{
    return looked_up >> number_of_extension(extension) & 1;
}

const struct handler_host host_table = {.size = sizeof(struct handler_host),
                                        .log = host_log,
                                        .settle = host_settle,
                                        .remaining_ms = host_remaining_ms,
                                        .extend = host_extend,
                                        .stopping = host_stopping,
                                        .option = host_option,
                                        .extension = host_extension};
