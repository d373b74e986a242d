/* fanoutd: the supervisor. Arguments and exit codes; supervisor.h does the rest. */
#include <getopt.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "config/conf.h"
#include "httpd/probe.h"
#include "ipc/channel.h"
#include "supervisor/check.h"
#include "supervisor/spawn.h"
#include "supervisor/supervisor.h"

static const char USAGE[] =
    "usage: fanoutd -c FILE [--check | --print-config | --health]\n"
    "       fanoutd --version | --help\n"
    "\n"
    "Runs the workers that FILE describes and keeps them running.\n"
    "\n"
    "  -c, --config FILE   the configuration (conf/fanoutd.conf explains every option)\n"
    "      --check         say whether the configuration is valid, plugins and their options included, and exit\n"
    "      --print-config  print every option with its effective value, and exit\n"
    "      --health        ask the fanoutd that runs with FILE, at its admin.listen, whether every worker is ready "
    "and\n"
    "                      at work: exit status 0, otherwise 1\n"
    "      --version       print the version, and exit\n"
    "  -h, --help          print this, and exit\n"
    "\n"
    "Signals: TERM, INT drain (a second one ends now); QUIT ends now; HUP takes up FILE again, replacing workers one "
    "by\n"
    "one; USR1 reopens logs; USR2 writes the state to the log.\n"
    "\n"
    "Exit codes: 0 drained; 1 could not run; 2 the configuration or a plugin was refused; 3 ended with messages in "
    "hand\n"
    "(SQS delivers them again).\n";

struct arguments {
    const char *file;
    bool check, print, health;
};

/* True: go on; otherwise *ret_code is what to exit with. */
static bool
read_arguments(int argc, char **argv, struct arguments *a, int *ret_code)
{
    enum { CHECK = 256, PRINT, HEALTH, VERSION };
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"check", no_argument, NULL, CHECK},
        {"print-config", no_argument, NULL, PRINT},
        {"health", no_argument, NULL, HEALTH},
        {"version", no_argument, NULL, VERSION},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    for (int o; (o = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
        switch (o) {
        case 'c':
            a->file = optarg;
            break;
        case CHECK:
            a->check = true;
            break;
        case PRINT:
            a->print = true;
            break;
        case HEALTH:
            a->health = true;
            break;
        case VERSION:
            puts("fanoutd " FANOUT_VERSION);
            *ret_code = IPC_EXIT_OK;
            return false;
        case 'h':
            fputs(USAGE, stdout);
            *ret_code = IPC_EXIT_OK;
            return false;
        default:
            fputs("Try fanoutd --help.\n", stderr);
            *ret_code = IPC_EXIT_CONFIG;
            return false;
        }
    }
    if (a->check && a->print) {
        fputs("fanoutd: --check or --print-config, one at a time. Try fanoutd --help.\n", stderr);
        *ret_code = IPC_EXIT_CONFIG;
        return false;
    }
    if (optind == argc && a->file)
        return true;
    if (optind < argc)
        fprintf(stderr, "fanoutd: what is '%s'? ", argv[optind]);
    fputs("Give the configuration as fanoutd -c FILE. Try fanoutd --help.\n", stderr);
    *ret_code = IPC_EXIT_CONFIG;
    return false;
}

static int
refuse_file(const char *file, struct conf_problems *problems, const struct err *e)
{
    if (problems->count > 0)
        fprintf(stderr, "%s%s: %zu problem%s\n", problems->text.data, file, problems->count,
                problems->count == 1 ? "" : "s");
    else
        fprintf(stderr, "fanoutd: %s\n", e->text);
    return IPC_EXIT_CONFIG;
}

static int
print(const struct conf *c)
{
    struct buf text = BUF_INIT;
    conf_print(c, NULL, &text);
    bool ok = !buf_failed(&text) && fwrite(text.data, 1, text.len, stdout) == text.len && fflush(stdout) == 0;
    buf_clean_up(&text);
    return ok ? IPC_EXIT_OK : IPC_EXIT_FAILURE;
}

static int
check(const char *file, const struct conf *c, const char *worker_path)
{
    struct err e;
    int bad_files = check_files(c, file);
    int bad = check_consumers(c, worker_path, &e);
    if (bad < 0) {
        fprintf(stderr, "fanoutd: cannot check: %s\n", e.text);
        return IPC_EXIT_FAILURE;
    }
    if (bad > 0) {
        fprintf(stderr, "%s: %d of %zu consumers would not start\n", file, bad, c->n_consumers);
        return IPC_EXIT_CONFIG;
    }
    if (bad_files > 0)
        return IPC_EXIT_CONFIG;
    printf("%s: configuration is valid\n", file);
    return IPC_EXIT_OK;
}

static int
ask_health(const char *file, const struct conf *c)
{
    if (c->admin.listen[0])
        return httpd_probe_main("fanoutd", c->admin.listen, "/healthz");
    fprintf(stderr, "fanoutd: unhealthy: %s sets no admin.listen, so there is nobody to ask\n", file);
    return IPC_EXIT_FAILURE;
}

static int
run(const char *file, struct conf **c, const char *worker_path)
{
    struct err e;
    const struct log_options log = {
        .program = "fanoutd", .file = (*c)->log.file, .level = (*c)->log.level, .format = (*c)->log.format};
    if (log_open(&log, &e) != 0) {
        fprintf(stderr, "fanoutd: log.file: %s\n", e.text);
        return IPC_EXIT_CONFIG;
    }
    const struct supervisor_options options = {.file = file, .worker_path = worker_path};
    int code = supervisor_run(&options, c);
    log_close(1000);
    return code;
}

int
main(int argc, char **argv)
{
    struct err e;
    struct arguments a = {0};
    struct conf *c = NULL;
    struct conf_problems problems = {.text = BUF_INIT};
    char worker_path[PATH_MAX];
    int code;
    if (!read_arguments(argc, argv, &a, &code))
        return code;
    if (clock_init(&e) != 0) {
        fprintf(stderr, "fanoutd: %s\n", e.text);
        return IPC_EXIT_FAILURE;
    }
    if (conf_read_file(a.file, &c, &problems, &e) != 0) {
        code = refuse_file(a.file, &problems, &e);
        if (a.health)
            code = IPC_EXIT_FAILURE; /* a health check's only other status: Docker reserves 2 */
    } else if (a.print) {
        code = print(c);
    } else if (a.health) {
        code = ask_health(a.file, c);
    } else if (spawn_find_worker(worker_path, sizeof worker_path, &e) != 0) {
        fprintf(stderr, "fanoutd: %s\n", e.text);
        code = IPC_EXIT_FAILURE;
    } else {
        code = a.check ? check(a.file, c, worker_path) : run(a.file, &c, worker_path);
    }
    buf_clean_up(&problems.text);
    conf_destroy(c);
    return code;
}
