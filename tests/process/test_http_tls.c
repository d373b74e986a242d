/* What the engine makes of certificates: against openssl's own server. */
#include "http/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/proc.h"
#include "lib/skip.h"
#include "lib/stub_server.h"
#include "lib/tmp.h"

#define PATIENCE_MS 20000

static const char *certificate, *key;

static bool
make_certificate(void)
{
    const char *dir = tmp_new();
    certificate = tmp_path(dir, "certificate.pem");
    key = tmp_path(dir, "key.pem");
    struct proc *p = proc_spawn((const char *[]){"openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout",
                                                 key, "-out", certificate, "-days", "2", "-subj", "/CN=fanout",
                                                 "-addext", "subjectAltName=IP:127.0.0.1", NULL},
                                NULL);
    bool made = proc_wait_exit(p, PATIENCE_MS) == 0;
    proc_destroy(p);
    return made;
}

static struct proc *
start_server(char *port, size_t port_bytes)
{
    struct proc *p = proc_spawn((const char *[]){"openssl", "s_server", "-accept", "127.0.0.1:0", "-key", key, "-cert",
                                                 certificate, "-www", NULL},
                                NULL);
    const char *line = proc_wait_line(p, "ACCEPT 127.0.0.1:", PATIENCE_MS);
    assert_non_null(line);
    snprintf(port, port_bytes, "%s", strrchr(line, ':') + 1);
    port[strspn(port, "0123456789")] = '\0';
    return p;
}

struct outcome {
    struct err error;
    int status;
    bool done, request_sent;
};

static void
note(void *context, const struct http_response *r)
{
    struct outcome *o = context;
    *o = (struct outcome){.error = r->error, .status = r->status, .done = true, .request_sent = r->request_sent};
}

static struct outcome
get(const char *url, const char *ca_file)
{
    struct http_engine *g;
    struct outcome o = {.done = false};
    struct err e = {0};
    struct http_request q = {.method = "GET", .url = url, .timeout_ms = PATIENCE_MS, .context = &o};
    assert_int_equal(http_engine_new(&(struct http_engine_options){.ca_file = ca_file}, &g, &e), 0);
    assert_int_equal(http_submit(g, &q, note, NULL, &e), 0);
    assert_int_equal(http_engine_run_until(g, &o.done, PATIENCE_MS, &e), 0);
    http_engine_destroy(g);
    return o;
}

static void
certificates_are_verified_against_the_store_and_the_host(void **state)
{
    (void)state;
    char port[16], url[64];
    if (!make_certificate())
        skip_because("no openssl program to make a certificate with");
    struct proc *server = start_server(port, sizeof port);

    snprintf(url, sizeof url, "https://127.0.0.1:%s/", port);
    struct outcome o = get(url, NULL);
    assert_int_equal(o.error.code, ERR_DENIED);
    assert_false(o.error.retryable);
    assert_false(o.request_sent);
    assert_non_null(strstr(o.error.text, "certificate"));

    o = get(url, certificate);
    assert_int_equal(o.error.code, 0);
    assert_int_equal(o.status, 200);

    snprintf(url, sizeof url, "https://localhost:%s/", port);
    o = get(url, certificate); /* issued for 127.0.0.1 alone */
    assert_int_equal(o.error.code, ERR_DENIED);

    o = get(url, "/nonexistent/ca.pem");
    assert_int_equal(o.error.code, ERR_DENIED);
    assert_non_null(strstr(o.error.text, "/nonexistent/ca.pem"));
    proc_destroy(server);
}

static void
answer_plainly(void *context, const struct stub_request *rq, struct stub_answer *a)
{
    (void)context, (void)rq;
    stub_answer_http(a, 200, "", "");
}

static void
a_handshake_that_comes_to_nothing_may_be_tried_again(void **state)
{
    (void)state;
    char url[64];
    struct stub_server *s = stub_server_start(answer_plainly, NULL);
    snprintf(url, sizeof url, "https://127.0.0.1:%d/", stub_server_port(s));
    struct http_engine *g;
    struct outcome o = {.done = false};
    struct err e;
    struct http_request q = {.method = "GET", .url = url, .timeout_ms = 200, .context = &o};
    assert_int_equal(http_engine_new(&(struct http_engine_options){0}, &g, &e), 0);
    assert_int_equal(http_submit(g, &q, note, NULL, &e), 0);
    assert_int_equal(http_engine_run_until(g, &o.done, PATIENCE_MS, &e), 0);
    assert_true(o.error.retryable); /* the stub waits for more of the request: no handshake within the time */
    assert_false(o.request_sent);
    http_engine_destroy(g);
    stub_server_stop(s);
}

int
main(void)
{
    static const char *const proxies[] = {"http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"};
    for (size_t i = 0; i < sizeof proxies / sizeof *proxies; i++)
        unsetenv(proxies[i]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(certificates_are_verified_against_the_store_and_the_host),
        cmocka_unit_test(a_handshake_that_comes_to_nothing_may_be_tried_again),
    };
    return cmocka_run_group_tests_name("http_tls", tests, NULL, NULL);
}
