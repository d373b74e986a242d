#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "local/sqs_codec.h"
#include "local/sqs_form.h"
#include "local/sqs_shape.h"

/* ---- where the parameters are ------------------------------------------------------------------------------------ */

/* The body, if it is a form; one that is posted without a type is. */
static struct slice
form_of(const struct httpd_request *r)
{
    const struct slice form = SLICE("application/x-www-form-urlencoded");
    struct slice type = httpd_header(r, "content-type");
    bool is_form = type.n == 0 || (type.n >= form.n && strncasecmp(type.p, form.p, form.n) == 0 &&
                                   (type.n == form.n || type.p[form.n] == ';' || type.p[form.n] == ' '));
    return is_form && slice_equals(httpd_method(r), SLICE("POST")) ? httpd_body(r) : (struct slice){0};
}

static bool
name_operation(const struct httpd_request *r, char out[LSQS_OPERATION_TEXT])
{
    return lsqs_form_find(httpd_query(r), "Action", out, LSQS_OPERATION_TEXT) ||
           lsqs_form_find(form_of(r), "Action", out, LSQS_OPERATION_TEXT);
}

/* ---- decoding ---------------------------------------------------------------------------------------------------- */

/* Neighbours in the order of lsqs_form_sort, what they had in common cut off their names. */
struct fields {
    struct lsqs_form_field *at, *end;
};

struct decoder {
    struct arena *arena;
    struct lsqs_error *e;
};

static bool decode_struct(struct decoder *d, struct fields f, const struct lsqs_shape *shape, void *out);

/* Takes those off the front of *f that begin with the same segment, which is cut off. */
static struct fields
take_group(struct fields *f, struct slice *ret_segment)
{
    struct fields group = {.at = f->at, .end = f->at + 1};
    struct slice segment = lsqs_form_cut_segment(&group.at->name);
    for (; group.end < f->end; group.end++) {
        struct slice rest = group.end->name;
        if (!lsqs_form_same_segment(lsqs_form_cut_segment(&rest), segment))
            break;
        group.end->name = rest;
    }
    f->at = group.end;
    *ret_segment = segment;
    return group;
}

/* Takes the next item of a list: the parameters with the same number, or all of those that have none. */
static struct fields
take_item(struct fields *f, struct slice *ret_number)
{
    struct slice name = f->at->name;
    struct fields all = *f;
    if (lsqs_form_is_number(lsqs_form_cut_segment(&name)))
        return take_group(f, ret_number);
    f->at = f->end;
    *ret_number = (struct slice){0};
    return all;
}

static size_t
count_items(struct fields f)
{
    size_t n = 0;
    struct slice number = {0};
    for (struct lsqs_form_field *at = f.at; at < f.end; at++) {
        struct slice name = at->name, segment = lsqs_form_cut_segment(&name);
        bool is_number = lsqs_form_is_number(segment);
        if (!is_number)
            return n + 1; /* numbers are in front */
        n += !number.p || !lsqs_form_same_segment(number, segment);
        number = segment;
    }
    return n;
}

/* The value of a parameter that is no list and no structure. */
static bool
take_value(struct decoder *d, struct fields f, struct slice *out)
{
    if (f.end[-1].name.n > 0)
        return lsqs_fail(d->e, LSQS_MALFORMED_INPUT, "Start of structure or map found where not expected.");
    *out = f.end[-1].value;
    return true;
}

static bool
decode_blob(struct decoder *d, struct fields f, struct slice *out)
{
    struct slice text = {0};
    struct buf bytes = BUF_INIT;
    if (!take_value(d, f, &text))
        return false;
    bool ok = digest_base64_decode(&bytes, text);
    char *copy = ok ? arena_strndup(d->arena, bytes.data ? bytes.data : "", bytes.len) : NULL;
    *out = slice_of(copy, bytes.len);
    buf_clean_up(&bytes);
    return copy ? true : lsqs_fail(d->e, LSQS_MALFORMED_INPUT, "a blob is not in base64");
}

static bool
decode_number(struct decoder *d, struct fields f, struct lsqs_int *out)
{
    struct slice text = {0};
    if (!take_value(d, f, &text))
        return false;
    bool negative = text.n > 0 && text.p[0] == '-';
    struct slice digits = slice_of(text.p + negative, text.n - negative);
    if (!lsqs_form_is_number(digits))
        return lsqs_fail(d->e, LSQS_MALFORMED_INPUT, "\"%.*s\" is not an integer", (int)(text.n < 100 ? text.n : 100),
                         text.p);
    *out = (struct lsqs_int){.given = true};
    for (size_t i = 0; i < digits.n; i++)
        if (__builtin_mul_overflow(out->value, 10, &out->value) ||
            __builtin_add_overflow(out->value, digits.p[i] - '0', &out->value)) {
            out->value = INT64_MAX;
            break;
        }
    if (negative)
        out->value = -out->value;
    return true;
}

static bool
decode_flag(struct decoder *d, struct fields f, struct lsqs_int *out)
{
    struct slice text = {0};
    if (!take_value(d, f, &text))
        return false;
    *out = (struct lsqs_int){.given = true, .value = slice_equals(text, SLICE("true"))};
    return out->value || slice_equals(text, SLICE("false")) ||
           lsqs_fail(d->e, LSQS_MALFORMED_INPUT, "\"%.*s\" is neither true nor false",
                     (int)(text.n < 100 ? text.n : 100), text.p);
}

static bool
missing(struct decoder *d, const struct lsqs_member *m, struct slice number, const char *part)
{
    char name[128];
    snprintf(name, sizeof name, "%s%s%.*s.%s", lsqs_query_name(m), number.n ? "." : "",
             (int)(number.n < 20 ? number.n : 20), number.p ? number.p : "", part);
    return lsqs_fail_missing(d->e, name);
}

/* "Attribute.N.Name" and ".Value", of which there may be more. */
static bool
decode_entry(struct decoder *d, struct fields f, const struct lsqs_member *m, struct slice number, char *item)
{
    const char *key = lsqs_query_key(m);
    struct slice *name = (struct slice *)(void *)item;
    bool has_value = false;
    while (f.at < f.end) {
        struct slice segment;
        struct fields group = take_group(&f, &segment);
        bool is_value = slice_equals(segment, SLICE("Value")), ok = true;
        if (slice_equals_string(segment, key))
            ok = take_value(d, group, name);
        else if (is_value && m->shape)
            ok = decode_struct(d, group, m->shape, item);
        else if (is_value)
            ok = take_value(d, group, &((struct local_sqs_attribute *)(void *)item)->value);
        if (!ok)
            return false;
        has_value |= is_value;
    }
    if (!name->p)
        return missing(d, m, number, key);
    return has_value || missing(d, m, number, "Value");
}

static bool
decode_list(struct decoder *d, struct fields f, const struct lsqs_member *m, struct lsqs_list *out)
{
    size_t n = count_items(f), size = lsqs_item_size(m);
    char *item = arena_zalloc(d->arena, n * size);
    if (!item)
        return lsqs_fail(d->e, LSQS_INTERNAL, "out of memory");
    *out = (struct lsqs_list){.items = item, .n = n, .given = true};
    for (; f.at < f.end; item += size) {
        struct slice number;
        struct fields of_item = take_item(&f, &number);
        bool ok = m->type == LSQS_LIST      ? decode_struct(d, of_item, m->shape, item)
                  : m->type == LSQS_STRINGS ? take_value(d, of_item, (struct slice *)(void *)item)
                                            : decode_entry(d, of_item, m, number, item);
        if (!ok)
            return false;
    }
    return true;
}

static bool
decode_member(struct decoder *d, struct fields f, const struct lsqs_member *m, char *at)
{
    switch (m->type) {
    case LSQS_STRING:
        return take_value(d, f, (struct slice *)(void *)at);
    case LSQS_BLOB:
        return decode_blob(d, f, (struct slice *)(void *)at);
    case LSQS_INT:
        return decode_number(d, f, (struct lsqs_int *)(void *)at);
    case LSQS_FLAG:
        return decode_flag(d, f, (struct lsqs_int *)(void *)at);
    default:
        return decode_list(d, f, m, (struct lsqs_list *)(void *)at);
    }
}

static bool
decode_struct(struct decoder *d, struct fields f, const struct lsqs_shape *shape, void *out)
{
    while (f.at < f.end) {
        struct slice segment;
        struct fields group = take_group(&f, &segment);
        const struct lsqs_member *m = shape->members, *end = m + shape->n_members;
        while (m < end && !slice_equals_string(segment, lsqs_query_name(m)))
            m++;
        if (m < end && !decode_member(d, group, m, (char *)out + m->offset))
            return false;
    }
    return true;
}

bool
lsqs_query_decode(struct slice query, struct slice form, const struct lsqs_shape *shape, void *out, struct arena *arena,
                  struct lsqs_error *e)
{
    struct lsqs_form f = {0};
    struct decoder d = {.arena = arena, .e = e};
    if (!lsqs_form_read(&f, query, arena, e) || !lsqs_form_read(&f, form, arena, e))
        return false;
    if (f.n == 0)
        return true;
    lsqs_form_sort(&f);
    return decode_struct(&d, (struct fields){.at = f.fields, .end = f.fields + f.n}, shape, out);
}

/* ---- the protocol ------------------------------------------------------------------------------------------------ */

/* Is it not to be called at a queue's path? Of what is about no queue, GetQueueUrl is. */
static bool
is_for_root_alone(const struct lsqs_operation *op)
{
    return strcmp(op->name, "CreateQueue") == 0 || strcmp(op->name, "ListQueues") == 0;
}

/* A queue's path stands for the QueueUrl. */
static bool
decode(struct lsqs_call *c)
{
    struct slice path = httpd_path(c->call->http);
    bool root = path.n == 0 || slice_equals(path, SLICE("/"));
    struct lsqs_queue_request *r = c->request;
    if (!root && is_for_root_alone(c->op))
        return LSQS_QUERY.refuse_operation(c);
    if (!lsqs_query_decode(httpd_query(c->call->http), form_of(c->call->http), c->op->request, c->request,
                           &c->call->arena, &c->error))
        return false;
    if (c->op->about_queue && !r->queue_url.p && !root)
        r->queue_url = path;
    return true;
}

static bool
refuse_operation(struct lsqs_call *c)
{
    char name[LSQS_OPERATION_TEXT];
    if (!name_operation(c->call->http, name))
        return lsqs_fail(&c->error, LSQS_UNKNOWN_OPERATION, "The request names no operation.");
    return lsqs_fail(&c->error, LSQS_INVALID_ACTION, "The action %s is not valid for this endpoint.", name);
}

static void
encode(const struct lsqs_call *c, struct buf *out)
{
    lsqs_xml_encode(c->op->name, c->op->result, c->result, c->call->request_id, out);
}

static void
answer_refusal(struct local_call *call, const struct lsqs_refusal *refusal)
{
    struct buf body = BUF_INIT;
    bool unnamed = strcmp(refusal->code, LSQS_NO_OPERATION) == 0;
    lsqs_xml_encode_refusal(refusal, call->request_id, &body);
    local_answer(call, &(struct httpd_answer){.status = unnamed ? 404 : refusal->status,
                                              .content_type = LSQS_QUERY.content_type,
                                              .body = buf_slice(&body)});
    buf_clean_up(&body);
}

const struct lsqs_codec LSQS_QUERY = {.content_type = "text/xml",
                                      .name_operation = name_operation,
                                      .refuse_operation = refuse_operation,
                                      .decode = decode,
                                      .encode = encode,
                                      .answer_refusal = answer_refusal,
                                      .no_such_queue = "The specified queue does not exist for this wsdl version."};
