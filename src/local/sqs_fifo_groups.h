/* sqs_fifo_groups: the window of a FIFO queue as memory holds it: messages by id, groups by name, each with its
 * messages in order, and the groups in a heap by which comes first. For sqs_fifo.c; nothing here knows of tables or
 * queues. */
#ifndef FANOUT_LOCAL_SQS_FIFO_GROUPS_H
#define FANOUT_LOCAL_SQS_FIFO_GROUPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct lsqs_fifo_group;

/* A message of the window. */
struct lsqs_fifo_member {
    int64_t id, visible_at_ms;
    struct lsqs_fifo_group *group;
    struct lsqs_fifo_member *before, *after; /* in the group */
    struct lsqs_fifo_member *next;           /* of the same hash */
};

struct lsqs_fifo_group {
    struct lsqs_fifo_member *first, *last;
    size_t place;                       /* in the heap, from 1; 0: it is being looked through, or set aside */
    struct lsqs_fifo_group *next;       /* of the same hash */
    struct lsqs_fifo_group *next_aside; /* of those set aside */
    uint64_t hash;
    size_t n;
    char name[];
};

/* A group's place in the heap, with what its first message is compared by: comparing touches nothing else. */
struct lsqs_fifo_place {
    int64_t visible_at_ms, id;
    struct lsqs_fifo_group *group;
};

struct lsqs_fifo {
    struct lsqs_fifo_member **members; /* by id */
    size_t n_members, n_member_places;
    struct lsqs_fifo_group **groups; /* by name */
    size_t n_groups, n_group_places;
    struct lsqs_fifo_place *heap; /* by the first message: visible for the longest, then sent first; [0] is unused */
    size_t heap_n, heap_room;
    int64_t last_id; /* no message of the window comes behind it */
    bool complete;   /* none of the queue does */

    /* Between lsqs_fifo_begin and lsqs_fifo_end. */
    struct lsqs_fifo_group *current, *aside;
    struct lsqs_fifo_member *at; /* the next one of current */
};

struct lsqs_fifo_member *lsqs_groups_find(const struct lsqs_fifo *f, int64_t id); /* NULL: it is not there */

/* Adds a message behind all others. false: no memory, and all is as it was. */
bool lsqs_groups_add(struct lsqs_fifo *f, int64_t id, int64_t visible_at_ms, struct slice group_id);

/* Takes a message out and frees it; its group stays, and stays where it is. */
void lsqs_groups_remove(struct lsqs_fifo *f, struct lsqs_fifo_member *m);

/* A group that has messages: its first one has changed, and it may move from this place in the heap; it goes into the
 * heap; out of it. */
void lsqs_groups_sift(struct lsqs_fifo *f, struct lsqs_fifo_group *g, size_t place);
void lsqs_groups_push(struct lsqs_fifo *f, struct lsqs_fifo_group *g);
void lsqs_groups_pull(struct lsqs_fifo *f, struct lsqs_fifo_group *g);

/* Frees a group that has no message left, and is not in the heap. */
void lsqs_groups_free(struct lsqs_fifo *f, struct lsqs_fifo_group *g);

#endif
