/* conf: what fanoutd is told, checked before anything acts on it.
 *
 * One option table (conf_options) names every option once: path, type, default, range, help, whether a reload can
 * change it. From it come parsing (libconfig syntax), defaults, checks, --print-config, conf/fanoutd.conf and the
 * README's table. The supervisor reads the file; a worker gets its part of the printed, fully expanded configuration
 * through a sealed memfd and reads it with the same code.
 *
 * Any string may hold ${NAME} or ${NAME:-default} from the environment ($$ is a dollar sign); a string where the option
 * is a number or a boolean is converted after that, so threads = "${THREADS:-4}" works. Unknown keys, wrong types and
 * values out of range are errors that name file, line, key and what is allowed; all of a file's errors are reported,
 * not only the first.
 *
 *     consumers = (
 *         { name = "orders"; queue = "durable-fanout-queue"; plugin = "jsonl";
 *           options = { path = "/var/log/orders.ndjson"; }; batch = { size = 100; window_ms = 200; }; }
 *     ); */
#ifndef FANOUT_CONF_H
#define FANOUT_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/slice.h"

/* A name and a value of a plugin's own options, as text; checked against the plugin's table when it is loaded. */
struct conf_pair {
    const char *name;
    const char *value;
};

/* consumers.unwrap, .envelope, .on_mismatch, .dedup.store, .dedup.key, .dedup.on_error: in the order of their choices.
 */
enum conf_unwrap { CONF_UNWRAP_NONE, CONF_UNWRAP_SNS, CONF_UNWRAP_AUTO };
enum conf_envelope { CONF_ENVELOPE_NONE, CONF_ENVELOPE_EVENTBRIDGE };
enum conf_dedup_store { CONF_DEDUP_NONE, CONF_DEDUP_MEMORY, CONF_DEDUP_SQLITE, CONF_DEDUP_DYNAMODB };
enum conf_dedup_key { CONF_DEDUP_EVENT_ID, CONF_DEDUP_BODY };
enum conf_dedup_on_error { CONF_DEDUP_HOLD, CONF_DEDUP_HANDLE };
enum conf_mismatch { CONF_MISMATCH_DELETE, CONF_MISMATCH_LEAVE, CONF_MISMATCH_DEAD_LETTER };
enum conf_retry_policy { CONF_RETRY_EXPONENTIAL, CONF_RETRY_LINEAR, CONF_RETRY_LIST };
enum conf_retry_then { CONF_RETRY_DEAD_LETTER, CONF_RETRY_LEAVE_TO_QUEUE };

/* consumers.fifo.on_failure: in the order of its choices. */
enum conf_fifo_failure { CONF_FIFO_STOP_GROUP, CONF_FIFO_SKIP };

struct conf_consumer {
    const char *name;         /* [a-z0-9-]{1,40}, unique */
    const char *queue;        /* a queue's name or its URL */
    const char *plugin;       /* a path with a '/', or a name looked up as PLUGIN_DIR/NAME.so */
    int processes;            /* worker processes */
    int threads;              /* handler threads of each */
    int prefetch;             /* batches ready per thread beyond the one being handled */
    int start_timeout_s;      /* from a worker's start until it is ready */
    int wait_time_s;          /* of a long poll */
    int visibility_timeout_s; /* 0: the queue's own */
    enum conf_unwrap unwrap;
    enum conf_envelope envelope;
    const char *filter; /* an event pattern; "": none */
    enum conf_mismatch on_mismatch;
    struct {
        int size;      /* messages at most */
        int window_ms; /* wait at most so long for a batch to fill; 0: hand over what is there */
    } batch;
    struct {
        int max_s; /* no message is held longer for its handler, from when that was called; 0: 12 h, SQS's limit */
    } lease;
    struct {
        enum conf_retry_policy policy;
        int base_ms;           /* ceiling of the first retry's delay */
        int cap_ms;            /* ceiling of any */
        const char *delays_ms; /* of CONF_RETRY_LIST: conf_read_delays */
        int max_attempts;      /* 0: as often as the queue allows */
        enum conf_retry_then then;
    } retry;
    struct {
        const char *queue; /* "": the one of the queue's RedrivePolicy */
    } dead_letter;
    struct {
        enum conf_dedup_store store;
        int window_s; /* a completed event is remembered so long */
        enum conf_dedup_key key;
        enum conf_dedup_on_error on_error;
        int max_entries;          /* memory */
        const char *path;         /* sqlite */
        const char *table;        /* dynamodb */
        const char *endpoint_url; /* dynamodb; "": the environment's, or AWS itself */
    } dedup;
    struct {
        enum conf_fifo_failure on_failure;
    } fifo;
    struct {
        const char *bus;   /* "": none */
        const char *queue; /* "": none; without both, handlers publish nothing */
        int buffer_mb;     /* what waits to be sent and confirmed, of each process */
    } publish;
    struct {
        int max_per_s; /* messages that a process hands to its handlers; 0: no limit */
    } rate;
    struct {
        int failure_percent; /* 0: only HANDLER_DOWN opens it */
        int window_s;
        int min_calls;
        int pause_ms, pause_cap_ms; /* ceilings */
    } breaker;
    struct conf_pair *options; /* the plugin's */
    size_t n_options;
};

struct conf {
    struct arena arena; /* owns everything below */
    struct {
        enum log_level level;
        enum log_format format;
        const char *file; /* "": stderr */
    } log;
    struct {
        const char *region;       /* "": from the environment or the profile */
        const char *profile;      /* "": AWS_PROFILE or "default" */
        const char *endpoint_url; /* "": the environment's, or AWS itself */
        const char *ca_file;      /* "": AWS_CA_BUNDLE, the profile's, or the system's certificate store */
    } aws;
    struct {
        const char *listen; /* HOST:PORT, port 0 picks one; "": no admin listener */
    } admin;
    int drain_timeout_s;
    const char *plugin_dir; /* "": lib/fanoutd/plugins beside the binaries */
    struct conf_consumer *consumers;
    size_t n_consumers; /* >= 1 */
};

enum conf_type { CONF_STRING, CONF_INT, CONF_BOOL, CONF_ENUM, CONF_PAIRS };

/* One line of the table. Paths with one "." are members of a group, those under "consumers." of each consumer. */
struct conf_option {
    const char *path;               /* "log.level", "consumers.batch.size" */
    const char *def;                /* as text; NULL: must be given (CONF_STRING) */
    const char *example;            /* for conf/fanoutd.conf where there is no default */
    int64_t min, max;               /* CONF_INT; CONF_STRING and CONF_PAIRS: max is the most bytes */
    const char *choices;            /* CONF_ENUM: "error|warn|info|debug", in the order of the enum's values */
    bool (*fits)(const char *text); /* CONF_STRING: further rules, put into words by `allowed`; NULL: none */
    const char *allowed;            /* CONF_STRING: what may be written */
    const char *unit;               /* "s", "ms" or "" */
    const char *help;               /* sentences */
    size_t offset;                  /* of the field in struct conf or struct conf_consumer */
    enum conf_type type;            /* of the field: const char *, int, bool, an enum; CONF_PAIRS: options, n_options */
    bool reloadable; /* HUP applies it (consumers' options: by replacing their workers); of the others the
                        printers say that they take a restart */
};
extern const struct conf_option conf_options[]; /* ends with path NULL */

/* All problems of a configuration, one line each: "conf/x.conf:12: consumers[0].threads: 0 is out of range, 1 to 256".
 */
struct conf_problems {
    struct buf text;
    size_t count;
};

/* Reads FILE (or text, for a worker: `name` is what errors call it). On ERR_INVALID, *problems has a line for each
 * problem, and e the first. The caller destroys the configuration with conf_destroy and problems->text with
 * buf_clean_up. problems may be NULL. */
int conf_read_file(const char *path, struct conf **ret_conf, struct conf_problems *problems, struct err *e);
int conf_read_text(const char *name, struct slice text, struct conf **ret_conf, struct conf_problems *problems,
                   struct err *e);
void conf_destroy(struct conf *c); /* NULL is fine */

/* The delays of a list like "1000, 5000, 60000", in milliseconds, each 1 to 43200000 (12 hours), at most
 * CONF_DELAYS_MAX of them. Returns how many there are; 0: text is no such list. */
#define CONF_DELAYS_MAX 32
size_t conf_read_delays(const char *text, int64_t ret_delays_ms[CONF_DELAYS_MAX]);

/* Prints every option with its effective value, in the syntax conf_read_text reads. only: just this consumer (for a
 * worker); NULL: all. */
void conf_print(const struct conf *c, const struct conf_consumer *only, struct buf *out);

/* The commented example file and the README's table, made from conf_options. */
void conf_print_example(struct buf *out);
void conf_print_markdown(struct buf *out);

#endif
