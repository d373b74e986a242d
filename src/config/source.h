/* source: the text of a configuration with its @include files in it, made ready for libconfig, and which line of it
 * came from which line of which file.
 *
 * Includes are resolved here, before libconfig sees the text, for libconfig 1.5 ends the whole process when an included
 * path is a folder, and knows only one folder for all of them. On the same pass two more of its faults are made
 * impossible: an integer above 32 bits loses its upper bits without a word (each gets the suffix L, so that it is read
 * with 64), and a comment that is never closed silently hides the rest of the file. */
#ifndef FANOUT_CONFIG_SOURCE_H
#define FANOUT_CONFIG_SOURCE_H

#include <stddef.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

#define CONF_SOURCE_MAX_BYTES    (256 * 1024) /* of all files together */
#define CONF_SOURCE_MAX_INCLUDES 100          /* in all */
#define CONF_SOURCE_MAX_DEPTH    10           /* of includes */
#define CONF_SOURCE_MAX_NESTING  32           /* of groups and lists */

struct conf_place {
    const char *file;
    unsigned line; /* from 1 */
};

struct conf_source {
    struct buf text;
    struct conf_place *places; /* of each line of text */
    size_t n_places, capacity;
    size_t read_bytes; /* of all files so far */
    unsigned includes;
    unsigned nesting;
    struct arena names; /* owns the places' files */
};

void conf_source_init(struct conf_source *s);
void conf_source_clean_up(struct conf_source *s);

/* Reads a file and all that it includes. A relative @include counts from the folder of the file that has it; ${NAME} in
 * it is expanded. Errors begin with "FILE:LINE: " but for those about the first file itself. */
int conf_source_read_file(struct conf_source *s, const char *path, struct err *e);

/* Takes text as it is; @include is refused. */
int conf_source_read_text(struct conf_source *s, const char *name, struct slice text, struct err *e);

/* Where line (from 1) of text came from. */
struct conf_place conf_source_place(const struct conf_source *s, unsigned line);

#endif
