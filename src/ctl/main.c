/* fanoutctl: the person's tool. One file per command; this one only finds it. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "ctl/command.h"

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} COMMANDS[] = {
    {"send", ctl_send, "publish PutEvents entries from a file or standard input"},
    {"pattern", ctl_pattern, "which events an event pattern matches, and why others not"},
    {"plugin", ctl_plugin, "what a handler plugin is and which options it has"},
    {"demo", ctl_demo, "run the whole system in a temporary folder, publish events, and judge what came out"},
};

static void
print_usage(FILE *out)
{
    fprintf(out, "usage: fanoutctl COMMAND [OPTION...]\n\n");
    for (size_t i = 0; i < sizeof COMMANDS / sizeof *COMMANDS; i++)
        fprintf(out, "  %-8s %s\n", COMMANDS[i].name, COMMANDS[i].help);
    fprintf(out, "\nfanoutctl COMMAND --help describes a command; fanoutctl --version prints the version.\n");
}

int
main(int argc, char **argv)
{
    struct err e = {0};
    if (clock_init(&e) != 0) {
        fprintf(stderr, "fanoutctl: %s\n", e.text);
        return CTL_FAILED;
    }
    signal(SIGPIPE, SIG_IGN);
    log_set_level(LOG_WARN);
    if (argc < 2) {
        print_usage(stderr);
        return CTL_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("fanoutctl %s\n", FANOUT_VERSION);
        return CTL_OK;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        print_usage(stdout);
        return CTL_OK;
    }
    for (size_t i = 0; i < sizeof COMMANDS / sizeof *COMMANDS; i++)
        if (strcmp(argv[1], COMMANDS[i].name) == 0)
            return COMMANDS[i].run(argc - 1, argv + 1);
    fprintf(stderr, "fanoutctl: there is no command \"%s\"\n\n", argv[1]);
    print_usage(stderr);
    return CTL_USAGE;
}
