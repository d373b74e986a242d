/* Thousands of random requests, signed here and by botocore: dot segments, escapes of every kind, repeated parameters
 * and headers, white space, UTF-8, tokens, S3 and the others. The python is the one of test_clients.c; without it the
 * test is skipped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aws/sigv4.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/json.h"
#include "lib/proc.h"
#include "lib/skip.h"
#include "lib/tmp.h"

#define REQUESTS 3000
#define TOOL_MS  120000

static const char *const PIECES[] = {"a",
                                     "Z",
                                     "0",
                                     "-",
                                     "_",
                                     ".",
                                     "~",
                                     "!",
                                     "$",
                                     "&",
                                     "'",
                                     "(",
                                     ")",
                                     "*",
                                     "+",
                                     ",",
                                     ";",
                                     "=",
                                     ":",
                                     "@",
                                     "%",
                                     "%2",
                                     "/",
                                     "[",
                                     "]",
                                     "|",
                                     "\\",
                                     "\"",
                                     "<",
                                     " ",
                                     "\t",
                                     "?",
                                     "#",
                                     "{",
                                     "}",
                                     "^",
                                     "`",
                                     "\xc3\xa4",
                                     "\xe4\xb8\xad",
                                     "\xf0\x9f\x98\x80"};
#define N_PIECES (sizeof PIECES / sizeof *PIECES)

static uint64_t random_state;

static unsigned
draw(unsigned n)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (unsigned)((random_state * UINT64_C(0x2545F4914F6CDD1D) >> 33) % n);
}

/* Up to n pieces, percent-encoded. */
static void
add_encoded(struct buf *out, unsigned n)
{
    for (n = draw(n + 1); n > 0; n--)
        sigv4_encode(out, slice_of_string(PIECES[draw(N_PIECES)]));
}

/* S3's paths come encoded in the one right way; elsewhere a path may hold what needs no escape but is usually given
 * one, and anything is encoded once more. */
static void
add_path(struct buf *out, bool s3)
{
    static const char *const odd[] = {".", "..", "", "...", "a!$&'()*+,;=:@b", "%7e", "%2f", "%41"};
    for (unsigned n = 1 + draw(5); n > 0; n--) {
        buf_add_char(out, '/');
        if (draw(3) > 0)
            add_encoded(out, 8);
        else
            buf_add_string(out, odd[draw(s3 ? 3 : sizeof odd / sizeof *odd)]);
    }
}

static void
add_query(struct buf *out)
{
    for (unsigned n = draw(6), i = 0; i < n; i++) {
        if (out->len > 0)
            buf_add_char(out, '&');
        buf_add_char(out, "kKxA"[draw(4)]);
        add_encoded(out, 4);
        buf_add_char(out, '=');
        add_encoded(out, 6);
    }
}

static void
add_value(struct buf *out)
{
    static const char *const pieces[] = {"a", "B", "\"", ",", "  ", "\t", "=", "/", "\xc3\xa9", "%20", "+", " "};
    for (unsigned n = draw(12); n > 0; n--)
        buf_add_string(out, pieces[draw(sizeof pieces / sizeof *pieces)]);
}

static void
add_member(struct buf *line, const char *key, struct slice value)
{
    buf_add_string(line, key);
    json_write_string(line, value);
}

static void
add_header(struct sigv4_header *headers, size_t *n, struct slice name, struct slice value)
{
    headers[(*n)++] = (struct sigv4_header){.name = name, .value = value};
}

/* One request, signed, as a line. */
static void
write_request(struct buf *line, struct sigv4_key *key)
{
    static const char *const names[] = {"X-Amz-Target", "Content-Type", "X-A", "x-a-b", "x-a1", "If-Match", "range"};
    static const char *const services[] = {"s3", "sqs", "events", "sts"};
    static const char *const methods[] = {"GET", "POST", "PUT", "HEAD", "DELETE"};
    static const char *const secrets[] = {"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "x", "short+/="};
    static const char *const regions[] = {"us-east-1", "eu-central-1"};
    struct buf path = BUF_INIT, query = BUF_INIT, body = BUF_INIT, values[6], signed_as = BUF_INIT;
    struct sigv4_header headers[10];
    char date[CLOCK_ISO8601_BYTES], hash[DIGEST_SHA256_HEX];
    const char *service = services[draw(4)];
    bool s3 = strcmp(service, "s3") == 0;
    add_path(&path, s3);
    add_query(&query);
    add_encoded(&body, 20);
    digest_sha256_hex(body.data ? body.data : "", body.len, hash);
    struct sigv4_scope scope = {.region = slice_of_string(regions[draw(2)]),
                                .service = slice_of_string(service),
                                .wall_ms = (int64_t)draw(4102444) * 1000000 + draw(1000),
                                .normalize_path = !s3,
                                .encode_path_twice = !s3};
    clock_format_basic(scope.wall_ms, date);
    struct sigv4_credentials credentials = {.access_key_id = SLICE("AKIDEXAMPLE"),
                                            .secret_access_key = slice_of_string(secrets[draw(3)]),
                                            .session_token = draw(2) ? SLICE("FwoGZXIvYXdz//8=") : SLICE("")};
    size_t n = 0, n_values = draw(7);
    add_header(headers, &n, SLICE("Host"), SLICE("127.0.0.1:4566"));
    for (size_t i = 0; i < n_values; i++) {
        buf_init(&values[i]);
        add_value(&values[i]);
        add_header(headers, &n, slice_of_string(names[draw(7)]), buf_slice(&values[i]));
    }
    add_header(headers, &n, SLICE("X-Amz-Date"), slice_of_string(date));
    if (credentials.session_token.n > 0)
        add_header(headers, &n, SLICE("X-Amz-Security-Token"), credentials.session_token);
    if (s3)
        add_header(headers, &n, SLICE("X-Amz-Content-SHA256"), slice_of_string(hash));
    struct sigv4_request request = {.method = slice_of_string(methods[draw(5)]),
                                    .path = buf_slice(&path),
                                    .query = buf_slice(&query),
                                    .headers = headers,
                                    .n_headers = n,
                                    .payload_hash = slice_of_string(hash)};
    struct err e;
    if (sigv4_authorization(&request, &scope, &credentials, key, &signed_as, &e) != 0)
        fail_msg("%s", e.text);
    add_member(line, "{\"method\":", request.method);
    add_member(line, ",\"path\":", request.path);
    add_member(line, ",\"query\":", request.query);
    add_member(line, ",\"body\":", buf_slice(&body));
    add_member(line, ",\"service\":", scope.service);
    add_member(line, ",\"region\":", scope.region);
    add_member(line, ",\"id\":", credentials.access_key_id);
    add_member(line, ",\"secret\":", credentials.secret_access_key);
    add_member(line, ",\"token\":", credentials.session_token);
    add_member(line, ",\"date\":", slice_of_string(date));
    add_member(line, ",\"authorization\":", buf_slice(&signed_as));
    for (size_t i = 0; i < n; i++) {
        add_member(line, i == 0 ? ",\"headers\":[[" : "],[", headers[i].name);
        add_member(line, ",", headers[i].value);
    }
    buf_add_string(line, "]]}\n");
    for (size_t i = 0; i < n_values; i++)
        buf_clean_up(&values[i]);
    buf_clean_up(&path);
    buf_clean_up(&query);
    buf_clean_up(&body);
    buf_clean_up(&signed_as);
}

static void
random_requests_are_signed_as_botocore_does(void **state)
{
    (void)state;
    const char *given = getenv("FANOUT_PYTHON");
    char python[600], script[600], expected[60];
    snprintf(python, sizeof python, "%s", given && *given ? given : proc_path("../interop/python/bin/python"));
    if (access(python, X_OK) != 0)
        skip_because(
            "no python in build/interop (build/interop/python.log says why), and none that FANOUT_PYTHON names");
    const char *dir = tmp_new();
    struct buf lines = BUF_INIT;
    struct sigv4_key key = {{0}, {0}};
    random_state = 20261121;
    for (int i = 0; i < REQUESTS; i++)
        write_request(&lines, &key);
    assert_false(buf_failed(&lines));
    const char *file = tmp_path(dir, "requests");
    FILE *f = fopen(file, "we");
    assert_non_null(f);
    assert_int_equal(fwrite(lines.data, 1, lines.len, f), lines.len);
    assert_int_equal(fclose(f), 0);
    snprintf(script, sizeof script, "%s", "tests/interop/signatures.py");
    struct proc *p = proc_spawn((const char *[]){python, script, file, NULL}, NULL);
    assert_int_equal(proc_wait_exit(p, TOOL_MS), 0);
    snprintf(expected, sizeof expected, "%d compared, 0 different\n", REQUESTS);
    if (strcmp(proc_stdout(p), expected) != 0)
        fail_msg("%s%.4000s", proc_stdout(p), proc_stderr(p));
    proc_destroy(p);
    buf_clean_up(&lines);
    sigv4_key_clean_up(&key);
    tmp_remove(dir);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_requests_are_signed_as_botocore_does),
    };
    return cmocka_run_group_tests_name("signatures", tests, NULL, NULL);
}
