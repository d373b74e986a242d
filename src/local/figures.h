/* figures: how often each operation was asked for, how often it was refused, and how long it took. Any thread. */
#ifndef FANOUT_LOCAL_FIGURES_H
#define FANOUT_LOCAL_FIGURES_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

#define LOCAL_FIGURES_MAX 128 /* operations; "other" counts what has no place */

struct local_figures;

int local_figures_new(struct local_figures **ret_figures, struct err *e);
void local_figures_destroy(struct local_figures *f); /* NULL is fine */

/* One call that is over. status 0: the connection was closed without an answer. */
void local_figures_note(struct local_figures *f, const char *service, struct slice operation, int status,
                        int64_t duration_us);

void local_figures_clear(struct local_figures *f);

/* {"sqs:SendMessage": 3, ...} */
void local_figures_describe_calls(struct local_figures *f, struct buf *out);

/* {"sqs:SendMessage": {"calls": 3, "errors": 0, "p50_us": 400, "p99_us": 700, "max_us": 650}, ...}: errors are answers
 * of 400 and above, and connections that were closed. The quantiles are upper bounds, at most a quarter above. */
void local_figures_describe(struct local_figures *f, struct buf *out);

#endif
