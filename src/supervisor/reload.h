/* reload: the configuration file, read again by a supervisor that runs. */
#ifndef FANOUT_SUPERVISOR_RELOAD_H
#define FANOUT_SUPERVISOR_RELOAD_H

#include "base/err.h"
#include "config/conf.h"

/* Reads and checks the file; each of its problems becomes a line of the log. */
int reload_read(const char *file, struct conf **ret_conf, struct err *e);

/* Warns of every option that differs and that only a restart can change. */
void reload_warn_of_fixed(const struct conf *old, const struct conf *fresh);

#endif
