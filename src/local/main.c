/* fanout-local: SQS, EventBridge and S3 in one process, for a machine without an AWS account. */
#include <getopt.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "httpd/probe.h"
#include "local/events.h"
#include "local/local.h"
#include "local/provision.h"
#include "local/s3.h"
#include "local/sqs.h"

#define EXIT_USAGE     2
#define MAX_PARAMETERS 64

#define MAX_PUT_EVENTS_BYTES 16777216

static const char HELP[] =
    "usage: fanout-local [options]\n"
    "\n"
    "SQS, EventBridge and S3 on this machine, for the AWS CLI, SDKs and fanoutd: durable in one SQLite file, "
    "signatures\n"
    "verified. Makes the queues, buckets, buses and rules of a CloudFormation template at its start. Prints \"READY "
    "http://HOST:PORT\" on standard output when it can be used.\n"
    "\n"
    "  --listen HOST:PORT     where to listen (127.0.0.1:4566); port 0 picks a free one\n"
    "  --data DIR             where to keep everything ($XDG_STATE_HOME/fanout-local, else "
    "~/.local/state/fanout-local)\n"
    "  --memory               keep everything in memory: gone at the end\n"
    "  --template FILE        the template (JSON); default: durable-event-buffer.template.json as it comes with this "
    "program\n"
    "  --parameter NAME=VALUE a parameter of the template; may be given often\n"
    "  --no-provision         make nothing\n"
    "  --access-key KEY       the one access key id (test)\n"
    "  --secret-key SECRET    and its secret (test)\n"
    "  --account NUMBER       the account of all ARNs, 12 digits (000000000000)\n"
    "  --region NAME          the region of all ARNs and signatures (us-east-1)\n"
    "  --put-events-bytes N   how large one PutEvents call may be: 262144 as it was until 2026, 1048576 as it is "
    "(1048576)\n"
    "  --log-level LEVEL      error, warn, info or debug (info); the log goes to standard error\n"
    "  --health               ask the server that listens there whether it can be used: exit status 0, otherwise 1\n"
    "  --version\n"
    "  --help\n"
    "\n"
    "Ends on TERM or INT: answers what waits, closes the database, exit status 0. Exit status 2: the command line or "
    "the\n"
    "template is at fault; 1: anything else.\n"
    "http://HOST:PORT/_fanout/ has health, stats, faults and reset, for programs on this machine.\n";

struct options {
    struct local_options local;
    bool memory, no_provision, health;
    enum log_level log_level;
    char data[PATH_MAX]; /* the default folder */
    const char *template;
    char template_path[PATH_MAX]; /* the default template */
    struct template_parameter parameters[MAX_PARAMETERS];
    size_t n_parameters;
};

/* ---- the command line -------------------------------------------------------------------------------------------- */

static int
default_folder(struct options *o, struct err *e)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    int n = state && state[0] == '/' ? snprintf(o->data, sizeof o->data, "%s/fanout-local", state)
            : home && *home          ? snprintf(o->data, sizeof o->data, "%s/.local/state/fanout-local", home)
                                     : -1;
    if (n < 0 || (size_t)n >= sizeof o->data)
        return err_set(e, ERR_INVALID, "there is no home folder to keep the data in: give --data DIR or --memory");
    o->local.data = o->data;
    return 0;
}

static int
add_parameter(struct options *o, const char *text, struct err *e)
{
    const char *equals = strchr(text, '=');
    if (!equals || equals == text)
        return err_set(e, ERR_INVALID, "--parameter needs NAME=VALUE, not \"%s\"", text);
    if (o->n_parameters == MAX_PARAMETERS)
        return err_set(e, ERR_INVALID, "no more than %d --parameter", MAX_PARAMETERS);
    o->parameters[o->n_parameters++] = (struct template_parameter){.name = slice_of(text, (size_t)(equals - text)),
                                                                   .value = slice_of_string(equals + 1)};
    return 0;
}

static int
read_bytes(const char *text, size_t *ret, struct err *e)
{
    char *end;
    long n = strtol(text, &end, 10);
    if (end == text || *end || n < 1024 || n > MAX_PUT_EVENTS_BYTES)
        return err_set(e, ERR_INVALID, "--put-events-bytes needs a number from 1024 to %d, not \"%s\"",
                       MAX_PUT_EVENTS_BYTES, text);
    *ret = (size_t)n;
    return 0;
}

static bool
is_region(const char *text)
{
    size_t n = text ? strlen(text) : 0;
    return n > 0 && n <= 40 && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

static int
check(const struct options *o, struct err *e)
{
    const struct local_options *l = &o->local;
    if (o->memory && l->data)
        return err_set(e, ERR_INVALID, "--data and --memory exclude each other");
    if (l->data && !*l->data)
        return err_set(e, ERR_INVALID, "--data needs the name of a folder");
    if (o->no_provision && (o->template || o->n_parameters > 0))
        return err_set(e, ERR_INVALID, "--no-provision and --template or --parameter exclude each other");
    if (!*l->access_key_id || strlen(l->access_key_id) > 128 || strpbrk(l->access_key_id, " ,\t\n"))
        return err_set(e, ERR_INVALID, "--access-key needs 1 to 128 characters, without spaces and commas");
    if (!*l->secret_access_key || strlen(l->secret_access_key) > 128)
        return err_set(e, ERR_INVALID, "--secret-key needs 1 to 128 characters");
    if (strlen(l->account) != 12 || strspn(l->account, "0123456789") != 12)
        return err_set(e, ERR_INVALID, "--account needs 12 digits, not \"%s\"", l->account);
    if (!is_region(l->region))
        return err_set(e, ERR_INVALID, "--region needs a name like us-east-1, not \"%s\"", l->region);
    return 0;
}

/* Returns 1 when there is nothing left to do (--help, --version). */
static int
parse(int argc, char **argv, struct options *o, struct err *e)
{
    enum {
        LISTEN = 1,
        DATA,
        MEMORY,
        TEMPLATE,
        PARAMETER,
        NO_PROVISION,
        ACCESS_KEY,
        SECRET_KEY,
        ACCOUNT,
        REGION,
        PUT_EVENTS_BYTES,
        LOG_LEVEL,
        HEALTH,
        VERSION,
        HELP_
    };
    static const struct option NAMES[] = {
        {"listen", required_argument, NULL, LISTEN},
        {"data", required_argument, NULL, DATA},
        {"memory", no_argument, NULL, MEMORY},
        {"template", required_argument, NULL, TEMPLATE},
        {"parameter", required_argument, NULL, PARAMETER},
        {"no-provision", no_argument, NULL, NO_PROVISION},
        {"access-key", required_argument, NULL, ACCESS_KEY},
        {"secret-key", required_argument, NULL, SECRET_KEY},
        {"account", required_argument, NULL, ACCOUNT},
        {"region", required_argument, NULL, REGION},
        {"put-events-bytes", required_argument, NULL, PUT_EVENTS_BYTES},
        {"log-level", required_argument, NULL, LOG_LEVEL},
        {"health", no_argument, NULL, HEALTH},
        {"version", no_argument, NULL, VERSION},
        {"help", no_argument, NULL, HELP_},
        {NULL, 0, NULL, 0},
    };
    *o = (struct options){.local = {.listen = "127.0.0.1:4566",
                                    .access_key_id = "test",
                                    .secret_access_key = "test",
                                    .account = "000000000000",
                                    .region = "us-east-1",
                                    .put_events_bytes = 1048576},
                          .log_level = LOG_INFO};
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, "", NAMES, NULL)) != -1;) {
        switch (c) {
        case LISTEN:
            o->local.listen = optarg;
            break;
        case DATA:
            o->local.data = optarg;
            break;
        case MEMORY:
            o->memory = true;
            break;
        case TEMPLATE:
            o->template = optarg;
            break;
        case PARAMETER:
            if (add_parameter(o, optarg, e) != 0)
                return e->code;
            break;
        case NO_PROVISION:
            o->no_provision = true;
            break;
        case ACCESS_KEY:
            o->local.access_key_id = optarg;
            break;
        case SECRET_KEY:
            o->local.secret_access_key = optarg;
            break;
        case ACCOUNT:
            o->local.account = optarg;
            break;
        case REGION:
            o->local.region = optarg;
            break;
        case PUT_EVENTS_BYTES:
            if (read_bytes(optarg, &o->local.put_events_bytes, e) != 0)
                return e->code;
            break;
        case LOG_LEVEL:
            if (log_parse_level(optarg, &o->log_level) != 0)
                return err_set(e, ERR_INVALID, "--log-level is error, warn, info or debug, not \"%s\"", optarg);
            break;
        case HEALTH:
            o->health = true;
            break;
        case VERSION:
            puts("fanout-local " FANOUT_VERSION);
            return 1;
        case HELP_:
            fputs(HELP, stdout);
            return 1;
        default:
            return err_set(e, ERR_INVALID, "unknown option, or one that lacks its value: %s", argv[optind - 1]);
        }
    }
    if (optind < argc)
        return err_set(e, ERR_INVALID, "unexpected argument: %s", argv[optind]);
    int code = check(o, e);
    if (!code && !o->memory && !o->local.data && !o->health)
        code = default_folder(o, e);
    return code;
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

/* TERM and INT are waited for, so no thread may be interrupted by them: called before any is started. A write beyond a
 * file size limit shall fail, not kill. */
static sigset_t
hold_signals(void)
{
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    return ends;
}

/* Every connection is a descriptor: as many as we may have. */
static void
raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void
warn_of_default_keys(const struct options *o)
{
    bool loopback = strncmp(o->local.listen, "127.", 4) == 0 || strncmp(o->local.listen, "[::1]", 5) == 0 ||
                    strncmp(o->local.listen, "localhost:", 10) == 0;
    if (!loopback && strcmp(o->local.secret_access_key, "test") == 0)
        log_write(LOG_WARN, "anybody who reaches this port knows the default keys; set --access-key and --secret-key",
                  LOG_STR("listen", o->local.listen));
}

static void
find_template(struct options *o)
{
    struct err e = {0};
    if (o->no_provision || o->template)
        return;
    if (local_provision_find(o->template_path, sizeof o->template_path, &e) == 0)
        o->template = o->template_path;
    else
        log_write(LOG_WARN, "no template: nothing is provisioned", LOG_ERR(&e));
}

/* The three services, in the order of what they deliver to. */
static int
make_services(struct local *l, struct local_provision *p, struct err *e)
{
    int code = local_sqs_new(l, &p->sqs, e);
    if (!code)
        code = local_s3_new(l, &p->s3, e);
    return code ? code : local_events_new(l, p->sqs, p->s3, &p->events, e);
}

static void
destroy_services(struct local_provision *p)
{
    local_events_destroy(p->events);
    local_s3_destroy(p->s3);
    local_sqs_destroy(p->sqs);
}

static int
serve(const struct options *o, const sigset_t *ends, struct err *e)
{
    struct local *l = NULL;
    struct local_provision provision = {
        .template = o->template, .parameters = o->parameters, .n_parameters = o->n_parameters};
    int code = local_new(&o->local, &l, e), caught;
    if (code)
        return code;
    code = make_services(l, &provision, e);
    if (!code)
        code = local_start(l, e);
    if (!code)
        code = local_provision_with(l, local_provision, &provision, e);
    if (!code) {
        local_serve(l);
        warn_of_default_keys(o);
        printf("READY %s\n", local_url(l));
        fflush(stdout);
        log_write(LOG_INFO, "ready", LOG_STR("url", local_url(l)),
                  LOG_STR("data", o->local.data ? o->local.data : "memory"));
        sigwait(ends, &caught);
        log_write(LOG_INFO, "ending", LOG_STR("signal", strsignal(caught)));
    }
    local_stop(l);
    destroy_services(&provision);
    local_destroy(l);
    return code;
}

int
main(int argc, char **argv)
{
    struct options o;
    struct err e;
    int code = parse(argc, argv, &o, &e);
    if (code > 0)
        return 0;
    if (code < 0) {
        fprintf(stderr, "fanout-local: %s\nfanout-local --help shows what there is\n", e.text);
        return EXIT_USAGE;
    }
    if (o.health)
        return httpd_probe_main("fanout-local", o.local.listen, "/_fanout/health");
    sigset_t ends = hold_signals();
    raise_descriptor_limit();
    struct log_options log = {.program = "fanout-local", .level = o.log_level};
    code = clock_init(&e);
    if (!code)
        code = log_open(&log, &e);
    if (!code) {
        find_template(&o);
        code = serve(&o, &ends, &e);
    }
    if (code)
        log_write(LOG_ERROR, "cannot go on", LOG_ERR(&e));
    log_close(1000);
    return code == ERR_INVALID ? EXIT_USAGE : code ? 1 : 0;
}
