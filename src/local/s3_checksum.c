/* The checksums that clients send along with an upload. */
#include <openssl/evp.h>
#include <zlib.h>

#include "base/digest.h"
#include "local/s3_impl.h"

/* A reflected CRC of up to 64 bits, bit by bit from a table made on the stack: uploads are small, and right is enough.
 */
static uint64_t
reflected_crc(uint64_t polynomial, uint64_t ones, struct slice data)
{
    uint64_t table[256], crc = ones;
    for (unsigned i = 0; i < 256; i++) {
        uint64_t v = i;
        for (int bit = 0; bit < 8; bit++)
            v = v & 1 ? (v >> 1) ^ polynomial : v >> 1;
        table[i] = v;
    }
    for (size_t i = 0; i < data.n; i++)
        crc = table[(crc ^ (unsigned char)data.p[i]) & 0xff] ^ (crc >> 8);
    return crc ^ ones;
}

static void
encode_big_endian(struct buf *base64, uint64_t v, size_t n)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)(v >> (8 * (n - 1 - i)));
    digest_base64_encode(base64, bytes, n);
}

bool
local_s3_checksum(struct slice name, struct slice data, struct buf *base64)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (slice_equals_string(name, "crc32")) {
        encode_big_endian(base64, crc32_z(0, (const unsigned char *)data.p, data.n), 4);
    } else if (slice_equals_string(name, "crc32c")) {
        encode_big_endian(base64, reflected_crc(0x82f63b78, 0xffffffff, data), 4);
    } else if (slice_equals_string(name, "crc64nvme")) {
        encode_big_endian(base64, reflected_crc(UINT64_C(0x9a6c9329ac4bc9b5), UINT64_MAX, data), 8);
    } else if (slice_equals_string(name, "sha256")) {
        digest_sha256(data.p, data.n, digest);
        digest_base64_encode(base64, digest, DIGEST_SHA256_BYTES);
    } else if (slice_equals_string(name, "sha1")) {
        if (EVP_Digest(data.p ? data.p : "", data.n, digest, &n, EVP_sha1(), NULL) != 1)
            return false;
        digest_base64_encode(base64, digest, n);
    } else {
        return false;
    }
    return true;
}
