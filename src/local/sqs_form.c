#include "local/sqs_form.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "local/percent.h"

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* The byte that raw begins with, which is shortened; -1: a broken escape. */
static int
take_byte(struct slice *raw)
{
    int c = (unsigned char)raw->p[0];
    size_t n = 1;
    if (c == '+') {
        c = ' ';
    } else if (c == '%') {
        c = percent_decode(raw->p, raw->p + raw->n);
        if (c < 0)
            return -1;
        n = 3;
    }
    *raw = slice_of(raw->p + n, raw->n - n);
    return c;
}

/* The next parameter, as it was sent; false behind the last. */
static bool
next(struct slice *rest, struct slice *ret_name, struct slice *ret_value)
{
    while (rest->n > 0 && rest->p[0] == '&')
        *rest = slice_of(rest->p + 1, rest->n - 1);
    if (rest->n == 0)
        return false;
    const char *end = memchr(rest->p, '&', rest->n);
    struct slice field = slice_of(rest->p, end ? (size_t)(end - rest->p) : rest->n);
    const char *equals = memchr(field.p, '=', field.n);
    size_t n = equals ? (size_t)(equals - field.p) : field.n;
    *ret_name = slice_of(field.p, n);
    *ret_value = equals ? slice_of(equals + 1, field.n - n - 1) : SLICE("");
    *rest = slice_of(field.p + field.n, rest->n - field.n);
    return true;
}

static bool
is_utf8(struct slice s)
{
    const char *p = s.p, *end = s.p + s.n;
    size_t n = 1;
    while (p < end && (n = utf8_length(p, end)) > 0)
        p += n;
    return n > 0;
}

static bool
decode(struct slice raw, struct arena *arena, struct slice *ret, struct lsqs_error *e)
{
    *ret = raw;
    if (memchr(raw.p, '%', raw.n) || memchr(raw.p, '+', raw.n)) {
        struct slice rest = raw;
        char *text = arena_alloc(arena, raw.n);
        size_t n = 0;
        int c = 0;
        if (!text)
            return lsqs_fail(e, LSQS_INTERNAL, "out of memory");
        while (rest.n > 0 && (c = take_byte(&rest)) >= 0)
            text[n++] = (char)c;
        if (c < 0)
            return lsqs_fail(e, LSQS_MALFORMED_QUERY,
                             "The query string contains a syntax error: \"%.*s\" is no escape.",
                             (int)(rest.n < 3 ? rest.n : 3), rest.p);
        *ret = slice_of(text, n);
    }
    return is_utf8(*ret) || lsqs_fail(e, LSQS_MALFORMED_QUERY, "The query string is not encoded in UTF-8.");
}

bool
lsqs_form_read(struct lsqs_form *f, struct slice text, struct arena *arena, struct lsqs_error *e)
{
    struct slice name, value;
    while (next(&text, &name, &value)) {
        if (f->n == LSQS_FORM_FIELDS)
            return lsqs_fail(e, LSQS_MALFORMED_QUERY, "The request has more than %d parameters.", LSQS_FORM_FIELDS);
        if (f->n == f->room) {
            size_t room = f->room ? 2 * f->room : 32;
            struct lsqs_form_field *larger = arena_alloc(arena, room * sizeof *larger);
            if (!larger)
                return lsqs_fail(e, LSQS_INTERNAL, "out of memory");
            if (f->n > 0)
                memcpy(larger, f->fields, f->n * sizeof *larger);
            f->fields = larger;
            f->room = room;
        }
        struct lsqs_form_field *field = &f->fields[f->n];
        field->at = f->n;
        if (!decode(name, arena, &field->name, e) || !decode(value, arena, &field->value, e))
            return false;
        f->n++;
    }
    return true;
}

static bool
is_called(struct slice raw, const char *name)
{
    while (raw.n > 0 && *name)
        if (take_byte(&raw) != (unsigned char)*name++)
            return false;
    return raw.n == 0 && !*name;
}

bool
lsqs_form_find(struct slice text, const char *name, char *out, size_t size)
{
    struct slice at, value;
    size_t n = 0;
    int c;
    while (next(&text, &at, &value))
        if (is_called(at, name)) {
            while (value.n > 0 && n + 1 < size && (c = take_byte(&value)) >= 0)
                out[n++] = (char)c;
            out[n] = '\0';
            return n > 0;
        }
    return false;
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

struct slice
lsqs_form_cut_segment(struct slice *name)
{
    const char *dot = name->n > 0 ? memchr(name->p, '.', name->n) : NULL;
    struct slice segment = slice_of(name->p, dot ? (size_t)(dot - name->p) : name->n);
    size_t n = segment.n + (dot != NULL);
    *name = slice_of(name->p + n, name->n - n);
    return segment;
}

bool
lsqs_form_is_number(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    return s.n > 0;
}

static struct slice
without_zeros(struct slice number)
{
    while (number.n > 1 && number.p[0] == '0')
        number = slice_of(number.p + 1, number.n - 1);
    return number;
}

/* Numbers come first, in the order of their values, of which none is too large. */
static int
compare_segments(struct slice a, struct slice b)
{
    bool number = lsqs_form_is_number(a);
    if (number != lsqs_form_is_number(b))
        return number ? -1 : 1;
    if (number) {
        a = without_zeros(a);
        b = without_zeros(b);
        if (a.n != b.n)
            return a.n < b.n ? -1 : 1;
    }
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n > 0 ? memcmp(a.p, b.p, n) : 0;
    return order ? order : (a.n > b.n) - (a.n < b.n);
}

bool
lsqs_form_same_segment(struct slice a, struct slice b)
{
    return compare_segments(a, b) == 0;
}

static int
compare_fields(const void *x, const void *y)
{
    const struct lsqs_form_field *f = x, *g = y;
    struct slice a = f->name, b = g->name;
    int order = 0;
    while (order == 0 && a.n > 0 && b.n > 0)
        order = compare_segments(lsqs_form_cut_segment(&a), lsqs_form_cut_segment(&b));
    if (order == 0)
        order = (a.n > 0) - (b.n > 0);
    return order ? order : (f->at > g->at) - (f->at < g->at);
}

void
lsqs_form_sort(struct lsqs_form *f)
{
    if (f->n > 1)
        qsort(f->fields, f->n, sizeof *f->fields, compare_fields);
}
