#include "ipc/ledger_heap.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define GRANULE_SHIFT 9
#define REGION_SHIFT  21
#define MAX_ORDER     (REGION_SHIFT - GRANULE_SHIFT)
#define NONE          UINT32_MAX

/* One for each granule; it means something for the first granule of a free block only. */
struct granule {
    uint32_t next, previous; /* in the free list of its order */
    uint8_t free_order;      /* order + 1; 0: no free block starts here */
};

struct ledger_heap {
    struct granule *granules;
    uint32_t n_granules;
    uint32_t fresh;               /* granules from here on were never used */
    uint32_t free[MAX_ORDER + 1]; /* heads */
};

static_assert(UINT64_C(1) << REGION_SHIFT == LEDGER_HEAP_REGION, "the header states the region's size");

int
ledger_heap_new(uint32_t regions, struct ledger_heap **ret_heap, struct err *e)
{
    if (regions == 0 || regions >= NONE >> MAX_ORDER)
        return err_set(e, ERR_LIMIT, "ledger heap: %u regions of 2 MiB: at most %u", regions, (NONE >> MAX_ORDER) - 1);
    struct ledger_heap *h = calloc(1, sizeof *h);
    if (!h)
        return err_no_memory(e);
    h->n_granules = regions << MAX_ORDER;
    h->granules = mmap(NULL, (size_t)h->n_granules * sizeof *h->granules, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (h->granules == MAP_FAILED) {
        int errnum = errno;
        free(h);
        return err_set_errno(e, errnum, "ledger heap: address space for %u regions", regions);
    }
    ledger_heap_reset(h);
    *ret_heap = h;
    return 0;
}

void
ledger_heap_destroy(struct ledger_heap *h)
{
    if (!h)
        return;
    munmap(h->granules, (size_t)h->n_granules * sizeof *h->granules);
    free(h);
}

void
ledger_heap_reset(struct ledger_heap *h)
{
    if (h->fresh > 0)
        memset(h->granules, 0, (size_t)h->fresh * sizeof *h->granules);
    h->fresh = 0;
    for (size_t i = 0; i <= MAX_ORDER; i++)
        h->free[i] = NONE;
}

static uint8_t
order_of(size_t n)
{
    assert(n <= LEDGER_HEAP_REGION);
    size_t granules = n == 0 ? 0 : (n - 1) >> GRANULE_SHIFT;
    return granules == 0 ? 0 : (uint8_t)(64 - __builtin_clzll(granules));
}

static void
list_add(struct ledger_heap *h, uint32_t at, uint8_t order)
{
    struct granule *g = &h->granules[at];
    *g = (struct granule){.next = h->free[order], .previous = NONE, .free_order = (uint8_t)(order + 1)};
    if (g->next != NONE)
        h->granules[g->next].previous = at;
    h->free[order] = at;
}

static void
list_remove(struct ledger_heap *h, uint32_t at, uint8_t order)
{
    struct granule *g = &h->granules[at];
    assert(g->free_order == order + 1);
    if (g->previous == NONE)
        h->free[order] = g->next;
    else
        h->granules[g->previous].next = g->next;
    if (g->next != NONE)
        h->granules[g->next].previous = g->previous;
    g->free_order = 0;
}

bool
ledger_heap_take(struct ledger_heap *h, size_t n, uint64_t *ret_offset)
{
    uint8_t order = order_of(n), found = order;
    uint32_t at;
    while (found <= MAX_ORDER && h->free[found] == NONE)
        found++;
    if (found <= MAX_ORDER) {
        at = h->free[found];
        list_remove(h, at, found);
    } else {
        if (h->fresh == h->n_granules)
            return false;
        at = h->fresh;
        found = MAX_ORDER;
        h->fresh += 1u << MAX_ORDER;
    }
    while (found > order) {
        found--;
        list_add(h, at + (1u << found), found);
    }
    *ret_offset = (uint64_t)at << GRANULE_SHIFT;
    return true;
}

void
ledger_heap_give(struct ledger_heap *h, uint64_t offset, size_t n)
{
    uint8_t order = order_of(n);
    uint32_t at = (uint32_t)(offset >> GRANULE_SHIFT);
    assert(at < h->fresh && h->granules[at].free_order == 0);
    while (order < MAX_ORDER) {
        uint32_t buddy = at ^ (1u << order);
        if (h->granules[buddy].free_order != order + 1)
            break;
        list_remove(h, buddy, order);
        at &= ~(1u << order);
        order++;
    }
    list_add(h, at, order);
}

uint32_t
ledger_heap_regions_used(const struct ledger_heap *h)
{
    return h->fresh >> MAX_ORDER;
}
