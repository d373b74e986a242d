#include "lib/fake_worker.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "config/conf.h"
#include "ipc/channel.h"
#include "ipc/ledger.h"

static const char *slot = "?";
static volatile sig_atomic_t told_by_usr1;

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* One write a line: lines of several workers do not mix. */
static void
say(const char *format, ...)
{
    char text[1400], line[1500];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    int n = snprintf(line, sizeof line, "fake %s: %s\n", slot, text);
    if (write(2, line, (size_t)n) < 0)
        _exit(99);
}

static void
send_or_die(enum ipc_type type, int64_t number, const char *text)
{
    struct err e;
    if (ipc_send(IPC_FD_CHANNEL, type, number, text, &e) != 0) {
        say("cannot send: %s", e.text);
        _exit(98);
    }
}

static void
say_descriptors(void)
{
    char list[200] = "";
    size_t n = 0;
    for (int fd = 0; fd < 1000; fd++) {
        struct stat st;
        if (fstat(fd, &st) == 0)
            n += (size_t)snprintf(list + n, sizeof list - n, " %d", fd);
    }
    say("descriptors%s, no others", list);
}

static void
say_signals(void)
{
    sigset_t blocked;
    char ignored[300] = "";
    int n_blocked = 0;
    size_t n = 0;
    sigprocmask(SIG_SETMASK, NULL, &blocked);
    for (int s = 1; s < SIGRTMIN; s++) {
        struct sigaction action;
        n_blocked += sigismember(&blocked, s) == 1;
        if (sigaction(s, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
            n += (size_t)snprintf(ignored + n, sizeof ignored - n, " %s", sigabbrev_np(s));
    }
    say("blocked %d, ignored%s, no others", n_blocked, ignored);
}

static const char *
read_mode(const char *consumer)
{
    static char mode[40];
    struct stat st;
    struct conf *c;
    struct err e;
    if (fstat(IPC_FD_CONFIG, &st) != 0) {
        say("no configuration");
        _exit(97);
    }
    void *text = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, IPC_FD_CONFIG, 0);
    if (text == MAP_FAILED || conf_read_text("fd 5", slice_of(text, (size_t)st.st_size), &c, NULL, &e) != 0 ||
        c->n_consumers != 1 || strcmp(c->consumers[0].name, consumer) != 0) {
        say("not a configuration for %s", consumer);
        _exit(97);
    }
    snprintf(mode, sizeof mode, "good");
    for (size_t i = 0; i < c->consumers[0].n_options; i++)
        if (strcmp(c->consumers[0].options[i].name, "mode") == 0)
            snprintf(mode, sizeof mode, "%s", c->consumers[0].options[i].value);
    conf_destroy(c);
    munmap(text, (size_t)st.st_size);
    return mode;
}

static void
on_usr1(int sig)
{
    (void)sig;
    told_by_usr1 = 1;
}

static bool
is(const char *mode, const char *word)
{
    return strcmp(mode, word) == 0;
}

static void
leave(int64_t left, int code)
{
    send_or_die(IPC_DRAINED, left, NULL);
    say("left");
    _exit(code);
}

static void
obey(const char *mode, const struct ipc_message *m)
{
    switch (m->type) {
    case IPC_DRAIN:
        say("drain within %lld", (long long)m->number);
        if (is(mode, "stubborn"))
            return;
        leave(is(mode, "unclean") ? 3 : 0, is(mode, "unclean") ? IPC_EXIT_UNCLEAN : IPC_EXIT_OK);
        break;
    case IPC_REOPEN_LOGS:
        say("reopen logs");
        break;
    case IPC_DUMP_STATE:
        say("dump state");
        break;
    default:
        say("message %u", m->type);
    }
}

static void
live(const char *mode, struct ledger *l)
{
    struct pollfd channel = {.fd = IPC_FD_CHANNEL, .events = POLLIN};
    for (;;) {
        struct ipc_message m;
        struct err e;
        poll(&channel, 1, 20);
        if (!is(mode, "stalled"))
            atomic_store(&ledger_metrics(l)->engine_beat_ms, clock_monotonic_ms());
        if (told_by_usr1 && is(mode, "recycle")) {
            send_or_die(IPC_RECYCLE, 0, "told so");
            leave(0, IPC_EXIT_OK);
        }
        if (is(mode, "late") && !told_by_usr1) {
            poll(NULL, 0, 5);
            continue;
        }
        int rc = ipc_receive(IPC_FD_CHANNEL, &m, &e);
        if (rc == 1)
            obey(mode, &m);
        if (rc < 0) {
            say("the supervisor is gone");
            if (is(mode, "late"))
                leave(0, IPC_EXIT_OK);
            _exit(0);
        }
    }
}

/* Without the sanitizers' handler, which prints pages and exits. */
static void
die_of_segv(void)
{
    signal(SIGSEGV, SIG_DFL);
    raise(SIGSEGV);
}

static int
check(const char *mode)
{
    if (is(mode, "refuse")) {
        fprintf(stderr, "fake: the plugin is no good\n");
        return IPC_EXIT_CONFIG;
    }
    if (is(mode, "segv"))
        die_of_segv();
    while (is(mode, "hang"))
        pause();
    return is(mode, "exit0") ? 77 : IPC_EXIT_OK;
}

static void
work(const char *consumer, const char *mode)
{
    struct ledger *l;
    struct err e;
    if (ledger_open(IPC_FD_LEDGER, &l, &e) != 0) {
        say("no ledger: %s", e.text);
        _exit(96);
    }
    ledger_reset(l);
    uint64_t run = atomic_fetch_add(&ledger_metrics(l)->polls, 1) + 1;
    atomic_fetch_add(&ledger_metrics(l)->received, 10);
    say("pid %d consumer %s mode %s run %llu records %u threads %u", (int)getpid(), consumer, mode,
        (unsigned long long)run, ledger_records(l), ledger_threads(l));
    if (is(mode, "refuse")) {
        send_or_die(IPC_BAD_CONFIG, 0, "the plugin \"fake\" is no good");
        _exit(IPC_EXIT_CONFIG);
    }
    if (is(mode, "nonsense")) {
        static const char junk[40] = "nonsense";
        for (size_t n = 0; n <= sizeof junk; n += 4)
            if (send(IPC_FD_CHANNEL, junk, n, 0) < 0)
                _exit(95);
    }
    if (is(mode, "cannot")) {
        send_or_die(IPC_CANNOT_START, 0, "plugin fake: open refused to start (it returned 7)");
        _exit(IPC_EXIT_FAILURE);
    }
    if (is(mode, "hang"))
        for (;;)
            pause();
    if (is(mode, "silent")) {
        live(mode, l);
        return;
    }
    send_or_die(IPC_READY, 0, "fake 1");
    if (is(mode, "segv") || (is(mode, "once") && run == 1))
        die_of_segv();
    if (is(mode, "exit0"))
        _exit(0);
    bool healthy = !is(mode, "unhealthy");
    send_or_die(IPC_HEALTH, healthy ? IPC_HEALTH_OK : IPC_HEALTH_QUEUE, healthy ? "" : "no such queue");
    if (is(mode, "deaf")) {
        close(IPC_FD_CHANNEL);
        for (;;)
            pause();
    }
    live(mode, l);
}

bool
fake_worker_is_meant(char **argv)
{
    const char *base = strrchr(argv[0], '/');
    return strcmp(base ? base + 1 : argv[0], "fanout-worker") == 0;
}

int
fake_worker_main(int argc, char **argv)
{
    const char *consumer = "";
    bool checking = false;
    struct err e;
    if (clock_init(&e) != 0)
        return 92;
    for (int i = 1; i < argc; i++) {
        if (is(argv[i], "--check"))
            checking = true;
        else if (is(argv[i], "--consumer") && i + 1 < argc)
            consumer = argv[++i];
        else if (is(argv[i], "--slot") && i + 1 < argc)
            slot = argv[++i];
        else
            return 94;
    }
    say_descriptors();
    say_signals();
    const char *mode = read_mode(consumer);
    if (checking)
        return check(mode);
    signal(SIGUSR1, on_usr1);
    work(consumer, mode);
    return 93;
}
