/* fanoutctl send: publishes PutEvents entries, one JSON object a line. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/aws.h"
#include "aws/creds.h"
#include "aws/endpoint.h"
#include "base/clock.h"
#include "base/ratelimit.h"
#include "ctl/command.h"
#include "ctl/lines.h"
#include "ctl/publisher.h"
#include "http/http.h"

#define LINGER_MS 50 /* so long a batch that is not full waits for a slow writer */

struct send_options {
    const char *file, *bus, *endpoint_url, *ca_file, *region, *profile;
    double rate; /* events a second; 0: as fast as it goes */
    bool print_ids;
};

struct send {
    struct send_options options;
    struct http_engine *engine;
    struct creds_provider *credentials;
    struct aws_client *client;
    struct publisher *publisher;
    struct lines lines;
    struct entry *held;  /* read, and waiting for the rate to allow it */
    int64_t flush_at_ms; /* when what was read goes out although no batch is full; 0: nothing new was read */
    size_t published, failed;
};

static void
on_published(void *context, const struct entry *entry, const char *event_id)
{
    struct send *s = context;
    s->published++;
    if (s->options.print_ids)
        printf("%zu %s\n", entry->line, event_id);
}

static void
on_failed(void *context, const struct entry *entry, const char *code, const char *message)
{
    struct send *s = context;
    s->failed++;
    fprintf(stderr, "%s:%zu: not published: %s: %s\n", s->lines.name, entry->line, code, message);
}

static int
set_up(struct send *s, struct err *e)
{
    char *ca_file = NULL;
    int rc = endpoint_ca_file(s->options.ca_file, s->options.profile, &ca_file, e);
    const struct http_engine_options engine_options = {.ca_file = ca_file, .ca_option = "--ca-file"};
    if (rc == 0)
        rc = http_engine_new(&engine_options, &s->engine, e);
    free(ca_file);
    if (rc == 0)
        rc = creds_default_new(s->options.profile, &s->credentials, e);
    if (rc == 0) {
        struct aws_client_options client_options = {
            .engine = s->engine,
            .credentials = s->credentials,
            .service = AWS_EVENTBRIDGE,
            .region = s->options.region,
            .profile = s->options.profile,
            .endpoint_url = s->options.endpoint_url,
        };
        rc = aws_client_new(&client_options, &s->client, e);
    }
    if (rc == 0) {
        struct publisher_options publisher_options = {
            .client = s->client,
            .timers = http_engine_timers(s->engine),
            .on_published = on_published,
            .on_failed = on_failed,
            .context = s,
        };
        rc = publisher_new(&publisher_options, &s->publisher, e);
    }
    if (rc == 0)
        rc = lines_open(&s->lines, s->options.file, s->options.bus, e);
    return rc;
}

static void
tear_down(struct send *s)
{
    entry_destroy(s->held);
    lines_close(&s->lines);
    publisher_destroy(s->publisher);
    aws_client_destroy(s->client);
    creds_provider_destroy(s->credentials);
    http_engine_destroy(s->engine);
}

/* The next entries for the publisher, as many as it wants and the rate allows. *ret_wait_ms: how long the rate, or a
 * batch that the writer has not filled, asks to wait; negative: neither does. */
static enum lines_outcome
take_entries(struct send *s, struct ratelimit *limit, int64_t *ret_wait_ms)
{
    int64_t now_ms = clock_monotonic_ms();
    enum lines_outcome got = LINES_ENTRY;
    *ret_wait_ms = -1;
    while (publisher_wants_more(s->publisher)) {
        if (!s->held && (got = lines_try(&s->lines, &s->held)) != LINES_ENTRY)
            break;
        if (s->options.rate > 0 && !ratelimit_take(limit, 1, now_ms)) {
            *ret_wait_ms = ratelimit_wait_ms(limit, 1, now_ms);
            publisher_flush(s->publisher);
            return LINES_ENTRY;
        }
        publisher_add(s->publisher, &s->held);
        s->flush_at_ms = s->flush_at_ms ? s->flush_at_ms : now_ms + LINGER_MS;
    }
    if (got == LINES_END || (got == LINES_WAIT && s->flush_at_ms && now_ms >= s->flush_at_ms)) {
        publisher_flush(s->publisher);
        s->flush_at_ms = 0;
    } else if (got == LINES_WAIT && s->flush_at_ms) {
        *ret_wait_ms = s->flush_at_ms - now_ms;
    }
    return got;
}

static int
publish_all(struct send *s, struct err *e)
{
    struct ratelimit limit;
    int rc = 0;
    ratelimit_init(&limit, s->options.rate, s->options.rate > 20 ? s->options.rate / 10 : 1, clock_monotonic_ms());
    while (rc == 0) {
        int64_t wait_ms;
        enum lines_outcome got = take_entries(s, &limit, &wait_ms);
        if (got == LINES_END && publisher_pending(s->publisher) == 0)
            return lines_check(&s->lines, e);
        if (got == LINES_WAIT)
            fflush(stdout);
        http_engine_watch(s->engine, got == LINES_WAIT ? s->lines.fd : -1);
        rc = http_engine_run(s->engine, wait_ms, e);
    }
    return rc;
}

static void
print_help(void)
{
    puts("usage: fanoutctl send [OPTION...] [FILE]\n"
         "\n"
         "Publishes PutEvents entries from FILE (or standard input), one JSON object a line:\n"
         "  {\"Source\":\"buffer.source\",\"DetailType\":\"BufferedEvent\",\"Detail\":\"{\\\"user_id\\\":123}\"}\n"
         "A bad line is named with its number and reason, and the rest goes on.\n"
         "\n"
         "  --bus NAME           for entries without EventBusName (durable-event-bus)\n"
         "  --rate N             events a second at most (no limit)\n"
         "  --ids                print line number and event id of each published entry\n"
         "  --endpoint-url URL   where EventBridge is (AWS_ENDPOINT_URL_EVENTBRIDGE, AWS_ENDPOINT_URL, the profile's, "
         "AWS)\n"
         "  --ca-file FILE       PEM certificates to trust for TLS (AWS_CA_BUNDLE, the profile's ca_bundle, the "
         "system's)\n"
         "  --region R           (AWS_REGION, AWS_DEFAULT_REGION, the profile's)\n"
         "  --profile P          of ~/.aws/config and ~/.aws/credentials\n"
         "\n"
         "Exit status: 0 all published, 1 some were not, 2 usage.");
}

int
ctl_send(int argc, char **argv)
{
    static const struct option OPTIONS[] = {
        {"bus", required_argument, NULL, 'b'},
        {"rate", required_argument, NULL, 'r'},
        {"ids", no_argument, NULL, 'i'},
        {"endpoint-url", required_argument, NULL, 'e'},
        {"region", required_argument, NULL, 'R'},
        {"profile", required_argument, NULL, 'p'},
        {"ca-file", required_argument, NULL, 'c'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct send s = {.options = {.file = "-", .bus = "durable-event-bus"}};
    struct err e = {0};
    char *end;
    int option;
    while ((option = getopt_long(argc, argv, "h", OPTIONS, NULL)) != -1) {
        switch (option) {
        case 'b':
            s.options.bus = optarg;
            break;
        case 'r':
            s.options.rate = strtod(optarg, &end);
            if (*end || end == optarg || !(s.options.rate > 0 && s.options.rate <= 1e6)) {
                fprintf(stderr, "fanoutctl send: --rate %s: a number above 0, up to 1000000\n", optarg);
                return CTL_USAGE;
            }
            break;
        case 'i':
            s.options.print_ids = true;
            break;
        case 'e':
            s.options.endpoint_url = optarg;
            break;
        case 'c':
            s.options.ca_file = optarg;
            break;
        case 'R':
            s.options.region = optarg;
            break;
        case 'p':
            s.options.profile = optarg;
            break;
        case 'h':
            print_help();
            return CTL_OK;
        default:
            fprintf(stderr, "fanoutctl send --help lists the options\n");
            return CTL_USAGE;
        }
    }
    if (optind < argc)
        s.options.file = argv[optind++];
    if (optind < argc) {
        fprintf(stderr, "fanoutctl send: one file at a time, \"%s\" is too much\n", argv[optind]);
        return CTL_USAGE;
    }

    int rc = set_up(&s, &e);
    if (rc == 0)
        rc = publish_all(&s, &e);
    if (rc != 0)
        fprintf(stderr, "fanoutctl send: %s\n", e.text);
    fprintf(stderr, "published %zu, failed %zu, bad lines %zu\n", s.published, s.failed, s.lines.bad);
    bool complete = rc == 0 && s.failed == 0 && s.lines.bad == 0;
    tear_down(&s);
    return complete ? CTL_OK : CTL_FAILED;
}
