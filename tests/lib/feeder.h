/* feeder: publishes numbered events through PutEvents until each was acknowledged, whatever becomes of the server.
 *
 * A few threads, each with one call of up to ten entries in flight. An entry without an acknowledgement is sent again,
 * as another try (total_queue.h), until it has one. Not faster than it is allowed to, so that there is something to
 * publish and something to handle at any point of a run. Started and ended by one thread. */
#ifndef FANOUT_TESTS_LIB_FEEDER_H
#define FANOUT_TESTS_LIB_FEEDER_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/total_queue.h"

#define FEEDER_THREADS       2
#define FEEDER_IN_FLIGHT_MAX (FEEDER_THREADS * 10) /* entries whose answer can be lost at once */

struct feeder;

/* Events 0 to n - 1, to the bus of system.h at this URL. */
struct feeder *feeder_start(const char *url, struct total_queue *judge, size_t n);

/* Events below this number may be sent; it never gets smaller. */
void feeder_allow(struct feeder *f, size_t below);

/* Every event was acknowledged. */
bool feeder_is_done(struct feeder *f);

/* Gives up what has no acknowledgement yet. NULL is fine. */
void feeder_destroy(struct feeder *f);

#endif
