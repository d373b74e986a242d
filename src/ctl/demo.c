/* fanoutctl demo: the whole system on this machine for less than a minute, and a verdict.
 *
 * Starts fanout-local and fanoutd (with the flaky plugin) in a temporary folder, publishes events through PutEvents,
 * watches what becomes of them from the outside - the bucket over S3, the handler by the record it writes, the fleet by
 * its metrics - and compares event ids at the end: published = captured = handled, or what is missing. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/ratelimit.h"
#include "ctl/child.h"
#include "ctl/command.h"
#include "ctl/publisher.h"
#include "ctl/supply.h"
#include "ctl/tally.h"
#include "ctl/verdict.h"
#include "ctl/view.h"
#include "ctl/watch.h"
#include "ctl/widen.h"

#define DEMO_BUS    "durable-event-bus"
#define DEMO_BUCKET "durable-event-buffer-000000000000-us-east-1"
#define START_MS    10000
#define PUBLISH_MS  35000 /* then no more are published, so that what was is handled in time */
#define DEADLINE_MS 50000 /* of publishing and handling; what is left of the minute is for stopping */
#define DELETES_MS  3000
#define STOP_MS     5000
#define SPREAD_S    25   /* so long publishing takes at least, unless a rate is given */
#define RATE_MIN    1000 /* a second, unless one is given */
#define AHEAD_MAX   5000 /* events published and not handled yet: no more than can be handled in what is left */
#define NAMED_MAX   10   /* events that could not be published */

struct demo_options {
    const char *events;   /* a file; NULL: generated */
    const char *conf_dir; /* where demo.conf and the template are */
    size_t count;         /* of generated events */
    double rate;          /* published each second at most; 0: as the number of events suggests */
    bool keep;            /* the folder */
};

struct demo {
    struct demo_options options;
    char folder[PATH_MAX];
    char record[PATH_MAX + 16];
    struct child local, fleet;
    char url[200], admin[200];
    struct watch *watch;
    struct publisher *publisher;
    struct supply supply;
    struct tally tally;
    struct view view;
    struct ratelimit limit;
    size_t taken, failed;           /* of the supply: handed to the publisher; given up by it */
    int64_t started_ms, arrived_ms; /* arrived: since when all that was published was captured and handled; 0: not */
};

static volatile sig_atomic_t interrupted; /* by this signal */

static void
on_interrupt(int signal_number)
{
    interrupted = signal_number;
}

/* The demo speaks to what it starts: no proxy, no profile, no endpoint and no token of this shell may get between. */
static void
clear_environment(void)
{
    extern char **environ;
    for (size_t i = 0; environ[i];) {
        char name[100];
        size_t n = strcspn(environ[i], "=");
        if (strncmp(environ[i], "AWS_", 4) == 0 && n < sizeof name) {
            memcpy(name, environ[i], n);
            name[n] = '\0';
            unsetenv(name);
        } else {
            i++;
        }
    }
    setenv("AWS_CONFIG_FILE", "/dev/null", 1);
    setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null", 1);
    setenv("no_proxy", "127.0.0.1", 1);
    setenv("NO_PROXY", "127.0.0.1", 1);
}

/* ---- events ------------------------------------------------------------------------------------------------------ */

static void
on_published(void *context, const struct entry *entry, const char *event_id)
{
    struct demo *d = context;
    (void)tally_note_published(&d->tally, slice_of_string(event_id), entry->line);
}

static void
on_failed(void *context, const struct entry *entry, const char *code, const char *message)
{
    struct demo *d = context;
    if (++d->failed > NAMED_MAX)
        return;
    view_make_room(&d->view);
    fprintf(stderr, "%s:%zu: not published: %s: %s\n", supply_name(&d->supply), entry->line, code, message);
}

/* ---- the system -------------------------------------------------------------------------------------------------- */

static int
await_word(struct demo *d, struct child *c, const char *text, char *ret_word, size_t capacity, struct err *e)
{
    int64_t deadline_ms = clock_monotonic_ms() + START_MS;
    while (!child_said(c, text, ret_word, capacity)) {
        if (interrupted)
            return err_set(e, ERR_CANCELLED, "interrupted");
        if (!child_is_running(c))
            return child_set_error(c, e);
        if (clock_monotonic_ms() > deadline_ms)
            return err_set(e, ERR_TIMEOUT, "%s did not get ready in %d s; its output is in %s", c->name,
                           START_MS / 1000, c->log);
        int rc = watch_run(d->watch, 20, e);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int
start_local(struct demo *d, struct err *e)
{
    char program[PATH_MAX], data[PATH_MAX + 16], template_path[PATH_MAX + 40], log[PATH_MAX + 32];
    char wide_path[PATH_MAX + 40];
    int rc = child_find("fanout-local", program, sizeof program, e);
    if (rc != 0)
        return rc;
    snprintf(template_path, sizeof template_path, "%s/durable-event-buffer.template.json", d->options.conf_dir);
    if (d->options.events) { /* whose sources are a person's own */
        snprintf(wide_path, sizeof wide_path, "%s/template.json", d->folder);
        if ((rc = widen_file(template_path, wide_path, e)) != 0)
            return rc;
        memcpy(template_path, wide_path, sizeof template_path);
    }
    snprintf(data, sizeof data, "%s/data", d->folder);
    snprintf(log, sizeof log, "%s/fanout-local.log", d->folder);
    char *const argv[] = {"fanout-local", "--listen",     "127.0.0.1:0", "--data",       data,          "--template",
                          template_path,  "--access-key", "demo",        "--secret-key", "demo-secret", NULL};
    const char *const extra[] = {NULL};
    if ((rc = child_start(&d->local, program, argv, extra, log, e)) != 0)
        return rc;
    return await_word(d, &d->local, "READY ", d->url, sizeof d->url, e);
}

static int
start_fleet(struct demo *d, struct err *e)
{
    char program[PATH_MAX], conf[PATH_MAX], endpoint[260], record[PATH_MAX + 40], log[PATH_MAX + 32];
    int rc = child_find("fanoutd", program, sizeof program, e);
    if (rc != 0)
        return rc;
    snprintf(conf, sizeof conf, "%s/demo.conf", d->options.conf_dir);
    snprintf(endpoint, sizeof endpoint, "AWS_ENDPOINT_URL=%s", d->url);
    snprintf(record, sizeof record, "DEMO_RECORD=%s", d->record);
    snprintf(log, sizeof log, "%s/fanoutd.log", d->folder);
    char *const argv[] = {"fanoutd", "-c", conf, NULL};
    const char *const extra[] = {endpoint,
                                 record,
                                 "DEMO_ADMIN=127.0.0.1:0",
                                 "AWS_ACCESS_KEY_ID=demo",
                                 "AWS_SECRET_ACCESS_KEY=demo-secret",
                                 "AWS_REGION=us-east-1",
                                 NULL};
    if ((rc = child_start(&d->fleet, program, argv, extra, log, e)) != 0)
        return rc;
    return await_word(d, &d->fleet, "admin=", d->admin, sizeof d->admin, e);
}

static int
connect_to(struct demo *d, struct err *e)
{
    int rc = watch_connect(d->watch, d->url, "demo", "demo-secret", DEMO_BUCKET, e);
    if (rc != 0)
        return rc;
    struct publisher_options options = {
        .client = watch_events_client(d->watch),
        .timers = watch_timers(d->watch),
        .on_published = on_published,
        .on_failed = on_failed,
        .context = d,
    };
    return publisher_new(&options, &d->publisher, e);
}

/* ---- the run ----------------------------------------------------------------------------------------------------- */

static void
show(struct demo *d, bool last)
{
    const struct watch_metrics *m = watch_latest(d->watch);
    int64_t now_ms = clock_monotonic_ms();
    struct view_numbers n = {
        .total = d->supply.total,
        .published = d->tally.published,
        .captured = d->tally.captured,
        .handled = d->tally.handled,
        .delivered = m->received,
        .retried = m->retried,
        .deleted = m->deleted,
        .elapsed_s = (double)(now_ms - d->started_ms) / 1000,
    };
    view_show(&d->view, &n, now_ms, last);
}

/* The next event for the publisher, unless it is not time for one. */
static struct entry *
next_event(struct demo *d, int64_t now_ms)
{
    if (d->taken == d->supply.total || now_ms - d->started_ms > PUBLISH_MS ||
        d->taken - d->failed >= d->tally.handled + AHEAD_MAX || !publisher_wants_more(d->publisher) ||
        !ratelimit_take(&d->limit, 1, now_ms))
        return NULL;
    return supply_next(&d->supply);
}

/* Everything that was published has arrived everywhere. What a worker deleted before it was killed is in nobody's
 * metrics, so the sum of deletes is not waited for long. */
static bool
is_complete(struct demo *d, int64_t now_ms)
{
    const struct watch_metrics *m = watch_latest(d->watch);
    bool published = d->taken == d->supply.total || now_ms - d->started_ms > PUBLISH_MS;
    bool arrived = published && publisher_pending(d->publisher) == 0 && d->tally.captured == d->tally.published &&
                   d->tally.handled == d->tally.published;
    if (!arrived || d->arrived_ms == 0)
        d->arrived_ms = arrived ? now_ms : 0;
    return arrived && m->in_flight == 0 && (m->deleted >= d->tally.published || now_ms - d->arrived_ms > DELETES_MS);
}

static int
check_children(struct demo *d, struct err *e)
{
    if (!child_is_running(&d->local))
        return child_set_error(&d->local, e);
    return child_is_running(&d->fleet) ? 0 : child_set_error(&d->fleet, e);
}

static int
run(struct demo *d, struct err *e)
{
    double rate = d->options.rate;
    if (rate == 0)
        rate = (double)d->supply.total / SPREAD_S > RATE_MIN ? (double)d->supply.total / SPREAD_S : RATE_MIN;
    d->started_ms = clock_monotonic_ms();
    ratelimit_init(&d->limit, rate, rate / 10 < 1 ? 1 : rate / 10, d->started_ms);
    for (int64_t shown_ms = 0;;) {
        int64_t now_ms = clock_monotonic_ms();
        for (struct entry *entry; (entry = next_event(d, now_ms)); d->taken++)
            publisher_add(d->publisher, &entry);
        publisher_flush(d->publisher);
        int rc = watch_run(d->watch, 20, e);
        if (rc != 0 || (rc = check_children(d, e)) != 0)
            return rc;
        if (ferror(stdout)) /* nobody reads it any more */
            interrupted = SIGPIPE;
        if (interrupted)
            return err_set(e, ERR_CANCELLED, "interrupted");
        if (now_ms - shown_ms >= 200) {
            show(d, false);
            shown_ms = now_ms;
        }
        if (is_complete(d, now_ms) || now_ms - d->started_ms > DEADLINE_MS)
            break;
    }
    show(d, true);
    return 0;
}

/* ---- the end ------------------------------------------------------------------------------------------------------
 */

static void
suggest(void)
{
    puts("\nTry next:\n"
         "  make demo EVENTS=file.ndjson         your own PutEvents entries, one JSON object a line\n"
         "  fanout-local --data ./data           the same bus, bucket and queues for aws-cli, boto3 and any AWS SDK\n"
         "  fanoutd -c conf/fanoutd.conf --check your own consumer; the README has a first handler in ten lines");
}

static void
remove_folder(const char *folder)
{
    char *const argv[] = {"rm", "-rf", (char *)folder, NULL};
    const char *const extra[] = {NULL};
    struct child c;
    if (child_start(&c, "/bin/rm", argv, extra, "/dev/null", NULL) == 0)
        while (child_is_running(&c))
            usleep(1000);
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

int
ctl_demo(int argc, char **argv)
{
    static const int SIGNALS[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    struct demo d = {.options = {.count = 20000}};
    char conf_dir[PATH_MAX];
    struct err e = {0};
    int status = parse(&d.options, argc, argv);
    if (status != CTL_OK)
        return status;
    if (!d.options.conf_dir)
        d.options.conf_dir = find_conf_dir(conf_dir, sizeof conf_dir);
    if (supply_open(&d.supply, d.options.events, d.options.count, DEMO_BUS, &e) != 0) {
        fprintf(stderr, "fanoutctl demo: %s\n", e.text);
        supply_close(&d.supply);
        return CTL_FAILED;
    }

    clear_environment();
    for (size_t i = 0; i < sizeof SIGNALS / sizeof *SIGNALS; i++)
        signal(SIGNALS[i], on_interrupt);
    tally_init(&d.tally);
    view_init(&d.view);
    snprintf(d.folder, sizeof d.folder, "%s/fanout-demo-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    int rc = mkdtemp(d.folder) ? 0 : err_set_errno(&e, errno, "cannot make %s", d.folder);
    bool made = rc == 0;
    snprintf(d.record, sizeof d.record, "%s/handled", d.folder);
    if (rc == 0)
        rc = watch_new(&d.tally, d.record, &d.watch, &e);
    if (rc == 0)
        rc = start_local(&d, &e);
    if (rc == 0)
        rc = connect_to(&d, &e);
    if (rc == 0)
        rc = start_fleet(&d, &e);
    if (rc == 0)
        rc = watch_metrics_at(d.watch, d.admin, &e);
    if (rc == 0) {
        printf("fanout-local %s   fanoutd %s   folder %s\n\n", d.url, d.admin, d.folder);
        rc = run(&d, &e);
    }
    bool clean = child_stop(&d.fleet, STOP_MS);
    if (rc == 0) {
        watch_read_record(d.watch); /* what the handler did while it was stopping counts too */
        struct verdict verdict = {
            .tally = &d.tally,
            .name = supply_name(&d.supply),
            .failed = d.failed,
            .unanswered = publisher_pending(d.publisher),
            .left = d.supply.total - d.taken,
            .bad = d.supply.bad,
        };
        status = verdict_print(&verdict) ? CTL_OK : CTL_FAILED;
        if (!clean)
            printf("      fanoutd did not stop cleanly; its output is in %s\n", d.fleet.log);
    } else {
        fprintf(stderr, "\nfanoutctl demo: %s\n", e.text);
        status = interrupted ? 128 + interrupted : CTL_FAILED;
    }
    publisher_destroy(d.publisher);
    watch_destroy(d.watch);
    child_stop(&d.local, STOP_MS);
    supply_close(&d.supply);
    tally_clean_up(&d.tally);
    if (made && !d.options.keep && (status == CTL_OK || interrupted))
        remove_folder(d.folder);
    else if (made)
        printf("kept, with the logs: %s\n", d.folder);
    if (status == CTL_OK)
        suggest();
    return status;
}
