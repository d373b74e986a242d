/* fuzz_s3_list: answers to ListObjectsV2. */
#include "aws/s3_decode.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t
touch(struct slice s)
{
    size_t sum = 0;
    for (size_t i = 0; i < s.n; i++)
        sum += (unsigned char)s.p[i];
    return sum;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct s3_listing l = {0};
    size_t sum = 0;
    arena_init(&arena, 0);
    if (s3_decode_list(slice_of((const char *)data, size), &arena, &l, NULL) == 0) {
        for (size_t i = 0; i < l.n_entries; i++) {
            if (l.entries[i].key.n == 0 || l.entries[i].size < 0)
                abort();
            sum += touch(l.entries[i].key) + touch(l.entries[i].etag);
        }
        for (size_t i = 0; i < l.n_prefixes; i++)
            sum += touch(l.prefixes[i]);
        if (l.truncated != (l.next_token.n > 0))
            abort();
        sum += touch(l.next_token);
    }
    arena_clean_up(&arena);
    return sum == (size_t)-1;
}
