#include "lib/sqs_call.h"

#include <stdio.h>
#include <string.h>

#include "lib/query_call.h"

/* ---- the form ---------------------------------------------------------------------------------------------------- */

/* What the members that hold several values are called in a form, and the parts of an entry of those that are maps. */
static const struct plural {
    const char *member, *operation; /* operation: a part of its name, when it matters */
    const char *name, *key;
} PLURALS[] = {
    {"AttributeNames", "", "AttributeName", NULL},
    {"Attributes", "", "Attribute", "Name"},
    {"AWSAccountIds", "", "AWSAccountId", NULL},
    {"Actions", "", "ActionName", NULL},
    {"Entries", "SendMessageBatch", "SendMessageBatchRequestEntry", NULL},
    {"Entries", "DeleteMessageBatch", "DeleteMessageBatchRequestEntry", NULL},
    {"Entries", "ChangeMessageVisibilityBatch", "ChangeMessageVisibilityBatchRequestEntry", NULL},
    {"MessageAttributeNames", "", "MessageAttributeName", NULL},
    {"MessageSystemAttributeNames", "", "MessageSystemAttributeName", NULL},
    {"MessageAttributes", "", "MessageAttribute", "Name"},
    {"MessageSystemAttributes", "", "MessageSystemAttribute", "Name"},
    {"StringListValues", "", "StringListValue", NULL},
    {"BinaryListValues", "", "BinaryListValue", NULL},
    {"TagKeys", "", "TagKey", NULL},
    {"Tags", "", "Tag", "Key"},
    {"tags", "", "Tag", "Key"},
};

static const struct plural *
find_plural(struct json name, const char *operation)
{
    for (size_t i = 0; i < sizeof PLURALS / sizeof *PLURALS; i++)
        if (json_equals_string(name, slice_of_string(PLURALS[i].member)) && strstr(operation, PLURALS[i].operation))
            return &PLURALS[i];
    return NULL;
}

static void
write_string(struct buf *out, struct json string)
{
    struct buf text = BUF_INIT;
    struct err e;
    json_decode(string, &text, &e);
    query_call_escape(out, buf_slice(&text));
    buf_clean_up(&text);
}

static void write_value(struct buf *out, const char *operation, struct slice path, struct json value);

static void
write_members(struct buf *out, const char *operation, struct slice path, struct json object)
{
    for (struct json_iter it = json_iter(object); json_next(&it);) {
        const struct plural *plural = find_plural(it.key, operation);
        struct buf name = BUF_INIT;
        buf_add_slice(&name, path);
        buf_add_string(&name, path.n ? "." : "");
        if (plural)
            buf_add_string(&name, plural->name);
        else
            write_string(&name, it.key);
        if (plural && plural->key && it.value.type == JSON_OBJECT) {
            size_t base = name.len;
            for (struct json_iter entry = json_iter(it.value); json_next(&entry);) {
                buf_truncate(&name, base);
                buf_add_format(&name, ".%zu", entry.index + 1);
                buf_add_format(out, "&%.*s.%s=", SLICE_ARG(buf_slice(&name)), plural->key);
                write_string(out, entry.key);
                buf_add_string(&name, ".Value");
                write_value(out, operation, buf_slice(&name), entry.value);
            }
        } else {
            write_value(out, operation, buf_slice(&name), it.value);
        }
        buf_clean_up(&name);
    }
}

static void
write_value(struct buf *out, const char *operation, struct slice path, struct json value)
{
    struct buf name = BUF_INIT;
    switch (value.type) {
    case JSON_NULL:
        break;
    case JSON_OBJECT:
        write_members(out, operation, path, value);
        break;
    case JSON_ARRAY:
        for (struct json_iter it = json_iter(value); json_next(&it);) {
            buf_reset(&name);
            buf_add_format(&name, "%.*s.%zu", SLICE_ARG(path), it.index + 1);
            write_value(out, operation, buf_slice(&name), it.value);
        }
        break;
    default:
        buf_add_format(out, "&%.*s=", SLICE_ARG(path));
        if (value.type == JSON_STRING)
            write_string(out, value);
        else
            query_call_escape(out, value.text);
    }
    buf_clean_up(&name);
}

void
sqs_call_write_form(struct buf *out, const char *operation, struct json request)
{
    buf_add_format(out, "Action=%s&Version=2012-11-05", operation);
    write_members(out, operation, (struct slice){0}, request);
}

/* ---- answers ----------------------------------------------------------------------------------------------------- */

bool
sqs_call_xml_text(struct slice xml, const char *path, char *out, size_t size)
{
    struct xml_tree t;
    const char *text = xml_tree_read(&t, xml) ? xml_tree_text(&t, path) : NULL;
    snprintf(out, size, "%s", text ? text : "");
    xml_tree_clean_up(&t);
    return text != NULL;
}

static void
copy_text(const struct xml_tree *t, const char *path, char *out, size_t size)
{
    const char *text = xml_tree_text(t, path);
    snprintf(out, size, "%s", text ? text : "");
}

static void
read_xml(const struct aws_call *c, const char *operation, struct sqs_error *e)
{
    struct xml_tree t;
    char root[100], id[60];
    snprintf(root, sizeof root, "%sResponse", c->status < 300 ? operation : "Error");
    if (!xml_tree_read(&t, c->body) || strcmp(t.root->name, root) != 0) {
        snprintf(e->malformed, sizeof e->malformed, "no XML with a %s", root);
    } else if (c->status >= 300) {
        copy_text(&t, "Error.Code", e->code, sizeof e->code);
        copy_text(&t, "Error.Type", e->type, sizeof e->type);
        copy_text(&t, "Error.Message", e->message, sizeof e->message);
        copy_text(&t, "RequestId", id, sizeof id);
        if (!*e->code || !*e->type || !*id)
            snprintf(e->malformed, sizeof e->malformed, "an error without Code, Type or RequestId");
    }
    xml_tree_clean_up(&t);
}

static void
read_json(const struct aws_call *c, struct sqs_error *e)
{
    char type[sizeof e->name_space + sizeof e->shape];
    if (c->body.n > 0 && c->json.type != JSON_OBJECT)
        snprintf(e->malformed, sizeof e->malformed, "the body is no JSON object");
    if (c->status < 300 || *e->malformed)
        return;
    struct slice query = aws_call_header(c, "x-amzn-query-error");
    const char *semicolon = query.n ? memchr(query.p, ';', query.n) : NULL;
    if (!semicolon || !aws_call_text(c, "__type", type, sizeof type) || !strchr(type, '#')) {
        snprintf(e->malformed, sizeof e->malformed, "an error without x-amzn-query-error, or without __type");
        return;
    }
    snprintf(e->code, sizeof e->code, "%.*s", (int)(semicolon - query.p), query.p);
    snprintf(e->type, sizeof e->type, "%.*s", (int)(query.p + query.n - semicolon - 1), semicolon + 1);
    snprintf(e->name_space, sizeof e->name_space, "%.*s", (int)strcspn(type, "#"), type);
    snprintf(e->shape, sizeof e->shape, "%s", strchr(type, '#') + 1);
    aws_call_text(c, "message", e->message, sizeof e->message);
}

int
sqs_call(struct aws_call *c, enum sqs_protocol protocol, const char *operation, struct slice json,
         struct sqs_error *ret_error)
{
    struct buf form = BUF_INIT;
    struct json request;
    struct err e;
    *ret_error = (struct sqs_error){.status = 0};
    if (protocol == SQS_JSON) {
        aws_call_sqs_body(c, operation, json);
    } else if (json_parse(json, &request, &e) == 0) {
        sqs_call_write_form(&form, operation, request);
        const struct aws_call_request r = {.service = "sqs",
                                           .method = "POST",
                                           .path = "/",
                                           .type = "application/x-www-form-urlencoded",
                                           .body = buf_slice(&form)};
        if (aws_call_send(c, &r))
            aws_call_finish(c);
    }
    buf_clean_up(&form);
    ret_error->status = c->status;
    if (c->status == 0)
        snprintf(ret_error->malformed, sizeof ret_error->malformed, "no answer");
    else if (protocol == SQS_JSON)
        read_json(c, ret_error);
    else
        read_xml(c, operation, ret_error);
    return c->status;
}
