#include "local/events_impl.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "event/envelope.h"

#define LOG_INTERVAL_MS 10000

/* The target will not have it, and no retry will help; anything else is the store's failure. */
static bool
is_refusal(int rc)
{
    return rc == ERR_NOT_FOUND || rc == ERR_INVALID || rc == ERR_LIMIT;
}

/* The capture function of the template, done here: it writes the event as an object, but for replayed ones, which are
 * in the bucket already. The key comes from the event alone, so that a repeated capture writes the same object. */
static int
capture(struct local_events *s, struct store_tx *tx, const struct events_target *target,
        const struct events_event *event, struct err *e)
{
    struct event_envelope envelope;
    int rc = event_envelope_read(event->event, &envelope, e);
    if (rc != 0 || event_envelope_is_replay(&envelope))
        return rc;
    char time[CLOCK_ISO8601_BYTES];
    struct buf key = BUF_INIT;
    clock_format_seconds(event->time_ms, time);
    buf_add_format(&key, "raw-events/%s-%.*s.json", time, SLICE_ARG(event->id));
    rc = buf_failed(&key) ? store_fail(tx, ERR_NO_MEMORY, "out of memory")
                          : local_s3_store(s->s3, tx, target->capture_bucket, buf_slice(&key), event->event.text,
                                           "application/json");
    buf_clean_up(&key);
    if (rc == ERR_NOT_FOUND)
        err_set(e, ERR_NOT_FOUND, "There is no bucket %.*s.", SLICE_ARG(target->capture_bucket));
    return rc;
}

/* To the rule's dead-letter queue, as EventBridge does when a retry can bring nothing (FACTS.md, 2). */
static int
bury(struct local_events *s, struct store_tx *tx, const struct events_rule *rule, const struct events_target *target,
     const struct events_event *event, const char *code, const struct err *why)
{
    const struct local_sqs_attribute attributes[] = {
        {SLICE("RULE_ARN"), rule->arn},
        {SLICE("TARGET_ARN"), target->arn},
        {SLICE("ERROR_CODE"), slice_of_string(code)},
        {SLICE("ERROR_MESSAGE"), slice_of_string(why->text)},
        {SLICE("RETRY_ATTEMPTS"), SLICE("0")},
    };
    int rc = ERR_NOT_FOUND;
    if (target->dead_letter_arn.n > 0)
        rc = local_sqs_deliver(s->sqs, tx, target->dead_letter_arn, event->event.text, slice_of(NULL, 0), attributes,
                               sizeof attributes / sizeof *attributes, NULL);
    if (rc == 0)
        log_write_limited(LOG_WARN, LOG_INTERVAL_MS,
                          "a rule's target does not take the event: sent to its dead-letter queue",
                          LOG_SLICE("rule", rule->name), LOG_SLICE("target", target->arn),
                          LOG_SLICE("event", event->id), LOG_ERR(why));
    else
        log_write_limited(LOG_ERROR, LOG_INTERVAL_MS,
                          "a rule's target does not take the event, and no dead-letter queue does: dropped",
                          LOG_SLICE("rule", rule->name), LOG_SLICE("target", target->arn),
                          LOG_SLICE("event", event->id), LOG_ERR(why));
    return is_refusal(rc) ? 0 : rc;
}

/* To the queue, what the target wants of the event. *ret_made: that was made. */
static int
send(struct local_events *s, struct store_tx *tx, const struct events_rule *rule, const struct events_target *target,
     const struct events_event *event, bool *ret_made, struct err *e)
{
    const struct events_input_subject subject = {
        .rule_arn = rule->arn, .rule_name = rule->name, .event = event->event, .ingested_at_ms = event->ingested_at_ms};
    struct buf made = BUF_INIT;
    struct slice text;
    int rc = local_events_input_apply(&target->input, &subject, &made, &text, e);
    *ret_made = rc == 0;
    if (rc == ERR_NO_MEMORY)
        rc = store_fail(tx, ERR_NO_MEMORY, "out of memory");
    if (rc == 0)
        rc = local_sqs_deliver(s->sqs, tx, target->arn, text, target->group_id, NULL, 0, e);
    buf_clean_up(&made);
    return rc;
}

static int
deliver_to(struct local_events *s, struct store_tx *tx, const struct events_rule *rule,
           const struct events_target *target, const struct events_event *event)
{
    struct err e = {0};
    bool made = true;
    int rc;
    if (target->capture_bucket.n > 0)
        rc = capture(s, tx, target, event, &e);
    else if (slice_starts_with(target->arn, SLICE("arn:aws:sqs:")))
        rc = send(s, tx, rule, target, event, &made, &e);
    else
        rc = err_set(&e, ERR_NOT_FOUND, "There is no such target here.");
    if (!is_refusal(rc))
        return rc;
    const char *code = rc == ERR_NOT_FOUND ? "NO_RESOURCE" : made ? "SDK_CLIENT_ERROR" : "INVALID_JSON";
    return bury(s, tx, rule, target, event, code, &e);
}

int
local_events_deliver(struct local_events *s, struct store_tx *tx, const struct events_event *event)
{
    const struct events_bus *bus = event->bus;
    size_t n = event_rules_match(bus->patterns, bus->scratch, event->event, bus->matched);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        const struct events_rule *rule = &bus->rules[bus->matched[i]];
        for (size_t k = 0; rc == 0 && k < rule->n_targets; k++)
            rc = deliver_to(s, tx, rule, &rule->targets[k], event);
    }
    return rc;
}
