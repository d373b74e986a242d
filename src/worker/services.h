/* services: what a worker speaks to AWS with, as its configuration says: one HTTP engine, the credentials, a client for
 * each service it needs, and its queue.
 *
 * Made on the main thread, before any other thread exists (it reads the environment); then the engine thread's alone.
 */
#ifndef FANOUT_WORKER_SERVICES_H
#define FANOUT_WORKER_SERVICES_H

#include "aws/aws.h"
#include "aws/creds.h"
#include "base/err.h"
#include "config/conf.h"
#include "http/http.h"
#include "worker/dedup_store.h"
#include "worker/publish_outlet.h"
#include "worker/queue.h"

struct services {
    const struct conf *conf; /* borrowed, as is the consumer */
    const struct conf_consumer *consumer;
    struct http_engine *http;
    struct creds_provider *credentials;
    struct aws_client *client; /* belongs to queue */
    struct queue *queue;
    struct aws_client *events; /* NULL: nothing is published */
    struct publish_aws outlet; /* if events */
};

/* ERR_INVALID: the configuration makes no sense (no region, a URL that is none). On failure s is to be cleaned up, too.
 */
int services_init(struct services *s, const struct conf *conf, const struct conf_consumer *consumer, struct err *e);
void services_clean_up(struct services *s);

/* The store that the consumer is configured with; NULL: none. wake ends the loop's wait, from any thread. */
int services_make_dedup_store(const struct services *s, void (*wake)(void *context), void *context,
                              struct dedup_store **ret_store, struct err *e);

#endif
