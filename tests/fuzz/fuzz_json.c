/* fuzz_json: any bytes as JSON. What is accepted must come out again unharmed, whichever way it is taken apart. */
#include "base/json.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(bool holds)
{
    if (!holds)
        abort();
}

static void
read_string(struct json string)
{
    struct buf decoded = BUF_INIT, written = BUF_INIT;
    if (json_decode(string, &decoded, NULL) == 0) {
        struct json again;
        check(json_equals_string(string, buf_slice(&decoded)));
        check(json_compare_string(string, buf_slice(&decoded)) == 0);
        check(json_starts_with(string, slice_of(decoded.data, decoded.len / 2)));
        check(!json_is_plain(string) || slice_equals(json_raw(string), buf_slice(&decoded)));
        json_write_string(&written, buf_slice(&decoded));
        check(json_parse(buf_slice(&written), &again, NULL) == 0);
        check(json_equals_string(again, buf_slice(&decoded)));
    }
    buf_clean_up(&decoded);
    buf_clean_up(&written);
}

/* Takes the value apart and puts it together without white space. */
static void
rebuild(struct json_walk *w, struct buf *out)
{
    enum json_type type = json_walk_type(w);
    if (type != JSON_OBJECT && type != JSON_ARRAY) {
        struct json v = json_walk_take(w);
        int64_t i;
        if (type == JSON_STRING)
            read_string(v);
        else if (type == JSON_NUMBER && json_int64(v, &i))
            check(json_double(v) == (double)i);
        buf_add_slice(out, v.text);
        return;
    }
    struct json key;
    buf_add_char(out, type == JSON_OBJECT ? '{' : '[');
    json_walk_enter(w);
    for (size_t n = 0; type == JSON_OBJECT ? json_walk_member(w, &key) : json_walk_element(w); n++) {
        if (n > 0)
            buf_add_char(out, ',');
        if (type == JSON_OBJECT) {
            read_string(key);
            buf_add_slice(out, key.text);
            buf_add_char(out, ':');
        }
        rebuild(w, out);
    }
    buf_add_char(out, type == JSON_OBJECT ? '}' : ']');
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_of((const char *)data, size), rest;
    struct buf compact = BUF_INIT, rebuilt = BUF_INIT;
    struct json value, again;
    struct err e;
    if (json_parse(text, &value, &e) == 0) {
        struct json_walk w = json_walk(value);
        rebuild(&w, &rebuilt);
        json_write_compact(&compact, value);
        check(slice_equals(buf_slice(&compact), buf_slice(&rebuilt)));
        check(json_parse(buf_slice(&compact), &again, NULL) == 0 && again.type == value.type);
        check(slice_equals(again.text, buf_slice(&compact)));
        size_t n = 0;
        for (struct json_iter it = json_iter(value); json_next(&it); n++)
            check(it.index == n && it.value.text.p > value.text.p);
        check(n == json_count(value));
        check(json_parse_first(text, &again, &rest, NULL) == 0 && slice_equals(again.text, value.text));
    } else {
        check((e.code == ERR_INVALID || e.code == ERR_LIMIT) && e.text[0]);
        while (json_parse_first(text, &value, &rest, NULL) == 0) {
            check(rest.n < text.n);
            text = rest;
        }
    }
    buf_clean_up(&compact);
    buf_clean_up(&rebuilt);
    return 0;
}
