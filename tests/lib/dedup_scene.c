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

#define STEP_MS       100
#define POLL_MS       1000 /* a long poll of the workers' */
#define DRAIN_POLLS   5
#define DRAIN_LOOK_MS 100

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
    s->turned_ms[i] = 0;
}

void
dedup_scene_kill(struct dedup_scene *s, unsigned i)
{
    kill(s->workers[i].pid, SIGKILL);
    lone_worker_end(&s->workers[i], DEDUP_SCENE_SOON_MS);
    forget(s, i);
}

/* The long poll that is outstanding ends with the time it has; a second one, if the worker had begun that before it
 * heard of the drain. */
static bool
is_drained(struct dedup_scene *s, unsigned i, struct ipc_message *m)
{
    for (int n = 0; s->clock && n < DRAIN_POLLS; n++) {
        dedup_scene_pass(s, POLL_MS);
        if (lone_worker_wait(&s->workers[i], IPC_DRAINED, m, DRAIN_LOOK_MS))
            return true;
    }
    return lone_worker_wait(&s->workers[i], IPC_DRAINED, m, DEDUP_SCENE_SOON_MS);
}

void
dedup_scene_drain(struct dedup_scene *s, unsigned i)
{
    struct ipc_message m;
    struct err e;
    assert_int_equal(ipc_send(s->workers[i].channel_fd, IPC_DRAIN, DEDUP_SCENE_SOON_MS, NULL, &e), 0);
    assert_true(is_drained(s, i, &m));
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

/* ---- waits ---- */

/* Every engine has seen the last step, and no handler is at work, whose message's lease would be over too early. */
static bool
may_step(struct dedup_scene *s)
{
    for (unsigned i = 0; i < DEDUP_SCENE_WORKERS; i++)
        if (s->workers[i].pid > 0 && (METRICS_GET(s->workers[i].metrics, engine_beat_ms) < s->turned_ms[i] ||
                                      lone_worker_is_handling(&s->workers[i])))
            return false;
    return true;
}

static void
step(struct dedup_scene *s)
{
    for (unsigned i = 0; i < DEDUP_SCENE_WORKERS; i++)
        if (s->workers[i].pid > 0)
            s->turned_ms[i] = METRICS_GET(s->workers[i].metrics, engine_beat_ms) + STEP_MS;
    dedup_scene_pass(s, STEP_MS);
}

struct wait {
    struct dedup_scene *scene;
    bool (*condition)(void *context);
    void *context;
};

static bool
is_over(void *wait)
{
    const struct wait *w = wait;
    if (w->condition(w->context))
        return true;
    if (w->scene->hurries && may_step(w->scene))
        step(w->scene);
    return false;
}

static bool
wait_until(struct dedup_scene *s, bool (*condition)(void *context), void *context)
{
    struct wait w = {s, condition, context};
    return proc_wait_until(is_over, &w, DEDUP_SCENE_SOON_MS);
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
    if (!wait_until(s, is_empty, s))
        fail_msg("the queue did not get empty: %s",
                 tmp_read(tmp_path(s->dir, "log-0"), NULL)); /* it lives as long as the program */
}

static bool
is_handling(void *worker)
{
    return lone_worker_is_handling(worker);
}

void
dedup_scene_await_handler(struct dedup_scene *s, unsigned i)
{
    assert_true(proc_wait_until(is_handling, &s->workers[i], DEDUP_SCENE_SOON_MS));
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
    if (!wait_until(s, has_counted, &a))
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
