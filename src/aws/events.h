/* events: Amazon EventBridge PutEvents, over JSON 1.1. Engine thread only. */
#ifndef FANOUT_AWS_EVENTS_H
#define FANOUT_AWS_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aws/aws.h"
#include "base/slice.h"

#define EVENTS_BATCH_MAX 10
#define EVENTS_BYTES_MAX 1048576 /* of one call (FACTS.md, 2: raised from 256 KB in 2026) */

struct events_entry {
    struct slice source, detail_type;
    struct slice detail; /* a JSON object as text; sent byte for byte */
    struct slice bus;    /* name or ARN; empty: the default bus */
    const struct slice *resources;
    size_t n_resources;
    int64_t time_ms;           /* 0: now, as the service sees it */
    struct slice trace_header; /* empty: none */
};

/* What AWS counts: 14 if time is set, plus the bytes of source, detail-type, detail and each resource. */
size_t events_entry_bytes(const struct events_entry *entry);

struct events_result {
    char event_id[64]; /* "" when it failed */
    char code[96], message[160];
    bool retryable; /* InternalFailure, ThrottlingException */
};
struct events_put_result {
    const struct aws_error *error;       /* the whole call failed; results is NULL */
    const struct events_result *results; /* results[i] belongs to entry i */
    size_t n, failed;
};
typedef void events_put_fn(void *context, const struct events_put_result *r);

/* n <= EVENTS_BATCH_MAX. Failed entries are the caller's to send again. */
int events_put(struct aws_client *c, const struct events_entry *entries, size_t n, events_put_fn *done, void *context,
               struct aws_call **ret_call, struct err *e);

#endif
