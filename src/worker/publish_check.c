#include "worker/publish_check.h"

#include <strings.h>

#include "aws/events.h"
#include "base/json.h"
#include "base/utf8.h"
#include "worker/publish_list.h"

/* PutEvents, SendMessage: API references; FACTS.md. */
#define SOURCE_BYTES      256
#define DETAIL_TYPE_BYTES 128
#define BUS_BYTES         1600
#define QUEUE_NAME_BYTES  80
#define QUEUE_URL_BYTES   1000
#define NAME_BYTES        256
#define DELAY_MAX_S       900
#define LETTERS           "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS            "0123456789"

/* ---- texts ---- */

static struct slice
slice_of_plugin(struct handler_slice s)
{
    return slice_of(s.p, s.p ? s.n : 0);
}

static struct handler_slice
given_or(struct handler_slice s, const char *otherwise)
{
    return s.p && s.n > 0 ? s : (struct handler_slice){otherwise, strlen(otherwise)};
}

static bool
is_xml(const unsigned char *p, size_t n)
{
    if (n == 1)
        return p[0] >= 0x20 || p[0] == '\t' || p[0] == '\n' || p[0] == '\r';
    return !(n == 3 && p[0] == 0xef && p[1] == 0xbf && p[2] >= 0xbe); /* U+FFFE, U+FFFF */
}

bool
publish_is_text(struct slice s)
{
    const char *p = s.p, *end = p + s.n;
    while (p < end) {
        size_t n = utf8_length(p, end);
        if (n == 0 || !is_xml((const unsigned char *)p, n))
            return false;
        p += n;
    }
    return true;
}

static int
check_text(const char *what, struct slice text, size_t max, struct err *e)
{
    if (text.n == 0)
        return err_set(e, ERR_INVALID, "%s is missing", what);
    if (text.n > max)
        return err_set(e, ERR_INVALID, "%s has %zu bytes, %zu are allowed", what, text.n, max);
    if (!publish_is_text(text))
        return err_set(e, ERR_INVALID, "%s is no UTF-8 text of XML 1.0's characters", what);
    return 0;
}

static bool
is_made_of(struct slice s, const char *chars)
{
    for (size_t i = 0; i < s.n; i++)
        if (!s.p[i] || !strchr(chars, s.p[i]))
            return false;
    return s.n > 0;
}

static bool
is_printable(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] >= 0x7f)
            return false;
    return true;
}

/* A message group or a deduplication id. */
static int
check_id(const char *what, struct slice id, struct err *e)
{
    return id.n <= PUBLISH_ID_BYTES && is_printable(id)
               ? 0
               : err_set(e, ERR_INVALID, "%s is not 1 to %d letters, digits and punctuation marks", what,
                         PUBLISH_ID_BYTES);
}

/* As much of a struct of the plugin's as it has and we know. */
static int
read_struct(const char *what, const void *given, uint32_t size, void *out, size_t known, struct err *e)
{
    if (size < 2 * sizeof(uint32_t))
        return err_set(e, ERR_INVALID, "the size of the %s is not set", what);
    memcpy(out, given, size < known ? size : known);
    return 0;
}

/* ---- events ---- */

static int
check_bus(struct slice bus, struct err *e)
{
    if (!is_made_of(bus, LETTERS DIGITS "/.-_:") || bus.n > BUS_BYTES ||
        (memchr(bus.p, ':', bus.n) && !slice_starts_with(bus, SLICE("arn:"))))
        return err_set(e, ERR_INVALID, "bus \"%.100s\" is no name and no ARN of an event bus", bus.p);
    return 0;
}

static int
check_detail(struct slice detail, struct err *e)
{
    struct json value;
    if (detail.n == 0)
        return err_set(e, ERR_INVALID, "detail is missing");
    if (detail.n > EVENTS_BYTES_MAX)
        return err_set(e, ERR_LIMIT, "detail has %zu bytes, %d are allowed", detail.n, EVENTS_BYTES_MAX);
    int rc = json_parse(detail, &value, e);
    if (rc != 0)
        return err_prefix(e, rc, "detail is no JSON");
    return value.type == JSON_OBJECT ? 0 : err_set(e, ERR_INVALID, "detail is no JSON object");
}

static int
check_resources(const struct handler_new_event *v, struct err *e)
{
    if (v->resource_count > EVENTS_BYTES_MAX)
        return err_set(e, ERR_LIMIT, "%u resources are more than one call has room for", v->resource_count);
    if (v->resource_count > 0 && !v->resources)
        return err_set(e, ERR_INVALID, "resources is NULL");
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < v->resource_count; i++)
        rc = check_text("a resource", slice_of_plugin(v->resources[i]), EVENTS_BYTES_MAX, e);
    return rc;
}

int
publish_check_event(const struct handler_new_event *event, const char *bus_default, struct handler_new_event *ret_event,
                    struct err *e)
{
    struct handler_new_event v = {0};
    if (!event)
        return err_set(e, ERR_INVALID, "the event is NULL");
    int rc = read_struct("event", event, event->size, &v, sizeof v, e);
    if (rc != 0)
        return rc;
    v.bus = given_or(v.bus, bus_default);
    if (v.bus.n == 0)
        return err_set(e, ERR_NOT_FOUND, "no bus was named, and publish.bus is not configured");
    rc = check_bus(slice_of_plugin(v.bus), e);
    if (rc == 0)
        rc = check_text("source", slice_of_plugin(v.source), SOURCE_BYTES, e);
    if (rc == 0 && slice_starts_with(slice_of_plugin(v.source), SLICE("aws.")))
        rc = err_set(e, ERR_INVALID, "source \"%.*s\": those that begin with \"aws.\" are AWS's own", (int)v.source.n,
                     v.source.p);
    if (rc == 0)
        rc = check_text("detail_type", slice_of_plugin(v.detail_type), DETAIL_TYPE_BYTES, e);
    if (rc == 0)
        rc = check_resources(&v, e);
    if (rc == 0 && v.time_ms < 0)
        rc = err_set(e, ERR_INVALID, "time_ms is before 1970");
    if (rc == 0)
        rc = check_detail(slice_of_plugin(v.detail), e);
    if (rc == 0)
        *ret_event = v;
    return rc;
}

/* ---- messages ---- */

static bool
is_url(struct slice s)
{
    return slice_starts_with(s, SLICE("http://")) || slice_starts_with(s, SLICE("https://"));
}

static int
check_queue(struct slice queue, bool *ret_fifo, struct err *e)
{
    const struct slice suffix = SLICE(".fifo");
    *ret_fifo = queue.n > suffix.n && memcmp(queue.p + queue.n - suffix.n, suffix.p, suffix.n) == 0;
    struct slice name = slice_of(queue.p, queue.n - (*ret_fifo ? suffix.n : 0));
    bool fits = is_url(queue) ? queue.n <= QUEUE_URL_BYTES && is_printable(queue)
                              : queue.n <= QUEUE_NAME_BYTES && is_made_of(name, LETTERS DIGITS "-_");
    return fits ? 0
                : err_set(e, ERR_INVALID, "queue \"%.*s\" is no name and no URL of a queue",
                          (int)(queue.n < 100 ? queue.n : 100), queue.p);
}

static size_t
digits(const char **p, const char *end)
{
    size_t n = 0;
    for (; *p < end && **p >= '0' && **p <= '9'; (*p)++)
        n++;
    return n;
}

static void
sign(const char **p, const char *end)
{
    if (*p < end && (**p == '-' || **p == '+'))
        (*p)++;
}

static bool
is_number(struct slice s)
{
    const char *p = s.p, *end = p + s.n;
    sign(&p, end);
    size_t n = digits(&p, end);
    if (p < end && *p == '.') {
        p++;
        n += digits(&p, end);
    }
    if (n > 0 && p < end && (*p == 'e' || *p == 'E')) {
        p++;
        sign(&p, end);
        n = digits(&p, end);
    }
    return n > 0 && p == end;
}

static bool
is_type(struct slice type, const char *base)
{
    size_t n = strlen(base);
    return slice_starts_with(type, slice_of(base, n)) && (type.n == n || (type.n > n + 1 && type.p[n] == '.'));
}

static bool
is_attribute_name(struct slice s)
{
    return is_made_of(s, LETTERS DIGITS "_-.") && s.p[0] != '.' && s.p[s.n - 1] != '.' && !memmem(s.p, s.n, "..", 2) &&
           !(s.n >= 4 && strncasecmp(s.p, "AWS.", 4) == 0) && !(s.n >= 7 && strncasecmp(s.p, "Amazon.", 7) == 0);
}

static int
check_attribute(const struct handler_attribute *a, struct err *e)
{
    struct slice name = slice_of_plugin(a->name), type = slice_of_plugin(a->type), value = slice_of_plugin(a->value);
    int rc = check_text("an attribute's name", name, NAME_BYTES, e);
    if (rc == 0 && !is_attribute_name(name))
        rc = err_set(e, ERR_INVALID, "attribute \"%.*s\": that is no name SQS takes", SLICE_ARG(name));
    if (rc == 0)
        rc = check_text("an attribute's type", type, NAME_BYTES, e);
    if (rc != 0)
        return rc;
    bool number = is_type(type, "Number"), binary = is_type(type, "Binary");
    if (!number && !binary && !is_type(type, "String"))
        return err_set(e, ERR_INVALID, "attribute %.*s: its type is no String, Number or Binary", SLICE_ARG(name));
    if (value.n == 0)
        return err_set(e, ERR_INVALID, "attribute %.*s has no value", SLICE_ARG(name));
    if (value.n > SQS_MESSAGE_BYTES_MAX)
        return err_set(e, ERR_LIMIT, "attribute %.*s has %zu bytes", SLICE_ARG(name), value.n);
    if (!binary && !publish_is_text(value))
        return err_set(e, ERR_INVALID, "attribute %.*s is no UTF-8 text of XML 1.0's characters", SLICE_ARG(name));
    if (number && !is_number(value))
        return err_set(e, ERR_INVALID, "attribute %.*s is no number", SLICE_ARG(name));
    return 0;
}

/* And that there is room for ours. */
static int
check_attributes(const struct handler_new_message *v, struct err *e)
{
    int n = 2;
    if (v->attribute_count > 0 && !v->attributes)
        return err_set(e, ERR_INVALID, "attributes is NULL");
    for (uint32_t i = 0; i < v->attribute_count; i++) {
        int rc = check_attribute(&v->attributes[i], e);
        if (rc != 0)
            return rc;
        struct slice name = slice_of_plugin(v->attributes[i].name);
        n += !slice_equals_string(name, PUBLISH_CAUSE) && !slice_equals_string(name, PUBLISH_CORRELATION);
        if (n > PUBLISH_ATTRIBUTES)
            return err_set(e, ERR_INVALID, "more than %d attributes, the host's two included", PUBLISH_ATTRIBUTES);
        for (uint32_t k = 0; k < i; k++)
            if (slice_equals(name, slice_of_plugin(v->attributes[k].name)))
                return err_set(e, ERR_INVALID, "attribute %.*s is there twice", SLICE_ARG(name));
    }
    return 0;
}

static int
check_order(const struct handler_new_message *v, bool fifo, struct err *e)
{
    struct slice dedup_id = slice_of_plugin(v->deduplication_id);
    int rc = check_id("group", slice_of_plugin(v->group), e);
    if (rc == 0)
        rc = check_id("deduplication_id", dedup_id, e);
    if (rc == 0 && dedup_id.n > 0 && !fifo)
        rc = err_set(e, ERR_INVALID, "deduplication_id is for FIFO queues");
    if (rc == 0 && (v->delay_s < -1 || v->delay_s > DELAY_MAX_S))
        rc = err_set(e, ERR_INVALID, "delay_s is %d; -1 to %d is allowed", v->delay_s, DELAY_MAX_S);
    if (rc == 0 && fifo && v->delay_s != 0)
        rc = err_set(e, ERR_INVALID, "delay_s is %d; a FIFO queue has its own alone", v->delay_s);
    return rc;
}

int
publish_check_message(const struct handler_new_message *message, const char *queue_default,
                      struct handler_new_message *ret_message, bool *ret_fifo, struct err *e)
{
    struct handler_new_message v = {0};
    if (!message)
        return err_set(e, ERR_INVALID, "the message is NULL");
    int rc = read_struct("message", message, message->size, &v, sizeof v, e);
    if (rc != 0)
        return rc;
    v.queue = given_or(v.queue, queue_default);
    if (v.queue.n == 0)
        return err_set(e, ERR_NOT_FOUND, "no queue was named, and publish.queue is not configured");
    struct slice body = slice_of_plugin(v.body);
    rc = check_queue(slice_of_plugin(v.queue), ret_fifo, e);
    if (rc == 0 && body.n > SQS_MESSAGE_BYTES_MAX)
        rc = err_set(e, ERR_LIMIT, "body has %zu bytes, %d are allowed", body.n, SQS_MESSAGE_BYTES_MAX);
    if (rc == 0)
        rc = check_text("body", body, SQS_MESSAGE_BYTES_MAX, e);
    if (rc == 0)
        rc = check_attributes(&v, e);
    if (rc == 0)
        rc = check_order(&v, *ret_fifo, e);
    if (rc == 0)
        *ret_message = v;
    return rc;
}
