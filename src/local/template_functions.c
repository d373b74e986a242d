#include "local/template_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Ref and Fn::GetAtt: these give a string, or a list for a list parameter ------------------------------------- */

static bool
pseudo_parameter(const struct template_parser *p, struct slice name, struct buf *out)
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

/* A list parameter's text, "a, b", as ["a","b"]. */
static void
write_list(struct slice text, struct buf *out)
{
    buf_add_char(out, '[');
    for (size_t at = 0; at <= text.n;) {
        const char *comma = at < text.n ? memchr(text.p + at, ',', text.n - at) : NULL;
        size_t end = comma ? (size_t)(comma - text.p) : text.n;
        size_t start = at;
        while (start < end && text.p[start] == ' ')
            start++;
        if (at > 0)
            buf_add_char(out, ',');
        json_write_string(out, start < end ? slice_of(text.p + start, end - start) : SLICE(""));
        at = end + 1;
    }
    buf_add_char(out, ']');
}

static bool
find_parameter(const struct template_parser *p, struct slice name, struct json *ret)
{
    bool found = false;
    if (p->has_parameters)
        for (struct json_iter it = json_iter(p->parameters); json_next(&it);)
            if (json_equals_string(it.key, name)) {
                *ret = it.value;
                found = true;
            }
    return found;
}

/* The parameter's text: what was given for it, else its default. */
static int
parameter_text(const struct template_parser *p, const struct template_path *at, struct slice name,
               struct json parameter, struct buf *out, struct err *e)
{
    struct json value;
    for (size_t i = p->environment->n_parameters; i-- > 0;)
        if (slice_equals(p->environment->parameters[i].name, name)) {
            buf_add_slice(out, p->environment->parameters[i].value);
            return 0;
        }
    if (!json_get(parameter, "Default", &value))
        return template_fault(at, e, "parameter \"%.*s\" has no value and no default", SLICE_ARG(name));
    if (value.type == JSON_STRING)
        return template_decode(at, value, out, e);
    buf_add_slice(out, value.text);
    return 0;
}

static int
write_parameter(const struct template_parser *p, const struct template_path *at, struct slice name, struct buf *out,
                struct err *e)
{
    struct json parameter, type;
    struct buf text = BUF_INIT;
    if (!find_parameter(p, name, &parameter))
        return template_fault(at, e, "there is no resource or parameter \"%.*s\"", SLICE_ARG(name));
    int rc = parameter_text(p, at, name, parameter, &text, e);
    bool list = json_get(parameter, "Type", &type) && type.type == JSON_STRING &&
                (json_equals_string(type, SLICE("CommaDelimitedList")) || json_starts_with(type, SLICE("List<")));
    if (rc == 0 && list)
        write_list(buf_slice(&text), out);
    else if (rc == 0)
        json_write_string(out, buf_slice(&text));
    buf_clean_up(&text);
    return rc;
}

static int
write_ref(struct template_parser *p, const struct template_path *at, struct slice name, struct buf *out, struct err *e)
{
    const struct template_node *node;
    struct buf text = BUF_INIT;
    if (slice_equals_string(name, "AWS::NoValue")) {
        buf_add_string(out, "null");
        return 0;
    }
    int rc = template_find(p, name, &node, e);
    if (rc != 0)
        return rc;
    bool known = node != NULL;
    if (node) {
        if (strcmp(node->resource.type, "AWS::SQS::Queue") == 0)
            buf_add_string(&text, p->environment->queue_url_base);
        buf_add_string(&text, node->resource.name);
    } else {
        known = pseudo_parameter(p, name, &text);
    }
    if (known)
        json_write_string(out, buf_slice(&text));
    else
        rc = write_parameter(p, at, name, out, e);
    buf_clean_up(&text);
    return rc;
}

static int
write_attribute(struct template_parser *p, const struct template_path *at, struct slice id, struct slice attribute,
                struct buf *out, struct err *e)
{
    const struct template_node *node;
    struct buf text = BUF_INIT;
    int rc = template_find(p, id, &node, e);
    if (rc != 0)
        return rc;
    if (!node)
        return template_fault(at, e, "there is no resource \"%.*s\"", SLICE_ARG(id));
    if (template_write_attribute(p, node, attribute, &text))
        json_write_string(out, buf_slice(&text));
    else
        rc = template_fault(at, e, "%s \"%s\" has no attribute \"%.*s\" here", node->resource.type, node->resource.id,
                            SLICE_ARG(attribute));
    buf_clean_up(&text);
    return rc;
}

/* "RESOURCE.ATTRIBUTE" */
static int
write_dotted(struct template_parser *p, const struct template_path *at, struct slice text, struct buf *out,
             struct err *e)
{
    const char *dot = text.n ? memchr(text.p, '.', text.n) : NULL;
    if (!dot)
        return template_fault(at, e, "must be \"RESOURCE.ATTRIBUTE\"");
    size_t n = (size_t)(dot - text.p);
    return write_attribute(p, at, slice_of(text.p, n), slice_of(dot + 1, text.n - n - 1), out, e);
}

/* The two elements of a list of two; false for anything else. */
static bool
is_pair(struct json value, struct json *ret_first, struct json *ret_second)
{
    struct json_iter it = json_iter(value);
    if (value.type != JSON_ARRAY || !json_next(&it))
        return false;
    *ret_first = it.value;
    if (!json_next(&it))
        return false;
    *ret_second = it.value;
    return !json_next(&it);
}

static int
ref(struct template_parser *p, const struct template_path *at, struct json argument, struct buf *out, struct err *e)
{
    if (argument.type != JSON_STRING)
        return template_fault(at, e, "must be a string");
    return write_ref(p, at, json_raw(argument), out, e);
}

static int
get_att(struct template_parser *p, const struct template_path *at, struct json argument, struct buf *out, struct err *e)
{
    struct json id = {.type = JSON_NULL}, attribute = {.type = JSON_NULL};
    if (argument.type == JSON_STRING)
        return write_dotted(p, at, json_raw(argument), out, e);
    if (!is_pair(argument, &id, &attribute) || id.type != JSON_STRING || attribute.type != JSON_STRING)
        return template_fault(at, e, "must be [\"RESOURCE\", \"ATTRIBUTE\"]");
    return write_attribute(p, at, json_raw(id), json_raw(attribute), out, e);
}

/* ---- Fn::Sub ----------------------------------------------------------------------------------------------------- */

/* Reads what a function wrote. */
static int
read_back(const struct buf *out, struct json *ret, struct err *e)
{
    return buf_failed(out) ? err_no_memory(e) : json_parse(buf_slice(out), ret, e);
}

static bool
find_in_map(const struct json *map, struct slice name, struct json *ret)
{
    bool found = false;
    if (map)
        for (struct json_iter it = json_iter(*map); json_next(&it);)
            if (json_equals_string(it.key, name)) {
                *ret = it.value;
                found = true;
            }
    return found;
}

/* One ${NAME}, appended as text: from the map, a resource's attribute, or what Ref gives. */
static int
substitute(struct template_parser *p, const struct template_path *at, struct slice name, const struct json *map,
           struct buf *text, struct err *e)
{
    struct json value = {.type = JSON_NULL};
    struct buf out = BUF_INIT;
    int rc;
    if (find_in_map(map, name, &value))
        rc = template_resolve(p, at, value, &out, e);
    else if (memchr(name.p, '.', name.n))
        rc = write_dotted(p, at, name, &out, e);
    else
        rc = write_ref(p, at, name, &out, e);
    if (rc == 0)
        rc = read_back(&out, &value, e);
    if (rc == 0 && value.type == JSON_STRING)
        rc = template_decode(at, value, text, e);
    else if (rc == 0 && (value.type == JSON_NUMBER || value.type == JSON_BOOL))
        buf_add_slice(text, value.text);
    else if (rc == 0)
        rc = template_fault(at, e, "${%.*s} is no string", SLICE_ARG(name));
    buf_clean_up(&out);
    return rc;
}

static int
fill_in(struct template_parser *p, const struct template_path *at, struct slice format, const struct json *map,
        struct buf *text, struct err *e)
{
    const char *c = format.p, *end = format.p + format.n;
    int rc = 0;
    while (rc == 0 && c < end) {
        const char *mark = memmem(c, (size_t)(end - c), "${", 2);
        buf_add(text, c, (size_t)((mark ? mark : end) - c));
        if (!mark)
            break;
        const char *close = memchr(mark, '}', (size_t)(end - mark));
        if (!close)
            return template_fault(at, e, "\"${\" without \"}\"");
        struct slice name = slice_of(mark + 2, (size_t)(close - mark) - 2);
        if (name.n == 0)
            rc = template_fault(at, e, "\"${}\" names nothing");
        else if (name.p[0] == '!')
            buf_add_format(text, "${%.*s}", (int)name.n - 1, name.p + 1);
        else
            rc = substitute(p, at, name, map, text, e);
        c = close + 1;
    }
    return rc;
}

static int
sub(struct template_parser *p, const struct template_path *at, struct json argument, struct buf *out, struct err *e)
{
    struct json format = argument, map;
    bool has_map = argument.type == JSON_ARRAY;
    if ((has_map && (!is_pair(argument, &format, &map) || map.type != JSON_OBJECT)) || format.type != JSON_STRING)
        return template_fault(at, e, "must be a string or [string, object]");
    struct buf source = BUF_INIT, text = BUF_INIT;
    buf_add_string(&source, "");
    int rc = template_decode(at, format, &source, e);
    if (rc == 0 && buf_failed(&source))
        rc = err_no_memory(e);
    if (rc == 0)
        rc = fill_in(p, at, buf_slice(&source), has_map ? &map : NULL, &text, e);
    if (rc == 0)
        json_write_string(out, buf_slice(&text));
    buf_clean_up(&source);
    buf_clean_up(&text);
    return rc;
}

/* ---- Fn::Join, Fn::Select, Fn::Split ----------------------------------------------------------------------------- */

/* Evaluates an argument of the form [x, y] into json values that live in *out. */
static int
resolve_pair(struct template_parser *p, const struct template_path *at, struct json argument, const char *form,
             struct buf *out, struct json *ret_first, struct json *ret_second, struct err *e)
{
    struct json pair = {.type = JSON_NULL};
    int rc = template_resolve(p, at, argument, out, e);
    if (rc == 0)
        rc = read_back(out, &pair, e);
    if (rc != 0)
        return rc;
    if (is_pair(pair, ret_first, ret_second))
        return 0;
    template_fault(at, e, "must be %s", form);
    return ERR_INVALID;
}

static int
join(struct template_parser *p, const struct template_path *at, struct json argument, struct buf *out, struct err *e)
{
    static const char FORM[] = "[separator, [string, ...]]";
    struct buf pair = BUF_INIT, text = BUF_INIT;
    struct json separator = {.type = JSON_NULL}, list = {.type = JSON_NULL};
    int rc = resolve_pair(p, at, argument, FORM, &pair, &separator, &list, e);
    if (rc == 0 && (separator.type != JSON_STRING || list.type != JSON_ARRAY))
        rc = template_fault(at, e, "must be %s", FORM);
    for (struct json_iter it = json_iter(list); rc == 0 && json_next(&it);) {
        if (it.index > 0)
            rc = template_decode(at, separator, &text, e);
        if (rc == 0)
            rc = it.value.type == JSON_STRING ? template_decode(at, it.value, &text, e)
                                              : template_fault(at, e, "joins strings only");
    }
    if (rc == 0)
        json_write_string(out, buf_slice(&text));
    buf_clean_up(&pair);
    buf_clean_up(&text);
    return rc;
}

/* A number, or one in a string; -1 for anything else. */
static int64_t
index_of(struct json value)
{
    struct json number = value;
    int64_t i;
    bool ok = value.type != JSON_STRING || json_parse(json_raw(value), &number, NULL) == 0;
    return ok && number.type == JSON_NUMBER && json_int64(number, &i) ? i : -1;
}

static int
select_one(struct template_parser *p, const struct template_path *at, struct json argument, struct buf *out,
           struct err *e)
{
    static const char FORM[] = "[index, [value, ...]]";
    struct buf pair = BUF_INIT;
    struct json index = {.type = JSON_NULL}, list = {.type = JSON_NULL};
    int rc = resolve_pair(p, at, argument, FORM, &pair, &index, &list, e);
    int64_t wanted = rc == 0 ? index_of(index) : -1;
    bool found = false;
    if (rc == 0 && list.type == JSON_ARRAY && wanted >= 0)
        for (struct json_iter it = json_iter(list); !found && json_next(&it);)
            if ((found = it.index == (size_t)wanted))
                buf_add_slice(out, it.value.text);
    if (rc == 0 && !found)
        rc = template_fault(at, e, "must be %s with an index inside the list", FORM);
    buf_clean_up(&pair);
    return rc;
}

static void
write_split(struct slice text, struct slice separator, struct buf *out)
{
    buf_add_char(out, '[');
    for (const char *hit; (hit = memmem(text.p, text.n, separator.p, separator.n));) {
        size_t n = (size_t)(hit - text.p);
        json_write_string(out, slice_of(text.p, n));
        buf_add_char(out, ',');
        text = slice_of(hit + separator.n, text.n - n - separator.n);
    }
    json_write_string(out, text);
    buf_add_char(out, ']');
}

static int
split(struct template_parser *p, const struct template_path *at, struct json argument, struct buf *out, struct err *e)
{
    static const char FORM[] = "[separator, string]";
    struct buf pair = BUF_INIT, separator_text = BUF_INIT, text = BUF_INIT;
    struct json separator = {.type = JSON_NULL}, source = {.type = JSON_NULL};
    int rc = resolve_pair(p, at, argument, FORM, &pair, &separator, &source, e);
    if (rc == 0 && (separator.type != JSON_STRING || source.type != JSON_STRING || json_raw(separator).n == 0))
        rc = template_fault(at, e, "must be %s", FORM);
    buf_add_string(&text, "");
    if (rc == 0)
        rc = template_decode(at, separator, &separator_text, e);
    if (rc == 0)
        rc = template_decode(at, source, &text, e);
    if (rc == 0 && (buf_failed(&separator_text) || buf_failed(&text)))
        rc = err_no_memory(e);
    if (rc == 0)
        write_split(buf_slice(&text), buf_slice(&separator_text), out);
    buf_clean_up(&pair);
    buf_clean_up(&separator_text);
    buf_clean_up(&text);
    return rc;
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

static const struct function {
    const char *name;
    int (*run)(struct template_parser *p, const struct template_path *at, struct json argument, struct buf *out,
               struct err *e);
} FUNCTIONS[] = {
    {"Ref", ref},       {"Fn::GetAtt", get_att},    {"Fn::Sub", sub},
    {"Fn::Join", join}, {"Fn::Select", select_one}, {"Fn::Split", split},
};

bool
template_is_function(struct json key)
{
    return json_equals_string(key, SLICE("Ref")) || json_starts_with(key, SLICE("Fn::"));
}

int
template_evaluate(struct template_parser *p, const struct template_path *at, struct json key, struct json argument,
                  struct buf *out, struct err *e)
{
    struct template_path inside = template_below(at, json_raw(key));
    for (size_t i = 0; i < sizeof FUNCTIONS / sizeof *FUNCTIONS; i++)
        if (json_equals_string(key, slice_of_string(FUNCTIONS[i].name)))
            return FUNCTIONS[i].run(p, &inside, argument, out, e);
    return template_fault(&inside, e, "this function is not supported here");
}
