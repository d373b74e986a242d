/* watch: what can be seen of a running system from the outside, gathered over and over: the keys under raw-events/,
 * what the handler recorded, the fleet's metrics. Event ids go into a tally. One thread. */
#ifndef FANOUT_CTL_WATCH_H
#define FANOUT_CTL_WATCH_H

#include <stdint.h>

#include "aws/aws.h"
#include "base/err.h"
#include "base/timers.h"
#include "ctl/tally.h"

struct watch;

/* Sums over all workers. */
struct watch_metrics {
    uint64_t received, retried, deleted;
    int64_t in_flight;
};

/* record: the file the flaky plugin writes its verdicts to. */
int watch_new(struct tally *tally, const char *record, struct watch **ret_watch, struct err *e);
void watch_destroy(struct watch *w); /* NULL is fine */

/* Where the bus and the bucket are; starts listing the bucket. */
int watch_connect(struct watch *w, const char *url, const char *access_key, const char *secret_key, const char *bucket,
                  struct err *e);

/* Starts reading the metrics of URL/metrics. */
int watch_metrics_at(struct watch *w, const char *url, struct err *e);

struct aws_client *watch_events_client(struct watch *w);
struct timers *watch_timers(struct watch *w);

/* One turn of the loop, at most wait_ms. */
int watch_run(struct watch *w, int64_t wait_ms, struct err *e);

/* Once nothing more is published or handled: reads the rest of the record, and lists the bucket once more from its
 * beginning, unless that takes longer than within_ms. */
int watch_last_look(struct watch *w, int64_t within_ms, struct err *e);

/* Reads what was added to the record. watch_run does it too, several times a second. */
void watch_read_record(struct watch *w);

const struct watch_metrics *watch_latest(const struct watch *w);

#endif
