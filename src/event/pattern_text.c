#include "event/pattern_text.h"

#include <string.h>

#include "event/pattern_rule.h"

/* Apart from the quick way, which is all there is to most strings. */
static __attribute__((noinline)) struct pattern_text
decode(struct slice raw, struct pattern_buffers *b)
{
    struct pattern_text t = {.raw = raw, .buffers = b};
    const char *p = raw.p, *end = raw.p + raw.n;
    t.n = json_decode_some(&p, end, b->head, sizeof b->head);
    t.head = t.tail = slice_of(b->head, t.n);
    t.whole = p == end;
    if (t.whole)
        return t;
    size_t kept = sizeof b->tail / 2;
    memcpy(b->tail, b->head + t.n - (t.n < kept ? t.n : kept), t.n < kept ? t.n : kept);
    size_t n = t.n < kept ? t.n : kept;
    while (p < end) {
        if (n > kept) {
            memmove(b->tail, b->tail + n - kept, kept);
            n = kept;
        }
        size_t more = json_decode_some(&p, end, b->tail + n, sizeof b->tail - n);
        n += more;
        t.n += more;
    }
    t.tail = slice_of(b->tail, n);
    return t;
}

struct pattern_text
pattern_text(struct json string, struct pattern_buffers *buffers)
{
    struct slice raw = json_raw(string);
    if (raw.n > 0 && memchr(raw.p, '\\', raw.n))
        return decode(raw, buffers);
    return (struct pattern_text){.head = raw, .tail = raw, .n = raw.n, .whole = true, .raw = raw};
}

/* A piece of a long text, and where it is. */
struct window {
    const char *p, *end; /* not decoded yet */
    char *text;
    size_t n, start; /* bytes of text, and how many bytes are before them */
};

/* The place behind the first occurrence of piece at or behind `from`; SIZE_MAX: there is none. */
static size_t
find(struct window *w, size_t from, struct slice piece)
{
    for (;;) {
        size_t skip = from - w->start;
        if (skip > w->n)
            skip = w->n;
        const char *found = memmem(w->text + skip, w->n - skip, piece.p, piece.n);
        if (found)
            return w->start + (size_t)(found - w->text) + piece.n;
        if (w->p == w->end)
            return SIZE_MAX;
        size_t keep = w->n - skip < piece.n ? w->n - skip : piece.n;
        w->start += w->n - keep;
        memmove(w->text, w->text + w->n - keep, keep);
        w->n = keep + json_decode_some(&w->p, w->end, w->text + keep, 2 * PATTERN_TEXT_ROOM - keep);
        if (from < w->start)
            from = w->start;
    }
}

bool
pattern_text_matches_wildcard(const struct pattern_text *t, const struct slice *pieces, size_t n)
{
    if (t->whole)
        return pattern_wildcard_matches(pieces, n, t->head);
    struct slice first = pieces[0], last = pieces[n - 1];
    if (n == 1 || !slice_starts_with(t->head, first) ||
        (last.n > 0 && memcmp(t->tail.p + t->tail.n - last.n, last.p, last.n) != 0))
        return false;
    struct window w = {.p = t->raw.p, .end = t->raw.p + t->raw.n, .text = t->buffers->window};
    size_t at = first.n;
    for (size_t i = 1; i + 1 < n; i++) {
        at = find(&w, at, pieces[i]);
        if (at == SIZE_MAX || at > t->n - last.n)
            return false;
    }
    return true;
}
