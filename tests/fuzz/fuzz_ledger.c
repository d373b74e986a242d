/* fuzz_ledger: whatever a crashed worker left in its ledger. The input is where to write (four bytes, of the map), then
 * what: bytes that are added to those there, so that small changes stay small. No reader may crash, and a message that
 * reads back is one that was put. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "ipc/ledger.h"

#define RECORDS 4
#define SPAN    (5 * 65536) /* all that is in use */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct ledger *ledger;
static int fd;
static unsigned char *map, intact[SPAN];
static struct ledger_message put[RECORDS];

static void
check(bool holds)
{
    if (!holds)
        abort();
}

static void
make(void)
{
    static const char body[700] = "{\"detail-type\":\"BufferedEvent\"}";
    const struct ledger_options options = {.records = RECORDS, .threads = 2};
    check(ledger_create(&options, &fd, &ledger, NULL) == 0);
    ledger_reset(ledger);
    for (uint32_t i = 0; i < RECORDS; i++) {
        uint32_t record;
        put[i] = (struct ledger_message){.id = SLICE("5fea7756-0ea4-451a-a703-a558b933e274"),
                                         .receipt_handle = SLICE("AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a=="),
                                         .body = slice_of(body, sizeof body >> i),
                                         .receive_count = i + 1,
                                         .lease_mono_ms = 1000 * i,
                                         .state = LEDGER_QUEUED,
                                         .thread = -1};
        check(ledger_put(ledger, &put[i], &record, NULL) == 0 && record == i);
    }
    map = mmap(NULL, SPAN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    check(map != MAP_FAILED);
    memcpy(intact, map, SPAN);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t at;
    struct ledger *other;
    struct err e;
    if (!ledger)
        make();
    if (size < sizeof at)
        return 0;
    memcpy(&at, data, sizeof at);
    at %= SPAN;
    size_t n = size - sizeof at < SPAN - at ? size - sizeof at : SPAN - at;
    for (size_t i = 0; i < n; i++)
        map[at + i] = (unsigned char)(map[at + i] + data[sizeof at + i]);

    for (uint32_t i = 0; i < RECORDS; i++) {
        struct ledger_message m;
        if (ledger_get(ledger, i, &m, &e) == 0)
            check(slice_equals(m.id, put[i].id) && slice_equals(m.receipt_handle, put[i].receipt_handle) &&
                  slice_equals(m.body, put[i].body) && m.receive_count == put[i].receive_count &&
                  m.lease_mono_ms == put[i].lease_mono_ms && m.state == put[i].state && m.thread == put[i].thread);
    }
    if (ledger_open(fd, &other, &e) == 0) {
        check(ledger_records(other) == RECORDS && ledger_threads(other) == 2);
        ledger_close(other);
    } else {
        check(e.code == ERR_CORRUPT);
    }
    memcpy(map + at, intact + at, n);
    return 0;
}
