#include "config/expand.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH      8
#define NAME_MAX_BYTES 255
#define NAME_FIRST     "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"
#define NAME_CHARS     NAME_FIRST "0123456789"

struct expansion {
    const char *at, *end;
    int depth;   /* of defaults around us */
    bool unused; /* inside a default whose variable is set: only the syntax counts */
    struct buf *out;
};

static int expand_text(struct expansion *x, struct err *e);

static size_t
name_length(const struct expansion *x)
{
    size_t n = 0;
    while (x->at + n < x->end && x->at[n] && strchr(n ? NAME_CHARS : NAME_FIRST, x->at[n]))
        n++;
    return n;
}

static int
expand_default(struct expansion *x, const char *name, bool unused, struct err *e)
{
    bool outer = x->unused;
    if (x->depth == MAX_DEPTH)
        return err_set(e, ERR_INVALID, "${...} is nested more than %d deep", MAX_DEPTH);
    x->depth++;
    x->unused = outer || unused;
    int rc = expand_text(x, e);
    x->unused = outer;
    x->depth--;
    if (rc)
        return rc;
    if (x->at == x->end)
        return err_set(e, ERR_INVALID, "${%s:- has no closing }", name);
    x->at++;
    return 0;
}

/* x->at is behind "${" before, behind the closing brace after. */
static int
expand_name(struct expansion *x, struct err *e)
{
    char name[NAME_MAX_BYTES + 1];
    size_t n = name_length(x);
    if (n == 0 || n > NAME_MAX_BYTES)
        return err_set(e, ERR_INVALID, "${ wants the name of an environment variable; write $$ for a dollar sign");
    memcpy(name, x->at, n);
    name[n] = 0;
    x->at += n;
    const char *value = getenv(name);
    if (x->at < x->end && *x->at == '}') {
        x->at++;
        if (!value && !x->unused)
            return err_set(e, ERR_INVALID, "the environment has no %s: set it, or write ${%s:-default}", name, name);
        if (!x->unused)
            buf_add_string(x->out, value);
        return 0;
    }
    if (x->end - x->at < 2 || memcmp(x->at, ":-", 2) != 0)
        return err_set(e, ERR_INVALID, "${%s must go on with } or :-default}", name);
    x->at += 2;
    bool is_set = value && *value;
    if (is_set && !x->unused)
        buf_add_string(x->out, value);
    return expand_default(x, name, is_set, e);
}

/* Stops at the end or, inside a default, at its closing brace. */
static int
expand_text(struct expansion *x, struct err *e)
{
    while (x->at < x->end && !(x->depth > 0 && *x->at == '}')) {
        char c = *x->at++;
        char next = x->at < x->end ? *x->at : 0;
        if (c == '$' && next == '{') {
            x->at++;
            int rc = expand_name(x, e);
            if (rc)
                return rc;
            continue;
        }
        if (c == '$' && next != '$')
            return err_set(e, ERR_INVALID, "a dollar sign starts ${NAME}; write $$ for a dollar sign");
        if (c == '$')
            x->at++;
        if (!x->unused)
            buf_add_char(x->out, c);
    }
    return 0;
}

int
conf_expand(struct slice text, struct buf *out, struct err *e)
{
    if (text.n == 0)
        return 0;
    struct expansion x = {.at = text.p, .end = text.p + text.n, .out = out};
    int rc = expand_text(&x, e);
    return rc ? rc : buf_failed(out) ? err_no_memory(e) : 0;
}

void
conf_expand_quote(struct slice text, struct buf *out)
{
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '$')
            buf_add_char(out, '$');
        buf_add_char(out, text.p[i]);
    }
}
