/* fuzz_text: the small readers of headers, URLs and encodings. The first byte says which. */
#include "base/clock.h"
#include "base/digest.h"
#include "fuzz/fuzz.h"
#include "http/http.h"
#include "httpd/httpd.h"
#include "local/s3_impl.h"

static void
percent(struct slice text, bool keep_slash)
{
    struct buf out = BUF_INIT, back = BUF_INIT;
    http_encode(&out, text, keep_slash);
    check(http_decode(&back, buf_slice(&out), false) && slice_equals(buf_slice(&back), text));
    buf_reset(&out);
    if (http_decode(&out, text, keep_slash))
        check(out.len <= text.n);
    buf_clean_up(&out);
    buf_clean_up(&back);
}

static void
base64(struct slice text)
{
    struct buf out = BUF_INIT, back = BUF_INIT;
    digest_base64_encode(&out, text.p, text.n);
    check(digest_base64_decode(&back, buf_slice(&out)) && slice_equals(buf_slice(&back), text));
    buf_reset(&out);
    buf_reset(&back);
    if (digest_base64_decode(&out, text)) { /* there is one way to write it */
        digest_base64_encode(&back, out.data, out.len);
        check(slice_equals(buf_slice(&back), text));
    }
    buf_clean_up(&out);
    buf_clean_up(&back);
}

static void
times(struct slice text)
{
    char iso[CLOCK_ISO8601_BYTES], http[HTTPD_DATE_BYTES];
    int64_t at_ms, again_ms;
    if (clock_parse_iso8601(text.p, text.n, &at_ms, NULL) == 0) {
        clock_format_ms(at_ms, iso);
        if (at_ms >= INT64_C(-62167219200000) && at_ms <= INT64_C(253402300799999))
            check(clock_parse_iso8601(iso, strlen(iso), &again_ms, NULL) == 0 && again_ms == at_ms);
    }
    if (clock_parse_http_date(text.p, text.n, &at_ms, NULL) == 0 && at_ms >= 0) {
        httpd_format_date(at_ms, http);
        check(clock_parse_http_date(http, strlen(http), &again_ms, NULL) == 0 && again_ms == at_ms);
    }
}

static void
range(struct slice text, int64_t size)
{
    int64_t first = -1, n = -1;
    int rc = local_s3_range(text, size, &first, &n);
    check(rc == ERR_INVALID || rc == ERR_NOT_FOUND || (rc == 0 && first >= 0 && n > 0 && first + n <= size));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct slice text = slice_of((const char *)data + 1, size - 1);
    switch (data[0] % 5) {
    case 0:
        percent(text, false);
        break;
    case 1:
        percent(text, true);
        break;
    case 2:
        base64(text);
        break;
    case 3:
        times(text);
        break;
    default:
        range(text, (int64_t)(data[0] / 5) * (INT64_MAX / 60));
        break;
    }
    return 0;
}
