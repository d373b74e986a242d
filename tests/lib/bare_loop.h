/* bare_loop: the least that consuming a queue over HTTP can cost: one curl_multi handle, cJSON, nothing else.
 *
 * Receives ten, parses, deletes the ten in one call, parses the answer. No signature, no MD5, no retries, no leases, no
 * threads. What a worker costs is judged by its ratio to this, measured in the same run. */
#ifndef FANOUT_TESTS_LIB_BARE_LOOP_H
#define FANOUT_TESTS_LIB_BARE_LOOP_H

/* Consumes until a receive brings nothing, with so many requests in flight. Returns the messages it deleted, or -1. */
long bare_loop_run(const char *url, unsigned in_flight);

#endif
