/* tls_front: TLS in front of a plain server of the test's, with a certificate the test may change on the way.
 *
 * Listens on 127.0.0.1, any port, and passes on what comes over TLS to a port of 127.0.0.1, a thread for each
 * connection. It counts handshakes: whole ones, resumed sessions, those that came to nothing. Failures of the machinery
 * abort. */
#ifndef FANOUT_TESTS_LIB_TLS_FRONT_H
#define FANOUT_TESTS_LIB_TLS_FRONT_H

#include "lib/certs.h"

struct tls_front;

/* plain_port: where to pass on to. The certificate shown, and one to send along (NULL: none), are borrowed. */
struct tls_front *tls_front_start(int plain_port, const struct cert *leaf, const struct cert *intermediate);
void tls_front_stop(struct tls_front *f);

/* From the next connection on: another certificate; no TLS above this version (TLS1_1_VERSION; 0: any). Sessions of
 * before are not resumed. */
void tls_front_show(struct tls_front *f, const struct cert *leaf, const struct cert *intermediate, int max_version);

/* Ends the connections there are, in order (close_notify). */
void tls_front_drop_connections(struct tls_front *f);

int tls_front_port(const struct tls_front *f);

struct tls_front_seen {
    unsigned connections; /* accepted */
    unsigned open;        /* of those, now */
    unsigned full, resumed, failed;
    char server_name[256]; /* the last handshake's SNI; "": none */
    char version[16];      /* ... "TLSv1.3" */
};
struct tls_front_seen tls_front_seen(struct tls_front *f);

#endif
