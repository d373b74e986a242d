#include "local/auth_query.h"

#include <string.h>

#include "local/percent.h"

void
local_auth_query_decode(struct slice s, struct buf *out)
{
    for (size_t i = 0; i < s.n; i++) {
        int c = percent_decode(s.p + i, s.p + s.n);
        buf_add_char(out, c >= 0 ? (char)c : s.p[i]);
        i += c >= 0 ? 2 : 0;
    }
}

bool
local_auth_query_get(struct slice query, const char *name, struct slice *ret_value)
{
    size_t name_n = strlen(name);
    for (const char *p = query.p, *end = query.p + query.n; p < end;) {
        const char *next = memchr(p, '&', (size_t)(end - p));
        size_t n = next ? (size_t)(next - p) : (size_t)(end - p);
        if (n > name_n && memcmp(p, name, name_n) == 0 && p[name_n] == '=') {
            *ret_value = slice_of(p + name_n + 1, n - name_n - 1);
            return true;
        }
        p += n + 1;
    }
    return false;
}

void
local_auth_query_without_signature(struct slice query, struct buf *out)
{
    const struct slice name = SLICE("X-Amz-Signature=");
    for (const char *p = query.p, *end = query.p + query.n; p < end;) {
        const char *next = memchr(p, '&', (size_t)(end - p));
        size_t n = next ? (size_t)(next - p) : (size_t)(end - p);
        if (!slice_starts_with(slice_of(p, n), name)) {
            if (out->len > 0)
                buf_add_char(out, '&');
            buf_add(out, p, n);
        }
        p += n + 1;
    }
}
