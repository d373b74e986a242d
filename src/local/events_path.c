#include "local/events_path.h"

#include <string.h>

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Reads ".name" at *at, behind its dot. */
static int
read_name(struct slice text, size_t *at, struct arena *arena, struct events_step *ret_step, struct err *e)
{
    size_t from = *at;
    while (*at < text.n && text.p[*at] != '.' && text.p[*at] != '[') {
        char c = text.p[(*at)++];
        if ((unsigned char)c < ' ' || strchr("]*?()'\",", c))
            return err_set(e, ERR_INVALID,
                           "'%c' at character %zu is not supported: a path is $ and steps like .name and [0]", c, *at);
    }
    if (*at == from)
        return err_set(e, ERR_INVALID, "a name is missing at character %zu", from + 1);
    ret_step->name = arena_strndup(arena, text.p + from, *at - from);
    return ret_step->name ? 0 : err_no_memory(e);
}

/* Reads "[0]" at *at, behind its bracket. */
static int
read_index(struct slice text, size_t *at, struct events_step *ret_step, struct err *e)
{
    size_t from = *at;
    for (; *at < text.n && is_digit(text.p[*at]) && *at - from < 9; (*at)++)
        ret_step->index = ret_step->index * 10 + (size_t)(text.p[*at] - '0');
    if (*at == from || *at == text.n || text.p[*at] != ']')
        return err_set(e, ERR_INVALID,
                       "at character %zu there is no index of a list like [0]; brackets hold nothing else here",
                       from + 1);
    (*at)++;
    return 0;
}

int
local_events_path_compile(struct slice text, struct arena *arena, const struct events_path **ret_path, struct err *e)
{
    struct events_path *path = arena_zalloc(arena, sizeof *path);
    size_t at = 1;
    int rc = 0;
    if (!path || !(path->steps = arena_zalloc(arena, (text.n + 1) * sizeof *path->steps)))
        return err_no_memory(e);
    if (text.n == 0 || text.p[0] != '$')
        return err_set(e, ERR_INVALID, "a path begins with $");
    while (rc == 0 && at < text.n) {
        struct events_step *step = &path->steps[path->n++];
        char c = text.p[at++];
        if (c == '.')
            rc = read_name(text, &at, arena, step, e);
        else if (c == '[')
            rc = read_index(text, &at, step, e);
        else
            rc = err_set(e, ERR_INVALID, "at character %zu there is neither a . nor a [", at);
    }
    if (rc == 0)
        *ret_path = path;
    return rc;
}

static bool
element_at(struct json list, size_t index, struct json *ret)
{
    if (list.type != JSON_ARRAY)
        return false;
    for (struct json_iter it = json_iter(list); json_next(&it);)
        if (it.index == index) {
            *ret = it.value;
            return true;
        }
    return false;
}

bool
local_events_path_find(const struct events_path *path, struct json event, struct json *ret_value)
{
    struct json value = event;
    for (size_t i = 0; i < path->n; i++) {
        const struct events_step *step = &path->steps[i];
        if (!(step->name ? json_get(value, step->name, &value) : element_at(value, step->index, &value)))
            return false;
    }
    *ret_value = value;
    return true;
}
