/* json_read: takes a text apart while it is checked, in one pass.
 *
 * For texts that are mostly strings whose meaning is wanted, such as an answer full of message bodies: json_parse, then
 * finding the end of each string, then decoding it are three passes over every byte; here it is one. The rules are
 * json.h's (strict, bounded depth). What was read may turn out to be part of a broken text: only json_read_end tells.
 *
 * A reader stands in front of a value until that was taken, read as a text, or entered:
 *
 *     struct json_reader r = json_reader(answer);
 *     json_read_enter(&r);                       // when json_read_type says JSON_OBJECT
 *     while (json_read_member(&r, &key))         // for arrays: while (json_read_element(&r))
 *         if (interesting(key)) visit(&r);
 *         else json_read_take(&r);
 *     rc = json_read_end(&r, e);
 *
 * The first fault stays: from then on there are no more members or elements, every value is an empty null, and
 * json_read_end reports the fault. So nothing need be checked in between. */
#ifndef FANOUT_BASE_JSON_READ_H
#define FANOUT_BASE_JSON_READ_H

#include <stdbool.h>

#include "base/err.h"
#include "base/json.h"
#include "base/slice.h"

/* All private. */
struct json_reader {
    struct slice text;
    const char *at, *end; /* at == NULL: refused */
    const char *fault_at, *expected;
    int fault_code;
    size_t open; /* containers entered */
    bool first;  /* a container was entered, and nothing of it read yet */
};

struct json_reader json_reader(struct slice text);

/* Of the value in front; JSON_NULL when there is none. */
enum json_type json_read_type(struct json_reader *r);

/* The whole value, checked: json.h's functions can be used on it. */
struct json json_read_take(struct json_reader *r);

/* What a string means: a slice of the text if it holds no escape, else written to out, which has room for all that is
 * left of the text (of the whole text, for all strings together: meaning is never longer than writing). False: it
 * holds half of a surrogate pair and so means nothing (*ret_text is empty), or the reader has failed. The value in
 * front must be a JSON_STRING. */
bool json_read_text(struct json_reader *r, char *out, struct slice *ret_text);

/* The value in front must be an object or an array. */
void json_read_enter(struct json_reader *r);

/* To the next one; false: behind the end of the container, or failed. */
bool json_read_member(struct json_reader *r, struct json *ret_key);
bool json_read_element(struct json_reader *r);

static inline bool
json_read_has_failed(const struct json_reader *r)
{
    return !r->at;
}

/* 0 when one value was read and nothing but white space is behind it; otherwise as json_parse. */
int json_read_end(struct json_reader *r, struct err *e);

#endif
