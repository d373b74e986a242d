#include <string.h>

#include "base/utf8.h"
#include "local/sqs_codec.h"
#include "local/sqs_shape.h"

#define NAMESPACE "http://queue.amazonaws.com/doc/2012-11-05/"

/* ---- text -------------------------------------------------------------------------------------------------------- */

/* What stands for the character at p, of n bytes; NULL: itself. */
static const char *
escape_of(const char *p, size_t n)
{
    static const char REPLACEMENT[] = "\xef\xbf\xbd"; /* U+FFFD */
    switch (*p) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\r':
        return "&#xD;"; /* or the reader makes it a line feed */
    case '\n':
    case '\t':
        return NULL;
    default:
        break;
    }
    if (n == 0 || (unsigned char)*p < 0x20)
        return REPLACEMENT;
    return n == 3 && memcmp(p, "\xef\xbf", 2) == 0 && (unsigned char)p[2] >= 0xbe ? REPLACEMENT : NULL;
}

void
lsqs_xml_write_text(struct buf *out, struct slice text)
{
    const char *p = text.p, *end = p + text.n, *plain = p;
    while (p < end) {
        size_t n = utf8_length(p, end);
        const char *escape = escape_of(p, n);
        p += n > 0 ? n : 1;
        if (!escape)
            continue;
        buf_add(out, plain, (size_t)(p - plain) - (n > 0 ? n : 1));
        buf_add_string(out, escape);
        plain = p;
    }
    buf_add(out, plain, (size_t)(end - plain));
}

static void
open_tag(struct buf *out, const char *name)
{
    buf_add_char(out, '<');
    buf_add_string(out, name);
    buf_add_char(out, '>');
}

static void
close_tag(struct buf *out, const char *name)
{
    buf_add(out, "</", 2);
    buf_add_string(out, name);
    buf_add_char(out, '>');
}

static void
write_element(struct buf *out, const char *name, struct slice text)
{
    open_tag(out, name);
    lsqs_xml_write_text(out, text);
    close_tag(out, name);
}

/* ---- results ----------------------------------------------------------------------------------------------------- */

static void encode_struct(const struct lsqs_shape *shape, const void *value, struct buf *out);

/* Every item is an element of its own; there is none around them. */
static void
encode_list(const struct lsqs_member *m, const struct lsqs_list *list, struct buf *out)
{
    const char *name = lsqs_query_name(m), *item = list->items;
    for (size_t i = 0; i < list->n; i++, item += lsqs_item_size(m)) {
        const struct slice *text = (const struct slice *)(const void *)item;
        open_tag(out, name);
        if (m->type == LSQS_STRINGS) {
            lsqs_xml_write_text(out, *text);
        } else if (m->type == LSQS_LIST) {
            encode_struct(m->shape, item, out);
        } else {
            write_element(out, lsqs_query_key(m), *text);
            open_tag(out, "Value");
            if (m->shape)
                encode_struct(m->shape, item, out);
            else
                lsqs_xml_write_text(out, ((const struct local_sqs_attribute *)(const void *)item)->value);
            close_tag(out, "Value");
        }
        close_tag(out, name);
    }
}

static void
encode_member(const struct lsqs_member *m, const char *at, struct buf *out)
{
    const struct slice *s = (const struct slice *)(const void *)at;
    const struct lsqs_int *v = (const struct lsqs_int *)(const void *)at;
    const char *name = lsqs_query_name(m);
    if (m->type != LSQS_STRING && m->type != LSQS_BLOB && m->type != LSQS_INT && m->type != LSQS_FLAG) {
        encode_list(m, (const struct lsqs_list *)(const void *)at, out);
        return;
    }
    open_tag(out, name);
    if (m->type == LSQS_STRING)
        lsqs_xml_write_text(out, *s);
    else if (m->type == LSQS_BLOB)
        digest_base64_encode(out, s->p, s->n);
    else if (m->type == LSQS_INT)
        buf_add_int(out, v->value);
    else
        buf_add_string(out, v->value ? "true" : "false");
    close_tag(out, name);
}

static void
encode_struct(const struct lsqs_shape *shape, const void *value, struct buf *out)
{
    for (size_t i = 0; i < shape->n_members; i++) {
        const struct lsqs_member *m = &shape->members[i];
        const char *at = (const char *)value + m->offset;
        if (lsqs_is_given(m, at))
            encode_member(m, at, out);
    }
}

void
lsqs_xml_encode(const char *operation, const struct lsqs_shape *shape, const void *result, const char *request_id,
                struct buf *out)
{
    buf_add_format(out, "<?xml version=\"1.0\"?><%sResponse xmlns=\"" NAMESPACE "\">", operation);
    if (shape) {
        size_t before = out->len;
        buf_add_format(out, "<%sResult>", operation);
        size_t inside = out->len;
        encode_struct(shape, result, out);
        if (out->len > inside)
            buf_add_format(out, "</%sResult>", operation);
        else if (!buf_failed(out)) {
            buf_truncate(out, before);
            buf_add_format(out, "<%sResult/>", operation);
        }
    }
    buf_add_format(out, "<ResponseMetadata><RequestId>%s</RequestId></ResponseMetadata></%sResponse>", request_id,
                   operation);
}

void
lsqs_xml_encode_refusal(const struct lsqs_refusal *refusal, const char *request_id, struct buf *out)
{
    if (strcmp(refusal->code, LSQS_NO_OPERATION) == 0) {
        buf_add_string(out, "<UnknownOperationException/>\n");
        return;
    }
    buf_add_format(out, "<?xml version=\"1.0\"?><ErrorResponse xmlns=\"" NAMESPACE "\"><Error><Type>%s</Type>",
                   refusal->status < 500 ? "Sender" : "Receiver");
    write_element(out, "Code", slice_of_string(refusal->code));
    write_element(out, "Message", slice_of_string(refusal->message));
    buf_add_format(out, "<Detail/></Error><RequestId>%s</RequestId></ErrorResponse>", request_id);
}
