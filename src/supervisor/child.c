#include "supervisor/child.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "supervisor/spawn.h"

#define BEAT_MS 10000 /* an engine turns once a second when nothing happens, and no turn may last 100 ms */

#define LOG_CHILD(c) LOG_STR("consumer", (c)->consumer), LOG_INT("slot", (c)->number), LOG_INT("pid", (c)->pid)

static void read_channel(struct loop_watch *w);

static int
make_ledger(struct child *c, const struct conf_consumer *consumer, struct err *e)
{
    uint64_t records =
        (uint64_t)consumer->threads * (uint64_t)consumer->batch.size * (1 + (uint64_t)consumer->prefetch);
    const struct ledger_options options = {
        .records = records > LEDGER_RECORDS_MAX ? LEDGER_RECORDS_MAX : (uint32_t)records,
        .threads = (uint32_t)consumer->threads,
    };
    return ledger_create(&options, &c->ledger_fd, &c->ledger, e);
}

int
child_new(const struct child_options *o, struct child **ret_child, struct err *e)
{
    struct child *c = calloc(1, sizeof *c);
    if (!c)
        return err_no_memory(e);
    *c = (struct child){
        .watch.ready = read_channel,
        .loop = o->loop,
        .worker_path = o->worker_path,
        .consumer = strdup(o->consumer->name),
        .number = o->number,
        .generation = o->generation,
        .drain_ms = (int64_t)o->conf->drain_timeout_s * 1000,
        .ledger_fd = -1,
        .channel = -1,
        .tell = o->tell,
        .context = o->context,
    };
    slots_init(&c->slots, o->seed, (int64_t)o->consumer->start_timeout_s * 1000);
    buf_init(&c->config);
    conf_print(o->conf, o->consumer, &c->config);
    int rc = c->consumer && !buf_failed(&c->config) ? make_ledger(c, o->consumer, e) : err_no_memory(e);
    if (rc != 0) {
        child_destroy(c);
        return err_prefix(e, rc, "consumer %s", o->consumer->name);
    }
    *ret_child = c;
    return 0;
}

static void
close_channel(struct child *c)
{
    if (c->channel < 0)
        return;
    loop_remove(c->loop, c->channel);
    close(c->channel);
    c->channel = -1;
}

void
child_destroy(struct child *c)
{
    if (!c)
        return;
    close_channel(c);
    ledger_close(c->ledger);
    if (c->ledger_fd >= 0)
        close(c->ledger_fd);
    buf_clean_up(&c->config);
    free(c->consumer);
    free(c);
}

const char *
child_health_name(const struct child *c)
{
    static const char *const names[IPC_HEALTH_STATES] = {
        "ok", "credentials", "queue", "permission", "dead-letter queue", "handler", "dedup"};
    return c->health_known ? names[c->health] : "unknown";
}

bool
child_send(struct child *c, enum ipc_type type, int64_t number)
{
    struct err e;
    if (c->channel < 0)
        return false;
    if (ipc_send(c->channel, type, number, NULL, &e) == 0)
        return true;
    log_write_limited(LOG_WARN, 1000, "worker cannot be told", LOG_CHILD(c), LOG_INT("type", type), LOG_ERR(&e));
    return false;
}

/* A channel that is full has still room for its end, which a worker takes for the same wish. What it says itself is
 * heard all the same. */
static void
ask_to_drain(struct child *c)
{
    if (!child_send(c, IPC_DRAIN, c->slots.drain_ms) && c->channel >= 0)
        shutdown(c->channel, SHUT_WR);
}

/* ---- start ---- */

static int
start(struct child *c, struct err *e)
{
    int ours, theirs;
    pid_t pid;
    int rc = ipc_pair(&ours, &theirs, e);
    if (rc != 0)
        return rc;
    const struct spawn_options options = {.path = c->worker_path,
                                          .consumer = c->consumer,
                                          .slot = c->number,
                                          .channel_fd = theirs,
                                          .ledger_fd = c->ledger_fd,
                                          .config = buf_slice(&c->config)};
    rc = loop_add(c->loop, ours, &c->watch, e);
    if (rc == 0) {
        rc = spawn_worker(&options, &pid, e);
        if (rc != 0)
            loop_remove(c->loop, ours);
    }
    close(theirs);
    if (rc != 0) {
        close(ours);
        return rc;
    }
    c->channel = ours;
    c->pid = pid;
    c->health_known = false;
    c->health_text[0] = c->refusal[0] = '\0';
    return 0;
}

static void
spawn(struct child *c, int64_t now_ms)
{
    struct err e;
    close_channel(c);
    ledger_crash(c->ledger)->signal = 0;
    if (start(c, &e) == 0) {
        slots_apply(&c->slots, SLOTS_SPAWNED, 0, now_ms);
        log_write(LOG_INFO, "worker started", LOG_CHILD(c));
        return;
    }
    slots_apply(&c->slots, SLOTS_SPAWN_FAILED, 0, now_ms);
    log_write(LOG_ERROR, "worker cannot be started", LOG_STR("consumer", c->consumer), LOG_INT("slot", c->number),
              LOG_ERR(&e), LOG_INT("retry_in_ms", c->slots.due_ms - now_ms));
}

static void
log_kill(const struct child *c, bool was_starting, int64_t now_ms)
{
    if (was_starting)
        log_write(LOG_ERROR,
                  "worker is not ready in time and is killed: the plugin's open or thread_open has not returned; mend "
                  "it, or give the consumer a longer start_timeout_s",
                  LOG_CHILD(c), LOG_INT("after_ms", now_ms - c->slots.spawned_at_ms));
    else
        log_write(LOG_WARN, "worker is killed", LOG_CHILD(c));
}

void
child_apply(struct child *c, enum slots_event event, int64_t argument, int64_t now_ms)
{
    bool overdue = event == SLOTS_TICK && c->slots.state == SLOTS_STARTING;
    switch (slots_apply(&c->slots, event, argument, now_ms)) {
    case SLOTS_DO_NOTHING:
        break;
    case SLOTS_DO_SPAWN:
        spawn(c, now_ms);
        break;
    case SLOTS_DO_DRAIN:
        log_write(LOG_INFO, "worker is asked to drain", LOG_CHILD(c), LOG_INT("within_ms", c->slots.drain_ms));
        ask_to_drain(c);
        break;
    case SLOTS_DO_KILL:
        log_kill(c, overdue, now_ms);
        kill(c->pid, SIGKILL);
        break;
    }
}

/* ---- what it says ---- */

static void
hear_health(struct child *c, const struct ipc_message *m, int64_t now_ms)
{
    if (m->number < IPC_HEALTH_OK || m->number >= IPC_HEALTH_STATES) {
        log_write(LOG_WARN, "worker speaks of an unknown health state", LOG_CHILD(c), LOG_INT("state", m->number));
        return;
    }
    c->health_known = true;
    c->health = (enum ipc_health)m->number;
    snprintf(c->health_text, sizeof c->health_text, "%.199s", m->text);
    log_write(LOG_DEBUG, "worker health", LOG_CHILD(c), LOG_STR("health", child_health_name(c)),
              LOG_STR("text", m->text));
    c->tell(c->context, c, CHILD_HEALTH, now_ms);
}

static void
hear(struct child *c, const struct ipc_message *m, int64_t now_ms)
{
    switch (m->type) {
    case IPC_READY:
        snprintf(c->plugin, sizeof c->plugin, "%.199s", m->text);
        child_apply(c, SLOTS_SAID_READY, 0, now_ms);
        log_write(LOG_INFO, "worker ready", LOG_CHILD(c), LOG_STR("plugin", c->plugin),
                  LOG_INT("after_ms", now_ms - c->slots.spawned_at_ms));
        c->tell(c->context, c, CHILD_READY, now_ms);
        break;
    case IPC_HEALTH:
        hear_health(c, m, now_ms);
        break;
    case IPC_DRAINED:
        child_apply(c, SLOTS_SAID_DRAINED, m->number, now_ms);
        break;
    case IPC_BAD_CONFIG:
        snprintf(c->refusal, sizeof c->refusal, "%s", m->text);
        child_apply(c, SLOTS_SAID_BAD_CONFIG, 0, now_ms);
        c->tell(c->context, c, CHILD_REFUSED, now_ms);
        break;
    case IPC_CANNOT_START:
        snprintf(c->refusal, sizeof c->refusal, "%s", m->text);
        child_apply(c, SLOTS_SAID_CANNOT_START, 0, now_ms);
        break;
    case IPC_RECYCLE:
        log_write(LOG_INFO, "worker recycles itself", LOG_CHILD(c), LOG_STR("reason", m->text));
        child_apply(c, SLOTS_SAID_RECYCLE, c->drain_ms, now_ms);
        break;
    default:
        log_write(LOG_WARN, "worker sends what only a supervisor sends", LOG_CHILD(c), LOG_INT("type", m->type));
        break;
    }
}

/* Reads all there is. */
static void
read_all(struct child *c, int64_t now_ms)
{
    struct ipc_message m;
    struct err e;
    int rc = 0;
    while (c->channel >= 0 && (rc = ipc_receive(c->channel, &m, &e)) != 0) {
        if (rc > 0) {
            hear(c, &m, now_ms);
        } else if (rc == ERR_PROTOCOL) {
            log_write_limited(LOG_WARN, 10000, "worker sends nonsense", LOG_CHILD(c), LOG_ERR(&e));
        } else {
            close_channel(c);
            child_apply(c, SLOTS_CHANNEL_CLOSED, 0, now_ms);
        }
    }
}

static void
read_channel(struct loop_watch *w)
{
    struct child *c = (struct child *)((char *)w - offsetof(struct child, watch));
    read_all(c, clock_monotonic_ms());
}

/* ---- its end ---- */

static const char *
explain(int status)
{
    if (WIFEXITED(status))
        return WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == IPC_EXIT_UNCLEAN
                   ? "it exited without having said so: does the handler call exit()?"
                   : "it exited without having said why: see its own lines above";
    return WTERMSIG(status) == SIGKILL ? "killed from outside: by the kernel for lack of memory, or by a person" : "";
}

/* Of what a crashed process wrote, where a NUL may be missing. */
static void
copy_text(char *to, const char *from, size_t capacity)
{
    size_t n = strnlen(from, capacity - 1);
    memcpy(to, from, n);
    to[n] = '\0';
}

static void
log_crash(const struct child *c, int status, pid_t pid, int64_t now_ms)
{
    const struct ledger_crash *crash = ledger_crash(c->ledger);
    bool signalled = WIFSIGNALED(status), reported = crash->signal != 0;
    const char *name = signalled ? sigabbrev_np(WTERMSIG(status)) : NULL;
    char what[40], address[24], where[LEDGER_WHERE_BYTES], backtrace[LEDGER_BACKTRACE_BYTES];
    if (signalled)
        snprintf(what, sizeof what, "SIG%s", name ? name : "?");
    else
        snprintf(what, sizeof what, "status %d", WEXITSTATUS(status));
    snprintf(address, sizeof address, "0x%llx", (unsigned long long)crash->address);
    copy_text(where, crash->where, sizeof where);
    copy_text(backtrace, crash->backtrace, sizeof backtrace);
    log_write(LOG_WARN, "worker crashed", LOG_STR("consumer", c->consumer), LOG_INT("slot", c->number),
              LOG_INT("pid", pid), LOG_STR("by", what), LOG_INT("handler_thread", reported ? crash->thread : -1),
              LOG_STR("address", reported && crash->code > 0 ? address : "none"),
              LOG_STR("where", reported ? where : "unknown"), LOG_STR("plugin", c->plugin),
              LOG_STR("hint", explain(status)), LOG_INT("ran_ms", now_ms - c->slots.spawned_at_ms),
              LOG_INT("crashes", c->slots.crashes),
              LOG_INT("retry_in_ms", c->slots.state == SLOTS_BACKOFF ? c->slots.due_ms - now_ms : -1));
    if (reported && *backtrace)
        log_write(LOG_WARN, "its calls, innermost first", LOG_STR("consumer", c->consumer), LOG_INT("pid", pid),
                  LOG_STR("backtrace", backtrace));
}

void
child_exited(struct child *c, int status, int64_t now_ms)
{
    pid_t pid = c->pid;
    read_all(c, now_ms); /* its last words */
    int64_t left = c->slots.left_in_hand;
    close_channel(c);
    c->pid = 0;
    c->health_known = false;
    enum slots_action action = slots_apply(&c->slots, SLOTS_EXITED, status, now_ms);
    int64_t retry_ms = c->slots.state == SLOTS_BACKOFF ? c->slots.due_ms - now_ms : -1;
    if (c->slots.last_exit == SLOTS_EXIT_CRASHED)
        log_crash(c, status, pid, now_ms);
    else if (c->slots.last_exit == SLOTS_EXIT_FAILED)
        log_write(LOG_ERROR, "worker cannot start", LOG_STR("consumer", c->consumer), LOG_INT("slot", c->number),
                  LOG_INT("pid", pid), LOG_STR("error", c->refusal), LOG_INT("retry_in_ms", retry_ms));
    else
        log_write(c->slots.last_exit == SLOTS_EXIT_UNCLEAN ? LOG_WARN : LOG_INFO, "worker ended",
                  LOG_STR("consumer", c->consumer), LOG_INT("slot", c->number), LOG_INT("pid", pid),
                  LOG_STR("how", slots_exit_name(c->slots.last_exit)), LOG_INT("left_in_hand", left),
                  LOG_INT("retry_in_ms", retry_ms));
    if (action == SLOTS_DO_SPAWN)
        spawn(c, now_ms);
}

/* ---- how it is ----------------------------------------------------------------------------------------------------
 */

int64_t
child_beat_age_ms(const struct child *c, int64_t now_ms)
{
    int64_t beat_ms = METRICS_GET(ledger_metrics(c->ledger), engine_beat_ms);
    int64_t age_ms = now_ms - (beat_ms > c->slots.ready_at_ms ? beat_ms : c->slots.ready_at_ms);
    return age_ms > 0 ? age_ms : 0;
}

bool
child_is_well(const struct child *c, int64_t now_ms)
{
    return c->slots.state == SLOTS_READY && child_beat_age_ms(c, now_ms) <= BEAT_MS;
}
