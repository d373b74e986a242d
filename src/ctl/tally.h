/* tally: which events were published, captured and handled, by event id. The demo's judge. */
#ifndef FANOUT_CTL_TALLY_H
#define FANOUT_CTL_TALLY_H

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct tally_event {
    char id[40]; /* "": a free place of the table */
    uint32_t published, captured, handled;
    size_t line; /* where it was published from; 0: not known */
};

struct tally {
    struct tally_event *events; /* open addressing, a power of two of places */
    size_t capacity, count;
    size_t published;         /* different ids that were */
    size_t captured, handled; /* of the published ones */
    size_t duplicates;        /* handled again after a first time */
};

enum tally_what { TALLY_PUBLISHED, TALLY_CAPTURED, TALLY_HANDLED };

void tally_init(struct tally *t);
void tally_clean_up(struct tally *t);

/* Notes one observation; observations of one event may come in any order. 0, ERR_INVALID for an id that is none,
 * ERR_NO_MEMORY. */
int tally_note(struct tally *t, enum tally_what what, struct slice id);

/* TALLY_PUBLISHED, from that line. */
int tally_note_published(struct tally *t, struct slice id, size_t line);

/* What was seen of an event so far; NULL: nothing. Until the next observation. */
const struct tally_event *tally_find(const struct tally *t, struct slice id);

/* Published and never handled. */
size_t tally_lost(const struct tally *t);

/* The next event from *at on (0 at first) that was published and not both captured and handled, NULL: no more. */
const struct tally_event *tally_next_missing(const struct tally *t, size_t *at);

/* Captured or handled, never published. */
size_t tally_unexpected(const struct tally *t);

#endif
