/* demo_run: the minute in which a demo publishes events and watches what becomes of them. One thread. */
#ifndef FANOUT_CTL_DEMO_RUN_H
#define FANOUT_CTL_DEMO_RUN_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/ratelimit.h"
#include "ctl/publisher.h"
#include "ctl/stage.h"
#include "ctl/supply.h"
#include "ctl/tally.h"
#include "ctl/view.h"
#include "ctl/watch.h"

struct demo_run {
    struct stage *stage;   /* borrowed, as is */
    struct supply *supply; /* this */
    struct watch *watch;
    struct publisher *publisher;
    struct tally tally;
    struct view view;
    struct ratelimit limit;
    size_t taken, failed;           /* of the supply: handed to the publisher; given up by it */
    int64_t started_ms, arrived_ms; /* arrived: since when all that was published was captured and handled; 0: not */
};

/* Once fanout-local runs: connects to it. demo_run_clean_up in any case. */
int demo_run_set_up(struct demo_run *r, struct stage *stage, struct supply *supply, struct err *e);
void demo_run_clean_up(struct demo_run *r);

/* Once fanoutd runs too: publishes at most `rate` events a second (0: as their number suggests) and shows what happens,
 * until all has arrived or time is up. ERR_CANCELLED: interrupted, or nobody reads what is shown. */
int demo_run_play(struct demo_run *r, double rate, struct err *e);

/* Once fanoutd has stopped: looks at what it still did. */
int demo_run_last_look(struct demo_run *r, struct err *e);

#endif
