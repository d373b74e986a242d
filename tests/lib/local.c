#include "lib/local.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/admin.h"
#include "lib/tmp.h"

#define START_MS 20000

static void
start(struct local_server *s)
{
    char clock[600];
    snprintf(clock, sizeof clock, "FANOUT_TEST_CLOCK=%s", s->clock ? getenv("FANOUT_TEST_CLOCK") : "");
    const char *argv[20] = {
        proc_path("bin/fanout-local"), "--listen", "127.0.0.1:0", "--data", s->folder, "--no-provision"};
    for (size_t i = 0; s->options && i < 13 && s->options[i]; i++)
        argv[6 + i] = s->options[i];
    s->process = proc_spawn(argv, (const char *[]){s->clock ? clock : "FANOUT_TEST_CLOCK", NULL});
    const char *line = proc_wait_line(s->process, "READY ", START_MS);
    assert_non_null(line);
    snprintf(s->url, sizeof s->url, "%.*s", (int)strcspn(strstr(line, "http://"), " \r\n"), strstr(line, "http://"));
}

void
local_server_start(struct local_server *s, bool with_clock)
{
    struct err e;
    *s = (struct local_server){.folder = tmp_new()};
    if (with_clock) {
        const char *path = tmp_path(tmp_new(), "clock");
        if (clock_page_create(path, &s->clock, &e) != 0)
            fail_msg("%s", e.text);
        setenv("FANOUT_TEST_CLOCK", path, 1);
        assert_int_equal(clock_init(&e), 0);
        atomic_store(&s->clock->frozen_at_ms, clock_wall_ms());
    }
    start(s);
}

void
local_server_start_in(struct local_server *s, const char *folder)
{
    *s = (struct local_server){.folder = folder};
    start(s);
}

void
local_server_start_with(struct local_server *s, const char *const *options)
{
    *s = (struct local_server){.folder = tmp_new(), .options = options};
    start(s);
}

void
local_server_restart(struct local_server *s)
{
    start(s);
}

void
local_server_kill(struct local_server *s)
{
    proc_signal(s->process, SIGKILL);
    assert_int_equal(proc_wait_exit(s->process, START_MS), -SIGKILL);
    proc_destroy(s->process);
    s->process = NULL;
}

void
local_server_stop(struct local_server *s)
{
    proc_signal(s->process, SIGTERM);
    assert_int_equal(proc_wait_exit(s->process, START_MS), 0);
    proc_destroy(s->process);
    s->process = NULL;
}

void
local_server_clean_up(struct local_server *s)
{
    if (s->process)
        local_server_stop(s);
    tmp_remove(s->folder);
}

void
local_server_fill_disk(struct local_server *s)
{
    assert_int_equal(prlimit(proc_pid(s->process), RLIMIT_FSIZE, NULL, &s->file_size), 0);
    struct rlimit none = {.rlim_cur = 4096, .rlim_max = s->file_size.rlim_max};
    assert_int_equal(prlimit(proc_pid(s->process), RLIMIT_FSIZE, &none, NULL), 0);
}

void
local_server_make_room(struct local_server *s)
{
    assert_int_equal(prlimit(proc_pid(s->process), RLIMIT_FSIZE, &s->file_size, NULL), 0);
}

void
local_server_pass(struct local_server *s, int64_t ms)
{
    atomic_fetch_add(&s->clock->offset_ms, ms);
}

void
local_server_queue(struct local_server *s, const char *name, const char *attributes, char *ret_url, size_t size)
{
    struct aws_call c;
    aws_call_init(&c, s->url);
    aws_call_sqs(&c, "CreateQueue", "{\"QueueName\": \"%s\", \"Attributes\": %s}", name, attributes);
    if (c.status != 200)
        fail_msg("CreateQueue: %d %s: %s", c.status, c.error, c.message);
    assert_true(aws_call_text(&c, "QueueUrl", ret_url, size));
    aws_call_clean_up(&c);
}

long
local_server_waiting(struct local_server *s, const char *queue_url)
{
    return (long)admin_queue_figure(s->url, strrchr(queue_url, '/') + 1, "waiting");
}

struct expectation {
    struct local_server *server;
    const char *url;
    long n;
};

static bool
as_many_wait(void *context)
{
    struct expectation *e = context;
    return local_server_waiting(e->server, e->url) == e->n;
}

void
local_server_await_waiting(struct local_server *s, const char *queue_url, long n)
{
    struct expectation e = {.server = s, .url = queue_url, .n = n};
    assert_true(proc_wait_until(as_many_wait, &e, START_MS));
}

struct local_server local_fixture;

int
local_fixture_start(void **state)
{
    (void)state;
    local_server_start(&local_fixture, false);
    return 0;
}

int
local_fixture_start_with_clock(void **state)
{
    (void)state;
    local_server_start(&local_fixture, true);
    return 0;
}

int
local_fixture_stop(void **state)
{
    (void)state;
    local_server_clean_up(&local_fixture);
    return 0;
}
