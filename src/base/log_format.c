#include "base/log_format.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

#define ENDING_BYTES 6 /* ..."} and the newline: always left free */

struct line {
    char *at, *end; /* end of what fields may use */
    bool json;
    bool full; /* something was cut or left out: nothing follows */
};

static bool
put(struct line *l, const char *p, size_t n)
{
    if (l->full || l->end - l->at < (ptrdiff_t)n) {
        l->full = true;
        return false;
    }
    memcpy(l->at, p, n);
    l->at += n;
    return true;
}

/* Uses the bytes that are kept free for it. */
static void
put_ending(struct line *l, const char *text)
{
    size_t n = strlen(text);
    memcpy(l->at, text, n);
    l->at += n;
}

/* Length of the UTF-8 sequence at p; 0 when there is none (RFC 3629: no overlong forms, no surrogates). */
static size_t
utf8_length(const unsigned char *p, size_t n)
{
    if (p[0] < 0x80)
        return 1;
    size_t length = p[0] >= 0xc2 && p[0] < 0xe0 ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : p[0] >= 0xf0 && p[0] < 0xf5 ? 4 : 0;
    if (length == 0 || n < length)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return length;
}

/* A character of a value: how many bytes of it were read, and what to write for them. */
struct piece {
    size_t taken;
    bool plain; /* as it is */
    size_t n;
    char text[12]; /* when not plain */
};

static void __attribute__((format(printf, 2, 3))) escape(struct piece *piece, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    piece->n = (size_t)vsnprintf(piece->text, sizeof piece->text, format, ap);
    va_end(ap);
}

static struct piece
next_piece(const unsigned char *p, size_t n, bool json)
{
    size_t length = utf8_length(p, n);
    struct piece piece = {.taken = length ? length : 1};
    if (p[0] == '"' || p[0] == '\\')
        escape(&piece, "\\%c", p[0]);
    else if (p[0] == '\n')
        escape(&piece, "\\n");
    else if (p[0] == '\t')
        escape(&piece, "\\t");
    else if (p[0] < 0x20 || p[0] == 0x7f)
        escape(&piece, json ? "\\u%04x" : "\\x%02x", p[0]);
    else if (length == 0 && json)
        escape(&piece, "\xef\xbf\xbd");
    else if (length == 0)
        escape(&piece, "\\x%02x", p[0]);
    else if (length == 2 && p[0] == 0xc2 && p[1] < 0xa0) /* C1 controls: terminals obey them */
        json ? escape(&piece, "\\u%04x", p[1]) : escape(&piece, "\\x%02x\\x%02x", p[0], p[1]);
    else
        piece.plain = true;
    return piece;
}

static bool
is_bare(struct slice s)
{
    if (s.n == 0)
        return false;
    for (size_t i = 0; i < s.n && i < LOG_LINE_BYTES;) {
        struct piece piece = next_piece((const unsigned char *)s.p + i, s.n - i, false);
        if (!piece.plain || s.p[i] == ' ' || s.p[i] == '=')
            return false;
        i += piece.taken;
    }
    return true;
}

static void
put_string(struct line *l, struct slice s)
{
    bool quoted = l->json || !is_bare(s);
    if (quoted && !put(l, "\"", 1))
        return;
    for (size_t i = 0; i < s.n;) {
        struct piece piece = next_piece((const unsigned char *)s.p + i, s.n - i, l->json);
        if (!put(l, piece.plain ? s.p + i : piece.text, piece.plain ? piece.taken : piece.n)) {
            put_ending(l, "...");
            break;
        }
        i += piece.taken;
    }
    if (quoted)
        put_ending(l, "\"");
}

static void
put_number(struct line *l, double v)
{
    char digits[40];
    size_t n = 0;
    if (!isfinite(v)) {
        const char *name = l->json ? "null" : isnan(v) ? "nan" : v > 0 ? "inf" : "-inf";
        put(l, name, strlen(name));
        return;
    }
    snprintf(digits, sizeof digits, "%.10g", v);
    for (const char *p = digits; *p; p++) {
        if ((*p >= '0' && *p <= '9') || strchr("+-e", *p))
            digits[n++] = *p;
        else if (((unsigned char)*p & 0xc0) != 0x80) /* whatever the locale calls a point */
            digits[n++] = '.';
    }
    put(l, digits, n);
}

static void
put_integer(struct line *l, int64_t v)
{
    char digits[24];
    put(l, digits, (size_t)snprintf(digits, sizeof digits, "%" PRId64, v));
}

/* The key of a field and what separates it from the field before. */
static void
put_key(struct line *l, const char *key)
{
    if (l->json) {
        put(l, ",", 1);
        put_string(l, slice_of_string(key));
        put(l, ":", 1);
        return;
    }
    put(l, " ", 1);
    if (!key || !*key)
        put(l, "_", 1);
    for (; key && *key; key++) {
        bool odd = (unsigned char)*key <= ' ' || (unsigned char)*key >= 0x7f || strchr("=\"\\", *key);
        put(l, odd ? "_" : key, 1);
    }
    put(l, "=", 1);
}

static void
put_field(struct line *l, const struct log_field *f)
{
    char *start = l->at;
    if (l->full)
        return;
    put_key(l, f->key);
    if (l->end - l->at < 16) { /* no room for a value worth showing */
        l->full = true;
        l->at = start;
        return;
    }
    switch (f->type) {
    case LOG_FIELD_STRING:
        put_string(l, f->value.string);
        break;
    case LOG_FIELD_INT:
        put_integer(l, f->value.integer);
        break;
    case LOG_FIELD_DOUBLE:
        put_number(l, f->value.number);
        break;
    case LOG_FIELD_BOOL:
        put(l, f->value.boolean ? "true" : "false", f->value.boolean ? 4 : 5);
        break;
    }
    if (l->full && f->type != LOG_FIELD_STRING) /* half a number would be a lie */
        l->at = start;
}

static void
put_text_head(struct line *l, const struct log_head *head)
{
    char time[CLOCK_ISO8601_BYTES];
    clock_format_ms(head->wall_ms, time);
    put(l, time, strlen(time));
    put(l, " ", 1);
    put(l, log_level_name(head->level), strlen(log_level_name(head->level)));
    put(l, " ", 1);
    put(l, head->program, strlen(head->program));
    put(l, "[", 1);
    put_integer(l, head->pid);
    put(l, "]", 1);
}

static void
put_json_head(struct line *l, const struct log_head *head)
{
    char time[CLOCK_ISO8601_BYTES];
    clock_format_ms(head->wall_ms, time);
    put(l, "{\"time\":", 8);
    put_string(l, slice_of_string(time));
    put_key(l, "level");
    put_string(l, slice_of_string(log_level_name(head->level)));
    put_key(l, "program");
    put_string(l, slice_of_string(head->program));
    put_key(l, "pid");
    put_integer(l, head->pid);
}

size_t
log_format_line(char out[LOG_LINE_BYTES], enum log_format format, const struct log_head *head, const char *message,
                const struct log_field *fields, size_t n)
{
    struct line l = {.at = out, .end = out + LOG_LINE_BYTES - ENDING_BYTES, .json = format == LOG_FORMAT_JSON};
    const struct log_field msg = LOG_STR("msg", message);
    if (l.json)
        put_json_head(&l, head);
    else
        put_text_head(&l, head);
    for (size_t i = 0; i < head->context_n; i++)
        put_field(&l, &head->context[i]);
    put_field(&l, &msg);
    for (size_t i = 0; i < n; i++)
        put_field(&l, &fields[i]);
    put_ending(&l, l.json ? "}\n" : "\n");
    return (size_t)(l.at - out);
}
