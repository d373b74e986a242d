#include "config/read.h"

#include <string.h>

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
    size_t n = queue ? strlen(queue) : 0;
    return n > 5 && strcmp(queue + n - 5, ".fifo") == 0;
}

void
conf_check_consumer(struct conf_reader *r, const struct conf_consumer *c, config_setting_t *setting, const char *path)
{
    if (c->retry.cap_ms < c->retry.base_ms)
        conf_problem(r, place_of(setting, "retry"), path, "retry.cap_ms (%d) is below retry.base_ms (%d)",
                     c->retry.cap_ms, c->retry.base_ms);

    const char *delays = c->retry.delays_ms;
    if (c->retry.policy == CONF_RETRY_LIST && delays && !*delays)
        conf_problem(r, place_of(setting, "retry"), path, "retry.policy is list, but there are no retry.delays_ms");
    if (c->retry.policy != CONF_RETRY_LIST && delays && *delays)
        conf_problem(r, place_of(setting, "retry"), path,
                     "retry.delays_ms is for retry.policy = \"list\"; without it, leave retry.delays_ms out");

    if (c->queue && c->dead_letter.queue && *c->queue && strcmp(c->queue, c->dead_letter.queue) == 0)
        conf_problem(r, place_of(setting, "dead_letter"), path, "dead_letter.queue is the consumer's own queue");
    if (c->dedup.store == CONF_DEDUP_SQLITE && c->dedup.path && !*c->dedup.path)
        conf_problem(r, place_of(setting, "dedup"), path, "dedup.store is \"sqlite\": dedup.path must name its file");
    if (c->dedup.store == CONF_DEDUP_DYNAMODB && c->dedup.table && !*c->dedup.table)
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
    if (c->on_mismatch != CONF_MISMATCH_DELETE && c->filter && !*c->filter)
        conf_problem(r, place_of(setting, "on_mismatch"), path,
                     "on_mismatch is for messages that filter keeps away; without a filter, leave on_mismatch out");
    if (c->fifo.on_failure != CONF_FIFO_STOP_GROUP && c->queue && *c->queue && !is_fifo(c->queue))
        conf_problem(r, place_of(setting, "fifo"), path,
                     "fifo.on_failure is for FIFO queues, whose names end in .fifo; leave it out");

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
