/* log_format: a log line as bytes. Called by log.c alone; apart from it because the one question is what a line looks
 * like, the other where it goes. No state, no allocation. */
#ifndef FANOUT_BASE_LOG_FORMAT_H
#define FANOUT_BASE_LOG_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#include "base/log.h"

/* What a line may need, its newline included: PIPE_BUF, so that a pipe takes any line in one piece. */
#define LOG_LINE_BYTES 4096

struct log_head {
    int64_t wall_ms;
    enum log_level level;
    const char *program;
    int64_t pid;
    const struct log_field *context; /* fields that go in front of the message */
    size_t context_n;
};

/* Writes one line and its newline, and returns their length. A value that does not fit is cut, with "..." behind it,
 * and the fields after it are left out; JSON stays valid. Text is key=value; a value is quoted when it is empty or
 * holds a space, '=', '"', '\' or anything that must be escaped as \" \\ \n \t or \xHH: control characters and bytes
 * that are no UTF-8 (which JSON shows as U+FFFD). */
size_t log_format_line(char out[LOG_LINE_BYTES], enum log_format format, const struct log_head *head,
                       const char *message, const struct log_field *fields, size_t n);

#endif
