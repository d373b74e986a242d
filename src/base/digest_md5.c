/* digest_md5: the MD5s of several texts in step, a word of each side by side in one register.
 *
 * Every message that is received has its body's MD5 verified, and in MD5 each step waits for the one before it: a core
 * is idle for most of the time that it takes over one text (OpenSSL offers nothing else). Four texts take little longer
 * than one. */
#include "base/digest.h"

#include <assert.h>
#include <string.h>

#define LANES       4
#define BLOCK_BYTES 64
#define WORDS       16 /* of a block */
#define TAIL_BYTES  (2 * BLOCK_BYTES)

typedef uint32_t lanes __attribute__((vector_size(LANES * sizeof(uint32_t)))); /* a word of each text */

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words are taken from the texts as they lie");

/* ---- the function (RFC 1321, 3.4) ------------------------------------------------------------------------------ */

#define EACH(x)                                                                                                        \
    {                                                                                                                  \
        x, x, x, x                                                                                                     \
    }
/* The whole part of 2^32 times the sine of 1 to 64. */
static const lanes SINES[64] = {
    EACH(0xd76aa478), EACH(0xe8c7b756), EACH(0x242070db), EACH(0xc1bdceee), EACH(0xf57c0faf), EACH(0x4787c62a),
    EACH(0xa8304613), EACH(0xfd469501), EACH(0x698098d8), EACH(0x8b44f7af), EACH(0xffff5bb1), EACH(0x895cd7be),
    EACH(0x6b901122), EACH(0xfd987193), EACH(0xa679438e), EACH(0x49b40821), EACH(0xf61e2562), EACH(0xc040b340),
    EACH(0x265e5a51), EACH(0xe9b6c7aa), EACH(0xd62f105d), EACH(0x02441453), EACH(0xd8a1e681), EACH(0xe7d3fbc8),
    EACH(0x21e1cde6), EACH(0xc33707d6), EACH(0xf4d50d87), EACH(0x455a14ed), EACH(0xa9e3e905), EACH(0xfcefa3f8),
    EACH(0x676f02d9), EACH(0x8d2a4c8a), EACH(0xfffa3942), EACH(0x8771f681), EACH(0x6d9d6122), EACH(0xfde5380c),
    EACH(0xa4beea44), EACH(0x4bdecfa9), EACH(0xf6bb4b60), EACH(0xbebfbc70), EACH(0x289b7ec6), EACH(0xeaa127fa),
    EACH(0xd4ef3085), EACH(0x04881d05), EACH(0xd9d4d039), EACH(0xe6db99e5), EACH(0x1fa27cf8), EACH(0xc4ac5665),
    EACH(0xf4292244), EACH(0x432aff97), EACH(0xab9423a7), EACH(0xfc93a039), EACH(0x655b59c3), EACH(0x8f0ccc92),
    EACH(0xffeff47d), EACH(0x85845dd1), EACH(0x6fa87e4f), EACH(0xfe2ce6e0), EACH(0xa3014314), EACH(0x4e0811a1),
    EACH(0xf7537e82), EACH(0xbd3af235), EACH(0x2ad7d2bb), EACH(0xeb86d391),
};

/* What depends on b, which the step before made, comes last. */
#define STEP(a, b, f, word, i, shift)                                                                                  \
    do {                                                                                                               \
        a += block[(word) % WORDS] + SINES[i];                                                                         \
        a += (f);                                                                                                        \
        a = b + (a << (shift) | a >> (32 - (shift)));                                                                  \
    } while (0)
#define F(b, c, d) (d ^ (b & (c ^ d)))
#define G(b, c, d) ((c & ~d) + (b & d))
#define H(b, c, d) (b ^ (c ^ d))
#define I(b, c, d) (c ^ (b | ~d))

static void
mix(lanes state[4], const lanes block[WORDS])
{
    lanes a = state[0], b = state[1], c = state[2], d = state[3];
    for (unsigned i = 0; i < 16; i += 4) {
        STEP(a, b, F(b, c, d), i, i, 7);
        STEP(d, a, F(a, b, c), i + 1, i + 1, 12);
        STEP(c, d, F(d, a, b), i + 2, i + 2, 17);
        STEP(b, c, F(c, d, a), i + 3, i + 3, 22);
    }
    for (unsigned i = 16; i < 32; i += 4) {
        STEP(a, b, G(b, c, d), 5 * i + 1, i, 5);
        STEP(d, a, G(a, b, c), 5 * i + 6, i + 1, 9);
        STEP(c, d, G(d, a, b), 5 * i + 11, i + 2, 14);
        STEP(b, c, G(c, d, a), 5 * i + 16, i + 3, 20);
    }
    for (unsigned i = 32; i < 48; i += 4) {
        STEP(a, b, H(b, c, d), 3 * i + 5, i, 4);
        STEP(d, a, H(a, b, c), 3 * i + 8, i + 1, 11);
        STEP(c, d, H(d, a, b), 3 * i + 11, i + 2, 16);
        STEP(b, c, H(c, d, a), 3 * i + 14, i + 3, 23);
    }
    for (unsigned i = 48; i < 64; i += 4) {
        STEP(a, b, I(b, c, d), 7 * i, i, 6);
        STEP(d, a, I(a, b, c), 7 * i + 7, i + 1, 10);
        STEP(c, d, I(d, a, b), 7 * i + 14, i + 2, 15);
        STEP(b, c, I(c, d, a), 7 * i + 21, i + 3, 21);
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
}

/* ---- the texts ------------------------------------------------------------------------------------------------- */

struct lane {
    enum { IDLE, IN_TEXT, IN_TAIL } stage;
    const char *at; /* the blocks to be mixed in next */
    size_t blocks;
    size_t text;           /* its number */
    char tail[TAIL_BYTES]; /* the end of the text, and what pads it */
    size_t tail_blocks;
};

struct work {
    const struct slice *texts;
    size_t n, begun;
    uint8_t (*out)[DIGEST_MD5_BYTES];
    lanes state[4];
    struct lane lane[LANES];
};

static void
begin(struct work *w, size_t k)
{
    static const uint32_t start[4] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
    struct lane *l = &w->lane[k];
    size_t text = w->begun++;
    struct slice s = w->texts[text];
    size_t rest = s.n % BLOCK_BYTES;
    uint64_t bits = (uint64_t)s.n * 8;
    *l = (struct lane){.stage = IN_TEXT, .at = s.p, .blocks = s.n / BLOCK_BYTES, .text = text};
    l->tail_blocks = rest + 1 + sizeof bits <= BLOCK_BYTES ? 1 : 2;
    if (rest > 0)
        memcpy(l->tail, s.p + s.n - rest, rest);
    l->tail[rest] = '\x80';
    memcpy(l->tail + l->tail_blocks * BLOCK_BYTES - sizeof bits, &bits, sizeof bits);
    for (size_t i = 0; i < 4; i++)
        w->state[i][k] = start[i];
}

static void
end(struct work *w, size_t k)
{
    uint8_t *out = w->out[w->lane[k].text];
    for (size_t i = 0; i < 4; i++) {
        uint32_t word = w->state[i][k];
        memcpy(out + i * sizeof word, &word, sizeof word);
    }
    w->lane[k].stage = IDLE;
}

/* Sees to it that lane k has blocks: of its text, of its text's tail, or of another text. False: there are none left.
 */
static bool
supply(struct work *w, size_t k)
{
    struct lane *l = &w->lane[k];
    while (l->blocks == 0) {
        if (l->stage == IN_TEXT) {
            l->stage = IN_TAIL;
            l->at = l->tail;
            l->blocks = l->tail_blocks;
            continue;
        }
        if (l->stage == IN_TAIL)
            end(w, k);
        if (w->begun == w->n)
            return false;
        begin(w, k);
    }
    return true;
}

/* The next block of each text, turned so that words of the same place are side by side. */
static void
take_blocks(struct lane lane[LANES], lanes block[WORDS])
{
    for (size_t i = 0; i < WORDS; i += 4) {
        lanes text[LANES];
        for (size_t k = 0; k < LANES; k++)
            memcpy(&text[k], lane[k].at + i * sizeof(uint32_t), sizeof text[k]);
        lanes low01 = __builtin_shufflevector(text[0], text[1], 0, 4, 1, 5);
        lanes low23 = __builtin_shufflevector(text[2], text[3], 0, 4, 1, 5);
        lanes high01 = __builtin_shufflevector(text[0], text[1], 2, 6, 3, 7);
        lanes high23 = __builtin_shufflevector(text[2], text[3], 2, 6, 3, 7);
        block[i] = __builtin_shufflevector(low01, low23, 0, 1, 4, 5);
        block[i + 1] = __builtin_shufflevector(low01, low23, 2, 3, 6, 7);
        block[i + 2] = __builtin_shufflevector(high01, high23, 0, 1, 4, 5);
        block[i + 3] = __builtin_shufflevector(high01, high23, 2, 3, 6, 7);
    }
    for (size_t k = 0; k < LANES; k++)
        lane[k].at += BLOCK_BYTES;
}

/* Mixes in n blocks of each lane. */
static void
run(struct work *w, size_t n)
{
    lanes block[WORDS];
    for (size_t i = 0; i < n; i++) {
        take_blocks(w->lane, block);
        mix(w->state, block);
    }
    for (size_t k = 0; k < LANES; k++)
        if (w->lane[k].stage != IDLE)
            w->lane[k].blocks -= n;
}

void
digest_md5_each(const struct slice *texts, size_t n, uint8_t (*out)[DIGEST_MD5_BYTES])
{
    struct work w = {.texts = texts, .n = n, .out = out};
    if (n == 1) {
        digest_md5(texts[0].p, texts[0].n, out[0]);
        return;
    }
    for (;;) {
        const struct lane *shortest = NULL;
        for (size_t k = 0; k < LANES; k++)
            if (supply(&w, k) && (!shortest || w.lane[k].blocks < shortest->blocks))
                shortest = &w.lane[k];
        if (!shortest)
            return;
        for (size_t k = 0; k < LANES; k++)
            if (w.lane[k].stage == IDLE) /* it has to read something */
                w.lane[k].at = shortest->at;
        run(&w, shortest->blocks);
    }
}
