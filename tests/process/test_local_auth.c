/* Who is let in to fanout-local, and in which words who is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "lib/admin.h"
#include "lib/local.h"
#include "lib/s3_call.h"
#include "lib/tmp.h"

static void
expect(const struct aws_call *c, int status, const char *code)
{
    if (c->status != status || strcmp(c->error, code) != 0)
        fail_msg("%d %s: %s; expected %d %s", c->status, c->error, c->message, status, code);
}

/* ---- signatures -------------------------------------------------------------------------------------------------- */

static void
what_is_not_signed_by_the_key_is_refused(void **state)
{
    (void)state;
    struct aws_call c;
    aws_call_init(&c, local_fixture.url);
    assert_int_equal(aws_call_sqs(&c, "ListQueues", "{}"), 200);
    c.unsigned_too = true;
    aws_call_sqs(&c, "ListQueues", "{}");
    expect(&c, 403, "MissingAuthenticationToken");
    c.unsigned_too = false;
    c.secret_access_key = "wrong";
    aws_call_sqs(&c, "ListQueues", "{}");
    expect(&c, 403, "SignatureDoesNotMatch");
    assert_non_null(
        strstr(c.message, "The request signature we calculated does not match the signature you provided."));
    c.secret_access_key = "test";
    c.access_key_id = "nobody";
    aws_call_sqs(&c, "ListQueues", "{}");
    expect(&c, 403, "InvalidClientTokenId");
    assert_string_equal(c.message, "The security token included in the request is invalid.");
    c.access_key_id = "test";
    c.region = "eu-west-1";
    aws_call_sqs(&c, "ListQueues", "{}");
    expect(&c, 403, "SignatureDoesNotMatch");
    assert_non_null(strstr(c.message, "Credential should be scoped to a valid region."));
    c.region = "us-east-1";
    assert_true(aws_call_begin(&c, "events", "AmazonSQS.ListQueues", SLICE("{}")));
    aws_call_finish(&c);
    expect(&c, 403, "SignatureDoesNotMatch");
    assert_non_null(strstr(c.message, "'sqs'"));
    assert_true(aws_call_begin(&c, "sqs", "AWSEvents.PutEvents", SLICE("{}")));
    aws_call_finish(&c);
    expect(&c, 400, "InvalidSignatureException");
    assert_int_equal(aws_call_sqs(&c, "ListQueues", "{}"), 200);
    aws_call_clean_up(&c);
}

/* The text of a signed request with one place of it changed on the way. */
static int
tampered(struct aws_call *c, const char *find, const char *put)
{
    aws_call_sqs(c, "ListQueues", "{\"MaxResults\": 1}");
    char *at = strstr(c->request.data, find);
    assert_non_null(at);
    memcpy(at, put, strlen(put));
    assert_int_equal(send(c->fd, c->request.data, c->request.len, MSG_NOSIGNAL), (ssize_t)c->request.len);
    return aws_call_finish(c);
}

static void
a_request_that_was_changed_on_its_way_is_refused(void **state)
{
    (void)state;
    struct aws_call c;
    aws_call_init(&c, local_fixture.url);
    assert_int_equal(tampered(&c, "\"MaxResults\": 1", "\"MaxResults\": 2"), 403);
    expect(&c, 403, "SignatureDoesNotMatch");
    assert_int_equal(tampered(&c, "AmazonSQS.ListQueues", "AmazonSQS.PurgeQueue"), 403);
    assert_int_equal(tampered(&c, "POST / HTTP", "PORT / HTTP"), 403);
    assert_int_equal(tampered(&c, "Signature=", "Signature!"), 400);
    expect(&c, 400, "IncompleteSignature");
    assert_int_equal(tampered(&c, "AWS4-HMAC-SHA256", "AWS3-HMAC-SHA256"), 400);
    assert_int_equal(tampered(&c, "host;", "xost;"), 403);
    aws_call_clean_up(&c);
}

static void
a_signature_is_good_for_fifteen_minutes(void **state)
{
    (void)state;
    struct aws_call c;
    aws_call_init(&c, local_fixture.url);
    c.skew_ms = -899000;
    assert_int_equal(aws_call_sqs(&c, "ListQueues", "{}"), 200);
    c.skew_ms = 899000;
    assert_int_equal(aws_call_sqs(&c, "ListQueues", "{}"), 200);
    c.skew_ms = -902000;
    aws_call_sqs(&c, "ListQueues", "{}");
    expect(&c, 403, "SignatureDoesNotMatch");
    assert_memory_equal(c.message, "Signature expired: ", 19);
    c.skew_ms = 902000;
    aws_call_sqs(&c, "ListQueues", "{}");
    assert_memory_equal(c.message, "Signature not yet current: ", 27);

    /* the Date of the answer is the server's time: a client corrects itself by it */
    int64_t date;
    local_server_pass(&local_fixture, INT64_C(86400000) * 400);
    c.skew_ms = INT64_C(-86400000) * 400;
    aws_call_sqs(&c, "ListQueues", "{}");
    struct slice text = aws_call_header(&c, "date");
    assert_int_equal(clock_parse_http_date(text.p, text.n, &date, NULL), 0);
    assert_in_range(clock_wall_ms() - date, 0, 999);
    aws_call_clean_up(&c);
}

/* Asks for the list of buckets with a URL that was signed beforehand; status. */
static int
ask_presigned(struct aws_call *c, const char *secret, int64_t expires_s, const char *more)
{
    struct sigv4_header host = {SLICE("host"), slice_of_string(c->host)};
    struct sigv4_request request = {.method = SLICE("GET"),
                                    .path = SLICE("/"),
                                    .headers = &host,
                                    .n_headers = 1,
                                    .payload_hash = SLICE("UNSIGNED-PAYLOAD")};
    struct sigv4_scope scope = {
        .region = SLICE("us-east-1"), .service = SLICE("s3"), .wall_ms = clock_wall_ms() + c->skew_ms};
    struct sigv4_credentials keys = {.access_key_id = SLICE("test"), .secret_access_key = slice_of_string(secret)};
    struct buf path = BUF_INIT;
    buf_add_string(&path, "/?");
    assert_int_equal(sigv4_presign(&request, &scope, &keys, expires_s, false, &path, NULL), 0);
    buf_add_string(&path, more);
    int status = aws_call_plain(c, "GET", path.data, "");
    buf_clean_up(&path);
    return status;
}

static void
a_presigned_url_is_good_until_it_expires(void **state)
{
    (void)state;
    struct aws_call c;
    aws_call_init(&c, local_fixture.url);
    assert_int_equal(ask_presigned(&c, "test", 3600, ""), 200);
    assert_int_equal(ask_presigned(&c, "wrong", 3600, ""), 403);
    assert_non_null(memmem(c.body.p, c.body.n, "SignatureDoesNotMatch", 21));
    assert_int_equal(ask_presigned(&c, "test", 3600, "&prefix=x"), 403);
    c.skew_ms = -3599000;
    assert_int_equal(ask_presigned(&c, "test", 3600, ""), 200);
    c.skew_ms = -3601000;
    assert_int_equal(ask_presigned(&c, "test", 3600, ""), 403);
    assert_non_null(memmem(c.body.p, c.body.n, "Request has expired", 19));
    assert_int_equal(aws_call_plain(&c, "GET", "/?X-Amz-Algorithm=AWS4-HMAC-SHA256", ""), 400);
    aws_call_clean_up(&c);
}

/* ---- SQS's URLs -------------------------------------------------------------------------------------------------- */

/* ListQueues by a URL for SQS; what is behind the first answer's status is in c. */
static int
list_presigned(struct aws_call *c, int64_t expires_s)
{
    struct sigv4_header host = {SLICE("host"), slice_of_string(c->host)};
    struct sigv4_request request = {.method = SLICE("GET"),
                                    .path = SLICE("/"),
                                    .query = SLICE("Action=ListQueues&Version=2012-11-05"),
                                    .headers = &host,
                                    .n_headers = 1,
                                    .payload_hash =
                                        SLICE("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")};
    struct sigv4_scope scope = {.region = SLICE("us-east-1"),
                                .service = SLICE("sqs"),
                                .wall_ms = clock_wall_ms() + c->skew_ms,
                                .normalize_path = true,
                                .encode_path_twice = true};
    struct sigv4_credentials keys = {.access_key_id = SLICE("test"), .secret_access_key = SLICE("test")};
    struct buf path = BUF_INIT;
    buf_add_string(&path, "/?");
    assert_int_equal(sigv4_presign(&request, &scope, &keys, expires_s, false, &path, NULL), 0);
    int status = aws_call_plain(c, "GET", path.data, "");
    buf_clean_up(&path);
    return status;
}

static bool
body_has(const struct aws_call *c, const char *text)
{
    return c->body.n > 0 && memmem(c->body.p, c->body.n, text, strlen(text));
}

static void
a_url_of_sqs_is_good_for_what_it_says_and_fifteen_minutes_at_most(void **state)
{
    (void)state;
    struct aws_call c;
    aws_call_init(&c, local_fixture.url);
    c.skew_ms = -59000;
    assert_int_equal(list_presigned(&c, 60), 200);
    c.skew_ms = -62000;
    assert_int_equal(list_presigned(&c, 60), 403);
    assert_true(body_has(&c, "<Code>SignatureDoesNotMatch</Code><Message>Signature expired: "));
    assert_true(body_has(&c, " - 1 min.)"));
    c.skew_ms = -50000;
    assert_int_equal(list_presigned(&c, 45), 403);
    assert_true(body_has(&c, " - 45 sec.)"));
    c.skew_ms = -899000;
    assert_int_equal(list_presigned(&c, 604800), 200);
    c.skew_ms = -902000;
    assert_int_equal(list_presigned(&c, 604800), 403);
    assert_true(body_has(&c, " - 15 min.)"));
    aws_call_clean_up(&c);
}

static void
an_unsigned_query_is_refused_as_sqs_does(void **state)
{
    (void)state;
    struct aws_call c;
    aws_call_init(&c, local_fixture.url);
    assert_int_equal(aws_call_plain(&c, "GET", "/?Action=ListQueues&Version=2012-11-05", ""), 403);
    assert_true(body_has(&c, "<Code>MissingAuthenticationToken</Code>"));
    aws_call_clean_up(&c);
}

/* ---- key pairs of a file ----------------------------------------------------------------------------------------- */

static struct local_server server;
static const char *credentials;

#define EXPIRES_AT INT64_C(4102444800000) /* 2100-01-01 */

static const char FILE_TEXT[] = "# who may ask\n"
                                "[producer]\n"
                                "aws_access_key_id = AKIDPRODUCER\n"
                                "aws_secret_access_key = a secret of the producer's\n"
                                "region = us-east-1\n"
                                "\n"
                                "[ consumer ]\r\n"
                                "aws_access_key_id=AKIDCONSUMER\r\n"
                                "aws_secret_access_key=another\r\n"
                                "aws_session_token = a/token+of==\r\n"
                                "x_security_token_expires = 2100-01-01T00:00:00Z\n"
                                "; a role's section has no keys\n"
                                "[role]\n"
                                "role_arn = arn:aws:iam::1:role/x\n"
                                "s3 =\n"
                                "  addressing_style = path\n";

static int
start_with_file(void **state)
{
    (void)state;
    static const char *options[] = {"--credentials", NULL, NULL};
    credentials = tmp_write(tmp_new(), "credentials", "%s", FILE_TEXT);
    assert_int_equal(chmod(credentials, 0600), 0);
    options[1] = credentials;
    local_server_start_with(&server, options);
    return 0;
}

static int
stop_with_file(void **state)
{
    (void)state;
    local_server_clean_up(&server);
    return 0;
}

static void
sign_as(struct aws_call *c, const char *access_key_id, const char *secret, const char *token)
{
    sigv4_key_clean_up(&c->key);
    c->access_key_id = access_key_id;
    c->secret_access_key = secret;
    c->session_token = token;
}

static void
list_queues(struct aws_call *c, int status, const char *code)
{
    aws_call_sqs(c, "ListQueues", "{}");
    expect(c, status, code);
}

static void
each_pair_of_the_file_is_let_in_and_no_other(void **state)
{
    (void)state;
    struct aws_call c;
    aws_call_init(&c, server.url);
    list_queues(&c, 403, "InvalidClientTokenId"); /* test, test: the file is all there is */
    sign_as(&c, "AKIDPRODUCER", "a secret of the producer's", NULL);
    list_queues(&c, 200, "");
    sign_as(&c, "AKIDCONSUMER", "another", "a/token+of==");
    list_queues(&c, 200, "");
    sign_as(&c, "AKIDPRODUCER", "another", NULL);
    list_queues(&c, 403, "SignatureDoesNotMatch");
    sign_as(&c, "AKIDPRODUCE", "another", NULL);
    list_queues(&c, 403, "InvalidClientTokenId");
    sign_as(&c, "role", "another", NULL);
    list_queues(&c, 403, "InvalidClientTokenId");
    aws_call_clean_up(&c);
}

static void
a_wrong_session_token_is_refused_in_each_service_s_words(void **state)
{
    (void)state;
    static const struct {
        const char *id, *secret, *token;
        struct {
            int status;
            const char *code;
        } sqs, events;
    } CASES[] = {
        {"AKIDCONSUMER", "another", NULL, {403, "InvalidClientTokenId"}, {400, "UnrecognizedClientException"}},
        {"AKIDCONSUMER", "another", "wrong", {403, "InvalidClientTokenId"}, {400, "UnrecognizedClientException"}},
        {"AKIDCONSUMER", "another", "a/token+of=", {403, "InvalidClientTokenId"}, {400, "UnrecognizedClientException"}},
        {"AKIDPRODUCER",
         "a secret of the producer's",
         "none is wanted",
         {403, "InvalidClientTokenId"},
         {400, "UnrecognizedClientException"}},
    };
    struct aws_call c;
    char text[200];
    aws_call_init(&c, server.url);
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        sign_as(&c, CASES[i].id, CASES[i].secret, CASES[i].token);
        list_queues(&c, CASES[i].sqs.status, CASES[i].sqs.code);
        assert_true(aws_call_text(&c, "__type", text, sizeof text));
        assert_string_equal(text, "com.amazon.coral.service#UnrecognizedClientException");
        assert_true(aws_call_begin(&c, "events", "AWSEvents.ListRules", SLICE("{}")));
        aws_call_finish(&c);
        expect(&c, CASES[i].events.status, CASES[i].events.code);
        assert_string_equal(c.message, "The security token included in the request is invalid.");
    }
    aws_call_clean_up(&c);

    struct s3_answer a;
    static const char *const WRONG[] = {"x-amz-security-token", "wrong", NULL};
    s3_call(server.url, &(struct s3_request){.method = "GET", .path = "/", .key = "AKIDCONSUMER", .secret = "another"},
            &a);
    assert_int_equal(a.status, 403);
    assert_string_equal(s3_answer_text(&a, "Code", text, sizeof text), "InvalidAccessKeyId");
    s3_answer_clean_up(&a);
    s3_call(server.url,
            &(struct s3_request){
                .method = "GET", .path = "/", .headers = WRONG, .key = "AKIDCONSUMER", .secret = "another"},
            &a);
    assert_int_equal(a.status, 400);
    assert_string_equal(s3_answer_text(&a, "Code", text, sizeof text), "InvalidToken");
    s3_answer_clean_up(&a);
}

static void
a_token_that_is_over_is_refused_as_expired(void **state)
{
    (void)state;
    struct local_server clocked;
    struct aws_call c;
    char text[200];
    local_server_start(&clocked, true); /* and so this process is on the clock */
    local_server_stop(&clocked);
    clocked.options = (const char *[]){"--credentials", credentials, NULL};
    local_server_restart(&clocked);
    atomic_fetch_add(&clocked.clock->offset_ms, EXPIRES_AT - clock_wall_ms() - 2000);
    aws_call_init(&c, clocked.url);
    sign_as(&c, "AKIDCONSUMER", "another", "a/token+of==");
    list_queues(&c, 200, "");
    local_server_pass(&clocked, 2000);
    list_queues(&c, 403, "ExpiredToken");
    assert_string_equal(c.message, "The security token included in the request is expired");
    assert_true(aws_call_text(&c, "__type", text, sizeof text));
    assert_string_equal(text, "com.amazon.coral.service#ExpiredTokenException");
    assert_true(aws_call_begin(&c, "events", "AWSEvents.ListRules", SLICE("{}")));
    aws_call_finish(&c);
    expect(&c, 400, "ExpiredTokenException");
    static const char *const TOKEN[] = {"x-amz-security-token", "a/token+of==", NULL};
    struct s3_answer a;
    s3_call(clocked.url,
            &(struct s3_request){
                .method = "GET", .path = "/", .headers = TOKEN, .key = "AKIDCONSUMER", .secret = "another"},
            &a);
    assert_int_equal(a.status, 400);
    assert_string_equal(s3_answer_text(&a, "Code", text, sizeof text), "ExpiredToken");
    s3_answer_clean_up(&a);
    aws_call_clean_up(&c);
    local_server_clean_up(&clocked);
}

static void
write_credentials(const char *text)
{
    FILE *f = fopen(credentials, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void
hup_reads_the_file_again_and_a_bad_one_changes_nothing(void **state)
{
    (void)state;
    struct aws_call c;
    aws_call_init(&c, server.url);
    sign_as(&c, "AKIDNEW", "new", NULL);
    list_queues(&c, 403, "InvalidClientTokenId");
    write_credentials("[new]\naws_access_key_id = AKIDNEW\naws_secret_access_key = new\n");
    proc_signal(server.process, SIGHUP);
    assert_non_null(proc_wait_line(server.process, "read again\" pairs=1", 20000));
    list_queues(&c, 200, "");
    write_credentials("[new]\naws_access_key_id = AKIDNEW\n");
    proc_signal(server.process, SIGHUP);
    const char *line = proc_wait_line(server.process, "those of before stay", 20000);
    assert_non_null(line);
    assert_non_null(strstr(line, "credentials:1: [new] needs an aws_secret_access_key"));
    list_queues(&c, 200, "");
    sign_as(&c, "AKIDPRODUCER", "a secret of the producer's", NULL);
    list_queues(&c, 403, "InvalidClientTokenId");
    aws_call_clean_up(&c);
    write_credentials(FILE_TEXT);
    proc_signal(server.process, SIGHUP);
    assert_non_null(proc_wait_line(server.process, "read again\" pairs=2", 20000));
}

static void
a_message_says_whose_pair_sent_it(void **state)
{
    (void)state;
    struct aws_call c;
    char url[300], text[100];
    aws_call_init(&c, server.url);
    sign_as(&c, "AKIDPRODUCER", "a secret of the producer's", NULL);
    assert_int_equal(aws_call_sqs(&c, "CreateQueue", "{\"QueueName\": \"senders\"}"), 200);
    assert_true(aws_call_text(&c, "QueueUrl", url, sizeof url));
    assert_int_equal(aws_call_sqs(&c, "SendMessage", "{\"QueueUrl\": \"%s\", \"MessageBody\": \"x\"}", url), 200);
    sign_as(&c, "AKIDCONSUMER", "another", "a/token+of==");
    assert_int_equal(aws_call_sqs(&c, "SendMessageBatch",
                                  "{\"QueueUrl\": \"%s\", \"Entries\": [{\"Id\": \"1\", \"MessageBody\": \"y\"}]}",
                                  url),
                     200);
    static const char *const SENDERS[] = {"producer", "consumer"};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(
            aws_call_sqs(&c, "ReceiveMessage", "{\"QueueUrl\": \"%s\", \"AttributeNames\": [\"SenderId\"]}", url), 200);
        assert_true(aws_call_text(&c, "Messages.0.Attributes.SenderId", text, sizeof text));
        assert_string_equal(text, SENDERS[i]);
    }
    aws_call_clean_up(&c);
}

static int
run(const char *const arguments[], char *out, size_t size)
{
    const char *argv[16] = {proc_path("bin/fanout-local"), "--memory", "--no-provision"};
    for (size_t i = 0; i < 12 && arguments[i]; i++)
        argv[i + 3] = arguments[i];
    struct proc *p = proc_spawn(argv, NULL);
    int status = proc_wait_exit(p, 20000);
    snprintf(out, size, "%s%s", proc_stdout(p), proc_stderr(p));
    proc_destroy(p);
    return status;
}

static void
a_file_that_is_none_is_refused_with_its_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } FILES[] = {
        {"", "there is no key pair in it"},
        {"[a]\nregion = x\n", "there is no key pair in it"},
        {"[a]\naws_access_key_id = A\n", "f:1: [a] needs an aws_secret_access_key"},
        {"\n[a]\naws_secret_access_key = A\n", "f:2: [a] needs an aws_access_key_id"},
        {"[a]\naws_session_token = A\n", "f:1: [a] needs an aws_access_key_id"},
        {"aws_access_key_id = A\n", "f:1: a setting stands below"},
        {"[a\n", "f:1: a section is [name]"},
        {"[]\n", "f:1: a section's name"},
        {"[a]\nwhat is this\n", "f:2: neither"},
        {"[a]\naws_access_key_id = A\naws_access_key_id = B\n", "f:3: aws_access_key_id is there twice"},
        {"[a]\naws_access_key_id = A B\naws_secret_access_key = s\n", "f:1: [a] needs an aws_access_key_id"},
        {"[a]\naws_access_key_id = A\naws_secret_access_key = s\n[a]\naws_access_key_id = B\naws_secret_access_key = "
         "s\n",
         "f:4: [a] is there twice"},
        {"[a]\naws_access_key_id = A\naws_secret_access_key = s\n[b]\naws_access_key_id = A\naws_secret_access_key = "
         "s\n",
         "f:4: [b] has the access key id of [a]"},
        {"[a]\naws_access_key_id = A\naws_secret_access_key = s\nx_security_token_expires = soon\n", "is no time"},
        {"[a]\naws_access_key_id = own\naws_secret_access_key = s\n", "own is the command line's as well"},
    };
    char out[4096];
    const char *folder = tmp_new();
    for (size_t i = 0; i < sizeof FILES / sizeof *FILES; i++) {
        const char *path = tmp_write(folder, "f", "%s", FILES[i].text);
        int status = run((const char *[]){"--credentials", path, "--access-key", "own", NULL}, out, sizeof out);
        if (status != 2 || !strstr(out, FILES[i].says))
            fail_msg("\"%s\": %d %s; expected \"%s\"", FILES[i].text, status, out, FILES[i].says);
        assert_null(strstr(out, "READY"));
    }
    assert_int_equal(run((const char *[]){"--credentials", "/no/such/file", NULL}, out, sizeof out), 1);
    assert_non_null(strstr(out, "/no/such/file"));
    tmp_remove(folder);
}

static void
a_file_that_everybody_may_read_is_warned_of(void **state)
{
    (void)state;
    assert_int_equal(proc_count_lines(server.process, "may read the credentials"), 0);
    assert_int_equal(chmod(credentials, 0644), 0);
    proc_signal(server.process, SIGHUP);
    assert_non_null(proc_wait_line(server.process, "may read the credentials", 20000));
    assert_int_equal(chmod(credentials, 0600), 0);
}

static void
requests_are_logged_with_the_name_of_the_pair(void **state)
{
    (void)state;
    struct aws_call c;
    char text[100];
    aws_call_init(&c, server.url);
    sign_as(&c, "AKIDCONSUMER", "another", "a/token+of==");
    assert_int_equal(aws_call_sqs(&c, "CreateQueue", "{\"QueueName\": \"named\"}"), 200);
    assert_int_equal(admin_ask(&c, "GET", "/requests?key=consumer&operation=CreateQueue", ""), 200);
    assert_int_equal(aws_call_count(&c, "requests"), 1);
    assert_true(aws_call_text(&c, "requests.0.status", text, sizeof text));
    assert_string_equal(text, "200");
    assert_false(body_has(&c, "another"));
    assert_false(body_has(&c, "a/token"));
    aws_call_clean_up(&c);
}

/* ---- nobody has to sign ------------------------------------------------------------------------------------------ */

static void
without_auth_everything_is_served(void **state)
{
    (void)state;
    static const char *const LENGTH[] = {"x-amz-decoded-content-length", "9", NULL};
    struct local_server open_door;
    struct aws_call c;
    struct s3_answer a;
    local_server_start_with(&open_door, (const char *[]){"--no-auth", NULL});
    assert_non_null(strstr(proc_stdout(open_door.process), " no-auth\n"));
    aws_call_init(&c, open_door.url);
    c.unsigned_too = true;
    assert_int_equal(aws_call_sqs(&c, "CreateQueue", "{\"QueueName\": \"q\"}"), 200);
    c.unsigned_too = false;
    sign_as(&c, "whoever", "whatever", "a token");
    assert_int_equal(aws_call_sqs(&c, "ListQueues", "{}"), 200);
    assert_int_equal(aws_call_plain(&c, "GET", "/?Action=ListQueues&Version=2012-11-05", ""), 200);
    assert_true(body_has(&c, "/q</QueueUrl>"));
    assert_int_equal(aws_call_plain(&c, "PUT", "/bucket", ""), 200);
    assert_int_equal(aws_call_plain(&c, "PUT", "/bucket/key", "hello"), 200);
    s3_call(open_door.url,
            &(struct s3_request){.method = "PUT",
                                 .path = "/bucket/chunked",
                                 .headers = LENGTH,
                                 .secret = "whatever",
                                 .payload = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
                                 .chunk_bytes = 8192,
                                 .body = SLICE("in chunks")},
            &a);
    assert_int_equal(a.status, 200);
    s3_answer_clean_up(&a);
    assert_int_equal(aws_call_plain(&c, "GET", "/bucket/chunked", ""), 200);
    assert_true(slice_equals(c.body, SLICE("in chunks")));
    assert_int_equal(admin_count_requests(open_door.url, "operation=CreateQueue&key="), 1);
    aws_call_clean_up(&c);
    local_server_clean_up(&open_door);
}

static void
without_auth_is_for_this_machine_unless_everybody_is_meant(void **state)
{
    (void)state;
    static const struct {
        const char *arguments[7];
        const char *says;
    } LINES[] = {
        {{"--listen", "0.0.0.0:0", "--no-auth", NULL}, "--no-auth=everybody"},
        {{"--no-auth=nobody", NULL}, "there are --no-auth and --no-auth=everybody"},
        {{"--no-auth", "--access-key", "a", NULL}, "--no-auth needs no keys"},
        {{"--no-auth", "--credentials", "f", NULL}, "--no-auth needs no keys"},
        {{"--credentials", "f", "--secret-key", "s", NULL}, "need their --access-key"},
        {{"--session-token", "", NULL}, "--session-token"},
    };
    char out[4096];
    for (size_t i = 0; i < sizeof LINES / sizeof *LINES; i++) {
        int status = run(LINES[i].arguments, out, sizeof out);
        if (status != 2 || !strstr(out, LINES[i].says))
            fail_msg("%s: %d %s", LINES[i].arguments[0], status, out);
    }
    struct proc *p = proc_spawn((const char *[]){proc_path("bin/fanout-local"), "--memory", "--no-provision",
                                                 "--listen", "0.0.0.0:0", "--no-auth=everybody", NULL},
                                NULL);
    assert_non_null(proc_wait_line(p, " no-auth", 20000));
    proc_signal(p, SIGTERM);
    assert_int_equal(proc_wait_exit(p, 20000), 0);
    assert_int_equal(proc_count_lines(p, "no request needs a signature"), 1);
    proc_destroy(p);
}

int
main(void)
{
#define WITH_CLOCK(test) cmocka_unit_test_setup_teardown(test, local_fixture_start_with_clock, local_fixture_stop)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_pair_of_the_file_is_let_in_and_no_other),
        cmocka_unit_test(a_wrong_session_token_is_refused_in_each_service_s_words),
        cmocka_unit_test(requests_are_logged_with_the_name_of_the_pair),
        cmocka_unit_test(a_message_says_whose_pair_sent_it),
        cmocka_unit_test(a_file_that_everybody_may_read_is_warned_of),
        cmocka_unit_test(hup_reads_the_file_again_and_a_bad_one_changes_nothing),
        cmocka_unit_test(a_file_that_is_none_is_refused_with_its_line),
        cmocka_unit_test(without_auth_everything_is_served),
        cmocka_unit_test(without_auth_is_for_this_machine_unless_everybody_is_meant),
        WITH_CLOCK(what_is_not_signed_by_the_key_is_refused),
        WITH_CLOCK(a_request_that_was_changed_on_its_way_is_refused),
        WITH_CLOCK(a_signature_is_good_for_fifteen_minutes),
        WITH_CLOCK(a_presigned_url_is_good_until_it_expires),
        WITH_CLOCK(a_url_of_sqs_is_good_for_what_it_says_and_fifteen_minutes_at_most),
        WITH_CLOCK(an_unsigned_query_is_refused_as_sqs_does),
        cmocka_unit_test(a_token_that_is_over_is_refused_as_expired),
    };
    return cmocka_run_group_tests_name("local/auth", tests, start_with_file, stop_with_file);
}
