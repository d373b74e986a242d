#include "worker/screen.h"

#include <stdio.h>

#include "base/backoff.h"
#include "base/log.h"
#include "worker/content.h"

#define LOG_EVERY_MS 1000

/* Of what is left to others: never less than a second, because a released message comes straight back to a long poll.
 */
static const struct backoff_policy LEAVE = {.base_ms = 1000, .cap_ms = 60000, .floor_ms = 1};

void
screen_init(struct screen *s, struct world *w, const struct screen_options *options)
{
    *s = (struct screen){.world = w, .options = *options};
    s->active = options->unwrap != CONF_UNWRAP_NONE || options->envelope != CONF_ENVELOPE_NONE || options->filter;
}

/* ---- verdicts ---- */

static bool
dead_letter(struct message *m, enum dead_reason why, const char *reason)
{
    m->verdict = (struct message_verdict){
        .kind = VERDICT_DEAD_LETTER, .delay_ms = -1, .reason = message_copy_reason(reason), .dead = why};
    return false;
}

static bool
undecodable(struct screen *s, struct message *m, const char *why)
{
    char reason[MESSAGE_REASON_BYTES];
    snprintf(reason, sizeof reason, "undecodable body: %s", why);
    WORLD_COUNT(s->world, undecodable, 1);
    return dead_letter(m, DEAD_UNDECODABLE, reason);
}

static bool
filtered_out(struct screen *s, struct message *m)
{
    switch (s->options.on_mismatch) {
    case CONF_MISMATCH_DELETE:
        WORLD_COUNT(s->world, filtered, 1);
        log_write(LOG_DEBUG, "message filtered out: deleted", LOG_SLICE("id", m->id));
        m->verdict = (struct message_verdict){.kind = VERDICT_FILTERED};
        break;
    case CONF_MISMATCH_LEAVE:
        WORLD_COUNT(s->world, filtered_left, 1);
        log_write(LOG_DEBUG, "message filtered out: left to others", LOG_SLICE("id", m->id),
                  LOG_INT("receive_count", m->receive_count));
        m->verdict = (struct message_verdict){
            .kind = VERDICT_LEFT,
            .delay_ms = backoff_wait_ms(&LEAVE, m->receive_count > 0 ? m->receive_count : 1, &s->world->random)};
        break;
    case CONF_MISMATCH_DEAD_LETTER:
        WORLD_COUNT(s->world, filtered_dead, 1);
        return dead_letter(m, DEAD_MISMATCH, "does not match the consumer's filter");
    }
    return false;
}

static bool
undecided(struct screen *s, struct message *m)
{
    WORLD_COUNT(s->world, undecided, 1);
    return dead_letter(
        m, DEAD_UNDECIDED,
        "the filter could not be decided in time: the event spells the way to its arrays in too many ways");
}

/* ---- the gate ---- */

/* False: no memory. */
static bool
take_apart(struct message *m, bool unwrap)
{
    if (!m->content)
        m->content = content_new(m->body, unwrap);
    return m->content;
}

static bool
is_expected(const struct screen *s, const struct content *c)
{
    return s->options.envelope == CONF_ENVELOPE_NONE || c->kind == HANDLER_BODY_EVENT ||
           (s->options.unwrap == CONF_UNWRAP_AUTO && c->kind != HANDLER_BODY_OTHER);
}

bool
screen_message(struct screen *s, struct message *m)
{
    if (!s->active)
        return true;
    bool first = !m->content;
    if (!take_apart(m, s->options.unwrap != CONF_UNWRAP_NONE)) {
        log_write_limited(LOG_ERROR, LOG_EVERY_MS, "out of memory: a message is retried", LOG_SLICE("id", m->id));
        m->verdict = (struct message_verdict){.kind = VERDICT_LATER, .delay_ms = -1};
        return false;
    }
    const struct content *c = m->content;
    if (c->unwrapped) {
        WORLD_COUNT(s->world, unwrapped, first);
        m->view.body = c->body.p;
        m->view.body_len = c->body.n;
    }
    if (!is_expected(s, c)) {
        struct err why;
        content_explain(c, &why);
        return undecodable(s, m, why.text);
    }
    if (!s->options.filter)
        return true;
    if (!c->value.text.p || c->value.type != JSON_OBJECT)
        return undecodable(s, m, "no JSON object, which the consumer's filter asks for");
    switch (event_pattern_ask(s->options.filter, c->value)) {
    case EVENT_MATCH:
        return true;
    case EVENT_UNDECIDED:
        return undecided(s, m);
    case EVENT_NO_MATCH:
        break;
    }
    return filtered_out(s, m);
}

bool
screen_event_id(struct message *m, struct slice *ret_id)
{
    return take_apart(m, false) && content_event_id(m->content, ret_id);
}
