/* faulty_fleet: a fanoutd with a consumer (plugin flaky) for each queue of a faulty_sqs, and what its handlers did.
 *
 * What cannot be fails the test. */
#ifndef FANOUT_TESTS_LIB_FAULTY_FLEET_H
#define FANOUT_TESTS_LIB_FAULTY_FLEET_H

#include "lib/faulty_sqs.h"
#include "lib/proc.h"

#define FAULTY_SOON_MS 90000 /* the backoffs of an outage, on a machine under load */

struct faulty_fleet {
    const char *dir; /* what a queue's handler did is in DIR/NAME */
    struct faulty_sqs *sqs;
    struct proc *fleet;
};

/* For a test's set-up (a folder, nothing else) and its end, whatever runs then. */
void faulty_fleet_init(struct faulty_fleet *f);
void faulty_fleet_clean_up(struct faulty_fleet *f);

/* Starts the server; a fleet in front of whoever is at endpoint, which is ready when this returns. */
void faulty_fleet_serve(struct faulty_fleet *f, struct faulty_queue *queues, size_t n, int port);
void faulty_fleet_start(struct faulty_fleet *f, const char *endpoint, const struct faulty_queue *queues, size_t n);

/* TERM to the fleet, which ends with 0; then the server: the queues are the test's own again. */
void faulty_fleet_end(struct faulty_fleet *f);

/* Each message of the queue was handled once; or twice, the first time to be retried. */
void faulty_fleet_assert_handled_once(const struct faulty_fleet *f, const struct faulty_queue *q);
void faulty_fleet_assert_handled_twice(const struct faulty_fleet *f, const struct faulty_queue *q);

/* Each was rejected, once; or as often as it may have been. */
void faulty_fleet_assert_rejected_once(const struct faulty_fleet *f, const struct faulty_queue *q);
void faulty_fleet_assert_rejected(const struct faulty_fleet *f, const struct faulty_queue *q);

#endif
