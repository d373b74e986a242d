/* sqs_call: a call of SQS in either protocol, written once.
 *
 * The request is JSON as the JSON protocol has it; for the Query protocol it becomes a form by that protocol's rules
 * and names (which stand here a second time, as a witness of the server's). Errors come back in the same struct from
 * both.
 *
 *     struct aws_call c;
 *     struct sqs_error e;
 *     aws_call_init(&c, url);
 *     if (sqs_call(&c, SQS_QUERY, "SendMessage", "{\"QueueUrl\": \"...\", \"MessageBody\": \"x\"}", &e) != 200)
 *         puts(e.message);
 */
#ifndef FANOUT_TESTS_LIB_SQS_CALL_H
#define FANOUT_TESTS_LIB_SQS_CALL_H

#include "lib/aws_call.h"

enum sqs_protocol { SQS_JSON, SQS_QUERY };

struct sqs_error {
    int status;          /* 200, or below 300: there is none, and all below is empty. 0: no answer */
    char code[100];      /* "AWS.SimpleQueueService.NonExistentQueue" */
    char shape[100];     /* "QueueDoesNotExist"; JSON alone says it */
    char name_space[60]; /* what is before its '#': "com.amazonaws.sqs" */
    char type[20];       /* "Sender" or "Receiver" */
    char message[2000];
    char malformed[160]; /* what is wrong with the answer itself, be it an error or not; empty: nothing */
};

/* Returns the status. The JSON may hold anything, what is no JSON included; for Query it has to be JSON. */
int sqs_call(struct aws_call *c, enum sqs_protocol protocol, const char *operation, struct slice json,
             struct sqs_error *ret_error);

/* The form that a request's JSON becomes. */
void sqs_call_write_form(struct buf *out, const char *operation, struct json request);

/* The text at a path (xml_tree.h) of an answer's XML; false (and "") when there is no such. */
bool sqs_call_xml_text(struct slice xml, const char *path, char *out, size_t size);

#endif
