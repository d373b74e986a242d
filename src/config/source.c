#include "config/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/expand.h"

/* One file (or text) on its way into the source. */
struct scan {
    struct conf_source *source;
    const char *file; /* what it is called; in source->names */
    const char *at, *end;
    unsigned line;
    int depth; /* of includes; -1: none allowed */
};

static int scan_text(struct scan *s, struct err *e);

void
conf_source_init(struct conf_source *s)
{
    *s = (struct conf_source){0};
    buf_init(&s->text);
    arena_init(&s->names, 0);
}

void
conf_source_clean_up(struct conf_source *s)
{
    buf_clean_up(&s->text);
    arena_clean_up(&s->names);
    free(s->places);
    *s = (struct conf_source){0};
}

struct conf_place
conf_source_place(const struct conf_source *s, unsigned line)
{
    if (s->n_places == 0)
        return (struct conf_place){.file = "", .line = line};
    return s->places[line == 0 ? 0 : line > s->n_places ? s->n_places - 1 : line - 1];
}

/* The line of text that begins now comes from the scan's current one. */
static int
begin_line(struct scan *s, struct err *e)
{
    struct conf_source *source = s->source;
    if (source->n_places == source->capacity) {
        size_t capacity = source->capacity ? source->capacity * 2 : 256;
        struct conf_place *places = realloc(source->places, capacity * sizeof *places);
        if (!places)
            return err_no_memory(e);
        source->places = places;
        source->capacity = capacity;
    }
    source->places[source->n_places++] = (struct conf_place){.file = s->file, .line = s->line};
    return 0;
}

static char
peek(const struct scan *s, size_t ahead)
{
    return (size_t)(s->end - s->at) > ahead ? s->at[ahead] : 0;
}

/* Copies n bytes, which may hold line ends. */
static int
copy(struct scan *s, size_t n, struct err *e)
{
    for (; n > 0; n--) {
        char c = *s->at++;
        buf_add_char(&s->source->text, c);
        if (c == '\n') {
            s->line++;
            int rc = begin_line(s, e);
            if (rc)
                return rc;
        }
    }
    return 0;
}

static int
complain(const struct scan *s, unsigned line, struct err *e, const char *problem)
{
    return err_set(e, ERR_INVALID, "%s:%u: %s", s->file, line, problem);
}

static int
copy_string(struct scan *s, struct err *e)
{
    unsigned first = s->line;
    int rc = copy(s, 1, e);
    while (rc == 0 && s->at < s->end && *s->at != '"') {
        if (s->at[0] == '\\' && (peek(s, 1) | 0x20) == 'x' && peek(s, 2) == '0' && peek(s, 3) == '0')
            return complain(s, s->line, e, "a string cannot hold \\x00");
        rc = copy(s, s->at[0] == '\\' && s->end - s->at > 1 ? 2 : 1, e);
    }
    if (rc)
        return rc;
    return s->at < s->end ? copy(s, 1, e) : complain(s, first, e, "this string has no closing quote");
}

static int
copy_comment(struct scan *s, struct err *e)
{
    const char *close = memmem(s->at + 2, (size_t)(s->end - s->at) - 2, "*/", 2);
    return close ? copy(s, (size_t)(close + 2 - s->at), e) : complain(s, s->line, e, "this comment has no closing */");
}

static int
copy_line_comment(struct scan *s, struct err *e)
{
    const char *close = memchr(s->at, '\n', (size_t)(s->end - s->at));
    return copy(s, (size_t)((close ? close : s->end) - s->at), e);
}

static size_t
span(const struct scan *s, size_t from, const char *chars)
{
    size_t n = from;
    for (char c; (c = peek(s, n)) && strchr(chars, c); n++)
        ;
    return n - from;
}

#define DIGITS  "0123456789"
#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

/* The length of the integer that begins here, 0 when it is something else or has its suffix already. */
static size_t
integer_length(const struct scan *s)
{
    bool hex = peek(s, 0) == '0' && (peek(s, 1) | 0x20) == 'x';
    size_t before = hex ? 2 : peek(s, 0) == '-' || peek(s, 0) == '+';
    size_t digits = span(s, before, hex ? DIGITS "abcdefABCDEF" : DIGITS);
    char next = peek(s, before + digits);
    return digits == 0 || (next && strchr(".eEL", next)) ? 0 : before + digits;
}

static int
copy_number(struct scan *s, struct err *e)
{
    size_t n = integer_length(s);
    int rc = copy(s, n ? n : span(s, 0, DIGITS ".eE+-L"), e);
    if (rc == 0 && n)
        buf_add_char(&s->source->text, 'L');
    return rc;
}

/* White space, braces, separators, and what libconfig will refuse. */
static int
copy_sign(struct scan *s, struct err *e)
{
    unsigned *nesting = &s->source->nesting;
    if (strchr("({[", *s->at) && ++*nesting > CONF_SOURCE_MAX_NESTING)
        return complain(s, s->line, e, "groups and lists are nested more than 32 deep");
    if (strchr(")}]", *s->at) && *nesting > 0)
        --*nesting;
    return copy(s, 1, e);
}

static int
read_bounded(int fd, size_t limit, struct buf *out)
{
    for (;;) {
        if (!buf_reserve(out, 4096) || !out->data)
            return ENOMEM;
        ssize_t n = read(fd, out->data + out->len, 4096);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        out->len += (size_t)n;
        out->data[out->len] = 0;
        if (n == 0 || out->len > limit)
            return 0;
    }
}

static int
load_file(struct conf_source *source, const char *file, struct buf *bytes, struct err *e)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(e, errno, "cannot open %s", file);
    int failed = read_bounded(fd, CONF_SOURCE_MAX_BYTES - source->read_bytes, bytes);
    close(fd);
    source->read_bytes += bytes->len;
    if (failed)
        return err_set_errno(e, failed, "cannot read %s", file);
    if (source->read_bytes > CONF_SOURCE_MAX_BYTES)
        return err_set(e, ERR_INVALID, "%s: a configuration has %d KiB at most, with all that it includes", file,
                       CONF_SOURCE_MAX_BYTES / 1024);
    return 0;
}

static int
scan_file(struct conf_source *source, const char *file, const struct buf *bytes, int depth, struct err *e)
{
    struct slice text = buf_slice(bytes);
    if (text.p && slice_starts_with(text, SLICE("\xef\xbb\xbf")))
        text = slice_of(text.p + 3, text.n - 3);
    struct scan scan = {
        .source = source, .file = file, .at = text.p, .end = text.p + text.n, .line = 1, .depth = depth};
    return scan_text(&scan, e);
}

/* The path an @include of this file means. */
static char *
included_path(const struct scan *s, const char *written)
{
    const char *slash = strrchr(s->file, '/');
    if (written[0] == '/' || !slash)
        return arena_strdup(&s->source->names, written);
    return arena_format(&s->source->names, "%.*s/%s", (int)(slash - s->file), s->file, written);
}

static int
include_file(struct scan *s, struct slice written, struct err *e)
{
    struct err cause;
    struct buf expanded = BUF_INIT, bytes = BUF_INIT;
    char *path = NULL;
    int rc = conf_expand(written, &expanded, &cause);
    if (rc == 0 && !(path = included_path(s, expanded.data ? expanded.data : "")))
        rc = err_no_memory(&cause);
    if (path)
        rc = load_file(s->source, path, &bytes, &cause);
    if (rc)
        rc = rc == ERR_NO_MEMORY ? err_no_memory(e) : complain(s, s->line, e, cause.text);
    else
        rc = scan_file(s->source, path, &bytes, s->depth + 1, e);
    buf_clean_up(&bytes);
    buf_clean_up(&expanded);
    return rc;
}

static int
include(struct scan *s, struct err *e)
{
    static const char WANTED[] = "an @ starts @include \"FILE\"";
    size_t word = strlen("@include"), blank = 0;
    if ((size_t)(s->end - s->at) < word || memcmp(s->at, "@include", word) != 0 || !(blank = span(s, word, " \t")) ||
        peek(s, word + blank) != '"')
        return complain(s, s->line, e, WANTED);
    const char *written = s->at + word + blank + 1;
    const char *close = memchr(written, '"', (size_t)(s->end - written));
    if (!close || memchr(written, '\n', (size_t)(close - written)))
        return complain(s, s->line, e, WANTED);
    if (s->depth < 0)
        return complain(s, s->line, e, "@include works in files only");
    if (s->depth == CONF_SOURCE_MAX_DEPTH)
        return complain(s, s->line, e, "@include is nested more than 10 deep; does a file include itself?");
    if (++s->source->includes > CONF_SOURCE_MAX_INCLUDES)
        return complain(s, s->line, e, "more than 100 @include in all");

    int rc = include_file(s, slice_of(written, (size_t)(close - written)), e);
    if (rc)
        return rc;
    s->at = close + 1;
    buf_add_char(&s->source->text, '\n');
    return begin_line(s, e);
}

static int
scan_text(struct scan *s, struct err *e)
{
    struct buf *text = &s->source->text;
    if (s->at < s->end && memchr(s->at, 0, (size_t)(s->end - s->at)))
        return err_set(e, ERR_INVALID, "%s holds a NUL byte: it is no text", s->file);
    if (text->len)
        buf_add_char(text, '\n');
    int rc = begin_line(s, e);
    while (rc == 0 && s->at < s->end) {
        char c = *s->at;
        if (c == '"')
            rc = copy_string(s, e);
        else if (c == '@')
            rc = include(s, e);
        else if (c == '#' || (c == '/' && peek(s, 1) == '/'))
            rc = copy_line_comment(s, e);
        else if (c == '/' && peek(s, 1) == '*')
            rc = copy_comment(s, e);
        else if (strchr(LETTERS "*", c))
            rc = copy(s, span(s, 0, LETTERS DIGITS "*_-"), e);
        else if (strchr(DIGITS "+-.", c))
            rc = copy_number(s, e);
        else
            rc = copy_sign(s, e);
    }
    return rc ? rc : buf_failed(text) ? err_no_memory(e) : 0;
}

int
conf_source_read_file(struct conf_source *s, const char *path, struct err *e)
{
    struct buf bytes = BUF_INIT;
    char *file = arena_strdup(&s->names, path);
    if (!file)
        return err_no_memory(e);
    int rc = load_file(s, file, &bytes, e);
    if (rc == 0)
        rc = scan_file(s, file, &bytes, 0, e);
    buf_clean_up(&bytes);
    return rc;
}

int
conf_source_read_text(struct conf_source *s, const char *name, struct slice text, struct err *e)
{
    char *file = arena_strdup(&s->names, name);
    struct scan scan = {.source = s, .file = file, .at = text.p, .end = text.p + text.n, .line = 1, .depth = -1};
    if (!file)
        return err_no_memory(e);
    if (text.n > CONF_SOURCE_MAX_BYTES)
        return err_set(e, ERR_INVALID, "%s: a configuration has %d KiB at most", name, CONF_SOURCE_MAX_BYTES / 1024);
    return scan_text(&scan, e);
}
