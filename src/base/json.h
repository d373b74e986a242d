/* json: a strict scanner that hands out slices of its input (RFC 8259).
 *
 * For everything whose bytes matter: event envelopes, event patterns, captured and replayed events, templates. Nothing
 * is converted unless asked: a value is the slice of text it was written as, so 9007199254740993, 1.10, 1e400 and
 * "a\u0000b" go through unharmed. (AWS's own protocol messages, whose bytes nobody keeps, are cJSON's, but for the
 * answers that come with every message.)
 *
 * Strict: one value, nothing behind it but white space, no comments, no trailing commas, no NaN, no unescaped control
 * characters, valid UTF-8, and escapes that make Unicode (a lone surrogate is refused in json_decode, allowed in
 * json_parse, as RFC 8259 8.2 leaves it open). Depth is bounded by JSON_MAX_DEPTH. Duplicate keys: the last one wins in
 * json_get; iteration shows all.
 *
 * json_parse checks the whole text once; every other function takes values that came from it (or from iterating one)
 * and cannot fail on syntax. No allocation anywhere but in the buf handed in. */
#ifndef FANOUT_BASE_JSON_H
#define FANOUT_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

#define JSON_MAX_DEPTH 512

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json {
    struct slice text; /* the value as written: strings with their quotes, objects with their braces */
    enum json_type type;
};

/* Checks text and returns its one value, without the white space around it. ERR_INVALID names line, column, byte offset
 * and what was expected; ERR_LIMIT: deeper than JSON_MAX_DEPTH. */
int json_parse(struct slice text, struct json *ret_value, struct err *e);

/* As json_parse for the first value of text; *ret_rest is what follows it (concatenated JSON, NDJSON). Text that holds
 * only white space gives ERR_NOT_FOUND. */
int json_parse_first(struct slice text, struct json *ret_value, struct slice *ret_rest, struct err *e);

/* Line and column (in characters) of a place in text, both counted from 1, as errors about it should name them. */
void json_locate(struct slice text, const char *at, size_t *ret_line, size_t *ret_column);

/* Iteration, in written order. `for (struct json_iter it = json_iter(v); json_next(&it); )` uses it.key (JSON_STRING,
 * objects only) and it.value. Iterating a scalar gives nothing. */
struct json_iter {
    struct json key, value;
    size_t index;         /* of value, from 0 */
    const char *at, *end; /* private */
    bool object;
};
struct json_iter json_iter(struct json container);
bool json_next(struct json_iter *it);
size_t json_count(struct json container);

/* A walk goes over a value once, front to back, for work that must stay linear however deep the value nests (an
 * iterator runs over all of a value to find its end, and over its parts again when they are iterated). It always stands
 * in front of a value, until that value was taken or entered:
 *
 *     json_walk_enter(&w);                       // type JSON_OBJECT: now inside it
 *     while (json_walk_member(&w, &key))         // for arrays: while (json_walk_element(&w))
 *         if (interesting(key)) visit(&w);       // which enters or takes the value
 *         else json_walk_take(&w);
 *                                                // now behind the object */
struct json_walk {
    const char *at, *end; /* private */
};
struct json_walk json_walk(struct json value);
enum json_type json_walk_type(const struct json_walk *w);
struct json json_walk_take(struct json_walk *w);
void json_walk_enter(struct json_walk *w);                        /* objects and arrays only */
bool json_walk_member(struct json_walk *w, struct json *ret_key); /* to the next one; false: behind the end */
bool json_walk_element(struct json_walk *w);
void json_walk_leave(struct json_walk *w); /* behind the container that was entered last and not left yet */

/* The member called key (compared after decoding escapes); false when there is none or object is none. */
bool json_get(struct json object, const char *key, struct json *ret_value);

/* Walks members: json_get_path(v, &r, "detail", "user", NULL). */
bool json_get_path(struct json object, struct json *ret_value, ...) __attribute__((sentinel));

/* Strings. json_decode appends the UTF-8 text; ERR_INVALID for a lone surrogate. json_raw is what is between the
 * quotes; json_is_plain says that it holds no escape, so that raw text and decoded text are the same. */
int json_decode(struct json string, struct buf *out, struct err *e);
struct slice json_raw(struct json string);
bool json_is_plain(struct json string);
bool json_equals_string(struct json string, struct slice decoded);
bool json_starts_with(struct json string, struct slice decoded);

/* Below, equal to or above 0 as the decoded string sorts before, with or behind `decoded`, byte by byte (which for
 * UTF-8 is the order of the characters). */
int json_compare_string(struct json string, struct slice decoded);

/* As json_decode, without a buf: false when out is too small or the string holds a lone surrogate (out is then
 * undefined). */
bool json_decode_into(struct json string, char *out, size_t size, size_t *ret_n);

/* Decodes the text between the quotes piece by piece: from *p (at first json_raw's start) as much as out has room for,
 * 6 bytes or more; moves *p and returns the bytes written. Half of a surrogate pair becomes the three bytes UTF-8 would
 * have for it if it were a character, which no text equals. */
size_t json_decode_some(const char **p, const char *end, char *out, size_t size);

/* Numbers. An integer that fits and is written without fraction or exponent; false otherwise. */
bool json_int64(struct json number, int64_t *ret);
double json_double(struct json number); /* nearest to what is written; 1e400 is infinity */
bool json_bool(struct json boolean);

/* Writing. A quoted string with the escapes RFC 8259 asks for; bytes that are no UTF-8 become U+FFFD. */
void json_write_string(struct buf *out, struct slice text);

/* The value without white space outside strings, otherwise byte for byte. */
void json_write_compact(struct buf *out, struct json value);

#endif
