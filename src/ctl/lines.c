#include "ctl/lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int
lines_open(struct lines *l, const char *name, const char *default_bus, struct err *e)
{
    *l = (struct lines){.name = name, .default_bus = default_bus};
    l->file = strcmp(name, "-") == 0 ? stdin : fopen(name, "re");
    return l->file ? 0 : err_set_errno(e, errno, "cannot open %s", name);
}

void
lines_close(struct lines *l)
{
    if (l->file && l->file != stdin)
        fclose(l->file);
    free(l->text);
    *l = (struct lines){0};
}

static bool
is_blank(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!strchr(" \t\r\n", p[i]) || p[i] == '\0')
            return false;
    return true;
}

struct entry *
lines_next(struct lines *l)
{
    ssize_t n;
    while ((n = getline(&l->text, &l->capacity, l->file)) >= 0) {
        l->number++;
        if (is_blank(l->text, (size_t)n))
            continue;
        struct entry *entry;
        struct err e = {0};
        if (entry_parse(slice_of(l->text, (size_t)n), l->number, l->default_bus, &entry, &e) == 0)
            return entry;
        l->bad++;
        if (!l->quiet)
            fprintf(stderr, "%s:%zu: %s\n", l->name, l->number, e.text);
    }
    return NULL;
}
