/* sqs_codec: the protocols of SQS: how a request becomes an operation's struct, and its result an answer.
 *
 * JSON 1.0 names its operation in X-Amz-Target (sqs_json.c). Query names it in the parameter Action, of the query
 * string or of a form (sqs_query.c, sqs_form.c), and is answered with XML (sqs_xml.c). Both are driven by the tables of
 * sqs_shape.c; an operation cannot tell which of them it was called through. A refusal of any kind, the server's own
 * included, is answered in the protocol it was asked in. */
#ifndef FANOUT_LOCAL_SQS_CODEC_H
#define FANOUT_LOCAL_SQS_CODEC_H

#include "local/sqs_impl.h"

#define LSQS_TARGET         "AmazonSQS." /* what X-Amz-Target begins with */
#define LSQS_OPERATION_TEXT 64

/* An error as it goes out. */
struct lsqs_refusal {
    int status;
    const char *shape, *code, *message;
};

struct lsqs_codec {
    const char *content_type;

    /* The name of the operation that is asked for, cut off where out ends; false: none is. */
    bool (*name_operation)(const struct httpd_request *r, char out[LSQS_OPERATION_TEXT]);

    /* Sets c->error for a request whose operation there is not; false. */
    bool (*refuse_operation)(struct lsqs_call *c);

    /* c->request, zeroed, out of the request, by the shape of c->op; false with c->error set. HTTP thread. */
    bool (*decode)(struct lsqs_call *c);

    /* The body of the answer that holds c->result. */
    void (*encode)(const struct lsqs_call *c, struct buf *out);

    /* The whole answer. Any thread. */
    void (*answer_refusal)(struct local_call *call, const struct lsqs_refusal *refusal);

    const char *no_such_queue; /* LSQS_NO_SUCH_QUEUE in this protocol's words */
};

extern const struct lsqs_codec LSQS_JSON, LSQS_QUERY;

/* Is the request one of SQS's, in whichever protocol? By X-Amz-Target, else by the service it was signed for, else
 * because it has an Action. */
bool lsqs_is_call(const struct httpd_request *r);

/* The protocol of a request that is. */
const struct lsqs_codec *lsqs_codec_of(const struct httpd_request *r);

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

bool lsqs_json_decode(struct slice body, const struct lsqs_shape *shape, void *out, struct arena *arena,
                      struct lsqs_error *e);
void lsqs_json_encode(const struct lsqs_shape *shape, const void *value, struct buf *out);

/* ---- Query ------------------------------------------------------------------------------------------------------- */

/* Members out of the parameters of a query string and of a form's text, either of which may be empty. What a list holds
 * is taken in the order of its numbers, however they come and whichever are left out; of parameters of the same name
 * the last counts. A list's only item needs no number (AttributeName=All; Attribute.Name=X&Attribute.Value=Y). A
 * parameter that the shape does not have is ignored. */
bool lsqs_query_decode(struct slice query, struct slice form, const struct lsqs_shape *shape, void *out,
                       struct arena *arena, struct lsqs_error *e);

/* <operationResponse> with the result, if there is a shape for one, and the request's id. */
void lsqs_xml_encode(const char *operation, const struct lsqs_shape *shape, const void *result, const char *request_id,
                     struct buf *out);

/* <ErrorResponse>, or <UnknownOperationException/> for a request without an operation. */
void lsqs_xml_encode_refusal(const struct lsqs_refusal *refusal, const char *request_id, struct buf *out);

/* Text between tags. What XML 1.0 has no way to hold becomes U+FFFD. */
void lsqs_xml_write_text(struct buf *out, struct slice text);

#endif
