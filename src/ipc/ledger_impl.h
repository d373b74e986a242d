/* ledger_impl: how a ledger lies in its memory. For ledger.c (the map), ledger_records.c (the messages) and nobody
 * else. */
#ifndef FANOUT_IPC_LEDGER_IMPL_H
#define FANOUT_IPC_LEDGER_IMPL_H

#include <assert.h>

#include "ipc/ledger.h"
#include "ipc/ledger_heap.h"

#define LEDGER_MD5_BYTES 32

struct ledger_fixed {
    struct metrics metrics;
    struct ledger_crash crash;
};

struct ledger_content { /* no padding: it is summed as bytes */
    uint64_t heap_offset;
    int64_t sent_at_ms, received_at_ms, first_received_mono_ms;
    uint32_t body_bytes, attributes_bytes;
    uint16_t id_bytes, group_bytes, md5_bytes, reserved;
};

struct ledger_receipt {
    uint32_t count, handle_bytes;
};

/* Records start on a cache line; the words that change most share the first with the sums. */
struct ledger_record {
    _Alignas(64) _Atomic uint64_t state; /* sealed; 0: free */
    _Atomic uint64_t lease[2];           /* sealed, twice, so that a chance match does not pass */
    uint64_t content_sum;                /* of the record's number, content, id, group, md5, body and attributes */
    uint64_t receipt_sum;                /* of content_sum, receipt and handle */
    struct ledger_content content;
    struct ledger_receipt receipt;
    char id[LEDGER_ID_BYTES];
    char group[LEDGER_GROUP_BYTES];
    char md5[LEDGER_MD5_BYTES];
    char handle[LEDGER_HANDLE_BYTES];
};

static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2, "processes share these atomics");
static_assert(sizeof(struct ledger_content) == 48 && sizeof(struct ledger_receipt) == 8,
              "summed as bytes, so without padding");

/* What the writer knows without looking into the map. */
struct ledger_held {
    uint64_t offset, sum;
    size_t bytes;
    bool used;
};

struct ledger {
    unsigned char *map;
    uint64_t map_bytes, heap_bytes;
    uint32_t records, threads;
    struct ledger_fixed *fixed;
    struct ledger_thread *thread;
    struct ledger_record *record;
    unsigned char *heap;
    /* private to the writer */
    struct ledger_heap *space;
    struct ledger_held *held;
    uint32_t *free;
    uint32_t n_free;
};

#endif
