/* fuzz_sqs_decode: SQS's and EventBridge's answers. The first byte says which call the rest answers. */
#include "aws/events_message.h"
#include "aws/sqs_decode.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads every byte of s, so that a sanitizer sees one that is not there. */
static size_t
touch(struct slice s)
{
    size_t sum = 0;
    for (size_t i = 0; i < s.n; i++)
        sum += (unsigned char)s.p[i];
    return sum;
}

static size_t
touch_messages(const struct sqs_received *r)
{
    size_t sum = 0;
    for (size_t i = 0; i < r->n_messages; i++) {
        const struct sqs_message *m = &r->messages[i];
        char md5[DIGEST_MD5_HEX];
        digest_md5_hex(m->body.p, m->body.n, md5);
        if (!slice_equals_string(m->md5_of_body, md5))
            abort();
        sum += touch(m->id) + touch(m->receipt_handle) + touch(m->group) + touch(m->dedup_id) +
               touch(m->sequence_number) + touch(m->dead_letter_source_arn) + touch(m->trace_header);
        for (size_t j = 0; j < m->n_attributes; j++)
            sum += touch(m->attributes[j].name) + touch(m->attributes[j].type) + touch(m->attributes[j].value);
    }
    return sum;
}

static void
check_results(const struct sqs_batch_result *r)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->results[i].ok != (r->results[i].code[0] == '\0'))
            abort();
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
    size_t failed, sum = 0;
    sqs_decode_init(&d);
    switch (size > 0 ? data[0] % 6 : 0) {
    case 0:
        sqs_decode_receive(&d, answer, SQS_BATCH_MAX, &received, NULL);
        sum += touch_messages(&received);
        break;
    case 1:
        sqs_decode_batch(&d, answer, 1 + answer.n % SQS_BATCH_MAX, answer.n & 1 ? sent : NULL, &batch, NULL);
        check_results(&batch);
        break;
    case 2:
        sqs_decode_send(&d, answer, sent, &batch, NULL);
        check_results(&batch);
        break;
    case 3:
        sqs_decode_queue_url(&d, answer, &queue, NULL);
        break;
    case 4:
        sqs_decode_queue_attributes(&d, answer, &queue, NULL);
        break;
    default:
        events_message_decode(answer, 1 + answer.n % 10, events, &failed, NULL);
        break;
    }
    sum += touch(queue.url) + touch(queue.arn) + touch(queue.dead_letter_arn);
    sqs_decode_clean_up(&d);
    return sum == (size_t)-1;
}
