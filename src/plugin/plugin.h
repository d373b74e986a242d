/* plugin: opens a handler's shared object and checks that it speaks this host's ABI.
 *
 * Used by the worker, which runs it, and by fanoutctl, which describes it. A plugin is never dlclosed: code that may
 * still run somewhere must stay mapped. One thread at a time for one plugin; plugin_option once it is open: any. */
#ifndef FANOUT_PLUGIN_H
#define FANOUT_PLUGIN_H

#include <stddef.h>

#include <fanout/handler.h>

#include "base/buf.h"
#include "base/err.h"

struct plugin {
    struct handler table; /* the plugin's table as far as it reaches; later fields are zero */
    char *path;           /* as given */
    char **values;        /* of table.options, in their order; NULL before plugin_set_options */
};

struct plugin_option { /* a configured value */
    const char *name, *value;
};

/* dlopens path (which needs a '/') with RTLD_NOW | RTLD_LOCAL, calls its entry point and copies min(size, ours) of its
 * table. ERR_NOT_FOUND: no such file. ERR_INVALID, with a text that begins with the path: no file; not a shared object;
 * an unresolved symbol (named); no handler_v1 (another handler_vN is named when there is one); the entry returned NULL;
 * a table too short to hold the required fields; an abi_major that is not 1; no name or version; both or none of handle
 * and handle_batch; an option of unknown type, or one whose default breaks its own type. */
int plugin_load(const char *path, struct plugin **ret_plugin, struct err *e);

/* Checks configured values against the plugin's option table (unknown name: named, with the known ones; given twice;
 * wrong type; required but not configured) and keeps copies, so that plugin_option answers. Call once, before open. */
int plugin_set_options(struct plugin *p, const struct plugin_option *options, size_t n, struct err *e);

/* The effective value of an option, or NULL when the plugin has none of that name. */
const char *plugin_option(const struct plugin *p, const char *name);

/* Appends what the plugin says of itself, for people: name, version, help, and each option with its type, default and
 * help. Once it is loaded, whatever became of its options. */
void plugin_describe(const struct plugin *p, struct buf *out);

/* Frees what belongs to the host; the shared object stays mapped. NULL is fine. */
void plugin_destroy(struct plugin *p);

/* Where NAME is looked up: a path with a '/' is itself, else DIR/NAME.so. ERR_LIMIT: longer than capacity. */
int plugin_resolve(const char *name, const char *dir, char *ret_path, size_t capacity, struct err *e);

#endif
