#include "config/read.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "config/options.h"
#include "config/syntax.h"

#define MAX_CONSUMERS 100
#define MAX_PROBLEMS  100

static void
add_problem(struct conf_reader *r, const char *line)
{
    if (++r->problems->count > MAX_PROBLEMS)
        return;
    if (r->problems->count == 1)
        err_set(r->e, ERR_INVALID, "%s", line);
    buf_add_format(&r->problems->text, "%s\n", line);
}

void
conf_problem(struct conf_reader *r, const config_setting_t *where, const char *path, const char *format, ...)
{
    struct buf line = BUF_INIT;
    struct conf_place place = conf_source_place(&r->source, where ? config_setting_source_line(where) : 1);
    va_list ap;
    buf_add_string(&line, place.file);
    if (where)
        buf_add_format(&line, ":%u", place.line);
    buf_add_string(&line, ": ");
    if (path)
        buf_add_format(&line, "%s: ", path);
    va_start(ap, format);
    buf_add_format_va(&line, format, ap);
    va_end(ap);
    if (buf_failed(&line))
        r->no_memory = true;
    else
        add_problem(r, line.data);
    buf_clean_up(&line);
}

char *
conf_path_in(struct conf_reader *r, const char *parent, const char *name)
{
    char *path = arena_format(&r->source.names, "%s%s%s", parent, *parent ? "." : "", name);
    r->no_memory |= !path;
    return path;
}

/* group is what the paths of the setting's siblings begin with in the table: "", "log.", "consumers.batch.". */
static void
report_unknown(struct conf_reader *r, const config_setting_t *s, const char *path, const char *group)
{
    bool is_shown = r->problems->count < MAX_PROBLEMS;
    const struct conf_option *near = is_shown ? conf_option_nearest(group, config_setting_name(s)) : NULL;
    size_t n = strlen(group);
    if (near) {
        conf_problem(r, s, path, "unknown option; did you mean %s?",
                     near->path + (strncmp(near->path, group, n) == 0 ? n : 0));
        return;
    }
    struct buf known = BUF_INIT;
    struct slice last = {0};
    for (const struct conf_option *o = conf_options; o->path; o++) {
        if (strncmp(o->path, group, n) != 0)
            continue;
        struct slice member = slice_of(o->path + n, strcspn(o->path + n, "."));
        if (slice_equals(member, last))
            continue;
        buf_add_string(&known, known.len ? ", " : "");
        buf_add_slice(&known, member);
        last = member;
    }
    if (buf_failed(&known))
        r->no_memory = true;
    else
        conf_problem(r, s, path, "unknown option; known here: %s", known.data);
    buf_clean_up(&known);
}

static void read_consumers(struct conf_reader *r, config_setting_t *list);

static void
read_group(struct conf_reader *r, config_setting_t *s, const char *group, const char *shown, void *base)
{
    for (int i = 0; i < config_setting_length(s); i++) {
        config_setting_t *member = config_setting_get_elem(s, (unsigned)i);
        char *path = conf_path_in(r, shown, config_setting_name(member));
        char *inner = arena_format(&r->source.names, "%s%s.", group, config_setting_name(member));
        if (!path || !inner) {
            r->no_memory = true;
            return;
        }
        size_t n = strlen(inner) - 1;
        inner[n] = 0;
        const struct conf_option *o = conf_option_find(inner);
        bool is_group = conf_option_is_group(inner);
        inner[n] = '.';
        if (o)
            conf_set_option(r, o, member, path, base);
        else if (strcmp(inner, "consumers.") == 0)
            read_consumers(r, member);
        else if (is_group && config_setting_is_group(member))
            read_group(r, member, inner, path, base);
        else if (is_group)
            conf_problem(r, member, path, "must be a group, %s = { ... };", config_setting_name(member));
        else
            report_unknown(r, member, path, group);
    }
}

static void
set_defaults(void *base, bool consumers)
{
    for (const struct conf_option *o = conf_options; o->path; o++)
        if (conf_option_is_consumers(o) == consumers)
            conf_set_default(o, base);
}

static void
read_consumer(struct conf_reader *r, config_setting_t *s, const char *path, struct conf_consumer *c)
{
    size_t problems = r->problems->count;
    set_defaults(c, true);
    if (!config_setting_is_group(s)) {
        conf_problem(r, s, path, "must be a group, { name = ...; queue = ...; plugin = ...; }");
        return;
    }
    read_group(r, s, "consumers.", path, c);
    for (const struct conf_option *o = conf_options; o->path; o++)
        if (conf_option_is_consumers(o) && o->type == CONF_STRING && !*(const char **)((char *)c + o->offset))
            conf_problem(r, s, path, "%s is missing: %s", strrchr(o->path, '.') + 1, o->allowed);
    if (r->problems->count == problems)
        conf_check_consumer(r, c, s, path);
}

static void
read_consumers(struct conf_reader *r, config_setting_t *s)
{
    size_t n = (size_t)config_setting_length(s);
    if (!config_setting_is_list(s)) {
        conf_problem(r, s, "consumers", "must be a list of groups, ( { ... }, { ... } )");
        return;
    }
    if (n > MAX_CONSUMERS) {
        conf_problem(r, s, "consumers", "%zu are too many, 1 to %d", n, MAX_CONSUMERS);
        return;
    }
    r->conf->consumers = arena_zalloc(&r->conf->arena, (n + 1) * sizeof *r->conf->consumers);
    if (!r->conf->consumers) {
        r->no_memory = true;
        return;
    }
    for (; r->conf->n_consumers < n; r->conf->n_consumers++) {
        char *path = arena_format(&r->source.names, "consumers[%zu]", r->conf->n_consumers);
        r->no_memory |= !path;
        if (path)
            read_consumer(r, config_setting_get_elem(s, (unsigned)r->conf->n_consumers), path,
                          &r->conf->consumers[r->conf->n_consumers]);
    }
    conf_check_names(r, s);
}

static void
read_root(struct conf_reader *r, config_setting_t *root)
{
    config_setting_t *consumers = config_setting_get_member(root, "consumers");
    read_group(r, root, "", "", r->conf);
    if (!consumers)
        conf_problem(r, NULL, "consumers", "is missing: ( { name = ...; queue = ...; plugin = ...; } )");
    else if (config_setting_is_list(consumers) && config_setting_length(consumers) == 0)
        conf_problem(r, consumers, "consumers", "is empty: at least one is needed");
}

static void
read_settings(struct conf_reader *r)
{
    config_t settings;
    config_init(&settings);
    if (config_read_string(&settings, r->source.text.data ? r->source.text.data : "")) {
        read_root(r, config_root_setting(&settings));
    } else {
        struct buf line = BUF_INIT;
        conf_explain_syntax(&r->source, (unsigned)config_error_line(&settings), config_error_text(&settings), &line);
        if (buf_failed(&line))
            r->no_memory = true;
        else
            add_problem(r, line.data);
        buf_clean_up(&line);
    }
    config_destroy(&settings);
}

/* Takes the reader's result apart: the configuration, or what is wrong with it. */
static int
finish(struct conf_reader *r, struct conf **ret_conf)
{
    struct conf_problems *problems = r->problems;
    if (problems->count > MAX_PROBLEMS)
        buf_add_format(&problems->text, "and %zu more problems\n", problems->count - MAX_PROBLEMS);
    if (r->no_memory || buf_failed(&problems->text))
        return err_no_memory(r->e);
    if (problems->count)
        return ERR_INVALID;
    *ret_conf = r->conf;
    r->conf = NULL;
    return 0;
}

/* Reads the file, or text when that is given. */
static int
read_conf(const char *name, const struct slice *text, struct conf **ret_conf, struct conf_problems *problems,
          struct err *e)
{
    struct err first = {0};
    struct conf_problems own = {.text = BUF_INIT};
    struct conf_reader r = {.problems = problems ? problems : &own, .e = e ? e : &first};
    *r.problems = own;
    conf_source_init(&r.source);
    int rc = text ? conf_source_read_text(&r.source, name, *text, r.e) : conf_source_read_file(&r.source, name, r.e);
    if (rc) {
        buf_add_format(&r.problems->text, "%s\n", r.e->text);
        r.problems->count = 1;
    } else if (!(r.conf = calloc(1, sizeof *r.conf))) {
        rc = err_no_memory(r.e);
    } else {
        arena_init(&r.conf->arena, 0);
        set_defaults(r.conf, false);
        read_settings(&r);
        rc = finish(&r, ret_conf);
    }
    conf_destroy(r.conf);
    conf_source_clean_up(&r.source);
    buf_clean_up(&own.text);
    return rc;
}

int
conf_read_file(const char *path, struct conf **ret_conf, struct conf_problems *problems, struct err *e)
{
    return read_conf(path, NULL, ret_conf, problems, e);
}

int
conf_read_text(const char *name, struct slice text, struct conf **ret_conf, struct conf_problems *problems,
               struct err *e)
{
    return read_conf(name, &text, ret_conf, problems, e);
}

void
conf_destroy(struct conf *c)
{
    if (!c)
        return;
    arena_clean_up(&c->arena);
    free(c);
}
