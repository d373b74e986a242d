/* fuzz_json: any bytes as JSON. What is accepted must come out again unharmed, whichever way it is taken apart; and
 * cJSON, which is less strict, accepts it too and finds the same in it. */
#include "base/json.h"

#include <cjson/cJSON.h>
#include <math.h>

#include "fuzz/fuzz.h"

static void
read_string(struct json string)
{
    struct buf decoded = BUF_INIT, written = BUF_INIT;
    char small[64];
    size_t n;
    bool fits = json_decode_into(string, small, sizeof small, &n);
    if (json_decode(string, &decoded, NULL) == 0) {
        struct json again;
        check(fits ? slice_equals(slice_of(small, n), buf_slice(&decoded)) : json_raw(string).n >= sizeof small);
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

/* Of a key written twice the last one counts; and leaving a container is going over all that is in it. */
static void
look_up(struct json value)
{
    struct json last = {.text = slice_of(NULL, 0)}, found;
    bool has = false;
    for (struct json_iter it = json_iter(value); value.type == JSON_OBJECT && json_next(&it);)
        if (json_equals_string(it.key, SLICE("a"))) {
            last = it.value;
            has = true;
        }
    check(json_get(value, "a", &found) == has);
    check(!has || found.text.p == last.text.p);
    if (value.type == JSON_OBJECT || value.type == JSON_ARRAY) {
        struct json_walk w = json_walk(value);
        json_walk_enter(&w);
        json_walk_leave(&w);
        check(w.at == value.text.p + value.text.n);
    }
}

/* Any bytes can be written as a string. */
static void
write_bytes(struct slice text)
{
    struct buf out = BUF_INIT;
    struct json string;
    json_write_string(&out, text);
    check(json_parse(buf_slice(&out), &string, NULL) == 0 && string.type == JSON_STRING);
    buf_clean_up(&out);
}

/* ---- cJSON's opinion ---- */

#define CJSON_NUMBER_BYTES 63 /* it cuts longer numbers */

static bool
has_long_number(struct slice text)
{
    size_t run = 0;
    for (size_t i = 0; i < text.n; i++) {
        run = memchr("0123456789+-.eE", text.p[i], 15) ? run + 1 : 0;
        if (run > CJSON_NUMBER_BYTES)
            return true;
    }
    return false;
}

/* cJSON's strings end at \u0000. */
static void
compare_strings(struct json ours, const char *theirs)
{
    struct buf decoded = BUF_INIT;
    check(theirs != NULL);
    if (json_decode(ours, &decoded, NULL) == 0 && !(decoded.len > 0 && memchr(decoded.data, 0, decoded.len)))
        check(slice_equals_string(buf_slice(&decoded), theirs));
    buf_clean_up(&decoded);
}

static void
compare(struct json ours, const cJSON *theirs)
{
    static const int types[] = {cJSON_NULL,  cJSON_True | cJSON_False, cJSON_Number, cJSON_String, cJSON_Array,
                                cJSON_Object};
    check(theirs && (theirs->type & types[ours.type]));
    if (ours.type == JSON_STRING)
        compare_strings(ours, theirs->valuestring);
    else if (ours.type == JSON_NUMBER)
        check(json_double(ours) == theirs->valuedouble);
    else if (ours.type == JSON_BOOL)
        check(json_bool(ours) == cJSON_IsTrue(theirs));
    const cJSON *child = theirs->child;
    for (struct json_iter it = json_iter(ours); json_next(&it); child = child->next) {
        check(child != NULL);
        if (ours.type == JSON_OBJECT)
            compare_strings(it.key, child->string);
        compare(it.value, child);
    }
    check(!child);
}

/* A lone surrogate is for json_decode to refuse, but cJSON does at once. */
static bool
has_lone_surrogate(struct json value)
{
    struct buf out = BUF_INIT;
    bool lone = value.type == JSON_STRING && json_decode(value, &out, NULL) == ERR_INVALID;
    for (struct json_iter it = json_iter(value); !lone && json_next(&it);) {
        lone = (value.type == JSON_OBJECT && json_decode(it.key, &out, NULL) == ERR_INVALID) ||
               has_lone_surrogate(it.value);
        buf_reset(&out);
    }
    buf_clean_up(&out);
    return lone;
}

static void
ask_cjson(struct slice text, struct json value)
{
    if (text.n > 4096 || has_long_number(text) || has_lone_surrogate(value))
        return;
    cJSON *tree = cJSON_ParseWithLength(text.p, text.n);
    compare(value, tree);
    cJSON_Delete(tree);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_of((const char *)data, size), rest;
    struct buf compact = BUF_INIT, rebuilt = BUF_INIT;
    struct json value, again;
    struct err e;
    write_bytes(text);
    if (json_parse(text, &value, &e) == 0) {
        struct json_walk w = json_walk(value);
        check(value.text.p >= text.p && value.text.p + value.text.n <= text.p + text.n);
        ask_cjson(text, value);
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
        look_up(value);
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
