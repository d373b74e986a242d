#include "supervisor/reload.h"

#include <stdbool.h>
#include <string.h>

#include "base/log.h"

int
reload_read(const char *file, struct conf **ret_conf, struct err *e)
{
    struct conf_problems problems = {.text = BUF_INIT};
    int rc = conf_read_file(file, ret_conf, &problems, e);
    struct slice left = buf_slice(&problems.text);
    while (rc != 0 && left.n > 0) {
        const char *newline = memchr(left.p, '\n', left.n);
        size_t n = newline ? (size_t)(newline - left.p) : left.n;
        log_write(LOG_ERROR, "configuration problem", LOG_SLICE("problem", slice_of(left.p, n)));
        n += newline != NULL;
        left = slice_of(left.p + n, left.n - n);
    }
    buf_clean_up(&problems.text);
    return rc;
}

static bool
differs(const struct conf_option *o, const struct conf *a, const struct conf *b)
{
    const char *at_a = (const char *)a + o->offset, *at_b = (const char *)b + o->offset;
    switch (o->type) {
    case CONF_STRING: {
        const char *text_a, *text_b;
        memcpy(&text_a, at_a, sizeof text_a);
        memcpy(&text_b, at_b, sizeof text_b);
        return strcmp(text_a, text_b) != 0;
    }
    case CONF_BOOL:
        return memcmp(at_a, at_b, sizeof(bool)) != 0;
    case CONF_INT:
    case CONF_ENUM:
        return memcmp(at_a, at_b, sizeof(int)) != 0;
    case CONF_PAIRS: /* a consumer's */
        break;
    }
    return false;
}

void
reload_warn_of_fixed(const struct conf *old, const struct conf *fresh)
{
    for (const struct conf_option *o = conf_options; o->path; o++)
        if (!o->reloadable && strncmp(o->path, "consumers.", strlen("consumers.")) != 0 && differs(o, old, fresh))
            log_write(LOG_WARN, "an option has changed that takes a restart", LOG_STR("option", o->path));
}
