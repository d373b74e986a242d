/* read: one reading of a configuration, shared by what reads groups (read.c), what reads one value (value.c) and what
 * checks across options (check.c). */
#ifndef FANOUT_CONFIG_READ_H
#define FANOUT_CONFIG_READ_H

#include <libconfig.h>

#include "config/conf.h"
#include "config/source.h"

struct conf_reader {
    struct conf_source source;
    struct conf *conf; /* in the making; its arena owns the values */
    struct conf_problems *problems;
    struct err *e;  /* the first problem */
    bool no_memory; /* sticky */
};

/* Notes a problem at the setting's line (NULL: of no line); path names the option, or is NULL. */
void conf_problem(struct conf_reader *r, const config_setting_t *where, const char *path, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The path of a member in this file, "consumers[1].batch.size"; lives as long as the reader. NULL: no memory. */
char *conf_path_in(struct conf_reader *r, const char *parent, const char *name);

/* value.c: checks one setting and writes it to its field in base (a struct conf or struct conf_consumer). */
void conf_set_option(struct conf_reader *r, const struct conf_option *o, const config_setting_t *s, const char *path,
                     void *base);
void conf_set_default(const struct conf_option *o, void *base);

/* check.c: what one option alone cannot tell. setting is the consumer's; consumers the list of all. */
void conf_check_consumer(struct conf_reader *r, const struct conf_consumer *c, config_setting_t *setting,
                         const char *path);
void conf_check_names(struct conf_reader *r, config_setting_t *consumers);

#endif
