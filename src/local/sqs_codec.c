#include "local/sqs_codec.h"

#include <string.h>

#include "local/auth_query.h"

/* What a credential scope ends in. */
static bool
has(struct slice text, const char *part)
{
    return text.n > 0 && memmem(text.p, text.n, part, strlen(part));
}

/* The Authorization header, or the credential of a presigned URL. */
static void
read_scope(const struct httpd_request *r, struct buf *out)
{
    struct slice raw = httpd_header(r, "authorization");
    if (raw.n > 0)
        buf_add_slice(out, raw);
    else if (local_auth_query_get(httpd_query(r), "X-Amz-Credential", &raw))
        local_auth_query_decode(raw, out);
}

bool
lsqs_is_call(const struct httpd_request *r)
{
    struct slice target = httpd_header(r, "x-amz-target");
    char name[LSQS_OPERATION_TEXT];
    struct buf scope = BUF_INIT;
    if (target.n > 0)
        return slice_starts_with(target, SLICE(LSQS_TARGET));
    read_scope(r, &scope);
    bool is_scoped = has(buf_slice(&scope), "/aws4_request");
    bool ours = is_scoped ? has(buf_slice(&scope), "/sqs/aws4_request") : LSQS_QUERY.name_operation(r, name);
    buf_clean_up(&scope);
    return ours;
}

const struct lsqs_codec *
lsqs_codec_of(const struct httpd_request *r)
{
    return httpd_header(r, "x-amz-target").n > 0 ? &LSQS_JSON : &LSQS_QUERY;
}
