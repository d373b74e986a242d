#include "base/metrics_text.h"

#include <inttypes.h>
#include <stdio.h>

static const char *const KINDS[] = {
    [METRICS_COUNTER] = "counter", [METRICS_GAUGE] = "gauge", [METRICS_HISTOGRAM] = "histogram"};

#define NUMBER_BYTES 40

/* A backslash and a newline are written as two characters, within quotes the quote, too. */
static void
add_escaped(struct buf *out, const char *text, bool quoted)
{
    for (const char *p = text; *p; p++) {
        if (*p == '\n')
            buf_add_string(out, "\\n");
        else if (*p == '\\' || (quoted && *p == '"'))
            buf_add_format(out, "\\%c", *p);
        else
            buf_add_char(out, *p);
    }
}

void
metrics_text_family(struct buf *out, enum metrics_id id)
{
    const struct metrics_description *d = &metrics_table[id];
    buf_add_format(out, "# HELP %s ", d->name);
    add_escaped(out, d->help, false);
    buf_add_format(out, "\n# TYPE %s %s\n", d->name, KINDS[d->kind]);
}

/* One line; le: the bound of a bucket, or NULL. */
static void
add_sample(struct buf *out, enum metrics_id id, const char *suffix, const struct metrics_label *labels, size_t n,
           const char *le, const char *value)
{
    buf_add_format(out, "%s%s", metrics_table[id].name, suffix);
    char before = '{';
    for (size_t i = 0; i < n; i++, before = ',') {
        buf_add_format(out, "%c%s=\"", before, labels[i].name);
        add_escaped(out, labels[i].value, true);
        buf_add_char(out, '"');
    }
    if (le) {
        buf_add_format(out, "%cle=\"%s\"", before, le);
        before = ',';
    }
    buf_add_format(out, "%s %s\n", before == ',' ? "}" : "", value);
}

static const char *
in_decimal(char text[NUMBER_BYTES], uint64_t value)
{
    snprintf(text, NUMBER_BYTES, "%" PRIu64, value);
    return text;
}

static const char *
in_digits(char text[NUMBER_BYTES], double value)
{
    snprintf(text, NUMBER_BYTES, "%.15g", value);
    return text;
}

void
metrics_text_count(struct buf *out, enum metrics_id id, const struct metrics_label *labels, size_t n, uint64_t value)
{
    char text[NUMBER_BYTES];
    add_sample(out, id, "", labels, n, NULL, in_decimal(text, value));
}

void
metrics_text_value(struct buf *out, enum metrics_id id, const struct metrics_label *labels, size_t n, double value)
{
    char text[NUMBER_BYTES];
    add_sample(out, id, "", labels, n, NULL, in_digits(text, value));
}

void
metrics_text_histogram(struct buf *out, enum metrics_id id, const struct metrics_label *labels, size_t n,
                       const struct metrics_reading *reading)
{
    const struct metrics_description *d = &metrics_table[id];
    char le[NUMBER_BYTES], text[NUMBER_BYTES];
    uint64_t count = 0;
    for (uint32_t i = 0; i <= d->n_bounds; i++) {
        count += reading->bucket[i];
        const char *bound = i < d->n_bounds ? in_digits(le, metrics_in_unit(d->unit, d->bounds[i])) : "+Inf";
        add_sample(out, id, "_bucket", labels, n, bound, in_decimal(text, count));
    }
    add_sample(out, id, "_sum", labels, n, NULL, in_digits(text, metrics_in_unit(d->unit, reading->value)));
    add_sample(out, id, "_count", labels, n, NULL, in_decimal(text, count));
}

void
metrics_text_markdown(struct buf *out)
{
    buf_add_string(out, "| name | kind | labels | |\n|---|---|---|---|\n");
    for (size_t i = 0; i < METRICS; i++) {
        const struct metrics_description *d = &metrics_table[i];
        buf_add_format(out, "| `%s` | %s | %s | %s |\n", d->name, KINDS[d->kind], d->labels, d->help);
    }
}
