/* AWS's own signing cases (aws-c-auth), header and query variants, each intermediate text compared. */
#include "aws/sigv4.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <assert.h>
#include <cjson/cJSON.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/digest.h"
#include "lib/skip.h"

#define HEADERS_MAX 20
#define CASES       38

struct signing_case {
    char dir[5000];
    cJSON *context;
    struct buf file; /* request.txt */
    struct slice target, head, body;
    char time[CLOCK_ISO8601_BYTES], payload_hash[DIGEST_SHA256_HEX];
    bool sign_body, omit_token;
    struct sigv4_header headers[HEADERS_MAX];
    struct sigv4_request request;
    struct sigv4_scope scope;
    struct sigv4_credentials credentials;
};

static const char *
suite_dir(void)
{
    static char dir[4096];
    const char *shared = getenv("FANOUT_SHARED");
    snprintf(dir, sizeof dir, "%s/data/sigv4", shared ? shared : "../shared");
    return dir;
}

static void
read_text(const char *dir, const char *name, struct buf *out)
{
    char path[5100], piece[4096];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "re");
    if (!f)
        fail_msg("cannot read %s", path);
    for (size_t n; (n = fread(piece, 1, sizeof piece, f)) > 0;)
        buf_add(out, piece, n);
    fclose(f);
}

static void
assert_equals_file(const struct signing_case *c, const char *name, struct slice text)
{
    struct buf expected = BUF_INIT;
    read_text(c->dir, name, &expected);
    if (!slice_equals(buf_slice(&expected), text))
        fail_msg("%s/%s:\n%s\nbut it is\n%.*s", c->dir, name, expected.data, SLICE_ARG(text));
    buf_clean_up(&expected);
}

static struct slice
string_in(const cJSON *object, const char *name)
{
    return slice_of_string(cJSON_GetStringValue(cJSON_GetObjectItem(object, name)));
}

/* A line of the file, with the folded lines that continue it. */
static struct slice
take_line(struct slice *rest)
{
    size_t n = 0;
    while (n < rest->n && (rest->p[n] != '\n' || (n + 1 < rest->n && rest->p[n + 1] == ' ')))
        n++;
    struct slice line = slice_of(rest->p, n);
    *rest = slice_of(rest->p + n + (n < rest->n), rest->n - n - (n < rest->n));
    return line;
}

static void
add_header(struct signing_case *c, struct slice name, struct slice value)
{
    assert_true(c->request.n_headers < HEADERS_MAX);
    c->headers[c->request.n_headers++] = (struct sigv4_header){.name = name, .value = value};
}

static void
parse_request(struct signing_case *c)
{
    struct slice rest = buf_slice(&c->file);
    struct slice line = take_line(&rest);
    const char *space = memchr(line.p, ' ', line.n), *last = memrchr(line.p, ' ', line.n);
    assert(space && last > space);
    c->request.method = slice_of(line.p, (size_t)(space - line.p));
    c->target = slice_of(space + 1, (size_t)(last - space - 1));
    const char *mark = memchr(c->target.p, '?', c->target.n);
    size_t path_n = mark ? (size_t)(mark - c->target.p) : c->target.n;
    c->request.path = slice_of(c->target.p, path_n);
    c->request.query = mark ? slice_of(mark + 1, c->target.n - path_n - 1) : slice_of(NULL, 0);
    const char *head = rest.p;
    while ((line = take_line(&rest)).n > 0) {
        const char *colon = memchr(line.p, ':', line.n);
        assert_non_null(colon);
        size_t n = (size_t)(colon - line.p);
        add_header(c, slice_of(line.p, n), slice_of(colon + 1, line.n - n - 1));
        c->head = slice_of(head, (size_t)(line.p + line.n - head));
    }
    c->body = rest;
}

static void
open_case(struct signing_case *c, const char *name)
{
    struct buf text = BUF_INIT;
    int64_t now;
    *c = (struct signing_case){.file = BUF_INIT};
    snprintf(c->dir, sizeof c->dir, "%s/%s", suite_dir(), name);
    read_text(c->dir, "context.json", &text);
    c->context = cJSON_Parse(text.data);
    assert_non_null(c->context);
    buf_clean_up(&text);
    read_text(c->dir, "request.txt", &c->file);
    c->request.headers = c->headers;
    parse_request(c);
    struct slice stamp = string_in(c->context, "timestamp");
    assert_int_equal(clock_parse_iso8601(stamp.p, stamp.n, &now, NULL), 0);
    const cJSON *credentials = cJSON_GetObjectItem(c->context, "credentials");
    c->scope = (struct sigv4_scope){.region = string_in(c->context, "region"),
                                    .service = string_in(c->context, "service"),
                                    .wall_ms = now,
                                    .normalize_path = cJSON_IsTrue(cJSON_GetObjectItem(c->context, "normalize")),
                                    .encode_path_twice = true};
    c->credentials = (struct sigv4_credentials){.access_key_id = string_in(credentials, "access_key_id"),
                                                .secret_access_key = string_in(credentials, "secret_access_key"),
                                                .session_token = string_in(credentials, "token")};
    c->omit_token = cJSON_IsTrue(cJSON_GetObjectItem(c->context, "omit_session_token"));
    c->sign_body = cJSON_IsTrue(cJSON_GetObjectItem(c->context, "sign_body"));
    digest_sha256_hex(c->body.p, c->body.n, c->payload_hash);
    c->request.payload_hash = slice_of_string(c->payload_hash);
    clock_format_basic(now, c->time);
}

static void
close_case(struct signing_case *c)
{
    cJSON_Delete(c->context);
    buf_clean_up(&c->file);
}

/* The request as it was, with its query replaced and headers added. */
static void
assert_signed_request(const struct signing_case *c, const char *name, struct slice query, struct slice more_headers)
{
    struct buf text = BUF_INIT;
    buf_add_slice(&text, c->request.method);
    buf_add_char(&text, ' ');
    buf_add_slice(&text, c->request.path);
    if (query.n > 0)
        buf_add_char(&text, '?');
    buf_add_slice(&text, query);
    buf_add_string(&text, " HTTP/1.1\n");
    buf_add_slice(&text, c->head);
    buf_add_char(&text, '\n');
    buf_add_slice(&text, more_headers);
    buf_add_char(&text, '\n');
    buf_add_slice(&text, c->body.n ? c->body : SLICE(""));
    assert_equals_file(c, name, buf_slice(&text));
    buf_clean_up(&text);
}

static void
sign_with_headers(struct signing_case *c)
{
    struct buf canonical = BUF_INIT, to_sign = BUF_INIT, value = BUF_INIT, more = BUF_INIT;
    struct sigv4_key key = {{0}, {0}};
    struct sigv4_credentials credentials = c->credentials;
    char signature[65];
    if (c->credentials.session_token.n > 0)
        buf_add_format(&more, "X-Amz-Security-Token:%.*s\n", SLICE_ARG(c->credentials.session_token));
    if (c->credentials.session_token.n > 0 && !c->omit_token)
        add_header(c, SLICE("X-Amz-Security-Token"), c->credentials.session_token);
    if (c->omit_token)
        credentials.session_token = slice_of(NULL, 0); /* it travels, unsigned */
    add_header(c, SLICE("X-Amz-Date"), slice_of_string(c->time));
    buf_add_format(&more, "X-Amz-Date:%s\n", c->time);
    if (c->sign_body) {
        add_header(c, SLICE("x-amz-content-sha256"), c->request.payload_hash);
        buf_add_format(&more, "x-amz-content-sha256:%s\n", c->payload_hash);
    }
    assert_int_equal(sigv4_canonical_request(&c->request, &c->scope, &canonical, NULL, NULL), 0);
    assert_equals_file(c, "header-canonical-request.txt", buf_slice(&canonical));
    sigv4_string_to_sign(&c->scope, buf_slice(&canonical), &to_sign);
    assert_equals_file(c, "header-string-to-sign.txt", buf_slice(&to_sign));
    assert_int_equal(sigv4_signature(&c->scope, c->credentials.secret_access_key, buf_slice(&to_sign), &key, signature),
                     0);
    assert_equals_file(c, "header-signature.txt", slice_of_string(signature));
    assert_int_equal(sigv4_authorization(&c->request, &c->scope, &credentials, &key, &value, NULL), 0);
    buf_add_format(&more, "Authorization:%s\n", value.data);
    assert_signed_request(c, "header-signed-request.txt", c->request.query, buf_slice(&more));
    sigv4_key_clean_up(&key);
    buf_clean_up(&canonical);
    buf_clean_up(&to_sign);
    buf_clean_up(&value);
    buf_clean_up(&more);
}

static void
sign_with_the_query(struct signing_case *c)
{
    struct buf query = BUF_INIT, canonical = BUF_INIT, to_sign = BUF_INIT;
    int64_t expires_s = (int64_t)cJSON_GetNumberValue(cJSON_GetObjectItem(c->context, "expiration_in_seconds"));
    char signature[65];
    assert_int_equal(sigv4_presign(&c->request, &c->scope, &c->credentials, expires_s, c->omit_token, &query, NULL), 0);
    assert_signed_request(c, "query-signed-request.txt", buf_slice(&query), slice_of(NULL, 0));

    const char *unsigned_from = strstr(query.data, "&X-Amz-Signature=");
    if (c->omit_token)
        unsigned_from = strstr(query.data, "&X-Amz-Security-Token=");
    assert_non_null(unsigned_from);
    struct sigv4_request request = c->request;
    request.query = slice_of(query.data, (size_t)(unsigned_from - query.data));
    assert_int_equal(sigv4_canonical_request(&request, &c->scope, &canonical, NULL, NULL), 0);
    assert_equals_file(c, "query-canonical-request.txt", buf_slice(&canonical));
    sigv4_string_to_sign(&c->scope, buf_slice(&canonical), &to_sign);
    assert_equals_file(c, "query-string-to-sign.txt", buf_slice(&to_sign));
    assert_int_equal(sigv4_signature(&c->scope, c->credentials.secret_access_key, buf_slice(&to_sign), NULL, signature),
                     0);
    assert_equals_file(c, "query-signature.txt", slice_of_string(signature));
    buf_clean_up(&query);
    buf_clean_up(&canonical);
    buf_clean_up(&to_sign);
}

static void
run_all(void (*check)(struct signing_case *c))
{
    int cases = 0;
    DIR *dir = opendir(suite_dir());
    if (!dir)
        skip_because("no signing cases at %s (set FANOUT_SHARED)", suite_dir());
    assert(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        struct signing_case c;
        struct stat st;
        if (entry->d_name[0] == '.' || fstatat(dirfd(dir), entry->d_name, &st, 0) != 0 || !S_ISDIR(st.st_mode))
            continue;
        open_case(&c, entry->d_name);
        check(&c);
        close_case(&c);
        cases++;
    }
    closedir(dir);
    assert_int_equal(cases, CASES);
}

static void
aws_cases_signed_with_headers(void **state)
{
    (void)state;
    run_all(sign_with_headers);
}

static void
aws_cases_signed_with_the_query(void **state)
{
    (void)state;
    run_all(sign_with_the_query);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aws_cases_signed_with_headers),
        cmocka_unit_test(aws_cases_signed_with_the_query),
    };
    return cmocka_run_group_tests_name("sigv4 suite", tests, NULL, NULL);
}
