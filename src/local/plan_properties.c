/* The properties of a template's resources as the planner reads them, and what it says of them. */
#include <stdarg.h>
#include <stdio.h>

#include "local/plan_impl.h"

/* ---- faults and notes -------------------------------------------------------------------------------------------- */

int
plan_fault(const struct plan_subject *s, const char *key, struct err *e, const char *format, ...)
{
    char text[sizeof e->text];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    return err_set(e, ERR_INVALID, "%s.%s: %s", s->path, key, text);
}

static int
note(struct planner *p, bool warning, const char *path, const char *text, struct err *e)
{
    if (!path || !text)
        return err_no_memory(e);
    if (p->n_notes < PLAN_NOTES_MAX)
        p->notes[p->n_notes++] = (struct local_plan_note){.warning = warning, .path = path, .text = text};
    return 0;
}

int
plan_note(const struct plan_subject *s, bool warning, const char *text, struct err *e)
{
    return note(s->planner, warning, arena_format(&s->planner->arena, "Resources.%s", s->resource->id), text, e);
}

int
plan_note_key(const struct plan_subject *s, struct slice key, const char *text, struct err *e)
{
    return note(s->planner, true, arena_format(&s->planner->arena, "%s.%.*s", s->path, SLICE_ARG(key)), text, e);
}

/* ---- properties -------------------------------------------------------------------------------------------------- */

bool
plan_get(struct json object, const char *key, struct json *ret_value)
{
    struct json value;
    if (!json_get(object, key, &value) || value.type == JSON_NULL)
        return false;
    *ret_value = value;
    return true;
}

static bool
is_listed(struct json key, const char *const *list)
{
    for (; list && *list; list++)
        if (json_equals_string(key, slice_of_string(*list)))
            return true;
    return false;
}

int
plan_note_unknown(const struct plan_subject *s, const char *const *known, const char *const *harmless, struct err *e)
{
    int rc = 0;
    for (struct json_iter it = json_iter(s->object); rc == 0 && json_next(&it);)
        if (it.value.type != JSON_NULL && !is_listed(it.key, known) && !is_listed(it.key, harmless))
            rc = plan_note_key(s, json_raw(it.key), "is not known here and does nothing", e);
    return rc;
}

int
plan_keep(struct planner *p, struct buf *text, struct slice *ret, struct err *e)
{
    char *copy = buf_failed(text) ? NULL : arena_strndup(&p->arena, text->data ? text->data : "", text->len);
    if (copy)
        *ret = slice_of(copy, text->len);
    buf_clean_up(text);
    return copy ? 0 : err_no_memory(e);
}

int
plan_as_text(const struct plan_subject *s, const char *key, struct json value, struct slice *ret, struct err *e)
{
    struct buf text = BUF_INIT;
    if (value.type == JSON_ARRAY)
        return plan_fault(s, key, e, "must not be a list");
    if (value.type != JSON_STRING) {
        json_write_compact(&text, value);
    } else if (json_decode(value, &text, e) != 0) {
        buf_clean_up(&text);
        return plan_fault(s, key, e, "is no text");
    }
    return plan_keep(s->planner, &text, ret, e);
}

int
plan_get_string(const struct plan_subject *s, const char *key, bool needed, struct slice *ret, struct err *e)
{
    struct json value;
    if (!plan_get(s->object, key, &value) && !needed)
        return 0;
    if (!plan_get(s->object, key, &value) || value.type != JSON_STRING || json_raw(value).n == 0)
        return plan_fault(s, key, e, "must be a string that is not empty");
    return plan_as_text(s, key, value, ret, e);
}
