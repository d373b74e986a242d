#include "aws/sqs_md5.h"

#include <stdlib.h>

#include "base/err.h"

#define ON_STACK 16 /* SQS allows ten */

struct sorted {
    const struct sqs_attribute *attribute;
};

static int
compare_names(const void *a, const void *b)
{
    struct slice x = ((const struct sorted *)a)->attribute->name, y = ((const struct sorted *)b)->attribute->name;
    size_t n = x.n < y.n ? x.n : y.n;
    int order = n > 0 ? memcmp(x.p, y.p, n) : 0;
    return order ? order : (x.n > y.n) - (x.n < y.n);
}

static void
add(struct digest_md5_stream *md5, struct slice s)
{
    uint8_t length[] = {(uint8_t)(s.n >> 24), (uint8_t)(s.n >> 16), (uint8_t)(s.n >> 8), (uint8_t)s.n};
    digest_md5_update(md5, length, sizeof length);
    digest_md5_update(md5, s.p, s.n);
}

int
sqs_md5_attributes(const struct sqs_attribute *attributes, size_t n, char out[DIGEST_MD5_HEX])
{
    struct sorted on_stack[ON_STACK], *sorted = n <= ON_STACK ? on_stack : reallocarray(NULL, n, sizeof *sorted);
    struct digest_md5_stream *md5 = sorted ? digest_md5_begin() : NULL;
    uint8_t digest[DIGEST_MD5_BYTES];
    int rc = ERR_NO_MEMORY;
    if (!md5)
        goto cleanup;
    for (size_t i = 0; i < n; i++)
        sorted[i].attribute = &attributes[i];
    qsort(sorted, n, sizeof *sorted, compare_names);
    for (size_t i = 0; i < n; i++) {
        const struct sqs_attribute *a = sorted[i].attribute;
        uint8_t transport = slice_starts_with(a->type, SLICE("Binary")) ? 2 : 1;
        add(md5, a->name);
        add(md5, a->type);
        digest_md5_update(md5, &transport, 1);
        add(md5, a->value);
    }
    digest_md5_end(md5, digest);
    digest_hex(digest, sizeof digest, out);
    rc = 0;

cleanup:
    if (sorted != on_stack)
        free(sorted);
    return rc;
}
