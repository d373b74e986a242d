/* queue_run: a run of random operations on local_fixture's two queues beside a model of them (lib/queue_model.h): what
 * it remembers, how it asks, and what it tells when an answer is one that the model does not allow.
 *
 * queue_run.c asks and tells; queue_run_receive.c receives, long polls too. A run that fails prints its last steps, and
 * the states that were possible before the last one. */
#ifndef FANOUT_TESTS_LIB_QUEUE_RUN_H
#define FANOUT_TESTS_LIB_QUEUE_RUN_H

#include "lib/local.h"
#include "lib/queue_model.h"

#define QUEUE_RUN_STEPS_TOLD 40
#define QUEUE_RUN_HANDLES    64
#define QUEUE_RUN_IDS        256
#define QUEUE_RUN_WAITERS    5

struct queue_run_handle {
    struct queue_model_handle is;
    char text[100];
};

/* A long poll that waits. */
struct queue_run_waiter {
    struct aws_call call;
    struct queue_model_receive is;
    int64_t deadline_ms;
};

struct queue_run {
    uint64_t seed, random;
    struct aws_call call;
    struct queue_model *model;
    struct queue_model_counts seen[QUEUE_MODEL_QUEUES];
    char urls[QUEUE_MODEL_QUEUES][64];                  /* paths: the port changes */
    struct queue_run_handle handles[QUEUE_RUN_HANDLES]; /* the newest ones, in a ring */
    size_t n_handles;
    struct queue_run_waiter waiters[QUEUE_RUN_WAITERS]; /* as they came */
    size_t n_waiters;
    int n_messages;
    char ids[QUEUE_RUN_IDS][40]; /* of message n at n % QUEUE_RUN_IDS */
    int64_t began_ms;
    char told[QUEUE_RUN_STEPS_TOLD][600]; /* the last steps, in a ring */
    size_t n_steps;
    bool looked; /* in this step */
    bool restarted;
};

/* ---- telling ----------------------------------------------------------------------------------------------------- */

/* The line of this step, which is emptied before it; appends to it. */
char *queue_run_line(struct queue_run *r);
void queue_run_tell(struct queue_run *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Tells all and fails the test. */
void queue_run_give_up(struct queue_run *r, const char *why);
void queue_run_expect(struct queue_run *r, bool ok); /* what a step of the model returned */

/* ---- drawing ----------------------------------------------------------------------------------------------------- */

uint64_t queue_run_draw(struct queue_run *r, uint64_t below);
int64_t queue_run_pick(struct queue_run *r, const int64_t *values, size_t n);
#define QUEUE_RUN_PICK(r, ...)                                                                                         \
    queue_run_pick(r, (const int64_t[]){__VA_ARGS__}, sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

/* ---- asking ------------------------------------------------------------------------------------------------------ */

/* What may befall a call, if nobody waits, who might have got something of it. */
enum { QUEUE_RUN_SAFE = 0, QUEUE_RUN_FULL_DISK = 1, QUEUE_RUN_KILL = 2 };

enum queue_run_outcome {
    QUEUE_RUN_ANSWERED,
    QUEUE_RUN_LOST,   /* the server was killed in the middle of it, and nobody knows */
    QUEUE_RUN_UNDONE, /* the disk was full: a refusal, and everything is as it was */
};

/* Makes a call; its answer is r->call's. */
enum queue_run_outcome queue_run_ask(struct queue_run *r, int dangers, const char *operation, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Kills the server, whatever it is doing, and starts it again: on another port, for the next call to find. */
void queue_run_restart(struct queue_run *r);
void queue_run_hang_up(struct queue_run *r); /* everybody who waits */

void queue_run_expect_status(struct queue_run *r, int expected);
void queue_run_expect_error(struct queue_run *r, const char *error, const char *words);
long queue_run_number_at(struct queue_run *r, const char *path);

/* Asks for the counts of both queues. */
void queue_run_look(struct queue_run *r);

/* The counts to judge a step by; NULL while somebody waits, who may have got something in the meantime:
 * queue_run_serve judges. */
const struct queue_model_counts *queue_run_seen(struct queue_run *r);

/* ---- receiving (queue_run_receive.c) ----------------------------------------------------------------------------- */

void queue_run_receive(struct queue_run *r, int queue);

/* A receive that waits, unless there is something for it at once. */
void queue_run_receive_waiting(struct queue_run *r, int queue);

/* Sees what came to those who wait, after a step. */
void queue_run_serve(struct queue_run *r);

#endif
