/* fuzz_ledger: whatever a crashed worker left in its ledger. The input is pieces of damage: a kind, a place in the map
 * (three bytes), a length, and what to write, or from where to copy. No reader may crash, a message that reads back is
 * one that was put, in every field, and a successor can go on in the same ledger. */
#include <sys/mman.h>

#include "ipc/ledger.h"

#include "fuzz/fuzz.h"

#define RECORDS 4
#define THREADS 2
#define SPAN    (5 * 65536) /* all that is in use */

static struct ledger *ledger;
static int fd;
static unsigned char *map, intact[SPAN];
static struct ledger_message put[RECORDS];

static void
make(void)
{
    static const char body[700] = "{\"detail-type\":\"BufferedEvent\"}";
    const struct ledger_options options = {.records = RECORDS, .threads = THREADS};
    check(ledger_create(&options, &fd, &ledger, NULL) == 0);
    ledger_reset(ledger);
    for (uint32_t i = 0; i < RECORDS; i++) {
        uint32_t record;
        put[i] = (struct ledger_message){.id = SLICE("5fea7756-0ea4-451a-a703-a558b933e274"),
                                         .receipt_handle = SLICE("AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a=="),
                                         .group = SLICE("customer-17"),
                                         .body = slice_of(body, sizeof body >> i),
                                         .attributes = SLICE("\1\0\0\0name"),
                                         .md5_of_body = SLICE("5d41402abc4b2a76b9719d911017c592"),
                                         .sent_at_ms = 1795154400000 + i,
                                         .received_at_ms = 1795154401000 + i,
                                         .first_received_mono_ms = 500,
                                         .receive_count = i + 1,
                                         .lease_mono_ms = 1000 * i,
                                         .state = LEDGER_QUEUED,
                                         .thread = -1};
        check(ledger_put(ledger, &put[i], &record, NULL) == 0 && record == i);
        if (i == 0) { /* its place was another's before */
            ledger_release(ledger, record);
            check(ledger_put(ledger, &put[i], &record, NULL) == 0 && record == i);
        }
        if (i == 2) {
            put[i].receipt_handle = SLICE("AQEBa newer receipt==");
            put[i].receive_count = 7;
            put[i].lease_mono_ms = 99000;
            check(ledger_set_receipt(ledger, i, put[i].receipt_handle, 7, 98000, NULL) == 0);
            ledger_set_lease(ledger, i, put[i].lease_mono_ms);
        }
        if (i == 1) {
            put[i].state = LEDGER_HANDLING;
            put[i].thread = 1;
            ledger_set_state(ledger, i, put[i].state, put[i].thread);
        }
    }
    map = mmap(NULL, SPAN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    check(map != MAP_FAILED);
    memcpy(intact, map, SPAN);
}

/* ---- damage ---- */

static uint32_t
place(const uint8_t *p)
{
    return (p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16) % SPAN;
}

static size_t
at_most(size_t n, uint32_t at)
{
    return n < SPAN - at ? n : SPAN - at;
}

/* One piece of damage; returns how many bytes of the input described it, 0: there are too few. */
static size_t
damage(const uint8_t *data, size_t size)
{
    if (size < 8)
        return 0;
    uint32_t at = place(data + 1), from = place(data + 5);
    size_t n;
    switch (data[0] % 3) {
    case 0: /* added, so that small changes stay small */
        n = data[4] < size - 5 ? data[4] : size - 5;
        for (size_t i = 0; i < at_most(n, at); i++)
            map[at + i] = (unsigned char)(map[at + i] + data[5 + i]);
        return 5 + n;
    case 1: /* copied from elsewhere */
        n = at_most(at_most((size_t)data[4] * 16, at), from);
        memmove(map + at, map + from, n);
        return 8;
    default: /* lost */
        memset(map + at, 0, at_most((size_t)data[4] * 64, at));
        return 8;
    }
}

/* ---- readers ---- */

static bool
is_as_put(const struct ledger_message *m, const struct ledger_message *p)
{
    return slice_equals(m->id, p->id) && slice_equals(m->receipt_handle, p->receipt_handle) &&
           slice_equals(m->group, p->group) && slice_equals(m->body, p->body) &&
           slice_equals(m->attributes, p->attributes) && slice_equals(m->md5_of_body, p->md5_of_body) &&
           m->receive_count == p->receive_count && m->sent_at_ms == p->sent_at_ms &&
           m->received_at_ms == p->received_at_ms && m->first_received_mono_ms == p->first_received_mono_ms &&
           m->lease_mono_ms == p->lease_mono_ms && m->state == p->state && m->thread == p->thread;
}

static void
read_all(const struct ledger *l)
{
    for (uint32_t i = 0; i < RECORDS; i++) {
        struct ledger_message m;
        struct err e;
        int rc = ledger_get(l, i, &m, &e);
        check(rc == 0 || ((rc == ERR_CORRUPT || rc == ERR_NOT_FOUND) && e.code == rc && e.text[0]));
        check(rc != 0 || is_as_put(&m, &put[i]));
    }
}

static void
start_anew(struct ledger *l)
{
    struct err e;
    uint32_t record;
    ledger_reset(l);
    for (uint32_t i = 0; i < RECORDS; i++) {
        struct ledger_message m;
        check(ledger_get(l, i, &m, &e) == ERR_NOT_FOUND);
    }
    for (uint32_t i = 0; i < RECORDS; i++) {
        struct ledger_message m, expected = put[i];
        expected.state = LEDGER_QUEUED;
        expected.thread = -1;
        check(ledger_put(l, &put[i], &record, &e) == 0 && record == i);
        check(ledger_get(l, record, &m, &e) == 0 && is_as_put(&m, &expected));
    }
}

/* A successor takes over what reads back, empties the ledger, and goes on in it (which takes its time). */
static void
take_over(bool go_on)
{
    struct ledger *other;
    struct err e;
    if (ledger_open(fd, &other, &e) != 0) {
        check(e.code == ERR_CORRUPT && e.text[0]);
        return;
    }
    check(ledger_records(other) == RECORDS && ledger_threads(other) == THREADS);
    read_all(other);
    if (go_on)
        start_anew(other);
    ledger_close(other);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool go_on = size % 8 == 0;
    size_t n;
    if (!ledger)
        make();
    while ((n = damage(data, size)) > 0) {
        data += n;
        size -= n;
    }
    read_all(ledger);
    take_over(go_on);
    memcpy(map, intact, SPAN);
    read_all(ledger);
    return 0;
}
