/* Finding the way in a text that json_parse has checked: nothing here checks again. */
#include "base/json.h"

#include <assert.h>
#include <stdarg.h>

#include "base/json_scan.h"

/* p is behind the opening quote. */
static inline const char *
string_end(const char *p, const char *end)
{
    for (;;) {
        while (end - p >= 8) {
            uint64_t w = json_load(p);
            uint64_t marks = json_mark_equal(w, '"') | json_mark_equal(w, '\\');
            if (marks) {
                p += __builtin_ctzll(marks) >> 3;
                goto marked;
            }
            p += 8;
        }
        while (*p != '"' && *p != '\\')
            p++;
    marked:
        if (*p == '"')
            return p + 1;
        p += 2;
    }
}

/* What is behind the container that p is in. */
static const char *
container_end(const char *p, const char *end)
{
    for (size_t open = 1; open > 0;) {
        assert(p < end);
        switch (JSON_CLASS[(unsigned char)*p++]) {
        case C_QUOTE:
            p = string_end(p, end);
            break;
        case C_OPEN:
            open++;
            break;
        case C_CLOSE:
            open--;
            break;
        default:
            break;
        }
    }
    return p;
}

/* What is behind the value at p. */
static inline const char *
value_end(const char *p, const char *end)
{
    switch (*p) {
    case '"':
        return string_end(p + 1, end);
    case '{':
    case '[':
        return container_end(p + 1, end);
    case 't':
    case 'n':
        return p + 4;
    case 'f':
        return p + 5;
    default:
        while (p < end && (json_is_digit(*p) || *p == '-' || *p == '+' || *p == '.' || (*p | 0x20) == 'e'))
            p++;
        return p;
    }
}

struct json_walk
json_walk(struct json value)
{
    return (struct json_walk){.at = value.text.p, .end = value.text.p + value.text.n};
}

enum json_type
json_walk_type(const struct json_walk *w)
{
    assert(w->at < w->end);
    return json_type_at(w->at);
}

struct json
json_walk_take(struct json_walk *w)
{
    const char *start = w->at;
    w->at = value_end(start, w->end);
    return json_value_from(start, w->at);
}

void
json_walk_enter(struct json_walk *w)
{
    assert(JSON_CLASS[(unsigned char)*w->at] == C_OPEN);
    w->at++;
}

void
json_walk_leave(struct json_walk *w)
{
    w->at = container_end(w->at, w->end);
}

bool
json_walk_element(struct json_walk *w)
{
    const char *p = json_skip_space(w->at, w->end);
    if (*p == ',')
        p = json_skip_space(p + 1, w->end);
    if (JSON_CLASS[(unsigned char)*p] == C_CLOSE) {
        w->at = p + 1;
        return false;
    }
    w->at = p;
    return true;
}

bool
json_walk_member(struct json_walk *w, struct json *ret_key)
{
    if (!json_walk_element(w))
        return false;
    const char *key = w->at, *after = string_end(key + 1, w->end);
    *ret_key = (struct json){.text = slice_of(key, (size_t)(after - key)), .type = JSON_STRING};
    after = json_skip_space(after, w->end);
    assert(*after == ':');
    w->at = json_skip_space(after + 1, w->end);
    return true;
}

struct json_iter
json_iter(struct json container)
{
    struct json_iter it = {.index = SIZE_MAX, .object = container.type == JSON_OBJECT};
    if (it.object || container.type == JSON_ARRAY) {
        it.at = container.text.p + 1;
        it.end = container.text.p + container.text.n;
    }
    return it;
}

bool
json_next(struct json_iter *it)
{
    if (it->at == it->end)
        return false;
    struct json_walk w = {.at = it->at, .end = it->end};
    bool more = it->object ? json_walk_member(&w, &it->key) : json_walk_element(&w);
    if (more) {
        it->value = json_walk_take(&w);
        it->index++;
    }
    it->at = w.at;
    return more;
}

size_t
json_count(struct json container)
{
    size_t n = 0;
    for (struct json_iter it = json_iter(container); json_next(&it);)
        n++;
    return n;
}

bool
json_get(struct json object, const char *key, struct json *ret_value)
{
    if (object.type != JSON_OBJECT)
        return false;
    bool found = false;
    struct slice wanted = slice_of_string(key);
    for (struct json_iter it = json_iter(object); json_next(&it);) {
        if (json_equals_string(it.key, wanted)) {
            *ret_value = it.value;
            found = true;
        }
    }
    return found;
}

bool
json_get_path(struct json object, struct json *ret_value, ...)
{
    va_list ap;
    va_start(ap, ret_value);
    bool found = true;
    for (const char *key; found && (key = va_arg(ap, const char *));)
        found = json_get(object, key, &object);
    va_end(ap);
    if (found)
        *ret_value = object;
    return found;
}
