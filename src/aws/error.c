#include "aws/error.h"

#include <cjson/cJSON.h>
#include <expat.h>
#include <stdio.h>

#include "aws/retry.h"
#include "base/buf.h"

#define MAX_DECODED_BYTES (256u << 10) /* a longer error answer is not looked into */

/* ---- pieces of text -----------------------------------------------------------------------------------------------
 */

static void
copy_printable(char *out, size_t out_bytes, struct slice text)
{
    size_t n = text.n < out_bytes - 1 ? text.n : out_bytes - 1;
    while (n > 0 && n < text.n && ((unsigned char)text.p[n] & 0xc0) == 0x80) /* not inside a UTF-8 sequence */
        n--;
    for (size_t i = 0; i < n; i++)
        out[i] = (unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7f ? '?' : text.p[i];
    out[n] = '\0';
}

static void
copy_string(char *out, size_t out_bytes, const char *text)
{
    copy_printable(out, out_bytes, slice_of_string(text));
}

/* "com.amazonaws.sqs#QueueDoesNotExist:http://..." is QueueDoesNotExist. */
static struct slice
shape_name(struct slice type)
{
    const char *hash = type.n ? memchr(type.p, '#', type.n) : NULL;
    if (hash)
        type = slice_of(hash + 1, type.n - (size_t)(hash + 1 - type.p));
    const char *colon = type.n ? memchr(type.p, ':', type.n) : NULL;
    return colon ? slice_of(type.p, (size_t)(colon - type.p)) : type;
}

/* "CODE;Sender": empty unless there are exactly two parts and the first is not empty. */
static struct slice
query_code(struct slice header)
{
    const char *first = header.n ? memchr(header.p, ';', header.n) : NULL;
    if (!first || first == header.p)
        return slice_of(NULL, 0);
    size_t left = header.n - (size_t)(first + 1 - header.p);
    if (memchr(first + 1, ';', left))
        return slice_of(NULL, 0);
    return slice_of(header.p, (size_t)(first - header.p));
}

/* ---- JSON ---------------------------------------------------------------------------------------------------------
 */

static const char *
member(const cJSON *object, const char *name)
{
    const cJSON *m = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsString(m) && *m->valuestring ? m->valuestring : NULL;
}

static void
decode_json(struct slice body, struct aws_error *e)
{
    cJSON *root = cJSON_ParseWithLength(body.p, body.n);
    if (!root)
        return;
    const char *code = member(root, "code"), *type = member(root, "__type"), *text = member(root, "message");
    code = code ? code : type;
    text = text ? text : member(root, "Message");
    text = text ? text : member(root, "errorMessage");
    if (code)
        copy_printable(e->code, sizeof e->code, shape_name(slice_of_string(code)));
    if (text)
        copy_string(e->message, sizeof e->message, text);
    cJSON_Delete(root);
}

/* ---- XML: <Error>, also inside <ErrorResponse>; RequestId beside it or inside ---------------------------------------
 */

struct xml_reader {
    XML_Parser parser;
    unsigned depth, error_depth; /* of <Error>; 0: not inside one */
    char *target;                /* where the text of the present element goes; NULL: nowhere */
    size_t target_bytes;
    struct buf text;
    struct aws_error *error;
};

static void XMLCALL
xml_open(void *context, const XML_Char *name, const XML_Char **attributes)
{
    (void)attributes;
    struct xml_reader *x = context;
    x->depth++;
    x->target = NULL;
    buf_reset(&x->text);
    if (!x->error_depth && x->depth <= 3 && strcmp(name, "Error") == 0) {
        x->error_depth = x->depth;
    } else if (x->error_depth && x->depth == x->error_depth + 1 && strcmp(name, "Code") == 0) {
        x->target = x->error->code;
        x->target_bytes = sizeof x->error->code;
    } else if (x->error_depth && x->depth == x->error_depth + 1 && strcmp(name, "Message") == 0) {
        x->target = x->error->message;
        x->target_bytes = sizeof x->error->message;
    } else if (x->depth <= 3 && (strcmp(name, "RequestId") == 0 || strcmp(name, "RequestID") == 0)) {
        x->target = x->error->request_id;
        x->target_bytes = sizeof x->error->request_id;
    }
}

static void XMLCALL
xml_text(void *context, const XML_Char *p, int n)
{
    struct xml_reader *x = context;
    if (x->target)
        buf_add(&x->text, p, (size_t)n);
}

static void XMLCALL
xml_close(void *context, const XML_Char *name)
{
    (void)name;
    struct xml_reader *x = context;
    if (x->target && x->text.len > 0 && !buf_failed(&x->text))
        copy_printable(x->target, x->target_bytes, buf_slice(&x->text));
    x->target = NULL;
    if (x->depth == x->error_depth)
        x->error_depth = 0;
    x->depth--;
}

static void XMLCALL
xml_doctype(void *context, const XML_Char *name, const XML_Char *system, const XML_Char *public, int internal)
{
    (void)name, (void)system, (void)public, (void)internal;
    struct xml_reader *x = context;
    XML_StopParser(x->parser, XML_FALSE); /* no service sends one: entities are for attacks */
}

static void
decode_xml(struct slice body, struct aws_error *e)
{
    struct xml_reader x = {.parser = XML_ParserCreate(NULL), .error = e};
    if (!x.parser)
        return;
    XML_SetUserData(x.parser, &x);
    XML_SetElementHandler(x.parser, xml_open, xml_close);
    XML_SetCharacterDataHandler(x.parser, xml_text);
    XML_SetStartDoctypeDeclHandler(x.parser, xml_doctype);
    XML_Parse(x.parser, body.p, (int)body.n, 1); /* what came before a fault in it counts */
    XML_ParserFree(x.parser);
    buf_clean_up(&x.text);
}

/* ---- what it means to us ------------------------------------------------------------------------------------------
 */

static bool
is_one_of(const char *code, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(code, *list) == 0)
            return true;
    return false;
}

/* Refusals that pass by themselves, though not within the moments of a retry: too many messages in flight (with status
 * 403, as if it were a matter of permissions), a minute not over since the last purge or delete. */
static const char *const LATER[] = {"OverLimit",
                                    "AWS.SimpleQueueService.PurgeQueueInProgress",
                                    "PurgeQueueInProgress",
                                    "AWS.SimpleQueueService.QueueDeletedRecently",
                                    "QueueDeletedRecently",
                                    NULL};

bool
aws_error_is_missing_permission(const struct aws_error *e)
{
    static const char *const codes[] = {"AccessDenied", "AccessDeniedException", "KMS.AccessDeniedException", NULL};
    return is_one_of(e->code, codes);
}

static enum err_code
meaning_of(const struct aws_error *e, enum retry_kind kind)
{
    static const char *const missing[] = {"AWS.SimpleQueueService.NonExistentQueue",
                                          "QueueDoesNotExist",
                                          "NoSuchKey",
                                          "NoSuchBucket",
                                          "ResourceNotFoundException",
                                          NULL};
    static const char *const denied[] = {"ExpiredToken",
                                         "ExpiredTokenException",
                                         "InvalidClientTokenId",
                                         "UnrecognizedClientException",
                                         "InvalidAccessKeyId",
                                         "InvalidToken",
                                         "SignatureDoesNotMatch",
                                         "InvalidSignatureException",
                                         "RequestExpired",
                                         "IncompleteSignature",
                                         "IncompleteSignatureException",
                                         "MissingAuthenticationToken",
                                         "MissingAuthenticationTokenException",
                                         "AccessDenied",
                                         "AccessDeniedException",
                                         "KMS.AccessDeniedException",
                                         "AuthFailure",
                                         NULL};
    static const char *const existing[] = {"QueueAlreadyExists", "QueueNameExists", "ResourceAlreadyExistsException",
                                           NULL};
    static const char *const invalid[] = {"InvalidAddress", "ReceiptHandleIsInvalid", NULL}; /* 404, and no queue */
    if (kind != RETRY_NEVER || is_one_of(e->code, LATER))
        return ERR_UNAVAILABLE;
    if (is_one_of(e->code, missing))
        return ERR_NOT_FOUND;
    if (is_one_of(e->code, existing))
        return ERR_EXISTS;
    if (is_one_of(e->code, invalid))
        return ERR_INVALID;
    if (is_one_of(e->code, denied) || e->status == 401 || e->status == 403)
        return ERR_DENIED;
    if (e->status == 404)
        return ERR_NOT_FOUND;
    if (e->status == 409 || e->status == 412)
        return ERR_EXISTS;
    if (e->status >= 400 && e->status < 500)
        return ERR_INVALID;
    return e->status >= 500 ? ERR_UNAVAILABLE : ERR_PROTOCOL;
}

static void
describe(const char *operation, struct aws_error *e, enum err_code code, bool retryable)
{
    char id[sizeof e->request_id + 16] = "";
    if (*e->request_id)
        snprintf(id, sizeof id, ", request %s", e->request_id);
    err_set(&e->err, code, "%s: %s%s%s (HTTP %d%s)", operation, e->code, *e->message ? ": " : "", e->message, e->status,
            id);
    e->err.retryable = retryable;
}

void
aws_error_decode(const char *operation, const struct aws_error_answer *answer, struct aws_error *ret_error)
{
    struct aws_error e = {.status = answer->status};
    struct slice body = answer->body;
    while (body.n > 0 && strchr(" \t\r\n", *body.p))
        body = slice_of(body.p + 1, body.n - 1);
    if (body.n > 0 && body.n <= MAX_DECODED_BYTES && *body.p == '{')
        decode_json(body, &e);
    else if (body.n > 0 && body.n <= MAX_DECODED_BYTES && *body.p == '<')
        decode_xml(body, &e);

    struct slice type = shape_name(answer->error_type), query = query_code(answer->query_error);
    if (query.n > 0)
        copy_printable(e.code, sizeof e.code, query);
    else if (type.n > 0)
        copy_printable(e.code, sizeof e.code, type);
    if (!*e.code)
        snprintf(e.code, sizeof e.code, "%d", e.status);
    if (answer->request_id.n > 0)
        copy_printable(e.request_id, sizeof e.request_id, answer->request_id);

    enum retry_kind kind = retry_classify(e.status, e.code);
    e.throttled = kind == RETRY_THROTTLING;
    e.maybe_executed = e.status >= 500 && !e.throttled;
    describe(operation, &e, meaning_of(&e, kind), kind != RETRY_NEVER || is_one_of(e.code, LATER));
    *ret_error = e;
}

static const char *
our_code(const struct http_response *r)
{
    switch (r->error.code) {
    case ERR_UNAVAILABLE:
        return r->truncated ? "truncated" : "connection";
    case ERR_TIMEOUT:
        return "timeout";
    case ERR_DENIED:
        return "tls";
    case ERR_LIMIT:
        return "limit";
    case ERR_PROTOCOL:
        return "protocol";
    case ERR_CANCELLED:
        return "cancelled";
    default:
        return "internal";
    }
}

void
aws_error_from_response(const char *operation, const struct http_response *r, struct aws_error *ret_error)
{
    if (r->error.code != 0) {
        aws_error_local(operation, our_code(r), &r->error, ret_error);
        ret_error->maybe_executed = r->request_sent;
        return;
    }
    struct slice id = http_response_header(r, "x-amzn-requestid");
    struct aws_error_answer answer = {.status = r->status,
                                      .body = r->body,
                                      .query_error = http_response_header(r, "x-amzn-query-error"),
                                      .error_type = http_response_header(r, "x-amzn-errortype"),
                                      .request_id = id.n ? id : http_response_header(r, "x-amz-request-id")};
    aws_error_decode(operation, &answer, ret_error);
}

void
aws_error_garbled(const char *operation, const struct http_response *r, const char *what, struct aws_error *ret_error)
{
    struct aws_error e = {.status = r->status, .code = "garbled", .maybe_executed = true};
    struct slice id = http_response_header(r, "x-amzn-requestid");
    copy_printable(e.request_id, sizeof e.request_id, id.n ? id : http_response_header(r, "x-amz-request-id"));
    copy_string(e.message, sizeof e.message, what);
    describe(operation, &e, ERR_PROTOCOL, false);
    *ret_error = e;
}

void
aws_error_local(const char *operation, const char *code, const struct err *err, struct aws_error *ret_error)
{
    struct aws_error e = {.err = *err};
    copy_string(e.code, sizeof e.code, code);
    copy_string(e.message, sizeof e.message, err->text);
    err_prefix(&e.err, err->code, "%s", operation);
    *ret_error = e;
}
