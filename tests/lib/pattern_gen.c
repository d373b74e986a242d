#include "lib/pattern_gen.h"

#include <string.h>

#include "base/utf8.h"
#include "lib/pattern_gen_parts.h"

void
pattern_gen_init(struct pattern_gen *g, uint64_t seed)
{
    *g = (struct pattern_gen){.random = seed};
}

const char *
pattern_gen_one_of(struct pattern_gen *g, const char *const *list)
{
    size_t n = 0;
    while (list[n])
        n++;
    return list[pattern_gen_draw(g, n)];
}

/* ---- writing ---- */

void
pattern_gen_space(struct pattern_gen *g, struct buf *out)
{
    if (pattern_gen_chance(g, 3))
        buf_add_char(out, " \n\t\r"[pattern_gen_draw(g, 4)]);
}

static void
write_unit(struct pattern_gen *g, struct buf *out, unsigned unit)
{
    buf_add_format(out, pattern_gen_chance(g, 50) ? "\\u%04x" : "\\u%04X", unit);
}

static uint32_t
code_point(const char *p, size_t n)
{
    const unsigned char *s = (const unsigned char *)p;
    uint32_t c = n == 1 ? s[0] : s[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++)
        c = c << 6 | (s[i] & 0x3fu);
    return c;
}

/* Any of the ways to write it. */
void
pattern_gen_string(struct pattern_gen *g, struct buf *out, const char *text, size_t n)
{
    bool plain = pattern_gen_chance(g, 70);
    buf_add_char(out, '"');
    for (size_t i = 0, length; i < n; i += length) {
        length = utf8_length(text + i, text + n);
        if (length == 0) {
            write_unit(g, out, 0xd800 + (unsigned)pattern_gen_draw(g, 2048));
            length = 1;
            continue;
        }
        uint32_t c = code_point(text + i, length);
        if (plain || pattern_gen_chance(g, 60)) {
            if (c == '"' || c == '\\')
                buf_add_char(out, '\\');
            buf_add(out, text + i, length);
        } else if (c >= 0x10000) {
            write_unit(g, out, 0xd800 + (c - 0x10000) / 1024);
            write_unit(g, out, 0xdc00 + (c - 0x10000) % 1024);
        } else {
            write_unit(g, out, c);
        }
    }
    buf_add_char(out, '"');
}

static void
write_text(struct pattern_gen *g, struct buf *out, const char *text)
{
    pattern_gen_string(g, out, text, strlen(text));
}

void
pattern_gen_scalar(struct pattern_gen *g, struct buf *out, const struct pattern_gen_leaf *leaf)
{
    if (leaf->is_string)
        write_text(g, out, leaf->text);
    else
        buf_add_string(out, leaf->text);
}

/* ---- events ---- */

void
pattern_gen_draw_scalar(struct pattern_gen *g, struct pattern_gen_leaf *leaf)
{
    size_t kind = pattern_gen_draw(g, 10);
    leaf->is_string = kind < 6;
    leaf->is_number = kind >= 6 && kind < 9;
    leaf->is_odd = leaf->is_number && pattern_gen_chance(g, 15);
    leaf->text = pattern_gen_one_of(g, leaf->is_string   ? pattern_gen_strings
                                       : leaf->is_odd    ? pattern_gen_odd_numbers
                                       : leaf->is_number ? pattern_gen_numbers
                                                         : pattern_gen_words);
}

static void write_object(struct pattern_gen *g, struct buf *out, struct pattern_gen_leaf *way);

static void
write_value(struct pattern_gen *g, struct buf *out, struct pattern_gen_leaf *way, unsigned arrays)
{
    size_t kind = pattern_gen_draw(g, 10);
    if (kind < 2 && way->n_names < PATTERN_GEN_DEPTH - 1) {
        write_object(g, out, way);
    } else if (kind < 5 && arrays < 3) {
        size_t n = pattern_gen_draw(g, 4);
        buf_add_char(out, '[');
        for (size_t i = 0; i < n; i++) {
            if (i > 0)
                buf_add_char(out, ',');
            if (way->n_names < 4 && pattern_gen_chance(g, 50))
                write_object(g, out, way);
            else
                write_value(g, out, way, arrays + 1);
        }
        buf_add_char(out, ']');
    } else {
        pattern_gen_draw_scalar(g, way);
        if (way->is_string && pattern_gen_chance(g, 2)) /* half of a surrogate pair, which no pattern has */
            pattern_gen_string(g, out,
                               "x\xff"
                               "y",
                               3);
        else
            pattern_gen_scalar(g, out, way);
        if (g->n_leaves < PATTERN_GEN_LEAVES)
            g->leaves[g->n_leaves++] = *way;
    }
}

static void
write_object(struct pattern_gen *g, struct buf *out, struct pattern_gen_leaf *way)
{
    size_t n = way->n_names == 0 ? 1 + pattern_gen_draw(g, 5) : pattern_gen_draw(g, 4);
    buf_add_char(out, '{');
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            buf_add_char(out, ',');
        pattern_gen_space(g, out);
        way->names[way->n_names++] = pattern_gen_one_of(g, pattern_gen_names);
        write_text(g, out, way->names[way->n_names - 1]);
        pattern_gen_space(g, out);
        buf_add_char(out, ':');
        pattern_gen_space(g, out);
        write_value(g, out, way, 0);
        way->n_names--;
    }
    buf_add_char(out, '}');
}

void
pattern_gen_event(struct pattern_gen *g, struct buf *out)
{
    struct pattern_gen_leaf way = {.n_names = 0};
    g->n_leaves = 0;
    write_object(g, out, &way);
}

/* ---- patterns ---- */

/* "names.joined":[...] or nested, from the first of names on; entries are written, or taken as they are. */
static void
write_field(struct pattern_gen *g, struct buf *out, const struct pattern_gen_leaf *way, size_t first,
            const struct pattern_gen_leaf *hint, const char *as_is)
{
    size_t braces = 0, n = 1 + pattern_gen_draw(g, 100) % 2 + pattern_gen_draw(g, 100) / 90;
    struct buf name = BUF_INIT;
    for (size_t i = first; i < way->n_names; i++) {
        buf_add_string(&name, way->names[i]);
        if (i + 1 < way->n_names && pattern_gen_chance(g, 40)) {
            buf_add_char(&name, '.');
            continue;
        }
        write_text(g, out, name.data);
        buf_add_string(out, i + 1 < way->n_names ? ":{" : ":");
        braces += i + 1 < way->n_names;
        buf_reset(&name);
    }
    buf_clean_up(&name);
    buf_add_char(out, '[');
    if (as_is)
        buf_add_string(out, as_is);
    for (size_t i = 0; i < n && !as_is; i++) {
        if (i > 0)
            buf_add_char(out, ',');
        pattern_gen_entry(g, out, hint);
    }
    buf_add_char(out, ']');
    while (braces-- > 0)
        buf_add_char(out, '}');
}

static bool
is_reserved(const struct pattern_gen_leaf *way)
{
    for (size_t i = 0; i < way->n_names; i++)
        if (strcmp(way->names[i], "prefix") == 0)
            return true;
    return false;
}

/* A field of the event mostly, with its value as a hint. */
static void
write_some_field(struct pattern_gen *g, struct buf *out, bool in_or, const char *as_is)
{
    struct pattern_gen_leaf way = {.n_names = 0};
    const struct pattern_gen_leaf *hint = NULL;
    if (g->n_leaves > 0 && pattern_gen_chance(g, 88)) {
        hint = &g->leaves[pattern_gen_draw(g, g->n_leaves)];
        if (in_or && is_reserved(hint) && pattern_gen_chance(g, 90)) /* else the $or is none */
            hint = &g->leaves[pattern_gen_draw(g, g->n_leaves)];
        way = *hint;
    } else {
        size_t n = 1 + pattern_gen_draw(g, 2);
        while (way.n_names < n)
            way.names[way.n_names++] = pattern_gen_one_of(g, pattern_gen_names);
        if (!as_is && pattern_gen_chance(g, 70))
            as_is = "{\"exists\":false}";
    }
    write_field(g, out, &way, 0, hint, as_is);
}

static void
write_or(struct pattern_gen *g, struct buf *out, unsigned depth)
{
    size_t branches = 2 + pattern_gen_draw(g, 2);
    buf_add_string(out, "\"$or\":[");
    for (size_t i = 0; i < branches; i++) {
        size_t fields = 1 + pattern_gen_draw(g, 2);
        buf_add_string(out, i > 0 ? ",{" : "{");
        for (size_t k = 0; k < fields; k++) {
            if (k > 0)
                buf_add_char(out, ',');
            if (depth < 2 && pattern_gen_chance(g, 10))
                write_or(g, out, depth + 1);
            else
                write_some_field(g, out, true, NULL);
        }
        buf_add_char(out, '}');
    }
    buf_add_char(out, ']');
}

static void
write_pattern(struct pattern_gen *g, struct buf *out, const char *invalid)
{
    size_t n = 1 + pattern_gen_draw(g, 3), bad = pattern_gen_draw(g, n);
    buf_add_char(out, '{');
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            buf_add_char(out, ',');
        pattern_gen_space(g, out);
        if (!invalid && pattern_gen_chance(g, 12))
            write_or(g, out, 0);
        else
            write_some_field(g, out, false, i == bad ? invalid : NULL);
    }
    buf_add_char(out, '}');
}

void
pattern_gen_pattern(struct pattern_gen *g, struct buf *out)
{
    write_pattern(g, out, NULL);
}

void
pattern_gen_invalid(struct pattern_gen *g, struct buf *out)
{
    write_pattern(g, out, pattern_gen_one_of(g, pattern_gen_refused));
}
