#include "aws/answer.h"

#include "aws/error.h"

static bool
is_blank(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n'))
        p++;
    return p == end;
}

int
answer_parse(struct slice body, cJSON **ret_object, struct err *e)
{
    const char *end = NULL;
    cJSON *tree = body.n > 0 ? cJSON_ParseWithLengthOpts(body.p, body.n, &end, false) : NULL;
    if (!tree || !cJSON_IsObject(tree) || !is_blank(end, body.p + body.n)) {
        cJSON_Delete(tree);
        return err_set(e, ERR_PROTOCOL, "the answer is no JSON object");
    }
    *ret_object = tree;
    return 0;
}

static const cJSON *
member(const cJSON *object, const char *name)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsNull(value) ? NULL : value;
}

int
answer_string(const cJSON *object, const char *name, struct slice *ret_text, struct err *e)
{
    const cJSON *value = member(object, name);
    if (value && !cJSON_IsString(value))
        return err_set(e, ERR_PROTOCOL, "%s is no string", name);
    *ret_text = value ? slice_of_string(value->valuestring) : slice_of("", 0);
    return 0;
}

int
answer_array(const cJSON *object, const char *name, const cJSON **ret_array, struct err *e)
{
    const cJSON *value = member(object, name);
    if (value && !cJSON_IsArray(value))
        return err_set(e, ERR_PROTOCOL, "%s is no array", name);
    *ret_array = value;
    return 0;
}

int
answer_object(const cJSON *object, const char *name, const cJSON **ret_object, struct err *e)
{
    const cJSON *value = member(object, name);
    if (value && !cJSON_IsObject(value))
        return err_set(e, ERR_PROTOCOL, "%s is no object", name);
    *ret_object = value;
    return 0;
}

bool
answer_parse_number(struct slice text, int64_t *ret)
{
    int64_t n = 0;
    if (text.n == 0 || text.n > 18)
        return false;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return false;
        n = n * 10 + (text.p[i] - '0');
    }
    *ret = n;
    return true;
}

int
answer_number(const cJSON *object, const char *name, int64_t *ret, struct err *e)
{
    struct slice text = {0};
    int rc = answer_string(object, name, &text, e);
    if (rc == 0 && text.n > 0 && !answer_parse_number(text, ret))
        rc = err_set(e, ERR_PROTOCOL, "%s is no number", name);
    return rc;
}

void
answer_copy(char *out, size_t capacity, struct slice text)
{
    size_t n = text.n < capacity ? text.n : capacity - 1;
    for (size_t i = 0; i < n; i++)
        out[i] = text.p[i] >= ' ' && text.p[i] <= '~' ? text.p[i] : '?';
    out[n] = '\0';
}

void
answer_garbled(const char *operation, const struct aws_response *response, const struct err *why,
               struct aws_error *ret_error)
{
    if (why->code == ERR_NO_MEMORY)
        aws_error_local(operation, "internal", why, ret_error);
    else if (response->http)
        aws_error_garbled(operation, response->http, why->text, ret_error);
    else
        aws_error_local(operation, "garbled", why, ret_error);
}
