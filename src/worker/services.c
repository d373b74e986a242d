#include "worker/services.h"

#include <stdlib.h>

#include "aws/endpoint.h"

#define MAX_CONNECTIONS 128

/* For handlers that publish: who else needs no client of EventBridge. */
static int
make_outlet(struct services *s, const struct aws_client_options *client, struct err *e)
{
    struct aws_client_options events = *client;
    if (!*s->consumer->publish.bus && !*s->consumer->publish.queue)
        return 0;
    events.service = AWS_EVENTBRIDGE;
    int rc = aws_client_new(&events, &s->events, e);
    if (rc == 0)
        publish_aws_init(&s->outlet, s->events, s->client);
    return rc;
}

int
services_init(struct services *s, const struct conf *conf, const struct conf_consumer *consumer, struct err *e)
{
    *s = (struct services){.conf = conf, .consumer = consumer};
    char *ca_file = NULL;
    int rc = endpoint_ca_file(conf->aws.ca_file, conf->aws.profile, &ca_file, e);
    const struct http_engine_options http = {
        .ca_file = ca_file, .ca_option = "aws.ca_file", .max_connections = MAX_CONNECTIONS};
    if (rc == 0)
        rc = http_engine_new(&http, &s->http, e);
    free(ca_file);
    if (rc == 0)
        rc = creds_default_new(conf->aws.profile, &s->credentials, e);
    if (rc != 0)
        return rc;
    const struct aws_client_options client = {.engine = s->http,
                                              .credentials = s->credentials,
                                              .service = AWS_SQS,
                                              .region = conf->aws.region,
                                              .profile = conf->aws.profile,
                                              .endpoint_url = conf->aws.endpoint_url};
    rc = aws_client_new(&client, &s->client, e);
    if (rc == 0)
        rc = queue_aws_new(s->client, &s->queue, e);
    if (rc == 0)
        rc = make_outlet(s, &client, e);
    return rc;
}

void
services_clean_up(struct services *s)
{
    if (s->queue)
        s->queue->ops->destroy(s->queue);
    else if (s->client)
        aws_client_destroy(s->client);
    if (s->events)
        aws_client_destroy(s->events);
    creds_provider_destroy(s->credentials);
    http_engine_destroy(s->http);
}

static int
make_dynamodb(const struct services *s, struct dedup_store **ret_store, struct err *e)
{
    const struct aws_client_options options = {.engine = s->http,
                                               .credentials = s->credentials,
                                               .service = AWS_DYNAMODB,
                                               .region = s->conf->aws.region,
                                               .profile = s->conf->aws.profile,
                                               .endpoint_url = s->consumer->dedup.endpoint_url};
    struct aws_client *client;
    int rc = aws_client_new(&options, &client, e);
    return rc == 0 ? dedup_dynamodb_new(client, s->consumer->dedup.table, ret_store, e) : rc;
}

int
services_make_dedup_store(const struct services *s, void (*wake)(void *context), void *context,
                          struct dedup_store **ret_store, struct err *e)
{
    const struct conf_consumer *c = s->consumer;
    switch (c->dedup.store) {
    case CONF_DEDUP_NONE:
        break;
    case CONF_DEDUP_MEMORY:
        return dedup_memory_new((size_t)c->dedup.max_entries, ret_store, e);
    case CONF_DEDUP_SQLITE:
        return dedup_sqlite_new(c->dedup.path, wake, context, ret_store, e);
    case CONF_DEDUP_DYNAMODB:
        return make_dynamodb(s, ret_store, e);
    }
    *ret_store = NULL;
    return 0;
}
