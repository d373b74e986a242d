/* chaos_storm: what goes wrong in a chaos run, and when, drawn from its seed.
 *
 * Phase after phase, each until a part of the messages was handled or a while of the run's clock is over: a few of
 * fanout-local's fault rules (errors, delays, connections dropped before and after the execution, duplicates, for one
 * operation or all), or none; at the begin of some a kill -9 of fanout-local or of a worker, a TERM of the fleet and
 * another one, a HUP. */
#ifndef FANOUT_TESTS_LIB_CHAOS_STORM_H
#define FANOUT_TESTS_LIB_CHAOS_STORM_H

#include "lib/chaos_run.h"

void chaos_storm(struct chaos_run *r);

#endif
