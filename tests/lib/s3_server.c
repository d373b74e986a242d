#include "lib/s3_server.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct proc *s3_server;
char s3_server_url[100];
unsigned s3_server_buckets;

void
s3_server_spawn(const char *const *argv)
{
    s3_server = proc_spawn(argv, NULL);
    const char *line = proc_wait_line(s3_server, "READY ", 20000);
    assert_non_null(line);
    snprintf(s3_server_url, sizeof s3_server_url, "%s", strstr(line, "http://"));
}

int
s3_server_start(void **state)
{
    (void)state;
    s3_server_spawn(
        (const char *[]){proc_path("bin/fanout-local"), "--listen", "127.0.0.1:0", "--memory", "--no-provision", NULL});
    return 0;
}

int
s3_server_stop(void **state)
{
    (void)state;
    proc_signal(s3_server, SIGTERM); /* an orderly end lets a sanitizer speak */
    assert_int_equal(proc_wait_exit(s3_server, 20000), 0);
    proc_destroy(s3_server);
    s3_server = NULL;
    return 0;
}

int
s3_server_call(const struct s3_request *r)
{
    struct s3_answer a;
    s3_call(s3_server_url, r, &a);
    int status = a.status;
    s3_answer_clean_up(&a);
    return status;
}

const char *
s3_server_path(const char *suffix)
{
    static char text[2000];
    if (!*suffix)
        s3_server_buckets++;
    snprintf(text, sizeof text, "/bucket-%u%s", s3_server_buckets, suffix);
    if (!*suffix)
        assert_int_equal(s3_server_call(REQUEST(.method = "PUT", .path = text)), 200);
    return text;
}

void
s3_server_put(const char *suffix, struct slice body)
{
    assert_int_equal(s3_server_call(REQUEST(.method = "PUT", .path = s3_server_path(suffix), .body = body)), 200);
}

void
s3_server_assert_body(const char *suffix, struct slice body)
{
    struct s3_answer a;
    s3_call(s3_server_url, REQUEST(.method = "GET", .path = s3_server_path(suffix)), &a);
    assert_int_equal(a.status, 200);
    assert_int_equal(a.body.n, body.n);
    assert_memory_equal(a.body.p, body.p, body.n);
    s3_answer_clean_up(&a);
}

void
s3_server_assert_error(const struct s3_request *r, int status, const char *code)
{
    struct s3_answer a;
    char text[100];
    s3_call(s3_server_url, r, &a);
    assert_string_equal(s3_answer_text(&a, "Code", text, sizeof text), code);
    assert_int_equal(a.status, status);
    s3_answer_clean_up(&a);
}

void
s3_server_assert_header(const struct s3_answer *a, const char *name, const char *value)
{
    char text[3000];
    snprintf(text, sizeof text, "%.*s", SLICE_ARG(s3_answer_header(a, name)));
    assert_string_equal(text, value);
}
