/* uuid: random identifiers (RFC 9562, version 4) and random bytes, from the kernel. Any thread. */
#ifndef FANOUT_BASE_UUID_H
#define FANOUT_BASE_UUID_H

#include <stddef.h>
#include <stdint.h>

#define UUID_TEXT_BYTES 37 /* "f47ac10b-58cc-4372-a567-0e02b2c3d479" and the NUL */

/* Never fails: getrandom(2) blocks only before the kernel's pool is ready, early in boot. */
void uuid_generate(char out[UUID_TEXT_BYTES]);
void uuid_from_random(const uint8_t random[16], char out[UUID_TEXT_BYTES]); /* for who has random bytes in stock */
void uuid_random_bytes(void *out, size_t n);
uint64_t uuid_random_seed(void); /* never 0 */

#endif
