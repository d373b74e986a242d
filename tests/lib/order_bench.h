/* order_bench: a worker on a simulated FIFO queue (bench.h), whose handlers fail as they are told to. Every run is
 * watched by a witness (order_witness.h), which aborts at the first breach of a group's order. */
#ifndef FANOUT_TESTS_LIB_ORDER_BENCH_H
#define FANOUT_TESTS_LIB_ORDER_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/bench.h"

extern struct bench order_bench; /* one at a time: bench_clean_up(&order_bench) */

/* each: a plugin with handle, of whose runs nothing may be out of order; handle_batch otherwise. */
void order_bench_start(const struct engine_options *options, bool each);

void order_bench_put(int group, size_t n);
struct sim_message *order_bench_message(int group, size_t place);
size_t order_bench_deleted_in(int group);

/* The group's first message is handled so, so often, and all others are done. */
void order_bench_let_first_fail(int group, unsigned times, int32_t with, int64_t delay_ms);

#endif
