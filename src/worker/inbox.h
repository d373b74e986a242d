/* inbox: what handler threads hand back to the engine.
 *
 * A queue of embedded nodes with any number of producers and one consumer, without a lock: pushing and taking are one
 * atomic exchange each, so a handler thread never waits for the engine nor the engine for a handler thread. Nodes of
 * one producer come out in the order in which it pushed them. */
#ifndef FANOUT_WORKER_INBOX_H
#define FANOUT_WORKER_INBOX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

enum inbox_kind {
    INBOX_SETTLED,  /* a struct message: its verdict is known */
    INBOX_RETURNED, /* a struct batch: the handler is through with it */
    INBOX_EXTEND,   /* a struct batch: its handler asked for longer leases */
};

struct inbox_node {
    struct inbox_node *next;
    enum inbox_kind kind;
};

struct inbox {
    _Atomic(struct inbox_node *) newest;
};

/* A node is in one inbox at a time. True: it was empty, so the engine must be woken. Any thread. */
static inline bool
inbox_push(struct inbox *b, struct inbox_node *node)
{
    struct inbox_node *newest = atomic_load_explicit(&b->newest, memory_order_relaxed);
    do
        node->next = newest;
    while (
        !atomic_compare_exchange_weak_explicit(&b->newest, &newest, node, memory_order_release, memory_order_relaxed));
    return newest == NULL;
}

/* All that was pushed, oldest first, linked by next; NULL: nothing. Engine thread. */
static inline struct inbox_node *
inbox_take(struct inbox *b)
{
    if (!atomic_load_explicit(&b->newest, memory_order_relaxed))
        return NULL;
    struct inbox_node *node = atomic_exchange_explicit(&b->newest, NULL, memory_order_acquire);
    struct inbox_node *oldest = NULL;
    while (node) {
        struct inbox_node *next = node->next;
        node->next = oldest;
        oldest = node;
        node = next;
    }
    return oldest;
}

#endif
