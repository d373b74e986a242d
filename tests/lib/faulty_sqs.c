#include "lib/faulty_sqs.h"

#include <cjson/cJSON.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/sqs_md5.h"
#include "base/clock.h"
#include "base/digest.h"
#include "lib/stub_server.h"

#define AGAIN_MS      1000 /* until what arrived damaged comes again */
#define UNDELETED_MS  5000 /* until what could not be deleted does */
#define RETRY_MS      3000
#define RETRY_MS_TEXT "3000"
#define DEAD          "-dead" /* behind a queue's name is its dead-letter queue's */

struct faulty_sqs {
    struct stub_server *server;
    pthread_mutex_t lock; /* of what the queues have seen */
    struct faulty_queue *queues;
    size_t n;
    bool mended;
};

static void
need(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "faulty_sqs: %s\n", what);
    abort();
}

static const char *
text_of(const cJSON *object, const char *name)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
    return text ? text : "";
}

static bool
has_dead_letters(const struct faulty_queue *q)
{
    return q->kind >= FAULTY_DEAD_FAILING && q->kind <= FAULTY_DEAD_MISSING;
}

/* *ret_dead: it is the queue's dead-letter queue. */
static struct faulty_queue *
queue_of(struct faulty_sqs *s, const cJSON *request, bool *ret_dead)
{
    const char *name = text_of(request, "QueueName");
    const char *slash = strrchr(text_of(request, "QueueUrl"), '/');
    name = *name || !slash ? name : slash + 1;
    for (size_t i = 0; i < s->n; i++) {
        struct faulty_queue *q = &s->queues[i];
        size_t n = strlen(q->name);
        *ret_dead = has_dead_letters(q) && strncmp(name, q->name, n) == 0 && strcmp(name + n, DEAD) == 0;
        if (*ret_dead || strcmp(q->name, name) == 0)
            return q;
    }
    return NULL;
}

/* ---- faults ---- */

static bool
is_of_receiving(enum faulty_kind kind)
{
    return kind >= FAULTY_ERROR && kind <= FAULTY_GONE;
}

static unsigned
visibility_s(const struct faulty_queue *q)
{
    return q->visibility_s ? q->visibility_s : 30;
}

static bool
fails(struct faulty_queue *q, bool applies)
{
    bool tried_thrice = q->kind != FAULTY_DENIED && q->kind != FAULTY_GARBAGE;
    unsigned faults = q->faults ? q->faults : tried_thrice ? 9 : 3;
    if (!applies)
        return false;
    if (q->failed >= faults) {
        q->mended_ms = q->mended_ms ? q->mended_ms : clock_monotonic_ms();
        return false;
    }
    q->failed++;
    q->last_failed_ms = clock_monotonic_ms();
    q->failed_ms = q->failed_ms ? q->failed_ms : q->last_failed_ms;
    return true;
}

static const char *write_messages(struct faulty_queue *q, unsigned most, struct buf *text);

/* An answer with messages, cut at a byte that differs from call to call, none of which was handed out. */
static void
cut(const struct faulty_queue *q, struct stub_answer *a)
{
    struct faulty_queue copy = *q;
    struct buf text = BUF_INIT;
    stub_answer_http(a, 200, "", write_messages(&copy, 3, &text));
    buf_clean_up(&text);
    buf_truncate(&a->bytes, (size_t)q->failed * 149 % a->bytes.len);
}

static const char *
without_shape(unsigned n)
{
    static const char *const bodies[] = {
        "[]",
        "null",
        "{\"Messages\":{}}",
        "{\"Messages\":[7]}",
        "{\"Messages\":[{\"MessageId\":\"x\"}]}",
        "\"\"",
        "{\"Messages\":[{\"MessageId\":\"x\",\"ReceiptHandle\":\"\",\"Body\":\"b\"}]}"};
    return bodies[n % (sizeof bodies / sizeof *bodies)];
}

static const struct {
    int status;
    const char *headers, *body;
} refusals[] = {
    [FAULTY_ERROR] = {500, "", ""},
    [FAULTY_UNAVAILABLE] = {503, "", "<html>busy</html>"},
    [FAULTY_DENIED] = {403, "", "{\"__type\":\"com.amazonaws.sqs#AccessDenied\",\"message\":\"no\"}"},
    [FAULTY_EXPIRED] = {403, "", "{\"__type\":\"ExpiredToken\",\"message\":\"The security token is expired\"}"},
    [FAULTY_SKEWED] = {403, "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
                       "{\"__type\":\"InvalidSignatureException\",\"message\":\"Signature expired\"}"},
    [FAULTY_WRONG_KEY] = {403, "", "{\"__type\":\"SignatureDoesNotMatch\",\"message\":\"wrong\"}"},
    [FAULTY_THROTTLED] = {403, "x-amzn-query-error: RequestThrottled;Sender\r\n",
                          "{\"__type\":\"com.amazonaws.sqs#RequestThrottled\",\"message\":\"slow down\"}"},
    [FAULTY_THROTTLED_UNTIL] = {503, "x-amz-retry-after: " RETRY_MS_TEXT "\r\n",
                                "{\"__type\":\"com.amazonaws.sqs#RequestThrottled\",\"message\":\"slow down\"}"},
    [FAULTY_GARBAGE] = {200, "", "<html>It works!</html>"},
    [FAULTY_EMPTY] = {200, "", "{}"},
    [FAULTY_GONE] = {400, "x-amzn-query-error: AWS.SimpleQueueService.NonExistentQueue;Sender\r\n",
                     "{\"__type\":\"com.amazonaws.sqs#QueueDoesNotExist\"}"},
    [FAULTY_DELETE_FAILING] = {500, "", ""},
    [FAULTY_CHANGE_FAILING] = {500, "", ""},
    [FAULTY_DEAD_FAILING] = {500, "", ""},
};

static void
fail(const struct faulty_queue *q, struct stub_answer *a)
{
    switch (q->kind) {
    case FAULTY_SHAPELESS:
        stub_answer_http(a, 200, "", without_shape(q->failed));
        break;
    case FAULTY_HANG_MIDWAY:
        buf_add_string(&a->bytes, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"Messages\":[{\"MessageId\":\"m");
        a->then = STUB_HANG;
        break;
    case FAULTY_CUT:
    case FAULTY_CUT_RESET:
        cut(q, a);
        a->then = q->kind == FAULTY_CUT ? STUB_CLOSE : STUB_RESET;
        break;
    case FAULTY_CLOSED:
        a->then = STUB_CLOSE;
        break;
    case FAULTY_RESET:
        a->then = STUB_RESET;
        break;
    case FAULTY_HANG:
        a->then = STUB_HANG;
        break;
    default:
        need(refusals[q->kind].status, "a fault without an answer");
        stub_answer_http(a, refusals[q->kind].status, refusals[q->kind].headers, refusals[q->kind].body);
    }
}

/* ---- actions ---- */

static void
add_message(struct faulty_queue *q, unsigned i, int64_t now_ms, struct buf *out)
{
    char body[80], md5[DIGEST_MD5_HEX];
    bool damaged = q->kind == FAULTY_MD5 && (q->faults == FAULTY_LASTS ? fails(q, true) : q->received[i] == 0);
    snprintf(body, sizeof body, "body of %s-%u", q->name, i);
    digest_md5_hex(body, strlen(body), md5);
    if (damaged)
        body[0] = 'B';
    q->received[i]++;
    q->damaged[i] = damaged;
    q->invisible_until_ms[i] = now_ms + (damaged ? AGAIN_MS : visibility_s(q) * INT64_C(1000));
    buf_add_format(out,
                   "{\"MessageId\":\"%s-%u\",\"ReceiptHandle\":\"%u/%u\",\"MD5OfBody\":\"%s\",\"Body\":\"%s\","
                   "\"Attributes\":{\"ApproximateReceiveCount\":\"%u\",\"SentTimestamp\":\"1795154400123\"}}",
                   q->name, i, i, q->received[i], md5, body, q->received[i]);
}

static bool
is_to_be_received(const struct faulty_queue *q, unsigned i, int64_t now_ms)
{
    if (q->kind == FAULTY_DUPLICATE && q->received[i] < 2 + q->deleted[i])
        return q->received[i] < 3;
    return q->deleted[i] == 0 && now_ms >= q->invisible_until_ms[i];
}

static const char *
write_messages(struct faulty_queue *q, unsigned most, struct buf *text)
{
    int64_t now_ms = clock_monotonic_ms();
    unsigned n = 0;
    buf_add_string(text, "{\"Messages\":[");
    for (unsigned i = 0; i < FAULTY_MESSAGES && n < most; i++) {
        if (!is_to_be_received(q, i, now_ms))
            continue;
        buf_add_string(text, n++ > 0 ? "," : "");
        add_message(q, i, now_ms, text);
    }
    buf_add_string(text, "]}");
    return n > 0 ? text->data : "{}";
}

static void
receive(struct faulty_queue *q, const cJSON *request, struct stub_answer *a)
{
    if (fails(q, is_of_receiving(q->kind))) {
        fail(q, a);
        return;
    }
    struct buf text = BUF_INIT;
    double most = cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(request, "MaxNumberOfMessages"));
    stub_answer_http(a, 200, "", write_messages(q, (unsigned)most, &text));
    buf_clean_up(&text);
}

/* What a delete, change or move of each second message fails with; NULL: in no list at all. */
static const char *
partial_failure(enum faulty_kind kind)
{
    switch (kind) {
    case FAULTY_DELETE_UNKNOWN:
    case FAULTY_CHANGE_UNKNOWN:
    case FAULTY_DEAD_UNKNOWN:
        return "\"Code\":\"Whatever\"";
    case FAULTY_DELETE_SENDER:
    case FAULTY_CHANGE_SENDER:
    case FAULTY_DEAD_SENDER:
        return "\"Code\":\"InvalidParameterValue\",\"SenderFault\":true,\"Message\":\"no\"";
    case FAULTY_DELETE_HANDLE:
        return "\"Code\":\"ReceiptHandleIsInvalid\",\"SenderFault\":true,\"Message\":\"no\"";
    case FAULTY_DELETE_MISSING:
    case FAULTY_CHANGE_MISSING:
    case FAULTY_DEAD_MISSING:
        return NULL;
    default:
        return "\"Code\":\"InternalError\",\"SenderFault\":false";
    }
}

static bool
refuses_delete(struct faulty_queue *q, unsigned i)
{
    if (i % 2 != 0)
        return false;
    if (q->kind == FAULTY_DELETE_PARTLY)
        return q->delete_entries[i] == 0;
    return fails(q, q->kind >= FAULTY_DELETE_SERVER && q->kind <= FAULTY_DELETE_MISSING);
}

static void
delete_entry(struct faulty_queue *q, const cJSON *entry, struct buf *good, struct buf *bad)
{
    const char *id = text_of(entry, "Id"), *failure = partial_failure(q->kind);
    unsigned i = (unsigned)strtoul(text_of(entry, "ReceiptHandle"), NULL, 10);
    need(i < FAULTY_MESSAGES, "a receipt handle that was never given");
    bool refused = refuses_delete(q, i);
    q->delete_entries[i]++;
    if (!refused) {
        q->deleted[i]++;
        q->deleted_damaged += q->damaged[i];
        q->deleted_unsaved += has_dead_letters(q) && q->dead[i] == 0;
        buf_add_format(good, "%s{\"Id\":\"%s\"}", good->len ? "," : "", id);
        return;
    }
    if (q->kind == FAULTY_DELETE_SENDER || q->kind == FAULTY_DELETE_HANDLE)
        q->invisible_until_ms[i] = clock_monotonic_ms() + UNDELETED_MS;
    if (failure)
        buf_add_format(bad, "%s{\"Id\":\"%s\",%s}", bad->len ? "," : "", id, failure);
}

static bool
refuses_change(struct faulty_queue *q, unsigned i)
{
    return i % 2 == 0 && fails(q, q->kind >= FAULTY_CHANGE_SERVER && q->kind <= FAULTY_CHANGE_MISSING);
}

static void
change_entry(struct faulty_queue *q, const cJSON *entry, struct buf *good, struct buf *bad)
{
    const char *id = text_of(entry, "Id"), *failure = partial_failure(q->kind);
    unsigned i = (unsigned)strtoul(text_of(entry, "ReceiptHandle"), NULL, 10);
    double timeout_s = cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(entry, "VisibilityTimeout"));
    need(i < FAULTY_MESSAGES, "a receipt handle that was never given");
    if (!refuses_change(q, i)) {
        q->invisible_until_ms[i] = clock_monotonic_ms() + (int64_t)(timeout_s * 1000);
        buf_add_format(good, "%s{\"Id\":\"%s\"}", good->len ? "," : "", id);
    } else if (failure) {
        buf_add_format(bad, "%s{\"Id\":\"%s\",%s}", bad->len ? "," : "", id, failure);
    }
}

/* ---- the dead-letter queue ---- */

/* The checksum of a sent message's attributes, which are all strings. It may come without any when the queue refused
 * them, perhaps for their size. False: there are none. */
static bool
attributes_md5(const struct faulty_queue *q, const cJSON *entry, char out[DIGEST_MD5_HEX])
{
    struct sqs_attribute attributes[10];
    const cJSON *a;
    size_t n = 0;
    cJSON_ArrayForEach(a, cJSON_GetObjectItemCaseSensitive(entry, "MessageAttributes"))
    {
        need(n < sizeof attributes / sizeof *attributes, "a message has at most 10 attributes");
        attributes[n++] = (struct sqs_attribute){.name = slice_of_string(a->string),
                                                 .type = slice_of_string(text_of(a, "DataType")),
                                                 .value = slice_of_string(text_of(a, "StringValue"))};
    }
    if (n == 0 && q->kind == FAULTY_DEAD_SENDER)
        return false;
    need(n > 0 && sqs_md5_attributes(attributes, n, out) == 0, "a dead letter says why in its attributes");
    return true;
}

static void
send_entry(struct faulty_queue *q, const cJSON *entry, struct buf *good, struct buf *bad)
{
    const char *id = text_of(entry, "Id"), *body = text_of(entry, "MessageBody"), *failure = partial_failure(q->kind);
    const char *dash = strrchr(body, '-');
    unsigned i = dash ? (unsigned)strtoul(dash + 1, NULL, 10) : FAULTY_MESSAGES;
    need(i < FAULTY_MESSAGES, "a dead letter that was no message of the queue");
    if (i % 2 == 0 && fails(q, q->kind != FAULTY_DEAD_FAILING)) {
        if (failure)
            buf_add_format(bad, "%s{\"Id\":\"%s\",%s}", bad->len ? "," : "", id, failure);
        return;
    }
    char md5[DIGEST_MD5_HEX], md5_of_attributes[DIGEST_MD5_HEX];
    digest_md5_hex(body, strlen(body), md5);
    q->dead[i]++;
    buf_add_format(good, "%s{\"Id\":\"%s\",\"MessageId\":\"dead-%u\",\"MD5OfMessageBody\":\"%s\"", good->len ? "," : "",
                   id, i, md5);
    if (attributes_md5(q, entry, md5_of_attributes))
        buf_add_format(good, ",\"MD5OfMessageAttributes\":\"%s\"", md5_of_attributes);
    buf_add_string(good, "}");
}

/* ---- calls ---- */

typedef void entry_fn(struct faulty_queue *q, const cJSON *entry, struct buf *good, struct buf *bad);

/* all_failing: the kind of a queue that refuses whole calls of this action. */
static void
batch(struct faulty_queue *q, const cJSON *request, entry_fn *act_on, enum faulty_kind all_failing,
      struct stub_answer *a)
{
    bool lost = act_on == delete_entry && q->kind == FAULTY_DELETE_LOST && fails(q, true);
    const cJSON *entry;
    if (q->kind == all_failing && fails(q, true)) {
        fail(q, a);
        return;
    }
    struct buf good = BUF_INIT, bad = BUF_INIT, text = BUF_INIT;
    cJSON_ArrayForEach(entry, cJSON_GetObjectItemCaseSensitive(request, "Entries"))
    {
        act_on(q, entry, &good, &bad);
    }
    buf_add_format(&text, "{\"Successful\":[%s],\"Failed\":[%s]}", good.len ? good.data : "", bad.len ? bad.data : "");
    if (lost)
        a->then = STUB_CLOSE;
    else
        stub_answer_http(a, 200, "", text.data);
    buf_clean_up(&good);
    buf_clean_up(&bad);
    buf_clean_up(&text);
}

static bool
is_action(const struct stub_request *r, const char *action)
{
    char line[80];
    snprintf(line, sizeof line, "AmazonSQS.%s\r\n", action);
    return memmem(r->head.p, r->head.n, line, strlen(line)) != NULL;
}

static void
note_request(struct faulty_sqs *s, struct faulty_queue *q)
{
    int64_t second = clock_monotonic_ms() / 1000;
    if (s->mended)
        return;
    q->requests++;
    q->hasty +=
        q->kind == FAULTY_THROTTLED_UNTIL && q->last_failed_ms && clock_monotonic_ms() - q->last_failed_ms < RETRY_MS;
    q->in_second = second == q->second ? q->in_second + 1 : 1;
    q->second = second;
    if (q->in_second > q->at_most_in_a_second)
        q->at_most_in_a_second = (unsigned)q->in_second;
}

static void
write_attributes(const struct faulty_queue *q, char *text, size_t capacity)
{
    char redrive[200] = "";
    if (has_dead_letters(q))
        snprintf(redrive, sizeof redrive,
                 ",\"RedrivePolicy\":\"{\\\"deadLetterTargetArn\\\":\\\"arn:aws:sqs:us-east-1:000000000000:%s" DEAD
                 "\\\",\\\"maxReceiveCount\\\":\\\"1000\\\"}\"",
                 q->name);
    snprintf(text, capacity, "{\"Attributes\":{\"VisibilityTimeout\":\"%u\"%s}}", visibility_s(q), redrive);
}

static void
act(struct faulty_sqs *s, const struct stub_request *r, const cJSON *request, struct stub_answer *a)
{
    bool dead = false;
    struct faulty_queue *q = queue_of(s, request, &dead);
    char text[300];
    if (q)
        note_request(s, q);
    if (!q || fails(q, q->kind == FAULTY_GONE)) {
        stub_answer_http(a, refusals[FAULTY_GONE].status, refusals[FAULTY_GONE].headers, refusals[FAULTY_GONE].body);
    } else if (is_action(r, "GetQueueUrl")) {
        snprintf(text, sizeof text, "{\"QueueUrl\":\"%s/000000000000/%s%s\"}", stub_server_url(s->server), q->name,
                 dead ? DEAD : "");
        stub_answer_http(a, 200, "", text);
    } else if (is_action(r, "GetQueueAttributes")) {
        write_attributes(q, text, sizeof text);
        stub_answer_http(a, 200, "", text);
    } else if (is_action(r, "ReceiveMessage")) {
        receive(q, request, a);
    } else if (is_action(r, "DeleteMessageBatch")) {
        batch(q, request, delete_entry, FAULTY_DELETE_FAILING, a);
    } else if (is_action(r, "ChangeMessageVisibilityBatch")) {
        batch(q, request, change_entry, FAULTY_CHANGE_FAILING, a);
    } else if (is_action(r, "SendMessageBatch") && dead) {
        batch(q, request, send_entry, FAULTY_DEAD_FAILING, a);
    } else {
        stub_answer_http(a, 400, "", "{\"__type\":\"com.amazonaws.sqs#UnsupportedOperation\"}");
    }
}

static void
answer(void *context, const struct stub_request *r, struct stub_answer *a)
{
    struct faulty_sqs *s = context;
    cJSON *request = cJSON_ParseWithLength(r->body.p, r->body.n);
    pthread_mutex_lock(&s->lock);
    act(s, r, request, a);
    pthread_mutex_unlock(&s->lock);
    cJSON_Delete(request);
}

/* ---- for the test ---- */

struct faulty_sqs *
faulty_sqs_start(struct faulty_queue *queues, size_t n, int port)
{
    struct faulty_sqs *s = calloc(1, sizeof *s);
    need(s, "no memory");
    s->queues = queues;
    s->n = n;
    pthread_mutex_init(&s->lock, NULL);
    pthread_mutex_lock(&s->lock); /* until server is set */
    s->server = stub_server_start_at(port, answer, s);
    pthread_mutex_unlock(&s->lock);
    return s;
}

void
faulty_sqs_stop(struct faulty_sqs *s)
{
    if (!s)
        return;
    stub_server_stop(s->server);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

const char *
faulty_sqs_url(const struct faulty_sqs *s)
{
    return stub_server_url(s->server);
}

void
faulty_sqs_mend(struct faulty_sqs *s)
{
    pthread_mutex_lock(&s->lock);
    s->mended = true;
    for (size_t i = 0; i < s->n; i++)
        s->queues[i].faults = s->queues[i].failed ? s->queues[i].failed : 1;
    pthread_mutex_unlock(&s->lock);
}

size_t
faulty_sqs_left(struct faulty_sqs *s)
{
    size_t left = 0;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->n; i++)
        for (size_t k = 0; k < FAULTY_MESSAGES; k++)
            left += s->queues[i].deleted[k] < (s->queues[i].kind == FAULTY_DUPLICATE ? 2 : 1);
    pthread_mutex_unlock(&s->lock);
    return left;
}
