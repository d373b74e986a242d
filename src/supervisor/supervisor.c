#include "supervisor/supervisor.h"

#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "ipc/channel.h"
#include "supervisor/admin.h"
#include "supervisor/dump.h"
#include "supervisor/fleet.h"
#include "supervisor/loop.h"
#include "supervisor/reload.h"
#include "supervisor/signals.h"

struct supervisor {
    const struct supervisor_options *options;
    struct conf *conf;
    struct loop loop;
    struct loop_watch signals;
    int signals_fd;
    struct fleet fleet;
    struct admin *admin;
    bool log_refused; /* the configuration's log file cannot be opened: the one before is in use */
};

static void
announce_ready(void *context)
{
    const struct supervisor *s = context;
    size_t workers = 0;
    for (const struct fleet_place *p = s->fleet.places; p; p = p->next)
        workers += p->current != NULL;
    log_write(LOG_INFO, "ready", LOG_INT("consumers", s->conf->n_consumers), LOG_INT("workers", workers),
              LOG_STR("admin", admin_url(s->admin)));
}

static void
end(struct supervisor *s, int signal, int64_t now_ms)
{
    bool now = signal == SIGQUIT || s->fleet.stopping;
    log_write(LOG_INFO, now ? "ending now" : "draining", LOG_STR("signal", sigabbrev_np(signal)),
              LOG_INT("within_s", now ? 0 : s->conf->drain_timeout_s));
    if (now)
        fleet_stop_now(&s->fleet, now_ms);
    else
        fleet_stop(&s->fleet, now_ms);
}

/* Lines go where the fresh configuration says, from here on. */
static void
move_log(struct supervisor *s, const struct conf *fresh)
{
    const struct log_options log = {
        .program = "fanoutd", .file = fresh->log.file, .level = fresh->log.level, .format = fresh->log.format};
    struct err e;
    log_set_level(fresh->log.level);
    if (!s->log_refused && strcmp(s->conf->log.file, log.file) == 0 && s->conf->log.format == log.format)
        return;
    s->log_refused = log_open(&log, &e) != 0;
    if (s->log_refused)
        log_write(LOG_ERROR, "the log stays where it is", LOG_STR("option", "log.file"), LOG_ERR(&e));
}

static void
reload(struct supervisor *s, int64_t now_ms)
{
    struct err e;
    struct conf *fresh = NULL;
    if (s->fleet.stopping) {
        log_write(LOG_INFO, "not reloading: stopping");
        return;
    }
    if (log_reopen(&e) != 0)
        log_write(LOG_ERROR, "log cannot be reopened", LOG_ERR(&e));
    if (reload_read(s->options->file, &fresh, &e) != 0 || fleet_apply(&s->fleet, fresh, now_ms, &e) != 0) {
        log_write(LOG_ERROR, "configuration not reloaded, the old one stays in use", LOG_STR("file", s->options->file),
                  LOG_ERR(&e));
        conf_destroy(fresh);
        return;
    }
    log_write(LOG_INFO, "configuration reloaded, starting its workers", LOG_STR("file", s->options->file),
              LOG_INT("generation", s->fleet.generation), LOG_INT("consumers", fresh->n_consumers));
    reload_warn_of_fixed(s->conf, fresh);
    move_log(s, fresh);
    conf_destroy(s->conf);
    s->conf = fresh;
}

static void
reopen_logs(struct supervisor *s)
{
    struct err e;
    if (log_reopen(&e) != 0)
        log_write(LOG_ERROR, "log cannot be reopened", LOG_ERR(&e));
    fleet_send(&s->fleet, IPC_REOPEN_LOGS, 0);
}

static void
read_signals(struct loop_watch *w)
{
    struct supervisor *s = (struct supervisor *)((char *)w - offsetof(struct supervisor, signals));
    int64_t now_ms = clock_monotonic_ms();
    bool ended = false;
    for (int signal; (signal = signals_next(s->signals_fd)) != 0;) {
        switch (signal) {
        case SIGCHLD:
            ended = true;
            break;
        case SIGHUP:
            reload(s, now_ms);
            break;
        case SIGUSR1:
            reopen_logs(s);
            break;
        case SIGUSR2:
            dump_write(&s->fleet, now_ms);
            fleet_send(&s->fleet, IPC_DUMP_STATE, 0);
            break;
        default:
            end(s, signal, now_ms);
            break;
        }
    }
    /* Last: a worker that ended because of the same signal is not restarted first. */
    if (ended)
        fleet_reap(&s->fleet, now_ms);
}

static int64_t
wait_ms(const struct supervisor *s)
{
    int64_t wait = admin_wait_ms(s->admin), tick_at = fleet_tick_at_ms(&s->fleet);
    if (tick_at == INT64_MAX)
        return wait;
    int64_t tick_in = tick_at - clock_monotonic_ms();
    tick_in = tick_in < 0 ? 0 : tick_in;
    return wait < 0 || tick_in < wait ? tick_in : wait;
}

static int
start(struct supervisor *s, struct err *e)
{
    int rc = loop_init(&s->loop, e);
    if (rc == 0)
        rc = signals_open(&s->signals_fd, e);
    if (rc == 0)
        rc = loop_add(&s->loop, s->signals_fd, &s->signals, e);
    if (rc == 0 && s->conf->admin.listen[0])
        rc = admin_new(s->conf->admin.listen, &s->fleet, clock_monotonic_ms(), &s->loop, &s->admin, e);
    if (rc != 0)
        return rc;
    log_write(LOG_INFO, "starting", LOG_STR("version", FANOUT_VERSION), LOG_STR("file", s->options->file),
              LOG_INT("consumers", s->conf->n_consumers), LOG_STR("admin", admin_url(s->admin)));
    return fleet_apply(&s->fleet, s->conf, clock_monotonic_ms(), e);
}

static int
exit_code(const struct supervisor *s)
{
    if (s->fleet.refused)
        return IPC_EXIT_CONFIG;
    return fleet_was_unclean(&s->fleet) ? IPC_EXIT_UNCLEAN : IPC_EXIT_OK;
}

int
supervisor_run(const struct supervisor_options *options, struct conf **conf)
{
    struct supervisor s = {
        .options = options, .conf = *conf, .loop.epoll = -1, .signals.ready = read_signals, .signals_fd = -1};
    struct err e;
    *conf = NULL;
    fleet_init(&s.fleet, &s.loop, options->worker_path, announce_ready, &s);
    int rc = start(&s, &e);
    while (rc == 0 && !fleet_is_over(&s.fleet)) {
        rc = loop_wait(&s.loop, wait_ms(&s), &e);
        admin_tick(s.admin);
        fleet_tick(&s.fleet, clock_monotonic_ms());
    }
    if (rc != 0)
        log_write(LOG_ERROR, "fanoutd cannot run", LOG_ERR(&e));
    int code = rc != 0 ? IPC_EXIT_FAILURE : exit_code(&s);
    log_write(LOG_INFO, "stopped", LOG_INT("status", code));

    fleet_clean_up(&s.fleet);
    admin_destroy(s.admin);
    if (s.signals_fd >= 0)
        close(s.signals_fd);
    loop_clean_up(&s.loop);
    conf_destroy(s.conf);
    return code;
}
