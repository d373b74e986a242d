#include "local/sqs_impl.h"

#include <endian.h>
#include <string.h>

/* A handle's bytes: AWS's own begin with "AQEB", which is 1, 1, 1. 36 of them make 48 characters of base64. */
struct raw {
    uint8_t begin[4];
    uint8_t uuid[4];
    uint32_t receive;
    uint8_t queue[8], message[8];
    uint8_t tag[8];
} __attribute__((packed));

#define TAGGED_BYTES offsetof(struct raw, tag)

/* ---- SipHash-2-4 (Aumasson and Bernstein, 2012): whose key is the database's, so that nobody guesses a handle ---- */

static inline uint64_t
rotate(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

static inline void
mix(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

static uint64_t
load(const uint8_t *p, size_t n)
{
    uint64_t x = 0;
    memcpy(&x, p, n);
    return le64toh(x);
}

uint64_t
lsqs_hash(const uint8_t key[16], const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    uint64_t k0 = load(key, 8), k1 = load(key + 8, 8);
    uint64_t v[4] = {k0 ^ UINT64_C(0x736f6d6570736575), k1 ^ UINT64_C(0x646f72616e646f6d),
                     k0 ^ UINT64_C(0x6c7967656e657261), k1 ^ UINT64_C(0x7465646279746573)};
    for (size_t at = 0; at <= n; at += 8) {
        uint64_t m = at + 8 <= n ? load(p + at, 8) : load(p + at, n - at) | (uint64_t)(n & 0xff) << 56;
        v[3] ^= m;
        mix(v);
        mix(v);
        v[0] ^= m;
    }
    v[2] ^= 0xff;
    for (int i = 0; i < 4; i++)
        mix(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static void
tag(const uint8_t key[16], const struct raw *r, uint8_t out[8])
{
    uint64_t hash = htole64(lsqs_hash(key, r, TAGGED_BYTES));
    memcpy(out, &hash, sizeof hash);
}

/* ---- text -------------------------------------------------------------------------------------------------------- */

void
lsqs_write_handle(const uint8_t key[16], const struct lsqs_handle *h, char out[LSQS_HANDLE_TEXT])
{
    static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint64_t queue = htobe64((uint64_t)h->queue), message = htobe64((uint64_t)h->message);
    struct raw r = {.begin = {1, 1, 1, 1}, .receive = htobe32(h->receive)};
    memcpy(r.uuid, h->uuid, sizeof r.uuid);
    memcpy(r.queue, &queue, sizeof r.queue);
    memcpy(r.message, &message, sizeof r.message);
    tag(key, &r, r.tag);
    uint8_t bytes[sizeof r];
    memcpy(bytes, &r, sizeof bytes);
    for (const uint8_t *p = bytes; p < bytes + sizeof bytes; p += 3) {
        *out++ = DIGITS[p[0] >> 2];
        *out++ = DIGITS[(p[0] & 3) << 4 | p[1] >> 4];
        *out++ = DIGITS[(p[1] & 15) << 2 | p[2] >> 6];
        *out++ = DIGITS[p[2] & 63];
    }
    *out = '\0';
}

static int
digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool
lsqs_read_handle(const uint8_t key[16], struct slice text, struct lsqs_handle *ret)
{
    struct raw r;
    uint64_t queue, message;
    uint8_t *p = (uint8_t *)&r, expected[8];
    if (text.n != sizeof r / 3 * 4)
        return false;
    for (size_t i = 0; i < text.n; i += 4, p += 3) {
        int a = digit(text.p[i]), b = digit(text.p[i + 1]), c = digit(text.p[i + 2]), d = digit(text.p[i + 3]);
        if ((a | b | c | d) < 0)
            return false;
        p[0] = (uint8_t)(a << 2 | b >> 4);
        p[1] = (uint8_t)(b << 4 | c >> 2);
        p[2] = (uint8_t)(c << 6 | d);
    }
    tag(key, &r, expected);
    if (memcmp(expected, r.tag, sizeof expected) != 0)
        return false;
    memcpy(&queue, r.queue, sizeof queue);
    memcpy(&message, r.message, sizeof message);
    *ret = (struct lsqs_handle){
        .queue = (int64_t)be64toh(queue), .message = (int64_t)be64toh(message), .receive = be32toh(r.receive)};
    memcpy(ret->uuid, r.uuid, sizeof ret->uuid);
    return true;
}
