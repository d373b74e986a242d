/* sim: a simulated SQS queue, clock and ledger, for tests of the worker's modules.
 *
 * Time stands still until sim_run or sim_run_until moves it from one event to the next, so an hour costs nothing and
 * the same seed gives the same run. The queue keeps SQS's rules for standard queues (FACTS.md): visibility timeouts,
 * receive counts, a handle for each receive, the newest one deletes for certain, an extension of a message that was
 * deleted or received again is refused; the 12 hours from the receive. As a FIFO queue it keeps those, too: a receive
 * brings as much of one group as it can, up to the first message that is invisible, then of the next; handles end with
 * their visibility timeouts; a ReceiveRequestAttemptId brings the same messages again. Faults come from rates (per
 * thousand) drawn from the seed, and from a hook.
 *
 * One simulation at a time: the clock is global. Failures of the machinery abort. */
#ifndef FANOUT_TESTS_LIB_SIM_H
#define FANOUT_TESTS_LIB_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/world.h"

enum sim_call { SIM_FIND, SIM_DESCRIBE, SIM_RECEIVE, SIM_DELETE, SIM_VISIBILITY, SIM_SEND_DEAD, SIM_CALLS };

struct sim_message {
    char id[40];
    char *body;
    int group;            /* FIFO: "g-GROUP" */
    size_t place;         /* in its group, from 0 */
    size_t next_in_group; /* SIZE_MAX: none */
    int64_t visible_at_ms;
    int64_t received_at_ms;
    unsigned receives; /* the handle of a receive is "ID/RECEIVES" */
    bool deleted;
    unsigned dead_letters; /* copies in the dead-letter queue */
    char dead_reason[200], dead_kind[16], dead_attempts[16];
    bool moved; /* silently, by the queue's RedrivePolicy */
    /* for the test's own books */
    unsigned handled, done, rejected;
    bool delete_confirmed;
};

/* A failure that the hook wants. */
struct sim_fault {
    bool call;         /* the whole call fails */
    bool executed;     /* ... after it was executed: its answer is lost */
    bool entry;        /* an entry fails; of a receive: a message arrives garbled */
    bool groupless;    /* ... so that nobody can tell its group */
    bool sender_fault; /* ... as the sender's */
    const char *code;  /* NULL: "InternalError"; "AccessDenied", "InvalidParameterValue", "tls" (no answer at all) and
                          "AWS.SimpleQueueService.NonExistentQueue" are worth no retry */
};

/* Whose letter was sent last from that memory: one that was refused comes again with less to tell by. */
#define SIM_LETTERS 64
struct sim_letter {
    const char *body;
    char id[40];
};

struct sim_group {
    size_t first, last; /* of its messages, the first that may be there still; SIZE_MAX: none */
    size_t n;
};

/* What a receive brought. */
#define SIM_ATTEMPTS 64
struct sim_attempt {
    char id[40];
    int64_t at_ms, visible_at_ms;
    size_t n, messages[SQS_BATCH_MAX];
    unsigned receives[SQS_BATCH_MAX];
};

struct sim {
    struct world world;
    struct queue queue;
    struct timers timers;

    struct sim_message *messages;
    size_t n_messages;
    size_t gone; /* so many of the first are deleted, and more may be */
    bool fifo;   /* set before the first message */
    struct sim_group *groups;
    size_t n_groups;
    struct sim_attempt attempts[SIM_ATTEMPTS];
    unsigned next_attempt, attempts_repeated; /* receives that brought what an earlier one had */
    struct sim_letter letters[SIM_LETTERS];
    unsigned next_letter;
    int visibility_s; /* the queue's own */
    bool has_dead_letters;
    int max_receive_count; /* of its RedrivePolicy; 0: 10 */
    bool redrives;         /* it moves what was received so often at the next receive, as SQS does */
    const char *dead_letter_arn, *dead_letter_url; /* NULL: the usual ones */
    int64_t look_ms;    /* how often a waiting receive looks for messages; 0: 50, of which days are long to simulate */
    int64_t latency_ms; /* each way, at most; a call is executed between the two */
    int64_t extra_ms[SIM_CALLS];   /* more of it, on the way there */
    int64_t retried_ms[SIM_CALLS]; /* attempts that failed took so long before the one that is answered */
    int64_t transfer_ms;           /* how long the answer of a receive had been coming when it was there */

    /* per thousand */
    unsigned fail_calls, lose_answers, fail_entries, duplicates;

    /* Batched calls of this kind are refused as a whole, as invalid, when they hold the message of this id; NULL: none.
     */
    enum sim_call poisoned_call;
    const char *poison;

    /* A message was deleted, or is a dead letter; NULL: nobody wants to know. */
    void (*ended)(void *context, const struct sim_message *m);
    void *ended_context;

    /* Asked for each call (entry < 0), each entry of a batch call and each message received; NULL: no faults but the
     * rates'. */
    void (*hook)(void *context, enum sim_call call, int entry, struct sim_fault *fault);
    void *context;

    /* what was seen */
    unsigned calls[SIM_CALLS], entries[SIM_CALLS];
    size_t receiving; /* outstanding receives, and what they asked for */
    size_t asked;
    unsigned last_timeout_s; /* of the last visibility change */
    size_t cancelled;
    uint64_t random;
};

/* The queue NAME is at "http://sim/NAME"; the dead-letter queue of "orders" is "orders-dlq". Time starts at 1,000,000
 * ms. records: of the ledger. */
void sim_init(struct sim *s, uint64_t seed, uint32_t records, uint32_t threads);
void sim_clean_up(struct sim *s);

/* Puts a message into the queue. The pointer is good until the next one is put. */
struct sim_message *sim_put(struct sim *s, const char *body);
/* The same, into a group of a FIFO queue; groups are numbers from 0. */
struct sim_message *sim_put_in_group(struct sim *s, int group, const char *body);
struct sim_message *sim_find(struct sim *s, const char *id);
/* A copy of message i, which was deleted, turns up. */
void sim_undelete(struct sim *s, size_t i);

int64_t sim_now_ms(void);
void sim_set_now(int64_t now_ms);

/* Moves time to the next event and runs it. False: there is none before until_ms; time is until_ms then. */
bool sim_step(struct sim *s, int64_t until_ms);

/* Runs for so long. */
void sim_run(struct sim *s, int64_t ms);

/* Runs until condition(context), at most for so long. */
bool sim_run_until(struct sim *s, bool (*condition)(void *context), void *context, int64_t ms);

uint64_t sim_random(struct sim *s);
bool sim_chance(struct sim *s, unsigned per_thousand);

/* A received message for tests that need no queue; texts are borrowed. */
struct sqs_message sim_sqs_message(const char *id, const char *handle, const char *body, unsigned receive_count);

#endif
