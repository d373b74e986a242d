#include "lib/admin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

int
admin_ask(struct aws_call *c, const char *method, const char *page, const char *body)
{
    char path[1000];
    snprintf(path, sizeof path, "/_fanout%s", page);
    return aws_call_plain(c, method, path, body);
}

/* Connects, asks; the caller cleans up. */
static void
ask(struct aws_call *c, const char *url, const char *method, const char *page, const char *body)
{
    aws_call_init(c, url);
    if (admin_ask(c, method, page, body) != 200)
        fail_msg("%s /_fanout%s %s: %d %.*s", method, page, body, c->status, SLICE_ARG(c->body));
}

static void
tell(const char *url, const char *method, const char *page, const char *body)
{
    struct aws_call c;
    ask(&c, url, method, page, body);
    aws_call_clean_up(&c);
}

bool
admin_is_healthy(const char *url)
{
    struct aws_call c;
    aws_call_init(&c, url);
    bool healthy = admin_ask(&c, "GET", "/health", "") == 200;
    aws_call_clean_up(&c);
    return healthy;
}

void
admin_reset(const char *url)
{
    tell(url, "POST", "/reset", "");
}

void
admin_empty_queue(const char *url, const char *name)
{
    char page[200];
    snprintf(page, sizeof page, "/reset?queue=%s", name);
    tell(url, "POST", page, "");
}

void
admin_set_fault(const char *url, const char *rule)
{
    tell(url, "POST", "/faults", rule);
}

void
admin_clear_faults(const char *url)
{
    tell(url, "DELETE", "/faults", "");
}

static int64_t
number_at(const struct aws_call *c, const char *path)
{
    struct json v;
    int64_t n;
    return aws_call_at(c, path, &v) && json_int64(v, &n) ? n : -1;
}

int64_t
admin_struck(const char *url, size_t n)
{
    struct aws_call c;
    char path[60];
    snprintf(path, sizeof path, "rules.%zu.struck", n);
    ask(&c, url, "GET", "/faults", "");
    int64_t struck = number_at(&c, path);
    aws_call_clean_up(&c);
    return struck;
}

int64_t
admin_figure(const char *url, const char *path)
{
    struct aws_call c;
    ask(&c, url, "GET", "/stats", "");
    int64_t n = number_at(&c, path);
    aws_call_clean_up(&c);
    return n;
}

int64_t
admin_ask_queue_figure(struct aws_call *c, const char *queue, const char *name)
{
    struct json queues, its_name, figure;
    int64_t n = -1;
    if (admin_ask(c, "GET", "/stats", "") != 200)
        fail_msg("GET /_fanout/stats: %d %.*s", c->status, SLICE_ARG(c->body));
    if (aws_call_at(c, "sqs.queues", &queues))
        for (struct json_iter it = json_iter(queues); json_next(&it);)
            if (json_get(it.value, "name", &its_name) && json_equals_string(its_name, slice_of_string(queue)) &&
                json_get(it.value, name, &figure))
                json_int64(figure, &n);
    return n;
}

bool
admin_queue_is_empty(const char *url, const char *queue)
{
    static const char *const FIGURES[] = {"visible", "in_flight", "delayed"};
    struct aws_call c;
    bool found = false;
    int64_t n, sum = 0;
    ask(&c, url, "GET", "/stats", "");
    struct json queues, q, figure;
    if (aws_call_at(&c, "sqs.queues", &queues))
        for (struct json_iter it = json_iter(queues); json_next(&it);)
            if (json_get(it.value, "name", &q) && json_equals_string(q, slice_of_string(queue))) {
                found = true;
                for (size_t k = 0; k < 3; k++)
                    if (json_get(it.value, FIGURES[k], &figure) && json_int64(figure, &n))
                        sum += n;
            }
    aws_call_clean_up(&c);
    return found && sum == 0;
}

int64_t
admin_queue_figure(const char *url, const char *queue, const char *name)
{
    struct aws_call c;
    aws_call_init(&c, url);
    int64_t n = admin_ask_queue_figure(&c, queue, name);
    aws_call_clean_up(&c);
    return n;
}

size_t
admin_count_requests(const char *url, const char *query)
{
    struct aws_call c;
    char page[800];
    snprintf(page, sizeof page, "/requests?%s", query);
    ask(&c, url, "GET", page, "");
    size_t n = aws_call_count(&c, "requests");
    aws_call_clean_up(&c);
    return n;
}
