/* fuzz_sqs_decode: SQS's and EventBridge's answers. The first byte says which call the rest answers. What is read from
 * them is there in cJSON's tree as well, and nothing is read that the rules leave out. */
#include "aws/sqs_decode.h"

#include <cjson/cJSON.h>

#include "fuzz/fuzz.h"

#include "aws/events_message.h"

static void
touch_message(const struct sqs_message *m)
{
    const struct slice parts[] = {m->id,       m->receipt_handle,  m->body,         m->group,
                                  m->dedup_id, m->sequence_number, m->trace_header, m->dead_letter_source_arn};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        touch(parts[i]);
    for (size_t i = 0; i < m->n_attributes; i++) {
        touch(m->attributes[i].name);
        touch(m->attributes[i].type);
        touch(m->attributes[i].value);
    }
}

/* The one in the tree with this text as that member; NUL characters, which cJSON cuts at, are in neither. */
static bool
is_in_tree(const cJSON *messages, const char *member, struct slice text)
{
    for (const cJSON *m = messages ? messages->child : NULL; m; m = m->next)
        for (const cJSON *value = m->child; value; value = value->next)
            if (value->string && strcmp(value->string, member) == 0 && cJSON_IsString(value) &&
                slice_equals_string(text, value->valuestring))
                return true;
    return text.n > 0 && memchr(text.p, 0, text.n);
}

static void
check_received(struct slice answer, int rc, const struct sqs_received *r)
{
    cJSON *tree = cJSON_ParseWithLength(answer.p, answer.n);
    const cJSON *messages = NULL;
    for (const cJSON *member = tree ? tree->child : NULL; member; member = member->next)
        if (member->string && strcmp(member->string, "Messages") == 0)
            messages = member; /* the last one counts */
    for (size_t i = 0; rc == 0 && i < r->n_messages; i++) {
        const struct sqs_message *m = &r->messages[i];
        char md5[DIGEST_MD5_HEX];
        digest_md5_hex(m->body.p, m->body.n, md5);
        check(slice_equals_string(m->md5_of_body, md5));
        check(m->id.n > 0 && m->receipt_handle.n > 0);
        touch_message(m);
        if (!tree) /* too deep, or a number too long, for cJSON */
            continue;
        check(is_in_tree(messages, "Body", m->body) && is_in_tree(messages, "MessageId", m->id) &&
              is_in_tree(messages, "ReceiptHandle", m->receipt_handle));
    }
    if (rc == 0 && tree && cJSON_IsArray(messages))
        check((size_t)cJSON_GetArraySize(messages) == r->n_messages + r->corrupt + r->garbled);
    cJSON_Delete(tree);
}

static void
check_results(int rc, size_t n, const struct sqs_batch_result *r)
{
    check(rc != 0 || r->n == n);
    for (size_t i = 0; rc == 0 && i < r->n; i++)
        check(r->results[i].ok == (r->results[i].code[0] == '\0'));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct sqs_decode_sent sent[SQS_BATCH_MAX] = {{"5d41402abc4b2a76b9719d911017c592", ""}};
    struct slice answer = size > 0 ? slice_of((const char *)data + 1, size - 1) : slice_of("", 0);
    struct sqs_decoded d;
    struct sqs_received received = {0};
    struct sqs_batch_result batch = {0};
    struct sqs_queue queue = {0};
    struct events_result events[10];
    struct err e = {0};
    size_t n = 1 + answer.n % SQS_BATCH_MAX, failed;
    int rc = 0;
    sqs_decode_init(&d);
    switch (size > 0 ? data[0] % 6 : 0) {
    case 0:
        rc = sqs_decode_receive(&d, answer, SQS_BATCH_MAX, &received, &e);
        check_received(answer, rc, &received);
        break;
    case 1:
        rc = sqs_decode_batch(&d, answer, n, answer.n & 1 ? sent : NULL, &batch, &e);
        check_results(rc, n, &batch);
        break;
    case 2:
        rc = sqs_decode_send(&d, answer, sent, &batch, &e);
        check_results(rc, 1, &batch);
        break;
    case 3:
        rc = sqs_decode_queue_url(&d, answer, &queue, &e);
        check(rc != 0 || queue.url.n > 0);
        break;
    case 4:
        rc = sqs_decode_queue_attributes(&d, answer, &queue, &e);
        break;
    default:
        rc = events_message_decode(answer, n, events, &failed, &e);
        for (size_t i = 0; rc == 0 && i < n; i++) {
            check((events[i].event_id[0] == '\0') == (events[i].code[0] != '\0'));
            failed -= events[i].event_id[0] == '\0';
        }
        check(rc != 0 || failed == 0);
        break;
    }
    check(rc == 0 || (rc == ERR_PROTOCOL && e.code == rc && e.text[0]));
    touch(queue.url);
    touch(queue.arn);
    touch(queue.dead_letter_arn);
    sqs_decode_clean_up(&d);
    return 0;
}
