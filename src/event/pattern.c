/* One pattern: a set of one, with its scratch on the stack. */
#include "event/pattern.h"

#include <stdlib.h>
#include <string.h>

#include "event/ruleset_impl.h"

struct event_pattern {
    struct event_rules *set;
    size_t scratch_bytes; /* without the buffers for strings with escapes */
};

int
event_pattern_compile(struct slice text, struct event_pattern **ret_pattern, struct err *e)
{
    struct event_pattern *p = calloc(1, sizeof *p);
    if (!p)
        return err_no_memory(e);
    int rc = event_rules_compile(&text, 1, &p->set, NULL, e);
    if (rc != 0) {
        free(p);
        return rc;
    }
    p->scratch_bytes = ruleset_scratch_bytes(p->set);
    *ret_pattern = p;
    return 0;
}

void
event_pattern_destroy(struct event_pattern *p)
{
    if (!p)
        return;
    event_rules_destroy(p->set);
    free(p);
}

static int
ask(const struct event_pattern *p, struct slice event, enum event_answer *ret_answer, struct err *e)
{
    uint64_t memory[(p->scratch_bytes + 7) / 8];
    struct event_scratch s;
    memset(memory, 0, p->scratch_bytes - sizeof(struct pattern_buffers));
    ruleset_scratch_init(p->set, memory, &s);
    int rc = ruleset_match(p->set, &s, event, e);
    if (rc == 0)
        *ret_answer = s.hits[0] & 1 ? EVENT_MATCH : s.gave_up ? EVENT_UNDECIDED : EVENT_NO_MATCH;
    return rc;
}

int
event_pattern_match_text(const struct event_pattern *p, struct slice event, bool *ret_matches, struct err *e)
{
    enum event_answer answer;
    int rc = ask(p, event, &answer, e);
    if (rc == 0)
        *ret_matches = answer == EVENT_MATCH;
    return rc;
}

enum event_answer
event_pattern_ask(const struct event_pattern *p, struct json event)
{
    enum event_answer answer = EVENT_NO_MATCH;
    ask(p, event.text, &answer, NULL);
    return answer;
}

bool
event_pattern_match(const struct event_pattern *p, struct json event)
{
    return event_pattern_ask(p, event) == EVENT_MATCH;
}

int
event_parse(struct slice text, struct json *ret_event, struct err *e)
{
    struct json value;
    int rc = json_parse(text, &value, e);
    if (rc != 0)
        return err_prefix(e, rc, "Event is not valid. Reason");
    if (value.type != JSON_OBJECT)
        return err_set(e, ERR_INVALID, "Event is not valid. Reason: It is not a JSON object");
    *ret_event = value;
    return 0;
}

int
event_pattern_explain(const struct event_pattern *p, struct json event, struct buf *out, struct err *e)
{
    if (!event_pattern_match(p, event) && pattern_explain(p->set->patterns[0], event, out) != 0)
        return err_no_memory(e);
    return buf_failed(out) ? err_no_memory(e) : 0;
}
