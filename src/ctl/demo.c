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
#include "ctl/lines.h"
#include "ctl/publisher.h"
#include "ctl/tally.h"
#include "ctl/view.h"
#include "ctl/watch.h"

#define DEMO_BUS    "durable-event-bus"
#define DEMO_BUCKET "durable-event-buffer-000000000000-us-east-1"
#define START_MS    10000
#define DEADLINE_MS 50000 /* of publishing and handling; what is left of the minute is for stopping */
#define STOP_MS     5000

struct demo_options {
    const char *events;   /* NULL: generated */
    const char *conf_dir; /* where demo.conf and the template are */
    size_t count;         /* of generated events */
    double rate;          /* published each second */
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
    struct lines lines;
    struct tally tally;
    struct view view;
    struct ratelimit limit;
    size_t generated, total, failed;
    int64_t started_ms;
};

static volatile sig_atomic_t interrupted;

static void
on_interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

/* ---- events ------------------------------------------------------------------------------------------------------ */

static struct entry *
next_generated(struct demo *d)
{
    static const char *const ACTIONS[] = {"signup", "login", "purchase", "logout"};
    if (d->generated == d->options.count)
        return NULL;
    size_t i = d->generated++;
    char line[512];
    int n = snprintf(line, sizeof line,
                     "{\"Source\":\"buffer.source\",\"DetailType\":\"BufferedEvent\",\"EventBusName\":\"" DEMO_BUS "\","
                     "\"Detail\":{\"user_id\": %zu, \"action\": \"%s\", \"seq\": %zu, \"amount\": 1.10, "
                     "\"trace\": 9007199254740993}}",
                     i % 1000, ACTIONS[i % 4], i);
    struct entry *entry = NULL;
    (void)entry_parse(slice_of(line, (size_t)n), i + 1, NULL, &entry, NULL);
    return entry;
}

static struct entry *
next_entry(struct demo *d)
{
    return d->options.events ? lines_next(&d->lines) : next_generated(d);
}

static void
on_published(void *context, const struct entry *entry, const char *event_id)
{
    struct demo *d = context;
    (void)entry;
    (void)tally_note(&d->tally, TALLY_PUBLISHED, slice_of_string(event_id));
}

static void
on_failed(void *context, const struct entry *entry, const char *code, const char *message)
{
    struct demo *d = context;
    d->failed++;
    fprintf(stderr, "%s:%zu: not published: %s: %s\n", d->options.events ? d->options.events : "event", entry->line,
            code, message);
}

/* Reads the file once: how many entries are good, and "EventSources=a,b" with the sources they name. Bad lines are
 * named here, so the second reading is silent about them. */
static int
survey_events(struct demo *d, struct buf *parameter, struct err *e)
{
    buf_add_string(parameter, "EventSources=");
    if (!d->options.events) {
        buf_add_string(parameter, "buffer.source");
        d->total = d->options.count;
        return 0;
    }
    int rc = lines_open(&d->lines, d->options.events, DEMO_BUS, e);
    if (rc != 0)
        return rc;
    struct buf seen = BUF_INIT; /* ",a,b," */
    buf_add_char(&seen, ',');
    struct entry *entry;
    while ((entry = lines_next(&d->lines))) {
        struct buf source = BUF_INIT;
        buf_add_format(&source, ",%.*s,", SLICE_ARG(entry->event.source));
        if (!slice_equals_string(entry->event.bus, DEMO_BUS)) {
            fprintf(stderr, "%s:%zu: EventBusName is %.*s: the demo watches " DEMO_BUS " alone\n", d->options.events,
                    entry->line, SLICE_ARG(entry->event.bus));
            d->lines.bad++;
        } else {
            d->total++;
            if (!buf_failed(&source) && !strstr(seen.data, source.data)) {
                buf_add_format(parameter, "%s%.*s", seen.len > 1 ? "," : "", SLICE_ARG(entry->event.source));
                buf_add(&seen, source.data + 1, source.len - 1);
            }
        }
        buf_clean_up(&source);
        entry_destroy(entry);
    }
    buf_clean_up(&seen);
    size_t bad = d->lines.bad;
    lines_close(&d->lines);
    if (d->total == 0)
        return err_set(e, ERR_INVALID, "%s holds no event that can be published", d->options.events);
    if (bad > 0)
        fprintf(stderr, "%zu bad lines passed over, %zu events go on\n", bad, d->total);
    rc = lines_open(&d->lines, d->options.events, DEMO_BUS, e);
    d->lines.quiet = true;
    return rc;
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
            return err_set(e, ERR_UNAVAILABLE, "%s ended at once; its output is in %s", c->name, c->log);
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
start_local(struct demo *d, const char *parameter, struct err *e)
{
    char program[PATH_MAX], data[PATH_MAX + 16], template_path[PATH_MAX], log[PATH_MAX + 32];
    int rc = child_find("fanout-local", program, sizeof program, e);
    if (rc != 0)
        return rc;
    snprintf(data, sizeof data, "%s/data", d->folder);
    snprintf(log, sizeof log, "%s/fanout-local.log", d->folder);
    snprintf(template_path, sizeof template_path, "%s/durable-event-buffer.template.json", d->options.conf_dir);
    char *const argv[] = {"fanout-local", "--listen",    "127.0.0.1:0",     "--data",       data,   "--template",
                          template_path,  "--parameter", (char *)parameter, "--access-key", "demo", "--secret-key",
                          "demo-secret",  NULL};
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
        .total = d->total,
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

static bool
is_complete(const struct demo *d)
{
    return d->tally.published + d->failed >= d->total && d->tally.captured == d->tally.published &&
           d->tally.handled == d->tally.published && watch_latest(d->watch)->in_flight == 0 &&
           watch_latest(d->watch)->deleted >= d->tally.published;
}

static int
run(struct demo *d, struct err *e)
{
    bool more = true;
    d->started_ms = clock_monotonic_ms();
    ratelimit_init(&d->limit, d->options.rate, d->options.rate / 10 < 1 ? 1 : d->options.rate / 10, d->started_ms);
    for (int64_t shown_ms = 0;;) {
        int64_t now_ms = clock_monotonic_ms();
        while (more && publisher_wants_more(d->publisher) && ratelimit_take(&d->limit, 1, now_ms)) {
            struct entry *entry = next_entry(d);
            more = entry != NULL;
            if (entry && !slice_equals_string(entry->event.bus, DEMO_BUS))
                entry_destroy(entry); /* named by survey_events */
            else if (entry)
                publisher_add(d->publisher, &entry);
        }
        publisher_flush(d->publisher);
        int rc = watch_run(d->watch, 20, e);
        if (rc != 0)
            return rc;
        if (interrupted)
            return err_set(e, ERR_CANCELLED, "interrupted");
        if (!child_is_running(&d->local) || !child_is_running(&d->fleet))
            return err_set(e, ERR_UNAVAILABLE, "%s ended; its output is in %s",
                           child_is_running(&d->fleet) ? d->local.name : d->fleet.name,
                           child_is_running(&d->fleet) ? d->local.log : d->fleet.log);
        if (now_ms - shown_ms >= 200) {
            show(d, false);
            shown_ms = now_ms;
        }
        if (is_complete(d) || now_ms - d->started_ms > DEADLINE_MS)
            break;
    }
    show(d, true);
    return 0;
}

/* ---- the verdict ------------------------------------------------------------------------------------------------- */

static int
judge(const struct demo *d)
{
    const struct tally *t = &d->tally;
    size_t lost = tally_lost(t), unexpected = tally_unexpected(t), uncaptured = t->published - t->captured;
    bool good = lost == 0 && uncaptured == 0 && unexpected == 0 && d->failed == 0 && t->published == d->total;
    printf("\n%s: published %zu %s captured %zu %s handled %zu; lost %zu; duplicates %zu\n", good ? "PASS" : "FAIL",
           t->published, uncaptured == 0 ? "=" : "!=", t->captured, t->captured == t->handled ? "=" : "!=", t->handled,
           lost, t->duplicates);
    if (d->failed > 0)
        printf("      %zu events could not be published\n", d->failed);
    if (unexpected > 0)
        printf("      %zu events were captured or handled under an id that was never confirmed as published\n",
               unexpected);
    return good ? CTL_OK : CTL_FAILED;
}

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
         "  --events FILE    PutEvents entries, one JSON object a line (generated ones)\n"
         "  --count N        generated events (20000)\n"
         "  --rate N         events published each second (1000)\n"
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
        if (*end || options->count < 1 || options->count > 1000000 || !(options->rate >= 1 && options->rate <= 1e6)) {
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
    struct demo d = {.options = {.count = 20000, .rate = 1000}};
    struct buf parameter = BUF_INIT;
    char conf_dir[PATH_MAX];
    struct err e = {0};
    int status = parse(&d.options, argc, argv);
    if (status != CTL_OK)
        return status;
    if (!d.options.conf_dir)
        d.options.conf_dir = find_conf_dir(conf_dir, sizeof conf_dir);

    signal(SIGINT, on_interrupt);
    signal(SIGTERM, on_interrupt);
    tally_init(&d.tally);
    view_init(&d.view);
    snprintf(d.folder, sizeof d.folder, "%s/fanout-demo-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    int rc = mkdtemp(d.folder) ? 0 : err_set_errno(&e, errno, "cannot make %s", d.folder);
    bool made = rc == 0;
    snprintf(d.record, sizeof d.record, "%s/handled", d.folder);
    if (rc == 0)
        rc = survey_events(&d, &parameter, &e);
    if (rc == 0)
        rc = watch_new(&d.tally, d.record, &d.watch, &e);
    if (rc == 0)
        rc = start_local(&d, parameter.data, &e);
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
        status = judge(&d);
        if (!clean)
            printf("      fanoutd did not stop cleanly; its output is in %s\n", d.fleet.log);
    } else {
        fprintf(stderr, "\nfanoutctl demo: %s\n", e.text);
        status = interrupted ? 128 + SIGINT : CTL_FAILED;
    }
    publisher_destroy(d.publisher);
    watch_destroy(d.watch);
    child_stop(&d.local, STOP_MS);
    lines_close(&d.lines);
    tally_clean_up(&d.tally);
    buf_clean_up(&parameter);
    if (made && !d.options.keep && (status == CTL_OK || interrupted))
        remove_folder(d.folder);
    else if (made)
        printf("kept: %s\n", d.folder);
    if (status == CTL_OK)
        suggest();
    return status;
}
