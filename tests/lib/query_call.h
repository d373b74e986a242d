/* query_call: calls of SQS's Query protocol to fanout-local, over an aws_call, and the XML that comes back.
 *
 *     struct query_call q;
 *     query_call_init(&q, url);
 *     query_call_post(&q, "/000000000000/name", "Action=SendMessage&MessageBody=%s", body);
 *     assert_string_equal(query_call_text(&q, "SendMessageResult.MD5OfMessageBody"), md5);
 *     query_call_clean_up(&q);
 *
 * What a format's texts hold is escaped by query_call_escape first. One thread. */
#ifndef FANOUT_TESTS_LIB_QUERY_CALL_H
#define FANOUT_TESTS_LIB_QUERY_CALL_H

#include "lib/aws_call.h"
#include "lib/xml_tree.h"

struct query_call {
    struct aws_call call;
    struct xml_tree answer; /* of the last call; its root is NULL when the body was no XML */
};

void query_call_init(struct query_call *q, const char *url);
void query_call_clean_up(struct query_call *q);

/* The status. The parameters are a form's; or the query string. */
int query_call_post(struct query_call *q, const char *path, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int query_call_get(struct query_call *q, const char *path, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int query_call_send(struct query_call *q, const struct aws_call_request *request);

/* Text of the last answer ("(no PATH)"), and the code and the message of an error. */
const char *query_call_text(const struct query_call *q, const char *path);
const char *query_call_error(const struct query_call *q);
const char *query_call_message(const struct query_call *q);

void query_call_escape(struct buf *out, struct slice text);

#endif
