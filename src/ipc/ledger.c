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
#include "ipc/ledger_impl.h"

#define MAGIC          UINT64_C(0x46414e4c45444752)
#define LAYOUT_VERSION 3
#define SECTION_ALIGN  UINT64_C(65536) /* the largest page size in use */

/* The first section, mapped read-only everywhere, so that no stray write of a worker can reach it. */
struct header {
    uint64_t magic;
    uint32_t version, record_bytes;
    uint32_t records, threads, regions, fixed_bytes;
    uint64_t sum; /* of what is before it */
};

static_assert(sizeof(struct header) == 40, "summed as bytes, so without padding");

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
    at.threads = at.fixed + align_section(sizeof(struct ledger_fixed));
    at.records = at.threads + align_section((uint64_t)h->threads * sizeof(struct ledger_thread));
    at.heap = at.records + align_section((uint64_t)h->records * sizeof(struct ledger_record));
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
                       .record_bytes = sizeof(struct ledger_record),
                       .records = options->records,
                       .threads = options->threads,
                       .fixed_bytes = sizeof(struct ledger_fixed)};
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
    if (h.version != LAYOUT_VERSION || h.record_bytes != sizeof(struct ledger_record) ||
        h.fixed_bytes != sizeof(struct ledger_fixed))
        return err_set(
            e, ERR_CORRUPT,
            "ledger: layout %u with records of %u bytes and figures of %u; this program knows layout %d with %zu "
            "and %zu; its worker and its supervisor are of two versions",
            h.version, h.record_bytes, h.fixed_bytes, LAYOUT_VERSION, sizeof(struct ledger_record),
            sizeof(struct ledger_fixed));
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
    l->fixed = (struct ledger_fixed *)(l->map + at.fixed);
    l->thread = (struct ledger_thread *)(l->map + at.threads);
    l->record = (struct ledger_record *)(l->map + at.records);
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

struct metrics *
ledger_metrics(struct ledger *l)
{
    return &l->fixed->metrics;
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
