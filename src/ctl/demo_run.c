#include "ctl/demo_run.h"

#include <stdio.h>

#include "base/clock.h"

#define PUBLISH_MS  35000 /* then no more are published, so that what was is handled in time */
#define DEADLINE_MS 48000 /* of publishing and handling; what is left of the minute is for stopping */
#define DELETES_MS  3000
#define LOOK_MS     2000 /* the last one */
#define SHOW_MS     200
#define SPREAD_S    25   /* so long publishing takes at least, unless a rate is given */
#define RATE_MIN    1000 /* a second, unless one is given */
#define AHEAD_MAX   5000 /* events published and not handled yet: no more than can be handled in what is left */
#define NAMED_MAX   10   /* events that could not be published */

static void
on_published(void *context, const struct entry *entry, const char *event_id)
{
    struct demo_run *r = context;
    (void)tally_note_published(&r->tally, slice_of_string(event_id), entry->line);
}

static void
on_failed(void *context, const struct entry *entry, const char *code, const char *message)
{
    struct demo_run *r = context;
    if (++r->failed > NAMED_MAX)
        return;
    view_make_room(&r->view);
    fprintf(stderr, "%s:%zu: not published: %s: %s\n", supply_name(r->supply), entry->line, code, message);
}

int
demo_run_set_up(struct demo_run *r, struct stage *stage, struct supply *supply, struct err *e)
{
    *r = (struct demo_run){.stage = stage, .supply = supply};
    tally_init(&r->tally);
    view_init(&r->view);
    int rc = watch_new(&r->tally, stage->record, &r->watch, e);
    if (rc == 0)
        rc = watch_connect(r->watch, stage->url, STAGE_ACCESS_KEY, STAGE_SECRET_KEY, STAGE_BUCKET, e);
    if (rc != 0)
        return rc;
    struct publisher_options options = {
        .client = watch_events_client(r->watch),
        .timers = watch_timers(r->watch),
        .on_published = on_published,
        .on_failed = on_failed,
        .context = r,
    };
    return publisher_new(&options, &r->publisher, e);
}

void
demo_run_clean_up(struct demo_run *r)
{
    publisher_destroy(r->publisher);
    watch_destroy(r->watch);
    tally_clean_up(&r->tally);
    *r = (struct demo_run){0};
}

static void
show(struct demo_run *r, bool last)
{
    const struct watch_metrics *m = watch_latest(r->watch);
    int64_t now_ms = clock_monotonic_ms();
    struct view_numbers n = {
        .total = r->supply->total,
        .published = r->tally.published,
        .captured = r->tally.captured,
        .handled = r->tally.handled,
        .delivered = m->received,
        .retried = m->retried,
        .deleted = m->deleted,
        .elapsed_s = (double)(now_ms - r->started_ms) / 1000,
    };
    view_show(&r->view, &n, now_ms, last);
}

/* The next event for the publisher, unless it is not time for one. */
static struct entry *
next_event(struct demo_run *r, int64_t now_ms)
{
    if (r->taken == r->supply->total || now_ms - r->started_ms > PUBLISH_MS ||
        r->taken - r->failed >= r->tally.handled + AHEAD_MAX || !publisher_wants_more(r->publisher) ||
        !ratelimit_take(&r->limit, 1, now_ms))
        return NULL;
    return supply_next(r->supply);
}

/* Everything that was published has arrived everywhere. What a worker deleted before it was killed is in nobody's
 * metrics, so the sum of deletes is not waited for long. */
static bool
is_complete(struct demo_run *r, int64_t now_ms)
{
    const struct watch_metrics *m = watch_latest(r->watch);
    bool published = r->taken == r->supply->total || now_ms - r->started_ms > PUBLISH_MS;
    bool arrived = published && publisher_pending(r->publisher) == 0 && r->tally.captured == r->tally.published &&
                   r->tally.handled == r->tally.published;
    if (!arrived || r->arrived_ms == 0)
        r->arrived_ms = arrived ? now_ms : 0;
    return arrived && m->in_flight == 0 && (m->deleted >= r->tally.published || now_ms - r->arrived_ms > DELETES_MS);
}

int
demo_run_play(struct demo_run *r, double rate, struct err *e)
{
    int rc = watch_metrics_at(r->watch, r->stage->admin, e);
    if (rc != 0)
        return rc;
    if (rate == 0)
        rate = (double)r->supply->total / SPREAD_S > RATE_MIN ? (double)r->supply->total / SPREAD_S : RATE_MIN;
    r->started_ms = clock_monotonic_ms();
    ratelimit_init(&r->limit, rate, rate / 10 < 1 ? 1 : rate / 10, r->started_ms);
    for (int64_t shown_ms = 0;;) {
        int64_t now_ms = clock_monotonic_ms();
        for (struct entry *entry; (entry = next_event(r, now_ms)); r->taken++)
            publisher_add(r->publisher, &entry);
        publisher_flush(r->publisher);
        if ((rc = watch_run(r->watch, 20, e)) != 0 || (rc = stage_check(r->stage, e)) != 0)
            return rc;
        if (*r->stage->interrupted || ferror(stdout))
            return err_set(e, ERR_CANCELLED, "interrupted");
        if (now_ms - shown_ms >= SHOW_MS) {
            show(r, false);
            shown_ms = now_ms;
        }
        if (is_complete(r, now_ms) || now_ms - r->started_ms > DEADLINE_MS)
            break;
    }
    show(r, true);
    return 0;
}

int
demo_run_last_look(struct demo_run *r, struct err *e)
{
    watch_read_record(r->watch);
    bool complete = r->tally.captured == r->tally.published && r->tally.handled == r->tally.published;
    return complete ? 0 : watch_last_look(r->watch, LOOK_MS, e);
}
