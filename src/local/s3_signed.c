/* Uploads signed chunk by chunk: each chunk carries a signature over its data and the signature before it, the first
 * one over that of the request. (AWS, "Signature Calculations for the Authorization Header: Transferring Payload in
 * Multiple Chunks".) */
#include <string.h>

#include "base/clock.h"
#include "base/digest.h"
#include "local/s3_impl.h"

#define CHUNK_SIGNATURE   "chunk-signature="
#define TRAILER_SIGNATURE "x-amz-trailer-signature:"

static void
begin(struct buf *out, const char *algorithm, int64_t signed_at_ms, const char *region, const char *previous)
{
    char date[CLOCK_ISO8601_BYTES];
    clock_format_basic(signed_at_ms, date);
    buf_add_format(out, "%s\n%s\n%.8s/%s/s3/aws4_request\n%s\n", algorithm, date, date, region, previous);
}

static void
add_digest(struct buf *out, struct slice data)
{
    char digest[DIGEST_SHA256_HEX];
    digest_sha256_hex(data.p, data.n, digest);
    buf_add_string(out, digest);
}

void
local_s3_chunk_to_sign(struct buf *out, int64_t signed_at_ms, const char *region, const char *previous,
                       struct slice data)
{
    begin(out, "AWS4-HMAC-SHA256-PAYLOAD", signed_at_ms, region, previous);
    add_digest(out, slice_of(NULL, 0));
    buf_add_char(out, '\n');
    add_digest(out, data);
}

void
local_s3_trailers_to_sign(struct buf *out, int64_t signed_at_ms, const char *region, const char *previous,
                          struct slice trailers)
{
    begin(out, "AWS4-HMAC-SHA256-TRAILER", signed_at_ms, region, previous);
    add_digest(out, trailers);
}

/* Is given the signature of to_sign? Then it is the one before the next. Where nobody has to sign, it is. */
static bool
is_next(struct s3_signer *s, struct slice given, const struct buf *to_sign)
{
    char expected[65];
    if (!s->call->key)
        return true;
    if (buf_failed(to_sign) || local_sign(s->call, buf_slice(to_sign), expected) != 0 || given.n != 64 ||
        !digest_equal(given.p, expected, 64))
        return false;
    memcpy(s->previous, expected, sizeof expected);
    return true;
}

void
local_s3_signer_init(struct s3_signer *s, struct local_call *call)
{
    s->call = call;
    memcpy(s->previous, call->signature, sizeof s->previous);
}

bool
local_s3_signer_takes(void *signer, struct slice extension, struct slice data)
{
    struct s3_signer *s = signer;
    struct buf to_sign = BUF_INIT;
    const size_t mark = strlen(CHUNK_SIGNATURE);
    if (!slice_starts_with(extension, SLICE(CHUNK_SIGNATURE)))
        return false;
    local_s3_chunk_to_sign(&to_sign, s->call->signed_at_ms, local_region(s->call->local), s->previous, data);
    bool right = is_next(s, slice_of(extension.p + mark, extension.n - mark), &to_sign);
    buf_clean_up(&to_sign);
    return right;
}

bool
local_s3_signer_takes_trailers(struct s3_signer *s, struct slice trailers)
{
    struct buf to_sign = BUF_INIT, others = BUF_INIT;
    struct slice given = {0};
    const size_t mark = strlen(TRAILER_SIGNATURE);
    for (const char *at = trailers.p, *end = trailers.p + trailers.n; at < end;) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        struct slice line = slice_of(at, (size_t)(newline - at));
        if (slice_starts_with(line, SLICE(TRAILER_SIGNATURE)))
            given = slice_of(line.p + mark, line.n - mark);
        else
            buf_add(&others, at, line.n + 1);
        at = newline + 1;
    }
    local_s3_trailers_to_sign(&to_sign, s->call->signed_at_ms, local_region(s->call->local), s->previous,
                              buf_slice(&others));
    bool right = !buf_failed(&others) && is_next(s, given, &to_sign);
    buf_clean_up(&to_sign);
    buf_clean_up(&others);
    return right;
}
