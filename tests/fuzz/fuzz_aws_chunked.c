/* fuzz_aws_chunked: an upload in aws-chunked framing. */

#include "local/s3_impl.h"

#include "fuzz/fuzz.h"

struct seen {
    struct slice framed;
    struct buf data;
    bool ended;
};

static bool
is_inside(struct slice part, struct slice whole)
{
    return part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

/* Chunks and what they say of themselves lie in what was sent; the empty one is the last. */
static bool
see(void *context, struct slice extension, struct slice data)
{
    struct seen *s = context;
    check(!s->ended && is_inside(extension, s->framed) && is_inside(data, s->framed));
    buf_add_slice(&s->data, data);
    s->ended = data.n == 0;
    return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice framed = slice_of((const char *)data, size);
    struct buf out = BUF_INIT, trailers = BUF_INIT, again = BUF_INIT, none = BUF_INIT;
    struct err e = {0};
    struct seen seen = {.framed = framed};
    int rc = local_s3_unchunk(framed, see, &seen, &out, &trailers, &e);
    check(rc == 0 || (rc == ERR_INVALID && e.text[0]));
    check(rc != 0 || (seen.ended && slice_equals(buf_slice(&seen.data), buf_slice(&out))));
    buf_clean_up(&seen.data);
    check(out.len + trailers.len <= size);
    if (rc == 0) {
        /* What came out, framed as one chunk, comes out again. */
        struct buf frame = BUF_INIT;
        if (out.len > 0)
            buf_add_format(&frame, "%zx\r\n", out.len);
        buf_add_slice(&frame, buf_slice(&out));
        buf_add_string(&frame, out.len > 0 ? "\r\n0\r\n\r\n" : "0\r\n\r\n");
        check(local_s3_unchunk(buf_slice(&frame), NULL, NULL, &again, &none, &e) == 0);
        check(slice_equals(buf_slice(&again), buf_slice(&out)) && none.len == 0);
        buf_clean_up(&frame);
    }
    buf_clean_up(&out);
    buf_clean_up(&trailers);
    buf_clean_up(&again);
    buf_clean_up(&none);
    return 0;
}
