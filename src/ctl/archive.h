/* archive: which part of raw-events/ to list next, so that watching it costs the same however large it grows.
 *
 * A key begins with the event's time, so what was captured since the last listing mostly sorts behind that moment: most
 * listings begin there, a little earlier. Events with a Time of their own can appear anywhere: now and then everything
 * is listed, for at most an eleventh of the time. Pure: the caller lists. */
#ifndef FANOUT_CTL_ARCHIVE_H
#define FANOUT_CTL_ARCHIVE_H

#include <stdbool.h>
#include <stdint.h>

#define ARCHIVE_PREFIX      "raw-events/"
#define ARCHIVE_START_BYTES 40

struct archive {
    int64_t since_at_ms; /* wall clock: what was captured before was seen, unless its Time is its own */
    int64_t began_at_ms; /* wall clock: the listing under way, and the same on the monotonic clock */
    int64_t began_ms;
    int64_t next_whole_ms; /* when everything is due */
    bool whole;            /* the listing under way */
    bool listed;           /* everything was, once */
};

/* Begins a listing. Writes the key behind which it starts, or "" for everything. */
void archive_begin(struct archive *a, int64_t wall_ms, int64_t now_ms, char out[ARCHIVE_START_BYTES]);

/* The listing begun last is through, and all its pages were read. */
void archive_done(struct archive *a, int64_t now_ms);

/* The next listing is of everything. */
void archive_expect_anywhere(struct archive *a);

#endif
