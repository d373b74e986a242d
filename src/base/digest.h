/* digest: hashes and text encodings of bytes, over OpenSSL's EVP.
 *
 * MD5 is here because SQS and S3 use it as a checksum, not for security. Any thread. The supervisor must not call
 * anything here: it does not link OpenSSL (DESIGN.md, Binaries). */
#ifndef FANOUT_BASE_DIGEST_H
#define FANOUT_BASE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

#define DIGEST_MD5_BYTES    16
#define DIGEST_SHA256_BYTES 32
#define DIGEST_MD5_HEX      33 /* with the NUL */
#define DIGEST_SHA256_HEX   65

/* None of these can fail short of OpenSSL being broken, which aborts. */
void digest_md5(const void *p, size_t n, uint8_t out[DIGEST_MD5_BYTES]);
void digest_md5_hex(const void *p, size_t n, char out[DIGEST_MD5_HEX]);
void digest_sha256(const void *p, size_t n, uint8_t out[DIGEST_SHA256_BYTES]);
void digest_sha256_hex(const void *p, size_t n, char out[DIGEST_SHA256_HEX]);
void digest_hmac_sha256(const void *key, size_t key_n, const void *p, size_t n, uint8_t out[DIGEST_SHA256_BYTES]);

/* Lower-case; out needs 2 * n + 1 bytes. */
void digest_hex(const uint8_t *p, size_t n, char *out);

/* Incremental MD5, for SQS's digest of message attributes and for streamed bodies. */
struct digest_md5_stream;
struct digest_md5_stream *digest_md5_begin(void); /* NULL: no memory */
void digest_md5_update(struct digest_md5_stream *s, const void *p, size_t n);
void digest_md5_end(struct digest_md5_stream *s, uint8_t out[DIGEST_MD5_BYTES]); /* frees s */

/* Equal in time that depends on n alone. */
bool digest_equal(const void *a, const void *b, size_t n);

/* RFC 4648 base64 with padding. Decoding is strict: false for any other byte, bad padding, or leftover bits (then *out
 * is as before), and for a buf that failed. */
void digest_base64_encode(struct buf *out, const void *p, size_t n);
bool digest_base64_decode(struct buf *out, struct slice text);

#endif
