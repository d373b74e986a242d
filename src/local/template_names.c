/* What the resources of a template are called: their names and their ARNs. */
#include <string.h>

#include "local/template_impl.h"

static const struct type {
    const char *type, *name_property;
    const char *arn; /* P partition, R region, A account, B bus and slash, N name */
} TYPES[] = {
    {"AWS::Events::EventBus", "Name", "arn:P:events:R:A:event-bus/N"},
    {"AWS::Events::Rule", "Name", "arn:P:events:R:A:rule/BN"},
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

/* "BUS/" of a rule; nothing for the default bus. A bus may be given by its ARN. */
static void
write_bus(const struct template_node *rule, struct buf *out)
{
    struct json properties, bus;
    struct buf name = BUF_INIT;
    if (json_parse(rule->resource.properties, &properties, NULL) == 0 && json_get(properties, "EventBusName", &bus) &&
        bus.type == JSON_STRING && json_decode(bus, &name, NULL) == 0 && name.len > 0) {
        const char *mark = memmem(name.data, name.len, ":event-bus/", 11);
        buf_consume(&name, mark ? (size_t)(mark - name.data) + 11 : 0);
        if (!slice_equals_string(buf_slice(&name), "default"))
            buf_add_format(out, "%.*s/", SLICE_ARG(buf_slice(&name)));
    }
    buf_clean_up(&name);
}

bool
template_write_attribute(const struct template_parser *p, const struct template_node *node, struct slice attribute,
                         struct buf *out)
{
    const struct type *type = type_of(node->resource.type);
    if (type && slice_equals_string(attribute, type->name_property)) {
        buf_add_string(out, node->resource.name);
        return true;
    }
    if (!type || !slice_equals_string(attribute, "Arn"))
        return false;
    for (const char *c = type->arn; *c; c++) {
        if (*c == 'P')
            buf_add_string(out, "aws");
        else if (*c == 'R')
            buf_add_string(out, p->environment->region);
        else if (*c == 'A')
            buf_add_string(out, p->environment->account);
        else if (*c == 'B')
            write_bus(node, out);
        else if (*c == 'N')
            buf_add_string(out, node->resource.name);
        else
            buf_add_char(out, *c);
    }
    return true;
}

static bool
is_fifo_queue(const struct template_node *node, struct json properties)
{
    struct json fifo;
    return strcmp(node->resource.type, "AWS::SQS::Queue") == 0 && json_get(properties, "FifoQueue", &fifo) &&
           ((fifo.type == JSON_BOOL && json_bool(fifo)) ||
            (fifo.type == JSON_STRING && slice_equals_string(json_raw(fifo), "true")));
}

/* CloudFormation makes names up where a template gives none; here it is the logical id, in small letters for buckets,
 * which can have no others, and with .fifo behind it for FIFO queues. */
static int
name_after_id(struct template_parser *p, struct template_node *node, struct json properties, struct err *e)
{
    char *name = arena_format(&p->arena, "%s%s", node->resource.id, is_fifo_queue(node, properties) ? ".fifo" : "");
    if (!name)
        return err_no_memory(e);
    if (strcmp(node->resource.type, "AWS::S3::Bucket") == 0)
        for (char *c = name; *c; c++)
            *c = (char)(*c >= 'A' && *c <= 'Z' ? *c | 32 : *c);
    node->resource.name = name;
    return 0;
}

int
template_take_name(struct template_parser *p, struct template_node *node, const struct template_path *properties_at,
                   struct err *e)
{
    const struct type *type = type_of(node->resource.type);
    struct json properties, name;
    int rc = json_parse(node->resource.properties, &properties, e);
    if (rc != 0)
        return rc;
    if (!type || !json_get(properties, type->name_property, &name) || name.type == JSON_NULL)
        return name_after_id(p, node, properties, e);
    struct template_path at = template_below(properties_at, slice_of_string(type->name_property));
    return template_take_text(p, &at, name, &node->resource.name, e);
}
