#include "aws/sqs_read.h"

int
sqs_read_begin(struct sqs_source *s, struct arena *arena, struct slice answer, struct err *e)
{
    *s = (struct sqs_source){.reader = json_reader(answer), .arena = arena, .room = arena_alloc(arena, answer.n)};
    if (!s->room)
        return err_no_memory(e);
    if (json_read_type(&s->reader) != JSON_OBJECT)
        return err_set(e, ERR_PROTOCOL, "the answer is no JSON object");
    json_read_enter(&s->reader);
    return 0;
}

int
sqs_read_end(struct sqs_source *s, struct err *e)
{
    return json_read_end(&s->reader, NULL) == 0 ? 0 : err_set(e, ERR_PROTOCOL, "the answer is no JSON object");
}

static int
meaningless(const char *name, struct err *e)
{
    return err_set(e, ERR_PROTOCOL, "%s holds half of a surrogate pair", name);
}

/* A key without escapes, as all of SQS's are, means what it is written as. */
static const struct sqs_field *
find_field(struct json key, const struct sqs_field *fields, size_t n)
{
    struct slice raw = json_raw(key);
    bool plain = json_is_plain(key);
    for (const struct sqs_field *f = fields; f < fields + n; f++)
        if (plain ? raw.n == f->name_n && memcmp(raw.p, f->name, raw.n) == 0
                  : json_equals_string(key, slice_of(f->name, f->name_n)))
            return f;
    return NULL;
}

/* The value in front, which must be a string or null. */
static int
read_text(struct sqs_source *s, const char *name, struct slice *ret, struct err *e)
{
    *ret = slice_of(NULL, 0);
    enum json_type type = json_read_type(&s->reader);
    if (type == JSON_NULL) {
        json_read_take(&s->reader);
        return 0;
    }
    if (type != JSON_STRING)
        return err_set(e, ERR_PROTOCOL, "%s is no string", name);
    if (!json_read_text(&s->reader, s->room, ret))
        return json_read_has_failed(&s->reader) ? 0 : meaningless(name, e);
    if (ret->p == s->room)
        s->room += ret->n;
    return 0;
}

int
sqs_read_field(struct sqs_source *s, struct json key, const struct sqs_field *fields, size_t n, void *out,
               struct err *e)
{
    const struct sqs_field *f = find_field(key, fields, n);
    if (!f)
        return 1;
    return read_text(s, f->name, (struct slice *)((char *)out + f->offset), e);
}

int
sqs_read_fields(struct sqs_source *s, const struct sqs_field *fields, size_t n, void *out, struct err *e)
{
    struct json key;
    while (json_read_member(&s->reader, &key)) {
        int rc = sqs_read_field(s, key, fields, n, out, e);
        if (rc < 0)
            return rc;
        if (rc > 0)
            json_read_take(&s->reader);
    }
    return 0;
}

int
sqs_read_key(struct sqs_source *s, struct json key, const char *name, struct slice *ret, struct err *e)
{
    size_t n;
    *ret = json_raw(key);
    if (json_is_plain(key))
        return 0;
    char *text = arena_alloc(s->arena, ret->n);
    if (!text)
        return err_no_memory(e);
    if (!json_decode_into(key, text, ret->n, &n))
        return meaningless(name, e);
    *ret = slice_of(text, n);
    return 0;
}

int
sqs_read_enter(struct sqs_source *s, enum json_type type, const char *what, struct err *e)
{
    enum json_type found = json_read_type(&s->reader);
    if (found == JSON_NULL) {
        json_read_take(&s->reader);
        return 0;
    }
    if (found != type)
        return err_set(e, ERR_PROTOCOL, "%s is no %s", what, type == JSON_ARRAY ? "array" : "object");
    json_read_enter(&s->reader);
    return 1;
}
