#include "lib/prometheus.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_BYTES   128
#define SERIES_BYTES 1024

enum kind { NONE, COUNTER, GAUGE, HISTOGRAM };

struct reader {
    const char *text;
    int line;
    char *why;
    size_t capacity;
    bool failed;
    /* the family being read */
    char name[NAME_BYTES];
    bool has_help;
    enum kind kind;
    size_t samples;
    /* the histogram series being read */
    char series[SERIES_BYTES]; /* its labels, `le` left out; "": none */
    double le, count;
    bool has_inf, has_sum;
    size_t series_open;
};

static bool __attribute__((format(printf, 2, 3))) fail(struct reader *r, const char *format, ...)
{
    char text[300];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    if (!r->failed)
        snprintf(r->why, r->capacity, "line %d: %s", r->line, text);
    r->failed = true;
    return false;
}

static size_t
name_length(const char *p)
{
    size_t n = 0;
    while (isalpha((unsigned char)p[n]) || p[n] == '_' || (n > 0 && isdigit((unsigned char)p[n])))
        n++;
    return n;
}

static bool
ends_in(const char *name, const char *suffix)
{
    size_t n = strlen(name), k = strlen(suffix);
    return n > k && strcmp(name + n - k, suffix) == 0;
}

/* A family's lines stand together: its HELP is there once. */
static bool
is_repeated(const struct reader *r, const char *name)
{
    char help[NAME_BYTES + 10];
    snprintf(help, sizeof help, "# HELP %s ", name);
    const char *first = strstr(r->text, help);
    return first && strstr(first + 1, help);
}

static bool
end_series(struct reader *r)
{
    if (r->series_open && !(r->has_inf && r->has_sum))
        return fail(r, "the histogram before has no +Inf bucket, no _sum or no _count");
    r->series_open = 0;
    return true;
}

static bool
end_family(struct reader *r)
{
    if (!end_series(r))
        return false;
    if (r->name[0] && r->kind == NONE)
        return fail(r, "%s has no TYPE", r->name);
    return true;
}

static bool
check_name(struct reader *r, const char *name)
{
    static const char *const not_base[] = {"_ms",        "_milliseconds", "_us",  "_minutes", "_hours",     "_days",
                                           "_kb",        "_kilobytes",    "_mb",  "_percent", "_counter",   "_gauge",
                                           "_histogram", "_bucket",       "_sum", "_count",   "_info_total"};
    for (size_t i = 0; i < sizeof not_base / sizeof *not_base; i++)
        if (ends_in(name, not_base[i]))
            return fail(r, "%s: a name does not end in %s", name, not_base[i]);
    return true;
}

static bool
read_comment(struct reader *r, const char *line)
{
    bool help = strncmp(line, "# HELP ", 7) == 0;
    if (!help && strncmp(line, "# TYPE ", 7) != 0)
        return fail(r, "a comment that is neither HELP nor TYPE");
    char name[NAME_BYTES];
    size_t n = name_length(line + 7);
    if (n == 0 || n >= sizeof name || line[7 + n] != ' ' || !line[8 + n])
        return fail(r, "no name, or nothing behind it");
    memcpy(name, line + 7, n);
    name[n] = '\0';
    const char *rest = line + 8 + n;
    if (help) {
        if (!end_family(r))
            return false;
        if (is_repeated(r, name))
            return fail(r, "%s is there twice", name);
        strcpy(r->name, name);
        r->has_help = true;
        r->kind = NONE;
        r->samples = 0;
        for (const char *p = rest; *p; p++)
            if (*p == '\\' && *++p != '\\' && *p != 'n')
                return fail(r, "a backslash before %c", *p);
        return check_name(r, name);
    }
    if (strcmp(name, r->name) != 0 || r->kind != NONE)
        return fail(r, "TYPE of %s without its HELP before it, or twice", name);
    r->kind = strcmp(rest, "counter") == 0     ? COUNTER
              : strcmp(rest, "gauge") == 0     ? GAUGE
              : strcmp(rest, "histogram") == 0 ? HISTOGRAM
                                               : NONE;
    if (r->kind == NONE)
        return fail(r, "%s is no type", rest);
    if ((r->kind == COUNTER) != ends_in(name, "_total"))
        return fail(r, "%s: counters end in _total, and nothing else does", name);
    return true;
}

/* {a="b",...}: *ret_end behind it; without `le` into `series`, its value into `le`. */
static bool
read_labels(struct reader *r, const char *p, const char **ret_end, char *series, char *le)
{
    size_t n = 0;
    series[0] = le[0] = '\0';
    *ret_end = p;
    if (*p != '{')
        return true;
    do {
        const char *label = ++p;
        size_t length = name_length(p);
        p += length;
        if (length == 0 || *p++ != '=' || *p++ != '"')
            return fail(r, "a label that is not name=\"value\"");
        const char *value = p;
        for (; *p != '"'; p++)
            if (!*p || (*p == '\\' && *++p != '\\' && *p != '"' && *p != 'n'))
                return fail(r, "a label's value does not end, or has a wrong escape");
        size_t whole = (size_t)(p + 1 - label);
        if (length == 2 && memcmp(label, "le", 2) == 0)
            snprintf(le, 40, "%.*s", (int)(p - value), value);
        else if (n + whole + 1 < SERIES_BYTES)
            n += (size_t)snprintf(series + n, SERIES_BYTES - n, "%.*s,", (int)whole, label);
        else
            return fail(r, "too many labels");
        p++;
    } while (*p == ',');
    if (*p != '}')
        return fail(r, "labels do not end in }");
    *ret_end = p + 1;
    return true;
}

static bool
read_bucket(struct reader *r, const char *series, const char *le, double value)
{
    char *end;
    double bound = strtod(le, &end);
    if (end == le || *end)
        return fail(r, "le=\"%s\" is no number", le);
    if (!r->series_open || strcmp(series, r->series) != 0) {
        if (!end_series(r))
            return false;
        snprintf(r->series, sizeof r->series, "%s", series);
        r->series_open = 1;
        r->has_inf = r->has_sum = false;
    } else if (bound <= r->le || value < r->count) {
        return fail(r, "the bucket le=\"%s\" does not rise above the one before", le);
    }
    r->le = bound;
    r->count = value;
    r->has_inf = strcmp(le, "+Inf") == 0;
    return true;
}

static bool
read_of_histogram(struct reader *r, const char *suffix, const char *series, const char *le, double value)
{
    if (strcmp(suffix, "_bucket") == 0)
        return read_bucket(r, series, le, value);
    if (*le || !r->series_open || strcmp(series, r->series) != 0)
        return fail(r, "%s%s without its buckets before it", r->name, suffix);
    if (strcmp(suffix, "_sum") == 0) {
        r->has_sum = true;
        return true;
    }
    if (strcmp(suffix, "_count") != 0)
        return fail(r, "a histogram has no %s", suffix);
    if (value != r->count)
        return fail(r, "_count is not what the last bucket says");
    return end_series(r);
}

/* The same name and labels in a later line. */
static bool
is_there_again(const char *line, size_t length)
{
    for (const char *p = strchr(line, '\n'); p && p[1]; p = strchr(p + 1, '\n'))
        if (strncmp(p + 1, line, length) == 0 && p[1 + length] == ' ')
            return true;
    return false;
}

static bool
read_sample(struct reader *r, const char *line, const char *in_text)
{
    char series[SERIES_BYTES], le[40], name[NAME_BYTES], *end;
    const char *p;
    size_t n = name_length(line);
    if (n == 0 || n >= sizeof name)
        return fail(r, "a sample without a name");
    memcpy(name, line, n);
    name[n] = '\0';
    if (!read_labels(r, line + n, &p, series, le))
        return false;
    if (*p != ' ')
        return fail(r, "%s: no value", name);
    double value = strtod(p + 1, &end);
    if (end == p + 1 || *end || isnan(value))
        return fail(r, "%s: the value is no number", name);
    if (is_there_again(in_text, (size_t)(p - line)))
        return fail(r, "%s is there twice", name);
    size_t base = strlen(r->name);
    if (r->kind == NONE || strncmp(name, r->name, base) != 0)
        return fail(r, "%s without its HELP and TYPE before it", name);
    if (r->kind != GAUGE && value < 0)
        return fail(r, "%s is negative", name);
    r->samples++;
    if (r->kind == HISTOGRAM)
        return read_of_histogram(r, name + base, series, le, value);
    if (name[base] || *le)
        return fail(r, "%s is no sample of %s, or has a label le", name, r->name);
    return true;
}

bool
prometheus_check(const char *text, char *why, size_t capacity)
{
    struct reader r = {.text = text, .why = why, .capacity = capacity};
    char line[4096];
    for (const char *p = text; *p && !r.failed;) {
        size_t n = strcspn(p, "\n");
        r.line++;
        if (!p[n] || n == 0 || n >= sizeof line)
            return fail(&r, "an empty or a very long line, or no newline at the end");
        memcpy(line, p, n);
        line[n] = '\0';
        if (line[0] == '#' ? read_comment(&r, line) : read_sample(&r, line, p))
            p += n + 1;
    }
    return !r.failed && end_family(&r);
}

bool
prometheus_value(const char *text, const char *sample, double *ret_value)
{
    size_t n = strlen(sample);
    for (const char *p = text; p; p = strchr(p, '\n')) {
        p += *p == '\n';
        if (strncmp(p, sample, n) == 0 && p[n] == ' ') {
            *ret_value = strtod(p + n, NULL);
            return true;
        }
    }
    return false;
}
