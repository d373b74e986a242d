/* faulty_sqs: an SQS endpoint whose queues each have a fault of their own, for tests of the real programs.
 *
 * Queues are there from the start, each with FAULTY_MESSAGES messages "NAME-0" to "NAME-9", without a dead-letter
 * queue. A fault of receiving holds for the queue's first receives and then ends by itself. An empty receive is
 * answered at once. Signatures are not looked at. Failures of the machinery abort. */
#ifndef FANOUT_TESTS_LIB_FAULTY_SQS_H
#define FANOUT_TESTS_LIB_FAULTY_SQS_H

#include <stddef.h>
#include <stdint.h>

#define FAULTY_MESSAGES 10

enum faulty_kind {
    FAULTY_NOT,
    /* of the first receives */
    FAULTY_ERROR,     /* HTTP 500 without a word */
    FAULTY_DENIED,    /* AccessDenied */
    FAULTY_THROTTLED, /* RequestThrottled */
    FAULTY_GARBAGE,   /* HTTP 200 with what is no JSON */
    FAULTY_TRUNCATED, /* an answer that ends in its middle */
    FAULTY_RESET,     /* a connection that is reset without an answer */
    /* of the rest */
    FAULTY_MD5,            /* each message's first delivery does not fit its MD5 */
    FAULTY_DELETE_LOST,    /* the first delete is executed, but never answered */
    FAULTY_DELETE_PARTLY,  /* each second message's first delete fails with InternalError */
    FAULTY_DELETE_FAILING, /* HTTP 500 for the first deletes */
};

struct faulty_queue {
    const char *name;
    enum faulty_kind kind;
    unsigned faults; /* how often it fails; 0: as often as makes three tries of a client that tries thrice */

    /* what was seen */
    unsigned failed;                          /* calls */
    int64_t failed_ms, mended_ms;             /* the first of them, and the first that went well */
    unsigned received[FAULTY_MESSAGES];       /* deliveries */
    unsigned delete_entries[FAULTY_MESSAGES]; /* in delete calls */
    unsigned deleted[FAULTY_MESSAGES];        /* times it was answered that it is */
    int64_t invisible_until_ms[FAULTY_MESSAGES];
};

struct faulty_sqs;

/* queues: n of them, borrowed and not to be looked at until the stop. port 0: any. */
struct faulty_sqs *faulty_sqs_start(struct faulty_queue *queues, size_t n, int port);
void faulty_sqs_stop(struct faulty_sqs *s);

const char *faulty_sqs_url(const struct faulty_sqs *s);

/* Messages that were not yet deleted, of all queues. */
size_t faulty_sqs_left(struct faulty_sqs *s);

#endif
