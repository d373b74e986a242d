#include "local/template_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RESOURCES_MAX 500    /* CloudFormation's own limit */
#define DEPTH_MAX     64     /* of values inside one resource */
#define RECURSION_MAX 1000   /* of values inside resources that refer to each other */
#define VALUES_MAX    200000 /* evaluated in all: Fn::Sub can double its work with each level */
#define OUTPUT_MAX    ((size_t)4 << 20)
#define ID_MAX        255

/* ---- where we are ------------------------------------------------------------------------------------------------ */

struct template_path
template_below(const struct template_path *up, struct slice key)
{
    return (struct template_path){.up = up, .key = key.p ? key : SLICE(""), .depth = up ? up->depth + 1 : 1};
}

static struct template_path
element(const struct template_path *up, size_t index)
{
    return (struct template_path){.up = up, .index = index, .depth = up->depth + 1};
}

static void
write_path(const struct template_path *at, struct buf *out)
{
    if (!at)
        return;
    write_path(at->up, out);
    if (at->key.p)
        buf_add_format(out, "%s%.*s", out->len > 0 ? "." : "", SLICE_ARG(at->key));
    else
        buf_add_format(out, "[%zu]", at->index);
}

int
template_fault(const struct template_path *at, struct err *e, const char *format, ...)
{
    char text[sizeof e->text];
    struct buf path = BUF_INIT;
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    write_path(at, &path);
    int rc = err_set(e, ERR_INVALID, "%s: %s", path.len > 0 ? path.data : "template", text);
    buf_clean_up(&path);
    return rc;
}

int
template_decode(const struct template_path *at, struct json string, struct buf *out, struct err *e)
{
    if (json_decode(string, out, NULL) == 0)
        return 0;
    return buf_failed(out) ? err_no_memory(e) : template_fault(at, e, "holds an escape that is no character");
}

int
template_take_text(struct template_parser *p, const struct template_path *at, struct json string, const char **ret,
                   struct err *e)
{
    struct buf text = BUF_INIT;
    if (string.type != JSON_STRING || json_raw(string).n == 0)
        return template_fault(at, e, "must be a string that is not empty");
    int rc = template_decode(at, string, &text, e);
    const char *copy = rc == 0 && !buf_failed(&text) ? arena_strndup(&p->arena, text.data, text.len) : NULL;
    if (rc == 0 && !copy)
        rc = err_no_memory(e);
    else if (rc == 0 && strlen(copy) != text.len)
        rc = template_fault(at, e, "holds a NUL character");
    if (rc == 0)
        *ret = copy;
    buf_clean_up(&text);
    return rc;
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

static int
resolve_container(struct template_parser *p, const struct template_path *at, struct json value, struct buf *out,
                  struct err *e)
{
    bool object = value.type == JSON_OBJECT;
    int rc = 0;
    buf_add_char(out, object ? '{' : '[');
    for (struct json_iter it = json_iter(value); rc == 0 && json_next(&it);) {
        struct template_path inside = object ? template_below(at, json_raw(it.key)) : element(at, it.index);
        if (it.index > 0)
            buf_add_char(out, ',');
        if (object) {
            buf_add_slice(out, it.key.text);
            buf_add_char(out, ':');
        }
        rc = template_resolve(p, &inside, it.value, out, e);
    }
    buf_add_char(out, object ? '}' : ']');
    return rc;
}

int
template_resolve(struct template_parser *p, const struct template_path *at, struct json value, struct buf *out,
                 struct err *e)
{
    if (at->depth > DEPTH_MAX)
        return template_fault(at, e, "nested deeper than %d levels", DEPTH_MAX);
    if (p->depth >= RECURSION_MAX)
        return template_fault(at, e, "too many resources refer to each other in a row");
    if (++p->evaluated > VALUES_MAX || out->len > OUTPUT_MAX)
        return template_fault(at, e, "the template grows without measure");
    struct json_iter it = json_iter(value);
    if (value.type != JSON_OBJECT && value.type != JSON_ARRAY) {
        buf_add_slice(out, value.text);
        return 0;
    }
    p->depth++;
    bool function =
        value.type == JSON_OBJECT && json_next(&it) && template_is_function(it.key) && json_count(value) == 1;
    int rc = function ? template_evaluate(p, at, it.key, it.value, out, e) : resolve_container(p, at, value, out, e);
    p->depth--;
    return rc;
}

/* ---- resources --------------------------------------------------------------------------------------------------- */

static int resolve_node(struct template_parser *p, struct template_node *node, struct err *e);

int
template_find(struct template_parser *p, struct slice id, const struct template_node **ret, struct err *e)
{
    for (size_t i = 0; i < p->n_nodes; i++)
        if (slice_equals_string(id, p->nodes[i].resource.id)) {
            *ret = &p->nodes[i];
            return resolve_node(p, &p->nodes[i], e);
        }
    *ret = NULL;
    return 0;
}

static int
depend_on(struct template_parser *p, const struct template_path *at, struct json id, struct err *e)
{
    const struct template_node *node = NULL;
    int rc = id.type == JSON_STRING ? template_find(p, json_raw(id), &node, e)
                                    : template_fault(at, e, "must be a resource's logical id");
    return rc == 0 && !node ? template_fault(at, e, "there is no resource \"%.*s\"", SLICE_ARG(json_raw(id))) : rc;
}

/* DependsOn: an id, or a list of them. */
static int
resolve_dependencies(struct template_parser *p, const struct template_path *node_at, struct json depends_on,
                     struct err *e)
{
    struct template_path at = template_below(node_at, SLICE("DependsOn"));
    int rc = 0;
    if (depends_on.type != JSON_ARRAY)
        return depend_on(p, &at, depends_on, e);
    for (struct json_iter it = json_iter(depends_on); rc == 0 && json_next(&it);) {
        struct template_path inside = element(&at, it.index);
        rc = depend_on(p, &inside, it.value, e);
    }
    return rc;
}

static int
resolve_properties(struct template_parser *p, const struct template_path *node_at, struct template_node *node,
                   struct err *e)
{
    struct template_path at = template_below(node_at, SLICE("Properties"));
    struct buf out = BUF_INIT;
    int rc = 0;
    if (node->has_properties)
        rc = template_resolve(p, &at, node->properties, &out, e);
    else
        buf_add_string(&out, "{}");
    const char *copy = rc == 0 && !buf_failed(&out) ? arena_strndup(&p->arena, out.data, out.len) : NULL;
    if (rc == 0 && !copy)
        rc = err_no_memory(e);
    if (rc == 0 && copy[0] != '{') /* a function's text */
        rc = template_fault(&at, e, "must be an object");
    if (rc == 0) {
        node->resource.properties = slice_of(copy, out.len);
        rc = template_take_name(p, node, &at, e);
    }
    buf_clean_up(&out);
    return rc;
}

static int
resolve_node(struct template_parser *p, struct template_node *node, struct err *e)
{
    struct template_path resources = template_below(NULL, SLICE("Resources"));
    struct template_path at = template_below(&resources, slice_of_string(node->resource.id));
    if (node->state == TEMPLATE_RESOLVED)
        return 0;
    if (node->state == TEMPLATE_OPEN)
        return template_fault(&at, e, "refers to itself in a circle");
    node->state = TEMPLATE_OPEN;
    int rc = node->has_depends_on ? resolve_dependencies(p, &at, node->depends_on, e) : 0;
    if (rc == 0)
        rc = resolve_properties(p, &at, node, e);
    if (rc != 0)
        return rc;
    node->state = TEMPLATE_RESOLVED;
    p->ordered[p->n_ordered++] = node->resource;
    return 0;
}

/* ---- the template ------------------------------------------------------------------------------------------------ */

static bool
is_id(struct slice id)
{
    for (size_t i = 0; i < id.n; i++) {
        char c = id.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')))
            return false;
    }
    return id.n >= 1 && id.n <= ID_MAX;
}

static int
read_resource(struct template_parser *p, const struct template_path *resources, struct json key, struct json value,
              struct err *e)
{
    struct template_path at = template_below(resources, json_raw(key));
    struct template_path type_at = template_below(&at, SLICE("Type"));
    struct template_path properties_at = template_below(&at, SLICE("Properties"));
    struct template_node *node = &p->nodes[p->n_nodes];
    struct json type, condition;
    if (!is_id(json_raw(key)))
        return template_fault(resources, e, "\"%.*s\" is no logical id: 1 to %d letters and digits",
                              SLICE_ARG(json_raw(key)), ID_MAX);
    if (value.type != JSON_OBJECT)
        return template_fault(&at, e, "must be an object");
    if (!json_get(value, "Type", &type))
        return template_fault(&type_at, e, "is missing");
    if (json_get(value, "Condition", &condition))
        return template_fault(&at, e, "conditions are not supported here");
    int rc = template_take_text(p, &at, key, &node->resource.id, e);
    if (rc == 0)
        rc = template_take_text(p, &type_at, type, &node->resource.type, e);
    if (rc != 0)
        return rc;
    node->has_depends_on = json_get(value, "DependsOn", &node->depends_on);
    node->has_properties = json_get(value, "Properties", &node->properties);
    if (node->has_properties && node->properties.type != JSON_OBJECT)
        return template_fault(&properties_at, e, "must be an object");
    p->n_nodes++;
    return 0;
}

static int
read_resources(struct template_parser *p, struct json root, struct err *e)
{
    struct template_path at = template_below(NULL, SLICE("Resources"));
    struct json resources;
    if (!json_get(root, "Resources", &resources) || resources.type != JSON_OBJECT || json_count(resources) == 0)
        return template_fault(&at, e, "must be an object with at least one resource");
    size_t n = json_count(resources);
    if (n > RESOURCES_MAX)
        return template_fault(&at, e, "%zu resources are more than the %d a template may have", n, RESOURCES_MAX);
    p->nodes = arena_zalloc(&p->arena, n * sizeof *p->nodes);
    p->ordered = arena_zalloc(&p->arena, n * sizeof *p->ordered);
    if (!p->nodes || !p->ordered)
        return err_no_memory(e);
    int rc = 0;
    for (struct json_iter it = json_iter(resources); rc == 0 && json_next(&it);)
        rc = read_resource(p, &at, it.key, it.value, e);
    return rc;
}

static int
read_parameters(struct template_parser *p, struct json root, struct err *e)
{
    struct template_path at = template_below(NULL, SLICE("Parameters"));
    p->has_parameters = json_get(root, "Parameters", &p->parameters);
    if (p->has_parameters && p->parameters.type != JSON_OBJECT)
        return template_fault(&at, e, "must be an object");
    for (size_t i = 0; i < p->environment->n_parameters; i++) {
        struct slice name = p->environment->parameters[i].name;
        bool known = false;
        if (p->has_parameters)
            for (struct json_iter it = json_iter(p->parameters); json_next(&it);)
                known |= json_equals_string(it.key, name);
        if (!known)
            return err_set(e, ERR_INVALID, "the template has no parameter \"%.*s\"", SLICE_ARG(name));
    }
    return 0;
}

static int
parse(struct template_parser *p, struct slice text, struct err *e)
{
    struct json root, transform;
    int rc = json_parse(text, &root, e);
    if (rc != 0)
        return err_prefix(e, rc, "the template is no JSON");
    if (root.type != JSON_OBJECT)
        return template_fault(NULL, e, "must be a JSON object");
    if (json_get(root, "Transform", &transform))
        return err_set(e, ERR_INVALID, "Transform: macros are not supported here");
    rc = read_parameters(p, root, e);
    if (rc == 0)
        rc = read_resources(p, root, e);
    for (size_t i = 0; rc == 0 && i < p->n_nodes; i++)
        rc = resolve_node(p, &p->nodes[i], e);
    return rc;
}

int
template_parse(struct slice text, const struct template_environment *environment, struct template **ret_template,
               struct err *e)
{
    struct template_parser *p = calloc(1, sizeof *p);
    if (!p)
        return err_no_memory(e);
    arena_init(&p->arena, 0);
    p->environment = environment;
    int rc = parse(p, text, e);
    if (rc != 0) {
        template_destroy(&p->public);
        return rc;
    }
    p->environment = NULL;
    p->public.resources = p->ordered;
    p->public.n_resources = p->n_ordered;
    *ret_template = &p->public;
    return 0;
}

void
template_destroy(struct template *t)
{
    struct template_parser *p = (struct template_parser *)t;
    if (!p)
        return;
    arena_clean_up(&p->arena);
    free(p);
}
