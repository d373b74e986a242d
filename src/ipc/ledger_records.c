/* The messages of a ledger: put, changed, released by the one writer, and read back by whoever comes after it. */
#include "ipc/ledger_impl.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "ipc/checksum.h"

#define PUNCH_BYTES 65536

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
store_state(struct ledger_record *r, enum ledger_state state, int32_t thread, uint64_t key)
{
    uint64_t value = (uint64_t)state | (uint64_t)(thread + 1) << 8;
    atomic_store_explicit(&r->state, seal(value, STATE_BITS, key), memory_order_release);
}

static void
store_lease(struct ledger_record *r, int64_t lease_mono_ms, uint64_t key)
{
    const int64_t largest = (INT64_C(1) << LEASE_BITS) - 1;
    uint64_t value = lease_mono_ms < 0 ? 0 : (uint64_t)(lease_mono_ms > largest ? largest : lease_mono_ms);
    atomic_store_explicit(&r->lease[0], seal(value, LEASE_BITS, key), memory_order_relaxed);
    atomic_store_explicit(&r->lease[1], seal(value, LEASE_BITS, ~key), memory_order_release);
}

/* ---- the writer ---- */

static uint64_t
sum_content(uint32_t number, const struct ledger_content *c, const char *id, const char *group, const char *md5,
            const void *heap)
{
    uint64_t sum = checksum(c, sizeof *c, number + 1);
    sum = checksum(id, c->id_bytes, sum);
    sum = checksum(group, c->group_bytes, sum);
    sum = checksum(md5, c->md5_bytes, sum);
    return checksum(heap, (size_t)c->body_bytes + c->attributes_bytes, sum);
}

static uint64_t
sum_receipt(uint64_t content_sum, const struct ledger_receipt *r, const char *handle)
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
    if (m->md5_of_body.n > LEDGER_MD5_BYTES)
        return err_set(e, ERR_LIMIT, "ledger: an MD5 of %zu bytes: at most %d", m->md5_of_body.n, LEDGER_MD5_BYTES);
    if (m->body.n > LEDGER_HEAP_REGION || m->attributes.n > LEDGER_HEAP_REGION - m->body.n)
        return err_set(e, ERR_LIMIT, "ledger: a message of %zu + %zu bytes: at most %llu", m->body.n, m->attributes.n,
                       (unsigned long long)LEDGER_HEAP_REGION);
    return check_handle(m->receipt_handle, e);
}

static void
put_receipt(struct ledger_record *r, uint64_t content_sum, struct slice handle, uint32_t count)
{
    r->receipt = (struct ledger_receipt){.count = count, .handle_bytes = (uint32_t)handle.n};
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
    struct ledger_held *held = &l->held[number];
    held->bytes = m->body.n + m->attributes.n;
    if (!ledger_heap_take(l->space, held->bytes, &held->offset))
        return err_set(e, ERR_LIMIT, "ledger: no room for %zu bytes in a heap of %llu", held->bytes,
                       (unsigned long long)l->heap_bytes);
    l->n_free--;
    held->used = true;

    struct ledger_record *r = &l->record[number];
    unsigned char *heap = l->heap + held->offset;
    r->content = (struct ledger_content){
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

static struct ledger_record *
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
    struct ledger_record *r = held_record(l, number);
    int rc = check_handle(receipt_handle, e);
    if (rc != 0)
        return rc;
    put_receipt(r, l->held[number].sum, receipt_handle, receive_count);
    store_lease(r, lease_mono_ms, l->held[number].sum);
    return 0;
}

/* A block of at least PUNCH_BYTES is a power of two: rounded up, its bytes are still inside it. */
static size_t
whole_pages(size_t n)
{
    return (n + PUNCH_BYTES - 1) / PUNCH_BYTES * PUNCH_BYTES;
}

void
ledger_release(struct ledger *l, uint32_t number)
{
    struct ledger_record *r = held_record(l, number);
    struct ledger_held *held = &l->held[number];
    atomic_store_explicit(&r->state, 0, memory_order_release);
    ledger_heap_give(l->space, held->offset, held->bytes);
    if (held->bytes >= PUNCH_BYTES)
        madvise(l->heap + held->offset, whole_pages(held->bytes), MADV_REMOVE);
    held->used = false;
    l->free[l->n_free++] = number;
}

/* ---- the reader ---- */

int
ledger_get(const struct ledger *l, uint32_t number, struct ledger_message *ret_message, struct err *e)
{
    assert(number < l->records);
    const struct ledger_record *r = &l->record[number];
    uint64_t sealed_state = atomic_load_explicit(&r->state, memory_order_acquire);
    if (sealed_state == 0)
        return err_set(e, ERR_NOT_FOUND, "ledger: record %u is free", number);

    struct ledger_content c = r->content;
    struct ledger_receipt receipt = r->receipt;
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
