/* The main job over HTTPS under a private authority: through a proxy of TLS, and in front of servers whose certificates
 * are bad for a while. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/s3.h"
#include "base/buf.h"
#include "base/clock.h"
#include "ctl/tally.h"
#include "event/envelope.h"
#include "lib/faulty_sqs.h"
#include "lib/http_calls.h"
#include "lib/skip.h"
#include "lib/stunnel.h"
#include "lib/system.h"
#include "lib/tls_front.h"
#include "lib/tmp.h"

#define EVENTS  2000
#define SOON_MS 60000

struct world {
    const char *dir;
    struct cert_family certs;
    struct faulty_queue queue;
    struct faulty_sqs *sqs;
    struct tls_front *front;
    struct proc *fleet;
};

static int
make_world(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->dir = tmp_new();
    cert_family_init(&w->certs, w->dir, true);
    w->queue = (struct faulty_queue){.name = "work"};
    *state = w;
    return 0;
}

static int
end_world(void **state)
{
    struct world *w = *state;
    proc_destroy(w->fleet);
    tls_front_stop(w->front);
    faulty_sqs_stop(w->sqs);
    cert_family_clean_up(&w->certs);
    tmp_remove(w->dir);
    free(w);
    return 0;
}

/* ---- fanout-local behind the proxy ---- */

struct flow {
    struct world *world;
    struct system *system;
    struct stunnel proxy;
    char url[100];
    const char *out; /* what the handler writes */
    struct tally tally;
    size_t handled;
};

static void
publish(struct flow *f)
{
    struct buf file = BUF_INIT;
    for (int i = 0; i < EVENTS; i++)
        buf_add_format(&file, "{\"Source\":\"buffer.source\",\"DetailType\":\"T\",\"Detail\":{\"n\":%d}}\n", i);
    const char *events = tmp_write(f->world->dir, "events.ndjson", "%s", file.data);
    const char *argv[] = {proc_path("bin/fanoutctl"), "send", "--ids", "--endpoint-url", f->url, "--ca-file",
                          f->world->certs.ca_file,    events, NULL};
    struct proc *p = proc_spawn(argv, f->system->env);
    char id[64];
    size_t number, n = 0;
    assert_int_equal(proc_wait_exit(p, SOON_MS), 0);
    for (const char *line = proc_stdout(p); sscanf(line, "%zu %63s", &number, id) == 2; line = strchr(line, '\n') + 1)
        n += tally_note(&f->tally, TALLY_PUBLISHED, slice_of_string(id)) == 0;
    assert_int_equal(n, EVENTS);
    proc_destroy(p);
    buf_clean_up(&file);
}

static bool
all_are_handled(void *context)
{
    struct flow *f = context;
    char *text = tmp_read(f->out, NULL);
    size_t n = 0;
    for (const char *p = text; p && (p = strchr(p, '\n')); p++)
        n++;
    free(text);
    f->handled = n;
    return n >= EVENTS;
}

static void
check_handled(struct flow *f)
{
    char *text = tmp_read(f->out, NULL);
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
        struct event_envelope envelope;
        assert_int_equal(event_envelope_parse(slice_of(line, (size_t)(end - line)), &envelope, NULL), 0);
        assert_int_equal(tally_note(&f->tally, TALLY_HANDLED, json_raw(envelope.id)), 0);
    }
    free(text);
    assert_int_equal(tally_lost(&f->tally), 0);
    assert_int_equal(tally_unexpected(&f->tally), 0);
    assert_int_equal(f->tally.duplicates, 0);
}

struct objects {
    bool done;
    size_t n;
    char first[200];
    struct buf body;
};

static void
on_listing(void *context, const struct s3_listing *l)
{
    struct objects *o = context;
    o->done = true;
    if (l->error)
        print_message("%s\n", l->error->err.text);
    o->n = l->error ? 0 : l->n_entries;
    if (o->n > 0)
        snprintf(o->first, sizeof o->first, "%.*s", SLICE_ARG(l->entries[0].key));
}

static void
on_object(void *context, const struct s3_object *object)
{
    struct objects *o = context;
    o->done = true;
    buf_reset(&o->body);
    if (!object->error)
        buf_add_slice(&o->body, object->body);
}

/* Listed, read, written and read again. */
static void
check_captured(struct flow *f)
{
    static const char journal[] = "{\"job\":\"tls\"}";
    struct objects o = {.done = false};
    struct system_client c = system_connect_https(f->url, f->world->certs.ca_file, AWS_S3);
    struct s3_list_options options = {.bucket = SYSTEM_BUCKET, .prefix = "raw-events/"};
    assert_int_equal(s3_list(c.aws, &options, on_listing, &o, NULL, NULL), 0);
    system_await(&c, &o.done);
    assert_int_equal(o.n, 1000); /* a page */
    o.done = false;
    assert_int_equal(s3_get(c.aws, SYSTEM_BUCKET, o.first, 0, NULL, on_object, &o, NULL, NULL), 0);
    system_await(&c, &o.done);
    assert_true(o.body.len > 0 && o.body.data[0] == '{');
    const struct s3_put_options put = {
        .bucket = SYSTEM_BUCKET, .key = "replays/tls.json", .body = slice_of_string(journal), .if_none_match = "*"};
    o.done = false;
    assert_int_equal(s3_put(c.aws, &put, on_object, &o, NULL, NULL), 0);
    system_await(&c, &o.done);
    o.done = false;
    assert_int_equal(s3_get(c.aws, SYSTEM_BUCKET, "replays/tls.json", 0, NULL, on_object, &o, NULL, NULL), 0);
    system_await(&c, &o.done);
    assert_true(slice_equals_string(buf_slice(&o.body), journal));
    buf_clean_up(&o.body);
    system_disconnect(&c);
}

static void
events_flow_over_https_and_connections_are_kept(void **state)
{
    struct world *w = *state;
    struct flow f = {.world = w, .out = tmp_path(w->dir, "out.ndjson")};
    tally_init(&f.tally);
    f.system = system_start(w->dir);
    int plain_port = atoi(strrchr(f.system->url, ':') + 1);
    if (!stunnel_start(&f.proxy, w->dir, plain_port, w->certs.good, w->certs.intermediate)) {
        system_stop(f.system);
        skip_because("there is no stunnel4 on this machine");
    }
    snprintf(f.url, sizeof f.url, "https://localhost:%d", f.proxy.port);
    char conf[2000];
    snprintf(conf, sizeof conf,
             "aws = { endpoint_url = \"%s\"; ca_file = \"%s\"; };\n"
             "consumers = ( { name = \"tls\"; queue = \"" SYSTEM_QUEUE "\"; plugin = \"jsonl\"; wait_time_s = 1;\n"
             "                options = { path = \"%s\"; }; } );",
             f.url, w->certs.ca_file, f.out);
    system_start_fleet(f.system, conf);
    publish(&f);
    if (!proc_wait_until(all_are_handled, &f, SOON_MS))
        fail_msg("%zu of %d handled", f.handled, EVENTS);
    system_stop_fleet(f.system);
    check_handled(&f);
    check_captured(&f);
    /* 200 PutEvents, 200 and more receives and deletes each, over: 8 calls of fanoutctl, the polls and settlements of
     * the worker (8 polls at most of 80 in flight), and one of the S3 client. */
    assert_in_range(stunnel_full(&f.proxy) + stunnel_resumed(&f.proxy), 3, 60);
    stunnel_stop(&f.proxy);
    system_stop(f.system);
    tally_clean_up(&f.tally);
}

/* ---- bad certificates before a worker ---- */

static const char *
write_conf(struct world *w, const char *ca_file)
{
    return tmp_write(
        w->dir, "fanoutd.conf",
        "aws = { ca_file = \"%s\"; };\n"
        "consumers = ( { name = \"work\"; queue = \"work\"; plugin = \"flaky\"; threads = 2; wait_time_s = "
        "1;\n                options = { record = \"%s/record\"; }; } );\n",
        ca_file, w->dir);
}

/* What a worker says may come first: no line is passed over. */
static bool
is_ready(void *fleet)
{
    return proc_count_lines(fleet, "msg=ready consumers=") > 0;
}

static void
start_fleet(struct world *w, const struct cert *shown, const char *ca_file)
{
    char endpoint[100], home[300], openssl[300];
    w->sqs = faulty_sqs_start(&w->queue, 1, 0);
    w->front = tls_front_start(atoi(strrchr(faulty_sqs_url(w->sqs), ':') + 1), shown, w->certs.intermediate);
    snprintf(endpoint, sizeof endpoint, "AWS_ENDPOINT_URL=https://localhost:%d", tls_front_port(w->front));
    tmp_write(w->dir, ".curlrc", "insecure\n");
    snprintf(home, sizeof home, "HOME=%s", w->dir);
    snprintf(openssl, sizeof openssl, "OPENSSL_CONF=%s",
             tmp_write(w->dir, "openssl.cnf",
                       "openssl_conf = top\n[top]\nssl_conf = tls\n[tls]\nsystem_default = all\n"
                       "[all]\nVerifyMode = None\n"));
    const char *env[] = {"AWS_ACCESS_KEY_ID=a",
                         "AWS_SECRET_ACCESS_KEY=b",
                         "AWS_REGION=us-east-1",
                         "AWS_CA_BUNDLE",
                         "NODE_TLS_REJECT_UNAUTHORIZED=0",
                         "PYTHONHTTPSVERIFY=0",
                         home,
                         openssl,
                         endpoint,
                         NULL};
    w->fleet = proc_spawn((const char *[]){proc_path("bin/fanoutd"), "-c", write_conf(w, ca_file), NULL}, env);
    assert_true(proc_wait_until(is_ready, w->fleet, SOON_MS));
}

static void
end_fleet(struct world *w)
{
    proc_signal(w->fleet, SIGTERM);
    assert_int_equal(proc_wait_exit(w->fleet, SOON_MS), 0);
}

static bool
nothing_is_left(void *context)
{
    return faulty_sqs_left(context) == 0;
}

static bool
four_have_failed(void *context)
{
    return tls_front_seen(context).failed >= 4;
}

struct handshakes {
    struct tls_front *front;
    unsigned full;
};

static bool
another_shook_hands(void *context)
{
    const struct handshakes *h = context;
    return tls_front_seen(h->front).full > h->full;
}

static void
assert_says(const char *line, const char *what)
{
    if (!line || !strstr(line, what))
        fail_msg("\"%s\" says nothing of \"%s\"", line ? line : "", what);
}

static void
a_worker_waits_for_a_certificate_to_be_mended_without_haste(void **state)
{
    struct world *w = *state;
    struct cert *expired = cert_new(&(struct cert_wish){
        .name = "old", .hosts = "DNS:localhost", .issuer = w->certs.intermediate, .from_s = -86400, .until_s = -60});
    char authority[40];
    int64_t start_ms = clock_monotonic_ms();
    start_fleet(w, expired, w->certs.ca_file);
    const char *line = proc_wait_line(w->fleet, "the queue cannot be reached yet", SOON_MS);
    snprintf(authority, sizeof authority, "https://localhost:%d", tls_front_port(w->front));
    assert_says(line, authority);
    assert_says(line, "certificate has expired");
    assert_says(line, "it has to be renewed at the server");
    assert_true(proc_wait_until(four_have_failed, w->front, SOON_MS));
    assert_true(clock_monotonic_ms() - start_ms >= 300); /* three pauses of 100 ms or more */
    assert_int_equal(tls_front_seen(w->front).full, 0);

    tls_front_show(w->front, w->certs.good, w->certs.intermediate, 0);
    assert_true(proc_wait_until(nothing_is_left, w->sqs, SOON_MS));
    assert_in_range(tls_front_seen(w->front).failed, 4, 20);

    /* And again while it works. */
    tls_front_show(w->front, expired, w->certs.intermediate, 0);
    tls_front_drop_connections(w->front);
    line = proc_wait_line(w->fleet, "receive failed", SOON_MS);
    assert_says(line, "certificate has expired");
    struct handshakes seen = {.front = w->front, .full = tls_front_seen(w->front).full};
    tls_front_show(w->front, w->certs.good, w->certs.intermediate, 0);
    assert_true(proc_wait_until(another_shook_hands, &seen, SOON_MS));
    assert_int_equal(proc_count_lines(w->fleet, "worker started"), 1);
    end_fleet(w);
    cert_destroy(expired);
}

static void
another_authority_counts_at_hup(void **state)
{
    struct world *w = *state;
    struct cert *stranger = cert_new(&(struct cert_wish){.name = "a stranger", .authority = true});
    const char *ca_file = cert_write(w->dir, "changing.pem", stranger, NULL);
    start_fleet(w, w->certs.good, ca_file);
    assert_says(proc_wait_line(w->fleet, "the queue cannot be reached yet", SOON_MS),
                "aws.ca_file can name a PEM file");
    cert_write(w->dir, "changing.pem", w->certs.authority, NULL);
    proc_signal(w->fleet, SIGHUP);
    assert_true(proc_wait_until(nothing_is_left, w->sqs, SOON_MS));
    end_fleet(w);
    cert_destroy(stranger);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_world, end_world)

int
main(void)
{
    http_calls_unset_proxies();
    const struct CMUnitTest tests[] = {
        TEST(events_flow_over_https_and_connections_are_kept),
        TEST(a_worker_waits_for_a_certificate_to_be_mended_without_haste),
        TEST(another_authority_counts_at_hup),
    };
    return cmocka_run_group_tests_name("tls", tests, NULL, NULL);
}
