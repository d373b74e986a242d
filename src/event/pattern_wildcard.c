/* Wildcards: what they may look like, and matching one in time that grows with the text alone. */
#include <string.h>

#include "event/pattern_rule.h"

/* AWS counts bytes from the quote in front of the text. */
const char *
pattern_check_wildcard(struct slice text, size_t *ret_at)
{
    for (size_t i = 0; i < text.n; i++) {
        char next = i + 1 < text.n ? text.p[i + 1] : '\0';
        *ret_at = i + 1;
        if (text.p[i] == '*' && next == '*')
            return "Consecutive wildcard characters";
        if (text.p[i] != '\\')
            continue;
        if (next != '*' && next != '\\')
            return "Invalid escape character";
        i++;
    }
    return NULL;
}

size_t
pattern_split_wildcard(struct slice text, char *out, struct slice *pieces)
{
    size_t n = 0;
    char *start = out;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '*') {
            pieces[n++] = slice_of(start, (size_t)(out - start));
            start = out;
            continue;
        }
        i += text.p[i] == '\\';
        *out++ = text.p[i];
    }
    pieces[n++] = slice_of(start, (size_t)(out - start));
    return n;
}

/* The first piece where the text starts, the last one where it ends, and each between them at its first place behind
 * the one before: if there is any way to place them, this is one. */
bool
pattern_wildcard_matches(const struct slice *pieces, size_t n, struct slice text)
{
    struct slice first = pieces[0], last = pieces[n - 1];
    if (n == 1)
        return slice_equals(text, first);
    if (text.n < first.n + last.n || !slice_starts_with(text, first) ||
        (last.n > 0 && memcmp(text.p + text.n - last.n, last.p, last.n) != 0))
        return false;
    const char *p = text.p + first.n, *end = text.p + text.n - last.n;
    for (size_t i = 1; i + 1 < n; i++) {
        p = memmem(p, (size_t)(end - p), pieces[i].p, pieces[i].n);
        if (!p)
            return false;
        p += pieces[i].n;
    }
    return true;
}
