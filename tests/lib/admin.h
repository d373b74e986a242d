/* admin: fanout-local's admin API (/_fanout/), for tests.
 *
 * The short calls connect anew, and what the server refuses fails the test:
 *
 *     admin_set_fault(url, "{\"action\": \"sqs:SendMessage\", \"kind\": \"error\"}");
 *     admin_reset(url);
 *     assert_int_equal(admin_figure(url, "operations.sqs:SendMessage.errors"), 1);
 *
 * and for all else there is admin_ask, whose answer is read as any other's (lib/aws_call.h):
 *
 *     struct aws_call c;
 *     aws_call_init(&c, url);
 *     assert_int_equal(admin_ask(&c, "GET", "/requests?status=4xx", ""), 200);
 *     aws_call_text(&c, "requests.0.error", text, sizeof text); */
#ifndef FANOUT_TESTS_LIB_ADMIN_H
#define FANOUT_TESTS_LIB_ADMIN_H

#include "lib/aws_call.h"

/* page: behind "/_fanout". Returns the status. */
int admin_ask(struct aws_call *c, const char *method, const char *page, const char *body);

bool admin_is_healthy(const char *url);
void admin_reset(const char *url);
void admin_empty_queue(const char *url, const char *name);
void admin_set_fault(const char *url, const char *rule);
void admin_clear_faults(const char *url);

/* How often the rule that was set n-th, from 0, has struck. */
int64_t admin_struck(const char *url, size_t n);

/* A number in the statistics, by its path; -1: there is none. */
int64_t admin_figure(const char *url, const char *path);

/* A number in the statistics of a queue ("waiting", "visible", ...); -1: no such queue. */
int64_t admin_queue_figure(const char *url, const char *queue, const char *name);
int64_t admin_ask_queue_figure(struct aws_call *c, const char *queue, const char *name); /* over a connection kept */

/* Nothing is in the queue, visible or not, by one look: between two a message may have gone from one to the other. */
bool admin_queue_is_empty(const char *url, const char *queue);

/* How many of the requests that are remembered fit the query ("operation=SendMessage&status=200"). */
size_t admin_count_requests(const char *url, const char *query);

#endif
