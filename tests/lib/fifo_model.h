/* fifo_model: what FIFO queues of SQS answer, worked out slowly and obviously.
 *
 * A witness for fanout-local's: a list of messages and a list of what was ever sent; every question looks at each of
 * them. Queue 0 may have queue 1 for its dead letters. Each operation does in the model what it does at the server, and
 * returns what the server must answer.
 *
 * AWS leaves open which group comes first. Fanout-local's word is: the one whose first message has been visible for the
 * longest (then the one sent first); whatever was visible already when the server read the queue anew (after a start, a
 * purge, a change of delays) counts as visible for ever.
 *
 * Messages are numbers from 1, in the order they were sent. Want of memory aborts. One thread. */
#ifndef FANOUT_TESTS_LIB_FIFO_MODEL_H
#define FANOUT_TESTS_LIB_FIFO_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FIFO_MODEL_QUEUES 2

struct fifo_model;

struct fifo_model_settings {
    int64_t visibility_s, delay_s, retention_s;
    int64_t max_receives; /* 0: no dead letters */
    bool group_scope;     /* deduplication is the groups' */
};

enum fifo_model_answer { FIFO_MODEL_OK, FIFO_MODEL_EXPIRED, FIFO_MODEL_GONE, FIFO_MODEL_TOO_LONG };

struct fifo_model *fifo_model_new(int64_t now_ms, const struct fifo_model_settings settings[FIFO_MODEL_QUEUES]);
void fifo_model_destroy(struct fifo_model *m); /* NULL is fine */

void fifo_model_pass(struct fifo_model *m, int64_t ms);
int64_t fifo_model_now_ms(const struct fifo_model *m);

const struct fifo_model_settings *fifo_model_settings_of(const struct fifo_model *m, int queue);
void fifo_model_set(struct fifo_model *m, int queue, const struct fifo_model_settings *settings);
void fifo_model_purge(struct fifo_model *m, int queue);
void fifo_model_restart(struct fifo_model *m);

/* dedup_id as it is, or the body's. Returns the message: a new one, or the one that this repeats. */
int fifo_model_send(struct fifo_model *m, int queue, const char *group, const char *dedup_id);

/* What came of a message. A handle is its place and receives: a dead letter has another place than it had before. */
struct fifo_model_message {
    int message;
    int64_t place, receives, sent_at_ms, first_received_at_ms;
    char group[16], dedup_id[80]; /* empty: its MessageId's */
    bool dead_letter;
};

/* visibility_s -1: the queue's. attempt: NULL: none. Returns how many come. */
size_t fifo_model_receive(struct fifo_model *m, int queue, size_t max, int64_t visibility_s, const char *attempt,
                          struct fifo_model_message came[10]);

enum fifo_model_answer fifo_model_delete(struct fifo_model *m, int queue, int64_t place, int64_t receives);
enum fifo_model_answer fifo_model_change(struct fifo_model *m, int queue, int64_t place, int64_t receives,
                                         int64_t visibility_s);

void fifo_model_count(struct fifo_model *m, int queue, long *ret_visible, long *ret_in_flight, long *ret_delayed);

#endif
