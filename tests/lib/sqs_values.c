#include "lib/sqs_values.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/digest.h"
#include "base/utf8.h"
#include "lib/query_call.h"
#include "lib/seeds.h"

#define MAX_PARAMETERS 4096

static void *
at_member(const void *value, const struct lsqs_member *m)
{
    return (char *)(uintptr_t)value + m->offset;
}

static bool
is_list(const struct lsqs_member *m)
{
    return m->type >= LSQS_STRINGS;
}

static bool
is_map(const struct lsqs_member *m)
{
    return m->type == LSQS_MAP || m->type == LSQS_MAP_OF;
}

/* ---- making ------------------------------------------------------------------------------------------------------ */

static uint32_t
draw_character(struct sqs_values *v)
{
    static const uint32_t ODD[] = {'\t', '\n', '\r', '&', '<',  '>',    '"',    '\'',
                                   '%',  '+',  '=',  '.', 0xe9, 0xfffd, 0x1f600};
    if (v->any_text && seeds_draw(&v->random, 8) == 0)
        return seeds_draw(&v->random, 2) ? (uint32_t)seeds_draw(&v->random, 0x20) : 0xffff;
    return seeds_draw(&v->random, 3) ? 'a' + (uint32_t)seeds_draw(&v->random, 26)
                                     : ODD[seeds_draw(&v->random, sizeof ODD / sizeof *ODD)];
}

static struct slice
make_text(struct sqs_values *v)
{
    size_t characters = seeds_draw(&v->random, 12), n = 0;
    char *text = arena_alloc(v->arena, 4 * characters + 1);
    for (size_t i = 0; i < characters; i++)
        n += utf8_encode(draw_character(v), text + n);
    return slice_of(text, n);
}

static struct slice
make_bytes(struct sqs_values *v)
{
    size_t n = seeds_draw(&v->random, 9);
    char *bytes = arena_alloc(v->arena, n + 1);
    for (size_t i = 0; i < n; i++)
        bytes[i] = (char)seeds_draw(&v->random, 256);
    return slice_of(bytes, n);
}

static void make_struct(struct sqs_values *v, const struct lsqs_shape *shape, void *out);

static void
make_list(struct sqs_values *v, const struct lsqs_member *m, struct lsqs_list *out)
{
    size_t n = 1 + seeds_draw(&v->random, 4), size = lsqs_item_size(m);
    char *item = arena_zalloc(v->arena, n * size);
    *out = (struct lsqs_list){.items = item, .n = n, .given = true};
    for (size_t i = 0; i < n; i++, item += size) {
        if (m->shape)
            make_struct(v, m->shape, item);
        if (is_map(m) || !m->shape)
            *(struct slice *)(void *)item = make_text(v);
        if (m->type == LSQS_MAP)
            ((struct local_sqs_attribute *)(void *)item)->value = make_text(v);
    }
}

static void
make_member(struct sqs_values *v, const struct lsqs_member *m, void *at)
{
    int64_t number = (int64_t)seeds_draw(&v->random, UINT64_C(1) << 50) - (INT64_C(1) << 49);
    switch (m->type) {
    case LSQS_STRING:
        *(struct slice *)at = make_text(v);
        break;
    case LSQS_BLOB:
        *(struct slice *)at = make_bytes(v);
        break;
    case LSQS_INT:
        *(struct lsqs_int *)at = (struct lsqs_int){.given = true, .value = number};
        break;
    case LSQS_FLAG:
        *(struct lsqs_int *)at = (struct lsqs_int){.given = true, .value = number & 1};
        break;
    default:
        make_list(v, m, at);
    }
}

static void
make_struct(struct sqs_values *v, const struct lsqs_shape *shape, void *out)
{
    size_t always = seeds_draw(&v->random, shape->n_members);
    for (size_t i = 0; i < shape->n_members; i++)
        if (i == always || seeds_draw(&v->random, 2))
            make_member(v, &shape->members[i], at_member(out, &shape->members[i]));
}

void *
sqs_values_make(struct sqs_values *v, const struct lsqs_shape *shape)
{
    void *value = arena_zalloc(v->arena, shape->size);
    make_struct(v, shape, value);
    return value;
}

/* ---- comparing --------------------------------------------------------------------------------------------------- */

static void
compare_texts(struct slice x, struct slice y, const char *name)
{
    if (!x.p != !y.p || !slice_equals(x, y))
        fail_msg("%s: \"%.*s\" is not \"%.*s\"", name, SLICE_ARG(x), SLICE_ARG(y));
}

static void
compare_lists(const struct lsqs_member *m, const struct lsqs_list *x, const struct lsqs_list *y)
{
    const char *a = x->items, *b = y->items;
    if (x->n != y->n)
        fail_msg("%s: %zu items, not %zu", m->name, x->n, y->n);
    for (size_t i = 0; i < x->n; i++, a += lsqs_item_size(m), b += lsqs_item_size(m)) {
        if (m->shape)
            sqs_values_compare(m->shape, a, b, m->name);
        if (is_map(m) || !m->shape)
            compare_texts(*(const struct slice *)(const void *)a, *(const struct slice *)(const void *)b, m->name);
        if (m->type == LSQS_MAP)
            compare_texts(((const struct local_sqs_attribute *)(const void *)a)->value,
                          ((const struct local_sqs_attribute *)(const void *)b)->value, m->name);
    }
}

void
sqs_values_compare(const struct lsqs_shape *shape, const void *x, const void *y, const char *name)
{
    (void)name;
    for (size_t i = 0; i < shape->n_members; i++) {
        const struct lsqs_member *m = &shape->members[i];
        const struct lsqs_int *a = at_member(x, m), *b = at_member(y, m);
        if (is_list(m))
            compare_lists(m, at_member(x, m), at_member(y, m));
        else if (m->type == LSQS_STRING || m->type == LSQS_BLOB)
            compare_texts(*(const struct slice *)at_member(x, m), *(const struct slice *)at_member(y, m), m->name);
        else if (a->given != b->given || a->value != b->value)
            fail_msg("%s: %lld is not %lld", m->name, (long long)a->value, (long long)b->value);
    }
}

/* ---- Query ------------------------------------------------------------------------------------------------------- */

struct writer {
    struct sqs_values *v;
    char *parameters[MAX_PARAMETERS];
    size_t n;
};

static void
escape(struct writer *w, struct buf *out, struct slice text)
{
    if (seeds_draw(&w->v->random, 2)) {
        query_call_escape(out, text);
        return;
    }
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] == ' ')
            buf_add_char(out, '+');
        else if (strchr("&%+=.", text.p[i]) || seeds_draw(&w->v->random, 4) == 0) /* a NUL is in that string */
            buf_add_format(out, "%%%02x", (unsigned char)text.p[i]);
        else
            buf_add_char(out, text.p[i]);
}

static void
add_parameter(struct writer *w, const char *path, struct slice value)
{
    struct buf text = BUF_INIT;
    assert_true(w->n < MAX_PARAMETERS);
    buf_add_format(&text, "%s=", path);
    escape(w, &text, value);
    w->parameters[w->n++] = buf_take(&text);
}

static void add_struct(struct writer *w, const char *path, const struct lsqs_shape *shape, const void *value);

static void
add_list(struct writer *w, const char *path, const struct lsqs_member *m, const struct lsqs_list *list)
{
    const char *item = list->items;
    uint64_t number = 0;
    for (size_t i = 0; i < list->n; i++, item += lsqs_item_size(m)) {
        char at[200], part[220];
        number += 1 + (seeds_draw(&w->v->random, 4) ? 0 : seeds_draw(&w->v->random, UINT64_C(1) << 40));
        snprintf(at, sizeof at, "%s.%s%llu", path, seeds_draw(&w->v->random, 5) ? "" : "00",
                 (unsigned long long)number);
        if (m->type == LSQS_LIST) {
            add_struct(w, at, m->shape, item);
        } else if (m->type == LSQS_STRINGS) {
            add_parameter(w, at, *(const struct slice *)(const void *)item);
        } else {
            snprintf(part, sizeof part, "%s.%s", at, lsqs_query_key(m));
            add_parameter(w, part, *(const struct slice *)(const void *)item);
            snprintf(part, sizeof part, "%s.Value", at);
            if (m->shape)
                add_struct(w, part, m->shape, item);
            else
                add_parameter(w, part, ((const struct local_sqs_attribute *)(const void *)item)->value);
        }
    }
}

static void
add_struct(struct writer *w, const char *path, const struct lsqs_shape *shape, const void *value)
{
    for (size_t i = 0; i < shape->n_members; i++) {
        const struct lsqs_member *m = &shape->members[i];
        const struct slice *s = at_member(value, m);
        const struct lsqs_int *number = at_member(value, m);
        char name[180];
        struct buf text = BUF_INIT;
        snprintf(name, sizeof name, "%s%s%s", path, *path ? "." : "", lsqs_query_name(m));
        if (is_list(m)) {
            add_list(w, name, m, at_member(value, m));
        } else if (m->type == LSQS_STRING && s->p) {
            add_parameter(w, name, *s);
        } else if (m->type == LSQS_BLOB && s->p) {
            digest_base64_encode(&text, s->p, s->n);
            add_parameter(w, name, buf_slice(&text));
        } else if (m->type == LSQS_INT && number->given) {
            buf_add_int(&text, number->value);
            add_parameter(w, name, buf_slice(&text));
        } else if (m->type == LSQS_FLAG && number->given) {
            add_parameter(w, name, slice_of_string(number->value ? "true" : "false"));
        }
        buf_clean_up(&text);
    }
}

void
sqs_values_write_query(struct sqs_values *v, const struct lsqs_shape *shape, const void *value, struct buf *out)
{
    struct writer w = {.v = v};
    add_struct(&w, "", shape, value);
    for (; w.n > 0; w.n--) {
        size_t i = seeds_draw(&v->random, w.n);
        if (out->len > 0)
            buf_add_char(out, '&');
        buf_add_string(out, w.parameters[i]);
        free(w.parameters[i]);
        w.parameters[i] = w.parameters[w.n - 1];
    }
}

/* ---- XML --------------------------------------------------------------------------------------------------------- */

static void
read_list(struct arena *arena, const struct lsqs_member *m, const struct xml_node *n, struct lsqs_list *out)
{
    size_t count = 0;
    for (const struct xml_node *at = n; at; at = xml_tree_next(at))
        count++;
    char *item = arena_zalloc(arena, (count + 1) * lsqs_item_size(m));
    *out = (struct lsqs_list){.items = item, .n = count, .given = true};
    for (; n; n = xml_tree_next(n), item += lsqs_item_size(m)) {
        const struct xml_node *key = xml_tree_child(n, lsqs_query_key(m)), *value = xml_tree_child(n, "Value");
        if (m->type == LSQS_LIST)
            memcpy(item, sqs_values_read_xml(arena, m->shape, n), m->shape->size);
        else if (m->type == LSQS_STRINGS)
            *(struct slice *)(void *)item = n->text;
        else if (m->shape)
            memcpy(item, sqs_values_read_xml(arena, m->shape, value), m->shape->size);
        else
            ((struct local_sqs_attribute *)(void *)item)->value = value->text;
        if (is_map(m))
            *(struct slice *)(void *)item = key->text;
    }
}

static void
read_member(struct arena *arena, const struct lsqs_member *m, const struct xml_node *n, void *at)
{
    struct buf bytes = BUF_INIT;
    switch (m->type) {
    case LSQS_STRING:
        *(struct slice *)at = n->text;
        break;
    case LSQS_BLOB:
        assert_true(digest_base64_decode(&bytes, n->text));
        *(struct slice *)at = slice_of(arena_strndup(arena, bytes.data ? bytes.data : "", bytes.len), bytes.len);
        break;
    case LSQS_INT:
        *(struct lsqs_int *)at = (struct lsqs_int){.given = true, .value = strtoll(n->text.p, NULL, 10)};
        break;
    case LSQS_FLAG:
        *(struct lsqs_int *)at = (struct lsqs_int){.given = true, .value = strcmp(n->text.p, "true") == 0};
        break;
    default:
        read_list(arena, m, n, at);
    }
    buf_clean_up(&bytes);
}

void *
sqs_values_read_xml(struct arena *arena, const struct lsqs_shape *shape, const struct xml_node *n)
{
    void *value = arena_zalloc(arena, shape->size);
    for (size_t i = 0; i < shape->n_members; i++) {
        const struct lsqs_member *m = &shape->members[i];
        const struct xml_node *child = xml_tree_child(n, lsqs_query_name(m));
        if (child)
            read_member(arena, m, child, at_member(value, m));
    }
    return value;
}
