/* log_file: the files a test of the log writes to, and what came to stand in them. */
#ifndef FANOUT_TESTS_LIB_LOG_FILE_H
#define FANOUT_TESTS_LIB_LOG_FILE_H

#include <stdbool.h>
#include <stdint.h>

/* Of a group of tests: their folder. */
int log_file_make_folder(void **state);
int log_file_remove_folder(void **state);

/* In the folder, which holds "log", "log.1" and "fifo" at most; good for the next three calls, too. */
char *log_file_path(const char *name);

void log_file_open(const char *file, bool asynchronous);

/* What the file holds; the caller frees it. */
char *log_file_text(const char *path);

/* How often it is in text. */
int log_file_count(const char *text, const char *what);

/* Sum of count=N over all "log lines dropped" lines. */
uint64_t log_file_announced(const char *text);

#endif
