/* sqs_decode_batch: what became of each entry of a batch. One such answer comes for every ten messages: it is looked
 * through where it lies, as building and freeing a cJSON tree of it cost ten times more. */
#include "aws/sqs_decode.h"

#include "aws/answer.h"

/* What a string member means; empty when there is none, or null. */
static int
text_of_member(struct sqs_decoded *d, struct json object, const char *name, struct slice *ret, struct err *e)
{
    struct json value;
    *ret = slice_of("", 0);
    if (!json_get(object, name, &value) || value.type == JSON_NULL)
        return 0;
    if (value.type != JSON_STRING)
        return err_set(e, ERR_PROTOCOL, "%s is no string", name);
    return sqs_decode_text(d, value, name, ret, e);
}

/* The entry an item is about; NULL for an id that is none of ours. */
static struct sqs_result *
entry_of(struct json item, struct sqs_result *results, size_t n)
{
    struct json id;
    int64_t i;
    if (!json_get(item, "Id", &id) || id.type != JSON_STRING || !answer_parse_number(json_raw(id), &i) ||
        (json_raw(id).n > 1 && json_raw(id).p[0] == '0') || (uint64_t)i >= n)
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

/* Whether SQS gives another MD5 than the one that was noted, "" for none. */
static int
check_md5(struct sqs_decoded *d, struct json item, const char *name, const char *noted, bool *ret_differs,
          struct err *e)
{
    struct slice given;
    int rc = *noted ? text_of_member(d, item, name, &given, e) : 0;
    if (rc == 0 && *noted && given.n > 0 && !slice_equals_string(given, noted))
        *ret_differs = true;
    return rc;
}

static int
check_sent(struct sqs_decoded *d, struct json item, const struct sqs_decode_sent *sent, struct sqs_result *r,
           struct err *e)
{
    bool differs = false;
    int rc = check_md5(d, item, "MD5OfMessageBody", sent->body, &differs, e);
    if (rc == 0)
        rc = check_md5(d, item, "MD5OfMessageAttributes", sent->attributes, &differs, e);
    if (rc == 0 && differs)
        fail(r, SLICE("checksum"), SLICE("the MD5 of what arrived is not that of what was sent"), false);
    return rc;
}

/* What SQS says of an entry that went well. */
static int
decode_success(struct sqs_decoded *d, struct json item, const struct sqs_decode_sent *sent, struct sqs_result *r,
               struct err *e)
{
    struct slice message_id;
    int rc = text_of_member(d, item, "MessageId", &message_id, e);
    if (rc != 0)
        return rc;
    r->ok = true;
    answer_copy(r->message_id, sizeof r->message_id, message_id);
    return sent ? check_sent(d, item, sent, r, e) : 0;
}

static int
decode_failure(struct sqs_decoded *d, struct json item, struct sqs_result *r, struct err *e)
{
    struct slice code, message;
    struct json fault;
    int rc = text_of_member(d, item, "Code", &code, e);
    if (rc == 0)
        rc = text_of_member(d, item, "Message", &message, e);
    if (rc == 0)
        fail(r, code.n > 0 ? code : SLICE("unknown"), message,
             json_get(item, "SenderFault", &fault) && fault.type == JSON_BOOL && json_bool(fault));
    return rc;
}

static int
parse_object(struct slice answer, struct json *ret_object, struct err *e)
{
    struct json object;
    if (json_parse(answer, &object, NULL) != 0 || object.type != JSON_OBJECT)
        return err_set(e, ERR_PROTOCOL, "the answer is no JSON object");
    *ret_object = object;
    return 0;
}

/* A member that is a list; null when there is none. */
static int
list_of_member(struct json object, const char *name, struct json *ret_list, struct err *e)
{
    struct json list = {.type = JSON_NULL};
    if (json_get(object, name, &list) && list.type != JSON_ARRAY && list.type != JSON_NULL)
        return err_set(e, ERR_PROTOCOL, "%s is no array", name);
    *ret_list = list;
    return 0;
}

/* Of an entry that nothing was said about yet, all is zero. */
static bool
is_mentioned(const struct sqs_result *r)
{
    return r->ok || r->code[0];
}

int
sqs_decode_batch(struct sqs_decoded *d, struct slice answer, size_t n, const struct sqs_decode_sent *sent,
                 struct sqs_batch_result *ret, struct err *e)
{
    struct json object, successful, failed;
    struct sqs_result *r;
    int rc = parse_object(answer, &object, e);
    if (rc == 0)
        rc = list_of_member(object, "Successful", &successful, e);
    if (rc == 0)
        rc = list_of_member(object, "Failed", &failed, e);
    if (rc != 0)
        return rc;
    struct sqs_result *results = arena_zalloc(&d->arena, n * sizeof *results);
    if (!results)
        return err_no_memory(e);
    for (struct json_iter it = json_iter(successful); rc == 0 && json_next(&it);)
        if ((r = entry_of(it.value, results, n)) && !is_mentioned(r))
            rc = decode_success(d, it.value, sent ? &sent[r - results] : NULL, r, e);
    for (struct json_iter it = json_iter(failed); rc == 0 && json_next(&it);)
        if ((r = entry_of(it.value, results, n)) && (r->ok || !is_mentioned(r)))
            rc = decode_failure(d, it.value, r, e);
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
    struct json object;
    struct sqs_result *result = arena_zalloc(&d->arena, sizeof *result);
    if (!result)
        return err_no_memory(e);
    int rc = parse_object(answer, &object, e);
    if (rc == 0)
        rc = decode_success(d, object, sent, result, e);
    if (rc == 0 && !result->message_id[0])
        rc = err_set(e, ERR_PROTOCOL, "there is no MessageId");
    if (rc == 0)
        *ret = (struct sqs_batch_result){.results = result, .n = 1};
    return rc;
}
