/* ledger_heap: which parts of a ledger's heap are free.
 *
 * A buddy allocator over offsets: it never touches the heap itself, and everything it knows lies in the worker's
 * private memory, so that a handler that scribbles over the ledger cannot lead it astray. Blocks are powers of two from
 * 512 bytes to LEDGER_HEAP_REGION, aligned to their size.
 *
 * Every block lies inside one region. So in a heap of n regions the n-th allocation cannot fail, whatever sizes came
 * and went before: that is why a ledger has as many regions as records. One thread. */
#ifndef FANOUT_IPC_LEDGER_HEAP_H
#define FANOUT_IPC_LEDGER_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define LEDGER_HEAP_REGION (UINT64_C(2) << 20) /* the largest block */

struct ledger_heap;

/* For a heap of `regions` regions, all free. Address space is reserved, and 12 bytes are touched for each 512 in use.
 */
int ledger_heap_new(uint32_t regions, struct ledger_heap **ret_heap, struct err *e);
void ledger_heap_destroy(struct ledger_heap *h); /* NULL is fine */
void ledger_heap_reset(struct ledger_heap *h);   /* all free again */

/* The offset of a free block of at least n bytes (n <= LEDGER_HEAP_REGION; 0 counts as 1), or false when there is
 * none. */
bool ledger_heap_take(struct ledger_heap *h, size_t n, uint64_t *ret_offset);

/* Gives it back: the offset and the n it was taken with. */
void ledger_heap_give(struct ledger_heap *h, uint64_t offset, size_t n);

/* Regions from 0 that were ever used. */
uint32_t ledger_heap_regions_used(const struct ledger_heap *h);

#endif
