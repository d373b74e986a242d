/* fanoutctl demo: the whole system on this machine for less than a minute, and a verdict.
 *
 * Starts fanout-local and fanoutd (with the flaky plugin) in a temporary folder, publishes events through PutEvents,
 * watches what becomes of them from the outside - the bucket over S3, the handler by the record it writes, the fleet by
 * its metrics - and compares event ids at the end: published = captured = handled, or what is missing. Here: what is
 * asked for and what is told; stage.c has the system, demo_run.c the run. */
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ctl/command.h"
#include "ctl/demo_run.h"
#include "ctl/verdict.h"

struct demo_options {
    const char *events;   /* a file; NULL: generated */
    const char *conf_dir; /* where demo.conf and the template are */
    size_t count;         /* of generated events */
    double rate;          /* published each second at most; 0: as the number of events suggests */
    bool keep;            /* the folder */
};

static volatile sig_atomic_t interrupted; /* by this signal */

static void
on_interrupt(int signal_number)
{
    interrupted = signal_number;
}

static void
print_help(void)
{
    puts("usage: fanoutctl demo [OPTION...]\n"
         "\n"
         "Runs fanout-local and fanoutd in a temporary folder, publishes events, and judges what came out.\n"
         "\n"
         "  --events FILE    PutEvents entries, one JSON object a line, - for standard input (generated ones)\n"
         "  --count N        generated events (20000)\n"
         "  --rate N         events published each second at most (1000, or more for more than 25000 events)\n"
         "  --conf-dir DIR   where demo.conf and durable-event-buffer.template.json are (share/fanoutd)\n"
         "  --keep           keep the folder with the logs and the database\n"
         "\n"
         "Exit status: 0 nothing was lost, 1 something was, 2 usage.");
}

static int
parse(struct demo_options *options, int argc, char **argv)
{
    static const struct option OPTIONS[] = {
        {"events", required_argument, NULL, 'e'},
        {"count", required_argument, NULL, 'n'},
        {"rate", required_argument, NULL, 'r'},
        {"conf-dir", required_argument, NULL, 'c'},
        {"keep", no_argument, NULL, 'k'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    char *end = "";
    int option;
    while ((option = getopt_long(argc, argv, "h", OPTIONS, NULL)) != -1) {
        switch (option) {
        case 'e':
            options->events = optarg;
            break;
        case 'n':
            options->count = strtoul(optarg, &end, 10);
            break;
        case 'r':
            options->rate = strtod(optarg, &end);
            break;
        case 'c':
            options->conf_dir = optarg;
            break;
        case 'k':
            options->keep = true;
            break;
        case 'h':
            print_help();
            exit(CTL_OK);
        default:
            return CTL_USAGE;
        }
        bool rate_good = option != 'r' || (options->rate >= 1 && options->rate <= 1e6);
        if (*end || options->count < 1 || options->count > 1000000 || !rate_good) {
            fprintf(stderr, "fanoutctl demo: \"%s\": a number from 1 to 1000000\n", optarg);
            return CTL_USAGE;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "fanoutctl demo: what is \"%s\"? fanoutctl demo --help lists the options\n", argv[optind]);
        return CTL_USAGE;
    }
    return CTL_OK;
}

/* share/fanoutd beside an installed program, conf/ beside a build tree. */
static const char *
find_conf_dir(char *buffer, size_t capacity)
{
    static const char *const PLACES[] = {"../share/fanoutd", "../../../conf"};
    for (size_t i = 0; i < sizeof PLACES / sizeof *PLACES; i++) {
        char probe[PATH_MAX];
        if (child_find(PLACES[i], buffer, capacity, NULL) == 0 &&
            (size_t)snprintf(probe, sizeof probe, "%s/demo.conf", buffer) < sizeof probe && access(probe, R_OK) == 0)
            return buffer;
    }
    return "conf";
}

/* From an empty folder to the verdict. */
static int
perform(const struct demo_options *options, struct stage *stage, struct supply *supply)
{
    struct demo_run r = {0};
    struct err e = {0};
    int status;
    int rc = stage_set_up(stage, &e);
    if (rc == 0)
        rc = stage_start_local(stage, options->events != NULL, &e);
    if (rc == 0)
        rc = demo_run_set_up(&r, stage, supply, &e);
    if (rc == 0)
        rc = stage_start_fleet(stage, &e);
    if (rc == 0) {
        printf("fanout-local %s   fanoutd %s   folder %s\n\n", stage->url, stage->admin, stage->folder);
        rc = demo_run_play(&r, options->rate, &e);
    }
    if (ferror(stdout)) /* nobody reads it any more */
        interrupted = interrupted ? interrupted : SIGPIPE;
    bool clean = stage_stop_fleet(stage);
    if (rc == 0)
        rc = demo_run_last_look(&r, &e);
    if (rc == 0) {
        struct verdict verdict = {
            .tally = &r.tally,
            .name = supply_name(supply),
            .failed = r.failed,
            .unanswered = publisher_pending(r.publisher),
            .left = supply->total - r.taken,
            .bad = supply->bad,
        };
        status = verdict_print(&verdict) ? CTL_OK : CTL_FAILED;
        if (!clean)
            printf("      fanoutd did not stop cleanly; its output is in %s\n", stage->fleet.log);
    } else {
        fprintf(stderr, "\nfanoutctl demo: %s\n", e.text);
        status = interrupted ? 128 + interrupted : CTL_FAILED;
    }
    demo_run_clean_up(&r);
    stage_stop_local(stage);
    return status;
}

static void
suggest(void)
{
    puts("\nTry next:\n"
         "  make demo EVENTS=file.ndjson         your own PutEvents entries, one JSON object a line\n"
         "  fanout-local --data ./data           the same bus, bucket and queues for aws-cli, boto3 and any AWS SDK\n"
         "  fanoutd -c conf/fanoutd.conf --check your own consumer; the README has a first handler in ten lines");
}

int
ctl_demo(int argc, char **argv)
{
    static const int SIGNALS[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    struct demo_options options = {.count = 20000};
    struct stage stage = {.interrupted = &interrupted};
    struct supply supply;
    char conf_dir[PATH_MAX];
    struct err e = {0};
    int status = parse(&options, argc, argv);
    if (status != CTL_OK)
        return status;
    stage.conf_dir = options.conf_dir ? options.conf_dir : find_conf_dir(conf_dir, sizeof conf_dir);
    if (supply_open(&supply, options.events, options.count, STAGE_BUS, &e) != 0) {
        fprintf(stderr, "fanoutctl demo: %s\n", e.text);
        supply_close(&supply);
        return CTL_FAILED;
    }
    for (size_t i = 0; i < sizeof SIGNALS / sizeof *SIGNALS; i++)
        signal(SIGNALS[i], on_interrupt);
    status = perform(&options, &stage, &supply);
    supply_close(&supply);
    if (!options.keep && (status == CTL_OK || interrupted))
        stage_remove(&stage);
    else if (stage.folder[0])
        printf("kept, with the logs: %s\n", stage.folder);
    if (status == CTL_OK)
        suggest();
    return status;
}
