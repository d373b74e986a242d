#include "base/digest.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is fetched once: OpenSSL 3 would look the algorithm up by name on each use, which costs more than the hash of a
 * small message. */
static pthread_once_t fetched_once = PTHREAD_ONCE_INIT;
static EVP_MD *md5, *sha256;
static EVP_MAC *hmac;
static pthread_key_t contexts_key; /* for its destructor only */

/* Contexts to use again, one set per thread. */
struct contexts {
    EVP_MD_CTX *md5, *sha256;
    EVP_MAC_CTX *hmac_sha256;
    uint8_t key[DIGEST_SHA256_BYTES]; /* hmac_sha256's, if is_keyed */
    bool is_keyed;
};
static __thread struct contexts *contexts;

static void __attribute__((noreturn)) broken(const char *what)
{
    fprintf(stderr, "OpenSSL cannot do %s (no memory, or an openssl.cnf without the default provider)\n", what);
    abort();
}

static void
must(int ok, const char *what)
{
    if (ok != 1)
        broken(what);
}

static void
free_contexts(void *p)
{
    struct contexts *c = p;
    EVP_MD_CTX_free(c->md5);
    EVP_MD_CTX_free(c->sha256);
    EVP_MAC_CTX_free(c->hmac_sha256);
    explicit_bzero(c, sizeof *c);
    free(c);
    contexts = NULL;
}

static void
fetch(void)
{
    md5 = EVP_MD_fetch(NULL, "MD5", NULL);
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    if (!md5 || !sha256 || !hmac || pthread_key_create(&contexts_key, free_contexts) != 0)
        broken("MD5, SHA-256 and HMAC");
}

static void
fetch_once(void)
{
    pthread_once(&fetched_once, fetch);
}

static struct contexts *
contexts_of_thread(void)
{
    if (contexts)
        return contexts;
    fetch_once();
    struct contexts *c = calloc(1, sizeof *c);
    if (!c)
        broken("hashing");
    c->md5 = EVP_MD_CTX_new();
    c->sha256 = EVP_MD_CTX_new();
    c->hmac_sha256 = EVP_MAC_CTX_new(hmac);
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char[]){"SHA256"}, 0),
                           OSSL_PARAM_END};
    if (!c->md5 || !c->sha256 || !c->hmac_sha256 || EVP_MAC_CTX_set_params(c->hmac_sha256, params) != 1 ||
        pthread_setspecific(contexts_key, c) != 0)
        broken("hashing");
    return contexts = c;
}

static void
hash(EVP_MD_CTX *ctx, const EVP_MD *md, const void *p, size_t n, uint8_t *out)
{
    must(EVP_DigestInit_ex(ctx, md, NULL), "hashing");
    must(EVP_DigestUpdate(ctx, p, n), "hashing");
    must(EVP_DigestFinal_ex(ctx, out, NULL), "hashing");
}

void
digest_md5(const void *p, size_t n, uint8_t out[DIGEST_MD5_BYTES])
{
    struct contexts *c = contexts_of_thread();
    hash(c->md5, md5, p, n, out);
}

void
digest_md5_hex(const void *p, size_t n, char out[DIGEST_MD5_HEX])
{
    uint8_t bytes[DIGEST_MD5_BYTES];
    digest_md5(p, n, bytes);
    digest_hex(bytes, sizeof bytes, out);
}

void
digest_sha256(const void *p, size_t n, uint8_t out[DIGEST_SHA256_BYTES])
{
    struct contexts *c = contexts_of_thread();
    hash(c->sha256, sha256, p, n, out);
}

void
digest_sha256_hex(const void *p, size_t n, char out[DIGEST_SHA256_HEX])
{
    uint8_t bytes[DIGEST_SHA256_BYTES];
    digest_sha256(p, n, bytes);
    digest_hex(bytes, sizeof bytes, out);
}

/* Requests are signed with the same key all day, and setting a key costs more than what is done with it: one that the
 * context has already stays. NULL means that to OpenSSL. */
static void
set_key(struct contexts *c, const void *key, size_t n)
{
    if (c->is_keyed && n == sizeof c->key && digest_equal(key, c->key, n)) {
        must(EVP_MAC_init(c->hmac_sha256, NULL, 0, NULL), "HMAC");
        return;
    }
    must(EVP_MAC_init(c->hmac_sha256, n > 0 ? key : "", n, NULL), "HMAC");
    c->is_keyed = n == sizeof c->key;
    if (c->is_keyed)
        memcpy(c->key, key, n);
}

void
digest_hmac_sha256(const void *key, size_t key_n, const void *p, size_t n, uint8_t out[DIGEST_SHA256_BYTES])
{
    struct contexts *c = contexts_of_thread();
    size_t out_n;
    set_key(c, key, key_n);
    must(EVP_MAC_update(c->hmac_sha256, p, n), "HMAC");
    must(EVP_MAC_final(c->hmac_sha256, out, &out_n, DIGEST_SHA256_BYTES), "HMAC");
}

void
digest_hex(const uint8_t *p, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[p[i] >> 4];
        out[2 * i + 1] = digits[p[i] & 15];
    }
    out[2 * n] = '\0';
}

/* struct digest_md5_stream is OpenSSL's context under our name. */
static EVP_MD_CTX *
context_of(struct digest_md5_stream *s)
{
    return (EVP_MD_CTX *)s;
}

struct digest_md5_stream *
digest_md5_begin(void)
{
    fetch_once();
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (ctx && EVP_DigestInit_ex(ctx, md5, NULL) != 1) {
        EVP_MD_CTX_free(ctx);
        ctx = NULL;
    }
    return (struct digest_md5_stream *)ctx;
}

void
digest_md5_update(struct digest_md5_stream *s, const void *p, size_t n)
{
    must(EVP_DigestUpdate(context_of(s), p, n), "MD5");
}

void
digest_md5_end(struct digest_md5_stream *s, uint8_t out[DIGEST_MD5_BYTES])
{
    must(EVP_DigestFinal_ex(context_of(s), out, NULL), "MD5");
    EVP_MD_CTX_free(context_of(s));
}

bool
digest_equal(const void *a, const void *b, size_t n)
{
    return CRYPTO_memcmp(a, b, n) == 0;
}

static const char BASE64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void
digest_base64_encode(struct buf *out, const void *p, size_t n)
{
    if (n > SIZE_MAX / 2 || !buf_reserve(out, (n + 2) / 3 * 4)) {
        out->failed = true;
        return;
    }
    const uint8_t *in = p;
    for (; n >= 3; in += 3, n -= 3) {
        char quad[] = {BASE64[in[0] >> 2], BASE64[(in[0] & 3) << 4 | in[1] >> 4],
                       BASE64[(in[1] & 15) << 2 | in[2] >> 6], BASE64[in[2] & 63]};
        buf_add(out, quad, 4);
    }
    if (n == 2) {
        char quad[] = {BASE64[in[0] >> 2], BASE64[(in[0] & 3) << 4 | in[1] >> 4], BASE64[(in[1] & 15) << 2], '='};
        buf_add(out, quad, 4);
    } else if (n == 1) {
        char quad[] = {BASE64[in[0] >> 2], BASE64[(in[0] & 3) << 4], '=', '='};
        buf_add(out, quad, 4);
    }
}

/* The six bits of a base64 character; -1 for any other. */
static int
base64_bits(char c)
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
digest_base64_decode(struct buf *out, struct slice text)
{
    size_t start = out->len, padding = 0;
    if (text.n % 4 != 0 || !buf_reserve(out, text.n / 4 * 3))
        return false;
    while (padding < 2 && padding < text.n && text.p[text.n - 1 - padding] == '=')
        padding++;
    uint32_t bits = 0;
    size_t letters = text.n - padding;
    for (size_t i = 0; i < letters; i++) {
        int six = base64_bits(text.p[i]);
        if (six < 0)
            goto refused;
        bits = bits << 6 | (uint32_t)six;
        if (i % 4 == 3) {
            char bytes[] = {(char)(bits >> 16), (char)(bits >> 8), (char)bits};
            buf_add(out, bytes, 3);
            bits = 0;
        }
    }
    if (padding == 1) {
        char bytes[] = {(char)(bits >> 10), (char)(bits >> 2)};
        if (bits & 3)
            goto refused;
        buf_add(out, bytes, 2);
    } else if (padding == 2) {
        char byte = (char)(bits >> 4);
        if (bits & 15)
            goto refused;
        buf_add(out, &byte, 1);
    }
    return !buf_failed(out);

refused:
    buf_truncate(out, start);
    return false;
}
