/* fanout/handler.h - how a handler plugin and fanoutd talk to each other.
 *
 * The only header a plugin includes. It needs libc's headers alone, compiles as C99 and as C++20, and a plugin needs no
 * symbol of the host: link it with -Wl,-z,defs. A whole handler:
 *
 *     #include <fanout/handler.h>
 *     #include <stdio.h>
 *
 *     static int32_t
 *     print(void *plugin, void *thread, struct handler_call *call, const struct handler_message *m)
 *     {
 *         printf("%s: %.*s\n", m->id, (int)m->body_len, m->body);
 *         return HANDLER_DONE;
 *     }
 *     HANDLER_DEFINE(.name = "print", .version = "1", .handle = print);
 *
 * Compatibility. The major version is in the entry symbol (handler_v1); a breaking change makes a new symbol. Within a
 * major, structs only ever grow at their end, and each starts with its size: a host reads no more of the plugin's
 * tables than their size says, and a plugin asks HANDLER_HAS before it uses a field that came later.
 *
 * Threads. open and close run once per worker process, on its main thread, before the first and after the last of all
 * other calls. Each handler thread calls thread_open once, then handle or handle_batch any number of times, then
 * thread_close; different threads call at the same time. What a plugin shares between threads it must guard itself.
 *
 * Order: messages of one group of a FIFO queue (message->group) are handled in their order, one call at a time. When
 * one of them fails, handle is not called for those behind it before it is done or a dead letter; nor, when one has
 * published something, before that is confirmed. handle_batch has got them already: what it decides about them, by
 * settle or by its return value, waits for those before them; behind one that is retried it does not count, and they
 * are handled again. (fifo.on_failure = skip: they go on without it.)
 *
 * Delivery is at least once: the same message can come again, here or on another host, and two copies can be handled at
 * the same time. Handlers should be idempotent; message ids and the ids of the events inside are there for that.
 *
 * C++. No exception may leave a function of the table. */
#ifndef FANOUT_HANDLER_H
#define FANOUT_HANDLER_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HANDLER_ABI_MAJOR 1

/* True when the peer's struct *p reaches far enough to hold field f. */
#define HANDLER_HAS(p, f) ((p)->size >= (uint32_t)((const char *)(&(p)->f + 1) - (const char *)(p)))

/* What becomes of a message. Zero is no verdict on purpose: a value nobody set is never taken for success. */
enum {
    HANDLER_UNSET = 0,  /* from handle_batch: "what I did not settle, I forgot": a contract violation, retried */
    HANDLER_DONE = 1,   /* handled: delete it from the queue */
    HANDLER_RETRY = 2,  /* not now: deliver it again after the consumer's backoff, or the delay given to settle */
    HANDLER_REJECT = 3, /* never: move it to the dead-letter queue with the reason given to settle */

    /* Not the message's fault: what the handler depends on is down, and so would be for any other. The message stays in
     * hand under lease, no attempt is counted, nothing more is received, and the handler is called with one message
     * after a pause (breaker.pause_ms), with all once that went well. From handle and handle_batch it holds for what
     * was not settled; what else waited in the same batch is not begun. A host older than this value takes it for a
     * contract violation, and retries the message. */
    HANDLER_DOWN = 4
};

/* Log levels (syslog's numbers). */
enum { HANDLER_LOG_ERROR = 3, HANDLER_LOG_WARN = 4, HANDLER_LOG_INFO = 6, HANDLER_LOG_DEBUG = 7 };

/* Errors the host's functions return. */
enum {
    HANDLER_OK = 0,
    HANDLER_E_INDEX = -1,   /* no message of that index in this batch */
    HANDLER_E_SETTLED = -2, /* it was settled before; the first verdict stands */
    HANDLER_E_VERDICT = -3, /* no such verdict */
    HANDLER_E_LOST = -4,    /* the lease is over: the message is no longer ours to decide about */
    HANDLER_E_INVALID = -5, /* what was handed in breaks AWS's rules or this header's; the log says how */
    HANDLER_E_LIMIT = -6,   /* too large for AWS, or more than the host keeps in memory at once; the log says which */
    HANDLER_E_TARGET = -7   /* no bus or queue was named, and the consumer's configuration has none */
};

/* One handler call in progress. Valid until handle or handle_batch returns; the functions that take it may be called
 * from the calling thread only. A call that is over, another thread's or NULL (but for log) is refused and counted as a
 * contract violation: settle returns HANDLER_E_INDEX, extend HANDLER_E_LOST, remaining_ms 0; stopping goes on answering
 * for any call but NULL, for which it returns 0. */
struct handler_call;

/* One message. All pointers are borrowed and valid until the call returns. */
struct handler_message {
    uint32_t size;
    uint32_t receive_count; /* SQS's ApproximateReceiveCount, of every host; 1 at the first delivery */
    const char *id;         /* SQS message id, NUL-terminated */
    const char *queue;      /* the queue's name */
    const char *group;      /* MessageGroupId, or NULL */
    const char *body;       /* body_len bytes and a NUL behind them; what `unwrap` took out of an SNS notification */
    size_t body_len;
    int64_t sent_at_ms;     /* when it was sent to the queue, ms since 1970 */
    int64_t received_at_ms; /* when this worker received it, ms since 1970 */
};

/* The messages of one handle_batch call; messages[i] is the message of index i. */
struct handler_batch {
    uint32_t size;
    uint32_t count; /* 1 .. the consumer's batch.size */
    const struct handler_message *const *messages;
};

/* Host -> plugin. Valid from open until the process ends. Unless said otherwise: any thread of a handler call. */
struct handler_host {
    uint32_t size;

    /* Writes one line to the worker's log with the consumer and, when call is not NULL, the message ids. Never blocks.
     * Any thread. text: UTF-8 without a newline at its end; longer than 4,000 bytes is cut. */
    void (*log)(struct handler_call *call, int32_t level, const char *text);

    /* Decides message `index` (0 in handle) now, while the call goes on: a done is deleted at once. delay_ms counts for
     * HANDLER_RETRY: how long the message stays away, 0 .. 43,200,000, and a second at least from its second attempt
     * on; negative: the consumer's backoff. reason counts for all but HANDLER_DONE: one line for the log and the dead
     * letter, copied; may be NULL.
     * Returns 0 or HANDLER_E_INDEX, _SETTLED, _VERDICT (contract violations, counted) or _LOST. */
    int32_t (*settle)(struct handler_call *call, uint32_t index, int32_t verdict, int64_t delay_ms, const char *reason);

    /* Milliseconds until the earliest lease of the call's unsettled messages ends if it is not extended any more. The
     * host extends leases by itself; this is for handlers that cannot be interrupted. */
    int64_t (*remaining_ms)(struct handler_call *call);

    /* Asks that the leases of the call's unsettled messages reach at least more_ms from now, but not past the
     * consumer's lease.max_s from the begin of the call, nor SQS's 12 hours from their receive. Returns 0 at once (the
     * extension goes out in the background) or HANDLER_E_LOST. */
    int32_t (*extend)(struct handler_call *call, int64_t more_ms);

    /* 1 when the worker is draining: long work should stop at its next safe point and return HANDLER_RETRY. */
    int32_t (*stopping)(struct handler_call *call);

    /* The value of an option declared in the plugin's table: the configured one, or the default; never NULL for a
     * declared name, NULL for any other. Only inside open; the string lives until close has returned. */
    const char *(*option)(const char *name);

    /* A table of further functions by its versioned name, or NULL when this host has none of that name. */
    const void *(*extension)(const char *id);
};

/* One option. The host checks configured values against `type` before open is called and refuses names that no option
 * has. An entry of an array, it has no size and never grows. */
struct handler_option {
    const char *name; /* letters, digits, '-' and '_', a letter first; unlike those before it */
    const char *type; /* "string", "int", "number" or "bool" ("true"/"false") */
    const char *def;  /* the default as text; NULL: the option must be configured */
    const char *help; /* one sentence */
};

/* Plugin -> host: a static const table. Exactly one of handle and handle_batch must be set; everything else except
 * name and version may be NULL. */
struct handler {
    uint32_t size;
    uint32_t abi_major; /* HANDLER_ABI_MAJOR */
    const char *name;   /* lower-case letters, digits, '-' and '_' */
    const char *version;
    const char *help;                     /* one line on what it does */
    const struct handler_option *options; /* ends with an entry whose name is NULL */

    /* One message. Returns HANDLER_DONE, _RETRY or _REJECT, the verdict unless settle was called before; any other
     * value is a contract violation and the message is retried. */
    int32_t (*handle)(void *plugin, void *thread, struct handler_call *call, const struct handler_message *message);

    /* Many messages, settled one by one with host->settle. The returned verdict goes to those that were not;
     * HANDLER_UNSET says that all were. */
    int32_t (*handle_batch)(void *plugin, void *thread, struct handler_call *call, const struct handler_batch *batch);

    /* Returns 0 and may set *plugin; non-zero refuses to start (log the reason first): the worker ends, and another
     * one tries again after a pause. One that has not returned within the consumer's start_timeout_s is killed. */
    int32_t (*open)(const struct handler_host *host, void **plugin);
    void (*close)(void *plugin);

    /* Once per handler thread; *thread is handed to its calls. Non-zero refuses to start. */
    int32_t (*thread_open)(void *plugin, void **thread);
    void (*thread_close)(void *plugin, void *thread);
};

/* The entry point: a function of this name and type. HANDLER_DEFINE writes it. */
#define HANDLER_ENTRY "handler_v1"
typedef const struct handler *handler_entry_fn(void);

#ifdef __cplusplus
#define HANDLER_EXPORT extern "C" __attribute__((visibility("default")))
#else
#define HANDLER_EXPORT __attribute__((visibility("default")))
#endif

/* g++ warns of fields a designated initialiser leaves out, as the table's are meant to be. */
#if defined(__cplusplus) && defined(__GNUC__) && !defined(__clang__)
#define HANDLER_QUIET_BEGIN                                                                                            \
    _Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wmissing-field-initializers\"")
#define HANDLER_QUIET_END _Pragma("GCC diagnostic pop")
#else
#define HANDLER_QUIET_BEGIN
#define HANDLER_QUIET_END
#endif

/* HANDLER_DEFINE(.name = "...", .version = "...", .handle = ...); in C99 and C++20, fields in the struct's order. */
#define HANDLER_DEFINE(...)                                                                                            \
    HANDLER_EXPORT const struct handler *handler_v1(void);                                                             \
    HANDLER_QUIET_BEGIN                                                                                                \
    HANDLER_EXPORT const struct handler *handler_v1(void)                                                              \
    {                                                                                                                  \
        static const struct handler handler_table = {                                                                  \
            .size = sizeof(struct handler), .abi_major = HANDLER_ABI_MAJOR, __VA_ARGS__};                              \
        return &handler_table;                                                                                         \
    }                                                                                                                  \
    HANDLER_QUIET_END                                                                                                  \
    extern int handler_needs_a_semicolon

/* host->log with printf formatting, cut at 1,023 bytes. */
static inline
#if defined(__GNUC__)
    __attribute__((format(printf, 4, 5), unused))
#endif
    void
    handler_logf(const struct handler_host *host, struct handler_call *call, int32_t level, const char *format, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    host->log(call, level, text);
}

/* ---- extensions: further functions of the host, by host->extension(ID) ----
 *
 * A host that lacks one returns NULL; a plugin that needs it refuses to start (open returns non-zero), or goes without.
 * Each table starts with its size, as do the structs its functions return. */

/* Bytes of the message, not NUL-terminated. What is not there has n == 0 and p == NULL; what is there and empty has
 * only n == 0. */
struct handler_slice {
    const char *p;
    size_t n;
};

/* fanout.event.v1: what a body says, when it is an EventBridge event or an S3 event notification, and what came around
 * it when it was an SNS notification.
 *
 * All functions are for the thread of the call alone, while it runs, as settle is; `index` is settle's. Another call or
 * index is a contract violation, answered as "there is none". What they return is valid until the call returns, and the
 * same however often it is asked for. A body is taken apart when the first of these functions is called for its message
 * (or was, before its handler saw it, where the consumer has `envelope`, `unwrap` or `filter`), and never copied:
 * slices point into it. A JSON string that is written with escapes is the one exception: it is decoded once, so that
 * all texts are UTF-8 as meant (half of a surrogate pair becomes U+FFFD). `detail`, `record` and `attributes` are JSON,
 * byte for byte as it was written.
 *
 * Nothing here is asked for by receives, so that looking the extension up costs nothing. */
#define HANDLER_EVENT_EXTENSION "fanout.event.v1"

/* What a body is. */
enum {
    HANDLER_BODY_OTHER = 0,  /* anything else, text that is no JSON included */
    HANDLER_BODY_EVENT = 1,  /* an EventBridge event */
    HANDLER_BODY_S3 = 2,     /* a notification of S3's: an object with Records */
    HANDLER_BODY_S3_TEST = 3 /* the one S3 sends when notifications are configured: Event is s3:TestEvent */
};

/* Stands for a time that is not there, or is none. */
#define HANDLER_NO_TIME INT64_MIN

struct handler_event {
    uint32_t size;
    uint32_t resource_count;
    struct handler_slice id, source, detail_type, account, region;
    struct handler_slice time; /* as written */
    int64_t time_ms;           /* since 1970, or HANDLER_NO_TIME */
    struct handler_slice detail;
    const struct handler_slice *resources;
    struct handler_slice replay_job;  /* of fanout-replayd, when it replayed the event */
    struct handler_slice original_id; /* the id it had before that: deduplicate on this one where there is one */
    struct handler_slice replay_name; /* of an EventBridge archive's replay */
};

/* The SNS notification the body came in. */
struct handler_sns {
    uint32_t size;
    struct handler_slice topic_arn, message_id;
    struct handler_slice subject;    /* often there is none */
    struct handler_slice timestamp;  /* as written */
    struct handler_slice attributes; /* MessageAttributes, a JSON object, or none */
};

/* A record of an S3 notification. */
struct handler_s3_record {
    uint32_t size;
    struct handler_slice event_name; /* ObjectCreated:Put */
    struct handler_slice event_time; /* as written */
    struct handler_slice region, bucket;
    struct handler_slice key;         /* as the object is called: the notification writes it URL-encoded */
    struct handler_slice encoded_key; /* ... so */
    int64_t object_size;              /* bytes; -1: not said (of a deletion) */
    struct handler_slice etag, version_id, sequencer;
    struct handler_slice record; /* all of it */
};

struct handler_event_extension {
    uint32_t size;

    /* HANDLER_BODY_...; one that a plugin does not know, because the host is newer, is OTHER to it. Negative:
     * HANDLER_E_INDEX, or _LIMIT when there is no memory to take the body apart (so retry); the functions below then
     * answer that there is nothing. */
    int32_t (*kind)(struct handler_call *call, uint32_t index);

    /* NULL: the body is no EventBridge event (or, if kind says it is one, there is no memory; so with s3). */
    const struct handler_event *(*event)(struct handler_call *call, uint32_t index);

    /* NULL: the body came in no SNS notification, or the consumer's `unwrap` is none. */
    const struct handler_sns *(*sns)(struct handler_call *call, uint32_t index);

    /* The record-th record, from 0; NULL: there are no (more) records. */
    const struct handler_s3_record *(*s3)(struct handler_call *call, uint32_t index, uint32_t record);

    /* The body as it was received: message->body, or the notification it was unwrapped from. */
    struct handler_slice (*received)(struct handler_call *call, uint32_t index);
};

/* fanout.attributes.v1: the message attributes and SQS's own ones. Threads and validity as above.
 *
 * Look it up in open: that is what makes the consumer's receives ask for all system attributes. Looked up later it has
 * those that fanoutd itself needs: no sender_id, no deduplication_id, no dead_letter_source. */
#define HANDLER_ATTRIBUTES_EXTENSION "fanout.attributes.v1"

/* A message attribute; an entry of an array, it never grows. */
struct handler_attribute {
    struct handler_slice name;
    struct handler_slice type;  /* String, Number or Binary, with what the sender put behind it: "Number.int" */
    struct handler_slice value; /* of Binary the bytes themselves */
};

struct handler_system_attributes {
    uint32_t size;
    int64_t sent_at_ms;                      /* SentTimestamp, ms since 1970 */
    int64_t first_received_at_ms;            /* ApproximateFirstReceiveTimestamp, or HANDLER_NO_TIME */
    struct handler_slice sender_id;          /* SenderId */
    struct handler_slice group;              /* MessageGroupId */
    struct handler_slice deduplication_id;   /* MessageDeduplicationId */
    struct handler_slice sequence_number;    /* SequenceNumber, decimal, up to 128 bits */
    struct handler_slice trace_header;       /* AWSTraceHeader */
    struct handler_slice dead_letter_source; /* DeadLetterQueueSourceArn */
};

struct handler_attributes_extension {
    uint32_t size;

    /* The message attributes, *ret_count of them; NULL: there are none. */
    const struct handler_attribute *(*message)(struct handler_call *call, uint32_t index, uint32_t *ret_count);

    /* The message attribute of that name, or NULL. */
    const struct handler_attribute *(*find)(struct handler_call *call, uint32_t index, const char *name);

    /* NULL: no such call or message. */
    const struct handler_system_attributes *(*system)(struct handler_call *call, uint32_t index);
};

/* fanout.publish.v1: events put on a bus, and messages on a queue, as part of handling a message.
 *
 *     static const struct handler_publish_extension *publish;
 *
 *     open:    publish = host->extension(HANDLER_PUBLISH_EXTENSION);
 *     handle:  struct handler_new_event paid = {.size = sizeof paid, .source = HANDLER_TEXT("shop"),
 *                                               .detail_type = HANDLER_TEXT("Paid"),
 *                                               .detail = HANDLER_TEXT("{\"order\": 7}")};
 *              return publish->event(call, 0, &paid) == HANDLER_OK ? HANDLER_DONE : HANDLER_RETRY;
 *
 * What is published belongs to one message of the call, and is copied. It is sent once that message is settled as done,
 * in calls of up to ten that the host makes, and the message is deleted only after AWS has confirmed every piece. A
 * piece that AWS refuses for good makes the verdict a retry; what is throttled, or gets no answer, is sent again for as
 * long as the lease can be held. A message that is retried, rejected or lost publishes nothing.
 *
 * So what was published and the delete happen at least once, not exactly once: when an answer is lost, the worker dies,
 * or one piece is refused while others were taken, the same piece can go out twice. Each therefore carries an id made
 * of the message's id, the piece's number among the message's (from 0) and a hash of what it says, the same whenever
 * the handler publishes the same things in the same order: ID:NUMBER:HASH
 *
 *     events    resource "urn:fanout:cause:ID:NUMBER:HASH"
 *     messages  attribute "fanout.cause"; on FIFO queues it is the deduplication id as well, unless one is given
 *
 * A correlation id goes on from message to message unchanged: the one that the message came with (attribute
 * "fanout.correlation", or the resource "urn:fanout:correlation:ID" of the event in its body), else the id of the event
 * in its body, else the message's own id. It becomes that attribute or that resource, unless the handler has put one
 * there. The X-Ray trace header goes on as well. Neither detail nor body is ever touched. Of the resources that a
 * handler copies from the event it handles, those that begin with "urn:fanout:" are left out, but for the correlation:
 * they speak of that event (what caused it, that it was replayed), not of the new one.
 *
 * Pieces of one message for one group of a FIFO queue arrive in the order in which they were published; nothing else
 * has an order. A bus that does not exist swallows events without an error: that is how EventBridge is.
 *
 * The consumer must have publish.bus or publish.queue in its configuration; without both nothing can be published. */
#define HANDLER_PUBLISH_EXTENSION "fanout.publish.v1"

/* Pieces of one message, at most. */
#define HANDLER_PUBLISH_MOST 1000

/* A string literal as the initialiser of a struct handler_slice. */
#define HANDLER_TEXT(literal)                                                                                          \
    {                                                                                                                  \
        (literal), sizeof(literal) - 1                                                                                 \
    }

/* All bytes are borrowed until the function returns. Texts are UTF-8 of the characters that XML 1.0 has. A slice with n
 * == 0 is left out, or takes the place that its comment names. */
struct handler_new_event {
    uint32_t size;
    uint32_t resource_count;
    struct handler_slice bus;              /* name or ARN; left out: publish.bus */
    struct handler_slice source;           /* 1 to 256 bytes, not beginning with "aws." */
    struct handler_slice detail_type;      /* 1 to 128 bytes */
    struct handler_slice detail;           /* a JSON object, sent byte for byte */
    const struct handler_slice *resources; /* "urn:fanout:..." are left out, the correlation apart: see above */
    int64_t time_ms;                       /* since 1970; 0: when EventBridge gets it */
};

struct handler_new_message {
    uint32_t size;
    uint32_t attribute_count;
    struct handler_slice queue;                 /* name or URL; left out: publish.queue */
    struct handler_slice body;                  /* 1 byte at least */
    const struct handler_attribute *attributes; /* fanout.cause is left out; 8 besides that and fanout.correlation */
    struct handler_slice group;                 /* left out, of a FIFO queue: that of the message handled, or its id */
    struct handler_slice deduplication_id;      /* FIFO queues; left out: the piece's id, see above */
    int32_t delay_s;                            /* 1 to 900; 0: the queue's own; -1: none; FIFO queues: 0 */
};

struct handler_publish_extension {
    uint32_t size;

    /* Publishes for message `index`, which is not settled yet. Everything that can be checked without AWS is checked at
     * once. Returns 0 or HANDLER_E_INDEX, _SETTLED (contract violations, counted), _LOST, _INVALID, _LIMIT or _TARGET;
     * after an error nothing of it is kept, and what to do about the message is the handler's to decide: _LIMIT may
     * pass with a retry. From the calling thread only, as settle. */
    int32_t (*event)(struct handler_call *call, uint32_t index, const struct handler_new_event *event);
    int32_t (*message)(struct handler_call *call, uint32_t index, const struct handler_new_message *message);
};

#ifdef __cplusplus
}
#endif

#endif
