#include "lib/dead_letters.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

const char *
dead_letters_arn(const char *url, char out[DEAD_LETTERS_ARN])
{
    snprintf(out, DEAD_LETTERS_ARN, "arn:aws:sqs:us-east-1:000000000000:%s", strrchr(url, '/') + 1);
    return out;
}

void
dead_letters_make(struct local_queue *q, const struct local_queue *dead, int receives, const char *more)
{
    char attributes[400], arn[DEAD_LETTERS_ARN];
    snprintf(attributes, sizeof attributes,
             "{\"VisibilityTimeout\": \"0\", \"RedrivePolicy\": \"{\\\"deadLetterTargetArn\\\":\\\"%s\\\","
             "\\\"maxReceiveCount\\\":%d}\"%s}",
             dead_letters_arn(dead->url, arn), receives, more);
    local_queue_make(q, attributes);
}

void
dead_letters_bury(struct local_queue *q, const char *prefix, int n)
{
    char members[2400], group[200] = "";
    bool fifo = strstr(q->url, ".fifo") != NULL;
    for (int i = 0; i < n; i += 10) {
        int at = snprintf(members, sizeof members, ", \"Entries\": [");
        for (int j = i; j < n && j < i + 10; j++) {
            if (fifo)
                snprintf(group, sizeof group, ", \"MessageGroupId\": \"%d\", \"MessageDeduplicationId\": \"%s-%d\"",
                         j % 3, prefix, j);
            at += snprintf(members + at, sizeof members - (size_t)at,
                           "%s{\"Id\": \"%d\", \"MessageBody\": \"%s-%d\"%s}", j > i ? "," : "", j, prefix, j, group);
        }
        snprintf(members + at, sizeof members - (size_t)at, "]");
        local_queue_ok(q, "SendMessageBatch", members);
        assert_int_equal(local_queue_receive(q, ", \"MaxNumberOfMessages\": 10"), n - i < 10 ? n - i : 10);
        assert_int_equal(local_queue_receive(q, ", \"MaxNumberOfMessages\": 10"), 0);
    }
}

int
dead_letters_call(struct aws_call *c, const char *operation, const char *format, ...)
{
    char members[2000];
    va_list ap;
    va_start(ap, format);
    vsnprintf(members, sizeof members, format, ap);
    va_end(ap);
    return aws_call_sqs(c, operation, "{%s}", members);
}
