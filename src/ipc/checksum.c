#include "ipc/checksum.h"

#include <string.h>

#define K0 UINT64_C(0xa0761d6478bd642f)
#define K1 UINT64_C(0xe7037ed1a0b428db)
#define K2 UINT64_C(0x8ebc6af09c88c6e3)
#define K3 UINT64_C(0x589965cc75374cc3)

static inline uint64_t
load(const unsigned char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint64_t
fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t
checksum(const void *bytes, size_t n, uint64_t seed)
{
    const unsigned char *p = bytes;
    size_t left = n;
    uint64_t a = fold(seed ^ K0, K1), b = a, c = a;
    for (; left >= 48; p += 48, left -= 48) {
        a = fold(load(p) ^ K1, load(p + 8) ^ a);
        b = fold(load(p + 16) ^ K2, load(p + 24) ^ b);
        c = fold(load(p + 32) ^ K3, load(p + 40) ^ c);
    }
    a ^= b ^ c;
    for (; left >= 16; p += 16, left -= 16)
        a = fold(load(p) ^ K1, load(p + 8) ^ a);
    unsigned char tail[16] = {0};
    if (left > 0)
        memcpy(tail, p, left);
    return fold(K1 ^ n, fold(load(tail) ^ K2, load(tail + 8) ^ a) ^ K3);
}
