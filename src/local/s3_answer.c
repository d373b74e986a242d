#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "local/s3_impl.h"

void
local_s3_xml_text(struct buf *out, struct slice text)
{
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c == '&')
            buf_add_string(out, "&amp;");
        else if (c == '<')
            buf_add_string(out, "&lt;");
        else if (c == '>')
            buf_add_string(out, "&gt;");
        else if (c == '"')
            buf_add_string(out, "&quot;");
        else if (c < 0x20)
            buf_add_format(out, "&#x%x;", c);
        else
            buf_add_char(out, (char)c);
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

void
local_s3_header(struct s3_call *c, const char *name, const char *format, ...)
{
    char value[S3_META_MAX + 1];
    va_list ap;
    va_start(ap, format);
    vsnprintf(value, sizeof value, format, ap);
    va_end(ap);
    char *copy = arena_strdup(&c->call->arena, value);
    if (copy && c->n_headers < S3_HEADERS_MAX)
        c->headers[c->n_headers++] = (struct httpd_header_out){.name = name, .value = copy};
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
    if (buf_failed(&body))
        local_s3_refuse(c, 500, "InternalError", "Out of memory.");
    if (c->code) {
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
