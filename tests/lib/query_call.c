#include "lib/query_call.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void
query_call_init(struct query_call *q, const char *url)
{
    *q = (struct query_call){.answer.root = NULL};
    aws_call_init(&q->call, url);
    arena_init(&q->answer.arena, 0);
}

void
query_call_clean_up(struct query_call *q)
{
    xml_tree_clean_up(&q->answer);
    aws_call_clean_up(&q->call);
}

int
query_call_send(struct query_call *q, const struct aws_call_request *request)
{
    xml_tree_clean_up(&q->answer);
    int status = aws_call_send(&q->call, request) ? aws_call_finish(&q->call) : 0;
    xml_tree_read(&q->answer, q->call.body);
    return status;
}

int
query_call_post(struct query_call *q, const char *path, const char *format, ...)
{
    struct buf form = BUF_INIT;
    va_list ap;
    va_start(ap, format);
    buf_add_format_va(&form, format, ap);
    va_end(ap);
    int status =
        query_call_send(q, &(struct aws_call_request){.service = "sqs",
                                                      .method = "POST",
                                                      .path = path,
                                                      .type = "application/x-www-form-urlencoded; charset=utf-8",
                                                      .body = buf_slice(&form)});
    buf_clean_up(&form);
    return status;
}

int
query_call_get(struct query_call *q, const char *path, const char *format, ...)
{
    struct buf query = BUF_INIT;
    va_list ap;
    va_start(ap, format);
    buf_add_format_va(&query, format, ap);
    va_end(ap);
    int status = query_call_send(
        q, &(struct aws_call_request){.service = "sqs", .method = "GET", .path = path, .query = buf_slice(&query)});
    buf_clean_up(&query);
    return status;
}

const char *
query_call_text(const struct query_call *q, const char *path)
{
    static char none[100];
    const char *text = xml_tree_text(&q->answer, path);
    if (!text)
        snprintf(none, sizeof none, "(no %s)", path);
    return text ? text : none;
}

const char *
query_call_error(const struct query_call *q)
{
    return query_call_text(q, "Error.Code");
}

const char *
query_call_message(const struct query_call *q)
{
    return query_call_text(q, "Error.Message");
}

void
query_call_escape(struct buf *out, struct slice text)
{
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     (c != '\0' && strchr("-._~", c));
        if (plain)
            buf_add_char(out, (char)c);
        else
            buf_add_format(out, "%%%02X", c);
    }
}
