#include "lib/lone_worker.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/proc.h"

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            perror(#condition);                                                                                        \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

#define MOST_ARGUMENTS 16

static int64_t
now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

static void
become_worker(const char *program, int channel, int ledger, int conf, const char *log_path, char *const *argv)
{
    /* Out of the way of 3, 4 and 5 first. */
    channel = fcntl(channel, F_DUPFD, 64);
    ledger = fcntl(ledger, F_DUPFD, 64);
    conf = fcntl(conf, F_DUPFD, 64);
    dup2(channel, IPC_FD_CHANNEL);
    dup2(ledger, IPC_FD_LEDGER);
    dup2(conf, IPC_FD_CONFIG);
    close(channel);
    close(ledger);
    close(conf);
    if (log_path) {
        int fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        dup2(fd, STDERR_FILENO);
    }
    execv(program, argv);
    _exit(127);
}

void
lone_worker_start(struct lone_worker *w, const char *conf, unsigned threads, unsigned records, const char *log_path,
                  const char *const *arguments)
{
    struct err e;
    int worker_fd, ledger_fd;
    const struct ledger_options ledger = {.records = records, .threads = threads};
    *w = (struct lone_worker){.channel_fd = -1};
    if (ipc_pair(&w->channel_fd, &worker_fd, &e) != 0 || ledger_create(&ledger, &ledger_fd, &w->ledger, &e) != 0) {
        fprintf(stderr, "lone_worker: %s\n", e.text);
        abort();
    }
    w->metrics = ledger_metrics(w->ledger);
    int conf_fd = memfd_create("conf", MFD_CLOEXEC);
    CHECK(conf_fd >= 0 && write(conf_fd, conf, strlen(conf)) == (ssize_t)strlen(conf));
    const char *argv[MOST_ARGUMENTS] = {"fanout-worker", "--consumer", "orders", "--slot", "0"};
    for (size_t i = 0; arguments && arguments[i]; i++) {
        CHECK(5 + i + 1 < MOST_ARGUMENTS);
        argv[5 + i] = arguments[i];
    }
    const char *program = proc_path("libexec/fanoutd/fanout-worker");
    fflush(NULL);
    w->pid = fork();
    CHECK(w->pid >= 0);
    if (w->pid == 0)
        become_worker(program, worker_fd, ledger_fd, conf_fd, log_path, (char *const *)argv);
    close(worker_fd);
    close(ledger_fd);
    close(conf_fd);
}

bool
lone_worker_wait(struct lone_worker *w, enum ipc_type type, struct ipc_message *ret_message, int timeout_ms)
{
    int64_t until_ms = now_ms() + timeout_ms;
    struct err e;
    for (;;) {
        int rc = ipc_receive(w->channel_fd, ret_message, &e);
        if (rc == 1 && ret_message->type == type)
            return true;
        if (rc == 1)
            continue;
        int64_t left_ms = until_ms - now_ms();
        if (rc != 0 || left_ms <= 0)
            return false;
        struct pollfd p = {.fd = w->channel_fd, .events = POLLIN};
        poll(&p, 1, (int)left_ms);
    }
}

bool
lone_worker_is_handling(const struct lone_worker *w)
{
    for (uint32_t i = 0; i < ledger_threads(w->ledger); i++)
        if (atomic_load(&ledger_thread(w->ledger, i)->entered_mono_ms) != 0)
            return true;
    return false;
}

int
lone_worker_end(struct lone_worker *w, int timeout_ms)
{
    int64_t until_ms = now_ms() + timeout_ms;
    int status;
    pid_t ended;
    while ((ended = wait4(w->pid, &status, WNOHANG, &w->usage)) == 0 && now_ms() < until_ms)
        poll(NULL, 0, 2);
    if (ended == 0) {
        kill(w->pid, SIGKILL);
        CHECK(wait4(w->pid, &status, 0, &w->usage) == w->pid);
        w->pid = 0;
        return -1000;
    }
    CHECK(ended == w->pid);
    w->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

void
lone_worker_clean_up(struct lone_worker *w)
{
    if (w->channel_fd >= 0)
        close(w->channel_fd);
    ledger_close(w->ledger);
}
