/* expand: ${NAME} in the strings of a configuration. Reads the environment: one thread. */
#ifndef FANOUT_CONFIG_EXPAND_H
#define FANOUT_CONFIG_EXPAND_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

/* Appends text with ${NAME} replaced by the environment's NAME, ${NAME:-default} by default when NAME is unset or
 * empty (a default may itself hold ${...}, eight deep), and $$ by a dollar sign. What comes from the environment is
 * taken as it is. ERR_INVALID: NAME is unset and has no default, a dollar sign that starts nothing, a missing brace.
 * ERR_NO_MEMORY when out cannot grow. */
int conf_expand(struct slice text, struct buf *out, struct err *e);

/* Appends text so that conf_expand gives it back: each dollar sign is doubled. */
void conf_expand_quote(struct slice text, struct buf *out);

#endif
