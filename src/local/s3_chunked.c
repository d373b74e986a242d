#include <string.h>

#include "local/s3_impl.h"

/* The line that starts at *at, without its end; moves *at behind it. False: there is no line end. */
static bool
next_line(struct slice text, size_t *at, struct slice *ret_line)
{
    const char *end = *at < text.n ? memmem(text.p + *at, text.n - *at, "\r\n", 2) : NULL;
    if (!end)
        return false;
    *ret_line = slice_of(text.p + *at, (size_t)(end - text.p) - *at);
    *at = (size_t)(end - text.p) + 2;
    return true;
}

/* Hexadecimal, up to a ';' and what may follow it. */
static bool
read_header(struct slice line, size_t *ret_size, struct slice *ret_extension)
{
    const char *semicolon = line.n ? memchr(line.p, ';', line.n) : NULL;
    size_t n = semicolon ? (size_t)(semicolon - line.p) : line.n, size = 0;
    if (n == 0 || n > 8)
        return false;
    for (size_t i = 0; i < n; i++) {
        char c = line.p[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
        if (digit < 0)
            return false;
        size = size * 16 + (size_t)digit;
    }
    *ret_size = size;
    *ret_extension = semicolon ? slice_of(semicolon + 1, line.n - n - 1) : slice_of(NULL, 0);
    return true;
}

int
local_s3_unchunk(struct slice framed, s3_chunk_fn *each, void *context, struct buf *data, struct buf *trailers,
                 struct err *e)
{
    struct slice line, extension;
    size_t at = 0, size;
    for (;;) {
        size_t header = at;
        if (!next_line(framed, &at, &line) || !read_header(line, &size, &extension))
            return err_set(e, ERR_INVALID, "there is no chunk header at byte %zu", header);
        if (size > 0 && (framed.n - at < size + 2 || memcmp(framed.p + at + size, "\r\n", 2) != 0))
            return err_set(e, ERR_INVALID, "the chunk at byte %zu is not %zu bytes long", header, size);
        if (each && !each(context, extension, slice_of(framed.p + at, size)))
            return err_set(e, ERR_DENIED, "the chunk at byte %zu is not signed as it must be", header);
        if (size == 0)
            break;
        buf_add(data, framed.p + at, size);
        at += size + 2;
    }
    while (next_line(framed, &at, &line) && line.n > 0) {
        while (line.n > 0 && line.p[line.n - 1] == '\n') /* "name:value\n\r\n", as AWS's own example has it */
            line.n--;
        buf_add_slice(trailers, line);
        buf_add_char(trailers, '\n');
    }
    if (at != framed.n) /* the last empty line may be missing (FACTS.md, 3), but nothing may follow it */
        return err_set(e, ERR_INVALID, "something follows the last chunk at byte %zu", at);
    return buf_failed(data) || buf_failed(trailers) ? err_no_memory(e) : 0;
}
