#include "ctl/verdict.h"

#include <stdio.h>

#define NAMED_MAX 10 /* missing events */

static const char *
missing_what(const struct tally_event *event)
{
    if (event->captured)
        return "not handled";
    return event->handled ? "not captured" : "neither captured nor handled";
}

static void
name_missing(const struct verdict *v)
{
    const struct tally_event *event;
    size_t at = 0, n = 0;
    for (; n < NAMED_MAX && (event = tally_next_missing(v->tally, &at)); n++)
        printf("      %s:%zu (event %s) was %s\n", v->name, event->line, event->id, missing_what(event));
    if (n == NAMED_MAX && tally_next_missing(v->tally, &at))
        printf("      and others\n");
}

static void
say(size_t n, const char *one, const char *many)
{
    if (n > 0)
        printf("      %zu %s\n", n, n == 1 ? one : many);
}

bool
verdict_print(const struct verdict *v)
{
    const struct tally *t = v->tally;
    size_t lost = tally_lost(t), unexpected = tally_unexpected(t), uncaptured = t->published - t->captured;
    bool good =
        lost == 0 && uncaptured == 0 && unexpected == 0 && v->failed == 0 && v->unanswered == 0 && t->published > 0;
    printf("\n%s: published %zu %s captured %zu %s handled %zu; lost %zu; duplicates %zu\n", good ? "PASS" : "FAIL",
           t->published, uncaptured == 0 ? "=" : "!=", t->captured, t->captured == t->handled ? "=" : "!=", t->handled,
           lost, t->duplicates);
    name_missing(v);
    say(v->failed, "event could not be published", "events could not be published");
    say(v->unanswered, "event was sent and not answered in time", "events were sent and not answered in time");
    say(unexpected, "event was captured or handled under an id that was never confirmed as published",
        "events were captured or handled under ids that were never confirmed as published");
    say(v->left, "event did not fit into the demo's minute; fanoutctl send FILE takes any number",
        "events did not fit into the demo's minute; fanoutctl send FILE takes any number");
    say(v->bad, "bad line was passed over, named above", "bad lines were passed over, named above");
    return good;
}
