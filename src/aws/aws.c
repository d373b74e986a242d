#include "aws/aws.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/internal.h"
#include "base/uuid.h"

#define DEFAULT_ATTEMPTS 3

/* Takes the endpoint's URL apart; endpoint_resolve has checked its form. */
static void
take_apart(struct aws_client *c)
{
    const char *url = c->endpoint.url;
    bool tls = strncmp(url, "https://", 8) == 0;
    c->scheme_n = tls ? 8 : 7;
    c->host = url + c->scheme_n;
    c->host_n = strcspn(c->host, "/");
    c->path_prefix = c->host + c->host_n;
    snprintf(c->host_header, sizeof c->host_header, "%.*s", (int)c->host_n, c->host);
    const char *usual_port = tls ? ":443" : ":80";
    size_t n = strlen(usual_port);
    if (c->host_n > n && strcmp(c->host_header + c->host_n - n, usual_port) == 0)
        c->host_header[c->host_n - n] = '\0';
    snprintf(c->root_url, sizeof c->root_url, "%s/", url);
}

int
aws_client_new(const struct aws_client_options *options, struct aws_client **ret_client, struct err *e)
{
    struct aws_client *c = calloc(1, sizeof *c);
    if (!c)
        return err_no_memory(e);
    c->engine = options->engine;
    c->credentials = options->credentials;
    c->service = options->service;
    c->max_attempts = options->max_attempts ? options->max_attempts : DEFAULT_ATTEMPTS;
    TAILQ_INIT(&c->calls);
    TAILQ_INIT(&c->pool);
    buf_init(&c->authorization);
    retry_bucket_init(&c->bucket, uuid_random_seed());
    int r = endpoint_resolve(c->service, options->region, options->profile, options->endpoint_url, &c->endpoint, e);
    if (r < 0) {
        free(c);
        return r;
    }
    take_apart(c);
    *ret_client = c;
    return 0;
}

void
aws_client_destroy(struct aws_client *c)
{
    if (!c)
        return;
    while (!TAILQ_EMPTY(&c->calls))
        aws_cancel(TAILQ_FIRST(&c->calls));
    struct aws_call *q;
    while ((q = aws_call_take_pooled(c)))
        aws_call_free(q);
    sigv4_key_clean_up(&c->key);
    buf_clean_up(&c->authorization);
    free(c);
}

const char *
aws_client_region(const struct aws_client *c)
{
    return c->endpoint.region;
}

const char *
aws_client_endpoint(const struct aws_client *c)
{
    return c->endpoint.url;
}

bool
aws_client_is_custom(const struct aws_client *c)
{
    return c->endpoint.custom;
}

void
aws_client_stats(const struct aws_client *c, struct aws_stats *ret_stats)
{
    *ret_stats = c->stats;
    ret_stats->clock_offset_ms = c->clock_offset_ms;
}
