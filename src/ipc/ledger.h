/* ledger: a worker's in-flight messages and its figures, in memory that outlives it.
 *
 * A memfd that the supervisor makes and keeps, one per slot, and the worker maps (fd 4). Every message is copied in
 * when it is received: id, receipt handle, receive count, group, lease deadline, state, thread, body, attributes, and a
 * checksum over what does not change. When a worker dies, its successor (or the quarantine worker) reads the records
 * back and adopts the messages; whatever fails its checksum is left to SQS. A crashed worker may have scribbled
 * anything anywhere: a reader trusts no offset, no length and no state it has not checked.
 *
 * One writer at a time, the worker's engine thread, except for ledger_thread_* (each handler thread writes its own
 * entry), ledger_set_state to LEDGER_HANDLING (by the handler thread whose batch it is: the engine sets no state of a
 * record between submitting its batch and getting the message back), and the figures (base/metrics.h). Free space is
 * tracked in the worker's private memory, never in the map. Bodies lie in a heap of bounded size; pages of large bodies
 * go back to the kernel when they are released. */
#ifndef FANOUT_IPC_LEDGER_H
#define FANOUT_IPC_LEDGER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/metrics.h"
#include "base/slice.h"

enum ledger_state {
    LEDGER_FREE = 0,
    LEDGER_QUEUED,   /* received, not yet handed to the handler */
    LEDGER_HANDLING, /* inside a handler call of `thread` */
    LEDGER_DONE,     /* settled, its delete not yet confirmed */
    LEDGER_RETRY,    /* settled, its visibility change not yet confirmed */
    LEDGER_REJECT,   /* settled, its dead-letter move not yet confirmed */
};

#define LEDGER_ID_BYTES     128
#define LEDGER_GROUP_BYTES  136
#define LEDGER_HANDLE_BYTES 1536 /* receipt handles are up to 1,024 characters in SQS's limits; room to spare */

/* A message as it is put in or read back. */
struct ledger_message {
    struct slice id, receipt_handle, group, body;
    struct slice attributes;  /* opaque bytes, the worker's own encoding */
    struct slice md5_of_body; /* hex; empty: unknown */
    uint32_t receive_count;
    int64_t sent_at_ms, received_at_ms; /* wall */
    int64_t first_received_mono_ms;     /* the 12 h cap counts from here */
    int64_t lease_mono_ms;              /* when the lease ends */
    /* the rest is set by the functions below */
    enum ledger_state state;
    int32_t thread; /* handler thread, -1: none */
};

struct ledger_options {
    uint32_t records;    /* the in-flight cap, 1 .. LEDGER_RECORDS_MAX */
    uint32_t threads;    /* handler threads, 1 .. LEDGER_THREADS_MAX */
    uint64_t heap_bytes; /* address space for bodies and attributes; 0: records x 2 MiB, sparse, and no
                          * put ever fails for want of room */
};
#define LEDGER_RECORDS_MAX 120000u /* SQS's own bound on a queue's messages in flight */
#define LEDGER_THREADS_MAX 4096u

struct ledger;

/* Makes the memfd (CLOEXEC) and maps it: the supervisor. */
int ledger_create(const struct ledger_options *options, int *ret_fd, struct ledger **ret_ledger, struct err *e);

/* Maps an existing one; ERR_CORRUPT when header and size do not fit together. The worker, and any reader. */
int ledger_open(int fd, struct ledger **ret_ledger, struct err *e);
void ledger_close(struct ledger *l); /* unmaps */

/* Empties all records, the thread entries and the crash report, and takes possession as the (only) writer: a new
 * worker, before its first put and after it adopted what it wanted. The figures go on. */
void ledger_reset(struct ledger *l);

/* The worker's figures. */
struct metrics *ledger_metrics(struct ledger *l);
uint32_t ledger_records(const struct ledger *l);
uint32_t ledger_threads(const struct ledger *l);

/* Copies m in as LEDGER_QUEUED (its state and thread are not read). ERR_LIMIT: no free record, no room in the heap, an
 * id or handle that is empty or too long, or body and attributes of more than 2 MiB together. */
int ledger_put(struct ledger *l, const struct ledger_message *m, uint32_t *ret_record, struct err *e);
void ledger_set_state(struct ledger *l, uint32_t record, enum ledger_state state, int32_t thread);
void ledger_set_lease(struct ledger *l, uint32_t record, int64_t lease_mono_ms);
/* A newer receive of the same message: its handle, count and lease replace the old ones. */
int ledger_set_receipt(struct ledger *l, uint32_t record, struct slice receipt_handle, uint32_t receive_count,
                       int64_t lease_mono_ms, struct err *e);
void ledger_release(struct ledger *l, uint32_t record);

/* Reads a record (< ledger_records) back, checking everything: 0, ERR_NOT_FOUND (free), ERR_CORRUPT. Slices point into
 * the map. Of a ledger whose writer is alive, a record that changes meanwhile may read as corrupt. */
int ledger_get(const struct ledger *l, uint32_t record, struct ledger_message *ret_message, struct err *e);

/* A handler thread's entry: what it runs now. */
struct ledger_thread {
    _Atomic int64_t entered_mono_ms; /* 0: outside the handler */
    _Atomic uint64_t calls;
    _Atomic uint32_t batch_count;
    _Atomic uint32_t first_record;
};
void ledger_thread_enter(struct ledger *l, uint32_t thread, uint32_t first_record, uint32_t count, int64_t now_mono_ms);
void ledger_thread_leave(struct ledger *l, uint32_t thread);
const struct ledger_thread *ledger_thread(const struct ledger *l, uint32_t thread);

/* What a fatal-signal handler writes (worker/fatal.h), and a reader must not trust: numbers may be out of their range,
 * texts without their NUL. */
#define LEDGER_FRAMES          32
#define LEDGER_WHERE_BYTES     256
#define LEDGER_BACKTRACE_BYTES 2048 /* a line of the log holds it */
struct ledger_crash {
    _Atomic int32_t signal; /* 0: none */
    int32_t code;           /* si_code */
    int32_t thread;         /* -1: not a handler thread */
    uint32_t n_frames;
    uint64_t address; /* that a fault (code > 0) was about */
    uint64_t frames[LEDGER_FRAMES];
    char where[LEDGER_WHERE_BYTES];         /* the innermost function of the plugin, "parse+0x1c (orders.so+0x11a9)" */
    char backtrace[LEDGER_BACKTRACE_BYTES]; /* all of them, innermost first */
};
struct ledger_crash *ledger_crash(struct ledger *l);

#endif
