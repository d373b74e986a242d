/* What the service's model forbids, in the words AWS's services share. */
#include <stdarg.h>
#include <string.h>

#include "local/events_impl.h"

#define BUS_MAX     1600
#define BUS_PATTERN "(arn:aws[\\w-]*:events:[a-z]+-[a-z]+-[\\w-]+:[0-9]{12}:event-bus\\/)?[\\.\\-_A-Za-z0-9]+"
#define SHOWN_MAX   300 /* bytes of a value */

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define DIGIT "0123456789"
#define WORD  LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ" DIGIT "_"

/* Passes those characters of s at *at that are c's, most of them at most; returns how many those were. */
static size_t
skip(struct slice s, size_t *at, const char *c, size_t most)
{
    size_t from = *at;
    while (*at < s.n && *at - from < most && s.p[*at] != '\0' && strchr(c, s.p[*at]))
        (*at)++;
    return *at - from;
}

static bool
skip_text(struct slice s, size_t *at, const char *text)
{
    size_t n = strlen(text);
    if (s.n - *at < n || memcmp(s.p + *at, text, n) != 0)
        return false;
    *at += n;
    return true;
}

/* BUS_PATTERN: a name, or an ARN that ends with one. */
static bool
is_bus(struct slice s)
{
    size_t at = 0;
    if (skip_text(s, &at, "arn:aws")) {
        skip(s, &at, WORD "-", s.n);
        if (!skip_text(s, &at, ":events:") || !skip(s, &at, LOWER, s.n) || !skip_text(s, &at, "-") ||
            !skip(s, &at, LOWER, s.n) || !skip_text(s, &at, "-") || !skip(s, &at, WORD "-", s.n) ||
            !skip_text(s, &at, ":") || skip(s, &at, DIGIT, 12) != 12 || !skip_text(s, &at, ":event-bus/"))
            return false;
    }
    return skip(s, &at, WORD ".-", s.n) > 0 && at == s.n;
}

static void begin(struct events_violations *v, struct slice value, const char *path, va_list ap)
    __attribute__((format(printf, 3, 0)));

/* Appends "Value 'VALUE' at 'PATH' failed to satisfy constraint: Member must ". */
static void
begin(struct events_violations *v, struct slice value, const char *path, va_list ap)
{
    size_t n = value.n < SHOWN_MAX ? value.n : SHOWN_MAX;
    while (n < value.n && n > 0 && (value.p[n] & 0xc0) == 0x80) /* not in the middle of a character */
        n--;
    buf_add_string(&v->text, v->n++ > 0 ? "; Value '" : "Value '");
    buf_add(&v->text, value.p, n);
    buf_add_string(&v->text, n < value.n ? "...' at '" : "' at '");
    buf_add_format_va(&v->text, path, ap);
    buf_add_string(&v->text, "' failed to satisfy constraint: Member must ");
}

static void check_length(struct events_violations *v, struct slice value, size_t min, size_t max, const char *path,
                         va_list ap) __attribute__((format(printf, 5, 0)));

static void
check_length(struct events_violations *v, struct slice value, size_t min, size_t max, const char *path, va_list ap)
{
    if (!value.p || (value.n >= min && value.n <= max))
        return;
    begin(v, value, path, ap);
    if (value.n < min)
        buf_add_format(&v->text, "have length greater than or equal to %zu", min);
    else
        buf_add_format(&v->text, "have length less than or equal to %zu", max);
}

void
local_events_check_length(struct events_violations *v, struct slice value, size_t min, size_t max, const char *path,
                          ...)
{
    va_list ap;
    va_start(ap, path);
    check_length(v, value, min, max, path, ap);
    va_end(ap);
}

void
local_events_check_bus(struct events_violations *v, struct slice bus, const char *path, ...)
{
    va_list ap, again;
    va_start(ap, path);
    va_copy(again, ap);
    check_length(v, bus, 1, BUS_MAX, path, ap);
    if (bus.p && !is_bus(bus)) {
        begin(v, bus, path, again);
        buf_add_string(&v->text, "satisfy regular expression pattern: " BUS_PATTERN);
    }
    va_end(again);
    va_end(ap);
}

bool
local_events_take(struct events_violations *v, struct local_call *call)
{
    struct buf message = BUF_INIT;
    bool valid = v->n == 0;
    if (!valid) {
        buf_add_format(&message, "%zu validation error%s detected: ", v->n, v->n > 1 ? "s" : "");
        buf_add_slice(&message, buf_slice(&v->text));
        local_events_refuse(call, 400, "ValidationException", message.len > 0 ? message.data : "");
    }
    buf_clean_up(&message);
    buf_clean_up(&v->text);
    return valid;
}
