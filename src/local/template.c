#include "local/template.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"

#define DEPTH_MAX  64
#define PATH_BYTES 400

enum state { UNSEEN, OPEN, RESOLVED };

struct node {
    struct template_resource resource;
    struct json properties; /* as written */
    bool has_properties;
    enum state state;
};

struct parser {
    struct template public; /* first: what the caller holds */
    struct arena arena;
    const struct template_environment *environment;
    struct json parameters;
    bool has_parameters;
    struct node *nodes;
    size_t n_nodes;
    struct template_resource *ordered;
    size_t n_ordered;
};

/* Where in the template we are, for error messages: a chain on the stack. */
struct path {
    const struct path *up;
    struct slice key; /* empty: an array's element */
    size_t index;
    unsigned depth;
};

static int resolve(struct parser *p, const struct path *at, struct json value, struct buf *out, struct err *e);
static int resolve_node(struct parser *p, struct node *node, struct err *e);

/* ---- errors ------------------------------------------------------------------------------------------------------ */

static void
write_path(const struct path *at, struct buf *out)
{
    if (!at)
        return;
    write_path(at->up, out);
    if (at->key.p)
        buf_add_format(out, "%s%.*s", out->len > 0 ? "." : "", SLICE_ARG(at->key));
    else
        buf_add_format(out, "[%zu]", at->index);
}

__attribute__((format(printf, 3, 4))) static int
fault(const struct path *at, struct err *e, const char *format, ...)
{
    char text[PATH_BYTES];
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

static struct path
below(const struct path *up, struct slice key)
{
    return (struct path){.up = up, .key = key.p ? key : SLICE(""), .depth = up ? up->depth + 1 : 1};
}

static struct path
element(const struct path *up, size_t index)
{
    return (struct path){.up = up, .index = index, .depth = up->depth + 1};
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

struct type {
    const char *type, *name_property;
    const char *arn; /* P partition, R region, A account, B bus, N name */
};

static const struct type TYPES[] = {
    {"AWS::Events::EventBus", "Name", "arn:P:events:R:A:event-bus/N"},
    {"AWS::Events::Rule", "Name", "arn:P:events:R:A:rule/B/N"},
    {"AWS::IAM::Role", "RoleName", "arn:P:iam::A:role/N"},
    {"AWS::Lambda::Function", "FunctionName", "arn:P:lambda:R:A:function:N"},
    {"AWS::S3::Bucket", "BucketName", "arn:P:s3:::N"},
    {"AWS::SQS::Queue", "QueueName", "arn:P:sqs:R:A:N"},
};

static const struct type *
type_of(const char *name)
{
    for (size_t i = 0; i < sizeof TYPES / sizeof *TYPES; i++)
        if (strcmp(TYPES[i].type, name) == 0)
            return &TYPES[i];
    return NULL;
}

static struct node *
find_node(struct parser *p, struct slice id)
{
    for (size_t i = 0; i < p->n_nodes; i++)
        if (slice_equals_string(id, p->nodes[i].resource.id))
            return &p->nodes[i];
    return NULL;
}

static const char *
text_of(struct parser *p, struct json string, struct err *e)
{
    struct buf text = BUF_INIT;
    const char *copy = NULL;
    if (json_decode(string, &text, e) == 0) {
        copy = arena_strndup(&p->arena, text.data ? text.data : "", text.len);
        if (!copy)
            err_no_memory(e);
    }
    buf_clean_up(&text);
    return copy;
}

static void
write_arn(struct parser *p, const struct type *type, const struct node *node, struct buf *out)
{
    for (const char *c = type->arn; *c; c++) {
        if (!strchr("PRABN", *c)) {
            buf_add_char(out, *c);
        } else if (*c == 'P') {
            buf_add_string(out, "aws");
        } else if (*c == 'R') {
            buf_add_string(out, p->environment->region);
        } else if (*c == 'A') {
            buf_add_string(out, p->environment->account);
        } else if (*c == 'N') {
            buf_add_string(out, node->resource.name);
        } else {
            struct json properties, bus;
            bool named = json_parse(node->resource.properties, &properties, NULL) == 0 &&
                         json_get(properties, "EventBusName", &bus) && bus.type == JSON_STRING;
            if (!named || json_decode(bus, out, NULL) != 0)
                buf_add_string(out, "default");
        }
    }
}

/* ---- Ref and Fn::GetAtt: these give a string, or a list for a list parameter ------------------------------------- */

static bool
pseudo_parameter(const struct parser *p, struct slice name, struct buf *out)
{
    const struct template_environment *environment = p->environment;
    const struct {
        const char *name, *value;
    } pseudo[] = {
        {"AWS::AccountId", environment->account},
        {"AWS::Region", environment->region},
        {"AWS::Partition", "aws"},
        {"AWS::URLSuffix", "amazonaws.com"},
        {"AWS::StackName", "local"},
        {"AWS::StackId", "arn:aws:cloudformation:local:000000000000:stack/local"},
    };
    for (size_t i = 0; i < sizeof pseudo / sizeof *pseudo; i++)
        if (slice_equals_string(name, pseudo[i].name)) {
            buf_add_string(out, pseudo[i].value);
            return true;
        }
    return false;
}

static void
write_list(struct slice text, struct buf *out)
{
    buf_add_char(out, '[');
    for (const char *at = text.p, *end = text.p + text.n; at <= end;) {
        const char *comma = at < end ? memchr(at, ',', (size_t)(end - at)) : NULL;
        const char *stop = comma ? comma : end;
        while (at < stop && *at == ' ')
            at++;
        if (out->data[out->len - 1] != '[')
            buf_add_char(out, ',');
        json_write_string(out, slice_of(at, (size_t)(stop - at)));
        at = stop + 1;
    }
    buf_add_char(out, ']');
}

static int
write_parameter(struct parser *p, const struct path *at, struct slice name, struct buf *out, struct err *e)
{
    struct json parameter, value, type;
    char key[256];
    snprintf(key, sizeof key, "%.*s", SLICE_ARG(name));
    if (!p->has_parameters || !json_get(p->parameters, key, &parameter))
        return fault(at, e, "there is no resource or parameter \"%s\"", key);
    struct buf text = BUF_INIT;
    int rc = 0;
    bool given = false;
    for (size_t i = 0; i < p->environment->n_parameters; i++)
        if (slice_equals(p->environment->parameters[i].name, name)) {
            buf_add_slice(&text, p->environment->parameters[i].value);
            given = true;
        }
    if (!given && !json_get(parameter, "Default", &value))
        rc = fault(at, e, "parameter \"%s\" has no value and no default", key);
    else if (!given && value.type == JSON_STRING)
        rc = json_decode(value, &text, e);
    else if (!given)
        buf_add_slice(&text, value.text);
    if (rc == 0 && json_get(parameter, "Type", &type) &&
        (json_equals_string(type, SLICE("CommaDelimitedList")) || slice_starts_with(json_raw(type), SLICE("List<"))))
        write_list(buf_slice(&text), out);
    else if (rc == 0)
        json_write_string(out, buf_slice(&text));
    buf_clean_up(&text);
    return rc;
}

static int
write_ref(struct parser *p, const struct path *at, struct slice name, struct buf *out, struct err *e)
{
    struct buf text = BUF_INIT;
    struct node *node = find_node(p, name);
    int rc = 0;
    if (slice_equals_string(name, "AWS::NoValue")) {
        buf_add_string(out, "null");
    } else if (node) {
        if ((rc = resolve_node(p, node, e)) == 0) {
            if (strcmp(node->resource.type, "AWS::SQS::Queue") == 0)
                buf_add_string(&text, p->environment->queue_url_base);
            buf_add_string(&text, node->resource.name);
            json_write_string(out, buf_slice(&text));
        }
    } else if (pseudo_parameter(p, name, &text)) {
        json_write_string(out, buf_slice(&text));
    } else {
        rc = write_parameter(p, at, name, out, e);
    }
    buf_clean_up(&text);
    return rc;
}

static int
write_attribute(struct parser *p, const struct path *at, struct slice id, struct slice attribute, struct buf *out,
                struct err *e)
{
    struct node *node = find_node(p, id);
    if (!node)
        return fault(at, e, "there is no resource \"%.*s\"", SLICE_ARG(id));
    int rc = resolve_node(p, node, e);
    if (rc != 0)
        return rc;
    const struct type *type = type_of(node->resource.type);
    struct buf text = BUF_INIT;
    if (slice_equals_string(attribute, "Arn") && type)
        write_arn(p, type, node, &text);
    else if (type && slice_equals_string(attribute, type->name_property))
        buf_add_string(&text, node->resource.name);
    else
        rc = fault(at, e, "%s \"%s\" has no attribute \"%.*s\" here", node->resource.type, node->resource.id,
                   SLICE_ARG(attribute));
    if (rc == 0)
        json_write_string(out, buf_slice(&text));
    buf_clean_up(&text);
    return rc;
}

/* ---- the other functions ----------------------------------------------------------------------------------------- */

/* Evaluates value and decodes the string it must be. */
static int
resolve_text(struct parser *p, const struct path *at, struct json value, struct buf *text, struct err *e)
{
    struct buf out = BUF_INIT;
    struct json result;
    int rc = resolve(p, at, value, &out, e);
    if (rc == 0)
        rc = json_parse(buf_slice(&out), &result, e);
    if (rc == 0) {
        if (result.type == JSON_STRING)
            rc = json_decode(result, text, e);
        else if (result.type == JSON_NUMBER || result.type == JSON_BOOL)
            buf_add_slice(text, result.text);
        else
            rc = fault(at, e, "must be a string");
    }
    buf_clean_up(&out);
    return rc;
}

static int
get_att(struct parser *p, const struct path *at, struct json argument, struct buf *out, struct err *e)
{
    struct json first, second;
    if (argument.type == JSON_STRING) {
        struct slice raw = json_raw(argument);
        const char *dot = raw.n ? memchr(raw.p, '.', raw.n) : NULL;
        if (!dot)
            return fault(at, e, "must be \"RESOURCE.ATTRIBUTE\"");
        return write_attribute(p, at, slice_of(raw.p, (size_t)(dot - raw.p)),
                               slice_of(dot + 1, raw.n - (size_t)(dot - raw.p) - 1), out, e);
    }
    struct json_iter it = json_iter(argument);
    if (argument.type != JSON_ARRAY || json_count(argument) != 2 || !json_next(&it))
        return fault(at, e, "must be [\"RESOURCE\", \"ATTRIBUTE\"]");
    first = it.value;
    (void)json_next(&it);
    second = it.value;
    if (first.type != JSON_STRING || second.type != JSON_STRING)
        return fault(at, e, "must be [\"RESOURCE\", \"ATTRIBUTE\"]");
    return write_attribute(p, at, json_raw(first), json_raw(second), out, e);
}

/* One ${NAME} of an Fn::Sub, appended as text. */
static int
substitute(struct parser *p, const struct path *at, struct slice name, const struct json *map, struct buf *text,
           struct err *e)
{
    struct json value;
    struct buf out = BUF_INIT;
    char key[256];
    int rc;
    snprintf(key, sizeof key, "%.*s", SLICE_ARG(name));
    if (map && json_get(*map, key, &value))
        return resolve_text(p, at, value, text, e);
    const char *dot = memchr(name.p, '.', name.n);
    if (dot)
        rc = write_attribute(p, at, slice_of(name.p, (size_t)(dot - name.p)),
                             slice_of(dot + 1, name.n - (size_t)(dot - name.p) - 1), &out, e);
    else
        rc = write_ref(p, at, name, &out, e);
    if (rc == 0 && (rc = json_parse(buf_slice(&out), &value, e)) == 0)
        rc = value.type == JSON_STRING ? json_decode(value, text, e) : fault(at, e, "${%s} is no string", key);
    buf_clean_up(&out);
    return rc;
}

static int
sub(struct parser *p, const struct path *at, struct json argument, struct buf *out, struct err *e)
{
    struct json format = argument, map;
    bool has_map = false;
    if (argument.type == JSON_ARRAY) {
        struct json_iter it = json_iter(argument);
        if (json_count(argument) != 2 || !json_next(&it))
            return fault(at, e, "must be a string or [string, object]");
        format = it.value;
        (void)json_next(&it);
        map = it.value;
        has_map = map.type == JSON_OBJECT;
        if (!has_map)
            return fault(at, e, "must be a string or [string, object]");
    }
    if (format.type != JSON_STRING)
        return fault(at, e, "must be a string or [string, object]");
    struct buf source = BUF_INIT, text = BUF_INIT;
    int rc = json_decode(format, &source, e);
    const char *c = source.data, *end = source.data + source.len;
    while (rc == 0 && c < end) {
        if (c + 1 < end && c[0] == '$' && c[1] == '{') {
            const char *close = memchr(c, '}', (size_t)(end - c));
            if (!close) {
                rc = fault(at, e, "\"${\" without \"}\"");
                break;
            }
            struct slice name = slice_of(c + 2, (size_t)(close - c) - 2);
            if (name.n > 0 && name.p[0] == '!')
                buf_add_format(&text, "${%.*s}", (int)name.n - 1, name.p + 1);
            else if (name.n > 0)
                rc = substitute(p, at, name, has_map ? &map : NULL, &text, e);
            else
                rc = fault(at, e, "\"${}\" names nothing");
            c = close + 1;
        } else {
            buf_add_char(&text, *c++);
        }
    }
    if (rc == 0)
        json_write_string(out, buf_slice(&text));
    buf_clean_up(&source);
    buf_clean_up(&text);
    return rc;
}

/* Evaluates an argument of the form [x, y] into json values that live in *out. */
static int
resolve_pair(struct parser *p, const struct path *at, struct json argument, const char *form, struct buf *out,
             struct json *ret_first, struct json *ret_second, struct err *e)
{
    struct json pair;
    int rc = resolve(p, at, argument, out, e);
    if (rc == 0)
        rc = json_parse(buf_slice(out), &pair, e);
    if (rc != 0)
        return rc;
    struct json_iter it = json_iter(pair);
    if (pair.type != JSON_ARRAY || json_count(pair) != 2 || !json_next(&it))
        return fault(at, e, "must be %s", form);
    *ret_first = it.value;
    (void)json_next(&it);
    *ret_second = it.value;
    return 0;
}

static int
join(struct parser *p, const struct path *at, struct json argument, struct buf *out, struct err *e)
{
    struct buf pair = BUF_INIT, text = BUF_INIT;
    struct json separator, list;
    int rc = resolve_pair(p, at, argument, "[separator, [string, ...]]", &pair, &separator, &list, e);
    if (rc == 0 && (separator.type != JSON_STRING || list.type != JSON_ARRAY))
        rc = fault(at, e, "must be [separator, [string, ...]]");
    for (struct json_iter it = json_iter(list); rc == 0 && json_next(&it);) {
        if (it.index > 0)
            rc = json_decode(separator, &text, e);
        if (rc == 0)
            rc = it.value.type == JSON_STRING ? json_decode(it.value, &text, e) : fault(at, e, "joins strings only");
    }
    if (rc == 0)
        json_write_string(out, buf_slice(&text));
    buf_clean_up(&pair);
    buf_clean_up(&text);
    return rc;
}

static int
select_one(struct parser *p, const struct path *at, struct json argument, struct buf *out, struct err *e)
{
    struct buf pair = BUF_INIT;
    struct json index, list;
    int64_t i = -1;
    int rc = resolve_pair(p, at, argument, "[index, [value, ...]]", &pair, &index, &list, e);
    if (rc == 0) {
        char digits[24];
        struct slice raw = index.type == JSON_STRING ? json_raw(index) : index.text;
        snprintf(digits, sizeof digits, "%.*s", SLICE_ARG(raw));
        char *end;
        i = strtoll(digits, &end, 10);
        if (raw.n == 0 || *end || list.type != JSON_ARRAY || i < 0 || (size_t)i >= json_count(list))
            rc = fault(at, e, "must be [index, [value, ...]] with an index inside the list");
    }
    for (struct json_iter it = json_iter(list); rc == 0 && json_next(&it);)
        if (it.index == (size_t)i)
            buf_add_slice(out, it.value.text);
    buf_clean_up(&pair);
    return rc;
}

static int
split(struct parser *p, const struct path *at, struct json argument, struct buf *out, struct err *e)
{
    struct buf pair = BUF_INIT, separator_text = BUF_INIT, text = BUF_INIT;
    struct json separator, source;
    int rc = resolve_pair(p, at, argument, "[separator, string]", &pair, &separator, &source, e);
    if (rc == 0 && (separator.type != JSON_STRING || source.type != JSON_STRING || json_raw(separator).n == 0))
        rc = fault(at, e, "must be [separator, string]");
    if (rc == 0)
        rc = json_decode(separator, &separator_text, e);
    if (rc == 0)
        rc = json_decode(source, &text, e);
    if (rc == 0) {
        buf_add_char(out, '[');
        const char *at_text = text.data ? text.data : "";
        for (const char *hit; (hit = strstr(at_text, separator_text.data)); at_text = hit + separator_text.len) {
            json_write_string(out, slice_of(at_text, (size_t)(hit - at_text)));
            buf_add_char(out, ',');
        }
        json_write_string(out, slice_of_string(at_text));
        buf_add_char(out, ']');
    }
    buf_clean_up(&pair);
    buf_clean_up(&separator_text);
    buf_clean_up(&text);
    return rc;
}

static int
ref(struct parser *p, const struct path *at, struct json argument, struct buf *out, struct err *e)
{
    if (argument.type != JSON_STRING)
        return fault(at, e, "must be a string");
    return write_ref(p, at, json_raw(argument), out, e);
}

static const struct function {
    const char *name;
    int (*run)(struct parser *p, const struct path *at, struct json argument, struct buf *out, struct err *e);
} FUNCTIONS[] = {
    {"Ref", ref},       {"Fn::GetAtt", get_att},    {"Fn::Sub", sub},
    {"Fn::Join", join}, {"Fn::Select", select_one}, {"Fn::Split", split},
};

/* ---- the tree ---------------------------------------------------------------------------------------------------- */

static int
resolve_function(struct parser *p, const struct path *at, struct json key, struct json argument, struct buf *out,
                 struct err *e)
{
    struct path inside = below(at, json_raw(key));
    for (size_t i = 0; i < sizeof FUNCTIONS / sizeof *FUNCTIONS; i++)
        if (json_equals_string(key, slice_of_string(FUNCTIONS[i].name)))
            return FUNCTIONS[i].run(p, &inside, argument, out, e);
    return fault(&inside, e, "this function is not supported here");
}

static int
resolve(struct parser *p, const struct path *at, struct json value, struct buf *out, struct err *e)
{
    int rc = 0;
    if (at->depth > DEPTH_MAX)
        return fault(at, e, "nested deeper than %d levels", DEPTH_MAX);
    if (value.type != JSON_OBJECT && value.type != JSON_ARRAY) {
        buf_add_slice(out, value.text);
        return 0;
    }
    struct json_iter it = json_iter(value);
    if (value.type == JSON_OBJECT && json_count(value) == 1 && json_next(&it) &&
        (json_equals_string(it.key, SLICE("Ref")) || slice_starts_with(json_raw(it.key), SLICE("Fn::"))))
        return resolve_function(p, at, it.key, it.value, out, e);
    buf_add_char(out, value.type == JSON_OBJECT ? '{' : '[');
    for (it = json_iter(value); rc == 0 && json_next(&it);) {
        struct path inside = value.type == JSON_OBJECT ? below(at, json_raw(it.key)) : element(at, it.index);
        if (it.index > 0)
            buf_add_char(out, ',');
        if (value.type == JSON_OBJECT) {
            buf_add_slice(out, it.key.text);
            buf_add_char(out, ':');
        }
        rc = resolve(p, &inside, it.value, out, e);
    }
    buf_add_char(out, value.type == JSON_OBJECT ? '}' : ']');
    return rc;
}

static int
take_name(struct parser *p, struct node *node, const struct path *at, struct err *e)
{
    const struct type *type = type_of(node->resource.type);
    struct json properties, name;
    node->resource.name = node->resource.id;
    if (!type)
        return 0;
    int rc = json_parse(node->resource.properties, &properties, e);
    if (rc != 0 || !json_get(properties, type->name_property, &name))
        return rc;
    struct path inside = below(at, slice_of_string(type->name_property));
    if (name.type != JSON_STRING || json_raw(name).n == 0)
        return fault(&inside, e, "must be a string that is not empty");
    node->resource.name = text_of(p, name, e);
    return node->resource.name ? 0 : e ? e->code : ERR_INVALID;
}

static int
resolve_node(struct parser *p, struct node *node, struct err *e)
{
    struct path resources = below(NULL, SLICE("Resources")), at = below(&resources, slice_of_string(node->resource.id));
    struct path inside = below(&at, SLICE("Properties"));
    if (node->state == RESOLVED)
        return 0;
    if (node->state == OPEN)
        return fault(&at, e, "refers to itself in a circle");
    node->state = OPEN;
    struct buf out = BUF_INIT;
    int rc = 0;
    if (node->has_properties)
        rc = resolve(p, &inside, node->properties, &out, e);
    else
        buf_add_string(&out, "{}");
    const char *copy = rc == 0 && !buf_failed(&out) ? arena_strndup(&p->arena, out.data, out.len) : NULL;
    if (rc == 0 && !copy)
        rc = err_no_memory(e);
    if (rc == 0) {
        node->resource.properties = slice_of(copy, out.len);
        rc = take_name(p, node, &inside, e);
    }
    buf_clean_up(&out);
    if (rc != 0)
        return rc;
    node->state = RESOLVED;
    p->ordered[p->n_ordered++] = node->resource;
    return 0;
}

static int
read_resource(struct parser *p, const struct path *resources, struct json key, struct json value, struct err *e)
{
    struct path at = below(resources, json_raw(key));
    struct node *node = &p->nodes[p->n_nodes];
    struct json type;
    if (value.type != JSON_OBJECT)
        return fault(&at, e, "must be an object");
    struct path type_at = below(&at, SLICE("Type"));
    if (!json_get(value, "Type", &type) || type.type != JSON_STRING)
        return fault(&type_at, e, "must be a string, the resource's type");
    node->resource.id = text_of(p, key, e);
    node->resource.type = node->resource.id ? text_of(p, type, e) : NULL;
    if (!node->resource.type)
        return e ? e->code : ERR_INVALID;
    node->has_properties = json_get(value, "Properties", &node->properties);
    struct path properties_at = below(&at, SLICE("Properties"));
    if (node->has_properties && node->properties.type != JSON_OBJECT)
        return fault(&properties_at, e, "must be an object");
    p->n_nodes++;
    return 0;
}

static int
check_parameters(struct parser *p, struct err *e)
{
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
parse(struct parser *p, struct slice text, struct err *e)
{
    struct json root, resources;
    struct path at = below(NULL, SLICE("Resources")), parameters_at = below(NULL, SLICE("Parameters"));
    int rc = json_parse(text, &root, e);
    if (rc != 0)
        return err_prefix(e, rc, "the template is no JSON");
    if (root.type != JSON_OBJECT)
        return fault(NULL, e, "must be a JSON object");
    p->has_parameters = json_get(root, "Parameters", &p->parameters);
    if (p->has_parameters && p->parameters.type != JSON_OBJECT)
        return fault(&parameters_at, e, "must be an object");
    if ((rc = check_parameters(p, e)) != 0)
        return rc;
    if (!json_get(root, "Resources", &resources) || resources.type != JSON_OBJECT || json_count(resources) == 0)
        return fault(&at, e, "must be an object with at least one resource");
    p->nodes = arena_zalloc(&p->arena, json_count(resources) * sizeof *p->nodes);
    p->ordered = arena_zalloc(&p->arena, json_count(resources) * sizeof *p->ordered);
    if (!p->nodes || !p->ordered)
        return err_no_memory(e);
    for (struct json_iter it = json_iter(resources); rc == 0 && json_next(&it);)
        rc = read_resource(p, &at, it.key, it.value, e);
    for (size_t i = 0; rc == 0 && i < p->n_nodes; i++)
        rc = resolve_node(p, &p->nodes[i], e);
    return rc;
}

int
template_parse(struct slice text, const struct template_environment *environment, struct template **ret_template,
               struct err *e)
{
    struct parser *p = calloc(1, sizeof *p);
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
    struct parser *p = (struct parser *)t;
    if (!p)
        return;
    arena_clean_up(&p->arena);
    free(p);
}
