/* template_impl: what the files of local/template share: template.c (the template, its resources, their order),
 * template_names.c (what they are called) and template_functions.c (Ref and the Fn:: functions). */
#ifndef FANOUT_LOCAL_TEMPLATE_IMPL_H
#define FANOUT_LOCAL_TEMPLATE_IMPL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "local/template.h"

enum template_state { TEMPLATE_UNSEEN, TEMPLATE_OPEN, TEMPLATE_RESOLVED };

/* A resource and how far it has come. */
struct template_node {
    struct template_resource resource;
    struct json properties; /* as written */
    struct json depends_on;
    bool has_properties, has_depends_on;
    enum template_state state;
};

struct template_parser {
    struct template public; /* first: what the caller holds */
    struct arena arena;
    const struct template_environment *environment;
    struct json parameters;
    bool has_parameters;
    struct template_node *nodes;
    size_t n_nodes;
    struct template_resource *ordered;
    size_t n_ordered;
    unsigned depth;     /* of the recursion, over all resources that are open */
    unsigned evaluated; /* values so far */
};

/* Where in the template we are, for error messages: a chain on the stack. */
struct template_path {
    const struct template_path *up;
    struct slice key; /* p NULL: an array's element */
    size_t index;
    unsigned depth;
};

/* ---- template.c -------------------------------------------------------------------------------------------------- */

struct template_path template_below(const struct template_path *up, struct slice key);

/* ERR_INVALID: "PATH: TEXT". */
int template_fault(const struct template_path *at, struct err *e, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Appends the text that a JSON string means. */
int template_decode(const struct template_path *at, struct json string, struct buf *out, struct err *e);

/* Appends value with its functions evaluated. */
int template_resolve(struct template_parser *p, const struct template_path *at, struct json value, struct buf *out,
                     struct err *e);

/* The resource of that logical id, resolved; *ret NULL: there is none. */
int template_find(struct template_parser *p, struct slice id, const struct template_node **ret, struct err *e);

/* A name as a C string in the arena; it must not be empty or hold a NUL. */
int template_take_text(struct template_parser *p, const struct template_path *at, struct json string, const char **ret,
                       struct err *e);

/* ---- template_names.c -------------------------------------------------------------------------------------------- */

/* Sets the name of a node whose properties are resolved: its own, or one that is made up. */
int template_take_name(struct template_parser *p, struct template_node *node, const struct template_path *properties_at,
                       struct err *e);

/* Appends an attribute of a resolved resource; false: there is no such attribute here. */
bool template_write_attribute(const struct template_parser *p, const struct template_node *node, struct slice attribute,
                              struct buf *out);

/* ---- template_functions.c ---------------------------------------------------------------------------------------- */

/* Is {key: ...} a function? */
bool template_is_function(struct json key);

/* Appends what the function makes of its argument. at: the path up to the function's key. */
int template_evaluate(struct template_parser *p, const struct template_path *at, struct json key, struct json argument,
                      struct buf *out, struct err *e);

#endif
