#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "local/sqs_codec.h"
#include "local/sqs_shape.h"

#define MAX_ITEMS 10000 /* of a list in a request */

/* The bodies of messages are payloads, so base/json reads the requests: strings that hold no escape are not even
 * copied, and nothing is cut at a \u0000. */

/* ---- decoding ---------------------------------------------------------------------------------------------------- */

struct decoder {
    struct json_walk walk;
    struct arena *arena;
    struct lsqs_error *e;
};

static bool decode_struct(struct decoder *d, const struct lsqs_shape *shape, void *out);

/* As AWS words it, whose services share the reader of this protocol. wanted: "a String"; of containers "Expected ...",
 * which is the whole text when what is there is no container. */
static bool
wrong_type(struct decoder *d, struct json is, const char *wanted)
{
    if (is.type == JSON_ARRAY)
        return lsqs_fail(d->e, LSQS_SERIALIZATION, "Start of list found where not expected");
    if (is.type == JSON_OBJECT)
        return lsqs_fail(d->e, LSQS_SERIALIZATION, "Start of structure or map found where not expected.");
    if (wanted[0] == 'E')
        return lsqs_fail(d->e, LSQS_SERIALIZATION, "%s", wanted);
    return lsqs_fail(d->e, LSQS_SERIALIZATION, "%s can not be converted to %s",
                     is.type == JSON_NUMBER   ? "NUMBER_VALUE"
                     : is.type == JSON_STRING ? "STRING_VALUE"
                     : json_bool(is)          ? "TRUE_VALUE"
                                              : "FALSE_VALUE",
                     wanted);
}

static bool
no_memory(struct decoder *d)
{
    return lsqs_fail(d->e, LSQS_INTERNAL, "out of memory");
}

/* The string's text: the request's own bytes, or a copy without its escapes. */
static bool
text_of(struct decoder *d, struct json string, struct slice *out)
{
    *out = json_raw(string);
    if (json_is_plain(string))
        return true;
    char *text = arena_alloc(d->arena, out->n);
    size_t n;
    if (!text)
        return no_memory(d);
    if (!json_decode_into(string, text, out->n, &n))
        return lsqs_fail(d->e, LSQS_SERIALIZATION, "half of a surrogate pair is no character");
    *out = slice_of(text, n);
    return true;
}

static bool
decode_string(struct decoder *d, struct slice *out)
{
    struct json v = json_walk_take(&d->walk);
    if (v.type == JSON_NULL)
        return true;
    return v.type == JSON_STRING ? text_of(d, v, out) : wrong_type(d, v, "a String");
}

static bool
decode_blob(struct decoder *d, struct slice *out)
{
    struct slice text = {0};
    struct buf bytes = BUF_INIT;
    if (!decode_string(d, &text))
        return false;
    if (!text.p)
        return true;
    bool ok = digest_base64_decode(&bytes, text);
    char *copy = ok ? arena_strndup(d->arena, bytes.data ? bytes.data : "", bytes.len) : NULL;
    *out = slice_of(copy, bytes.len);
    buf_clean_up(&bytes);
    return copy ? true : lsqs_fail(d->e, LSQS_SERIALIZATION, "a blob is not in base64");
}

static bool
decode_number(struct decoder *d, struct lsqs_int *out)
{
    struct json v = json_walk_take(&d->walk);
    if (v.type == JSON_NULL)
        return true;
    if (v.type != JSON_NUMBER)
        return wrong_type(d, v, "an Integer");
    out->given = true;
    if (!json_int64(v, &out->value)) {
        double x = json_double(v);
        out->value = x >= 9e18 ? INT64_MAX : x <= -9e18 ? INT64_MIN : (int64_t)x;
    }
    return true;
}

static bool
decode_flag(struct decoder *d, struct lsqs_int *out)
{
    struct json v = json_walk_take(&d->walk);
    if (v.type != JSON_BOOL)
        return v.type == JSON_NULL || wrong_type(d, v, "a Boolean");
    *out = (struct lsqs_int){.given = true, .value = json_bool(v)};
    return true;
}

/* One more item of size bytes, zeroed, at the end of a list that holds room items. */
static void *
add_item(struct decoder *d, struct lsqs_list *list, size_t *room, size_t size)
{
    if (list->n == MAX_ITEMS) {
        lsqs_fail(d->e, LSQS_SERIALIZATION, "a list has more than %d members", MAX_ITEMS);
        return NULL;
    }
    if (list->n == *room) {
        *room = *room ? *room * 2 : LSQS_MAX_ENTRIES;
        void *larger = arena_alloc(d->arena, *room * size);
        if (!larger) {
            no_memory(d);
            return NULL;
        }
        if (list->n > 0)
            memcpy(larger, list->items, list->n * size);
        list->items = larger;
    }
    char *item = (char *)list->items + list->n++ * size;
    memset(item, 0, size);
    return item;
}

/* The lists and maps of all kinds; the walk is at the container. */
static bool
decode_list(struct decoder *d, const struct lsqs_member *m, struct lsqs_list *out)
{
    bool map = m->type == LSQS_MAP || m->type == LSQS_MAP_OF;
    size_t room = 0, size = lsqs_item_size(m);
    enum json_type type = json_walk_type(&d->walk);
    struct json key;
    if (type != (map ? JSON_OBJECT : JSON_ARRAY)) {
        struct json v = json_walk_take(&d->walk);
        return type == JSON_NULL || wrong_type(d, v, map ? "Expected map or null" : "Expected list or null");
    }
    *out = (struct lsqs_list){.given = true}; /* the last of members with the same name counts */
    json_walk_enter(&d->walk);
    while (map ? json_walk_member(&d->walk, &key) : json_walk_element(&d->walk)) {
        if (json_walk_type(&d->walk) == JSON_NULL) { /* as if it were not there, like any null */
            json_walk_take(&d->walk);
            continue;
        }
        char *item = add_item(d, out, &room, size);
        if (!item || (map && !text_of(d, key, (struct slice *)(void *)item)))
            return false;
        bool ok = m->shape              ? decode_struct(d, m->shape, item)
                  : m->type == LSQS_MAP ? decode_string(d, &((struct local_sqs_attribute *)(void *)item)->value)
                                        : decode_string(d, (struct slice *)(void *)item);
        if (!ok)
            return false;
    }
    return true;
}

static bool
decode_member(struct decoder *d, const struct lsqs_member *m, char *at)
{
    switch (m->type) {
    case LSQS_STRING:
        return decode_string(d, (struct slice *)(void *)at);
    case LSQS_BLOB:
        return decode_blob(d, (struct slice *)(void *)at);
    case LSQS_INT:
        return decode_number(d, (struct lsqs_int *)(void *)at);
    case LSQS_FLAG:
        return decode_flag(d, (struct lsqs_int *)(void *)at);
    default:
        return decode_list(d, m, (struct lsqs_list *)(void *)at);
    }
}

static bool
decode_struct(struct decoder *d, const struct lsqs_shape *shape, void *out)
{
    struct json key;
    enum json_type type = json_walk_type(&d->walk);
    if (type != JSON_OBJECT)
        return wrong_type(d, json_walk_take(&d->walk), "Expected null");
    json_walk_enter(&d->walk);
    while (json_walk_member(&d->walk, &key)) {
        const struct lsqs_member *m = shape->members, *end = m + shape->n_members;
        while (m < end && !json_equals_string(key, slice_of_string(m->name)))
            m++;
        if (m == end)
            json_walk_take(&d->walk);
        else if (!decode_member(d, m, (char *)out + m->offset))
            return false;
    }
    return true;
}

bool
lsqs_json_decode(struct slice body, const struct lsqs_shape *shape, void *out, struct arena *arena,
                 struct lsqs_error *e)
{
    struct json value;
    struct err cause;
    if (json_parse(body, &value, &cause) != 0)
        return lsqs_fail(e, LSQS_SERIALIZATION, "%s", cause.text);
    if (value.type == JSON_NULL)
        return lsqs_fail(e, LSQS_SERIALIZATION, "The request has to be a structure.");
    struct decoder d = {.walk = json_walk(value), .arena = arena, .e = e};
    return decode_struct(&d, shape, out);
}

/* ---- encoding ---------------------------------------------------------------------------------------------------- */

static void
encode_list(const struct lsqs_member *m, const struct lsqs_list *list, struct buf *out)
{
    bool map = m->type == LSQS_MAP || m->type == LSQS_MAP_OF;
    const char *item = list->items;
    buf_add_char(out, map ? '{' : '[');
    for (size_t i = 0; i < list->n; i++, item += lsqs_item_size(m)) {
        if (i > 0)
            buf_add_char(out, ',');
        if (map) { /* whatever is in a map begins with its name */
            json_write_string(out, *(const struct slice *)(const void *)item);
            buf_add_char(out, ':');
        }
        if (m->shape)
            lsqs_json_encode(m->shape, item, out);
        else if (map)
            json_write_string(out, ((const struct local_sqs_attribute *)(const void *)item)->value);
        else
            json_write_string(out, *(const struct slice *)(const void *)item);
    }
    buf_add_char(out, map ? '}' : ']');
}

static void
encode_member(const struct lsqs_member *m, const char *at, struct buf *out)
{
    const struct slice *s = (const struct slice *)(const void *)at;
    const struct lsqs_int *v = (const struct lsqs_int *)(const void *)at;
    switch (m->type) {
    case LSQS_STRING:
        json_write_string(out, *s);
        break;
    case LSQS_BLOB:
        buf_add_char(out, '"');
        digest_base64_encode(out, s->p, s->n);
        buf_add_char(out, '"');
        break;
    case LSQS_INT:
        buf_add_int(out, v->value);
        break;
    case LSQS_FLAG:
        buf_add_string(out, v->value ? "true" : "false");
        break;
    default:
        encode_list(m, (const struct lsqs_list *)(const void *)at, out);
    }
}

void
lsqs_json_encode(const struct lsqs_shape *shape, const void *value, struct buf *out)
{
    char before = '{';
    for (size_t i = 0; i < shape->n_members; i++) {
        const struct lsqs_member *m = &shape->members[i];
        const char *at = (const char *)value + m->offset;
        if (!lsqs_is_given(m, at))
            continue;
        buf_add_char(out, before);
        buf_add_char(out, '"');
        buf_add_string(out, m->name);
        buf_add(out, "\":", 2);
        encode_member(m, at, out);
        before = ',';
    }
    if (before == '{')
        buf_add_char(out, '{');
    buf_add_char(out, '}');
}

/* ---- the protocol ------------------------------------------------------------------------------------------------ */

static bool
name_operation(const struct httpd_request *r, char out[LSQS_OPERATION_TEXT])
{
    const struct slice prefix = SLICE(LSQS_TARGET);
    struct slice target = httpd_header(r, "x-amz-target");
    if (target.n <= prefix.n || !slice_starts_with(target, prefix))
        return false;
    size_t n = target.n - prefix.n < LSQS_OPERATION_TEXT ? target.n - prefix.n : LSQS_OPERATION_TEXT - 1;
    memcpy(out, target.p + prefix.n, n);
    out[n] = '\0';
    return true;
}

static bool
refuse_operation(struct lsqs_call *c)
{
    return lsqs_fail(&c->error, LSQS_UNKNOWN_OPERATION, "The operation is not one of this server's.");
}

static bool
decode(struct lsqs_call *c)
{
    return lsqs_json_decode(httpd_body(c->call->http), c->op->request, c->request, &c->call->arena, &c->error);
}

static void
encode(const struct lsqs_call *c, struct buf *out)
{
    if (c->op->result)
        lsqs_json_encode(c->op->result, c->result, out);
}

static void
answer_refusal(struct local_call *call, const struct lsqs_refusal *refusal)
{
    struct buf body = BUF_INIT;
    char query_error[200];
    snprintf(query_error, sizeof query_error, "%s;%s", refusal->code, refusal->status < 500 ? "Sender" : "Receiver");
    struct httpd_header_out headers[] = {{"x-amzn-query-error", query_error}};
    buf_add_string(&body, "{\"__type\":");
    json_write_string(&body, slice_of_string(refusal->shape));
    buf_add_string(&body, ",\"message\":");
    json_write_string(&body, slice_of_string(refusal->message));
    buf_add_char(&body, '}');
    local_answer(call, &(struct httpd_answer){.status = refusal->status,
                                              .content_type = LSQS_JSON.content_type,
                                              .headers = headers,
                                              .n_headers = 1,
                                              .body = buf_slice(&body)});
    buf_clean_up(&body);
}

const struct lsqs_codec LSQS_JSON = {.content_type = "application/x-amz-json-1.0",
                                     .name_operation = name_operation,
                                     .refuse_operation = refuse_operation,
                                     .decode = decode,
                                     .encode = encode,
                                     .answer_refusal = answer_refusal};
