/* widen: a copy of a CloudFormation template whose rules take the events of every source.
 *
 * The demo publishes a person's own entries, whose sources no template can foresee: a parameter would carry neither a
 * comma in a source nor a few thousand sources. Everything but the rules' patterns stays byte for byte. */
#ifndef FANOUT_CTL_WIDEN_H
#define FANOUT_CTL_WIDEN_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

/* Appends the copy to out. ERR_INVALID: no JSON, or no rule with a pattern in it. */
int widen_template(struct slice text, struct buf *out, struct err *e);

/* The same from file to file. ERR_NOT_FOUND, ERR_DENIED, ERR_IO, ERR_INVALID. */
int widen_file(const char *from, const char *to, struct err *e);

#endif
