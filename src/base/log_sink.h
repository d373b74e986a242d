/* log_sink: where log lines go, stderr or a file, and what happens when it does not take them. Called by log.c alone;
 * apart from it because a sink that is full, gone or torn is a question of its own.
 *
 * A log file keeps one descriptor number for the life of the process: opening and closing put another file under that
 * number, so that a thread that is just writing never writes to a stranger's descriptor. Any thread may write at any
 * time; opening and closing are for one thread. */
#ifndef FANOUT_BASE_LOG_SINK_H
#define FANOUT_BASE_LOG_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Opens a log file for log_sink_use: a descriptor, or an error. */
int log_sink_prepare(const char *path, struct err *e);

/* The pipe that stderr is, opened once more: others may have it in blocking mode and go on so, and between a look and a
 * write somebody else may take the room. -1: it is no pipe, or may not be opened (another user made it). */
int log_sink_prepare_stderr(void);

/* From now on lines go to fd (taken; -1: to stderr), the log file called path; path "" is stderr. */
void log_sink_use(const char *path, int fd);

/* Closes the file; lines go to stderr. */
void log_sink_close(void);

/* Opens the file again under its name; on failure the old one stays. Nothing to do for stderr. */
int log_sink_reopen(struct err *e);

/* Waits up to wait_ms until the sink takes something. True also when it is broken, which writing will tell. */
bool log_sink_wait(int64_t wait_ms);

/* Writes n bytes of whole lines, with one write(2) unless the sink takes them in parts, waiting up to wait_ms in total
 * for room. Returns how many of the lines it did not take: those are lost. SIGPIPE must be blocked or ignored. */
size_t log_sink_write(const char *lines, size_t n, int64_t wait_ms);

/* As log_sink_write; a sink whose reader is gone raises no SIGPIPE. */
size_t log_sink_write_guarded(const char *lines, size_t n, int64_t wait_ms);

#endif
