#include "lib/conf_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct conf *
conf_text_read(const char *text)
{
    struct conf *conf = NULL;
    struct conf_problems problems;
    struct err e;
    int rc = conf_read_text("x.conf", slice_of_string(text), &conf, &problems, &e);
    if (rc)
        print_error("%s", problems.text.data ? problems.text.data : e.text);
    assert_int_equal(rc, 0);
    assert_int_equal(problems.count, 0);
    assert_null(problems.text.data);
    return conf;
}
