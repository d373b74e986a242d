#include "local/events_shape.h"

#include <stdarg.h>
#include <string.h>

#define BUS_MAX   1600
#define SHOWN_MAX 300 /* bytes of a value */

/* Where a value is: "targets.1.member.id", as the messages have it. */
struct place {
    char text[300]; /* no path of any shape is longer; one that were would be cut */
    size_t n;
};

/* ---- the words ----------------------------------------------------------------------------------------------------
 */

static void
add_shown(struct events_violations *v, struct slice value)
{
    size_t n = value.n < SHOWN_MAX ? value.n : SHOWN_MAX;
    while (n < value.n && n > 0 && (value.p[n] & 0xc0) == 0x80) /* not in the middle of a character */
        n--;
    for (size_t i = 0; i < n; i++) {
        if (value.p[i] == '\0') /* which would end the message */
            buf_add_string(&v->text, "\\u0000");
        else
            buf_add_char(&v->text, value.p[i]);
    }
    buf_add_string(&v->text, n < value.n ? "..." : "");
}

/* Appends "Value 'VALUE' at 'PATH' failed to satisfy constraint: Member must "; value NULL: the value null. */
static void
begin(struct events_violations *v, const struct slice *value, const char *path)
{
    buf_add_string(&v->text, v->n++ > 0 ? "; Value " : "Value ");
    if (value) {
        buf_add_char(&v->text, '\'');
        add_shown(v, *value);
        buf_add_char(&v->text, '\'');
    } else {
        buf_add_string(&v->text, "null");
    }
    buf_add_format(&v->text, " at '%s' failed to satisfy constraint: Member must ", path);
}

void
local_events_write_violations(const struct events_violations *v, struct buf *out)
{
    if (v->n_wrong_types > 0) {
        buf_add_slice(out, buf_slice(&v->wrong_type));
        return;
    }
    buf_add_format(out, "%zu validation error%s detected: ", v->n, v->n > 1 ? "s" : "");
    buf_add_slice(out, buf_slice(&v->text));
}

bool
local_events_is_valid(const struct events_violations *v)
{
    return v->n_wrong_types == 0 && v->n == 0 && !v->no_memory;
}

void
local_events_violations_clean_up(struct events_violations *v)
{
    buf_clean_up(&v->wrong_type);
    buf_clean_up(&v->text);
}

/* ---- constraints --------------------------------------------------------------------------------------------------
 */

/* As Java counts them, and so AWS: a character outside the basic plane is two. */
static size_t
count_characters(struct slice s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += ((unsigned char)s.p[i] & 0xc0) != 0x80 ? 1 + ((unsigned char)s.p[i] >= 0xf0) : 0;
    return n;
}

static void
check_form(struct events_violations *v, const struct events_form *form, struct slice value, const char *path)
{
    if (form->matches(value))
        return;
    begin(v, &value, path);
    buf_add_format(&v->text, "satisfy regular expression pattern: %s", form->text);
}

/* what: "length" or "value". */
static void
check_range(struct events_violations *v, const char *what, int64_t n, int64_t min, int64_t max, struct slice value,
            const char *path)
{
    if (n >= min && n <= max)
        return;
    begin(v, &value, path);
    buf_add_format(&v->text, "have %s %s than or equal to %lld", what, n < min ? "greater" : "less",
                   (long long)(n < min ? min : max));
}

static void
check_values(struct events_violations *v, const char *const *values, struct slice value, const char *path)
{
    for (const char *const *known = values; *known; known++)
        if (slice_equals_string(value, *known))
            return;
    begin(v, &value, path);
    buf_add_string(&v->text, "satisfy enum value set: [");
    for (const char *const *known = values; *known; known++)
        buf_add_format(&v->text, "%s%s", known == values ? "" : ", ", *known);
    buf_add_char(&v->text, ']');
}

static void
check_text(struct events_violations *v, const struct events_shape *shape, struct slice value, const char *path)
{
    if (shape->form)
        check_form(v, shape->form, value, path);
    if (shape->max > 0)
        check_range(v, "length", (int64_t)count_characters(value), shape->min, shape->max, value, path);
    if (shape->values)
        check_values(v, shape->values, value, path);
}

void
local_events_check_length(struct events_violations *v, struct slice value, size_t min, size_t max, const char *path,
                          ...)
{
    struct buf place = BUF_INIT;
    va_list ap;
    if (!value.p || (value.n >= min && value.n <= max))
        return;
    va_start(ap, path);
    buf_add_format_va(&place, path, ap);
    va_end(ap);
    check_range(v, "length", (int64_t)value.n, (int64_t)min, (int64_t)max, value, place.data ? place.data : "");
    buf_clean_up(&place);
}

void
local_events_check_bus(struct events_violations *v, struct slice bus, const char *path, ...)
{
    static const struct events_shape BUS = {.kind = EVENTS_STRING, .min = 1, .max = BUS_MAX, .form = &EVENTS_FORM_BUS};
    struct buf place = BUF_INIT;
    va_list ap;
    if (!bus.p || (EVENTS_FORM_BUS.matches(bus) && bus.n <= BUS_MAX))
        return;
    va_start(ap, path);
    buf_add_format_va(&place, path, ap);
    va_end(ap);
    check_text(v, &BUS, bus, place.data ? place.data : "");
    buf_clean_up(&place);
}

/* ---- the walk -----------------------------------------------------------------------------------------------------
 */

static void check(struct events_violations *v, const struct events_shape *shape, struct json value, struct place *at);

/* Names a value's type for people. */
static const char *
type_name(enum json_type type)
{
    static const char *const NAMES[] = {"null", "a boolean", "a number", "a string", "a list", "a structure"};
    return NAMES[type];
}

static void
refuse_type(struct events_violations *v, const char *wanted, struct json value, const struct place *at)
{
    if (v->n_wrong_types++ == 0)
        buf_add_format(&v->wrong_type, "%s has to be %s, and is %s", at->n > 0 ? at->text : "the request", wanted,
                       type_name(value.type));
}

/* Adds ".name", its first letter small, to the place; returns where it was before. */
static size_t
enter(struct place *at, struct slice name)
{
    size_t before = at->n, room = sizeof at->text - at->n - 2;
    if (name.n < room) {
        if (before > 0)
            at->text[at->n++] = '.';
        memcpy(at->text + at->n, name.p, name.n);
        if (name.n > 0 && at->text[at->n] >= 'A' && at->text[at->n] <= 'Z')
            at->text[at->n] = (char)(at->text[at->n] - 'A' + 'a');
        at->n += name.n;
        at->text[at->n] = '\0';
    }
    return before;
}

static void
leave(struct place *at, size_t before)
{
    at->n = before;
    at->text[before] = '\0';
}

static void
check_string(struct events_violations *v, const struct events_shape *shape, struct json value, const struct place *at)
{
    struct buf text = BUF_INIT;
    int rc = value.type == JSON_STRING ? json_decode(value, &text, NULL) : 0;
    if (value.type != JSON_STRING)
        refuse_type(v, "a string", value, at);
    else if (buf_failed(&text))
        v->no_memory = true;
    else if (rc == 0)
        check_text(v, shape, buf_slice(&text), at->text);
    else if (v->n_wrong_types++ == 0)
        buf_add_format(&v->wrong_type, "%s holds half of a surrogate pair", at->text);
    buf_clean_up(&text);
}

static void
check_integer(struct events_violations *v, const struct events_shape *shape, struct json value, const struct place *at)
{
    int64_t n;
    if (value.type != JSON_NUMBER || !json_int64(value, &n))
        refuse_type(v, "an integer", value, at);
    else
        check_range(v, "value", n, shape->min, shape->max, value.text, at->text);
}

/* How many entries there are, as messages show a whole list or map: "[3 targets]". */
static void
check_count(struct events_violations *v, const struct events_shape *shape, struct json value, const struct place *at)
{
    struct buf shown = BUF_INIT;
    const char *dot = strrchr(at->text, '.');
    size_t n = json_count(value);
    if (shape->max > 0 && ((int64_t)n < shape->min || (int64_t)n > shape->max)) {
        buf_add_format(&shown, value.type == JSON_ARRAY ? "[%zu %s]" : "{%zu %s}", n, dot ? dot + 1 : at->text);
        check_range(v, "length", (int64_t)n, shape->min, shape->max, buf_slice(&shown), at->text);
    }
    buf_clean_up(&shown);
}

static void
check_list(struct events_violations *v, const struct events_shape *shape, struct json value, struct place *at)
{
    if (value.type != JSON_ARRAY) {
        refuse_type(v, "a list", value, at);
        return;
    }
    check_count(v, shape, value, at);
    for (struct json_iter it = json_iter(value); json_next(&it);) {
        struct buf name = BUF_INIT;
        buf_add_format(&name, "%zu.member", it.index + 1);
        size_t before = enter(at, buf_slice(&name));
        check(v, shape->element, it.value, at);
        leave(at, before);
        buf_clean_up(&name);
    }
}

static void
check_map(struct events_violations *v, const struct events_shape *shape, struct json value, struct place *at)
{
    if (value.type != JSON_OBJECT) {
        refuse_type(v, "a map", value, at);
        return;
    }
    check_count(v, shape, value, at);
    for (struct json_iter it = json_iter(value); json_next(&it);) {
        size_t before = enter(at, SLICE("key"));
        check(v, shape->key, it.key, at);
        leave(at, before);
        before = enter(at, SLICE("value"));
        check(v, shape->element, it.value, at);
        leave(at, before);
    }
}

static void
check_structure(struct events_violations *v, const struct events_shape *shape, struct json value, struct place *at)
{
    struct json found[EVENTS_MEMBERS_MAX] = {0};
    if (value.type != JSON_OBJECT) {
        refuse_type(v, "a structure", value, at);
        return;
    }
    /* of a member given twice the last one counts */
    for (struct json_iter it = json_iter(value); json_next(&it);)
        for (size_t i = 0; shape->members[i].name; i++)
            if (json_equals_string(it.key, slice_of_string(shape->members[i].name)))
                found[i] = it.value;
    for (size_t i = 0; shape->members[i].name; i++) {
        size_t before = enter(at, slice_of_string(shape->members[i].name));
        if (found[i].text.p && found[i].type != JSON_NULL) {
            check(v, shape->members[i].shape, found[i], at);
        } else if (shape->members[i].required) {
            begin(v, NULL, at->text);
            buf_add_string(&v->text, "not be null");
        }
        leave(at, before);
    }
}

static void
check(struct events_violations *v, const struct events_shape *shape, struct json value, struct place *at)
{
    switch (shape->kind) {
    case EVENTS_STRING:
        check_string(v, shape, value, at);
        break;
    case EVENTS_INTEGER:
        check_integer(v, shape, value, at);
        break;
    case EVENTS_BOOLEAN:
        if (value.type != JSON_BOOL)
            refuse_type(v, "a boolean", value, at);
        break;
    case EVENTS_LIST:
        check_list(v, shape, value, at);
        break;
    case EVENTS_MAP:
        check_map(v, shape, value, at);
        break;
    case EVENTS_STRUCTURE:
        check_structure(v, shape, value, at);
        break;
    case EVENTS_ANYTHING:
        break;
    }
}

void
local_events_check_shape(struct events_violations *v, const struct events_shape *shape, struct json value)
{
    struct place at = {.n = 0};
    check(v, shape, value, &at);
    v->no_memory = v->no_memory || buf_failed(&v->wrong_type) || buf_failed(&v->text);
}

void
local_events_write_known(struct buf *out, const struct events_shape *shape, struct json value)
{
    struct json member;
    bool first = true;
    if (shape->kind != EVENTS_STRUCTURE) {
        json_write_compact(out, value);
        return;
    }
    buf_add_char(out, '{');
    for (const struct events_member *m = shape->members; m->name; m++) {
        if (!local_events_get(value, m->name, &member))
            continue;
        buf_add_format(out, "%s\"%s\":", first ? "" : ",", m->name);
        local_events_write_known(out, m->shape, member);
        first = false;
    }
    buf_add_char(out, '}');
}

/* ---- reading what was checked --------------------------------------------------------------------------------------
 */

bool
local_events_get(struct json object, const char *name, struct json *ret)
{
    struct json value;
    if (!json_get(object, name, &value) || value.type == JSON_NULL)
        return false;
    *ret = value;
    return true;
}

int
local_events_read_text(struct arena *arena, struct json object, const char *name, struct slice *ret, struct err *e)
{
    struct json value;
    *ret = slice_of(NULL, 0);
    if (!local_events_get(object, name, &value))
        return 0;
    size_t size = json_raw(value).n + 1, n = 0; /* escapes are longer than what they mean */
    char *text = arena_alloc(arena, size);
    if (!text)
        return err_no_memory(e);
    if (!json_decode_into(value, text, size, &n))
        return err_set(e, ERR_INVALID, "%s is no text", name);
    text[n] = '\0';
    *ret = slice_of(text, n);
    return 0;
}
