/* syntax: what libconfig says of a text it cannot parse, in words that help. It has two sentences, "syntax error" and
 * "duplicate setting name", and names neither what it stumbled on nor the name. */
#ifndef FANOUT_CONFIG_SYNTAX_H
#define FANOUT_CONFIG_SYNTAX_H

#include "base/buf.h"
#include "config/source.h"

/* Appends "FILE:LINE: ..." for libconfig's error text at that line (from 1) of the source. */
void conf_explain_syntax(const struct conf_source *s, unsigned line, const char *text, struct buf *out);

#endif
