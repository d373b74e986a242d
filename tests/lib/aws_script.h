/* aws_script: a client of one service, whose server answers request by request as a test has written down, and whose
 * time stands still: waits are read off the loop's timers and passed at once. For the tests of src/aws's calls.
 *
 *     AWS_SCRIPT(AWS_SQS, {.status = 503}, {.status = 200, .body = "{}"});
 *     struct aws_seen o = aws_script_call(AWS_SIMPLE);
 *     assert_int_equal(o.attempts, 2);
 *
 * One script a test (AWS_SCRIPT_TEST), one thread. What cannot be fails the test. */
#ifndef FANOUT_TESTS_LIB_AWS_SCRIPT_H
#define FANOUT_TESTS_LIB_AWS_SCRIPT_H

#include "aws/aws.h"
#include "base/clock.h"
#include "lib/stub_server.h"

#define AWS_SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

/* What the server answers to a request; the last one to all that follow. */
struct aws_step {
    const char *headers, *body;
    const char *raw;
    int status; /* 0: raw */
    bool reset, hang;
};

/* The present test's; a test may put others in their places, which are destroyed with it. */
extern struct aws_script {
    struct clock_page *clock; /* frozen at 2026-11-20T06:00:00Z */
    struct http_engine *engine;
    struct creds_provider *credentials; /* AKIDEXAMPLE, AWS_SECRET */
    struct stub_server *server;
    struct aws_client *client; /* in eu-north-1 */
} aws_script;

/* In main, before anything else: the clock, and nothing of the environment's. */
void aws_script_prepare(void);

#define AWS_SCRIPT_TEST(test) cmocka_unit_test_setup_teardown(test, aws_script_set_up, aws_script_tear_down)
int aws_script_set_up(void **state);
int aws_script_tear_down(void **state);

/* Starts server and client; steps are borrowed until the end. */
void aws_script_start(const struct aws_step *steps, size_t n, enum aws_service service);
#define AWS_SCRIPT(service, ...)                                                                                       \
    static const struct aws_step steps_[] = {__VA_ARGS__};                                                             \
    aws_script_start(steps_, sizeof steps_ / sizeof *steps_, service)

/* The answer to all requests from here on. */
void aws_script_go_on_with(const struct aws_step *step);

/* Another client, with this behind the endpoint's port ("", "/base"). */
void aws_script_connect(enum aws_service service, const char *path_of_endpoint);

/* How a call ended, and how long it waited on the way. */
struct aws_seen {
    bool done, failed;
    int calls, status;
    struct aws_error error;
    unsigned attempts;
    char body[300], header[100]; /* x-extra */
    int64_t waits[10];
    size_t n_waits;
    struct aws_call *self; /* cancelled in its own callback */
};

/* The callback: context is a struct aws_seen. */
void aws_script_note(void *context, const struct aws_response *r);

/* Without an operation: ReceiveMessage. */
struct aws_call *aws_script_submit(const struct aws_request *rq, struct aws_seen *o);

/* Runs the loop until the call is over, passing over each wait at once. */
void aws_script_run(struct aws_seen *o);

/* Both. */
struct aws_seen aws_script_call(const struct aws_request *rq);

/* Of request i: a header's value ("" without one); its signature, made anew from what came over the wire. */
void aws_script_assert_header(size_t i, const char *name, const char *expected);
void aws_script_assert_signature(size_t i, const char *service, const char *secret);

#define AWS_SIMPLE                                                                                                     \
    &(struct aws_request)                                                                                              \
    {                                                                                                                  \
        .body = SLICE("{}")                                                                                            \
    }

#endif
