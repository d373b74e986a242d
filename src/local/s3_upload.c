/* The bytes of an upload: the forms of FACTS.md, 3, and the checks that come with them. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/digest.h"
#include "local/s3_impl.h"

#define CHECKSUM_PREFIX "x-amz-checksum-"

/* ---- framing ----------------------------------------------------------------------------------------------------- */

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

static bool
read_size(struct slice line, size_t *ret_size)
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
    return true;
}

int
local_s3_unchunk(struct slice framed, struct buf *data, struct buf *trailers, struct err *e)
{
    struct slice line;
    size_t at = 0, size;
    for (;;) {
        if (!next_line(framed, &at, &line) || !read_size(line, &size))
            return err_set(e, ERR_INVALID, "no chunk header at byte %zu", at);
        if (size == 0)
            break;
        if (framed.n - at < size + 2 || memcmp(framed.p + at + size, "\r\n", 2) != 0)
            return err_set(e, ERR_INVALID, "the chunk at byte %zu is not %zu bytes long", at, size);
        buf_add(data, framed.p + at, size);
        at += size + 2;
    }
    while (next_line(framed, &at, &line) && line.n > 0) {
        buf_add_slice(trailers, line);
        buf_add_char(trailers, '\n');
    }
    if (at != framed.n) /* the last empty line may be missing (FACTS.md, 3), but nothing may follow it */
        return err_set(e, ERR_INVALID, "something follows the last chunk");
    return 0;
}

/* ---- checks ------------------------------------------------------------------------------------------------------ */

static bool
refuse(struct s3_call *c, int status, const char *code, const char *message)
{
    local_s3_refuse(c, status, code, message);
    return false;
}

static bool
check_md5(struct s3_call *c, struct slice body)
{
    struct slice expected = httpd_header(c->call->http, "Content-MD5");
    uint8_t digest[DIGEST_MD5_BYTES];
    struct buf given = BUF_INIT;
    if (expected.n == 0)
        return true;
    bool valid = digest_base64_decode(&given, expected) && given.len == DIGEST_MD5_BYTES;
    digest_md5(body.p, body.n, digest);
    bool equal = valid && memcmp(given.data, digest, DIGEST_MD5_BYTES) == 0;
    buf_clean_up(&given);
    if (!valid)
        return refuse(c, 400, "InvalidDigest", "The Content-MD5 you specified was invalid.");
    return equal || refuse(c, 400, "BadDigest", "The Content-MD5 you specified did not match what we received.");
}

/* name: what follows "x-amz-checksum-", in lower case. */
static bool
check_checksum(struct s3_call *c, struct slice name, struct slice value, struct slice body)
{
    struct buf actual = BUF_INIT;
    if (slice_equals_string(name, "algorithm") || slice_equals_string(name, "type") ||
        slice_equals_string(name, "mode"))
        return true;
    bool known = local_s3_checksum(name, body, &actual);
    bool equal = !known || slice_equals(buf_slice(&actual), value);
    buf_clean_up(&actual);
    if (!known)
        return refuse(c, 501, "NotImplemented", "This checksum algorithm is not implemented.");
    return equal || refuse(c, 400, "BadDigest", "The checksum you specified did not match what we received.");
}

static bool
check_headers(struct s3_call *c, struct slice body)
{
    for (size_t i = 0; i < httpd_header_count(c->call->http); i++) {
        struct slice name, value;
        char lower[32];
        httpd_header_at(c->call->http, i, &name, &value);
        size_t prefix = strlen(CHECKSUM_PREFIX);
        if (name.n <= prefix || name.n - prefix >= sizeof lower || strncasecmp(name.p, CHECKSUM_PREFIX, prefix) != 0)
            continue;
        for (size_t k = prefix; k < name.n; k++)
            lower[k - prefix] = (char)(name.p[k] >= 'A' && name.p[k] <= 'Z' ? name.p[k] | 32 : name.p[k]);
        if (!check_checksum(c, slice_of(lower, name.n - prefix), value, body))
            return false;
    }
    return true;
}

static bool
check_trailers(struct s3_call *c, struct slice trailers, struct slice body)
{
    while (trailers.n > 0) {
        const char *end = memchr(trailers.p, '\n', trailers.n);
        struct slice line = slice_of(trailers.p, (size_t)(end - trailers.p));
        const char *colon = line.n ? memchr(line.p, ':', line.n) : NULL;
        trailers = slice_of(end + 1, trailers.n - line.n - 1);
        if (!colon)
            return refuse(c, 400, "MalformedTrailerError",
                          "The request contained trailing data that was not well-formed.");
        struct slice name = slice_of(line.p, (size_t)(colon - line.p));
        struct slice value = slice_of(colon + 1, line.n - name.n - 1);
        while (value.n > 0 && value.p[0] == ' ')
            value = slice_of(value.p + 1, value.n - 1);
        if (slice_starts_with(name, SLICE(CHECKSUM_PREFIX)) &&
            !check_checksum(c, slice_of(name.p + strlen(CHECKSUM_PREFIX), name.n - strlen(CHECKSUM_PREFIX)), value,
                            body))
            return false;
    }
    return true;
}

static bool
unframe(struct s3_call *c, struct slice *ret_body)
{
    struct buf data = BUF_INIT, trailers = BUF_INIT;
    struct slice length = httpd_header(c->call->http, "x-amz-decoded-content-length");
    char digits[24];
    bool ok = true;
    if (local_s3_unchunk(httpd_body(c->call->http), &data, &trailers, NULL) != 0)
        ok = refuse(c, 400, "IncompleteBody", "The request body is no well-formed aws-chunked stream.");
    if (ok && length.n > 0 && length.n < sizeof digits) {
        memcpy(digits, length.p, length.n);
        digits[length.n] = '\0';
        if (strtoull(digits, NULL, 10) != data.len)
            ok = refuse(c, 400, "IncompleteBody",
                        "You did not provide the number of bytes specified by the x-amz-decoded-content-length header");
    }
    char *copy = ok && !buf_failed(&data) ? arena_strndup(&c->call->arena, data.data ? data.data : "", data.len) : NULL;
    if (ok && !copy)
        ok = refuse(c, 500, "InternalError", "Out of memory.");
    if (ok) {
        *ret_body = slice_of(copy, data.len);
        ok = check_trailers(c, buf_slice(&trailers), *ret_body);
    }
    buf_clean_up(&data);
    buf_clean_up(&trailers);
    return ok;
}

bool
local_s3_upload(struct s3_call *c, struct slice *ret_body)
{
    struct slice hash = httpd_header(c->call->http, "x-amz-content-sha256");
    struct slice body = httpd_body(c->call->http);
    if (slice_starts_with(hash, SLICE("STREAMING-AWS4-")))
        return refuse(c, 501, "NotImplemented",
                      "Uploads signed chunk by chunk are not implemented; sign the whole payload, or none of it.");
    if (slice_starts_with(hash, SLICE("STREAMING-"))) {
        if (!unframe(c, &body))
            return false;
    }
    if (body.n > S3_OBJECT_MAX)
        return refuse(c, 400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size");
    if (!check_md5(c, body) || !check_headers(c, body))
        return false;
    *ret_body = body;
    return true;
}
