#include "ipc/ledger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "ipc/checksum.h"
#include "ipc/ledger_heap.h"
#include "lib/rounds.h"
#include "lib/xorshift.h"

#define SECTION 65536 /* the header's, mapped read-only */

static struct ledger *
make(uint32_t records, uint64_t heap_bytes, int *ret_fd)
{
    struct ledger *l = NULL;
    struct err e = {0};
    const struct ledger_options options = {.records = records, .threads = 4, .heap_bytes = heap_bytes};
    if (ledger_create(&options, ret_fd, &l, &e) != 0)
        fail_msg("%s", e.text);
    ledger_reset(l);
    return l;
}

static struct ledger_message
message(const char *body)
{
    return (struct ledger_message){
        .id = SLICE("5fea7756-0ea4-451a-a703-a558b933e274"),
        .receipt_handle = SLICE("AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a=="),
        .group = SLICE("orders-7"),
        .body = slice_of_string(body),
        .attributes = SLICE("trace\0AWS"),
        .md5_of_body = SLICE("0123456789abcdef0123456789abcdef"),
        .receive_count = 3,
        .sent_at_ms = 1763705045123,
        .received_at_ms = 1763705046123,
        .first_received_mono_ms = 777,
        .lease_mono_ms = 30777,
    };
}

static bool
same(const struct ledger_message *a, const struct ledger_message *b)
{
    return slice_equals(a->id, b->id) && slice_equals(a->receipt_handle, b->receipt_handle) &&
           slice_equals(a->group, b->group) && slice_equals(a->body, b->body) &&
           slice_equals(a->attributes, b->attributes) && slice_equals(a->md5_of_body, b->md5_of_body) &&
           a->receive_count == b->receive_count && a->sent_at_ms == b->sent_at_ms &&
           a->received_at_ms == b->received_at_ms && a->first_received_mono_ms == b->first_received_mono_ms &&
           a->lease_mono_ms == b->lease_mono_ms && a->state == b->state && a->thread == b->thread;
}

static uint64_t
pages_in_use(int fd)
{
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    return (uint64_t)st.st_blocks * 512 / 4096;
}

static void
a_successor_reads_back_what_was_put(void **state)
{
    (void)state;
    int fd;
    struct ledger *l = make(3, 0, &fd), *successor;
    struct ledger_message m = message("{\"detail\":{}}"), empty = message(""), got;
    uint32_t first, second;
    empty.group = empty.md5_of_body = empty.attributes = slice_of(NULL, 0);
    assert_int_equal(ledger_put(l, &m, &first, NULL), 0);
    assert_int_equal(ledger_put(l, &empty, &second, NULL), 0);
    ledger_set_state(l, second, LEDGER_HANDLING, 3);
    ledger_set_lease(l, second, 60001);
    ledger_close(l);

    assert_int_equal(ledger_open(fd, &successor, NULL), 0);
    assert_int_equal(ledger_records(successor), 3);
    assert_int_equal(ledger_threads(successor), 4);
    m.state = LEDGER_QUEUED;
    m.thread = -1;
    assert_int_equal(ledger_get(successor, first, &got, NULL), 0);
    assert_true(same(&m, &got));
    empty.state = LEDGER_HANDLING;
    empty.thread = 3;
    empty.lease_mono_ms = 60001;
    assert_int_equal(ledger_get(successor, second, &got, NULL), 0);
    assert_true(same(&empty, &got));
    assert_int_equal(ledger_get(successor, 3 - first - second, &got, NULL), ERR_NOT_FOUND);

    ledger_reset(successor);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(ledger_get(successor, i, &got, NULL), ERR_NOT_FOUND);
    ledger_close(successor);
    close(fd);
}

static void
a_newer_receive_replaces_handle_count_and_lease(void **state)
{
    (void)state;
    int fd;
    struct ledger *l = make(1, 0, &fd);
    struct ledger_message m = message("body"), got;
    uint32_t r;
    struct err e;
    char too_long[LEDGER_HANDLE_BYTES + 1] = {0};
    assert_int_equal(ledger_put(l, &m, &r, NULL), 0);
    ledger_set_state(l, r, LEDGER_DONE, -1);
    assert_int_equal(ledger_set_receipt(l, r, SLICE("a newer handle"), 4, 99, NULL), 0);
    assert_int_equal(ledger_set_receipt(l, r, slice_of(too_long, sizeof too_long), 5, 100, &e), ERR_LIMIT);
    assert_int_equal(ledger_get(l, r, &got, NULL), 0);
    m.receipt_handle = SLICE("a newer handle");
    m.receive_count = 4;
    m.lease_mono_ms = 99;
    m.state = LEDGER_DONE;
    m.thread = -1;
    assert_true(same(&m, &got));
    ledger_close(l);
    close(fd);
}

static void
what_does_not_fit_is_refused_and_costs_nothing(void **state)
{
    (void)state;
    int fd;
    struct ledger *l = make(2, 0, &fd);
    static char large[(2 << 20) + 1];
    struct err e;
    uint32_t r, filled[2];
    const struct {
        struct slice id, handle, group, body;
    } cases[] = {
        {slice_of(large, LEDGER_ID_BYTES + 1), SLICE("h"), SLICE("g"), SLICE("b")},
        {SLICE(""), SLICE("h"), SLICE("g"), SLICE("b")},
        {SLICE("i"), slice_of(large, LEDGER_HANDLE_BYTES + 1), SLICE("g"), SLICE("b")},
        {SLICE("i"), SLICE(""), SLICE("g"), SLICE("b")},
        {SLICE("i"), SLICE("h"), slice_of(large, LEDGER_GROUP_BYTES + 1), SLICE("b")},
        {SLICE("i"), SLICE("h"), SLICE("g"), slice_of(large, sizeof large)},
        {SLICE("i"), SLICE("h"), SLICE("g"), slice_of(large, SIZE_MAX)},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ledger_message m = message("");
        m.id = cases[i].id;
        m.receipt_handle = cases[i].handle;
        m.group = cases[i].group;
        m.body = cases[i].body;
        assert_int_equal(ledger_put(l, &m, &r, &e), ERR_LIMIT);
    }
    struct ledger_message m = message("");
    m.attributes = slice_of(NULL, 0);
    m.body = slice_of(large, sizeof large - 1);
    for (int i = 0; i < 2; i++)
        assert_int_equal(ledger_put(l, &m, &filled[i], &e), 0);
    assert_int_equal(ledger_put(l, &m, &r, &e), ERR_LIMIT);
    ledger_release(l, filled[0]);
    assert_int_equal(ledger_put(l, &m, &r, &e), 0);
    ledger_close(l);
    close(fd);

    const struct ledger_options bad[] = {{.records = 0, .threads = 1},
                                         {.records = LEDGER_RECORDS_MAX + 1, .threads = 1},
                                         {.records = 1, .threads = 0},
                                         {.records = 1, .threads = LEDGER_THREADS_MAX + 1}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(ledger_create(&bad[i], &fd, &l, &e), ERR_LIMIT);
}

static void
a_smaller_heap_says_when_it_is_full(void **state)
{
    (void)state;
    int fd;
    struct ledger *l = make(100, 3 << 20, &fd);
    static char body[1 << 20];
    struct ledger_message m = message("");
    struct err e;
    uint32_t r[5];
    m.attributes = slice_of(NULL, 0);
    m.body = slice_of(body, sizeof body);
    for (int i = 0; i < 4; i++)
        assert_int_equal(ledger_put(l, &m, &r[i], &e), 0);
    assert_int_equal(ledger_put(l, &m, &r[4], &e), ERR_LIMIT);
    assert_non_null(strstr(e.text, "no room"));
    ledger_release(l, r[2]);
    assert_int_equal(ledger_put(l, &m, &r[4], &e), 0);
    ledger_close(l);
    close(fd);
}

static void
released_large_bodies_give_their_memory_back(void **state)
{
    (void)state;
    int fd;
    struct ledger *l = make(20, 0, &fd);
    char *body = malloc(1 << 20);
    memset(body, 'x', 1 << 20);
    struct ledger_message m = message("");
    m.body = slice_of(body, 1 << 20);
    uint64_t before = pages_in_use(fd);
    uint32_t r[20];
    for (int i = 0; i < 20; i++)
        assert_int_equal(ledger_put(l, &m, &r[i], NULL), 0);
    assert_in_range(pages_in_use(fd) - before, 20 * 256, 20 * 260);
    for (int i = 0; i < 20; i++)
        ledger_release(l, r[i]);
    assert_in_range(pages_in_use(fd) - before, 0, 20);
    free(body);
    ledger_close(l);
    close(fd);
}

static void
small_bodies_are_packed(void **state)
{
    (void)state;
    int fd;
    struct ledger *l = make(1000, 0, &fd);
    struct ledger_message m = message("a body of a few bytes");
    uint32_t r[1000];
    uint64_t before = pages_in_use(fd);
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 1000; i++)
            assert_int_equal(ledger_put(l, &m, &r[i], NULL), 0);
        for (int i = 0; i < 1000; i++)
            ledger_release(l, r[(i * 7) % 1000]);
    }
    /* 1,000 records of 2 KiB and 1,000 blocks of 512 bytes. */
    assert_in_range(pages_in_use(fd) - before, 0, 700);
    ledger_close(l);
    close(fd);
}

/* In a heap of n regions the n-th allocation never fails, whatever came before, and blocks never overlap. */
static void
the_heap_keeps_its_promise_under_any_mix_of_sizes(void **state)
{
    (void)state;
    enum { REGIONS = 16 };
    struct ledger_heap *h;
    struct {
        uint64_t at;
        size_t n;
    } block[REGIONS] = {0};
    bool used[REGIONS] = {0};
    uint64_t random = 42;
    assert_int_equal(ledger_heap_new(REGIONS, &h, NULL), 0);
    for (int step = 0; step < 200000; step++) {
        size_t i = xorshift_next(&random) % REGIONS;
        if (used[i]) {
            ledger_heap_give(h, block[i].at, block[i].n);
            used[i] = false;
            continue;
        }
        block[i].n = xorshift_next(&random) % LEDGER_HEAP_REGION >> xorshift_next(&random) % 22;
        if (xorshift_next(&random) % 5 == 0)
            block[i].n = LEDGER_HEAP_REGION;
        assert_true(ledger_heap_take(h, block[i].n, &block[i].at));
        assert_true(block[i].at + block[i].n <= REGIONS * LEDGER_HEAP_REGION);
        for (size_t k = 0; k < REGIONS; k++)
            if (used[k])
                assert_true(block[k].at + block[k].n <= block[i].at || block[i].at + block[i].n <= block[k].at);
        used[i] = true;
    }
    for (size_t i = 0; i < REGIONS; i++)
        if (used[i])
            ledger_heap_give(h, block[i].at, block[i].n);
    for (size_t i = 0; i < REGIONS; i++)
        assert_true(ledger_heap_take(h, LEDGER_HEAP_REGION, &block[i].at));
    assert_false(ledger_heap_take(h, 1, &block[0].at));
    ledger_heap_reset(h);
    assert_true(ledger_heap_take(h, 1, &block[0].at));
    ledger_heap_destroy(h);
}

/* Whatever a crashed worker left behind, a reader does not crash and hands out no message that was not put. */
static void
scribbles_are_noticed(void **state)
{
    (void)state;
    enum { RECORDS = 8 };
    int fd;
    struct ledger *l = make(RECORDS, 0, &fd);
    static char bodies[RECORDS][3000];
    struct ledger_message put[RECORDS], got;
    uint32_t number[RECORDS];
    uint64_t random = 7;
    for (uint32_t i = 0; i < RECORDS; i++) {
        put[i] = message("");
        put[i].body = slice_of(bodies[i], 1 + xorshift_next(&random) % 2999);
        for (size_t k = 0; k < put[i].body.n; k++)
            bodies[i][k] = (char)xorshift_next(&random);
        put[i].state = LEDGER_QUEUED;
        put[i].thread = -1;
        put[i].receive_count = i + 1;
        assert_int_equal(ledger_put(l, &put[i], &number[i], NULL), 0);
    }
    /* Everything in use lies in the first 4 sections, less than a MiB. */
    const size_t span = 5 * SECTION;
    unsigned char *map = mmap(NULL, span, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(map, MAP_FAILED);
    unsigned char *intact = malloc(span), *records = map + 3 * SECTION;
    memcpy(intact, map, span);
    uint32_t stride;
    memcpy(&stride, map + 12, sizeof stride);
    assert_in_range(stride, 1900, 2100);

    unsigned corrupt = 0, fine = 0, lengths = 0;
    struct err e;
    const unsigned rounds = (unsigned)rounds_of(30000);
    for (unsigned round = 0; round < rounds; round++) {
        size_t at = xorshift_next(&random) % span, n = 1 + (xorshift_next(&random) % 64 >> xorshift_next(&random) % 7);
        n = n > span - at ? span - at : n;
        if (round % 100 == 0) { /* now and then everything */
            at = 0;
            n = span;
        } else if (round % 2 == 0) { /* aim at the records' heads, where words mean something */
            at = 3 * SECTION + (xorshift_next(&random) % RECORDS) * stride + xorshift_next(&random) % 128;
        }
        unsigned style = xorshift_next(&random) % 4;
        for (size_t k = 0; k < n; k++)
            map[at + k] = style == 0 ? 0 : style == 1 ? 0xff : (unsigned char)xorshift_next(&random);
        if (style == 3 && at >= 3 * SECTION && n <= 64) /* one record's bytes over another's */
            memcpy(records, records + stride, stride);
        for (uint32_t i = 0; i < RECORDS; i++) {
            int rc = ledger_get(l, number[i], &got, &e);
            if (rc == 0) {
                assert_true(same(&put[i], &got));
                fine++;
            } else if (rc == ERR_CORRUPT) {
                corrupt++;
                lengths += strstr(e.text, "lengths") != NULL;
            } else {
                assert_int_equal(rc, ERR_NOT_FOUND);
            }
        }
        struct ledger *other;
        if (ledger_open(fd, &other, &e) == 0) {
            assert_int_equal(ledger_records(other), RECORDS);
            ledger_close(other);
        } else {
            assert_int_equal(e.code, ERR_CORRUPT);
        }
        memcpy(map + at, intact + at, n);
        memcpy(records, intact + 3 * SECTION, stride);
    }
    assert_true(fine > rounds / 30 && corrupt > rounds / 30 && lengths > rounds / 300);
    free(intact);
    munmap(map, span);
    ledger_close(l);
    close(fd);
}

static void
scribbles_do_not_lead_the_writer_astray(void **state)
{
    (void)state;
    int fd;
    struct ledger *l = make(4, 0, &fd);
    struct ledger_message m = message("body"), got;
    uint32_t r[4];
    const size_t span = 8 * SECTION;
    unsigned char *map = mmap(NULL, span, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(map, MAP_FAILED);
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < 4; i++)
            assert_int_equal(ledger_put(l, &m, &r[i], NULL), 0);
        memset(map + SECTION, round, span - SECTION);
        for (int i = 0; i < 4; i++) {
            ledger_set_state(l, r[i], LEDGER_HANDLING, 0);
            ledger_release(l, r[i]);
        }
    }
    assert_int_equal(ledger_put(l, &m, &r[0], NULL), 0);
    assert_int_equal(ledger_get(l, r[0], &got, NULL), 0);
    assert_true(slice_equals(got.body, m.body));
    munmap(map, span);
    ledger_close(l);
    close(fd);
}

static void
what_is_no_ledger_is_refused(void **state)
{
    (void)state;
    struct ledger *l;
    struct err e;
    int empty = memfd_create("empty", MFD_CLOEXEC), zeros = memfd_create("zeros", MFD_CLOEXEC);
    assert_int_equal(ftruncate(zeros, 1 << 20), 0);
    assert_int_equal(ledger_open(empty, &l, &e), ERR_CORRUPT);
    assert_int_equal(ledger_open(zeros, &l, &e), ERR_CORRUPT);
    assert_int_equal(ledger_open(-1, &l, &e), ERR_IO);

    int fd;
    l = make(2, 0, &fd);
    assert_int_not_equal(ftruncate(fd, 4096), 0); /* sealed: nobody can shrink it under a reader */
    char head[4096];
    assert_int_equal(pread(fd, head, sizeof head, 0), sizeof head);
    ledger_close(l);
    close(fd);
    assert_int_equal(pwrite(zeros, head, sizeof head, 0), sizeof head);
    assert_int_equal(ledger_open(zeros, &l, &e), ERR_CORRUPT);
    close(empty);
    close(zeros);
}

/* A ledger's first bytes, as ledger.c has them. */
struct head {
    uint64_t magic;
    uint32_t version, record_bytes, records, threads, regions, fixed_bytes;
    uint64_t sum;
};

/* Of a program that knows another list of metrics. */
static void
a_ledger_of_another_version_is_refused(void **state)
{
    (void)state;
    int fd;
    struct ledger *l = make(1, 0, &fd), *other;
    struct head h;
    struct err e;
    struct stat st;
    assert_int_equal(pread(fd, &h, sizeof h, 0), sizeof h);
    assert_int_equal(fstat(fd, &st), 0);
    for (int more = 0; more <= 8; more += 8) {
        int copy = memfd_create("copy", MFD_CLOEXEC);
        h.fixed_bytes += (uint32_t)more;
        h.sum = checksum(&h, offsetof(struct head, sum), h.magic);
        assert_int_equal(ftruncate(copy, st.st_size), 0);
        assert_int_equal(pwrite(copy, &h, sizeof h, 0), sizeof h);
        int rc = ledger_open(copy, &other, &e);
        assert_int_equal(rc, more ? ERR_CORRUPT : 0);
        if (rc == 0)
            ledger_close(other);
        else
            assert_non_null(strstr(e.text, "its worker and its supervisor are of two versions"));
        close(copy);
    }
    ledger_close(l);
    close(fd);
}

static void
counters_outlive_their_worker_and_a_reset(void **state)
{
    (void)state;
    int fd;
    struct ledger *l = make(1, 0, &fd), *successor;
    atomic_fetch_add(&ledger_metrics(l)->received, 5);
    ledger_crash(l)->signal = 11;
    ledger_close(l);
    assert_int_equal(ledger_open(fd, &successor, NULL), 0);
    assert_int_equal(ledger_crash(successor)->signal, 11);
    ledger_reset(successor);
    assert_int_equal(ledger_metrics(successor)->received, 5);
    assert_int_equal(ledger_crash(successor)->signal, 0);
    assert_int_equal(ledger_crash(successor)->thread, -1);
    ledger_close(successor);
    close(fd);
}

static void
a_thread_entry_says_what_is_inside_the_handler(void **state)
{
    (void)state;
    int fd;
    struct ledger *l = make(1, 0, &fd);
    ledger_thread_enter(l, 2, 17, 10, 4711);
    assert_int_equal(ledger_thread(l, 2)->entered_mono_ms, 4711);
    assert_int_equal(ledger_thread(l, 2)->first_record, 17);
    assert_int_equal(ledger_thread(l, 2)->batch_count, 10);
    ledger_thread_leave(l, 2);
    assert_int_equal(ledger_thread(l, 2)->entered_mono_ms, 0);
    assert_int_equal(ledger_thread(l, 2)->calls, 1);
    assert_int_equal(ledger_thread(l, 1)->calls, 0);
    ledger_close(l);
    close(fd);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_successor_reads_back_what_was_put),
        cmocka_unit_test(a_newer_receive_replaces_handle_count_and_lease),
        cmocka_unit_test(what_does_not_fit_is_refused_and_costs_nothing),
        cmocka_unit_test(a_smaller_heap_says_when_it_is_full),
        cmocka_unit_test(released_large_bodies_give_their_memory_back),
        cmocka_unit_test(small_bodies_are_packed),
        cmocka_unit_test(the_heap_keeps_its_promise_under_any_mix_of_sizes),
        cmocka_unit_test(scribbles_are_noticed),
        cmocka_unit_test(scribbles_do_not_lead_the_writer_astray),
        cmocka_unit_test(what_is_no_ledger_is_refused),
        cmocka_unit_test(a_ledger_of_another_version_is_refused),
        cmocka_unit_test(counters_outlive_their_worker_and_a_reset),
        cmocka_unit_test(a_thread_entry_says_what_is_inside_the_handler),
    };
    return cmocka_run_group_tests_name("ledger", tests, NULL, NULL);
}
