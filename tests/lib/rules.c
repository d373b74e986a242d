#include "lib/rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/queue_take.h"

struct local_server rules_server;
struct aws_call rules_aws;

void
rules_connect_again(void)
{
    aws_call_clean_up(&rules_aws);
    aws_call_init(&rules_aws, rules_server.url);
}

int
rules_start(void **state)
{
    char url[200];
    (void)state;
    local_server_start(&rules_server, false);
    local_server_queue(&rules_server, "q", "{}", url, sizeof url);
    local_server_queue(&rules_server, "other", "{}", url, sizeof url);
    local_server_queue(&rules_server, "dead", "{}", url, sizeof url);
    rules_connect_again();
    return 0;
}

int
rules_stop(void **state)
{
    (void)state;
    aws_call_clean_up(&rules_aws);
    local_server_clean_up(&rules_server);
    return 0;
}

int
rules_call(const char *operation, const char *format, ...)
{
    char target[100];
    struct buf body = BUF_INIT;
    va_list ap;
    va_start(ap, format);
    buf_add_format_va(&body, format, ap);
    va_end(ap);
    snprintf(target, sizeof target, "AWSEvents.%s", operation);
    int status = aws_call_begin(&rules_aws, "events", target, buf_slice(&body)) ? aws_call_finish(&rules_aws) : 0;
    buf_clean_up(&body);
    return status;
}

void
rules_assert_error(const char *code, const char *message)
{
    assert_int_equal(rules_aws.status, 400);
    assert_string_equal(rules_aws.error, code);
    assert_string_equal(rules_aws.message, message);
}

void
rules_assert_text(const char *path, const char *expected)
{
    char text[5000];
    aws_call_text(&rules_aws, path, text, sizeof text);
    assert_string_equal(text, expected);
}

void
rules_put_event(const char *source, const char *detail)
{
    struct buf quoted = BUF_INIT;
    json_write_string(&quoted, slice_of_string(detail));
    rules_assert_done("PutEvents",
                      "{\"Entries\":[{\"Source\":\"%s\",\"DetailType\":\"d\",\"Time\":1763618400,\"Detail\":%s}]}",
                      source, quoted.data);
    rules_assert_text("FailedEntryCount", "0");
    buf_clean_up(&quoted);
}

void
rules_assert_empty(const char *queue)
{
    queue_assert_empty(rules_server.url, queue);
}

void
rules_assert_takes(const char *queue, const char *expected)
{
    char *body = queue_take_body(rules_server.url, queue);
    if (expected)
        assert_string_equal(body, expected);
    free(body);
}

void
rules_put(const char *name)
{
    rules_assert_done("PutRule", "{\"Name\":\"%s\",\"EventPattern\":\"" ORDERS "\"}", name);
}

void
rules_put_target(const char *rule, const char *id, const char *queue, const char *members)
{
    rules_assert_done("PutTargets", "{\"Rule\":\"%s\",\"Targets\":[{\"Id\":\"%s\",\"Arn\":\"" QUEUE("%s") "\"%s}]}",
                      rule, id, queue, members);
    rules_assert_text("FailedEntryCount", "0");
}

void
rules_drop(const char *name)
{
    char ids[1000] = "";
    rules_assert_done("ListTargetsByRule", "{\"Rule\":\"%s\"}", name);
    for (size_t i = 0, n = aws_call_count(&rules_aws, "Targets"); i < n; i++) {
        char path[40], id[70];
        snprintf(path, sizeof path, "Targets.%zu.Id", i);
        aws_call_text(&rules_aws, path, id, sizeof id);
        snprintf(ids + strlen(ids), sizeof ids - strlen(ids), "%s\"%s\"", i > 0 ? "," : "", id);
    }
    if (*ids)
        rules_assert_done("RemoveTargets", "{\"Rule\":\"%s\",\"Ids\":[%s]}", name, ids);
    rules_assert_done("DeleteRule", "{\"Name\":\"%s\"}", name);
}
