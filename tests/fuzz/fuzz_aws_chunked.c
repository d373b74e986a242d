/* fuzz_aws_chunked: an upload in aws-chunked framing. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "local/s3_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(bool holds)
{
    if (!holds)
        abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice framed = slice_of((const char *)data, size);
    struct buf out = BUF_INIT, trailers = BUF_INIT, again = BUF_INIT, none = BUF_INIT;
    struct err e = {0};
    int rc = local_s3_unchunk(framed, NULL, NULL, &out, &trailers, &e);
    check(rc == 0 || (rc == ERR_INVALID && e.text[0]));
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
