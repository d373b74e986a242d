/* sqs_decode_batch: what became of each entry of a batch. */
#include "aws/sqs_decode.h"

#include "aws/answer.h"

/* The entry an item is about; NULL for an id that is none of ours. */
static struct sqs_result *
entry_of(const cJSON *item, struct sqs_result *results, size_t n)
{
    struct slice id;
    int64_t i;
    if (!cJSON_IsObject(item) || answer_string(item, "Id", &id, NULL) != 0 || !answer_parse_number(id, &i) ||
        (id.n > 1 && id.p[0] == '0') || (uint64_t)i >= n)
        return NULL;
    return &results[i];
}

static void
fail(struct sqs_result *r, struct slice code, struct slice message, bool sender_fault)
{
    r->ok = false;
    r->sender_fault = sender_fault;
    answer_copy(r->code, sizeof r->code, code);
    answer_copy(r->message, sizeof r->message, message);
}

static int
check_sent(const cJSON *item, const struct sqs_decode_sent *sent, struct sqs_result *r, struct err *e)
{
    struct slice body, attributes;
    int rc = answer_string(item, "MD5OfMessageBody", &body, e);
    if (rc == 0)
        rc = answer_string(item, "MD5OfMessageAttributes", &attributes, e);
    if (rc == 0 && ((sent->body[0] && body.n > 0 && !slice_equals_string(body, sent->body)) ||
                    (sent->attributes[0] && attributes.n > 0 && !slice_equals_string(attributes, sent->attributes))))
        fail(r, SLICE("checksum"), SLICE("the MD5 of what arrived is not that of what was sent"), false);
    return rc;
}

/* What SQS says of an entry that went well. */
static int
decode_success(const cJSON *item, const struct sqs_decode_sent *sent, struct sqs_result *r, struct err *e)
{
    struct slice message_id;
    r->ok = true;
    r->code[0] = r->message[0] = '\0';
    int rc = answer_string(item, "MessageId", &message_id, e);
    if (rc == 0) {
        answer_copy(r->message_id, sizeof r->message_id, message_id);
        rc = sent ? check_sent(item, sent, r, e) : 0;
    }
    return rc;
}

static int
decode_failure(const cJSON *item, struct sqs_result *r, struct err *e)
{
    struct slice code, message;
    int rc = answer_string(item, "Code", &code, e);
    if (rc == 0)
        rc = answer_string(item, "Message", &message, e);
    if (rc == 0)
        fail(r, code.n > 0 ? code : SLICE("unknown"), message,
             cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(item, "SenderFault")));
    return rc;
}

static struct sqs_result *
new_results(struct sqs_decoded *d, size_t n)
{
    struct sqs_result *results = arena_zalloc(&d->arena, n * sizeof *results);
    for (size_t i = 0; results && i < n; i++)
        fail(&results[i], SLICE("missing"), SLICE("the answer does not mention this entry"), false);
    return results;
}

int
sqs_decode_batch(struct sqs_decoded *d, struct slice answer, size_t n, const struct sqs_decode_sent *sent,
                 struct sqs_batch_result *ret, struct err *e)
{
    const cJSON *successful, *failed, *item;
    struct sqs_result *r;
    int rc = answer_parse(answer, &d->tree, e);
    if (rc == 0)
        rc = answer_array(d->tree, "Successful", &successful, e);
    if (rc == 0)
        rc = answer_array(d->tree, "Failed", &failed, e);
    if (rc != 0)
        return rc;
    struct sqs_result *results = new_results(d, n);
    if (!results)
        return err_no_memory(e);
    cJSON_ArrayForEach(item, successful)
    {
        if ((r = entry_of(item, results, n)) && strcmp(r->code, "missing") == 0)
            rc = decode_success(item, sent ? &sent[r - results] : NULL, r, e);
        if (rc != 0)
            return rc;
    }
    cJSON_ArrayForEach(item, failed)
    {
        if ((r = entry_of(item, results, n)) && (r->ok || strcmp(r->code, "missing") == 0))
            rc = decode_failure(item, r, e);
        if (rc != 0)
            return rc;
    }
    *ret = (struct sqs_batch_result){.results = results, .n = n};
    return 0;
}

int
sqs_decode_send(struct sqs_decoded *d, struct slice answer, const struct sqs_decode_sent *sent,
                struct sqs_batch_result *ret, struct err *e)
{
    struct sqs_result *result = arena_zalloc(&d->arena, sizeof *result);
    if (!result)
        return err_no_memory(e);
    int rc = answer_parse(answer, &d->tree, e);
    if (rc == 0)
        rc = decode_success(d->tree, sent, result, e);
    if (rc == 0 && !result->message_id[0])
        rc = err_set(e, ERR_PROTOCOL, "there is no MessageId");
    if (rc == 0)
        *ret = (struct sqs_batch_result){.results = result, .n = 1};
    return rc;
}
