/* faults: what shall go wrong, on purpose.
 *
 * Rules are set over HTTP by tests and by people who want to see how their consumer takes it:
 *
 *     POST /_fanout/faults   {"action": "sqs:DeleteMessageBatch", "kind": "error", "status": 500,
 *                             "code": "InternalError", "count": 3}
 *     GET /_fanout/faults    the rules, with how often each has struck
 *     DELETE /_fanout/faults forgets them all
 *
 *     action    SERVICE:OPERATION; "sqs:*" and "*" cover many
 *     kind      error        answered with status and code in the service's protocol, without executing
 *               delay        executed delay_ms later
 *               drop_before  the connection is closed, nothing executed
 *               drop_after   executed (and committed), then the connection is closed
 *               duplicate    executed, and what it sends or receives is delivered a second time
 *               partial      executed but for some of its entries, each of which fails alone, with code and message, in
 *                            an answer of 200: of events:PutEvents, sqs:SendMessageBatch, sqs:DeleteMessageBatch and
 *                            sqs:ChangeMessageVisibilityBatch
 *     status    of an error: 400 to 599; default 500         code     default "InternalFailure",
 *                                                                        which S3 calls "InternalError"; of SQS's
 *                                                                        errors the shape does, too
 *               also of the entries of a partial one: in SQS's answers it is their sender's fault below 500
 *     message   of an error; default "A fault was injected." delay_ms 0 to 600,000
 *     every     of a partial one: the first entry fails, and each every-th behind it; 1 to 10, default 2; 1: all
 *     count     strikes so often, then is over; default 1; 0: without end
 *     percent   strikes this part of the requests; default 100
 *     seed      of the draws for percent: the same seed strikes the same requests; default 1
 *
 * The first rule, in the order they were set, that strikes is the request's fault. Any thread. */
#ifndef FANOUT_LOCAL_FAULTS_H
#define FANOUT_LOCAL_FAULTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

struct local_faults;

enum local_fault_kind {
    LOCAL_FAULT_ERROR,
    LOCAL_FAULT_DELAY,
    LOCAL_FAULT_DROP_BEFORE,
    LOCAL_FAULT_DROP_AFTER,
    LOCAL_FAULT_DUPLICATE,
    LOCAL_FAULT_PARTIAL,
};

struct local_fault {
    enum local_fault_kind kind;
    int status;
    int64_t delay_ms;
    unsigned every;
    char code[64], message[128];
};

int local_faults_new(struct local_faults **ret_faults, struct err *e);
void local_faults_destroy(struct local_faults *f); /* NULL is fine */

/* Whether the server has a service, and (unless it is empty) that operation of it. */
typedef bool local_faults_has_fn(void *context, struct slice service, struct slice operation);

/* Adds the rule that a JSON object describes. has (NULL: any) says which actions there are, so that a misspelt rule is
 * refused instead of never striking. ERR_INVALID names the member; ERR_LIMIT: there are 1,000 already. */
int local_faults_add(struct local_faults *f, struct slice json, local_faults_has_fn *has, void *context, struct err *e);

void local_faults_clear(struct local_faults *f);

/* {"rules": [{..., "struck": 2}, ...]} */
void local_faults_describe(struct local_faults *f, struct buf *out);

/* Draws for one request: true when a fault strikes it. Cheap while there are no rules. */
bool local_faults_draw(struct local_faults *f, const char *service, struct slice operation, struct local_fault *ret);

#endif
