#include "lib/move_flow.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void
begin(struct move_flow *f, const char *more)
{
    char attributes[200];
    snprintf(attributes, sizeof attributes, "{\"VisibilityTimeout\": \"0\"%s}", more);
    local_queue_make(&f->dead, attributes);
    dead_letters_make(&f->q, &f->dead, 1, more);
    local_queue_make(&f->other, attributes);
    dead_letters_arn(f->q.url, f->q_arn);
    dead_letters_arn(f->dead.url, f->dead_arn);
    dead_letters_arn(f->other.url, f->other_arn);
}

void
move_flow_begin(struct move_flow *f)
{
    begin(f, "");
}

void
move_flow_begin_fifo(struct move_flow *f)
{
    begin(f, ", \"FifoQueue\": \"true\"");
}

void
move_flow_end(struct move_flow *f)
{
    local_queue_drop(&f->q);
    local_queue_drop(&f->dead);
    local_queue_drop(&f->other);
}

void
move_flow_start(struct move_flow *f, const char *more)
{
    struct aws_call *c = &f->dead.call;
    if (dead_letters_call(c, "StartMessageMoveTask", "\"SourceArn\": \"%s\"%s", f->dead_arn, more) != 200)
        fail_msg("StartMessageMoveTask: %d %s: %s", c->status, c->error, c->message);
    assert_true(aws_call_text(c, "TaskHandle", f->handle, sizeof f->handle));
}

void
move_flow_start_to_other(struct move_flow *f, const char *more)
{
    char members[300];
    snprintf(members, sizeof members, ", \"DestinationArn\": \"%s\"%s", f->other_arn, more);
    move_flow_start(f, members);
}

const char *
move_flow_task(struct move_flow *f, const char *member)
{
    char path[80];
    snprintf(path, sizeof path, "Results.0.%s", member);
    assert_int_equal(dead_letters_call(&f->dead.call, "ListMessageMoveTasks", "\"SourceArn\": \"%s\"", f->dead_arn),
                     200);
    return local_queue_text(&f->dead, path);
}

int
move_flow_moved(struct move_flow *f)
{
    move_flow_task(f, "Status");
    return atoi(move_flow_task(f, "ApproximateNumberOfMessagesMoved"));
}

void
move_flow_assert(struct move_flow *f, const char *status, int n_moved, int to_move)
{
    assert_int_equal(move_flow_moved(f), n_moved);
    assert_string_equal(move_flow_task(f, "Status"), status);
    assert_int_equal(atoi(local_queue_text(&f->dead, "Results.0.ApproximateNumberOfMessagesToMove")), to_move);
}

bool
move_flow_has(struct move_flow *f, const char *member)
{
    char path[80];
    struct json value;
    snprintf(path, sizeof path, "Results.0.%s", member);
    return aws_call_at(&f->dead.call, path, &value);
}

int
move_flow_cancel(struct move_flow *f)
{
    return dead_letters_call(&f->dead.call, "CancelMessageMoveTask", "\"TaskHandle\": \"%s\"", f->handle);
}
