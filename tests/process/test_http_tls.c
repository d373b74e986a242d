/* What the engine makes of certificates, sessions and versions of TLS; and that nothing around a program of ours
 * switches verification off. */
#include "http/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/http_calls.h"
#include "lib/proc.h"
#include "lib/stub_server.h"
#include "lib/tls_front.h"
#include "lib/tmp.h"

#define PATIENCE_MS 20000
#define AT_ONCE     8

struct world {
    const char *dir;
    struct cert_family certs;
    struct stub_server *server;
    struct tls_front *front;
};

static void
answer_plainly(void *context, const struct stub_request *rq, struct stub_answer *a)
{
    (void)context, (void)rq;
    stub_answer_http(a, 200, "", "{}");
}

static int
make_world(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->dir = tmp_new();
    cert_family_init(&w->certs, w->dir, false);
    w->server = stub_server_start(answer_plainly, NULL);
    w->front = tls_front_start(stub_server_port(w->server), w->certs.good, NULL);
    *state = w;
    return 0;
}

static int
end_world(void **state)
{
    struct world *w = *state;
    tls_front_stop(w->front);
    stub_server_stop(w->server);
    cert_family_clean_up(&w->certs);
    tmp_remove(w->dir);
    free(w);
    return 0;
}

/* ---- calls ---- */

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

static struct http_engine *
new_engine(const char *ca_file)
{
    struct http_engine *g;
    struct err e = {0};
    const struct http_engine_options options = {.ca_file = ca_file, .ca_option = "aws.ca_file"};
    assert_int_equal(http_engine_new(&options, &g, &e), 0);
    return g;
}

static void
submit(struct world *w, struct http_engine *g, const char *host, struct outcome *o)
{
    char url[300];
    struct err e = {0};
    struct http_request q = {.method = "GET", .url = url, .timeout_ms = PATIENCE_MS, .context = o};
    snprintf(url, sizeof url, "https://%s:%d/", host, tls_front_port(w->front));
    *o = (struct outcome){.done = false};
    assert_int_equal(http_submit(g, &q, note, NULL, &e), 0);
}

static void
await(struct http_engine *g, struct outcome *o)
{
    struct err e = {0};
    if (http_engine_run_until(g, &o->done, PATIENCE_MS, &e) != 0)
        fail_msg("%s", e.text);
}

static struct outcome
get(struct world *w, const char *host, const char *ca_file)
{
    struct http_engine *g = new_engine(ca_file);
    struct outcome o;
    submit(w, g, host, &o);
    await(g, &o);
    http_engine_destroy(g);
    return o;
}

static void
assert_good(const struct outcome *o)
{
    if (o->error.code != 0)
        fail_msg("%s", o->error.text);
    assert_int_equal(o->status, 200);
}

static void
assert_says(const char *text, const char *what)
{
    if (!strstr(text, what))
        fail_msg("\"%s\" says nothing of \"%s\"", text, what);
}

/* Refused before anything of the request left, in words. */
static void
assert_refused(struct world *w, const struct outcome *o, const char *host, const char *problem, const char *remedy)
{
    char authority[300];
    snprintf(authority, sizeof authority, "%s:%d", host, tls_front_port(w->front));
    assert_int_equal(o->error.code, ERR_DENIED);
    assert_false(o->error.retryable);
    assert_false(o->request_sent);
    assert_says(o->error.text, authority);
    assert_says(o->error.text, problem);
    assert_says(o->error.text, remedy);
    assert_int_equal(stub_server_requests(w->server), 0);
}

/* ---- certificates ---- */

static void
what_a_named_authority_signed_is_accepted_through_an_intermediate_too(void **state)
{
    struct world *w = *state;
    struct cert *leaf =
        cert_new(&(struct cert_wish){.name = "deep", .hosts = "IP:127.0.0.1", .issuer = w->certs.intermediate});
    struct outcome o = get(w, "127.0.0.1", w->certs.ca_file);
    assert_good(&o);
    tls_front_show(w->front, leaf, w->certs.intermediate, 0);
    o = get(w, "127.0.0.1", w->certs.ca_file);
    assert_good(&o);
    cert_destroy(leaf);
}

static void
what_is_wrong_with_a_certificate_is_refused_and_said(void **state)
{
    struct world *w = *state;
    struct cert *stranger = cert_new(&(struct cert_wish){.name = "a stranger", .authority = true});
    struct cert *twin = cert_new(&(struct cert_wish){.name = "test authority", .authority = true}); /* by name only */
    const char *here = "IP:127.0.0.1";
    const struct {
        struct cert_wish wish;
        const char *problem, *remedy;
    } cases[] = {
        {{.hosts = "DNS:elsewhere.example,IP:192.0.2.1", .issuer = w->certs.authority},
         "matches target host name '127.0.0.1'",
         "the URL has to name a host that the certificate was made for"},
        {{.hosts = here, .issuer = w->certs.authority, .from_s = -86400, .until_s = -60},
         "certificate has expired",
         "renewed at the server, unless it is this machine's clock"},
        {{.hosts = here, .issuer = w->certs.authority, .from_s = 3600},
         "certificate is not yet valid",
         "it is for later, unless it is this machine's clock"},
        {{.hosts = here}, "self-signed certificate", "aws.ca_file can name a PEM file"},
        {{.hosts = here, .issuer = stranger}, "unable to get local issuer", "aws.ca_file can name a PEM file"},
        {{.hosts = here, .issuer = twin}, "unable to get local issuer", "aws.ca_file can name a PEM file"},
        {{.hosts = here, .issuer = w->certs.intermediate},
         "unable to get local issuer",
         "the server has to send those in between"},
        {{.hosts = here, .issuer = w->certs.good},
         "unable to get local issuer",
         "aws.ca_file"}, /* no authority signed it */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct cert_wish wish = cases[i].wish;
        wish.name = "bad";
        struct cert *bad = cert_new(&wish);
        tls_front_show(w->front, bad, NULL, 0);
        struct outcome o = get(w, "127.0.0.1", w->certs.ca_file);
        assert_refused(w, &o, "127.0.0.1", cases[i].problem, cases[i].remedy);
        cert_destroy(bad);
    }
    struct cert *leaf_of_leaf = cert_new(&(struct cert_wish){.name = "bad", .hosts = here, .issuer = w->certs.good});
    tls_front_show(w->front, leaf_of_leaf, w->certs.good, 0);
    struct outcome o = get(w, "127.0.0.1", w->certs.ca_file);
    assert_refused(w, &o, "127.0.0.1", "certificate", "127.0.0.1");
    cert_destroy(leaf_of_leaf);
    cert_destroy(twin);
    cert_destroy(stranger);
}

static bool
one_has_failed(void *context)
{
    return tls_front_seen(context).failed == 1;
}

static bool
two_have_failed(void *context)
{
    return tls_front_seen(context).failed == 2;
}

static void
the_systems_store_does_not_know_a_private_authority(void **state)
{
    struct world *w = *state;
    struct outcome o = get(w, "127.0.0.1", NULL);
    assert_refused(w, &o, "127.0.0.1", "unable to get local issuer", "aws.ca_file can name a PEM file");
    assert_true(proc_wait_until(one_has_failed, w->front, PATIENCE_MS));
}

static void
a_file_of_certificates_that_holds_none_is_named(void **state)
{
    struct world *w = *state;
    const char *const files[] = {tmp_path(w->dir, "missing.pem"), tmp_write(w->dir, "empty.pem", "%s", ""),
                                 tmp_write(w->dir, "garbage.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n")};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct outcome o = get(w, "127.0.0.1", files[i]);
        assert_refused(w, &o, "127.0.0.1", files[i], "aws.ca_file has to name a PEM file");
    }
}

static void
a_mended_file_of_certificates_counts_without_a_new_engine(void **state)
{
    struct world *w = *state;
    struct cert *stranger = cert_new(&(struct cert_wish){.name = "a stranger", .authority = true});
    const char *file = cert_write(w->dir, "changing.pem", stranger, NULL);
    struct http_engine *g;
    struct err e = {0};
    const struct http_engine_options options = {.ca_file = file, .ca_keep_s = 1};
    struct outcome o;
    assert_int_equal(http_engine_new(&options, &g, &e), 0);
    submit(w, g, "127.0.0.1", &o);
    await(g, &o);
    assert_int_equal(o.error.code, ERR_DENIED);
    cert_write(w->dir, "changing.pem", w->certs.authority, NULL);
    for (int i = 0; i < 100000 && o.error.code != 0; i++) { /* for the second that the old ones are kept */
        submit(w, g, "127.0.0.1", &o);
        await(g, &o);
    }
    assert_good(&o);
    http_engine_destroy(g);
    cert_destroy(stranger);
}

/* ---- sessions, versions, names ---- */

static void
get_one(struct world *w, struct http_engine *g)
{
    struct outcome o;
    submit(w, g, "localhost", &o);
    await(g, &o);
    assert_good(&o);
}

/* With another handle of curl's than the one that is at hand. */
static void
get_another(struct world *w, struct http_engine *g)
{
    struct outcome plain = {.done = false}, o;
    struct http_request q = {
        .method = "GET", .url = stub_server_url(w->server), .timeout_ms = PATIENCE_MS, .context = &plain};
    assert_int_equal(http_submit(g, &q, note, NULL, NULL), 0);
    submit(w, g, "localhost", &o);
    await(g, &o);
    await(g, &plain);
    assert_good(&o);
}

static void
get_at_once(struct world *w, struct http_engine *g)
{
    struct outcome o[AT_ONCE];
    for (size_t i = 0; i < AT_ONCE; i++)
        submit(w, g, "localhost", &o[i]);
    for (size_t i = 0; i < AT_ONCE; i++) {
        await(g, &o[i]);
        assert_good(&o[i]);
    }
}

static bool
none_is_open(void *context)
{
    return tls_front_seen(context).open == 0;
}

static void
drop_connections(struct world *w)
{
    tls_front_drop_connections(w->front);
    assert_true(proc_wait_until(none_is_open, w->front, PATIENCE_MS));
}

static void
connections_are_kept_and_sessions_resumed_when_they_are_opened_again(void **state)
{
    struct world *w = *state;
    static const struct {
        int version;
        const char *name;
    } versions[] = {{TLS1_2_VERSION, "TLSv1.2"}, {TLS1_3_VERSION, "TLSv1.3"}};
    for (size_t v = 0; v < sizeof versions / sizeof *versions; v++) {
        struct http_engine *g = new_engine(w->certs.ca_file);
        tls_front_show(w->front, w->certs.good, NULL, versions[v].version);
        struct tls_front_seen before = tls_front_seen(w->front);
        for (int i = 0; i < 10; i++)
            get_one(w, g);
        struct tls_front_seen first = tls_front_seen(w->front);
        assert_int_equal(first.connections - before.connections, 1);
        assert_int_equal(first.full - before.full, 1);
        assert_string_equal(first.version, versions[v].name);

        drop_connections(w);
        get_another(w, g);
        struct tls_front_seen again = tls_front_seen(w->front);
        assert_int_equal(again.connections - first.connections, 1);
        assert_int_equal(again.resumed - first.resumed, 1);

        drop_connections(w);
        for (int i = 0; i < 5; i++)
            get_at_once(w, g);
        struct tls_front_seen last = tls_front_seen(w->front);
        assert_in_range(last.connections - again.connections, 1, AT_ONCE);
        /* Of TLS 1.3 a ticket is for one use (RFC 8446, C.4): those who come before the next one shake hands anew. */
        if (versions[v].version == TLS1_2_VERSION)
            assert_int_equal(last.resumed - again.resumed, last.connections - again.connections);
        else
            assert_in_range(last.resumed - again.resumed, 1, AT_ONCE);
        http_engine_destroy(g);
    }
}

static void
nothing_below_tls_1_2_is_spoken(void **state)
{
    struct world *w = *state;
    static const int old[] = {TLS1_VERSION, TLS1_1_VERSION};
    for (size_t i = 0; i < sizeof old / sizeof *old; i++) {
        tls_front_show(w->front, w->certs.good, NULL, old[i]);
        struct outcome o = get(w, "127.0.0.1", w->certs.ca_file);
        assert_int_equal(o.error.code, ERR_UNAVAILABLE);
        assert_says(o.error.text, "protocol version");
    }
    assert_int_equal(stub_server_requests(w->server), 0);
    assert_true(proc_wait_until(two_have_failed, w->front, PATIENCE_MS));
}

static void
the_server_is_told_the_host_of_the_url(void **state)
{
    struct world *w = *state;
    struct outcome o = get(w, "localhost", w->certs.ca_file);
    assert_good(&o);
    assert_string_equal(tls_front_seen(w->front).server_name, "localhost");
    o = get(w, "127.0.0.1", w->certs.ca_file);
    assert_good(&o);
    assert_string_equal(tls_front_seen(w->front).server_name, ""); /* RFC 6066, 3: no addresses */
}

static void
a_handshake_that_comes_to_nothing_may_be_tried_again(void **state)
{
    struct world *w = *state;
    char url[64];
    snprintf(url, sizeof url, "https://127.0.0.1:%d/", stub_server_port(w->server));
    struct http_engine *g = new_engine(NULL);
    struct outcome o = {.done = false};
    struct err e;
    struct http_request q = {.method = "GET", .url = url, .timeout_ms = 200, .context = &o};
    assert_int_equal(http_submit(g, &q, note, NULL, &e), 0);
    await(g, &o);
    assert_true(o.error.retryable); /* the stub waits for more of the request: no handshake within the time */
    assert_false(o.request_sent);
    http_engine_destroy(g);
}

/* ---- nothing switches it off ---- */

/* fanoutctl send, to the front, with some more arguments and in some environment. */
static struct proc *
start_sending(struct world *w, const char *const *env, const char *option, const char *value)
{
    char url[100];
    const char *events = tmp_write(w->dir, "events.ndjson",
                                   "{\"Source\":\"buffer.source\",\"DetailType\":\"T\",\"Detail\":{\"n\":1}}\n");
    snprintf(url, sizeof url, "https://127.0.0.1:%d", tls_front_port(w->front));
    const char *argv[] = {proc_path("bin/fanoutctl"), "send", "--endpoint-url", url, events, option, value, NULL};
    return proc_spawn(argv, env);
}

static void
nothing_in_the_environment_switches_verification_off(void **state)
{
    struct world *w = *state;
    tmp_write(w->dir, ".curlrc", "insecure\n");
    tmp_write(w->dir, ".netrc", "default login a password b\n");
    const char *openssl = tmp_write(w->dir, "openssl.cnf",
                                    "openssl_conf = top\n[top]\nssl_conf = tls\n[tls]\nsystem_default = all\n"
                                    "[all]\nVerifyMode = None\nMinProtocol = None\nCipherString = ALL:@SECLEVEL=0\n");
    char home[300], curl_home[300], xdg[300], conf[300], file[300], folder[300], bundle[300];
    snprintf(home, sizeof home, "HOME=%s", w->dir);
    snprintf(curl_home, sizeof curl_home, "CURL_HOME=%s", w->dir);
    snprintf(xdg, sizeof xdg, "XDG_CONFIG_HOME=%s", w->dir);
    snprintf(conf, sizeof conf, "OPENSSL_CONF=%s", openssl);
    snprintf(file, sizeof file, "SSL_CERT_FILE=%s", w->certs.ca_file);
    snprintf(folder, sizeof folder, "SSL_CERT_DIR=%s", w->dir);
    snprintf(bundle, sizeof bundle, "CURL_CA_BUNDLE=%s", w->certs.ca_file);
    const char *env[] = {"AWS_ACCESS_KEY_ID=a",
                         "AWS_SECRET_ACCESS_KEY=b",
                         "AWS_REGION=us-east-1",
                         "AWS_CA_BUNDLE=",
                         "AWS_CONFIG_FILE",
                         "CURL_INSECURE=1",
                         "CURL_SSL_BACKEND=openssl",
                         "GIT_SSL_NO_VERIFY=1",
                         "PYTHONHTTPSVERIFY=0",
                         "NODE_TLS_REJECT_UNAUTHORIZED=0",
                         "AWS_VERIFY_SSL=false",
                         home,
                         curl_home,
                         xdg,
                         conf,
                         file,
                         folder,
                         bundle,
                         NULL};
    struct proc *p = start_sending(w, env, NULL, NULL);
    assert_int_equal(proc_wait_exit(p, PATIENCE_MS), 1);
    assert_says(proc_stderr(p), "unable to get local issuer");
    assert_says(proc_stderr(p), "--ca-file");
    assert_int_equal(stub_server_requests(w->server), 0);
    proc_destroy(p);
}

static void
there_is_no_option_that_switches_verification_off(void **state)
{
    struct world *w = *state;
    static const char *const options[] = {"--no-verify-ssl", "--insecure", "-k", "--no-verify"};
    const char *env[] = {"AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=b", "AWS_REGION=us-east-1",
                         "AWS_CA_BUNDLE=", NULL};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        struct proc *p = start_sending(w, env, options[i], NULL);
        assert_int_equal(proc_wait_exit(p, PATIENCE_MS), 2);
        proc_destroy(p);
    }
    assert_int_equal(tls_front_seen(w->front).connections, 0);

    static const char *const settings[] = {"verify = false", "verify_ssl = false", "insecure = true",
                                           "ca_file = false"};
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        const char *conf = tmp_write(w->dir, "fanoutd.conf",
                                     "aws = { %s; };\nconsumers = ( { name = \"a\"; queue = \"q\"; plugin = "
                                     "\"jsonl\"; options = { path = \"/dev/null\"; }; } );\n",
                                     settings[i]);
        struct proc *p = proc_spawn((const char *[]){proc_path("bin/fanoutd"), "-c", conf, "--check", NULL}, NULL);
        assert_int_equal(proc_wait_exit(p, PATIENCE_MS), 2);
        proc_destroy(p);
    }
}

static void
an_authority_is_named_by_option_environment_or_profile(void **state)
{
    struct world *w = *state;
    char bundle[300], config[300];
    const char *profile = tmp_write(w->dir, "config", "[default]\nca_bundle = %s\n", w->certs.ca_file);
    snprintf(bundle, sizeof bundle, "AWS_CA_BUNDLE=%s", w->certs.ca_file);
    snprintf(config, sizeof config, "AWS_CONFIG_FILE=%s", profile);
    const struct {
        const char *option, *environment, *profile;
    } ways[] = {{w->certs.ca_file, "AWS_CA_BUNDLE=/nonexistent", "AWS_CONFIG_FILE=/nonexistent"},
                {NULL, bundle, "AWS_CONFIG_FILE=/nonexistent"},
                {NULL, "AWS_CA_BUNDLE=", config}};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        const char *env[] = {"AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=b", "AWS_REGION=us-east-1",
                             ways[i].environment,   ways[i].profile,           NULL};
        struct proc *p = start_sending(w, env, ways[i].option ? "--ca-file" : NULL, ways[i].option);
        proc_wait_exit(p, PATIENCE_MS); /* the stub's answer is not EventBridge's */
        if (strstr(proc_stderr(p), "certificate") || stub_server_requests(w->server) == 0)
            fail_msg("way %zu: %s", i, proc_stderr(p));
        proc_destroy(p);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_world, end_world)

int
main(void)
{
    http_calls_unset_proxies();
    const struct CMUnitTest tests[] = {
        TEST(what_a_named_authority_signed_is_accepted_through_an_intermediate_too),
        TEST(what_is_wrong_with_a_certificate_is_refused_and_said),
        TEST(the_systems_store_does_not_know_a_private_authority),
        TEST(a_file_of_certificates_that_holds_none_is_named),
        TEST(a_mended_file_of_certificates_counts_without_a_new_engine),
        TEST(connections_are_kept_and_sessions_resumed_when_they_are_opened_again),
        TEST(nothing_below_tls_1_2_is_spoken),
        TEST(the_server_is_told_the_host_of_the_url),
        TEST(a_handshake_that_comes_to_nothing_may_be_tried_again),
        TEST(nothing_in_the_environment_switches_verification_off),
        TEST(there_is_no_option_that_switches_verification_off),
        TEST(an_authority_is_named_by_option_environment_or_profile),
    };
    return cmocka_run_group_tests_name("http_tls", tests, NULL, NULL);
}
