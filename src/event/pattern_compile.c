/* Compiling: a pattern's text into its tree, or AWS's words about what is wrong with it. */
#include "event/pattern.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event/pattern_tree.h"

struct compiler {
    struct slice text;
    struct event_pattern *pattern;
    struct err *e;
};

/* Refuses the pattern because of what stands at `at`. */
static int __attribute__((format(printf, 3, 4)))
refuse(const struct compiler *c, const char *at, const char *format, ...)
{
    char reason[300];
    size_t line, column;
    va_list ap;
    va_start(ap, format);
    vsnprintf(reason, sizeof reason, format, ap);
    va_end(ap);
    json_locate(c->text, at, &line, &column);
    return err_set(c->e, ERR_INVALID, "Event pattern is not valid. Reason: %s at [line: %zu, column: %zu]", reason,
                   line, column);
}

/* A string or a key of the pattern, for a message: as it was written, and not too long. */
#define NAME_ARG(string) (int)((string).text.n - 2 > 100 ? 100 : (string).text.n - 2), (string).text.p + 1

static int
decode(const struct compiler *c, struct json string, struct slice *ret_text)
{
    size_t n = json_raw(string).n;
    char *text = arena_alloc(&c->pattern->arena, n);
    if (!text)
        return err_no_memory(c->e);
    if (!json_decode_into(string, text, n, &n))
        return refuse(c, string.text.p, "\"%.*s\" holds half of a surrogate pair", NAME_ARG(string));
    *ret_text = slice_of(text, n);
    return 0;
}

/* ---- entries of a field ---- */

static bool
is_one_of(struct json string, const char *const *names)
{
    for (; *names; names++)
        if (json_equals_string(string, slice_of_string(*names)))
            return true;
    return false;
}

static const char *const LATER[] = {"suffix", "equals-ignore-case", "wildcard", "numeric", "cidr",
                                    "exists", "anything-but",       NULL};

/* Adds to one of the lists of values, which then has room for all of the array's `room` entries. */
static int
add_slice(const struct compiler *c, struct slice **list, size_t *n, size_t room, struct slice s)
{
    if (!*list && !(*list = arena_alloc(&c->pattern->arena, room * sizeof **list)))
        return err_no_memory(c->e);
    (*list)[(*n)++] = s;
    return 0;
}

static int
compile_number(const struct compiler *c, struct pattern_values *v, size_t room, struct json number)
{
    double d = json_double(number);
    if (isinf(d)) {
        char *text = arena_strndup(&c->pattern->arena, number.text.p, number.text.n);
        return text ? add_slice(c, &v->huge, &v->n_huge, room, slice_of(text, number.text.n)) : err_no_memory(c->e);
    }
    if (!v->numbers && !(v->numbers = arena_alloc(&c->pattern->arena, room * sizeof *v->numbers)))
        return err_no_memory(c->e);
    v->numbers[v->n_numbers++] = d;
    return 0;
}

static int
compile_prefix(const struct compiler *c, struct pattern_values *v, size_t room, struct json value)
{
    struct json_iter it = json_iter(value);
    if (value.type == JSON_OBJECT && json_next(&it) && json_equals_string(it.key, SLICE("equals-ignore-case")))
        return refuse(c, it.key.text.p, "Match type equals-ignore-case inside prefix is not supported yet");
    if (value.type != JSON_STRING)
        return refuse(c, value.text.p, "prefix match pattern must be a string");
    struct slice text;
    int rc = decode(c, value, &text);
    return rc == 0 ? add_slice(c, &v->prefixes, &v->n_prefixes, room, text) : rc;
}

/* {"prefix": ...} and its like. */
static int
compile_expression(const struct compiler *c, struct pattern_values *v, size_t room, struct json expression)
{
    struct json_iter it = json_iter(expression);
    if (!json_next(&it))
        return refuse(c, expression.text.p, "Match expression name not found");
    if (is_one_of(it.key, LATER))
        return refuse(c, it.key.text.p, "Match type %.*s is not supported yet", NAME_ARG(it.key));
    if (!json_equals_string(it.key, SLICE("prefix")))
        return refuse(c, it.key.text.p, "Unrecognized match type %.*s", NAME_ARG(it.key));
    int rc = compile_prefix(c, v, room, it.value);
    if (rc == 0 && json_next(&it))
        return refuse(c, it.key.text.p, "Only one key allowed in match expression");
    return rc;
}

static int
compile_entry(const struct compiler *c, struct pattern_values *v, size_t room, struct json entry)
{
    struct slice text;
    switch (entry.type) {
    case JSON_STRING: {
        int rc = decode(c, entry, &text);
        return rc == 0 ? add_slice(c, &v->strings, &v->n_strings, room, text) : rc;
    }
    case JSON_NUMBER:
        return compile_number(c, v, room, entry);
    case JSON_BOOL:
        *(json_bool(entry) ? &v->yes : &v->no) = true;
        return 0;
    case JSON_NULL:
        v->null = true;
        return 0;
    case JSON_OBJECT:
        return compile_expression(c, v, room, entry);
    default:
        return refuse(c, entry.text.p, "Match value must be String, number, true, false, or null");
    }
}

static int
compare_slices(const void *a, const void *b)
{
    return pattern_compare_bytes(*(const struct slice *)a, *(const struct slice *)b);
}

static int
compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void
sort(void *list, size_t n, size_t size, int (*compare)(const void *, const void *))
{
    if (n > 1)
        qsort(list, n, size, compare);
}

/* A prefix that starts with another one adds nothing: sorted, it stands behind the one it starts with. */
static void
drop_longer_prefixes(struct pattern_values *v)
{
    size_t kept = 0;
    for (size_t i = 0; i < v->n_prefixes; i++)
        if (kept == 0 || !slice_starts_with(v->prefixes[i], v->prefixes[kept - 1]))
            v->prefixes[kept++] = v->prefixes[i];
    v->n_prefixes = kept;
}

static int
compile_field(const struct compiler *c, struct pattern_node *node, struct json array)
{
    size_t room = json_count(array);
    if (room == 0)
        return refuse(c, array.text.p, "Empty arrays are not allowed");
    struct pattern_values *v = arena_zalloc(&c->pattern->arena, sizeof *v);
    if (!v)
        return err_no_memory(c->e);
    for (struct json_iter it = json_iter(array); json_next(&it);) {
        int rc = compile_entry(c, v, room, it.value);
        if (rc != 0)
            return rc;
    }
    sort(v->strings, v->n_strings, sizeof *v->strings, compare_slices);
    sort(v->prefixes, v->n_prefixes, sizeof *v->prefixes, compare_slices);
    sort(v->huge, v->n_huge, sizeof *v->huge, compare_slices);
    sort(v->numbers, v->n_numbers, sizeof *v->numbers, compare_doubles);
    drop_longer_prefixes(v);
    node->values = v;
    return 0;
}

/* ---- names ---- */

/* The node that names (joined by dots) lead to from node, made when there is none. NULL: no memory. */
static struct pattern_node *
reach(const struct compiler *c, struct pattern_node *node, struct slice names)
{
    for (;;) {
        const char *dot = names.n > 0 ? memchr(names.p, '.', names.n) : NULL;
        struct slice name = slice_of(names.p, dot ? (size_t)(dot - names.p) : names.n);
        struct pattern_node *child = node->below;
        while (child && !slice_equals(child->name, name))
            child = child->next;
        if (!child) {
            child = arena_zalloc(&c->pattern->arena, sizeof *child);
            if (!child)
                return NULL;
            child->name = name;
            child->next = node->below;
            node->below = child;
            node->n_children++;
        }
        node = child;
        if (!dot)
            return node;
        names = slice_of(dot + 1, names.n - name.n - 1);
    }
}

/* "$or" is AWS's operator when its value is an array of two or more objects that name no match type; otherwise it is
 * the name of a field like any other. */
static bool
is_or(struct json key, struct json value)
{
    static const char *const RESERVED[] = {
        "exactly",
        "prefix",
        "=",
        "<",
        "<=",
        ">",
        ">=",
        "regex",
        "not-wildcard",
        "not-equals-ignore-case",
        "date-after",
        "date-on-or-after",
        "date-before",
        "date-on-or-before",
        "in-date-range",
        "ip-address-in-range",
        "ip-address-not-in-range",
        NULL,
    };
    if (value.type != JSON_ARRAY || !json_equals_string(key, SLICE("$or")) || json_count(value) < 2)
        return false;
    for (struct json_iter it = json_iter(value); json_next(&it);) {
        if (it.value.type != JSON_OBJECT)
            return false;
        for (struct json_iter member = json_iter(it.value); json_next(&member);)
            if (is_one_of(member.key, RESERVED) || is_one_of(member.key, LATER))
                return false;
    }
    return true;
}

static int
compile_object(const struct compiler *c, struct pattern_node *node, struct json object)
{
    bool empty = true;
    for (struct json_iter it = json_iter(object); json_next(&it); empty = false) {
        struct slice names = {0};
        if (is_or(it.key, it.value))
            return refuse(c, it.key.text.p, "$or is not supported yet");
        int rc = decode(c, it.key, &names);
        if (rc != 0)
            return rc;
        struct pattern_node *child = reach(c, node, names);
        if (!child)
            return err_no_memory(c->e);
        if (it.value.type == JSON_OBJECT)
            rc = compile_object(c, child, it.value);
        else if (it.value.type == JSON_ARRAY)
            rc = compile_field(c, child, it.value);
        else
            rc = refuse(c, it.value.text.p, "\"%.*s\" must be an object or an array", NAME_ARG(it.key));
        if (rc != 0)
            return rc;
    }
    return empty ? refuse(c, object.text.p, "Empty objects are not allowed") : 0;
}

static int
compare_nodes(const void *a, const void *b)
{
    return pattern_compare_names((*(struct pattern_node *const *)a)->name, (*(struct pattern_node *const *)b)->name);
}

/* Turns the lists of children into sorted arrays and numbers the fields from *next on. */
static int
finish(const struct compiler *c, struct pattern_node *node, unsigned *next)
{
    node->first = *next;
    if (node->values)
        ++*next;
    if (node->n_children > 0) {
        node->children = arena_alloc(&c->pattern->arena, node->n_children * sizeof(struct pattern_node *));
        if (!node->children)
            return err_no_memory(c->e);
        size_t n = 0;
        for (struct pattern_node *child = node->below; child; child = child->next)
            node->children[n++] = child;
        sort(node->children, n, sizeof(struct pattern_node *), compare_nodes);
        for (size_t i = 0; i < n; i++) {
            int rc = finish(c, node->children[i], next);
            if (rc != 0)
                return rc;
        }
    }
    node->last = *next;
    return 0;
}

int
event_pattern_compile(struct slice text, struct event_pattern **ret_pattern, struct err *e)
{
    struct compiler c = {.text = text, .e = e};
    struct json root;
    unsigned fields = 0;
    if (text.n > EVENT_PATTERN_MAX_BYTES)
        return err_set(e, ERR_LIMIT, "Event pattern is not valid. Reason: It is %zu bytes long, longer than %d", text.n,
                       EVENT_PATTERN_MAX_BYTES);
    int rc = json_parse(text, &root, e);
    if (rc != 0)
        return err_prefix(e, rc, "Event pattern is not valid. Reason");
    if (root.type != JSON_OBJECT)
        return refuse(&c, root.text.p, "Filter is not an object");
    c.pattern = calloc(1, sizeof *c.pattern);
    if (!c.pattern)
        return err_no_memory(e);
    arena_init(&c.pattern->arena, 1024);
    rc = compile_object(&c, &c.pattern->root, root);
    if (rc == 0)
        rc = finish(&c, &c.pattern->root, &fields);
    if (rc != 0) {
        event_pattern_destroy(c.pattern);
        return rc;
    }
    assert(fields > 0 && fields <= PATTERN_MAX_FIELDS);
    *ret_pattern = c.pattern;
    return 0;
}
