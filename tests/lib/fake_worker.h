/* fake_worker: a fanout-worker that does what a test's configuration tells it, instead of any work.
 *
 * A test program whose main() starts with `if (fake_worker_is_meant(argv)) return fake_worker_main(argc, argv);` and
 * that was copied to libexec/fanoutd/fanout-worker beside a copy of fanoutd becomes the worker which that fanoutd
 * starts. The consumer's plugin option "mode" is one of the words below; what it sees it prints to standard error, as
 * "fake SLOT: ...". */
#ifndef FANOUT_TESTS_LIB_FAKE_WORKER_H
#define FANOUT_TESTS_LIB_FAKE_WORKER_H

#include <stdbool.h>

/* good        ready, healthy, drains when told
 * stalled     as good, but its engine never turns again
 * silent      never ready; drains when told
 * hang        never ready, hears nothing; a check that does not end
 * cannot      says that it cannot start
 * unhealthy   ready, but says that its queue cannot be reached
 * refuse      refuses its configuration
 * segv        ready, then SIGSEGV
 * exit0       ready, then exit(0) without a word
 * once        segv the first time, then good
 * stubborn    ready, does not drain
 * unclean     ready, drains with 3 messages left in hand
 * recycle     ready; on USR1 it recycles itself
 * late        ready; reads its channel from USR1 on, and drains when that has ended
 * deaf        closes its channel, and stays
 * nonsense    sends malformed packets, then is good */

bool fake_worker_is_meant(char **argv);
int fake_worker_main(int argc, char **argv);

#endif
