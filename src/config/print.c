#include <string.h>

#include "config/conf.h"
#include "config/expand.h"
#include "config/options.h"

#define COMMENT_COLUMNS 100

static void
add_indent(struct buf *out, int depth)
{
    for (int i = 0; i < depth; i++)
        buf_add_string(out, "    ");
}

/* A string as libconfig reads it back, its dollar signs doubled for our own expansion. */
static void
add_quoted(struct buf *out, const char *text)
{
    struct buf escaped = BUF_INIT;
    conf_expand_quote(slice_of_string(text), &escaped);
    buf_add_char(out, '"');
    for (size_t i = 0; i < escaped.len; i++) {
        unsigned char c = (unsigned char)escaped.data[i];
        if (c == '"' || c == '\\')
            buf_add_format(out, "\\%c", c);
        else if (c == '\n')
            buf_add_string(out, "\\n");
        else if (c == '\t')
            buf_add_string(out, "\\t");
        else if (c < ' ' || c == 0x7f)
            buf_add_format(out, "\\x%02x", c);
        else
            buf_add_char(out, (char)c);
    }
    buf_add_char(out, '"');
    out->failed |= buf_failed(&escaped);
    buf_clean_up(&escaped);
}

static void
add_choice(struct buf *out, const struct conf_option *o, int choice)
{
    const char *p = o->choices;
    for (; choice > 0; choice--)
        p = strchr(p, '|') + 1;
    buf_add_format(out, "\"%.*s\"", (int)strcspn(p, "|"), p);
}

static void
add_pairs(struct buf *out, const struct conf_consumer *c)
{
    buf_add_char(out, '{');
    for (size_t i = 0; i < c->n_options; i++) {
        buf_add_format(out, " %s = ", c->options[i].name);
        add_quoted(out, c->options[i].value);
        buf_add_char(out, ';');
    }
    buf_add_string(out, " }");
}

static void
add_value(struct buf *out, const struct conf_option *o, const void *base)
{
    const void *field = (const char *)base + o->offset;
    switch (o->type) {
    case CONF_INT:
        buf_add_int(out, *(const int *)field);
        break;
    case CONF_BOOL:
        buf_add_string(out, *(const bool *)field ? "true" : "false");
        break;
    case CONF_ENUM:
        add_choice(out, o, *(const int *)field);
        break;
    case CONF_STRING:
        add_quoted(out, *(const char *const *)field);
        break;
    case CONF_PAIRS:
        add_pairs(out, base);
        break;
    }
}

/* The default, or an example where there is none. */
static void
add_default(struct buf *out, const struct conf_option *o)
{
    const char *text = o->def ? o->def : o->example;
    if (o->type == CONF_STRING || o->type == CONF_ENUM)
        add_quoted(out, text);
    else
        buf_add_string(out, text);
}

static const char *
restart_note(const struct conf_option *o)
{
    return o->reloadable ? "" : " A change takes a restart.";
}

static void
add_help(struct buf *out, const struct conf_option *o)
{
    buf_add_string(out, o->help);
    if (o->type != CONF_PAIRS) {
        buf_add_string(out, " Allowed: ");
        conf_option_allowed(o, out);
        buf_add_format(out, "%s%s.", *o->unit ? " " : "", o->unit);
    }
    if (o->type == CONF_STRING && !o->def)
        buf_add_string(out, " Required.");
    buf_add_string(out, restart_note(o));
}

static void
add_comment(struct buf *out, int depth, const struct conf_option *o)
{
    struct buf text = BUF_INIT;
    add_help(&text, o);
    const char *word = text.data ? text.data : "";
    bool first = out->len >= 2 && memcmp(out->data + out->len - 2, "{\n", 2) == 0;
    for (size_t column = 0; *word;) {
        size_t n = strcspn(word, " ");
        if (column == 0 || column + 1 + n > COMMENT_COLUMNS) {
            buf_add_string(out, column == 0 && first ? "" : "\n");
            add_indent(out, depth);
            buf_add_char(out, '#');
            column = (size_t)depth * 4 + 1;
        }
        buf_add_format(out, " %.*s", (int)n, word);
        column += 1 + n;
        word += n + (word[n] == ' ');
    }
    buf_add_char(out, '\n');
    out->failed |= buf_failed(&text);
    buf_clean_up(&text);
}

/* The options of struct conf, or those of one consumer, groups opened and closed as the table passes them. base NULL:
 * the defaults, with comments. */
static void
print_options(struct buf *out, bool consumers, const void *base, int depth)
{
    const char *group = "";
    size_t n_group = 0;
    for (const struct conf_option *o = conf_options; o->path; o++) {
        if (conf_option_is_consumers(o) != consumers)
            continue;
        const char *name = o->path + (consumers ? strlen("consumers.") : 0);
        size_t n = strchr(name, '.') ? strcspn(name, ".") : 0;
        if (n != n_group || memcmp(name, group, n) != 0) {
            if (n_group) {
                add_indent(out, depth);
                buf_add_string(out, "};\n");
            }
            if (n) {
                buf_add_string(out, base ? "" : "\n");
                add_indent(out, depth);
                buf_add_format(out, "%.*s = {\n", (int)n, name);
            }
            group = name;
            n_group = n;
        }
        int inner = depth + (n ? 1 : 0);
        if (!base)
            add_comment(out, inner, o);
        add_indent(out, inner);
        buf_add_format(out, "%s = ", n ? name + n + 1 : name);
        if (base)
            add_value(out, o, base);
        else
            add_default(out, o);
        buf_add_string(out, ";\n");
    }
    if (n_group) {
        add_indent(out, depth);
        buf_add_string(out, "};\n");
    }
}

static void
print_consumer(struct buf *out, const struct conf_consumer *c)
{
    buf_add_string(out, "    {\n");
    print_options(out, true, c, 2);
    buf_add_string(out, "    }");
}

void
conf_print(const struct conf *c, const struct conf_consumer *only, struct buf *out)
{
    print_options(out, false, c, 0);
    buf_add_string(out, "consumers = (\n");
    for (size_t i = 0; i < (only ? 1 : c->n_consumers); i++) {
        buf_add_string(out, i ? ",\n" : "");
        print_consumer(out, only ? only : &c->consumers[i]);
    }
    buf_add_string(out, "\n);\n");
}

void
conf_print_example(struct buf *out)
{
    buf_add_string(
        out, "# fanoutd's configuration, with every option there is. Made by `make docs` from the option table\n"
             "# (src/config/options_table.c).\n"
             "#\n"
             "# Each value but those of the consumer is the default: leave out what you do not change. Any\n"
             "# string may hold ${NAME} or ${NAME:-default} from the environment ($$ is a dollar sign), where a\n"
             "# number or a boolean belongs too: threads = \"${THREADS:-4}\". @include \"FILE\" takes in another\n"
             "# file. `fanoutd -c FILE --check` says what is wrong with a configuration.\n");
    print_options(out, false, NULL, 0);
    buf_add_string(out, "\n# One group for each queue that is consumed.\nconsumers = (\n");
    print_consumer(out, NULL);
    buf_add_string(out, "\n);\n");
}

void
conf_print_markdown(struct buf *out)
{
    struct buf cell = BUF_INIT;
    buf_add_string(out, "| option | default | allowed | what it is |\n|---|---|---|---|\n");
    for (const struct conf_option *o = conf_options; o->path; o++) {
        buf_add_format(out, "| `%s` | ", o->path);
        if (o->def) {
            buf_add_char(out, '`');
            add_default(out, o);
            buf_add_char(out, '`');
        } else {
            buf_add_string(out, o->type == CONF_PAIRS ? "none" : "required");
        }
        buf_reset(&cell);
        conf_option_allowed(o, &cell);
        buf_add_format(&cell, "%s%s | %s%s |\n", *o->unit ? " " : "", o->unit, o->help, restart_note(o));
        buf_add_format(out, " | %s", cell.data ? cell.data : "");
    }
    out->failed |= buf_failed(&cell);
    buf_clean_up(&cell);
}
