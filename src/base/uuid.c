#include "base/uuid.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

void
uuid_random_bytes(void *out, size_t n)
{
    for (char *at = out; n > 0;) {
        ssize_t got = getrandom(at, n, 0);
        if (got < 0 && errno != EINTR) { /* no such call, or forbidden by a seccomp filter */
            perror("getrandom");
            abort();
        }
        if (got > 0) {
            at += got;
            n -= (size_t)got;
        }
    }
}

void
uuid_from_random(const uint8_t random[16], char out[UUID_TEXT_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t bytes[16];
    memcpy(bytes, random, sizeof bytes);
    bytes[6] = (bytes[6] & 0x0f) | 0x40; /* version 4 */
    bytes[8] = (bytes[8] & 0x3f) | 0x80; /* variant 10 */
    for (size_t i = 0; i < sizeof bytes; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *out++ = '-';
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
    }
    *out = '\0';
}

void
uuid_generate(char out[UUID_TEXT_BYTES])
{
    uint8_t random[16];
    uuid_random_bytes(random, sizeof random);
    uuid_from_random(random, out);
}

uint64_t
uuid_random_seed(void)
{
    uint64_t seed;
    do
        uuid_random_bytes(&seed, sizeof seed);
    while (seed == 0);
    return seed;
}
