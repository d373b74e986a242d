#include "ipc/ledger.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ipc/checksum.h"
#include "ipc/ledger_heap.h"

#define MAGIC          UINT64_C(0x46414e4c45444752)
#define LAYOUT_VERSION 1
#define SECTION_ALIGN  UINT64_C(65536) /* the largest page size in use */
#define PUNCH_BYTES    65536
#define MD5_BYTES      32

/* The first section, mapped read-only everywhere, so that no stray write of a worker can reach it. */
struct header {
    uint64_t magic;
    uint32_t version, record_bytes;
    uint32_t records, threads, regions, reserved;
    uint64_t sum; /* of what is before it */
};

struct fixed {
    struct ledger_counters counters;
    struct ledger_crash crash;
};

struct content { /* no padding: it is summed as bytes */
    uint64_t heap_offset;
    int64_t sent_at_ms, received_at_ms, first_received_mono_ms;
    uint32_t body_bytes, attributes_bytes;
    uint16_t id_bytes, group_bytes, md5_bytes, reserved;
};

struct receipt {
    uint32_t count, handle_bytes;
};

/* Records start on a cache line; the words that change most share the first with the sums. */
struct record {
    _Alignas(64) _Atomic uint64_t state; /* sealed; 0: free */
    _Atomic uint64_t lease[2];           /* sealed, twice, so that a chance match does not pass */
    uint64_t content_sum;                /* of the record's number, content, id, group, md5, body and attributes */
    uint64_t receipt_sum;                /* of content_sum, receipt and handle */
    struct content content;
    struct receipt receipt;
    char id[LEDGER_ID_BYTES];
    char group[LEDGER_GROUP_BYTES];
    char md5[MD5_BYTES];
    char handle[LEDGER_HANDLE_BYTES];
};

static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2, "processes share these atomics");
static_assert(sizeof(struct content) == 48 && sizeof(struct receipt) == 8, "summed as bytes, so without padding");
static_assert(sizeof(struct header) == 40, "summed as bytes, so without padding");

/* What the writer knows without looking into the map. */
struct held {
    uint64_t offset, sum;
    size_t bytes;
    bool used;
};

struct ledger {
    unsigned char *map;
    uint64_t map_bytes, heap_bytes;
    uint32_t records, threads;
    struct fixed *fixed;
    struct ledger_thread *thread;
    struct record *record;
    unsigned char *heap;
    /* private to the writer */
    struct ledger_heap *space;
    struct held *held;
    uint32_t *free;
    uint32_t n_free;
};

struct layout {
    uint64_t fixed, threads, records, heap, total;
};

static uint64_t
align_section(uint64_t n)
{
    return (n + SECTION_ALIGN - 1) & ~(SECTION_ALIGN - 1);
}

static struct layout
layout_of(const struct header *h)
{
    struct layout at = {.fixed = SECTION_ALIGN};
    at.threads = at.fixed + align_section(sizeof(struct fixed));
    at.records = at.threads + align_section((uint64_t)h->threads * sizeof(struct ledger_thread));
    at.heap = at.records + align_section((uint64_t)h->records * sizeof(struct record));
    at.total = at.heap + (uint64_t)h->regions * LEDGER_HEAP_REGION;
    return at;
}

static uint64_t
header_sum(const struct header *h)
{
    return checksum(h, offsetof(struct header, sum), MAGIC);
}

int
ledger_create(const struct ledger_options *options, int *ret_fd, struct ledger **ret_ledger, struct err *e)
{
    struct header h = {.magic = MAGIC,
                       .version = LAYOUT_VERSION,
                       .record_bytes = sizeof(struct record),
                       .records = options->records,
                       .threads = options->threads};
    if (h.records < 1 || h.records > LEDGER_RECORDS_MAX)
        return err_set(e, ERR_LIMIT, "ledger: %u records: 1 to %u", h.records, LEDGER_RECORDS_MAX);
    if (h.threads < 1 || h.threads > LEDGER_THREADS_MAX)
        return err_set(e, ERR_LIMIT, "ledger: %u threads: 1 to %u", h.threads, LEDGER_THREADS_MAX);
    uint64_t regions = options->heap_bytes / LEDGER_HEAP_REGION + (options->heap_bytes % LEDGER_HEAP_REGION != 0);
    h.regions = options->heap_bytes == 0 || regions > h.records ? h.records : (uint32_t)regions;
    h.sum = header_sum(&h);

    int fd = memfd_create("fanout-ledger", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return err_set_errno(e, errno, "ledger: memfd_create");
    int rc;
    if (ftruncate(fd, (off_t)layout_of(&h).total) != 0 || pwrite(fd, &h, sizeof h, 0) != sizeof h ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
        rc = err_set_errno(e, errno, "ledger: a memfd of %u records", h.records);
    else
        rc = ledger_open(fd, ret_ledger, e);
    if (rc != 0) {
        close(fd);
        return rc;
    }
    *ret_fd = fd;
    return 0;
}

static int
read_header(int fd, struct header *ret_header, struct err *e)
{
    struct header h;
    struct stat st;
    ssize_t n = pread(fd, &h, sizeof h, 0);
    if (n < 0 || fstat(fd, &st) != 0)
        return err_set_errno(e, errno, "ledger: cannot read descriptor %d", fd);
    if ((size_t)n < sizeof h || h.magic != MAGIC || h.sum != header_sum(&h))
        return err_set(e, ERR_CORRUPT, "ledger: descriptor %d holds no ledger, or its header is damaged", fd);
    if (h.version != LAYOUT_VERSION || h.record_bytes != sizeof(struct record))
        return err_set(e, ERR_CORRUPT,
                       "ledger: layout %u with records of %u bytes; this program knows layout %d with %zu", h.version,
                       h.record_bytes, LAYOUT_VERSION, sizeof(struct record));
    if (h.records < 1 || h.records > LEDGER_RECORDS_MAX || h.threads < 1 || h.threads > LEDGER_THREADS_MAX ||
        h.regions < 1 || h.regions > h.records || (uint64_t)st.st_size != layout_of(&h).total)
        return err_set(e, ERR_CORRUPT, "ledger: its header does not fit its size of %lld bytes", (long long)st.st_size);
    *ret_header = h;
    return 0;
}

int
ledger_open(int fd, struct ledger **ret_ledger, struct err *e)
{
    struct header h = {0};
    int rc = read_header(fd, &h, e);
    if (rc != 0)
        return rc;
    assert(h.records >= 1 && h.threads >= 1);
    struct layout at = layout_of(&h);
    struct ledger *l = calloc(1, sizeof *l);
    if (!l)
        return err_no_memory(e);
    l->records = h.records;
    l->threads = h.threads;
    l->map_bytes = at.total;
    l->heap_bytes = at.total - at.heap;
    l->map = mmap(NULL, at.total, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (l->map == MAP_FAILED) {
        l->map = NULL;
        rc = err_set_errno(e, errno, "ledger: %llu bytes of address space", (unsigned long long)at.total);
        goto fail;
    }
    /* Bodies belong into no core file. */
    if (mprotect(l->map, at.fixed, PROT_READ) != 0 || madvise(l->map, at.total, MADV_DONTDUMP) != 0) {
        rc = err_set_errno(e, errno, "ledger: mprotect");
        goto fail;
    }
    l->fixed = (struct fixed *)(l->map + at.fixed);
    l->thread = (struct ledger_thread *)(l->map + at.threads);
    l->record = (struct record *)(l->map + at.records);
    l->heap = l->map + at.heap;
    l->held = calloc(l->records, sizeof *l->held);
    l->free = calloc(l->records, sizeof *l->free);
    if (!l->held || !l->free) {
        rc = err_no_memory(e);
        goto fail;
    }
    rc = ledger_heap_new(h.regions, &l->space, e);
    if (rc != 0)
        goto fail;
    *ret_ledger = l;
    return 0;
fail:
    ledger_close(l);
    return rc;
}

void
ledger_close(struct ledger *l)
{
    if (!l)
        return;
    ledger_heap_destroy(l->space);
    free(l->free);
    free(l->held);
    if (l->map)
        munmap(l->map, l->map_bytes);
    free(l);
}

static void
zero_pages(void *p, uint64_t n)
{
    if (madvise(p, n, MADV_REMOVE) != 0)
        memset(p, 0, n);
}

void
ledger_reset(struct ledger *l)
{
    zero_pages(l->thread, (uint64_t)((unsigned char *)l->record - (unsigned char *)l->thread));
    zero_pages(l->record, (uint64_t)(l->heap - (unsigned char *)l->record));
    zero_pages(l->heap, l->heap_bytes);
    memset(&l->fixed->crash, 0, sizeof l->fixed->crash);
    l->fixed->crash.thread = -1;
    ledger_heap_reset(l->space);
    memset(l->held, 0, l->records * sizeof *l->held);
    for (uint32_t i = 0; i < l->records; i++)
        l->free[i] = l->records - 1 - i;
    l->n_free = l->records;
}

struct ledger_counters *
ledger_counters(struct ledger *l)
{
    return &l->fixed->counters;
}

uint32_t
ledger_records(const struct ledger *l)
{
    return l->records;
}

uint32_t
ledger_threads(const struct ledger *l)
{
    return l->threads;
}

/* ---- words that carry their own proof ---- */

static uint64_t
proof(uint64_t value, uint64_t key, unsigned bits)
{
    unsigned __int128 product =
        (unsigned __int128)(value ^ UINT64_C(0x9e3779b97f4a7c15)) * (key | UINT64_C(0x8000000000000001));
    uint64_t x = (uint64_t)product ^ (uint64_t)(product >> 64);
    x *= UINT64_C(0xd6e8feb86659fd93);
    return x >> (64 - bits);
}

#define STATE_BITS 24
#define LEASE_BITS 44

static uint64_t
seal(uint64_t value, unsigned value_bits, uint64_t key)
{
    return value | proof(value, key, 64 - value_bits) << value_bits;
}

static bool
unseal(uint64_t sealed, unsigned value_bits, uint64_t key, uint64_t *ret_value)
{
    uint64_t value = sealed & ((UINT64_C(1) << value_bits) - 1);
    if (sealed != seal(value, value_bits, key))
        return false;
    *ret_value = value;
    return true;
}

static void
store_state(struct record *r, enum ledger_state state, int32_t thread, uint64_t key)
{
    uint64_t value = (uint64_t)state | (uint64_t)(thread + 1) << 8;
    atomic_store_explicit(&r->state, seal(value, STATE_BITS, key), memory_order_release);
}

static void
store_lease(struct record *r, int64_t lease_mono_ms, uint64_t key)
{
    const int64_t largest = (INT64_C(1) << LEASE_BITS) - 1;
    uint64_t value = lease_mono_ms < 0 ? 0 : (uint64_t)(lease_mono_ms > largest ? largest : lease_mono_ms);
    atomic_store_explicit(&r->lease[0], seal(value, LEASE_BITS, key), memory_order_relaxed);
    atomic_store_explicit(&r->lease[1], seal(value, LEASE_BITS, ~key), memory_order_release);
}

/* ---- the writer ---- */

static uint64_t
sum_content(uint32_t number, const struct content *c, const char *id, const char *group, const char *md5,
            const void *heap)
{
    uint64_t sum = checksum(c, sizeof *c, number + 1);
    sum = checksum(id, c->id_bytes, sum);
    sum = checksum(group, c->group_bytes, sum);
    sum = checksum(md5, c->md5_bytes, sum);
    return checksum(heap, (size_t)c->body_bytes + c->attributes_bytes, sum);
}

static uint64_t
sum_receipt(uint64_t content_sum, const struct receipt *r, const char *handle)
{
    return checksum(handle, r->handle_bytes, checksum(r, sizeof *r, content_sum));
}

static void
copy(void *to, struct slice from)
{
    if (from.n > 0)
        memcpy(to, from.p, from.n);
}

static int
check_handle(struct slice handle, struct err *e)
{
    if (handle.n == 0 || handle.n > LEDGER_HANDLE_BYTES)
        return err_set(e, ERR_LIMIT, "ledger: a receipt handle of %zu bytes: 1 to %d", handle.n, LEDGER_HANDLE_BYTES);
    return 0;
}

static int
check_message(const struct ledger_message *m, struct err *e)
{
    if (m->id.n == 0 || m->id.n > LEDGER_ID_BYTES)
        return err_set(e, ERR_LIMIT, "ledger: a message id of %zu bytes: 1 to %d", m->id.n, LEDGER_ID_BYTES);
    if (m->group.n > LEDGER_GROUP_BYTES)
        return err_set(e, ERR_LIMIT, "ledger: a message group of %zu bytes: at most %d", m->group.n,
                       LEDGER_GROUP_BYTES);
    if (m->md5_of_body.n > MD5_BYTES)
        return err_set(e, ERR_LIMIT, "ledger: an MD5 of %zu bytes: at most %d", m->md5_of_body.n, MD5_BYTES);
    if (m->body.n > LEDGER_HEAP_REGION || m->attributes.n > LEDGER_HEAP_REGION - m->body.n)
        return err_set(e, ERR_LIMIT, "ledger: a message of %zu + %zu bytes: at most %llu", m->body.n, m->attributes.n,
                       (unsigned long long)LEDGER_HEAP_REGION);
    return check_handle(m->receipt_handle, e);
}

static void
put_receipt(struct record *r, uint64_t content_sum, struct slice handle, uint32_t count)
{
    r->receipt = (struct receipt){.count = count, .handle_bytes = (uint32_t)handle.n};
    copy(r->handle, handle);
    r->receipt_sum = sum_receipt(content_sum, &r->receipt, r->handle);
}

int
ledger_put(struct ledger *l, const struct ledger_message *m, uint32_t *ret_record, struct err *e)
{
    int rc = check_message(m, e);
    if (rc != 0)
        return rc;
    if (l->n_free == 0)
        return err_set(e, ERR_LIMIT, "ledger: all %u records are in use", l->records);
    uint32_t number = l->free[l->n_free - 1];
    struct held *held = &l->held[number];
    held->bytes = m->body.n + m->attributes.n;
    if (!ledger_heap_take(l->space, held->bytes, &held->offset))
        return err_set(e, ERR_LIMIT, "ledger: no room for %zu bytes in a heap of %llu", held->bytes,
                       (unsigned long long)l->heap_bytes);
    l->n_free--;
    held->used = true;

    struct record *r = &l->record[number];
    unsigned char *heap = l->heap + held->offset;
    r->content = (struct content){
        .heap_offset = held->offset,
        .sent_at_ms = m->sent_at_ms,
        .received_at_ms = m->received_at_ms,
        .first_received_mono_ms = m->first_received_mono_ms,
        .body_bytes = (uint32_t)m->body.n,
        .attributes_bytes = (uint32_t)m->attributes.n,
        .id_bytes = (uint16_t)m->id.n,
        .group_bytes = (uint16_t)m->group.n,
        .md5_bytes = (uint16_t)m->md5_of_body.n,
    };
    copy(r->id, m->id);
    copy(r->group, m->group);
    copy(r->md5, m->md5_of_body);
    copy(heap, m->body);
    copy(heap + m->body.n, m->attributes);
    held->sum = sum_content(number, &r->content, r->id, r->group, r->md5, heap);
    r->content_sum = held->sum;
    put_receipt(r, held->sum, m->receipt_handle, m->receive_count);
    store_lease(r, m->lease_mono_ms, held->sum);
    store_state(r, LEDGER_QUEUED, -1, held->sum);
    *ret_record = number;
    return 0;
}

static struct record *
held_record(struct ledger *l, uint32_t number)
{
    assert(number < l->records && l->held[number].used);
    return &l->record[number];
}

void
ledger_set_state(struct ledger *l, uint32_t number, enum ledger_state state, int32_t thread)
{
    assert(state > LEDGER_FREE && state <= LEDGER_REJECT && thread >= -1 && thread < (int32_t)l->threads);
    store_state(held_record(l, number), state, thread, l->held[number].sum);
}

void
ledger_set_lease(struct ledger *l, uint32_t number, int64_t lease_mono_ms)
{
    store_lease(held_record(l, number), lease_mono_ms, l->held[number].sum);
}

int
ledger_set_receipt(struct ledger *l, uint32_t number, struct slice receipt_handle, uint32_t receive_count,
                   int64_t lease_mono_ms, struct err *e)
{
    struct record *r = held_record(l, number);
    int rc = check_handle(receipt_handle, e);
    if (rc != 0)
        return rc;
    put_receipt(r, l->held[number].sum, receipt_handle, receive_count);
    store_lease(r, lease_mono_ms, l->held[number].sum);
    return 0;
}

void
ledger_release(struct ledger *l, uint32_t number)
{
    struct record *r = held_record(l, number);
    struct held *held = &l->held[number];
    atomic_store_explicit(&r->state, 0, memory_order_release);
    ledger_heap_give(l->space, held->offset, held->bytes);
    if (held->bytes >= PUNCH_BYTES)
        madvise(l->heap + held->offset, align_section(held->bytes), MADV_REMOVE);
    held->used = false;
    l->free[l->n_free++] = number;
}

/* ---- the reader ---- */

int
ledger_get(const struct ledger *l, uint32_t number, struct ledger_message *ret_message, struct err *e)
{
    assert(number < l->records);
    const struct record *r = &l->record[number];
    uint64_t sealed_state = atomic_load_explicit(&r->state, memory_order_acquire);
    if (sealed_state == 0)
        return err_set(e, ERR_NOT_FOUND, "ledger: record %u is free", number);

    struct content c = r->content;
    struct receipt receipt = r->receipt;
    uint64_t key = r->content_sum, state, lease[2];
    if (c.id_bytes == 0 || c.id_bytes > sizeof r->id || c.group_bytes > sizeof r->group ||
        c.md5_bytes > sizeof r->md5 || receipt.handle_bytes == 0 || receipt.handle_bytes > sizeof r->handle ||
        c.body_bytes > LEDGER_HEAP_REGION || c.attributes_bytes > LEDGER_HEAP_REGION - c.body_bytes ||
        c.heap_offset > l->heap_bytes || (uint64_t)c.body_bytes + c.attributes_bytes > l->heap_bytes - c.heap_offset)
        return err_set(e, ERR_CORRUPT, "ledger: record %u has impossible lengths", number);
    const char *body = (const char *)l->heap + c.heap_offset;
    if (key != sum_content(number, &c, r->id, r->group, r->md5, body) ||
        r->receipt_sum != sum_receipt(key, &receipt, r->handle))
        return err_set(e, ERR_CORRUPT, "ledger: record %u fails its checksum", number);
    if (!unseal(sealed_state, STATE_BITS, key, &state) || (state & 0xff) < LEDGER_QUEUED ||
        (state & 0xff) > LEDGER_REJECT ||
        !unseal(atomic_load_explicit(&r->lease[0], memory_order_acquire), LEASE_BITS, key, &lease[0]) ||
        !unseal(atomic_load_explicit(&r->lease[1], memory_order_relaxed), LEASE_BITS, ~key, &lease[1]))
        return err_set(e, ERR_CORRUPT, "ledger: record %u has a damaged state or lease", number);

    *ret_message = (struct ledger_message){
        .id = slice_of(r->id, c.id_bytes),
        .receipt_handle = slice_of(r->handle, receipt.handle_bytes),
        .group = slice_of(r->group, c.group_bytes),
        .body = slice_of(body, c.body_bytes),
        .attributes = slice_of(body + c.body_bytes, c.attributes_bytes),
        .md5_of_body = slice_of(r->md5, c.md5_bytes),
        .receive_count = receipt.count,
        .sent_at_ms = c.sent_at_ms,
        .received_at_ms = c.received_at_ms,
        .first_received_mono_ms = c.first_received_mono_ms,
        /* They differ when the writer died between its two stores: the earlier one is the safe one. */
        .lease_mono_ms = (int64_t)(lease[0] < lease[1] ? lease[0] : lease[1]),
        .state = (enum ledger_state)(state & 0xff),
        .thread = (int32_t)(state >> 8) - 1,
    };
    return 0;
}

/* ---- handler threads and crashes ---- */

void
ledger_thread_enter(struct ledger *l, uint32_t thread, uint32_t first_record, uint32_t count, int64_t now_mono_ms)
{
    assert(thread < l->threads);
    struct ledger_thread *t = &l->thread[thread];
    atomic_store_explicit(&t->first_record, first_record, memory_order_relaxed);
    atomic_store_explicit(&t->batch_count, count, memory_order_relaxed);
    atomic_fetch_add_explicit(&t->calls, 1, memory_order_relaxed);
    atomic_store_explicit(&t->entered_mono_ms, now_mono_ms, memory_order_release);
}

void
ledger_thread_leave(struct ledger *l, uint32_t thread)
{
    assert(thread < l->threads);
    atomic_store_explicit(&l->thread[thread].entered_mono_ms, 0, memory_order_release);
}

const struct ledger_thread *
ledger_thread(const struct ledger *l, uint32_t thread)
{
    assert(thread < l->threads);
    return &l->thread[thread];
}

struct ledger_crash *
ledger_crash(struct ledger *l)
{
    return &l->fixed->crash;
}
