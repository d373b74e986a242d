/* account_impl: what account.c (its life), account_hear.c and account_judge.c share. */
#ifndef FANOUT_TESTS_LIB_ACCOUNT_IMPL_H
#define FANOUT_TESTS_LIB_ACCOUNT_IMPL_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/account.h"

#define ACCOUNT_FINDINGS_MAX 40
#define ACCOUNT_RECEIVES_MAX 512 /* outstanding */

#define ACCOUNT_CHECK(condition)                                                                                       \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "account: %s\n", #condition);                                                              \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* Times in ns are CLOCK_MONOTONIC's, 0: never. */
struct account_message {
    enum account_fate fate;
    unsigned queue;
    uint32_t group;
    struct account_message *twin; /* NULL: none */

    /* heard */
    unsigned deliveries;
    uint32_t receives;    /* the highest receive count */
    int64_t delivered_ns; /* last */
    int64_t receive_ns;   /* when the receive that brought it was asked for */
    int64_t lease_ms;     /* of the run's clock: over then */
    int64_t extension_ms; /* ... if what was asked for last is granted */
    bool in_hand;
    uint64_t receive_number; /* of the receive that brought it last */
    unsigned letters_asked;
    int64_t delete_asked_ns, delete_confirmed_ns, letter_asked_ns, letter_confirmed_ns; /* first */

    /* read in the record */
    unsigned handled;
    int32_t last_verdict;
    int64_t first_began_ns, last_began_ns, last_ended_ns;
    int64_t done_ns;       /* a verdict of done was about to be told, first */
    int64_t done_began_ns; /* ... of a call that began then */
    int32_t done_pid, last_pid;
    int64_t rejected_ns; /* first */

    /* shown */
    unsigned letters;
    bool letter_by_us;
    char reason[ACCOUNT_REASON];
};

struct account_handle {
    uint64_t hash; /* 0: free */
    uint32_t n;
};

struct account_receive {
    uint64_t number;
    unsigned queue, epoch;
    size_t n;
    int64_t asked_ns;
    int64_t asked_ms; /* of the run's clock */
};

struct account {
    struct account_rules rules;
    pthread_mutex_t lock;
    struct account_message *messages;
    struct account_handle *handles;
    size_t n_handles, used_handles;
    struct account_receive *receives; /* outstanding */
    size_t n_receives;
    uint64_t others[ACCOUNT_RECEIVES_MAX]; /* calls under way that are no receives */
    size_t n_others;
    size_t cap[ACCOUNT_QUEUES], in_hand[ACCOUNT_QUEUES], reserved[ACCOUNT_QUEUES];
    unsigned epoch[ACCOUNT_QUEUES]; /* a receive of an earlier one is not ours to count */
    size_t deleted, calls, failed_calls, broken_calls;
    bool doubles; /* of dead letters */
    struct buf findings;
    size_t found;
};

/* If the message is one of those in FANOUT_CHAOS_TRACE. at_ns 0: now. */
void account_trace(const struct account *a, const struct account_message *m, int64_t at_ns, const char *what,
                   int64_t figure);

/* Something is wrong. */
void account_find(struct account *a, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
