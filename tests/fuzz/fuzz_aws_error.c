/* fuzz_aws_error: what a service, or whoever answers in its place, can put into an error answer. The input is two lines
 * (x-amzn-query-error, x-amzn-errortype) and the body. */
#include "aws/error.h"

#include "fuzz/fuzz.h"

/* One line of text: nothing in it may end a log line. */
static void
check_line(const char *text, size_t capacity)
{
    size_t n = strnlen(text, capacity);
    check(n < capacity);
    for (size_t i = 0; i < n; i++)
        check((unsigned char)text[i] >= 0x20 && text[i] != 0x7f);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = slice_of((const char *)data, size);
    struct aws_error_answer a = {.status = 400};
    struct aws_error e;
    a.query_error = take_line(&rest);
    a.error_type = take_line(&rest);
    a.body = rest;
    aws_error_decode("Operation", &a, &e);
    check_line(e.code, sizeof e.code);
    check_line(e.message, sizeof e.message);
    check_line(e.request_id, sizeof e.request_id);
    check(e.err.code != 0 && *e.code && *e.err.text);
    return 0;
}
