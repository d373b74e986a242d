#include "lib/parsed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

int
parsed_copy(struct slice text, char **ret_copy, struct json *ret_value, struct err *e)
{
    char *copy = malloc(text.n ? text.n : 1);
    assert_non_null(copy);
    if (text.n > 0)
        memcpy(copy, text.p, text.n);
    *ret_copy = copy;
    return json_parse(slice_of(copy, text.n), ret_value, e);
}

int
parsed_code(struct slice text)
{
    char *copy;
    struct json v;
    struct err e;
    int rc = parsed_copy(text, &copy, &v, &e);
    free(copy);
    return rc;
}

struct json
parsed(const char *text)
{
    struct json v;
    struct err e = {0};
    if (json_parse(slice_of_string(text), &v, &e) != 0)
        fail_msg("%s: %s", text, e.text);
    return v;
}

const char *
parsed_text(struct json v)
{
    static char text[4][200];
    static int next;
    char *t = text[next++ % 4];
    snprintf(t, sizeof text[0], "%.*s", SLICE_ARG(v.text));
    return t;
}
