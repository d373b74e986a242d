#include "lib/dedup_scene.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/tmp.h"

static int
set_up(void **state, bool with_clock)
{
    struct dedup_scene *s = calloc(1, sizeof *s);
    assert_non_null(s);
    s->dir = tmp_new();
    if (with_clock) {
        const char *page = tmp_path(s->dir, "clock");
        assert_int_equal(clock_page_create(page, &s->clock, NULL), 0);
        setenv("FANOUT_TEST_CLOCK", page, 1);
    }
    s->system = system_start(s->dir);
    for (size_t i = 0; s->system->env[i]; i++)
        putenv((char *)s->system->env[i]);
    aws_call_init(&s->call, s->system->url);
    s->call.access_key_id = s->call.secret_access_key = "test";
    snprintf(s->queue, sizeof s->queue, "%s/000000000000/%s", s->system->url, SYSTEM_QUEUE);
    s->record = tmp_path(s->dir, "record");
    *state = s;
    return 0;
}

int
dedup_scene_set_up(void **state)
{
    return set_up(state, false);
}

int
dedup_scene_set_up_with_clock(void **state)
{
    return set_up(state, true);
}

void
dedup_scene_pass(struct dedup_scene *s, int64_t ms)
{
    atomic_fetch_add(&s->clock->offset_ms, ms);
    s->call.skew_ms += ms;
}

static void
forget(struct dedup_scene *s, unsigned i)
{
    lone_worker_clean_up(&s->workers[i]);
    s->workers[i] = (struct lone_worker){.channel_fd = -1};
}

void
dedup_scene_kill(struct dedup_scene *s, unsigned i)
{
    kill(s->workers[i].pid, SIGKILL);
    lone_worker_end(&s->workers[i], DEDUP_SCENE_SOON_MS);
    forget(s, i);
}

void
dedup_scene_drain(struct dedup_scene *s, unsigned i)
{
    struct ipc_message m;
    struct err e;
    assert_int_equal(ipc_send(s->workers[i].channel_fd, IPC_DRAIN, DEDUP_SCENE_SOON_MS, NULL, &e), 0);
    assert_true(lone_worker_wait(&s->workers[i], IPC_DRAINED, &m, DEDUP_SCENE_SOON_MS));
    assert_int_equal(m.number, 0);
    assert_int_equal(lone_worker_end(&s->workers[i], DEDUP_SCENE_SOON_MS), 0);
    forget(s, i);
}

int
dedup_scene_tear_down(void **state)
{
    struct dedup_scene *s = *state;
    for (unsigned i = 0; i < DEDUP_SCENE_WORKERS; i++)
        if (s->workers[i].pid > 0)
            dedup_scene_kill(s, i);
    aws_call_clean_up(&s->call);
    system_stop(s->system);
    unsetenv("FANOUT_TEST_CLOCK");
    tmp_remove(s->dir);
    free(s);
    return 0;
}

void
dedup_scene_start(struct dedup_scene *s, unsigned i, const char *settings, const char *options)
{
    struct buf conf = BUF_INIT;
    struct ipc_message m;
    buf_add_format(&conf,
                   "log = { level = \"info\"; file = \"%s/log-%u\"; };\n"
                   "aws = { region = \"us-east-1\"; endpoint_url = \"%s\"; };\n"
                   "consumers = ( { name = \"orders\"; queue = \"%s\"; plugin = \"flaky\"; wait_time_s = 1;\n"
                   "  %s threads = 4; batch = { size = 1; }; %s\n"
                   "  options = { record = \"%s\"; record_body = true; %s }; } );\n",
                   s->dir, i, s->system->url, SYSTEM_QUEUE,
                   strstr(settings, "visibility_timeout_s") ? "" : "visibility_timeout_s = 2;", settings, s->record,
                   options);
    assert_false(buf_failed(&conf));
    lone_worker_start(&s->workers[i], conf.data, 4, 1000, NULL, NULL);
    buf_clean_up(&conf);
    assert_true(lone_worker_wait(&s->workers[i], IPC_READY, &m, DEDUP_SCENE_SOON_MS));
}

void
dedup_scene_send(struct dedup_scene *s, const char *event_id)
{
    int status =
        aws_call_sqs(&s->call, "SendMessage",
                     "{\"QueueUrl\": \"%s\", \"MessageBody\": \"{\\\"version\\\":\\\"0\\\",\\\"id\\\":\\\"%s\\\","
                     "\\\"detail-type\\\":\\\"t\\\",\\\"source\\\":\\\"s\\\",\\\"account\\\":\\\"1\\\","
                     "\\\"time\\\":\\\"2026-11-20T06:00:00Z\\\",\\\"region\\\":\\\"r\\\","
                     "\\\"resources\\\":[],\\\"detail\\\":{}}\"}",
                     s->queue, event_id);
    assert_int_equal(status, 200);
}

void
dedup_scene_fault(struct dedup_scene *s, const char *json)
{
    int status = aws_call_plain(&s->call, json ? "POST" : "DELETE", "/_fanout/faults", json ? json : "");
    assert_int_equal(status / 100, 2);
}

static long
attribute(struct dedup_scene *s, const char *path)
{
    char text[20];
    return aws_call_text(&s->call, path, text, sizeof text) ? atol(text) : -1;
}

static bool
is_empty(void *scene)
{
    struct dedup_scene *s = scene;
    return aws_call_sqs(&s->call, "GetQueueAttributes", "{\"QueueUrl\": \"%s\", \"AttributeNames\": [\"All\"]}",
                        s->queue) == 200 &&
           attribute(s, "Attributes.ApproximateNumberOfMessages") == 0 &&
           attribute(s, "Attributes.ApproximateNumberOfMessagesNotVisible") == 0;
}

void
dedup_scene_await_empty(struct dedup_scene *s)
{
    if (!proc_wait_until(is_empty, s, DEDUP_SCENE_SOON_MS))
        fail_msg("the queue did not get empty: %s",
                 tmp_read(tmp_path(s->dir, "log-0"), NULL)); /* it lives as long as the program */
}

static bool
is_inside_a_handler(void *worker)
{
    const struct ledger *l = ((struct lone_worker *)worker)->ledger;
    for (uint32_t i = 0; i < ledger_threads(l); i++)
        if (atomic_load(&ledger_thread(l, i)->entered_mono_ms) != 0)
            return true;
    return false;
}

void
dedup_scene_await_handler(struct dedup_scene *s, unsigned i)
{
    assert_true(proc_wait_until(is_inside_a_handler, &s->workers[i], DEDUP_SCENE_SOON_MS));
}

struct await {
    _Atomic uint64_t *counter;
    uint64_t at_least;
};

static bool
has_counted(void *await)
{
    const struct await *a = await;
    return atomic_load(a->counter) >= a->at_least;
}

void
dedup_scene_await(struct dedup_scene *s, unsigned i, const char *counter_name, _Atomic uint64_t *counter,
                  uint64_t at_least)
{
    struct await a = {counter, at_least};
    (void)s;
    if (!proc_wait_until(has_counted, &a, DEDUP_SCENE_SOON_MS))
        fail_msg("worker %u: %s is %lu, and %lu is waited for", i, counter_name, (unsigned long)atomic_load(counter),
                 (unsigned long)at_least);
}

size_t
dedup_scene_recorded(struct dedup_scene *s, const char *text)
{
    size_t n = 0;
    char *record = tmp_read(s->record, NULL), *rest = record;
    for (char *line = record ? strtok_r(record, "\n", &rest) : NULL; line; line = strtok_r(NULL, "\n", &rest))
        n += strstr(line, text) != NULL;
    free(record);
    return n;
}
