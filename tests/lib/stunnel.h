/* stunnel: Debian's TLS proxy in front of a plain port, for tests with a server of TLS that is not ours. */
#ifndef FANOUT_TESTS_LIB_STUNNEL_H
#define FANOUT_TESTS_LIB_STUNNEL_H

#include "lib/certs.h"
#include "lib/proc.h"

struct stunnel {
    struct proc *process;
    int port;
};

/* False: the program is not on this machine. Fails the test when it does not start. Its files go to dir. */
bool stunnel_start(struct stunnel *t, const char *dir, int plain_port, const struct cert *leaf,
                   const struct cert *intermediate);
void stunnel_stop(struct stunnel *t);

/* Handshakes so far. */
size_t stunnel_full(struct stunnel *t);
size_t stunnel_resumed(struct stunnel *t);

#endif
