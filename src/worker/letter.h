/* letter: what a dead letter carries besides its body.
 *
 * The message's own attributes, all of them, and ours, which say why it is dead and where it came from:
 *
 *     fanout.reason          in words: the handler's, the last failure's, what is wrong with the body
 *     fanout.reason-kind     rejected | attempts | receives | undecodable | mismatch | undecided
 *     fanout.message-id      of the original message (a dead letter has an id of its own)
 *     fanout.attempts        handlings that failed, attempts.h; 0: no handler saw it
 *     fanout.receive-count   SQS's
 *     fanout.consumer, fanout.handler ("name version"), fanout.host
 *     fanout.first-received, fanout.last-failed    ISO 8601, UTC
 *
 * SQS allows ten attributes. Where ours do not all fit beside the message's own, all of them are in one more,
 * fanout.dead-letter, a JSON object ({"reason":...,"reason-kind":...}), and as many of them apart as there is room for,
 * in this order; so too where the message's size would pass SQS's limit, or the queue's own. A message with ten
 * attributes of its own has room for none of this; the log has the reason, whatever else it has to say. What a dead
 * letter carried from an earlier death, before it was redriven, is replaced. */
#ifndef FANOUT_WORKER_LETTER_H
#define FANOUT_WORKER_LETTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aws/sqs.h"
#include "base/buf.h"
#include "base/clock.h"
#include "worker/message.h"

#define LETTER_ATTRIBUTES 10      /* SQS: message attributes of a message */
#define LETTER_BYTES      1048576 /* SQS: a message, and all of a batch, attributes included */
#define LETTER_OLD_BYTES  262144  /* ... of queues made before August 2025, which keep it as their MaximumMessageSize */

/* Who buries; borrowed. handler: "name version". */
struct letter_sender {
    const char *consumer, *handler, *host;
};

struct letter {
    struct sqs_attribute attributes[LETTER_ATTRIBUTES];
    size_t n;
    bool says_why; /* there was room for the reason */
    char attempts[16], receives[16], first[CLOCK_ISO8601_BYTES], last[CLOCK_ISO8601_BYTES];
    struct buf folded;
};

/* Of m, whose verdict says why. wall_ms: now. Points into m and sender; letter_clean_up frees the rest. */
void letter_write(const struct letter_sender *sender, const struct message *m, int64_t wall_ms,
                  struct letter *ret_letter);
void letter_clean_up(struct letter *t);

/* The dead-letter queue refused m's letter, perhaps for its size, which its MaximumMessageSize limits: the next one is
 * smaller. At first no larger than LETTER_OLD_BYTES, where m itself is not, and then m alone, without a word of ours.
 * False: it was m alone. */
bool letter_shrink(struct message *m);

/* No letter of m is larger. */
size_t letter_bytes_at_most(const struct message *m);

/* "rejected" and so on. */
const char *letter_kind(enum dead_reason why);

#endif
