#include "lib/need.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

void
need_give_up(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, why);
    exit(1);
}

void
need_call(int rc, const struct err *e)
{
    if (rc < 0)
        need_give_up("call", e->text);
}

void
need_answer(const char *what, const struct aws_error *error)
{
    if (error)
        need_give_up(what, error->err.text);
}

void
need_batch(const char *what, const struct sqs_batch_result *r)
{
    need_answer(what, r->error);
    for (size_t i = 0; i < r->n; i++)
        if (!r->results[i].ok)
            need_give_up(what, r->results[i].message);
}
