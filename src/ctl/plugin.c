/* fanoutctl plugin: what a plugin is and which options it has, from its own tables. */
#include <getopt.h>
#include <limits.h>
#include <stdio.h>

#include "ctl/child.h"
#include "ctl/command.h"
#include "plugin/plugin.h"

static void
print_help(void)
{
    puts("usage: fanoutctl plugin [--dir DIR] NAME|PATH\n"
         "\n"
         "Loads a handler plugin, as a worker would, and prints what it does and which options it has.\n"
         "A PATH has a / in it; a NAME is looked up as DIR/NAME.so.\n"
         "\n"
         "  --dir DIR    the folder of plugins that are given by name (lib/fanoutd/plugins beside this program's bin)\n"
         "\n"
         "Exit status: 0 it can be loaded, 1 it cannot, 2 usage.");
}

static int
describe(const char *name, const char *dir, struct err *e)
{
    char folder[PATH_MAX], path[PATH_MAX];
    struct plugin *p;
    struct buf text = BUF_INIT;
    int rc = dir ? 0 : child_find("../lib/fanoutd/plugins", folder, sizeof folder, e);
    if (rc == 0)
        rc = plugin_resolve(name, dir ? dir : folder, path, sizeof path, e);
    if (rc == 0)
        rc = plugin_load(path, &p, e);
    if (rc != 0)
        return rc;
    plugin_describe(p, &text);
    if (buf_failed(&text))
        rc = err_no_memory(e);
    else
        fputs(text.data, stdout);
    buf_clean_up(&text);
    plugin_destroy(p);
    return rc;
}

int
ctl_plugin(int argc, char **argv)
{
    static const struct option OPTIONS[] = {
        {"dir", required_argument, NULL, 'd'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    const char *dir = NULL;
    struct err e = {0};
    int option;
    while ((option = getopt_long(argc, argv, "h", OPTIONS, NULL)) != -1) {
        switch (option) {
        case 'd':
            dir = optarg;
            break;
        case 'h':
            print_help();
            return CTL_OK;
        default:
            return CTL_USAGE;
        }
    }
    if (optind + 1 != argc) {
        fprintf(stderr, "fanoutctl plugin: name one plugin; fanoutctl plugin --help says how\n");
        return CTL_USAGE;
    }
    if (describe(argv[optind], dir, &e) == 0)
        return CTL_OK;
    fprintf(stderr, "fanoutctl plugin: %s\n", e.text);
    return CTL_FAILED;
}
