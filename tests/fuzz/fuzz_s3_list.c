/* fuzz_s3_list: answers to ListObjectsV2. */
#include "aws/s3_decode.h"

#include "fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct s3_listing l = {0};
    arena_init(&arena, 0);
    if (s3_decode_list(slice_of((const char *)data, size), &arena, &l, NULL) == 0) {
        for (size_t i = 0; i < l.n_entries; i++) {
            check(l.entries[i].key.n > 0 && l.entries[i].size >= 0);
            touch(l.entries[i].key);
            touch(l.entries[i].etag);
        }
        for (size_t i = 0; i < l.n_prefixes; i++)
            touch(l.prefixes[i]);
        check(l.truncated == (l.next_token.n > 0));
        touch(l.next_token);
    }
    arena_clean_up(&arena);
    return 0;
}
