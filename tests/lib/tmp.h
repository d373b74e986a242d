/* tmp: folders of a test's own, gone when it ends.
 *
 * Whatever fails here is the machine's fault: it is printed, and the program aborts. Paths returned are the module's
 * and live until the program ends. One thread. */
#ifndef FANOUT_TESTS_LIB_TMP_H
#define FANOUT_TESTS_LIB_TMP_H

#include <stddef.h>

/* A new empty folder under TMPDIR, else /tmp. It is removed with everything in it by tmp_remove, or else when the
 * program ends, after a failed test as well. */
const char *tmp_new(void);
void tmp_remove(const char *dir);

/* "DIR/NAME". */
const char *tmp_path(const char *dir, const char *name);

/* Writes text (printf) to DIR/NAME and returns that path. */
const char *tmp_write(const char *dir, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* A file's content, NUL-terminated, which the caller frees; NULL when there is no such file. */
char *tmp_read(const char *path, size_t *ret_bytes);

#endif
