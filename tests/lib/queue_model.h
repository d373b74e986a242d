/* queue_model: what standard queues of SQS may answer, worked out slowly and obviously.
 *
 * A witness for fanout-local's. It has no tables, timers or counters: a list of messages, and every question looks at
 * each of them. SQS leaves open which of the visible messages a receive brings, which dead letters it moves on its way,
 * and whether a call whose answer was lost was executed; so the model holds worlds: all the states that what was seen
 * so far allows. A step makes of each world those it may become, and drops those that disagree with what was seen. When
 * none is left, the answer was wrong.
 *
 *     m = queue_model_new(now_ms);
 *     queue_model_create(m, 0);                        // after CreateQueue succeeded
 *     queue_model_send(m, 0, 1, -1);                   // after SendMessage succeeded
 *     ok = queue_model_receive(m, &receive, &counts);  // after ReceiveMessage and the attributes of both queues
 *
 * Where AWS leaves room, this is what fanout-local promises (local/sqs.h): a receive brings as many as it may (with a
 * visibility timeout of 0 at least one), and a handle of an earlier receive neither deletes nor changes anything.
 *
 * Queues and messages are numbers: queues from 0, messages from 1, as the caller gives them. Want of memory aborts. One
 * thread. */
#ifndef FANOUT_TESTS_LIB_QUEUE_MODEL_H
#define FANOUT_TESTS_LIB_QUEUE_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define QUEUE_MODEL_QUEUES   2
#define QUEUE_MODEL_MESSAGES 12 /* at once */

struct queue_model;

struct queue_model *queue_model_new(int64_t now_ms);
void queue_model_destroy(struct queue_model *m); /* NULL is fine */

void queue_model_pass(struct queue_model *m, int64_t ms);

/* When something becomes visible or too old, or a cool-down ends, next; INT64_MAX: never. */
int64_t queue_model_next_ms(const struct queue_model *m);

/* What is known of the queues by now. */
struct queue_model_counts {
    bool exists;
    long visible, in_flight, delayed;
};

/* Every step ends with what the queues' attributes say, of every queue; NULL: nobody asked yet. It returns false when
 * no world is left. */
bool queue_model_look(struct queue_model *m, const struct queue_model_counts *seen);

/* ---- queues ------------------------------------------------------------------------------------------------------ */

struct queue_model_settings {
    int64_t visibility_s, delay_s, retention_s;
    int64_t max_receives; /* 0: no dead letters */
    int dead_letters;     /* the queue they go to */
};

enum queue_model_answer {
    QUEUE_MODEL_OK,
    QUEUE_MODEL_REFUSED,    /* not for 60 s after the last purge, or the deletion of a queue of that name */
    QUEUE_MODEL_BAD_HANDLE, /* of another queue, or of one of that name that was deleted */
    QUEUE_MODEL_GONE,       /* there is no such message, or it was received again */
    QUEUE_MODEL_TOO_LONG,   /* beyond 12 h from the receive */
};

/* What the calls must answer now; after QUEUE_MODEL_OK, that they were made. */
enum queue_model_answer queue_model_may_create(const struct queue_model *m, int queue);
enum queue_model_answer queue_model_may_purge(const struct queue_model *m, int queue);
void queue_model_create(struct queue_model *m, int queue, const struct queue_model_settings *settings);
void queue_model_purge(struct queue_model *m, int queue);
void queue_model_delete_queue(struct queue_model *m, int queue);

bool queue_model_exists(const struct queue_model *m, int queue);
const struct queue_model_settings *queue_model_settings_of(const struct queue_model *m, int queue);
void queue_model_set(struct queue_model *m, int queue, const struct queue_model_settings *settings);

/* ---- messages ---------------------------------------------------------------------------------------------------- */

/* Is there room for so many more? */
bool queue_model_has_room(const struct queue_model *m, size_t n);

/* delay_s -1: not given. lost: nobody knows whether it was executed. */
bool queue_model_send(struct queue_model *m, int queue, int message, int64_t delay_s, bool lost,
                      const struct queue_model_counts *seen);

struct queue_model_handle {
    int queue, message;
    int64_t receive; /* the message's receive count that came with it */
    int life;        /* the queue's: queue_model_life_of */
};
int queue_model_life_of(const struct queue_model *m, int queue); /* another one whenever it was made again */

struct queue_model_received {
    int message, source; /* source: the queue it is a dead letter of; -1: none */
    int64_t receives, sent_at_ms, first_received_at_ms;
};

struct queue_model_receive {
    int queue;
    size_t max;
    int64_t visibility_s; /* -1: not given */
    bool lost;            /* what came is unknown; max is 1 */
    bool early;           /* others may have become visible since */
    struct queue_model_received came[10];
    size_t n;
};
/* How many a receive may bring now: the fewest and the most, over all worlds. */
void queue_model_count(const struct queue_model *m, int queue, size_t *ret_least, size_t *ret_most);

bool queue_model_receive(struct queue_model *m, const struct queue_model_receive *r,
                         const struct queue_model_counts *seen);

/* A delete (visibility_s -1) or a visibility change by a handle, on that queue. */
struct queue_model_settle {
    int queue;
    struct queue_model_handle handle;
    int64_t visibility_s;
    bool lost;
    enum queue_model_answer answer;
};
bool queue_model_settle(struct queue_model *m, const struct queue_model_settle *s,
                        const struct queue_model_counts *seen);

/* ---- telling ----------------------------------------------------------------------------------------------------- */

size_t queue_model_worlds(const struct queue_model *m);

/* The worlds as they were before the last step (the first few), in lines. */
void queue_model_tell(const struct queue_model *m, struct buf *out);

#endif
