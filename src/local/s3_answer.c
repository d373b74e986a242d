#include <string.h>

#include "base/utf8.h"
#include "local/s3_impl.h"

void
local_s3_xml_text(struct buf *out, struct slice text)
{
    for (const char *at = text.p, *end = text.p + text.n; at < end;) {
        size_t n = utf8_length(at, end);
        if (n == 0)
            buf_add_string(out, "\xef\xbf\xbd"); /* U+FFFD */
        else if (n > 1)
            buf_add(out, at, n);
        else if (*at == '&')
            buf_add_string(out, "&amp;");
        else if (*at == '<')
            buf_add_string(out, "&lt;");
        else if (*at == '>')
            buf_add_string(out, "&gt;");
        else if (*at == '"')
            buf_add_string(out, "&quot;");
        else if ((unsigned char)*at < 0x20)
            buf_add_format(out, "&#x%x;", (unsigned)*at);
        else
            buf_add_char(out, *at);
        at += n > 0 ? n : 1;
    }
}

int
local_s3_refuse(struct s3_call *c, int status, const char *code, const char *message)
{
    c->status = status;
    c->code = code;
    c->message = message;
    return 0;
}

int
local_s3_refuse_no_bucket(struct s3_call *c)
{
    return local_s3_refuse(c, 404, "NoSuchBucket", "The specified bucket does not exist");
}

int
local_s3_refuse_no_memory(struct s3_call *c)
{
    return local_s3_refuse(c, 500, "InternalError", "Out of memory.");
}

void
local_s3_header(struct s3_call *c, const char *name, const char *value)
{
    if (value && c->n_headers == c->header_room) {
        size_t room = c->header_room ? 2 * c->header_room : 8;
        struct httpd_header_out *more = arena_alloc(&c->call->arena, room * sizeof *more);
        if (more && c->n_headers > 0)
            memcpy(more, c->headers, c->n_headers * sizeof *more);
        if (more) {
            c->headers = more;
            c->header_room = room;
        }
    }
    if (value && c->n_headers < c->header_room)
        c->headers[c->n_headers++] = (struct httpd_header_out){.name = name, .value = value};
    else
        c->no_memory = true;
}

static void
write_error(struct buf *out, const char *code, const char *message, struct slice bucket, struct slice key,
            const char *request_id)
{
    buf_add_format(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>", code);
    local_s3_xml_text(out, slice_of_string(message));
    buf_add_string(out, "</Message>");
    if (strstr(code, "Bucket") && bucket.n > 0) {
        buf_add_string(out, "<BucketName>");
        local_s3_xml_text(out, bucket);
        buf_add_string(out, "</BucketName>");
    }
    if (key.n > 0) {
        buf_add_string(out, "<Key>");
        local_s3_xml_text(out, key);
        buf_add_string(out, "</Key>");
    }
    buf_add_format(out, "<RequestId>%s</RequestId><HostId>fanout-local</HostId></Error>", request_id);
}

void
local_s3_refuse_call(struct local_call *call, int status, const char *code, const char *message)
{
    struct buf body = BUF_INIT;
    if (strcmp(code, "InternalFailure") == 0) /* the other services' word for it */
        code = "InternalError";
    local_note_error(call, code);
    if (!slice_equals_string(httpd_method(call->http), "HEAD"))
        write_error(&body, code, message, slice_of(NULL, 0), slice_of(NULL, 0), call->request_id);
    const struct httpd_answer answer = {.status = status, .content_type = "application/xml", .body = buf_slice(&body)};
    local_answer(call, &answer);
    buf_clean_up(&body);
}

void
local_s3_finish(struct s3_call *c)
{
    struct buf body = c->body;
    bool head = slice_equals_string(httpd_method(c->call->http), "HEAD");
    if (buf_failed(&body) || c->no_memory)
        local_s3_refuse_no_memory(c);
    if (c->code) {
        local_note_error(c->call, c->code);
        buf_reset(&body);
        if (!head && c->status != 304)
            write_error(&body, c->code, c->message, c->bucket, c->key, c->call->request_id);
        c->content_type = NULL;
        c->content_length = 0;
    }
    bool empty = body.len == 0 && !head;
    const struct httpd_answer answer = {
        .status = c->status,
        .content_type = c->content_type ? c->content_type
                        : empty         ? NULL
                                        : "application/xml",
        .headers = c->headers,
        .n_headers = c->n_headers,
        .body = head ? slice_of(NULL, 0) : buf_slice(&body),
        .content_length = c->content_length,
    };
    local_answer(c->call, &answer);
    buf_clean_up(&body);
}
