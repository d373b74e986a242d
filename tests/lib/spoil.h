/* spoil: a request as a cJSON tree, with another value in one place for as long as a check takes. */
#ifndef FANOUT_TESTS_LIB_SPOIL_H
#define FANOUT_TESTS_LIB_SPOIL_H

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

/* A place in a request: parent is an object (name) or a list (index). */
struct spoil_place {
    cJSON *parent;
    const char *name;
    int index;
    char path[200]; /* for messages */
};

/* What is there; NULL: nothing. */
static inline cJSON *
spoil_value(const struct spoil_place *p)
{
    return p->name ? cJSON_GetObjectItemCaseSensitive(p->parent, p->name) : cJSON_GetArrayItem(p->parent, p->index);
}

/* Puts a value there (NULL: takes it out); returns what was there. Both are the caller's to free or to put back. */
static inline cJSON *
spoil_swap(const struct spoil_place *p, cJSON *value)
{
    cJSON *old = cJSON_DetachItemViaPointer(p->parent, spoil_value(p));
    if (value && p->name)
        cJSON_AddItemToObject(p->parent, p->name, value);
    else if (value)
        cJSON_InsertItemInArray(p->parent, p->index, value);
    return old;
}

/* A string of n letters. */
static inline cJSON *
spoil_letters(size_t n)
{
    char *text = calloc(n + 1, 1);
    cJSON *value = text ? cJSON_CreateString(memset(text, 'a', n)) : NULL;
    free(text);
    return value;
}

/* Does `check` with `value` there; then everything is as it was. */
#define SPOIL_WITH(place, value, check)                                                                                \
    do {                                                                                                               \
        cJSON *old_ = spoil_swap(place, value);                                                                        \
        check;                                                                                                         \
        cJSON_Delete(spoil_swap(place, old_));                                                                         \
    } while (0)

#endif
