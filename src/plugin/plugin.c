#include "plugin/plugin.h"

#include <dlfcn.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOWER   "abcdefghijklmnopqrstuvwxyz"
#define LETTERS LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS  "0123456789"

#define NAME_MAX_BYTES 40
#define NEWEST_MAJOR   99 /* looked for, to say what a plugin was made for */

/* A table must reach behind the first of the two functions; the first version's had all the fields. */
#define TABLE_MIN_BYTES (offsetof(struct handler, handle) + sizeof(((struct handler *)0)->handle))

static bool
is_made_of(const char *text, const char *first, const char *chars)
{
    size_t n = strlen(text);
    return n > 0 && n <= NAME_MAX_BYTES && strchr(first, text[0]) && strspn(text, chars) == n;
}

static bool
is_known_type(const char *type)
{
    return strcmp(type, "string") == 0 || strcmp(type, "int") == 0 || strcmp(type, "number") == 0 ||
           strcmp(type, "bool") == 0;
}

static bool
is_of_type(const char *value, const char *type)
{
    char *end;
    if (strcmp(type, "string") == 0)
        return true;
    if (strcmp(type, "bool") == 0)
        return strcmp(value, "true") == 0 || strcmp(value, "false") == 0;
    if (!*value || !strchr(DIGITS "+-.", value[0]))
        return false;
    errno = 0;
    if (strcmp(type, "int") == 0) {
        strtoll(value, &end, 10);
        return end != value && !*end && errno == 0;
    }
    double d = strtod(value, &end);
    return end != value && !*end && isfinite(d);
}

/* Turns what the dynamic linker says into what a plugin's author can act upon. */
static int
explain_dlerror(const char *path, const char *text, struct err *e)
{
    static const char UNDEFINED[] = "undefined symbol: ";
    const char *symbol = strstr(text, UNDEFINED);
    size_t n = strlen(path);
    if (symbol) {
        symbol += strlen(UNDEFINED);
        return err_set(e, ERR_INVALID, "%s: unresolved symbol %.*s; link plugins with -Wl,-z,defs to find these early",
                       path, (int)strcspn(symbol, " ,\t"), symbol);
    }
    if (strncmp(text, path, n) == 0 && strncmp(text + n, ": ", 2) == 0)
        text += n + 2;
    return err_set(e, ERR_INVALID, "%s: cannot be loaded as a shared object: %s", path, text);
}

/* NULL: there is none, and e says so. */
static handler_entry_fn *
find_entry(const char *path, void *object, struct err *e)
{
    handler_entry_fn *entry = NULL;
    void *symbol = dlsym(object, HANDLER_ENTRY);
    for (int major = 2; !symbol && major <= NEWEST_MAJOR; major++) {
        char name[sizeof "handler_v" + 11];
        snprintf(name, sizeof name, "handler_v%d", major);
        if (dlsym(object, name)) {
            err_set(e, ERR_INVALID, "%s: has %s and no " HANDLER_ENTRY ": it was made for another fanoutd", path, name);
            return NULL;
        }
    }
    if (!symbol)
        err_set(e, ERR_INVALID, "%s: has no " HANDLER_ENTRY ": not a handler; HANDLER_DEFINE writes it", path);
    memcpy(&entry, &symbol, sizeof symbol); /* ISO C has no cast from an object's to a function's pointer */
    return entry;
}

static int
check_option(const char *path, const struct handler_option *options, size_t index, struct err *e)
{
    const struct handler_option *o = &options[index];
    if (!is_made_of(o->name, LETTERS, LETTERS DIGITS "_-"))
        return err_set(e, ERR_INVALID,
                       "%s: option %zu is called \"%.60s\"; a name has 1 to %d letters, digits, - and "
                       "_, a letter first",
                       path, index, o->name, NAME_MAX_BYTES);
    for (size_t i = 0; i < index; i++)
        if (strcmp(options[i].name, o->name) == 0)
            return err_set(e, ERR_INVALID, "%s: two options are called %s", path, o->name);
    if (!o->type || !is_known_type(o->type))
        return err_set(e, ERR_INVALID, "%s: option %s has type \"%.60s\"; there are string, int, number and bool", path,
                       o->name, o->type ? o->type : "");
    if (o->def && !is_of_type(o->def, o->type))
        return err_set(e, ERR_INVALID, "%s: the default of option %s, \"%.60s\", is no %s", path, o->name, o->def,
                       o->type);
    return 0;
}

/* table is the plugin's own, of which no more than its size may be read. */
static int
copy_table(const char *path, const struct handler *table, struct handler *copy, struct err *e)
{
    if (!table)
        return err_set(e, ERR_INVALID, "%s: " HANDLER_ENTRY " returned NULL", path);
    uint32_t size;
    memcpy(&size, table, sizeof size);
    if (size < TABLE_MIN_BYTES)
        return err_set(e, ERR_INVALID, "%s: its table has %u bytes; at least %zu are needed", path, (unsigned)size,
                       TABLE_MIN_BYTES);
    memcpy(copy, table, size < sizeof *copy ? size : sizeof *copy);
    return 0;
}

static int
check_table(const char *path, const struct handler *t, struct err *e)
{
    if (t->abi_major != HANDLER_ABI_MAJOR)
        return err_set(e, ERR_INVALID, "%s: its table says ABI %u; this host speaks %d", path, (unsigned)t->abi_major,
                       HANDLER_ABI_MAJOR);
    if (!t->name || !is_made_of(t->name, LOWER DIGITS "_-", LOWER DIGITS "_-"))
        return err_set(e, ERR_INVALID, "%s: its name is \"%.60s\"; a name has 1 to %d of a-z, 0-9, - and _", path,
                       t->name ? t->name : "", NAME_MAX_BYTES);
    if (!t->version || !*t->version)
        return err_set(e, ERR_INVALID, "%s: it has no version", path);
    if (!t->handle == !t->handle_batch)
        return err_set(e, ERR_INVALID, "%s: it sets %s of handle and handle_batch; exactly one is needed", path,
                       t->handle ? "both" : "none");
    for (size_t i = 0; t->options && t->options[i].name; i++) {
        int rc = check_option(path, t->options, i, e);
        if (rc)
            return rc;
    }
    return 0;
}

int
plugin_load(const char *path, struct plugin **ret_plugin, struct err *e)
{
    if (!strchr(path, '/'))
        return err_set(e, ERR_INVALID, "%s: a plugin's path has a '/'", path);
    struct stat st;
    if (access(path, R_OK) != 0 || stat(path, &st) != 0)
        return err_set_errno(e, errno, "%s: cannot be read", path);
    if (!S_ISREG(st.st_mode)) /* dlopen would wait for the writer of a pipe */
        return err_set(e, ERR_INVALID, "%s: is no file", path);
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!object)
        return explain_dlerror(path, dlerror(), e);

    handler_entry_fn *entry = find_entry(path, object, e);
    if (!entry)
        return ERR_INVALID;
    struct handler table = {0};
    int rc = copy_table(path, entry(), &table, e);
    if (rc == 0)
        rc = check_table(path, &table, e);
    if (rc)
        return rc;
    struct plugin *p = calloc(1, sizeof *p);
    if (!p || !(p->path = strdup(path))) {
        free(p);
        return err_no_memory(e);
    }
    p->table = table;
    *ret_plugin = p;
    return 0;
}

static size_t
count_options(const struct plugin *p)
{
    size_t n = 0;
    while (p->table.options && p->table.options[n].name)
        n++;
    return n;
}

static size_t
find_option(const struct plugin *p, const char *name)
{
    size_t i = 0;
    while (p->table.options && p->table.options[i].name && strcmp(p->table.options[i].name, name) != 0)
        i++;
    return i;
}

static int
refuse_unknown(const struct plugin *p, const char *name, struct err *e)
{
    char known[300] = "";
    size_t used = 0, n = count_options(p);
    for (size_t i = 0; i < n && used < sizeof known; i++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", p->table.options[i].name);
    return err_set(e, ERR_INVALID, "plugin %s has no option %.60s; it has %s%s", p->table.name, name,
                   n ? known : "none", used >= sizeof known ? "..." : "");
}

static void
free_values(char **values, size_t n)
{
    for (size_t i = 0; values && i < n; i++)
        free(values[i]);
    free(values);
}

static int
take_configured(const struct plugin *p, const struct plugin_option *given, char **values, struct err *e)
{
    size_t i = find_option(p, given->name);
    if (i == count_options(p))
        return refuse_unknown(p, given->name, e);
    const struct handler_option *o = &p->table.options[i];
    if (values[i])
        return err_set(e, ERR_INVALID, "option %s of plugin %s is given twice", o->name, p->table.name);
    if (!is_of_type(given->value, o->type))
        return err_set(e, ERR_INVALID, "option %s of plugin %s: \"%.60s\" is no %s", o->name, p->table.name,
                       given->value, strcmp(o->type, "bool") == 0 ? "bool (true or false)" : o->type);
    values[i] = strdup(given->value);
    return values[i] ? 0 : err_no_memory(e);
}

static int
take_default(const struct plugin *p, const struct handler_option *o, char **value, struct err *e)
{
    if (*value)
        return 0;
    if (!o->def)
        return err_set(e, ERR_INVALID, "plugin %s needs its option %s: %.200s", p->table.name, o->name,
                       o->help ? o->help : o->type);
    *value = strdup(o->def);
    return *value ? 0 : err_no_memory(e);
}

int
plugin_set_options(struct plugin *p, const struct plugin_option *options, size_t n, struct err *e)
{
    size_t count = count_options(p);
    char **values = calloc(count + 1, sizeof *values);
    int rc = 0;
    if (!values)
        return err_no_memory(e);
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = take_configured(p, &options[i], values, e);
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = take_default(p, &p->table.options[i], &values[i], e);
    if (rc) {
        free_values(values, count);
        return rc;
    }
    free_values(p->values, count);
    p->values = values;
    return 0;
}

const char *
plugin_option(const struct plugin *p, const char *name)
{
    size_t i = find_option(p, name);
    return p->values ? p->values[i] : NULL;
}

void
plugin_destroy(struct plugin *p)
{
    if (!p)
        return;
    free_values(p->values, count_options(p));
    free(p->path);
    free(p);
}

int
plugin_resolve(const char *name, const char *dir, char *ret_path, size_t capacity, struct err *e)
{
    bool is_path = strchr(name, '/');
    int n = is_path ? snprintf(NULL, 0, "%s", name) : snprintf(NULL, 0, "%s/%s.so", dir, name);
    if (n < 0 || (size_t)n >= capacity)
        return err_set(e, ERR_LIMIT, "plugin %.100s...: its path is longer than %zu bytes", name, capacity - 1);
    if (is_path)
        snprintf(ret_path, capacity, "%s", name);
    else
        snprintf(ret_path, capacity, "%s/%s.so", dir, name);
    return 0;
}
