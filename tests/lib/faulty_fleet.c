#include "lib/faulty_fleet.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "lib/tmp.h"

void
faulty_fleet_init(struct faulty_fleet *f)
{
    *f = (struct faulty_fleet){.dir = tmp_new()};
}

void
faulty_fleet_clean_up(struct faulty_fleet *f)
{
    proc_destroy(f->fleet);
    faulty_sqs_stop(f->sqs);
    tmp_remove(f->dir);
}

void
faulty_fleet_serve(struct faulty_fleet *f, struct faulty_queue *queues, size_t n, int port)
{
    f->sqs = faulty_sqs_start(queues, n, port);
}

/* A worker may well have said something by then that a test waits for: no line is passed over. */
static bool
is_ready(void *fleet)
{
    return proc_count_lines(fleet, "msg=ready consumers=") > 0;
}

void
faulty_fleet_start(struct faulty_fleet *f, const char *endpoint, const struct faulty_queue *queues, size_t n)
{
    struct buf text = BUF_INIT;
    char variable[100];
    for (size_t i = 0; i < n; i++)
        buf_add_format(&text,
                       "%s{ name = \"%s\"; queue = \"%s\"; plugin = \"flaky\"; %s\n"
                       "   options = { record = \"%s/%s\"; %s }; }",
                       i > 0 ? ",\n  " : "consumers = ( ", queues[i].name, queues[i].name,
                       queues[i].settings ? queues[i].settings : "", f->dir, queues[i].name,
                       queues[i].options ? queues[i].options : "");
    const char *conf = tmp_write(f->dir, "fanoutd.conf", "%s );\n", text.data);
    buf_clean_up(&text);
    snprintf(variable, sizeof variable, "AWS_ENDPOINT_URL=%s", endpoint);
    const char *env[] = {"AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=b", "AWS_REGION=us-east-1", variable, NULL};
    const char *argv[] = {proc_path("bin/fanoutd"), "-c", conf, NULL};
    f->fleet = proc_spawn(argv, env);
    assert_true(proc_wait_until(is_ready, f->fleet, FAULTY_SOON_MS));
}

void
faulty_fleet_end(struct faulty_fleet *f)
{
    proc_signal(f->fleet, SIGTERM);
    assert_int_equal(proc_wait_exit(f->fleet, FAULTY_SOON_MS), 0);
    faulty_sqs_stop(f->sqs);
    f->sqs = NULL;
}

/* exactly: and no message more often. */
static void
assert_handled(const struct faulty_fleet *f, const struct faulty_queue *q, const char *const *verdicts, size_t n,
               bool exactly)
{
    char *text = tmp_read(tmp_path(f->dir, q->name), NULL);
    size_t lines = 0;
    assert_non_null(text);
    for (unsigned i = 0; i < FAULTY_MESSAGES * n; i++) {
        char line[100];
        snprintf(line, sizeof line, "%s-%u %s ", q->name, i % FAULTY_MESSAGES, verdicts[i / FAULTY_MESSAGES]);
        if (!strstr(text, line))
            fail_msg("%s was not handled", line);
    }
    for (const char *p = text; *p; p++)
        lines += *p == '\n';
    if (exactly && lines != FAULTY_MESSAGES * n)
        fail_msg("%s: not each message was handled %zu times:\n%s", q->name, n, text);
    free(text);
}

void
faulty_fleet_assert_handled_once(const struct faulty_fleet *f, const struct faulty_queue *q)
{
    assert_handled(f, q, (const char *const[]){"DONE"}, 1, true);
}

void
faulty_fleet_assert_handled_twice(const struct faulty_fleet *f, const struct faulty_queue *q)
{
    assert_handled(f, q, (const char *const[]){"RETRY", "DONE"}, 2, true);
}

void
faulty_fleet_assert_rejected_once(const struct faulty_fleet *f, const struct faulty_queue *q)
{
    assert_handled(f, q, (const char *const[]){"REJECT"}, 1, true);
}

void
faulty_fleet_assert_rejected(const struct faulty_fleet *f, const struct faulty_queue *q)
{
    assert_handled(f, q, (const char *const[]){"REJECT"}, 1, false);
}
