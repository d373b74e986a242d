/* sqs_decode_batch: what became of each entry of a batch. */
#include "aws/sqs_decode.h"

#include "aws/answer.h"
#include "aws/sqs_read.h"

/* What SQS says of an entry. */
struct entry {
    struct slice id, code, message, message_id, md5_of_body, md5_of_attributes;
    bool sender_fault;
};
static const struct sqs_field ENTRY[] = {
    SQS_FIELD("MessageId", struct entry, message_id),
    SQS_FIELD("MD5OfMessageBody", struct entry, md5_of_body),
    SQS_FIELD("MD5OfMessageAttributes", struct entry, md5_of_attributes),
    SQS_FIELD("Code", struct entry, code),
    SQS_FIELD("Message", struct entry, message),
};

/* What has no Id, as it is a string, is about none of ours; so is what is no object. */
static int
read_entry(struct sqs_source *s, struct entry *in, struct err *e)
{
    struct json key, value;
    *in = (struct entry){0};
    if (json_read_type(&s->reader) != JSON_OBJECT) {
        json_read_take(&s->reader);
        return 0;
    }
    json_read_enter(&s->reader);
    while (json_read_member(&s->reader, &key)) {
        int rc = sqs_read_field(s, key, SQS_FIELDS(ENTRY), in, e);
        if (rc < 0)
            return rc;
        if (rc == 0)
            continue;
        value = json_read_take(&s->reader);
        if (value.type == JSON_STRING && json_equals_string(key, SLICE("Id")))
            in->id = json_raw(value);
        else if (value.type == JSON_BOOL && json_equals_string(key, SLICE("SenderFault")))
            in->sender_fault = json_bool(value);
    }
    return 0;
}

/* ---- what it means --------------------------------------------------------------------------------------------- */

/* Of an entry that nothing was said about yet, all is zero. */
static bool
is_mentioned(const struct sqs_result *r)
{
    return r->ok || r->code[0];
}

static void
fail(struct sqs_result *r, struct slice code, struct slice message, bool sender_fault)
{
    r->ok = false;
    r->sender_fault = sender_fault;
    answer_copy(r->code, sizeof r->code, code);
    answer_copy(r->message, sizeof r->message, message);
}

static bool
differs(struct slice given, const char *noted)
{
    return *noted && given.n > 0 && !slice_equals_string(given, noted);
}

static void
note_success(const struct entry *in, const struct sqs_decode_sent *sent, struct sqs_result *r)
{
    r->ok = true;
    answer_copy(r->message_id, sizeof r->message_id, in->message_id);
    if (sent && (differs(in->md5_of_body, sent->body) || differs(in->md5_of_attributes, sent->attributes)))
        fail(r, SLICE("checksum"), SLICE("the MD5 of what arrived is not that of what was sent"), false);
}

/* The entry an id is of; NULL: none of ours. */
static struct sqs_result *
entry_of(struct slice id, struct sqs_result *results, size_t n)
{
    int64_t i;
    if (!answer_parse_number(id, &i) || (id.n > 1 && id.p[0] == '0') || (uint64_t)i >= n)
        return NULL;
    return &results[i];
}

static int
read_successful(struct sqs_source *s, const struct sqs_decode_sent *sent, struct sqs_result *results, size_t n,
                struct err *e)
{
    struct entry in;
    int rc = sqs_read_enter(s, JSON_ARRAY, "Successful", e);
    if (rc != 1)
        return rc;
    while (json_read_element(&s->reader)) {
        if ((rc = read_entry(s, &in, e)) != 0)
            return rc;
        struct sqs_result *r = entry_of(in.id, results, n);
        if (r && !is_mentioned(r))
            note_success(&in, sent ? &sent[r - results] : NULL, r);
    }
    return 0;
}

static int
read_failed(struct sqs_source *s, struct sqs_result *results, size_t n, struct err *e)
{
    struct entry in;
    int rc = sqs_read_enter(s, JSON_ARRAY, "Failed", e);
    if (rc != 1)
        return rc;
    while (json_read_element(&s->reader)) {
        if ((rc = read_entry(s, &in, e)) != 0)
            return rc;
        struct sqs_result *r = entry_of(in.id, results, n);
        if (r && (r->ok || !is_mentioned(r)))
            fail(r, in.code.n > 0 ? in.code : SLICE("unknown"), in.message, in.sender_fault);
    }
    return 0;
}

int
sqs_decode_batch(struct sqs_decoded *d, struct slice answer, size_t n, const struct sqs_decode_sent *sent,
                 struct sqs_batch_result *ret, struct err *e)
{
    struct sqs_source s;
    struct json key;
    struct sqs_result *results = arena_zalloc(&d->arena, n * sizeof *results);
    if (!results)
        return err_no_memory(e);
    int rc = sqs_read_begin(&s, &d->arena, answer, e);
    while (rc == 0 && json_read_member(&s.reader, &key)) {
        if (json_equals_string(key, SLICE("Successful")))
            rc = read_successful(&s, sent, results, n, e);
        else if (json_equals_string(key, SLICE("Failed")))
            rc = read_failed(&s, results, n, e);
        else
            json_read_take(&s.reader);
    }
    if (rc == 0)
        rc = sqs_read_end(&s, e);
    if (rc != 0)
        return rc;
    for (size_t i = 0; i < n; i++)
        if (!is_mentioned(&results[i]))
            fail(&results[i], SLICE("missing"), SLICE("the answer does not mention this entry"), false);
    *ret = (struct sqs_batch_result){.results = results, .n = n};
    return 0;
}

int
sqs_decode_send(struct sqs_decoded *d, struct slice answer, const struct sqs_decode_sent *sent,
                struct sqs_batch_result *ret, struct err *e)
{
    struct sqs_source s;
    struct entry in = {0};
    struct sqs_result *result = arena_zalloc(&d->arena, sizeof *result);
    if (!result)
        return err_no_memory(e);
    int rc = sqs_read_begin(&s, &d->arena, answer, e);
    if (rc == 0)
        rc = sqs_read_fields(&s, SQS_FIELDS(ENTRY), &in, e);
    if (rc == 0)
        rc = sqs_read_end(&s, e);
    if (rc == 0 && in.message_id.n == 0)
        rc = err_set(e, ERR_PROTOCOL, "there is no MessageId");
    if (rc != 0)
        return rc;
    note_success(&in, sent, result);
    *ret = (struct sqs_batch_result){.results = result, .n = 1};
    return 0;
}
