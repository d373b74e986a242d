#include "lib/flow.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/tmp.h"

int
flow_set_up(void **state)
{
    struct flow *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->dir = tmp_new();
    f->s = system_start(f->dir);
    flow_connect(f);
    *state = f;
    return 0;
}

int
flow_tear_down(void **state)
{
    struct flow *f = *state;
    unsetenv("FANOUT_TEST_CLOCK");
    aws_call_clean_up(&f->call);
    system_stop(f->s);
    tmp_remove(f->dir);
    free(f);
    return 0;
}

void
flow_connect(struct flow *f)
{
    aws_call_clean_up(&f->call);
    aws_call_init(&f->call, f->s->url);
    f->call.access_key_id = f->call.secret_access_key = "test";
    snprintf(f->queue, sizeof f->queue, "%s/000000000000/%s", f->s->url, SYSTEM_QUEUE);
}

const char *
flow_consumers(struct flow *f, const char *more, const char *options)
{
    static char text[1000];
    snprintf(text, sizeof text,
             "consumers = ( { name = \"t\"; queue = \"%s\"; plugin = \"flaky\"; wait_time_s = 1; %s\n"
             "                options = { record = \"%s/record\"; %s }; } );",
             SYSTEM_QUEUE, more, f->dir, options);
    return text;
}

void
flow_start_fleet(struct flow *f, const char *more)
{
    system_start_fleet(f->s, flow_consumers(f, more, ""));
}

void
flow_await_ready(struct flow *f)
{
    const char *line = proc_wait_line(f->s->fleet, "msg=ready consumers=", FLOW_SOON_MS);
    assert_non_null(line);
    const char *admin = strstr(line, "admin=") + strlen("admin=");
    snprintf(f->s->admin, sizeof f->s->admin, "%.*s", (int)strcspn(admin, " \n"), admin);
}

void
flow_send(struct flow *f, unsigned n)
{
    for (; n > 0; n--, f->sent++)
        assert_int_equal(aws_call_sqs(&f->call, "SendMessage", "{\"QueueUrl\": \"%s\", \"MessageBody\": \"m-%u\"}",
                                      f->queue, f->sent),
                         200);
}

static long
attribute(struct flow *f, const char *name)
{
    char path[100], text[20];
    snprintf(path, sizeof path, "Attributes.%s", name);
    return aws_call_text(&f->call, path, text, sizeof text) ? atol(text) : -1;
}

static bool
ask_for_counts(struct flow *f)
{
    return aws_call_sqs(&f->call, "GetQueueAttributes", "{\"QueueUrl\": \"%s\", \"AttributeNames\": [\"All\"]}",
                        f->queue) == 200;
}

bool
flow_is_empty(void *flow)
{
    struct flow *f = flow;
    return ask_for_counts(f) && attribute(f, "ApproximateNumberOfMessages") == 0 &&
           attribute(f, "ApproximateNumberOfMessagesNotVisible") == 0;
}

long
flow_visible(struct flow *f)
{
    assert_true(ask_for_counts(f));
    return attribute(f, "ApproximateNumberOfMessages");
}

unsigned
flow_handled(struct flow *f)
{
    char *text = tmp_read(tmp_path(f->dir, "record"), NULL);
    unsigned n = 0;
    for (const char *p = text; p && *p; p++)
        n += *p == '\n';
    free(text);
    return n;
}

void
flow_assert_goes_on(struct flow *f)
{
    flow_send(f, 5);
    assert_true(proc_wait_until(flow_is_empty, f, FLOW_SOON_MS));
    assert_int_equal(flow_handled(f), f->sent);
}

double
flow_metric(struct flow *f, const char *name)
{
    struct aws_call c;
    char url[150];
    double value = -1;
    snprintf(url, sizeof url, "http://%s", f->s->admin);
    aws_call_init(&c, url);
    aws_call_plain(&c, "GET", "/metrics", "");
    for (const char *at = c.status == 200 ? c.body.p : NULL; at && (at = strstr(at, name)); at++)
        if ((at == c.body.p || at[-1] == '\n') && strchr("{ ", at[strlen(name)])) {
            value = strtod(at[strlen(name)] == '{' ? strchr(at, '}') + 1 : at + strlen(name), NULL);
            break;
        }
    aws_call_clean_up(&c);
    return value;
}

unsigned
flow_attempts(struct flow *f)
{
    return (unsigned)(flow_metric(f, "fanout_aws_calls_total") + flow_metric(f, "fanout_aws_retries_total"));
}
