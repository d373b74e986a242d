#include "config/options.h"

#include <string.h>

const struct conf_option *
conf_option_find(const char *path)
{
    for (const struct conf_option *o = conf_options; o->path; o++)
        if (strcmp(o->path, path) == 0)
            return o;
    return NULL;
}

bool
conf_option_is_group(const char *path)
{
    size_t n = strlen(path);
    for (const struct conf_option *o = conf_options; o->path; o++)
        if (strncmp(o->path, path, n) == 0 && o->path[n] == '.')
            return true;
    return false;
}

bool
conf_option_is_consumers(const struct conf_option *o)
{
    return strncmp(o->path, "consumers.", strlen("consumers.")) == 0;
}

static void
add_choices(const char *choices, struct buf *out)
{
    for (const char *p = choices; *p;) {
        size_t n = strcspn(p, "|");
        bool last = !p[n];
        if (p != choices)
            buf_add_string(out, last ? " or " : ", ");
        buf_add(out, p, n);
        p += n + !last;
    }
}

int
conf_option_choice(const struct conf_option *o, const char *text)
{
    int choice = 0;
    for (const char *p = o->choices; *p; choice++) {
        size_t n = strcspn(p, "|");
        if (strlen(text) == n && memcmp(text, p, n) == 0)
            return choice;
        p += n + (p[n] == '|');
    }
    return -1;
}

void
conf_option_allowed(const struct conf_option *o, struct buf *out)
{
    switch (o->type) {
    case CONF_INT:
        buf_add_format(out, "%lld to %lld", (long long)o->min, (long long)o->max);
        break;
    case CONF_BOOL:
        buf_add_string(out, "true or false");
        break;
    case CONF_ENUM:
        add_choices(o->choices, out);
        break;
    case CONF_STRING:
        buf_add_string(out, o->allowed);
        break;
    case CONF_PAIRS:
        buf_add_string(out, "a group { NAME = VALUE; ... } of strings, numbers and booleans");
        break;
    }
}

#define NEAREST_MAX_BYTES 48

static size_t
smallest(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;
    return m < c ? m : c;
}

/* Levenshtein's distance, '.' and '_' and '-' being alike. */
static size_t
distance(const char *a, const char *b)
{
    size_t row[NEAREST_MAX_BYTES + 1], na = strlen(a), nb = strlen(b);
    if (na > NEAREST_MAX_BYTES || nb > NEAREST_MAX_BYTES)
        return SIZE_MAX;
    for (size_t j = 0; j <= nb; j++)
        row[j] = j;
    for (size_t i = 1; i <= na; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            bool alike = a[i - 1] == b[j - 1] || (strchr("._-", a[i - 1]) && strchr("._-", b[j - 1]));
            size_t above = row[j];
            row[j] = smallest(above + 1, row[j - 1] + 1, diagonal + !alike);
            diagonal = above;
        }
    }
    return row[nb];
}

const struct conf_option *
conf_option_nearest(const char *group, const char *key)
{
    const struct conf_option *nearest = NULL;
    size_t best = strlen(key) / 3 + 1, n = strlen(group);
    for (int inside = 1; inside >= 0; inside--) {
        for (const struct conf_option *o = conf_options; o->path; o++) {
            if ((strncmp(o->path, group, n) == 0) != inside)
                continue;
            const char *in_group = inside ? o->path + n : o->path;
            const char *dot = strrchr(o->path, '.');
            size_t d = smallest(distance(key, in_group), distance(key, dot ? dot + 1 : o->path), SIZE_MAX);
            if (d < best) {
                best = d;
                nearest = o;
            }
        }
        if (nearest)
            return nearest;
    }
    return NULL;
}
