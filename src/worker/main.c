/* fanout-worker: one worker process of one consumer. Started by fanoutd only (src/supervisor/spawn.c), with the control
 * channel on descriptor 3, the slot's ledger on 4 and its configuration on 5.
 *
 *     fanout-worker --consumer NAME --slot N           works until a drain has ended
 *     fanout-worker --consumer NAME --slot N --check   loads configuration (descriptor 5) and plugin, says on standard
 *                                                      error what is wrong with them, and exits with 0 or 2
 *
 * The main thread opens and closes the plugin and, between the two, waits for the supervisor, for signals and for the
 * engine's end; guard.c's thread ends a process that does not get as far once its supervisor is dead. TERM and INT
 * drain, as IPC_DRAIN and the end of the channel do; QUIT ends at once. Exit codes: channel.h.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "ipc/channel.h"
#include "ipc/ledger.h"
#include "worker/call.h"
#include "worker/engine_thread.h"
#include "worker/fatal.h"
#include "worker/guard.h"
#include "worker/load.h"
#include "worker/pool.h"

#define LOG_CLOSE_MS 1000
#define STOP_MS      1000      /* for the handler threads' ends after a drain, beyond what is left of its time */
#define GRACE_MS     5000      /* for all that comes after a drain, when there is no supervisor to bound it */
#define KEEP_BYTES   (8 << 20) /* more than an answer of ten large messages takes at once */

struct arguments {
    const char *consumer;
    int slot;
    bool check;
};

struct worker {
    struct load load;
    void *plugin_state;
    struct ledger *ledger;
    struct engine_thread *engine;
    struct pool *pool;
    int signal_fd;
    bool draining, channel_open;
    int64_t deadline_ms;
};

/* ---- arguments ---- */

/* What a handler executes must not inherit them: a channel that somebody else holds open never ends. */
static void
keep_descriptors(void)
{
    for (int fd = IPC_FD_CHANNEL; fd <= IPC_FD_CONFIG; fd++)
        fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static void
usage(void)
{
    fputs("usage: fanout-worker --consumer NAME --slot N [--check]\n"
          "fanoutd starts it; to run a consumer, run fanoutd\n",
          stderr);
}

static bool
read_arguments(int argc, char **argv, struct arguments *ret)
{
    static const struct option OPTIONS[] = {{"consumer", required_argument, NULL, 'c'},
                                            {"slot", required_argument, NULL, 's'},
                                            {"check", no_argument, NULL, 'k'},
                                            {NULL, 0, NULL, 0}};
    *ret = (struct arguments){.slot = -1};
    for (int o = getopt_long(argc, argv, "", OPTIONS, NULL); o != -1; o = getopt_long(argc, argv, "", OPTIONS, NULL)) {
        char *end;
        switch (o) {
        case 'c':
            ret->consumer = optarg;
            break;
        case 's':
            ret->slot = (int)strtol(optarg, &end, 10);
            if (*end || end == optarg)
                return false;
            break;
        case 'k':
            ret->check = true;
            break;
        default:
            return false;
        }
    }
    return ret->consumer && (ret->check || ret->slot >= 0) && optind == argc;
}

static int
check(struct worker *w, const char *consumer)
{
    struct err e;
    if (load_conf(&w->load, consumer, &e) == 0 && load_filter(&w->load, &e) == 0 && load_plugin(&w->load, &e) == 0)
        return IPC_EXIT_OK;
    fprintf(stderr, "%s\n", e.text);
    if (w->load.plugin) { /* it is its options that are wrong */
        struct buf text = BUF_INIT;
        plugin_describe(w->load.plugin, &text);
        fputs(buf_failed(&text) ? "" : text.data, stderr);
        buf_clean_up(&text);
    }
    return IPC_EXIT_CONFIG;
}

/* ---- start ---- */

static int
open_log(struct worker *w, const struct arguments *a, struct err *e)
{
    assert(w->load.conf);
    const struct log_options options = {.program = "fanout-worker",
                                        .file = w->load.conf->log.file,
                                        .level = w->load.conf->log.level,
                                        .format = w->load.conf->log.format,
                                        .asynchronous = true};
    char slot[16];
    snprintf(slot, sizeof slot, "%d", a->slot);
    log_set_context("consumer", a->consumer);
    log_set_context("slot", slot);
    return log_open(&options, e);
}

/* Signals come through a descriptor; every thread started after this one leaves them alone. */
static int
open_signals(struct worker *w, struct err *e)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGQUIT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return err_set_errno(e, errno, "sigprocmask");
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a write beyond RLIMIT_FSIZE fails with EFBIG instead */
    w->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return w->signal_fd < 0 ? err_set_errno(e, errno, "signalfd") : 0;
}

/* ---- what it is told ---- */

static void
drain(struct worker *w, int64_t wait_ms, const char *why)
{
    int64_t deadline_ms = clock_monotonic_ms() + wait_ms;
    if (w->draining && deadline_ms >= w->deadline_ms)
        return;
    log_write(LOG_INFO, "stopping", LOG_STR("reason", why), LOG_INT("within_ms", wait_ms));
    w->draining = true;
    w->deadline_ms = deadline_ms;
    engine_thread_drain(w->engine, wait_ms);
}

static void
reopen_log(void)
{
    struct err e;
    if (log_reopen(&e) != 0)
        log_write(LOG_ERROR, "cannot reopen the log", LOG_ERR(&e));
}

static void
read_channel(struct worker *w)
{
    struct ipc_message m;
    struct err e;
    int rc;
    while ((rc = ipc_receive(IPC_FD_CHANNEL, &m, &e)) == 1) {
        switch (m.type) {
        case IPC_DRAIN:
            drain(w, m.number, "the supervisor said so");
            break;
        case IPC_REOPEN_LOGS:
            reopen_log();
            break;
        case IPC_LOG_LEVEL:
            log_set_level((enum log_level)m.number);
            break;
        case IPC_DUMP_STATE:
            engine_thread_dump(w->engine);
            break;
        default:
            log_write(LOG_WARN, "a message of the supervisor that this worker does not know", LOG_INT("type", m.type));
        }
    }
    if (rc == 0)
        return;
    if (rc == ERR_PROTOCOL) {
        log_write(LOG_WARN, "a malformed message of the supervisor", LOG_ERR(&e));
        return;
    }
    w->channel_open = false;
    log_write(LOG_WARN, "the supervisor is gone");
    drain(w, w->load.conf->drain_timeout_s * INT64_C(1000), "the supervisor is gone");
}

static void
read_signals(struct worker *w)
{
    struct signalfd_siginfo s;
    while (read(w->signal_fd, &s, sizeof s) == sizeof s) {
        switch (s.ssi_signo) {
        case SIGTERM:
        case SIGINT:
            drain(w, w->load.conf->drain_timeout_s * INT64_C(1000), "a signal");
            break;
        case SIGQUIT:
            _exit(IPC_EXIT_FAILURE);
        case SIGUSR1:
            reopen_log();
            break;
        case SIGUSR2:
            engine_thread_dump(w->engine);
            break;
        default: /* HUP is the supervisor's */
            break;
        }
    }
}

/* ---- from start to end ---- */

static uintptr_t
code_of(const struct handler *table)
{
    return table->handle ? (uintptr_t)table->handle : (uintptr_t)table->handle_batch;
}

/* Everything up to READY. ERR_INVALID and ERR_NOT_FOUND: configuration or plugin are wrong, and will be the next time.
 */
static int
start(struct worker *w, struct err *e)
{
    int rc = load_filter(&w->load, e);
    if (rc == 0)
        rc = load_plugin(&w->load, e);
    if (rc != 0)
        return rc;
    uintptr_t code = code_of(&w->load.plugin->table);
    fatal_note_modules(code);
    const struct engine_thread_options engine = {.conf = w->load.conf,
                                                 .consumer = w->load.consumer,
                                                 .handler = w->load.handler,
                                                 .filter = w->load.filter,
                                                 .ledger = w->ledger,
                                                 .channel_fd = IPC_FD_CHANNEL};
    rc = engine_thread_new(&engine, &w->engine, e);
    if (rc == 0)
        rc = pool_open_plugin(w->load.plugin, &w->plugin_state, e);
    if (rc != 0)
        return rc;
    fatal_note_modules(code);
    if (host_opened_with(HANDLER_ATTRIBUTES_EXTENSION))
        engine_thread_ask_for_attributes(w->engine);
    const struct pool_options pool = {.plugin = w->load.plugin,
                                      .plugin_state = w->plugin_state,
                                      .threads = (size_t)w->load.consumer->threads,
                                      .queue_batches = engine_thread_cap(w->engine),
                                      .ledger = w->ledger,
                                      .desk = engine_thread_desk(w->engine),
                                      .wake = engine_thread_wake,
                                      .context = w->engine};
    rc = pool_new(&pool, &w->pool, e);
    if (rc != 0)
        return rc;
    read_signals(w); /* who was told to stop while the plugin opened receives nothing */
    read_channel(w);
    return engine_thread_start(w->engine, w->pool, e);
}

static void
wait_for_end(struct worker *w)
{
    struct pollfd fds[] = {{.fd = engine_thread_done_fd(w->engine), .events = POLLIN},
                           {.fd = w->signal_fd, .events = POLLIN},
                           {.fd = IPC_FD_CHANNEL, .events = POLLIN}};
    while (!(fds[0].revents & POLLIN)) {
        fds[2].fd = w->channel_open ? IPC_FD_CHANNEL : -1;
        if (poll(fds, 3, -1) < 0)
            continue;
        if (fds[1].revents)
            read_signals(w);
        if (fds[2].revents)
            read_channel(w);
    }
}

/* ---- end ---- */

static int
stop(struct worker *w)
{
    size_t left = engine_thread_join(w->engine);
    int64_t wait_ms = w->deadline_ms - clock_monotonic_ms();
    bool ended = pool_stop(w->pool, (wait_ms > 0 ? wait_ms : 0) + STOP_MS);
    if (ended && w->load.plugin->table.close)
        w->load.plugin->table.close(w->plugin_state);
    if (ended)
        pool_destroy(w->pool);
    if (left > 0)
        log_write(LOG_ERROR, "the drain's deadline passed with messages in hand; SQS delivers them again",
                  LOG_INT("messages", left));
    if (!ended)
        log_write(LOG_ERROR, "a handler thread does not return; ending without closing the plugin");
    struct err e;
    if (ipc_send(IPC_FD_CHANNEL, IPC_DRAINED, (int64_t)left, NULL, &e) != 0 && w->channel_open)
        log_write(LOG_WARN, "cannot tell the supervisor about the end of the drain", LOG_ERR(&e));
    int code = left > 0 ? IPC_EXIT_UNCLEAN : IPC_EXIT_OK;
    log_write(LOG_INFO, "stopped", LOG_INT("left_in_hand", left), LOG_INT("exit", code));
    if (left > 0 || !ended) { /* threads may still use what would be freed */
        log_close(LOG_CLOSE_MS);
        _exit(code);
    }
    engine_thread_destroy(w->engine);
    return code;
}

static int
fail(const struct err *e)
{
    bool config = e->code == ERR_INVALID || e->code == ERR_NOT_FOUND;
    bool told = ipc_send(IPC_FD_CHANNEL, config ? IPC_BAD_CONFIG : IPC_CANNOT_START, 0, e->text, NULL) == 0;
    if (!told) /* else the supervisor decides what follows, and logs it */
        log_write(LOG_ERROR, config ? "configuration or plugin refused" : "cannot start", LOG_ERR(e));
    log_close(LOG_CLOSE_MS);
    _exit(config ? IPC_EXIT_CONFIG : IPC_EXIT_FAILURE); /* no exit handlers of a plugin that may be half open */
}

static int
work(struct worker *w, const struct arguments *a)
{
    struct err e;
    if (open_signals(w, &e) != 0 || load_conf(&w->load, a->consumer, &e) != 0 || open_log(w, a, &e) != 0)
        return fail(&e);
    if (ledger_open(IPC_FD_LEDGER, &w->ledger, &e) != 0)
        return fail(&e);
    ledger_reset(w->ledger);
    if (fatal_init(w->ledger, &e) != 0)
        return fail(&e);
    if (guard_start(IPC_FD_CHANNEL, w->load.conf->drain_timeout_s * INT64_C(1000) + GRACE_MS, &e) != 0)
        return fail(&e);
    if (start(w, &e) != 0)
        return fail(&e);
    log_write(LOG_INFO, "ready", LOG_STR("plugin", w->load.handler), LOG_STR("queue", w->load.consumer->queue),
              LOG_INT("threads", w->load.consumer->threads), LOG_INT("in_hand_at_most", engine_thread_cap(w->engine)));
    w->channel_open = ipc_send(IPC_FD_CHANNEL, IPC_READY, 0, w->load.handler, &e) == 0;
    if (!w->channel_open)
        drain(w, w->load.conf->drain_timeout_s * INT64_C(1000), "the supervisor is gone");
    wait_for_end(w);
    int code = stop(w);
    ledger_close(w->ledger);
    close(w->signal_fd);
    return code;
}

/* Messages come and go by hundreds: the memory they leave is for the next ones. Given back to the system each time, it
 * would come as so many page faults. */
static void
keep_memory(void)
{
    mallopt(M_MMAP_THRESHOLD, KEEP_BYTES);
    mallopt(M_TRIM_THRESHOLD, 2 * KEEP_BYTES);
}

int
main(int argc, char **argv)
{
    struct arguments a;
    struct worker w = {.signal_fd = -1};
    struct err e;
    if (!read_arguments(argc, argv, &a)) {
        usage();
        return IPC_EXIT_CONFIG;
    }
    if (clock_init(&e) != 0) {
        fprintf(stderr, "fanout-worker: %s\n", e.text);
        return IPC_EXIT_FAILURE;
    }
    keep_descriptors();
    keep_memory();
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ); /* a handler's printf is seen at once and outlives a crash, in a pipe too */
    int code = a.check ? check(&w, a.consumer) : work(&w, &a);
    log_close(LOG_CLOSE_MS);
    load_clean_up(&w.load);
    return code;
}
