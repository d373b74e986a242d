/* The bytes of an upload: the forms of FACTS.md, 3, and the promises that come with them. */
#include <string.h>
#include <strings.h>

#include "base/digest.h"
#include "local/s3_impl.h"

static bool
refuse(struct s3_call *c, int status, const char *code, const char *message)
{
    local_s3_refuse(c, status, code, message);
    return false;
}

static bool
no_memory(struct s3_call *c)
{
    local_s3_refuse_no_memory(c);
    return false;
}

/* ---- checksums --------------------------------------------------------------------------------------------------- */

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

/* Checks "x-amz-checksum-NAME: VALUE" and keeps it. Other headers begin so, too, and are none. */
static bool
check_checksum(struct s3_call *c, struct slice name, struct slice value, struct s3_upload *upload)
{
    static const char *const OTHERS[] = {"algorithm", "type", "mode"};
    for (size_t i = 0; i < sizeof OTHERS / sizeof *OTHERS; i++)
        if (slice_equals_string(name, OTHERS[i]))
            return true;
    struct buf actual = BUF_INIT;
    bool known = local_s3_checksum(name, upload->body, &actual);
    bool equal = slice_equals(buf_slice(&actual), value), failed = buf_failed(&actual);
    buf_clean_up(&actual);
    if (!known)
        return refuse(c, 501, "NotImplemented", "This checksum algorithm is not implemented.");
    if (failed)
        return no_memory(c);
    if (!equal)
        return refuse(c, 400, "BadDigest", "The checksum you specified did not match the calculated checksum.");
    upload->checksum_name = slice_of(arena_strdup_slice(&c->call->arena, name), name.n);
    upload->checksum = slice_of(arena_strdup_slice(&c->call->arena, value), value.n);
    return (upload->checksum_name.p && upload->checksum.p) || no_memory(c);
}

/* A header or trailer, of which only checksums matter here. */
static bool
check_line(struct s3_call *c, struct slice name, struct slice value, struct s3_upload *upload)
{
    char lower[32];
    size_t prefix = strlen(S3_CHECKSUM_PREFIX), n = name.n - prefix;
    if (name.n <= prefix || strncasecmp(name.p, S3_CHECKSUM_PREFIX, prefix) != 0)
        return true;
    if (n > sizeof lower)
        return refuse(c, 501, "NotImplemented", "This checksum algorithm is not implemented.");
    for (size_t i = 0; i < n; i++) {
        char ch = name.p[prefix + i];
        lower[i] = (char)(ch >= 'A' && ch <= 'Z' ? ch | 32 : ch);
    }
    return check_checksum(c, slice_of(lower, n), value, upload);
}

static bool
check_headers(struct s3_call *c, struct s3_upload *upload)
{
    for (size_t i = 0; i < httpd_header_count(c->call->http); i++) {
        struct slice name, value;
        httpd_header_at(c->call->http, i, &name, &value);
        if (!check_line(c, name, value, upload))
            return false;
    }
    return true;
}

static bool
check_trailers(struct s3_call *c, struct slice trailers, struct s3_upload *upload)
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
        while (value.n > 0 && value.p[value.n - 1] == ' ')
            value.n--;
        if (!check_line(c, name, value, upload))
            return false;
    }
    return true;
}

/* ---- framing ----------------------------------------------------------------------------------------------------- */

/* Is n what x-amz-decoded-content-length says? AWS wants the header. */
static bool
check_length(struct s3_call *c, size_t n)
{
    struct slice given = httpd_header(c->call->http, "x-amz-decoded-content-length");
    size_t length = 0;
    if (given.n == 0)
        return refuse(c, 411, "MissingContentLength", "You must provide the x-amz-decoded-content-length HTTP header.");
    for (size_t i = 0; i < given.n; i++) {
        if (given.p[i] < '0' || given.p[i] > '9' || length > SIZE_MAX / 100)
            return refuse(c, 400, "InvalidArgument", "x-amz-decoded-content-length is no number.");
        length = length * 10 + (size_t)(given.p[i] - '0');
    }
    return length == n ||
           refuse(c, 400, "IncompleteBody",
                  "You did not provide the number of bytes specified by the x-amz-decoded-content-length HTTP header");
}

/* The framing off, with every signature checked where chunks are signed. False: the answer is set. */
static bool
take_chunks(struct s3_call *c, bool is_signed, bool has_trailers, struct buf *data, struct buf *trailers)
{
    struct s3_signer signer;
    struct err e = {0};
    local_s3_signer_init(&signer, c->call);
    int rc = local_s3_unchunk(httpd_body(c->call->http), is_signed ? local_s3_signer_takes : NULL, &signer, data,
                              trailers, &e);
    if (rc == ERR_NO_MEMORY)
        return no_memory(c);
    if (rc == ERR_INVALID)
        return refuse(c, 400, "IncompleteBody",
                      arena_format(&c->call->arena, "The body is no well-formed aws-chunked stream: %s", e.text));
    if (rc != 0 || (is_signed && has_trailers && !local_s3_signer_takes_trailers(&signer, buf_slice(trailers))))
        return refuse(c, 403, "SignatureDoesNotMatch",
                      arena_format(&c->call->arena,
                                   "The request signature we calculated does not match the signature you provided: %s",
                                   rc != 0 ? e.text : "the trailer is not signed as it must be"));
    return true;
}

static bool
unframe(struct s3_call *c, bool is_signed, bool has_trailers, struct s3_upload *upload)
{
    struct buf data = BUF_INIT, trailers = BUF_INIT;
    bool ok = take_chunks(c, is_signed, has_trailers, &data, &trailers) && check_length(c, data.len);
    char *copy = ok ? arena_strndup(&c->call->arena, data.data ? data.data : "", data.len) : NULL;
    if (ok && !copy)
        ok = no_memory(c);
    if (ok) {
        upload->body = slice_of(copy, data.len);
        ok = check_trailers(c, buf_slice(&trailers), upload);
    }
    buf_clean_up(&data);
    buf_clean_up(&trailers);
    return ok;
}

/* The forms of x-amz-content-sha256 that are framed. */
static const struct {
    const char *name;
    bool is_signed, has_trailers;
} FRAMED[] = {
    {"STREAMING-UNSIGNED-PAYLOAD-TRAILER", false, true},
    {"STREAMING-AWS4-HMAC-SHA256-PAYLOAD", true, false},
    {"STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", true, true},
};

/* False: the answer is set. */
static bool
read_body(struct s3_call *c, struct s3_upload *upload)
{
    upload->body = httpd_body(c->call->http);
    if (!slice_starts_with(c->call->payload_hash, SLICE("STREAMING-")))
        return true;
    for (size_t i = 0; i < sizeof FRAMED / sizeof *FRAMED; i++)
        if (slice_equals_string(c->call->payload_hash, FRAMED[i].name))
            return unframe(c, FRAMED[i].is_signed, FRAMED[i].has_trailers, upload);
    return refuse(c, 501, "NotImplemented", "This form of x-amz-content-sha256 is not implemented.");
}

bool
local_s3_upload(struct s3_call *c, struct s3_upload *ret_upload)
{
    struct s3_upload upload = {0};
    if (!read_body(c, &upload))
        return false;
    if (upload.body.n > S3_OBJECT_MAX)
        return refuse(c, 400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size");
    if (!check_md5(c, upload.body) || !check_headers(c, &upload))
        return false;
    *ret_upload = upload;
    return true;
}
