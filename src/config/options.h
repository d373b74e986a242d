/* options: questions about the option table, for the reader and the printers of src/config. */
#ifndef FANOUT_CONFIG_OPTIONS_H
#define FANOUT_CONFIG_OPTIONS_H

#include <stdbool.h>

#include "base/buf.h"
#include "config/conf.h"

/* The option of that path, or NULL. */
const struct conf_option *conf_option_find(const char *path);

/* True when options lie below path: "log", "consumers", "consumers.batch". */
bool conf_option_is_group(const char *path);

/* True for options of a consumer: their offset is in struct conf_consumer. */
bool conf_option_is_consumers(const struct conf_option *o);

/* The place of text among the choices of a CONF_ENUM, which is the enum's value; -1: it is none of them. */
int conf_option_choice(const struct conf_option *o, const char *text);

/* What may be written, in words: "1 to 256", "error, warn, info or debug". Empty: anything. */
void conf_option_allowed(const struct conf_option *o, struct buf *out);

/* The option an unknown key was probably meant to be: the group's own options first, then all others, by their last
 * name and by their path in the group ("batch_size" finds batch.size). NULL: nothing is near. */
const struct conf_option *conf_option_nearest(const char *group, const char *key);

#endif
