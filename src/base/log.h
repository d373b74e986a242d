/* log: one line an event, key=value or JSON, to stderr or a file.
 *
 * ERROR: a person must act. WARN: something went wrong and was handled. INFO: life cycle. DEBUG: for developers. Never
 * a message body, a key or a token.
 *
 *     log_write(LOG_WARN, "delete failed", LOG_STR("id", m->id), LOG_INT("attempts", n), LOG_ERR(&e));
 *     2026-11-20T06:00:00.123Z WARN fanout-worker[4711] consumer=orders msg="delete failed" id=… attempts=3 error="…"
 *
 * In asynchronous mode the caller formats the line into a bounded ring and a log thread writes it, so that a pipe
 * nobody reads never blocks the caller; what does not fit is dropped, counted, and the count is logged when there is
 * room again. In synchronous mode each line is one write(2), and a sink that is full or broken costs the caller 100 ms
 * once, and nothing after that until it takes lines again; what it did not take is dropped and counted in the same way.
 *
 * A line is at most 4096 bytes (PIPE_BUF: lines of several processes on one pipe do not mix); a value that does not fit
 * is cut and ends in "...". Values are quoted where needed; control characters, quotes and invalid UTF-8 are escaped,
 * so that a value cannot forge a line. Any thread; not from a signal handler. The level and the sink are the process's
 * (one of the few globals). */
#ifndef FANOUT_BASE_LOG_H
#define FANOUT_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

struct log_options {
    const char *program; /* "fanout-worker" */
    const char *file;    /* NULL or "": stderr */
    enum log_level level;
    enum log_format format;
    bool asynchronous;
};

/* A field of a line. Made with the macros below. */
struct log_field {
    const char *key;
    enum { LOG_FIELD_STRING, LOG_FIELD_INT, LOG_FIELD_DOUBLE, LOG_FIELD_BOOL } type;
    union {
        struct slice string;
        int64_t integer;
        double number;
        bool boolean;
    } value;
};

/* clang-format off */
#define LOG_STR(k, v)   {.key = (k), .type = LOG_FIELD_STRING, .value.string = slice_of_string(v)}
#define LOG_SLICE(k, v) {.key = (k), .type = LOG_FIELD_STRING, .value.string = (v)}
#define LOG_INT(k, v)   {.key = (k), .type = LOG_FIELD_INT, .value.integer = (int64_t)(v)}
#define LOG_NUM(k, v)   {.key = (k), .type = LOG_FIELD_DOUBLE, .value.number = (double)(v)}
#define LOG_BOOL(k, v)  {.key = (k), .type = LOG_FIELD_BOOL, .value.boolean = (v)}
#define LOG_ERR(e)      LOG_STR("error", (e)->text)
/* clang-format on */

/* Opens the sink; before it, lines go to stderr at level INFO as text. Before threads start. Copies what it is given. A
 * second call closes the first sink. Errors when the file cannot be opened (the sink stays as it was) or the thread
 * cannot be started (lines go to stderr). */
int log_open(const struct log_options *options, struct err *e);

/* Writes what is queued (waiting at most wait_ms for the sink), stops the thread, closes the file. Lines logged later
 * go to stderr. Other threads may be logging. */
void log_close(int wait_ms);

/* Opens the file again under the same name (USR1 after a rotation). Keeps the old one on failure. */
int log_reopen(struct err *e);

void log_set_level(enum log_level level);
enum log_level log_level(void);
uint64_t log_dropped(void); /* lines lost since log_open */

/* Fields that every line carries, e.g. the consumer's name. Copies (63 bytes of the key, 127 of the value). The same
 * key again replaces the value, NULL removes it; at most 8 keys. Before threads start. */
void log_set_context(const char *key, const char *value);

/* What log_write becomes. Does nothing when level is above log_level(). */
void log_line(enum log_level level, const char *message, const struct log_field *fields, size_t n);

#define log_write(level, message, ...)                                                                                 \
    do {                                                                                                               \
        if ((level) <= log_level()) {                                                                                  \
            const struct log_field fields_[] = {{.key = NULL}, ##__VA_ARGS__};                                         \
            log_line((level), (message), fields_ + 1, sizeof fields_ / sizeof *fields_ - 1);                           \
        }                                                                                                              \
    } while (0)

/* A line that may repeat without end (a poll that keeps failing): at most one each interval_ms per site, with the
 * number left out since in `suppressed`. */
struct log_site {
    _Atomic int64_t next_ms;
    _Atomic uint64_t suppressed;
};
bool log_site_allows(struct log_site *site, int64_t interval_ms, uint64_t *ret_suppressed);

#define log_write_limited(level, interval_ms, message, ...)                                                            \
    do {                                                                                                               \
        static struct log_site site_;                                                                                  \
        uint64_t suppressed_;                                                                                          \
        if ((level) <= log_level() && log_site_allows(&site_, (interval_ms), &suppressed_))                            \
            log_write((level), (message), ##__VA_ARGS__, LOG_INT("suppressed", suppressed_));                          \
    } while (0)

/* "error", "warn", "info", "debug", in any case. 0 or ERR_INVALID. */
int log_parse_level(const char *text, enum log_level *ret_level);

/* As lines show it: "WARN". */
const char *log_level_name(enum log_level level);

#endif
