/* probe: asks a listener of this host for one page: `fanoutd --health`, `fanout-local --health`.
 *
 * For health checks that start the binary itself: no HTTP client library, no shell, no curl in an image. */
#ifndef FANOUT_HTTPD_PROBE_H
#define FANOUT_HTTPD_PROBE_H

#include "base/buf.h"
#include "base/err.h"

/* GET path from the server that listens on `listen`, given as in httpd_options; where that is every address
 * (0.0.0.0, [::]), loopback is asked. Adds the body to *ret_body, cut at 64 KiB. Each step (connect, send, receive) may
 * take timeout_ms, of real time. ERR_INVALID: no address, or port 0; ERR_UNAVAILABLE: nobody listens; ERR_TIMEOUT;
 * ERR_PROTOCOL: that was no HTTP. */
int httpd_probe(const char *listen, const char *path, int timeout_ms, int *ret_status, struct buf *ret_body,
                struct err *e);

/* POST body to path, with "Authorization: Bearer TOKEN" unless token is empty, and waits for the answer as long as it
 * takes. Otherwise as httpd_probe. */
int httpd_post(const char *listen, const char *path, const char *token, struct slice body, int *ret_status,
               struct buf *ret_body, struct err *e);

/* What --health does: prints the body, or to standard error why there is none, and returns the exit status: 0 when the
 * answer was 200, otherwise 1 (Docker reserves 2). program is for the message. */
int httpd_probe_main(const char *program, const char *listen, const char *path);

#endif
