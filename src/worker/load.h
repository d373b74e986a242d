/* load: what a worker is told to do: its consumer's configuration from the supervisor, and the plugin that it names.
 *
 * Used by the worker before anything else, and by its --check. Main thread. */
#ifndef FANOUT_WORKER_LOAD_H
#define FANOUT_WORKER_LOAD_H

#include "base/err.h"
#include "config/conf.h"
#include "event/pattern.h"
#include "plugin/plugin.h"

struct load {
    struct conf *conf;
    const struct conf_consumer *consumer; /* of conf */
    struct plugin *plugin;                /* its options are checked and set; not opened */
    struct event_pattern *filter;         /* the consumer's, or NULL */
    char handler[256];                    /* "jsonl 1": the plugin's name and version */
};

/* Reads the configuration from descriptor IPC_FD_CONFIG, and closes that. ERR_INVALID: it is broken, or has no such
 * consumer. */
int load_conf(struct load *l, const char *consumer, struct err *e);

/* Compiles the consumer's filter, if it has one. ERR_INVALID: what is wrong with it and where. */
int load_filter(struct load *l, struct err *e);

/* Finds the consumer's plugin (in plugin_dir, else in lib/fanoutd/plugins beside the libexec this program is in), loads
 * it and checks its options: plugin.h has the errors. */
int load_plugin(struct load *l, struct err *e);

void load_clean_up(struct load *l);

#endif
