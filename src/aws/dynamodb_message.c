#include <string.h>

#include "aws/answer.h"
#include "aws/dynamodb.h"
#include "base/json.h"

static void
add_string(struct buf *out, const char *text)
{
    json_write_string(out, slice_of_string(text));
}

/* {"id":{"S":"x"},"n":{"N":"1"}} */
static void
add_values(struct buf *out, const char *member, const struct dynamodb_value *values, size_t n)
{
    buf_add_format(out, ",\"%s\":{", member);
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            buf_add_char(out, ',');
        add_string(out, values[i].name);
        if (values[i].text.p) {
            buf_add_string(out, ":{\"S\":");
            json_write_string(out, values[i].text);
        } else {
            buf_add_string(out, ":{\"N\":\"");
            buf_add_int(out, values[i].number);
            buf_add_char(out, '"');
        }
        buf_add_char(out, '}');
    }
    buf_add_char(out, '}');
}

static void
add_text(struct buf *out, const char *member, const char *text)
{
    if (!text)
        return;
    buf_add_format(out, ",\"%s\":", member);
    add_string(out, text);
}

void
dynamodb_message_encode(struct buf *out, const char *operation, const struct dynamodb_write *w)
{
    buf_add_string(out, "{\"TableName\":");
    add_string(out, w->table);
    add_values(out, strcmp(operation, "PutItem") == 0 ? "Item" : "Key", w->item, w->n_item);
    add_text(out, "UpdateExpression", w->update);
    add_text(out, "ConditionExpression", w->condition);
    if (w->condition)
        buf_add_string(out, ",\"ReturnValuesOnConditionCheckFailure\":\"ALL_OLD\"");
    if (w->n_names > 0) {
        for (size_t i = 0; i < w->n_names; i++) {
            buf_add_string(out, i > 0 ? "," : ",\"ExpressionAttributeNames\":{");
            add_string(out, w->names[i].placeholder);
            buf_add_char(out, ':');
            add_string(out, w->names[i].name);
        }
        buf_add_char(out, '}');
    }
    if (w->n_values > 0)
        add_values(out, "ExpressionAttributeValues", w->values, w->n_values);
    buf_add_char(out, '}');
}

static const cJSON *
typed(const struct dynamodb_result *r, const char *name, const char *type)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(r->old, name);
    const cJSON *text = cJSON_GetObjectItemCaseSensitive(value, type);
    return cJSON_IsString(text) ? text : NULL;
}

bool
dynamodb_get_text(const struct dynamodb_result *r, const char *name, struct slice *ret_text)
{
    const cJSON *text = typed(r, name, "S");
    if (text)
        *ret_text = slice_of_string(text->valuestring);
    return text != NULL;
}

bool
dynamodb_get_number(const struct dynamodb_result *r, const char *name, int64_t *ret_number)
{
    const cJSON *text = typed(r, name, "N");
    return text && answer_parse_number(slice_of_string(text->valuestring), ret_number);
}
