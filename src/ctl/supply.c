#include "ctl/supply.h"

#include <stdio.h>
#include <string.h>

static struct entry *
generate(struct supply *s)
{
    static const char *const ACTIONS[] = {"signup", "login", "purchase", "logout"};
    if (s->generated == s->total)
        return NULL;
    size_t i = s->generated++;
    char line[512];
    int n = snprintf(line, sizeof line,
                     "{\"Source\":\"buffer.source\",\"DetailType\":\"BufferedEvent\","
                     "\"Detail\":{\"user_id\": %zu, \"action\": \"%s\", \"seq\": %zu, \"amount\": 1.10, "
                     "\"trace\": 9007199254740993}}",
                     i % 1000, ACTIONS[i % 4], i);
    struct entry *entry = NULL;
    (void)entry_parse(slice_of(line, (size_t)n), i + 1, s->bus, &entry, NULL);
    return entry;
}

/* By its name or by its ARN, of whatever account and region. */
static bool
is_bus(struct slice given, const char *bus)
{
    static const char MARK[] = ":event-bus/";
    const char *mark = memmem(given.p, given.n, MARK, strlen(MARK));
    if (mark && slice_starts_with(given, SLICE("arn:")))
        given = slice_of(mark + strlen(MARK), given.n - (size_t)(mark + strlen(MARK) - given.p));
    return slice_equals_string(given, bus);
}

/* Lines for another bus are as bad as those that cannot be read. */
static struct entry *
next_own(struct supply *s)
{
    struct entry *entry;
    while ((entry = lines_next(&s->lines)) && !is_bus(entry->event.bus, s->bus)) {
        if (!s->lines.quiet)
            fprintf(stderr, "%s:%zu: EventBusName is %.*s: the demo has no bus but %s\n", s->lines.name, entry->line,
                    SLICE_ARG(entry->event.bus), s->bus);
        s->lines.bad++;
        entry_destroy(entry);
    }
    return entry;
}

int
supply_open(struct supply *s, const char *file, size_t count, const char *bus, struct err *e)
{
    *s = (struct supply){.bus = bus, .own = file != NULL};
    if (!file) {
        s->total = count;
        return 0;
    }
    int rc = lines_open(&s->lines, file, bus, e);
    if (rc == 0)
        rc = lines_keep(&s->lines, e);
    if (rc != 0)
        return rc;
    struct entry *entry;
    for (; (entry = next_own(s)); s->total++)
        entry_destroy(entry);
    if ((rc = lines_check(&s->lines, e)) != 0)
        return rc;
    s->bad = s->lines.bad;
    if (s->total == 0)
        return err_set(e, ERR_INVALID, "%s holds no event that can be published", s->lines.name);
    if (s->bad > 0)
        fprintf(stderr, "%zu bad %s passed over, %zu %s on\n\n", s->bad, s->bad == 1 ? "line" : "lines", s->total,
                s->total == 1 ? "event goes" : "events go");
    lines_rewind(&s->lines);
    return 0;
}

void
supply_close(struct supply *s)
{
    lines_close(&s->lines);
    *s = (struct supply){0};
}

struct entry *
supply_next(struct supply *s)
{
    return s->own ? next_own(s) : generate(s);
}

const char *
supply_name(const struct supply *s)
{
    return s->own ? s->lines.name : "event";
}
