/* faulty_sqs: an SQS endpoint whose queues each have a fault of their own, for tests of the real programs.
 *
 * Queues are there from the start, each with FAULTY_MESSAGES messages "NAME-0" to "NAME-9"; only those whose fault
 * is of moving there have a dead-letter queue. A fault of receiving, deleting, changing or moving holds for the queue's
 * first calls and then ends by itself, or lasts until faulty_sqs_mend. An empty receive is answered at once. Signatures
 * are not looked at. Time is base/clock's, a test clock included. Failures of the machinery abort. */
#ifndef FANOUT_TESTS_LIB_FAULTY_SQS_H
#define FANOUT_TESTS_LIB_FAULTY_SQS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAULTY_MESSAGES 10
#define FAULTY_LASTS    UINT32_MAX

enum faulty_kind {
    FAULTY_NOT,
    /* of the first receives */
    FAULTY_ERROR,           /* HTTP 500 without a word */
    FAULTY_UNAVAILABLE,     /* HTTP 503 */
    FAULTY_DENIED,          /* AccessDenied */
    FAULTY_EXPIRED,         /* ExpiredToken */
    FAULTY_SKEWED,          /* a signature of another time than the answer's Date */
    FAULTY_WRONG_KEY,       /* SignatureDoesNotMatch */
    FAULTY_THROTTLED,       /* RequestThrottled */
    FAULTY_THROTTLED_UNTIL, /* the same, with the wish for a wait of 3 s */
    FAULTY_GARBAGE,         /* HTTP 200 with what is no JSON */
    FAULTY_SHAPELESS,       /* HTTP 200 with JSON that is no answer, another one each time */
    FAULTY_CUT,             /* an answer with messages that ends at another byte each time */
    FAULTY_CUT_RESET,       /* the same, the connection reset */
    FAULTY_CLOSED,          /* a connection that is closed without an answer */
    FAULTY_RESET,           /* a connection that is reset without an answer */
    FAULTY_HANG,            /* no answer */
    FAULTY_HANG_MIDWAY,     /* an answer that stands still in its middle */
    FAULTY_EMPTY,           /* nothing, at once */
    FAULTY_GONE,            /* no such queue, to whoever asks for it */
    /* of the first deletes */
    FAULTY_DELETE_FAILING, /* HTTP 500 */
    FAULTY_DELETE_SERVER,  /* each second message fails: InternalError, not the sender's fault */
    FAULTY_DELETE_UNKNOWN, /* ... with a code nobody knows, and no word about whose fault */
    FAULTY_DELETE_SENDER,  /* ... InvalidParameterValue, the sender's fault; the message comes again */
    FAULTY_DELETE_HANDLE,  /* ... ReceiptHandleIsInvalid, the sender's fault; the message comes again */
    FAULTY_DELETE_MISSING, /* ... it is in neither list */
    /* of the first changes of visibility, as of deletes */
    FAULTY_CHANGE_FAILING,
    FAULTY_CHANGE_SERVER,
    FAULTY_CHANGE_UNKNOWN,
    FAULTY_CHANGE_SENDER,
    FAULTY_CHANGE_MISSING,
    /* of the first moves to the queue's dead-letter queue, which only these have: SendMessageBatch, as of deletes */
    FAULTY_DEAD_FAILING,
    FAULTY_DEAD_SERVER,
    FAULTY_DEAD_UNKNOWN,
    FAULTY_DEAD_SENDER,
    FAULTY_DEAD_MISSING,
    /* of the rest */
    FAULTY_MD5,           /* what is delivered does not fit its MD5; each message's first delivery unless it lasts */
    FAULTY_DUPLICATE,     /* each message comes twice, and once more when it was deleted */
    FAULTY_DELETE_LOST,   /* the first delete is executed, but never answered */
    FAULTY_DELETE_PARTLY, /* each second message's first delete fails with InternalError */
};

struct faulty_queue {
    const char *name;
    enum faulty_kind kind;
    unsigned faults;       /* how often it fails; 0: as often as makes three tries of a client that tries thrice;
                            * FAULTY_LASTS: until faulty_sqs_mend */
    unsigned visibility_s; /* 0: 30 */

    /* Of a consumer that faulty_fleet.h starts, as fanoutd.conf has them; NULL: none. */
    const char *settings, *options; /* "threads = 1;"; of plugin flaky: "delay_ms = 300;" */

    /* what was seen */
    unsigned requests, at_most_in_a_second; /* of whatever kind, until faulty_sqs_mend */
    int64_t second, in_second;              /* to count them */
    unsigned failed;                        /* calls */
    int64_t failed_ms, mended_ms;           /* the first of them, and the first that went well */
    int64_t last_failed_ms;
    unsigned received[FAULTY_MESSAGES];       /* deliveries */
    unsigned delete_entries[FAULTY_MESSAGES]; /* in delete calls */
    unsigned deleted[FAULTY_MESSAGES];        /* times it was answered that it is */
    unsigned dead[FAULTY_MESSAGES];           /* times it was answered that the dead-letter queue has it */
    unsigned deleted_damaged;                 /* deletes of a message whose last delivery did not fit its MD5 */
    unsigned deleted_unsaved;                 /* ... that is to go to the dead-letter queue, and is not there */
    unsigned hasty;                           /* requests sooner after a failed one than its answer asked for */
    bool damaged[FAULTY_MESSAGES];            /* its last delivery */
    int64_t invisible_until_ms[FAULTY_MESSAGES];
};

struct faulty_sqs;

/* queues: n of them, borrowed and not to be looked at until the stop. port 0: any. */
struct faulty_sqs *faulty_sqs_start(struct faulty_queue *queues, size_t n, int port);
void faulty_sqs_stop(struct faulty_sqs *s);

const char *faulty_sqs_url(const struct faulty_sqs *s);

/* Ends the faults that last, and the counting of requests. */
void faulty_sqs_mend(struct faulty_sqs *s);

/* Messages that were not yet deleted, of all queues. */
size_t faulty_sqs_left(struct faulty_sqs *s);

#endif
