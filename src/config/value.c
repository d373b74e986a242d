#include "config/read.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/expand.h"
#include "config/options.h"

#define SHOWN_MAX_BYTES 60 /* of a wrong value, in the message about it */

/* The value as a person wrote it, for messages. */
static void
show_value(const config_setting_t *s, struct buf *out)
{
    switch (config_setting_type(s)) {
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_INT64:
        buf_add_int(out, config_setting_get_int64(s));
        break;
    case CONFIG_TYPE_FLOAT: {
        char text[40];
        snprintf(text, sizeof text, "%g", config_setting_get_float(s));
        buf_add_format(out, "%s%s", text, strpbrk(text, ".en") ? "" : ".0");
        break;
    }
    case CONFIG_TYPE_BOOL:
        buf_add_string(out, config_setting_get_bool(s) ? "true" : "false");
        break;
    case CONFIG_TYPE_STRING:
        buf_add_string(out, "a string");
        break;
    case CONFIG_TYPE_GROUP:
        buf_add_string(out, "a group");
        break;
    default:
        buf_add_string(out, "a list");
        break;
    }
}

static void
show_text(const char *text, struct buf *out)
{
    buf_add_char(out, '"');
    for (size_t i = 0; i < SHOWN_MAX_BYTES && text[i]; i++)
        buf_add_char(out, (unsigned char)text[i] < ' ' || text[i] == 0x7f ? '?' : text[i]);
    buf_add_string(out, strlen(text) > SHOWN_MAX_BYTES ? "...\"" : "\"");
}

static bool
is_integer(const config_setting_t *s)
{
    return config_setting_type(s) == CONFIG_TYPE_INT || config_setting_type(s) == CONFIG_TYPE_INT64;
}

/* A string with its ${NAME} replaced; NULL after noting why it cannot be had. */
static const char *
expanded(struct conf_reader *r, const config_setting_t *s, const char *path)
{
    struct err e;
    struct buf text = BUF_INIT;
    const char *result = NULL;
    int rc = conf_expand(slice_of_string(config_setting_get_string(s)), &text, &e);
    if (rc == ERR_INVALID)
        conf_problem(r, s, path, "%s", e.text);
    else if (rc || !(result = arena_strdup_slice(&r->conf->arena, buf_slice(&text))))
        r->no_memory = true;
    buf_clean_up(&text);
    return result;
}

static void
refuse(struct conf_reader *r, const struct conf_option *o, const config_setting_t *s, const char *path,
       const char *text, const char *what)
{
    struct buf shown = BUF_INIT, allowed = BUF_INIT;
    if (text)
        show_text(text, &shown);
    else
        show_value(s, &shown);
    conf_option_allowed(o, &allowed);
    if (buf_failed(&shown) || buf_failed(&allowed))
        r->no_memory = true;
    else
        conf_problem(r, s, path, "%s %s%s", shown.data, what, allowed.data);
    buf_clean_up(&shown);
    buf_clean_up(&allowed);
}

static void
set_int(struct conf_reader *r, const struct conf_option *o, const config_setting_t *s, const char *path,
        const char *text, int *field)
{
    long long value = 0;
    if (text) {
        char *end;
        errno = 0;
        value = strtoll(text, &end, 10);
        if (end == text || *end || strchr(" \t\r\n\v\f", text[0])) {
            refuse(r, o, s, path, text, "is not a whole number, ");
            return;
        }
    } else if (is_integer(s)) {
        value = config_setting_get_int64(s);
    } else {
        refuse(r, o, s, path, NULL, "is not a whole number, ");
        return;
    }
    if (value < o->min || value > o->max)
        refuse(r, o, s, path, text, "is out of range, ");
    else
        *field = (int)value;
}

static void
set_bool(struct conf_reader *r, const struct conf_option *o, const config_setting_t *s, const char *path,
         const char *text, bool *field)
{
    if (!text && config_setting_type(s) == CONFIG_TYPE_BOOL)
        *field = config_setting_get_bool(s);
    else if (text && (strcmp(text, "true") == 0 || strcmp(text, "false") == 0))
        *field = text[0] == 't';
    else
        refuse(r, o, s, path, text, "is not ");
}

static void
set_enum(struct conf_reader *r, const struct conf_option *o, const config_setting_t *s, const char *path,
         const char *text, int *field)
{
    int choice = text ? conf_option_choice(o, text) : -1;
    if (choice < 0)
        refuse(r, o, s, path, text, "is not ");
    else
        *field = choice;
}

static void
set_string(struct conf_reader *r, const struct conf_option *o, const config_setting_t *s, const char *path,
           const char *text, const char **field)
{
    *field = ""; /* given, if wrongly: not missing */
    if (!text && config_setting_type(s) != CONFIG_TYPE_STRING)
        refuse(r, o, s, path, NULL, "is not a string (write it in \"quotes\"): ");
    else if (text && strlen(text) > (size_t)o->max)
        conf_problem(r, s, path, "has %zu bytes; %lld at most", strlen(text), (long long)o->max);
    else if (text && o->fits && !o->fits(text))
        refuse(r, o, s, path, text, "is not allowed, write ");
    else if (text)
        *field = text;
}

/* A value of a plugin's own option as text; the plugin's table says later what it should be. */
static const char *
value_text(struct conf_reader *r, const config_setting_t *s, const char *path)
{
    char text[40];
    switch (config_setting_type(s)) {
    case CONFIG_TYPE_STRING:
        return expanded(r, s, path);
    case CONFIG_TYPE_BOOL:
        return config_setting_get_bool(s) ? "true" : "false";
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_INT64:
        snprintf(text, sizeof text, "%lld", config_setting_get_int64(s));
        break;
    case CONFIG_TYPE_FLOAT:
        for (int digits = 15; digits <= 17; digits++) {
            snprintf(text, sizeof text, "%.*g", digits, config_setting_get_float(s));
            if (strtod(text, NULL) == config_setting_get_float(s))
                break;
        }
        break;
    default:
        conf_problem(r, s, path, "%s is not a string, number or boolean",
                     config_setting_is_group(s) ? "a group" : "a list");
        return NULL;
    }
    const char *copy = arena_strdup(&r->conf->arena, text);
    r->no_memory |= !copy;
    return copy;
}

static void
set_pairs(struct conf_reader *r, const struct conf_option *o, const config_setting_t *s, const char *path,
          struct conf_consumer *c)
{
    if (!config_setting_is_group(s)) {
        refuse(r, o, s, path, NULL, "is not ");
        return;
    }
    size_t n = (size_t)config_setting_length(s);
    c->options = arena_zalloc(&r->conf->arena, (n + 1) * sizeof *c->options);
    r->no_memory |= !c->options;
    for (size_t i = 0; c->options && i < n; i++) {
        const config_setting_t *member = config_setting_get_elem(s, (unsigned)i);
        char *member_path = conf_path_in(r, path, config_setting_name(member));
        const char *value = member_path ? value_text(r, member, member_path) : NULL;
        char *name = arena_strdup(&r->conf->arena, config_setting_name(member));
        r->no_memory |= !name;
        if (value && strlen(value) > (size_t)o->max)
            conf_problem(r, member, member_path, "has %zu bytes; %lld at most", strlen(value), (long long)o->max);
        else if (value && name)
            c->options[c->n_options++] = (struct conf_pair){.name = name, .value = value};
    }
}

void
conf_set_option(struct conf_reader *r, const struct conf_option *o, const config_setting_t *s, const char *path,
                void *base)
{
    void *field = (char *)base + o->offset;
    const char *text = NULL;
    if (config_setting_type(s) == CONFIG_TYPE_STRING && o->type != CONF_PAIRS) {
        text = expanded(r, s, path);
        if (!text && o->type == CONF_STRING)
            *(const char **)field = "";
        if (!text)
            return;
    }
    switch (o->type) {
    case CONF_INT:
        set_int(r, o, s, path, text, field);
        break;
    case CONF_BOOL:
        set_bool(r, o, s, path, text, field);
        break;
    case CONF_ENUM:
        set_enum(r, o, s, path, text, field);
        break;
    case CONF_STRING:
        set_string(r, o, s, path, text, field);
        break;
    case CONF_PAIRS:
        set_pairs(r, o, s, path, base);
        break;
    }
}

void
conf_set_default(const struct conf_option *o, void *base)
{
    void *field = (char *)base + o->offset;
    if (!o->def)
        return;
    switch (o->type) {
    case CONF_INT:
        *(int *)field = atoi(o->def);
        break;
    case CONF_BOOL:
        *(bool *)field = strcmp(o->def, "true") == 0;
        break;
    case CONF_ENUM:
        *(int *)field = conf_option_choice(o, o->def);
        break;
    case CONF_STRING:
        *(const char **)field = o->def;
        break;
    case CONF_PAIRS:
        break;
    }
}
