/* fanout-local: SQS, EventBridge and S3 in one process, for a machine without an AWS account. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/log.h"
#include "httpd/probe.h"
#include "local/backup.h"
#include "local/events.h"
#include "local/local.h"
#include "local/options.h"
#include "local/provision.h"
#include "local/s3.h"
#include "local/sqs.h"

#define EXIT_USAGE 2

/* ---- running ----------------------------------------------------------------------------------------------------- */

/* TERM and INT (and HUP, which otherwise is a terminal that closes) are waited for, so no thread may be interrupted by
 * them: called before any is started. A write beyond a file size limit shall fail, not kill. */
static sigset_t
hold_signals(bool hangup_too)
{
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    if (hangup_too)
        sigaddset(&ends, SIGHUP);
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
warn_of_open_doors(const struct local_command *o)
{
    const struct local_options *l = &o->local;
    if (l->no_auth)
        log_write(LOG_WARN, "no request needs a signature", LOG_STR("listen", l->listen));
    else if (!local_is_loopback(l->listen) && l->secret_access_key && strcmp(l->secret_access_key, "test") == 0)
        log_write(LOG_WARN,
                  "anybody who reaches this port knows the default keys; set --credentials, or --access-key and "
                  "--secret-key",
                  LOG_STR("listen", l->listen));
}

/* Until a signal says that it is over. */
static int
wait_for_the_end(struct local *l, const sigset_t *signals)
{
    int caught = 0;
    while (sigwait(signals, &caught) != 0 || caught == SIGHUP)
        if (caught == SIGHUP)
            local_reload(l);
    return caught;
}

static void
find_template(struct local_command *o)
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
serve(const struct local_command *o, const sigset_t *ends, struct err *e)
{
    struct local *l = NULL;
    struct local_provision provision = {
        .template = o->template, .parameters = o->parameters, .n_parameters = o->n_parameters};
    int code = local_new(&o->local, &l, e);
    if (code)
        return code;
    code = make_services(l, &provision, e);
    if (!code)
        code = local_start(l, e);
    if (!code)
        code = local_provision_with(l, local_provision, &provision, e);
    if (!code) {
        local_serve(l);
        warn_of_open_doors(o);
        printf("READY %s%s\n", local_url(l), o->local.no_auth ? " no-auth" : "");
        fflush(stdout);
        log_write(LOG_INFO, "ready", LOG_STR("url", local_url(l)),
                  LOG_STR("data", o->local.data ? o->local.data : "memory"));
        int caught = wait_for_the_end(l, ends);
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
    struct local_command o;
    struct err e;
    if (argc > 1 && strcmp(argv[1], "backup") == 0)
        return local_backup_main(argc - 1, argv + 1);
    int code = local_command_parse(argc, argv, &o, &e);
    if (code > 0)
        return 0;
    if (code < 0) {
        fprintf(stderr, "fanout-local: %s\nfanout-local --help shows what there is\n", e.text);
        return EXIT_USAGE;
    }
    if (o.health)
        return httpd_probe_main("fanout-local", o.local.listen, "/_fanout/health");
    sigset_t ends = hold_signals(o.local.credentials != NULL);
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
