#include "lib/shared_json.h"

#include "lib/shared.h"

cJSON *
shared_json(const char *path)
{
    struct buf text = BUF_INIT;
    cJSON *json = shared_read(path, &text) ? cJSON_ParseWithLength(text.data, text.len) : NULL;
    buf_clean_up(&text);
    return json;
}

const char *
shared_json_text(const cJSON *object, const char *member)
{
    const cJSON *m = cJSON_GetObjectItemCaseSensitive(object, member);
    return cJSON_IsString(m) ? m->valuestring : "";
}
