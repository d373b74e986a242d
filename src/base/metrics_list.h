/* metrics_list: every name that /metrics shows, and what it means. To add one, add its line here and count where it
 * happens; the ledger, /metrics, the state dump and the README's table (`make docs`) follow.
 *
 * Names end in their unit (seconds, bytes), those of counters in _total, as promtool asks. */
#ifndef FANOUT_BASE_METRICS_LIST_H
#define FANOUT_BASE_METRICS_LIST_H

/* X(field, help): a worker's counters, shown as fanout_FIELD_total. WORLD_COUNT(w, field, n) counts on the engine's
 * thread, METRICS_COUNT(metrics, field, n) anywhere. */
#define METRICS_COUNTERS(X)                                                                                            \
    X(polls, "ReceiveMessage calls answered")                                                                          \
    X(empty_polls, "ReceiveMessage calls that brought nothing")                                                        \
    X(poll_errors, "ReceiveMessage calls that failed")                                                                 \
    X(received, "messages received")                                                                                   \
    X(received_bytes, "bytes of bodies received")                                                                      \
    X(corrupt, "messages whose MD5 did not match, taken as not received")                                              \
    X(garbled, "messages that made no sense, taken as not received")                                                   \
    X(batches, "handler calls")                                                                                        \
    X(handled, "messages handed to the handler")                                                                       \
    X(done, "messages the handler declared done")                                                                      \
    X(retried, "messages given back for another delivery")                                                             \
    X(rejected, "messages the handler rejected")                                                                       \
    X(exhausted, "messages that failed as often as they may: dead letters, unless they are left to the queue")         \
    X(left_to_queue, "failures after that of messages that are left to the queue's own RedrivePolicy")                 \
    X(violations, "breaches of the handler contract")                                                                  \
    X(down, "messages for which the handler said that what it depends on is down")                                     \
    X(breaker_openings, "times the breaker opened, after tries that failed, too")                                      \
    X(breaker_tries, "messages that went to the handler while the breaker was not closed")                             \
    X(held_back, "messages that waited for the breaker or the rate")                                                   \
    X(deleted, "deletes confirmed while the lease was valid")                                                          \
    X(deleted_late, "deletes confirmed after the lease was over: outcome unknown")                                     \
    X(delete_errors, "delete entries that failed and were tried again")                                                \
    X(delete_failed, "messages whose delete was given up")                                                             \
    X(redelivered, "messages that came back after they were done, deleted without being handled again")                \
    X(extended, "leases extended")                                                                                     \
    X(extend_errors, "lease extensions that failed")                                                                   \
    X(lost, "messages whose lease ran out before they were settled")                                                   \
    X(held_too_long, "of them, messages that were held for longer than lease.max_s")                                   \
    X(given_back, "messages given back unhandled")                                                                     \
    X(given_back_behind, "... of FIFO groups, because one before them was given back")                                 \
    X(retried_here, "failed messages of FIFO groups that were tried again under the same lease")                       \
    X(verdicts_dropped, "verdicts that did not count, because one before in the FIFO group was not done")              \
    X(dead_lettered, "messages moved to the dead-letter queue by fanoutd")                                             \
    X(aws_calls, "AWS calls")                                                                                          \
    X(aws_retries, "AWS calls tried again")                                                                            \
    X(aws_throttled, "AWS answers that asked to slow down")                                                            \
    X(unwrapped, "messages taken out of an SNS notification")                                                          \
    X(undecodable, "messages whose body is not what the consumer expects, for the dead-letter queue")                  \
    X(filtered, "messages that the filter kept from the handler, deleted")                                             \
    X(filtered_left, "messages that the filter kept from the handler, given back to the queue")                        \
    X(filtered_dead, "messages that the filter kept from the handler, for the dead-letter queue")                      \
    X(undecided, "messages that the filter could not decide about in time, for the dead-letter queue")                 \
    X(duplicates, "messages whose event was handled before, deleted without being handled")                            \
    X(dedup_waited, "messages that waited because another one with their event was being handled")                     \
    X(dedup_errors, "operations of the deduplication store that failed")                                               \
    X(dedup_unguarded, "messages handled without deduplication because its store failed")                              \
    X(dedup_uncompleted, "messages handled whose event could not be noted as completed")                               \
    X(dedup_taken_over, "events begun by another message while theirs waited or was being handled")                    \
    X(published, "events and messages that handlers published, confirmed")                                             \
    X(publish_rejected, "pieces that could not be published because the handler broke a rule or there was no room")    \
    X(publish_errors, "pieces that were not confirmed and are sent again")                                             \
    X(publish_failed, "pieces that AWS refused for good; their messages are retried")                                  \
    X(publish_dropped, "pieces that were not sent because their message was not done, or lost")                        \
    X(log_dropped, "log lines dropped because nobody read them")

/* X(field, name, unit, bounds, help): a worker's histograms. bounds: at most METRICS_BOUNDS of them, rising, in the
 * unit in which METRICS_OBSERVE(metrics, field, value) is called. Durations are shown in seconds. */
#define METRICS_HISTOGRAMS(X)                                                                                          \
    X(message_age, "fanout_message_age_seconds", MS,                                                                   \
      (10, 50, 100, 500, 1000, 5000, 15000, 60000, 300000, 900000, 3600000, 21600000, 86400000, 345600000),            \
      "from when a message was sent until it was received")                                                            \
    X(start_wait, "fanout_start_wait_seconds", MS,                                                                     \
      (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 120000),                                    \
      "from a message's receive until its handler began")                                                              \
    X(handler_call, "fanout_handler_call_seconds", US,                                                                 \
      (10, 100, 500, 1000, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 5000000, 30000000, 120000000),  \
      "how long a handler call took")                                                                                  \
    X(batch_messages, "fanout_batch_messages", ONE, (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000),     \
      "messages of a handler call")                                                                                    \
    X(delete_call, "fanout_delete_seconds", MS, (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000),  \
      "from when the delete of a message was sent until it was confirmed")                                             \
    X(in_hand, "fanout_in_hand_seconds", MS,                                                                           \
      (2, 5, 10, 25, 50, 100, 250, 500, 1000, 5000, 15000, 60000, 300000, 1800000, 43200000),                          \
      "from a message's receive until what was decided about it was confirmed")

/* X(field, name, reading, help): a worker's gauges, set with METRICS_SET(metrics, field, value); 0 when no worker runs.
 * reading: VALUE, MS (shown in seconds), SINCE (a monotonic time in ms, shown as its age), SINCE_WALL. */
#define METRICS_GAUGES(X)                                                                                              \
    X(in_flight, "fanout_in_flight", VALUE, "messages in hand")                                                        \
    X(held, "fanout_held", VALUE, "messages in hand that wait for the breaker or the rate")                            \
    X(breaker_state, "fanout_breaker_state", VALUE, "0: closed; 1: trying, a few messages at a time; 2: open")         \
    X(oldest_sent_at_ms, "fanout_oldest_message_age_seconds", SINCE_WALL, "since the oldest message in hand was sent") \
    X(longest_turn_ms, "fanout_engine_longest_turn_seconds", MS,                                                       \
      "longest turn of the worker's engine, without waiting")                                                          \
    X(longest_turn_cpu_ms, "fanout_engine_longest_turn_cpu_seconds", MS,                                               \
      "most CPU time the engine's thread spent in a turn")                                                             \
    X(engine_beat_ms, "fanout_engine_beat_age_seconds", SINCE, "since the last turn of the worker's engine")

/* X(id, name, kind, labels, help): what the supervisor knows by itself (supervisor/scrape.c). */
#define METRICS_OF_SUPERVISOR(X)                                                                                       \
    X(build_info, "fanout_build_info", GAUGE, "version", "1, with the version as a label")                             \
    X(uptime, "fanout_uptime_seconds", GAUGE, "", "age of the supervisor")                                             \
    X(ready, "fanout_ready", GAUGE, "", "1 when every consumer has a worker that is ready")                            \
    X(generation, "fanout_generation", GAUGE, "", "configurations taken up since the start")                           \
    X(supervisor_log_dropped, "fanout_supervisor_log_dropped_total", COUNTER, "",                                      \
      "lines of the supervisor dropped because nobody read them")                                                      \
    X(worker_starts, "fanout_worker_starts_total", COUNTER, "consumer, slot", "worker processes started")              \
    X(worker_crashes, "fanout_worker_crashes_total", COUNTER, "consumer, slot",                                        \
      "worker processes that ended without having announced it")                                                       \
    X(worker_state, "fanout_worker_state", GAUGE, "consumer, slot, state", "1 for the state the slot's worker is in")  \
    X(worker_healthy, "fanout_worker_healthy", GAUGE, "consumer, slot",                                                \
      "1 when the worker is ready, last reached its queue, has the permissions it used and its breaker is closed")     \
    X(worker_uptime, "fanout_worker_uptime_seconds", GAUGE, "consumer, slot", "age of the slot's worker process")

#endif
