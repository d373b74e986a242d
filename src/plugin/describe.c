/* What a plugin says of itself, for people. */
#include "plugin/plugin.h"

static void
describe_option(const struct handler_option *o, struct buf *out)
{
    buf_add_format(out, "  %s (%s, ", o->name, o->type);
    if (o->def)
        buf_add_format(out, "default \"%s\")\n", o->def);
    else
        buf_add_string(out, "required)\n");
    if (o->help)
        buf_add_format(out, "      %s\n", o->help);
}

void
plugin_describe(const struct plugin *p, struct buf *out)
{
    const struct handler *t = &p->table;
    buf_add_format(out, "%s %s", t->name, t->version);
    if (t->help)
        buf_add_format(out, ": %s", t->help);
    buf_add_format(out, "\nHandles %s.\n", t->handle_batch ? "many messages in a call" : "one message in a call");
    if (!t->options || !t->options[0].name) {
        buf_add_string(out, "It has no options.\n");
        return;
    }
    buf_add_string(out, "Options:\n");
    for (const struct handler_option *o = t->options; o->name; o++)
        describe_option(o, out);
}
