#include "base/err.h"
#include "local/s3_impl.h"

/* A number too large to be one becomes the largest there is. */
static bool
read_number(const char **at, const char *end, int64_t *ret)
{
    int64_t v = 0;
    const char *start = *at;
    for (; *at < end && **at >= '0' && **at <= '9'; (*at)++)
        v = v > (INT64_MAX - 9) / 10 ? INT64_MAX : v * 10 + (**at - '0');
    *ret = v;
    return *at > start;
}

/* "-N": the last N bytes. */
static int
suffix(const char *at, const char *end, int64_t size, int64_t *ret_first, int64_t *ret_n)
{
    int64_t n;
    if (!read_number(&at, end, &n) || at != end)
        return ERR_INVALID;
    if (n == 0 || size == 0)
        return ERR_NOT_FOUND;
    *ret_n = n < size ? n : size;
    *ret_first = size - *ret_n;
    return 0;
}

int
local_s3_range(struct slice header, int64_t size, int64_t *ret_first, int64_t *ret_n)
{
    static const struct slice UNIT = {"bytes=", 6};
    int64_t first, last;
    if (!slice_starts_with(header, UNIT))
        return ERR_INVALID;
    const char *at = header.p + UNIT.n, *end = header.p + header.n;
    if (at < end && *at == '-')
        return suffix(at + 1, end, size, ret_first, ret_n);
    if (!read_number(&at, end, &first) || at == end || *at++ != '-')
        return ERR_INVALID;
    if (!read_number(&at, end, &last))
        last = INT64_MAX;
    if (at != end || last < first)
        return ERR_INVALID;
    if (first >= size)
        return ERR_NOT_FOUND;
    *ret_first = first;
    *ret_n = (last < size ? last + 1 : size) - first;
    return 0;
}
