/* checksum: 64 bits over bytes in memory, fast enough to be taken for every message (about 20 bytes a nanosecond).
 *
 * Finds accidents: a handler that writes where it should not. Not for attackers, not for files, and not the same on
 * machines of another byte order. The multiply-and-fold step is that of wyhash (Wang Yi, public domain). Any thread. */
#ifndef FANOUT_IPC_CHECKSUM_H
#define FANOUT_IPC_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* Of n bytes, continuing from seed: checksum(b, n, checksum(a, m, 0)) covers both, their order and their lengths. */
uint64_t checksum(const void *p, size_t n, uint64_t seed);

#endif
