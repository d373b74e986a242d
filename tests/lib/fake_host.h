/* fake_host: what a worker is to a plugin, for tests of plugins: loads the built shared object, checks and hands over
 * its options, opens it, calls it, and keeps what it decided and logged.
 *
 * One plugin is opened at a time; calls may come from any number of threads. */
#ifndef FANOUT_TESTS_LIB_FAKE_HOST_H
#define FANOUT_TESTS_LIB_FAKE_HOST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plugin/plugin.h"

struct fake_verdict {
    int32_t verdict; /* HANDLER_UNSET: nobody decided */
    int64_t delay_ms;
    char reason[160];
};

/* The call a plugin is in. */
struct handler_call {
    struct fake_verdict *verdicts;
    uint32_t count;
    atomic_bool *stopping; /* NULL: never */
};

struct fake_message {
    const char *id, *body;
    uint32_t receive_count;
};

struct fake_plugin {
    struct plugin *plugin;
    void *state;
};

/* Where the Makefile put it: lib/fanoutd/plugins/NAME.so (or below FANOUT_PLUGIN_DIR) and tests/plugins/NAME.so. */
void fake_host_plugin_path(const char *name, char *ret_path, size_t capacity);
void fake_host_test_plugin_path(const char *name, char *ret_path, size_t capacity);

/* Loads plugin NAME, sets its options and opens it. Returns an error of src/plugin's, or ERR_CANCELLED with what the
 * plugin logged last when its open refused. */
int fake_plugin_open(const char *name, const struct plugin_option *options, size_t n, struct fake_plugin *ret,
                     struct err *e);
void fake_plugin_close(struct fake_plugin *f);

/* Calls it once for all (handle_batch) or once for each (handle); verdicts has a place for each message. */
void fake_plugin_handle(struct fake_plugin *f, const struct fake_message *messages, uint32_t n,
                        struct fake_verdict *verdicts, atomic_bool *stopping);

#endif
