/* chaos_plan: which configuration a chaos run has, drawn from its seed.
 *
 * Each option of the table takes, for each of the two queues, one of a few values, so that of twenty seeds in a row
 * every value of every option is met. A value that fanoutd refuses for a queue becomes the first one, its default. */
#ifndef FANOUT_TESTS_LIB_CHAOS_PLAN_H
#define FANOUT_TESTS_LIB_CHAOS_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "lib/account.h"

#define CHAOS_VISIBILITY_S 37
#define CHAOS_MAX_ATTEMPTS 12
#define CHAOS_MAX_RECEIVES 40 /* the queues' maxReceiveCount */
#define CHAOS_WAIT_S       5  /* of a long poll */

enum chaos_option {
    CHAOS_SHAPE, /* threads, batch.size, prefetch, batch.window_ms */
    CHAOS_DEDUP,
    CHAOS_UNWRAP,
    CHAOS_ON_MISMATCH,
    CHAOS_PUBLISH,
    CHAOS_ON_FAILURE,
    CHAOS_THEN,
    CHAOS_RATE,
    CHAOS_LEASE_MAX,
    CHAOS_BREAKER,
    CHAOS_OPTIONS
};

#define CHAOS_VALUES_MAX 4
enum { CHAOS_DEDUP_NONE, CHAOS_DEDUP_MEMORY, CHAOS_DEDUP_SQLITE };
enum { CHAOS_UNWRAP_NONE, CHAOS_UNWRAP_SNS, CHAOS_UNWRAP_AUTO };
enum { CHAOS_MISMATCH_DELETE, CHAOS_MISMATCH_LEAVE, CHAOS_MISMATCH_DEAD_LETTER };
enum { CHAOS_PUBLISH_NONE, CHAOS_PUBLISH_BUS, CHAOS_PUBLISH_QUEUE };
enum { CHAOS_STOP_GROUP, CHAOS_SKIP };
enum { CHAOS_DEAD_LETTER, CHAOS_LEAVE_TO_QUEUE };

struct chaos_plan {
    unsigned choice[ACCOUNT_QUEUES][CHAOS_OPTIONS]; /* of an option's values */
};

void chaos_plan_draw(struct chaos_plan *p, uint64_t seed);

/* How many values an option has for a queue; 1: it has no say there. */
unsigned chaos_plan_values(unsigned queue, enum chaos_option option);

/* "standard: shape 4x10+1, dedup sqlite, ...; fifo: ..." */
void chaos_plan_describe(const struct chaos_plan *p, struct buf *out);

/* The consumer's settings that the plan is about. done_path: of deduplication's file. */
void chaos_plan_configure(const struct chaos_plan *p, unsigned queue, const char *done_path, struct buf *out);

size_t chaos_plan_cap(const struct chaos_plan *p, unsigned queue);       /* messages in flight at most */
unsigned chaos_plan_rate(const struct chaos_plan *p, unsigned queue);    /* messages a second; 0: no bound */
unsigned chaos_plan_lease_s(const struct chaos_plan *p, unsigned queue); /* lease.max_s; 0: none */

/* What was met in several runs, and how often. */
struct chaos_coverage {
    size_t runs;
    size_t met[ACCOUNT_QUEUES][CHAOS_OPTIONS][CHAOS_VALUES_MAX];
};

void chaos_coverage_add(struct chaos_coverage *c, const struct chaos_plan *p);
void chaos_coverage_describe(const struct chaos_coverage *c, struct buf *out);

#endif
