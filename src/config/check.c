#include "config/read.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "config/options.h"

/* SQS keeps this many messages in flight for a queue; receives beyond it fail (OverLimit). */
#define IN_FLIGHT_MAX 120000

static const config_setting_t *
place_of(config_setting_t *consumer, const char *path)
{
    const config_setting_t *s = config_setting_lookup(consumer, path);
    return s ? s : consumer;
}

/* Of a name or a URL. */
static bool
is_fifo(const char *queue)
{
    size_t n = strlen(queue);
    return n > 5 && strcmp(queue + n - 5, ".fifo") == 0;
}

/* ---- options that do nothing without another one ---- */

static bool
retries_by_list(const struct conf_consumer *c)
{
    return c->retry.policy == CONF_RETRY_LIST;
}

static bool
retries_by_growth(const struct conf_consumer *c)
{
    return !retries_by_list(c);
}

static bool
filters(const struct conf_consumer *c)
{
    return *c->filter;
}

static bool
consumes_fifo(const struct conf_consumer *c)
{
    return is_fifo(c->queue);
}

static bool
deduplicates(const struct conf_consumer *c)
{
    return c->dedup.store != CONF_DEDUP_NONE;
}

static bool
may_see_other_than_events(const struct conf_consumer *c)
{
    return c->envelope != CONF_ENVELOPE_EVENTBRIDGE || c->unwrap == CONF_UNWRAP_AUTO;
}

static bool
deduplicates_in_memory(const struct conf_consumer *c)
{
    return c->dedup.store == CONF_DEDUP_MEMORY;
}

static bool
deduplicates_by_file(const struct conf_consumer *c)
{
    return c->dedup.store == CONF_DEDUP_SQLITE;
}

static bool
deduplicates_by_table(const struct conf_consumer *c)
{
    return c->dedup.store == CONF_DEDUP_DYNAMODB;
}

static bool
publishes(const struct conf_consumer *c)
{
    return *c->publish.bus || *c->publish.queue;
}

static bool
judges_failures(const struct conf_consumer *c)
{
    return c->breaker.failure_percent > 0;
}

/* An option whose value is not the default is refused where it would change nothing. Every rule of this kind is here.
 */
static const struct idle_rule {
    const char *option; /* a path below consumers */
    bool (*works)(const struct conf_consumer *c);
    const char *without; /* ... when it does not */
} IDLE_RULES[] = {
    {"retry.base_ms", retries_by_growth, "retry.policy = \"list\" has its delays from retry.delays_ms"},
    {"retry.cap_ms", retries_by_growth, "retry.policy = \"list\" has its delays from retry.delays_ms"},
    {"retry.delays_ms", retries_by_list, "retry.policy is not \"list\""},
    {"on_mismatch", filters, "there is no filter for a message to mismatch"},
    {"fifo.on_failure", consumes_fifo, "the queue is no FIFO queue (their names end in .fifo)"},
    {"dedup.window_s", deduplicates, "dedup.store is \"none\": nothing is deduplicated"},
    {"dedup.key", deduplicates, "dedup.store is \"none\": nothing is deduplicated"},
    {"dedup.key", may_see_other_than_events, "with envelope = \"eventbridge\" every message has an event's id"},
    {"dedup.on_error", deduplicates, "dedup.store is \"none\": nothing is deduplicated"},
    {"dedup.max_entries", deduplicates_in_memory, "dedup.store is not \"memory\""},
    {"dedup.path", deduplicates_by_file, "dedup.store is not \"sqlite\""},
    {"dedup.table", deduplicates_by_table, "dedup.store is not \"dynamodb\""},
    {"dedup.endpoint_url", deduplicates_by_table, "dedup.store is not \"dynamodb\""},
    {"publish.buffer_mb", publishes, "there is neither publish.bus nor publish.queue: handlers publish nothing"},
    {"breaker.min_calls", judges_failures, "breaker.failure_percent is 0: failures do not open the breaker"},
};

static bool
is_default(const struct conf_option *o, const struct conf_consumer *c)
{
    struct conf_consumer defaults = {0};
    const char *value = (const char *)c + o->offset, *other = (const char *)&defaults + o->offset;
    conf_set_default(o, &defaults);
    if (o->type == CONF_STRING)
        return strcmp(*(const char *const *)value, *(const char *const *)other) == 0;
    return *(const int *)value == *(const int *)other; /* CONF_INT, CONF_ENUM */
}

static void
check_idle_options(struct conf_reader *r, const struct conf_consumer *c, config_setting_t *setting, const char *path)
{
    const char *reported = NULL;
    for (size_t i = 0; i < sizeof IDLE_RULES / sizeof *IDLE_RULES; i++) {
        const struct idle_rule *rule = &IDLE_RULES[i];
        char full[64];
        snprintf(full, sizeof full, "consumers.%s", rule->option);
        if (rule->works(c) || is_default(conf_option_find(full), c) ||
            (reported && strcmp(reported, rule->option) == 0))
            continue;
        reported = rule->option;
        conf_problem(r, place_of(setting, rule->option), path, "%s would do nothing, since %s; leave it out",
                     rule->option, rule->without);
    }
}

/* ---- queues ---- */

static bool
is_queue_url(const char *queue)
{
    return strstr(queue, "://");
}

/* The name in a queue's URL; of a name itself. *ret_n: a slash behind it is no part of it. */
static const char *
name_in(const char *queue, size_t *ret_n)
{
    size_t end = strlen(queue), start;
    while (end > 0 && queue[end - 1] == '/')
        end--;
    for (start = end; start > 0 && queue[start - 1] != '/'; start--)
        ;
    *ret_n = end - start;
    return queue + start;
}

static bool
is_same_url(const char *a, const char *b)
{
    size_t an, bn, host;
    const char *a_end = name_in(a, &an) + an, *b_end = name_in(b, &bn) + bn;
    if (a_end - a != b_end - b)
        return false;
    host = (size_t)(strstr(a, "://") - a) + strlen("://");
    host += strcspn(a + host, "/");
    return strncasecmp(a, b, host) == 0 && memcmp(a + host, b + host, (size_t)(a_end - a) - host) == 0;
}

/* As far as it can be told here. A name is a queue of these credentials' account and region, which only AWS knows: next
 * to a URL it is told when the worker asks the queues themselves (discover.h), but for a dead-letter queue that is
 * given by the very name in the consumer's URL, since that is hardly ever meant and can be written as a URL. */
static bool
is_own_queue(const char *queue, const char *dead_letter)
{
    size_t n;
    if (is_queue_url(queue) && is_queue_url(dead_letter))
        return is_same_url(queue, dead_letter);
    if (is_queue_url(dead_letter))
        return false;
    const char *name = name_in(queue, &n);
    return strlen(dead_letter) == n && memcmp(name, dead_letter, n) == 0;
}

static void
check_dead_letter_queue(struct conf_reader *r, const struct conf_consumer *c, config_setting_t *setting,
                        const char *path)
{
    const char *dead = c->dead_letter.queue;
    if (!*dead || !is_own_queue(c->queue, dead))
        return;
    bool can_differ = is_queue_url(c->queue) && !is_queue_url(dead);
    conf_problem(r, place_of(setting, "dead_letter"), path, "dead_letter.queue is the consumer's own queue%s",
                 can_differ ? "; if it is one of that name in another account or region, give its URL" : "");
}

void
conf_check_consumer(struct conf_reader *r, const struct conf_consumer *c, config_setting_t *setting, const char *path)
{
    if (r->no_memory)
        return; /* some are missing */
    check_idle_options(r, c, setting, path);
    if (c->retry.policy == CONF_RETRY_LIST && !*c->retry.delays_ms)
        conf_problem(r, place_of(setting, "retry"), path, "retry.policy is list, but there are no retry.delays_ms");
    if (c->retry.policy != CONF_RETRY_LIST && c->retry.cap_ms < c->retry.base_ms)
        conf_problem(r, place_of(setting, "retry"), path, "retry.cap_ms (%d) is below retry.base_ms (%d)",
                     c->retry.cap_ms, c->retry.base_ms);

    check_dead_letter_queue(r, c, setting, path);
    if (c->dedup.store == CONF_DEDUP_SQLITE && !*c->dedup.path)
        conf_problem(r, place_of(setting, "dedup"), path, "dedup.store is \"sqlite\": dedup.path must name its file");
    if (c->dedup.store == CONF_DEDUP_DYNAMODB && !*c->dedup.table)
        conf_problem(r, place_of(setting, "dedup"), path,
                     "dedup.store is \"dynamodb\": dedup.table must name its table");

    if (c->breaker.pause_cap_ms < c->breaker.pause_ms)
        conf_problem(r, place_of(setting, "breaker"), path, "breaker.pause_cap_ms (%d) is below breaker.pause_ms (%d)",
                     c->breaker.pause_cap_ms, c->breaker.pause_ms);

    if (c->lease.max_s > 0 && c->lease.max_s < c->visibility_timeout_s)
        conf_problem(r, place_of(setting, "lease"), path,
                     "lease.max_s (%d) is below visibility_timeout_s (%d), which each receive grants", c->lease.max_s,
                     c->visibility_timeout_s);

    long long in_flight = (long long)c->processes * c->threads * c->batch.size * (1 + c->prefetch);
    if (in_flight > IN_FLIGHT_MAX)
        conf_problem(r, setting, path,
                     "processes x threads x batch.size x (1 + prefetch) = %d x %d x %d x %d = %lld messages in flight; "
                     "SQS allows 120000 of a queue",
                     c->processes, c->threads, c->batch.size, 1 + c->prefetch, in_flight);

    if (c->visibility_timeout_s > 0 && c->batch.window_ms > c->visibility_timeout_s * 500LL)
        conf_problem(r, place_of(setting, "batch"), path,
                     "batch.window_ms (%d) is more than half of visibility_timeout_s (%d): messages would spend their "
                     "lease waiting for a batch",
                     c->batch.window_ms, c->visibility_timeout_s);

    if (c->on_mismatch == CONF_MISMATCH_LEAVE && is_fifo(c->queue))
        conf_problem(
            r, place_of(setting, "on_mismatch"), path,
            "on_mismatch = leave on a FIFO queue: a message that is left holds its group up until SQS has moved "
            "it to the dead-letter queue; choose delete or dead_letter");

    if (c->retry.then == CONF_RETRY_LEAVE_TO_QUEUE && c->fifo.on_failure == CONF_FIFO_STOP_GROUP && is_fifo(c->queue))
        conf_problem(
            r, place_of(setting, "retry"), path,
            "retry.then = leave_to_queue on a FIFO queue: each receive that is spent on the message is spent on "
            "those behind it in its group, too, and SQS moves them to the dead-letter queue with it, "
            "unhandled; choose dead_letter, or fifo.on_failure = skip");
}

void
conf_check_names(struct conf_reader *r, config_setting_t *consumers)
{
    const struct conf *conf = r->conf;
    for (size_t i = 1; i < conf->n_consumers; i++) {
        for (size_t j = 0; j < i; j++) {
            const char *name = conf->consumers[i].name;
            const char *other = conf->consumers[j].name;
            if (!name || !other || !*name || strcmp(name, other) != 0)
                continue;
            conf_problem(r, place_of(config_setting_get_elem(consumers, (unsigned)i), "name"), NULL,
                         "consumers[%zu].name: \"%s\" is the name of consumers[%zu] already", i, name, j);
            break;
        }
    }
}
