#include "ctl/archive.h"

#include <stdio.h>

#include "base/clock.h"

#define MARGIN_MS      3000 /* between the time in a key, in whole seconds, and its capture */
#define WHOLE_EVERY_MS 2000 /* at most so often everything */
#define WHOLE_SHARE    10   /* and ten times as long as it took not again */

void
archive_begin(struct archive *a, int64_t wall_ms, int64_t now_ms, char out[ARCHIVE_START_BYTES])
{
    a->began_at_ms = wall_ms;
    a->began_ms = now_ms;
    a->whole = !a->listed || now_ms >= a->next_whole_ms;
    out[0] = '\0';
    if (a->whole)
        return;
    char time[CLOCK_ISO8601_BYTES];
    clock_format_seconds(a->since_at_ms - MARGIN_MS, time);
    snprintf(out, ARCHIVE_START_BYTES, ARCHIVE_PREFIX "%s", time);
}

void
archive_done(struct archive *a, int64_t now_ms)
{
    a->since_at_ms = a->began_at_ms;
    if (!a->whole)
        return;
    int64_t pause_ms = (now_ms - a->began_ms) * WHOLE_SHARE;
    a->listed = true;
    a->next_whole_ms = now_ms + (pause_ms > WHOLE_EVERY_MS ? pause_ms : WHOLE_EVERY_MS);
}

void
archive_expect_anywhere(struct archive *a)
{
    a->next_whole_ms = 0;
}
