/* relay: publishes what it receives again: events under another source on a bus, or messages on another queue.
 *
 * An example of extension fanout.publish.v1: a message is deleted only when what it became is confirmed. Detail, body
 * and attributes go on byte for byte; what does not have the text of option pattern is done with and goes nowhere. */
#include <fanout/handler.h>

#include <stdlib.h>
#include <string.h>

struct relay {
    const struct handler_host *host;
    const struct handler_publish_extension *publish;
    const struct handler_event_extension *event;
    const struct handler_attributes_extension *attributes;
    const char *bus, *queue, *source, *detail_type, *pattern;
};

static struct handler_slice
text(const char *s)
{
    struct handler_slice slice = {s, strlen(s)};
    return slice;
}

static int
equals(struct handler_slice s, const char *t)
{
    return s.n == strlen(t) && memcmp(s.p, t, s.n) == 0;
}

static int32_t
settle(const struct relay *r, struct handler_call *call, int32_t verdict, const char *reason)
{
    r->host->settle(call, 0, verdict, -1, reason);
    return verdict;
}

/* What the message's verdict is after the host said rc to what was published for it. */
static int32_t
verdict_of(const struct relay *r, struct handler_call *call, int32_t rc)
{
    if (rc == HANDLER_OK)
        return HANDLER_DONE;
    if (rc == HANDLER_E_INVALID)
        return settle(r, call, HANDLER_REJECT, "cannot be published again; the worker's log says why");
    return settle(r, call, HANDLER_RETRY, "could not be published now; the worker's log says why");
}

static int32_t
relay_event(const struct relay *r, struct handler_call *call)
{
    const struct handler_event *e = r->event->event(call, 0);
    if (!e)
        return settle(r, call, HANDLER_REJECT, "the body is no EventBridge event");
    if (equals(e->source, r->source))
        return settle(r, call, HANDLER_REJECT, "the event has this relay's own source: it would go round for ever");
    struct handler_new_event again = {.size = sizeof again,
                                      .resource_count = e->resource_count,
                                      .bus = text(r->bus),
                                      .source = text(r->source),
                                      .detail_type = *r->detail_type ? text(r->detail_type) : e->detail_type,
                                      .detail = e->detail,
                                      .resources = e->resources,
                                      .time_ms = e->time_ms > 0 ? e->time_ms : 0};
    return verdict_of(r, call, r->publish->event(call, 0, &again));
}

static int32_t
relay_message(const struct relay *r, struct handler_call *call, const struct handler_message *m)
{
    struct handler_new_message again = {.size = sizeof again,
                                        .queue = text(r->queue),
                                        .body = {m->body, m->body_len},
                                        .group = text(m->group ? m->group : "")};
    again.attributes = r->attributes->message(call, 0, &again.attribute_count);
    return verdict_of(r, call, r->publish->message(call, 0, &again));
}

static int32_t
handle(void *plugin, void *thread, struct handler_call *call, const struct handler_message *m)
{
    const struct relay *r = plugin;
    (void)thread;
    if (*r->pattern && !strstr(m->body, r->pattern))
        return HANDLER_DONE;
    return *r->queue ? relay_message(r, call, m) : relay_event(r, call);
}

static int32_t
open_relay(const struct handler_host *host, void **plugin)
{
    struct relay *r = calloc(1, sizeof *r);
    const char *wrong = NULL;
    if (!r) {
        host->log(NULL, HANDLER_LOG_ERROR, "out of memory");
        return -1;
    }
    *r = (struct relay){.host = host,
                        .publish = host->extension(HANDLER_PUBLISH_EXTENSION),
                        .event = host->extension(HANDLER_EVENT_EXTENSION),
                        .attributes = host->extension(HANDLER_ATTRIBUTES_EXTENSION),
                        .bus = host->option("bus"),
                        .queue = host->option("queue"),
                        .source = host->option("source"),
                        .detail_type = host->option("detail_type"),
                        .pattern = host->option("pattern")};
    if (!r->publish || !r->event || !r->attributes)
        wrong = "this fanoutd has no extension to publish with; a newer one does";
    else if (*r->queue && (*r->bus || *r->source || *r->detail_type))
        wrong = "option queue goes without bus, source and detail_type: to a queue, messages go as they are";
    else if (!*r->queue && !*r->source)
        wrong = "option source is missing: the source under which events are published again";
    if (wrong) {
        host->log(NULL, HANDLER_LOG_ERROR, wrong);
        free(r);
        return -1;
    }
    *plugin = r;
    return 0;
}

static const struct handler_option OPTIONS[] = {
    {"source", "string", "", "The source of the events it publishes; required unless queue is set."},
    {"detail_type", "string", "", "Their detail-type; \"\": that of the event received."},
    {"bus", "string", "", "The bus they go to, a name or an ARN; \"\": the consumer's publish.bus."},
    {"queue", "string", "", "Relays messages to this queue instead, with their attributes; a name or a URL."},
    {"pattern", "string", "", "Relays only messages whose body has this text; \"\": all."},
    {0},
};

HANDLER_DEFINE(.name = "relay", .version = "1", .help = "Publishes what it receives on another bus or queue.",
               .options = OPTIONS, .handle = handle, .open = open_relay, .close = free);
