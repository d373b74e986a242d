/* sim_outlet: a simulated EventBridge and the queues that handlers publish to, on the clock of a simulation (sim.h).
 *
 * Keeps what was put and sent, in the order in which it was executed. Every call is checked against AWS's limits.
 * Faults come from rates (per thousand) drawn from the simulation's seed, and from a hook. Failures of the machinery
 * abort. */
#ifndef FANOUT_TESTS_LIB_SIM_OUTLET_H
#define FANOUT_TESTS_LIB_SIM_OUTLET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/sim.h"
#include "worker/publish_outlet.h"

enum sim_outlet_call { SIM_PUT, SIM_SEND, SIM_FIND_TARGET, SIM_OUTLET_CALLS };

/* An event or a message that arrived. */
struct sim_published {
    bool is_event;
    char target[100]; /* bus; URL of the queue */
    char cause[200];  /* the piece's id */
    char message[50]; /* ... its first part */
    char correlation[100], trace[100];
    char group[140], dedup_id[200];   /* messages */
    char source[60], detail_type[60]; /* events */
    char *payload;
    size_t n; /* resources or attributes */
    int delay_s;
    int64_t at_ms;
};

struct sim_outlet {
    struct publish_outlet outlet;
    struct sim *sim;
    struct sim_published *published;
    size_t n_published;
    unsigned calls[SIM_OUTLET_CALLS], in_flight, most_in_flight, largest_call;
    size_t largest_bytes;

    unsigned fail_calls, lose_answers, fail_entries; /* per thousand */

    /* As sim.h's. of an entry: with its payload, "" for whole calls. A code of "AccessDenied", "ValidationException" or
     * "NonExistentQueue" is worth no retry; an entry fails for good when sender_fault is set. */
    void (*hook)(void *context, enum sim_outlet_call call, int entry, const char *payload, struct sim_fault *fault);
    void *context;
};

void sim_outlet_init(struct sim_outlet *o, struct sim *sim);
void sim_outlet_clean_up(struct sim_outlet *o); /* before the simulation's end */

/* How many different pieces of that message arrived, and how many in all. */
size_t sim_outlet_pieces(const struct sim_outlet *o, const char *message);
size_t sim_outlet_copies(const struct sim_outlet *o, const char *message);

#endif
