/* account_impl: what account.c (its life), account_hear.c and account_judge.c share. */
#ifndef FANOUT_TESTS_LIB_ACCOUNT_IMPL_H
#define FANOUT_TESTS_LIB_ACCOUNT_IMPL_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/account.h"

#define ACCOUNT_FINDINGS_MAX 40
#define ACCOUNT_RECEIVES_MAX 512 /* outstanding */
#define ACCOUNT_WORKERS      8   /* of a queue, one after the other */

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
    uint64_t change_number;  /* of the change of visibility that was confirmed last */
    unsigned letters_asked;
    int64_t delete_asked_ns, delete_confirmed_ns, letter_asked_ns, letter_confirmed_ns; /* first */

    unsigned pieces; /* its handler publishes */
    unsigned unsent; /* times one of them was not taken */
    struct account_piece {
        int64_t asked_ns, confirmed_ns; /* first */
        unsigned times;                 /* it lies in the queue of events */
    } published[ACCOUNT_PIECES];

    /* read in the record */
    unsigned handled, downs, lost;
    unsigned n_workers; /* that handled it */
    struct account_tries {
        int32_t pid;
        unsigned failed; /* calls that count */
    } tries[ACCOUNT_WORKERS];
    int32_t last_verdict;
    int64_t first_began_ns, last_began_ns, last_ended_ns;
    int64_t done_ns;       /* a verdict of done was about to be told, first */
    int64_t done_began_ns; /* ... of a call that began then */
    int32_t done_pid, last_pid;
    int64_t rejected_ns; /* first */
    int64_t stumbled_ns; /* it failed, or its worker did: first */

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
    size_t cap[ACCOUNT_QUEUES], in_hand[ACCOUNT_QUEUES], reserved[ACCOUNT_QUEUES];
    unsigned epoch[ACCOUNT_QUEUES]; /* a receive of an earlier one is not ours to count */
    uint64_t number;                /* of the exchange that is heard */
    size_t deleted, calls, failed_calls, broken_calls;
    bool doubles; /* of dead letters */
    int64_t began_ms;
    int32_t *vain; /* requests in vain less those of use, by second of the run's clock */
    size_t n_vain;
    struct buf findings;
    size_t found;
};

/* If the message is one of those in FANOUT_CHAOS_TRACE. at_ns 0: now. */
void account_trace(const struct account *a, const struct account_message *m, int64_t at_ns, const char *what,
                   int64_t figure);

/* ---- account_publish.c ---- */

/* Whether the request is one that publishes; then it was heard. */
bool account_hear_publish(struct account *a, enum wiretap_moment moment, const struct wiretap_exchange *x);
void account_judge_pieces(struct account *a, const struct account_message *m, uint32_t n, bool done_by_twin);

/* ---- account_limits.c ---- */

void account_note_use(struct account *a, bool useful); /* of a request that has ended */
void account_count_call(struct account_message *m, const struct chaos_entry *e, int32_t verdict);
void account_check_lease(struct account *a, const struct chaos_entry *e, int32_t verdict);
void account_judge_calls(struct account *a);
void account_judge_rates(struct account *a, struct chaos_record *record);
unsigned account_most_vain(const struct account *a); /* more than of use, in a while */

/* The message whose number stands in a string of JSON, be it in a string of its own once more; NULL: there is none. */
struct account_message *account_message_in(struct account *a, struct slice raw);

/* Something is wrong. */
void account_find(struct account *a, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
