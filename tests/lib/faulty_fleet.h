/* faulty_fleet: a fanoutd with a consumer (plugin flaky) for each queue of a faulty_sqs, and what its handlers did.
 *
 * What cannot be fails the test. */
#ifndef FANOUT_TESTS_LIB_FAULTY_FLEET_H
#define FANOUT_TESTS_LIB_FAULTY_FLEET_H

#include "lib/faulty_sqs.h"
#include "lib/proc.h"

#define FAULTY_SOON_MS 90000 /* the backoffs of an outage, on a machine under load */

/* In front of whoever is at endpoint. Returns when it is ready; what a queue's handler did is in DIR/NAME. */
struct proc *faulty_fleet_start(const char *dir, const char *endpoint, const struct faulty_queue *queues, size_t n);

/* TERM; it ends with 0. */
void faulty_fleet_end(struct proc *fleet);

/* Each message of the queue once. */
void faulty_fleet_assert_handled_once(const char *dir, const struct faulty_queue *q);

#endif
