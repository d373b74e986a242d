/* client: programs over other people's AWS SDKs, each against a fanout-local of its own (tests/interop).
 *
 * A client is run with the endpoint, the keys and the region in its environment, nothing of the person's own
 * configuration, and tells its checks in TAP (tap.h). What it needs is installed into build/interop by `make
 * interop-tools` or `make test-interop`; where that could not be done it is skipped. */
#ifndef FANOUT_TESTS_LIB_CLIENT_H
#define FANOUT_TESTS_LIB_CLIENT_H

#include <stddef.h>

#define CLIENT_ARGS 8

struct client {
    const char *name;              /* the group of its checks */
    const char *needs;             /* a program or folder; skipped where there is none */
    const char *instead;           /* NULL, or the environment variable that may name another for it, in argv as well */
    const char *argv[CLIENT_ARGS]; /* "build/..." and "tests/..." are made absolute */
    const char *input;             /* NULL, or a file for standard input */
    const char *cwd;               /* NULL: a folder of its own, or "build/..." */
    const char *env;               /* NULL, or a setting more: "NAME=VALUE" */
    const char *server[CLIENT_ARGS]; /* more arguments of fanout-local's */
    int timeout_ms;
};

/* Runs them all at once and tells cmocka one group after the other; how many checks failed. */
int clients_run(const struct client *clients, size_t n);

#endif
