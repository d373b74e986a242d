#include "lib/pattern_gen_parts.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

#define N_ELEMENTS(a)   (sizeof(a) / sizeof *(a))
#define ONE_OF(g, list) ((list)[pattern_gen_draw(g, N_ELEMENTS(list))])

static void
write_word(struct pattern_gen *g, struct buf *out, const char *text)
{
    pattern_gen_string(g, out, text, strlen(text));
}

/* A string near the hint's: itself mostly. */
static const char *
near_string(struct pattern_gen *g, const struct pattern_gen_leaf *hint)
{
    return hint && hint->is_string && pattern_gen_chance(g, 75) ? hint->text
                                                                : pattern_gen_one_of(g, pattern_gen_strings);
}

static const char *
near_number(struct pattern_gen *g, const struct pattern_gen_leaf *hint)
{
    if (pattern_gen_chance(g, 2))
        return pattern_gen_one_of(g, pattern_gen_odd_numbers);
    return hint && hint->is_number && !hint->is_odd && pattern_gen_chance(g, 60)
               ? hint->text
               : pattern_gen_one_of(g, pattern_gen_numbers);
}

/* Up to a place between two characters. */
static size_t
cut(struct pattern_gen *g, const char *text)
{
    size_t n = strlen(text), at = pattern_gen_draw(g, n + 1);
    while (at < n && ((unsigned char)text[at] & 0xc0) == 0x80)
        at++;
    return at;
}

/* Its characters, some runs of them a star. */
static void
write_wildcard(struct pattern_gen *g, struct buf *out, const char *text)
{
    struct buf w = BUF_INIT;
    unsigned stars = 0;
    bool star = false;
    for (size_t n = strlen(text), i = 0; i <= n; i++) {
        if (!star && stars < 3 && pattern_gen_chance(g, 25)) {
            buf_add_char(&w, '*');
            star = true;
            stars++;
        }
        if (i == n || (star && pattern_gen_chance(g, 40)))
            continue;
        if (text[i] == '*' || text[i] == '\\')
            buf_add_char(&w, '\\');
        buf_add_char(&w, text[i]);
        star = false;
    }
    /* bytes of a character may have been left out */
    for (size_t i = 0, length; i < w.len; i += length)
        if ((length = utf8_length(w.data + i, w.data + w.len)) == 0) {
            buf_reset(&w);
            buf_add_char(&w, '*');
            break;
        }
    pattern_gen_string(g, out, w.len > 0 ? w.data : "", w.len);
    buf_clean_up(&w);
}

static void
write_numeric(struct pattern_gen *g, struct buf *out, const struct pattern_gen_leaf *hint)
{
    static const char *const ONE[] = {"=", "<", "<=", ">", ">="};
    const char *low = near_number(g, hint), *high = near_number(g, hint);
    for (unsigned tries = 0; tries < 4 && strtod(low, NULL) >= strtod(high, NULL); tries++)
        *(pattern_gen_chance(g, 50) ? &low : &high) = pattern_gen_one_of(g, pattern_gen_numbers);
    if (pattern_gen_chance(g, 50) || (strtod(low, NULL) >= strtod(high, NULL) && pattern_gen_chance(g, 95)))
        buf_add_format(out, "{\"numeric\":[\"%s\",%s]}", ONE_OF(g, ONE), low);
    else
        buf_add_format(out, "{\"numeric\":[\">%s\",%s,\"<%s\",%s]}", pattern_gen_chance(g, 50) ? "=" : "", low,
                       pattern_gen_chance(g, 50) ? "=" : "", high);
}

static void
write_cidr(struct pattern_gen *g, struct buf *out, const struct pattern_gen_leaf *hint)
{
    static const char *const NETS[] = {"10.0.0.0", "10.0.0.1", "2001:db8::", "::ffff:a00:0", "0.0.0.0", "::"};
    static const unsigned BITS[] = {0, 1, 8, 24, 29, 30, 31, 32, 64, 100, 120, 127};
    const char *net = hint && hint->is_string && strpbrk(hint->text, ":.") && pattern_gen_chance(g, 50)
                          ? hint->text
                          : ONE_OF(g, NETS);
    bool narrow = (strchr(net, '.') || strstr(net, "::ffff:")) && pattern_gen_chance(g, 98);
    buf_add_format(out, "{\"cidr\":\"%s/%u\"}", net, BITS[pattern_gen_draw(g, narrow ? 7 : N_ELEMENTS(BITS))]);
}

static void
write_member(struct pattern_gen *g, struct buf *out, const char *name)
{
    buf_add_char(out, '{');
    pattern_gen_space(g, out);
    write_word(g, out, name);
    buf_add_char(out, ':');
    pattern_gen_space(g, out);
}

static void
write_excluded(struct pattern_gen *g, struct buf *out, const struct pattern_gen_leaf *hint, size_t kind)
{
    const char *text = pattern_gen_chance(g, 70) ? pattern_gen_one_of(g, pattern_gen_strings) : near_string(g, hint);
    size_t at = cut(g, text);
    if (kind == 1)
        buf_add_string(out,
                       pattern_gen_chance(g, 70) ? pattern_gen_one_of(g, pattern_gen_numbers) : near_number(g, hint));
    else if (kind == 3)
        pattern_gen_string(g, out, text, at > 0 || pattern_gen_chance(g, 5) ? at : strlen(text));
    else if (kind == 4)
        write_word(g, out, text[at] || pattern_gen_chance(g, 5) ? text + at : text);
    else if (kind == 5)
        write_wildcard(g, out, text);
    else
        write_word(g, out, text);
}

static void
write_anything_but(struct pattern_gen *g, struct buf *out, const struct pattern_gen_leaf *hint)
{
    static const char *const NESTED[] = {NULL, NULL, "equals-ignore-case", "prefix", "suffix", "wildcard"};
    size_t kind = pattern_gen_draw(g, N_ELEMENTS(NESTED)),
           n = pattern_gen_chance(g, 40) ? 0 : 1 + pattern_gen_draw(g, 3);
    write_member(g, out, "anything-but");
    if (NESTED[kind])
        write_member(g, out, NESTED[kind]);
    if (n > 0)
        buf_add_char(out, '[');
    for (size_t i = 0; i < (n ? n : 1); i++) {
        if (i > 0)
            buf_add_char(out, ',');
        write_excluded(g, out, hint, kind);
    }
    buf_add_string(out, n > 0 ? "]" : "");
    buf_add_string(out, NESTED[kind] ? "}}" : "}");
}

static void
write_string_operator(struct pattern_gen *g, struct buf *out, const struct pattern_gen_leaf *hint)
{
    static const char *const NAME[] = {"prefix", "suffix", "equals-ignore-case", "wildcard", "exactly"};
    const char *text = near_string(g, hint);
    size_t kind = pattern_gen_draw(g, N_ELEMENTS(NAME)), at = cut(g, text);
    bool folded = kind < 2 && pattern_gen_chance(g, 50);
    if (kind == 2 || folded)
        text = pattern_gen_chance(g, 50) ? pattern_gen_one_of(g, pattern_gen_strings) : text;
    at = at > strlen(text) ? strlen(text) : at;
    while (((unsigned char)text[at] & 0xc0) == 0x80)
        at--;
    write_member(g, out, NAME[kind]);
    if (folded)
        write_member(g, out, "equals-ignore-case");
    if (kind == 0)
        pattern_gen_string(g, out, text, at);
    else if (kind == 3)
        write_wildcard(g, out, text);
    else
        write_word(g, out, kind == 1 ? text + at : text);
    buf_add_string(out, folded ? "}}" : "}");
}

void
pattern_gen_entry(struct pattern_gen *g, struct buf *out, const struct pattern_gen_leaf *hint)
{
    struct pattern_gen_leaf other = {.text = ""};
    switch (pattern_gen_draw(g, 10)) {
    case 0:
    case 1:
        pattern_gen_draw_scalar(g, &other);
        pattern_gen_scalar(g, out, hint && pattern_gen_chance(g, 70) ? hint : &other);
        break;
    case 2:
        buf_add_string(out, pattern_gen_chance(g, 40) ? "{\"exists\":true}" : "{\"exists\":false}");
        break;
    case 3:
    case 4:
        write_anything_but(g, out, hint);
        break;
    case 5:
        if (hint && hint->is_string)
            write_cidr(g, out, hint);
        else
            write_numeric(g, out, hint);
        break;
    case 6:
        write_numeric(g, out, hint);
        break;
    default:
        if (hint && hint->is_number && pattern_gen_chance(g, 50))
            write_numeric(g, out, hint);
        else
            write_string_operator(g, out, hint);
        break;
    }
}
