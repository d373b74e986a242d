#include "aws/events_message.h"

#include "aws/answer.h"
#include "base/json.h"

#define TIME_BYTES 14 /* what AWS counts for a time, whatever it is */

size_t
events_entry_bytes(const struct events_entry *entry)
{
    size_t n = (entry->time_ms != 0 ? TIME_BYTES : 0) + entry->source.n + entry->detail_type.n + entry->detail.n;
    for (size_t i = 0; i < entry->n_resources; i++)
        n += entry->resources[i].n;
    return n;
}

static void
add_string_member(struct buf *out, const char *key, struct slice value)
{
    buf_add_string(out, key);
    json_write_string(out, value);
}

/* Seconds since 1970, with milliseconds if there are any. */
static void
add_time(struct buf *out, int64_t time_ms)
{
    int64_t ms = time_ms % 1000, s = time_ms / 1000;
    if (ms < 0) { /* before 1970 */
        ms += 1000;
        s--;
    }
    buf_add_string(out, ",\"Time\":");
    if (ms == 0)
        buf_add_int(out, s);
    else if (s >= 0)
        buf_add_format(out, "%lld.%03d", (long long)s, (int)ms);
    else
        buf_add_format(out, "-%lld.%03d", (long long)(-s - 1), (int)(1000 - ms));
}

static void
add_entry(struct buf *out, const struct events_entry *entry)
{
    buf_reserve(out, events_entry_bytes(entry) + entry->detail.n / 4 + 200);
    add_string_member(out, "{\"Source\":", entry->source);
    add_string_member(out, ",\"DetailType\":", entry->detail_type);
    add_string_member(out, ",\"Detail\":", entry->detail);
    if (entry->bus.n > 0)
        add_string_member(out, ",\"EventBusName\":", entry->bus);
    if (entry->time_ms != 0)
        add_time(out, entry->time_ms);
    for (size_t i = 0; i < entry->n_resources; i++)
        add_string_member(out, i > 0 ? "," : ",\"Resources\":[", entry->resources[i]);
    if (entry->n_resources > 0)
        buf_add_char(out, ']');
    if (entry->trace_header.n > 0)
        add_string_member(out, ",\"TraceHeader\":", entry->trace_header);
    buf_add_char(out, '}');
}

void
events_message_encode(struct buf *out, const struct events_entry *entries, size_t n)
{
    buf_add_string(out, "{\"Entries\":[");
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            buf_add_char(out, ',');
        add_entry(out, &entries[i]);
    }
    buf_add_string(out, "]}");
}

static int
decode_entry(const cJSON *item, struct events_result *r, struct err *e)
{
    struct slice id, code, message;
    *r = (struct events_result){.event_id = ""};
    if (!cJSON_IsObject(item))
        return err_set(e, ERR_PROTOCOL, "an entry is no object");
    int rc = answer_string(item, "EventId", &id, e);
    if (rc == 0)
        rc = answer_string(item, "ErrorCode", &code, e);
    if (rc == 0)
        rc = answer_string(item, "ErrorMessage", &message, e);
    if (rc != 0)
        return rc;
    if (id.n > 0 && code.n == 0) {
        answer_copy(r->event_id, sizeof r->event_id, id);
        return 0;
    }
    r->retryable =
        code.n == 0 || slice_equals_string(code, "InternalFailure") || slice_equals_string(code, "ThrottlingException");
    answer_copy(r->code, sizeof r->code, code.n > 0 ? code : SLICE("missing"));
    answer_copy(r->message, sizeof r->message,
                code.n > 0 ? message : SLICE("the answer has neither an id nor an error for this entry"));
    return 0;
}

int
events_message_decode(struct slice answer, size_t n, struct events_result *results, size_t *ret_failed, struct err *e)
{
    const cJSON *list, *item;
    cJSON *tree = NULL;
    size_t i = 0, failed = 0;
    int rc = answer_parse(answer, &tree, e);
    if (rc == 0)
        rc = answer_array(tree, "Entries", &list, e);
    if (rc != 0)
        goto cleanup;
    size_t count = list ? (size_t)cJSON_GetArraySize(list) : 0;
    if (count != n) {
        rc = err_set(e, ERR_PROTOCOL, "there are %zu entries for the %zu sent", count, n);
        goto cleanup;
    }
    cJSON_ArrayForEach(item, list)
    {
        rc = decode_entry(item, &results[i], e);
        if (rc != 0)
            goto cleanup;
        failed += results[i].event_id[0] == '\0';
        i++;
    }
    *ret_failed = failed;

cleanup:
    cJSON_Delete(tree);
    return rc;
}
