/* shared_json: JSON files of ../shared (shared.h) as cJSON trees. */
#ifndef FANOUT_TESTS_LIB_SHARED_JSON_H
#define FANOUT_TESTS_LIB_SHARED_JSON_H

#include <cjson/cJSON.h>

/* NULL: it is missing, or no JSON. The caller deletes it. */
cJSON *shared_json(const char *path);

/* A member's text; "" when it is none. */
const char *shared_json_text(const cJSON *object, const char *member);

#endif
