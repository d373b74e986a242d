#include "config/syntax.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define NAME_FIRST      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz*"
#define NAME_CHARS      NAME_FIRST "0123456789_-"
#define SPACE           " \t\r\n\f\v"
#define NAMES_MAX       4096 /* looked through for the one that is there twice */
#define SHOWN_MAX_BYTES 40

/* A name that is given a value, or that a group is given to. */
struct name {
    struct slice text;
    unsigned line;  /* of the source */
    unsigned group; /* where it stands: the number of a brace, from 0 for the whole text */
};

/* Going over a source that conf_source has scanned: strings and comments have their ends. */
struct walk {
    const char *at;
    unsigned line;
    unsigned group, groups; /* the present one, and how many there were */
    unsigned outer[CONF_SOURCE_MAX_NESTING + 1];
    unsigned depth;
    struct name *names;
    size_t n;
};

static void
skip(struct walk *w, size_t n)
{
    for (; n > 0 && *w->at; n--)
        w->line += *w->at++ == '\n';
}

static size_t
string_length(const char *at)
{
    size_t n = 1;
    while (at[n] && at[n] != '"')
        n += at[n] == '\\' && at[n + 1] ? 2 : 1;
    return n + 1;
}

static size_t
comment_length(const char *at)
{
    if (at[1] != '*')
        return strcspn(at, "\n");
    const char *close = strstr(at + 2, "*/");
    return close ? (size_t)(close - at) + 2 : strlen(at);
}

/* Notes the name at w->at; NULL, or the name that stood there before. */
static const struct name *
note_name(struct walk *w, size_t length)
{
    const char *after = w->at + length + strspn(w->at + length, SPACE);
    struct slice text = slice_of(w->at, length);
    if (*after != '=' && *after != ':')
        return NULL;
    for (size_t i = 0; i < w->n; i++)
        if (w->names[i].group == w->group && slice_equals(w->names[i].text, text))
            return &w->names[i];
    w->names[w->n++] = (struct name){.text = text, .line = w->line, .group = w->group};
    return NULL;
}

static void
enter_or_leave(struct walk *w, char c)
{
    if (strchr("{([", c) && w->depth < CONF_SOURCE_MAX_NESTING) {
        w->outer[w->depth++] = w->group;
        w->group = ++w->groups;
    } else if (strchr("})]", c) && w->depth > 0) {
        w->group = w->outer[--w->depth];
    }
}

/* The first name that its group has already; NULL: none was found. */
static const struct name *
find_repeated(struct walk *w)
{
    while (*w->at && w->n < NAMES_MAX) {
        size_t n = 1;
        if (*w->at == '"') {
            n = string_length(w->at);
        } else if (*w->at == '#' || (*w->at == '/' && (w->at[1] == '/' || w->at[1] == '*'))) {
            n = comment_length(w->at);
        } else if (strchr(NAME_FIRST, *w->at)) {
            n = strspn(w->at, NAME_CHARS);
            const struct name *first = note_name(w, n);
            if (first)
                return first;
        } else {
            enter_or_leave(w, *w->at);
        }
        skip(w, n);
    }
    return NULL;
}

static bool
explain_repeated(const struct conf_source *s, struct buf *out)
{
    struct walk w = {.at = s->text.data, .line = 1, .names = calloc(NAMES_MAX, sizeof *w.names)};
    const struct name *first = w.names ? find_repeated(&w) : NULL;
    if (first) {
        struct conf_place before = conf_source_place(s, first->line), here = conf_source_place(s, w.line);
        buf_add_format(out, "%s:%u: %.*s: is given twice, first in %s:%u; one of them has to go", here.file, here.line,
                       SLICE_ARG(first->text), before.file, before.line);
    }
    free(w.names);
    return first;
}

/* A line of the source without the white space around it. */
static struct slice
line_of(const struct conf_source *s, unsigned line)
{
    const char *p = s->text.data;
    for (; line > 1 && strchr(p, '\n'); line--)
        p = strchr(p, '\n') + 1;
    p += strspn(p, " \t\r\f\v");
    size_t n = strcspn(p, "\n");
    while (n > 0 && strchr(SPACE, p[n - 1]))
        n--;
    return slice_of(p, n);
}

/* The line as it was written, more or less: without the L that conf_source put behind each integer. */
static void
show(struct slice line, struct buf *out)
{
    size_t n = line.n < SHOWN_MAX_BYTES ? line.n : SHOWN_MAX_BYTES;
    for (size_t i = 0; i < n; i++) {
        bool is_suffix = line.p[i] == 'L' && i > 0 && strchr("0123456789abcdefABCDEF", line.p[i - 1]) &&
                         (i + 1 == line.n || !strchr(NAME_CHARS, line.p[i + 1]));
        if (!is_suffix)
            buf_add_char(out, line.p[i]);
    }
    buf_add_string(out, n < line.n ? "..." : "");
}

void
conf_explain_syntax(const struct conf_source *s, unsigned line, const char *text, struct buf *out)
{
    if (s->text.data && strcmp(text, "duplicate setting name") == 0 && explain_repeated(s, out))
        return;
    struct conf_place place = conf_source_place(s, line);
    struct slice shown = s->text.data ? line_of(s, line) : SLICE("");
    buf_add_format(out, "%s:%u: %s ", place.file, place.line, text);
    if (shown.n == 0) {
        buf_add_string(out, "at the end: a ;, }, ) or ] is missing");
        return;
    }
    buf_add_string(out, "at or before \"");
    show(shown, out);
    buf_add_string(out, "\": write NAME = VALUE; NAME = { ... }; or NAME = ( ..., ... );");
}
