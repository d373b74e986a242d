#include "base/log_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

static _Atomic int sink_fd = STDERR_FILENO;
static _Atomic bool torn; /* the last write ended in the middle of a line */
static int file_fd = -1;
static char file_path[PATH_MAX];

/* ---- opening --------------------------------------------------------------------------------------------------- */

int
log_sink_prepare(const char *path, struct err *e)
{
    /* O_NONBLOCK: a FIFO without a reader is an error, not a wait. */
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
    if (fd < 0)
        return err_set_errno(e, errno, "cannot open the log file %s", path);
    return fd;
}

int
log_sink_prepare_stderr(void)
{
    struct stat st;
    if (fstat(STDERR_FILENO, &st) != 0 || !S_ISFIFO(st.st_mode))
        return -1;
    return open("/proc/self/fd/2", O_WRONLY | O_APPEND | O_CLOEXEC | O_NONBLOCK);
}

static void
put_under_number(int fd)
{
    if (file_fd < 0) {
        file_fd = fd;
        return;
    }
    dup3(fd, file_fd, O_CLOEXEC);
    close(fd);
}

void
log_sink_use(const char *path, int fd)
{
    snprintf(file_path, sizeof file_path, "%s", path);
    atomic_store(&torn, false);
    if (fd < 0)
        return;
    put_under_number(fd);
    atomic_store(&sink_fd, file_fd);
}

void
log_sink_close(void)
{
    atomic_store(&sink_fd, STDERR_FILENO);
    if (file_fd >= 0 && (!file_path[0] || dup3(STDERR_FILENO, file_fd, O_CLOEXEC) < 0)) { /* there is no stderr */
        int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
        if (fd >= 0)
            put_under_number(fd);
    }
    file_path[0] = '\0';
}

int
log_sink_reopen(struct err *e)
{
    if (!file_path[0])
        return 0;
    int fd = log_sink_prepare(file_path, e);
    if (fd < 0)
        return fd;
    put_under_number(fd);
    return 0;
}

/* ---- writing --------------------------------------------------------------------------------------------------- */

bool
log_sink_wait(int64_t wait_ms)
{
    struct pollfd p = {.fd = atomic_load(&sink_fd), .events = POLLOUT};
    int r;
    do
        r = poll(&p, 1, (int)wait_ms);
    while (r < 0 && errno == EINTR);
    return r != 0;
}

/* Returns how many bytes the sink did not take. */
static size_t
write_bytes(const char *p, size_t n, int64_t wait_ms)
{
    int64_t started_ns = clock_monotonic_ns(), left_ms = wait_ms;
    while (n > 0 && log_sink_wait(left_ms)) {
        ssize_t written = write(atomic_load(&sink_fd), p, n);
        if (written > 0) {
            p += written;
            n -= (size_t)written;
        } else if (written < 0 && errno == EAGAIN) {
            poll(NULL, 0, 1); /* there is room, but not for this much */
        } else if (written < 0 && errno != EINTR) {
            break;
        }
        int64_t waited_ms = (clock_monotonic_ns() - started_ns) / 1000000;
        if (waited_ms >= wait_ms && written <= 0)
            break;
        left_ms = waited_ms < wait_ms ? wait_ms - waited_ms : 0;
    }
    return n;
}

size_t
log_sink_write(const char *lines, size_t n, int64_t wait_ms)
{
    size_t left = n, lost = 0;
    if (atomic_load(&torn) && write_bytes("\n", 1, wait_ms) == 0)
        atomic_store(&torn, false);
    if (!atomic_load(&torn))
        left = write_bytes(lines, n, wait_ms);
    if (left > 0 && left < n && lines[n - left - 1] != '\n')
        atomic_store(&torn, true);
    for (size_t i = n - left; i < n; i++)
        lost += lines[i] == '\n';
    return lost;
}

/* SIGPIPE goes to the thread that wrote: it is blocked here, and taken back when this write raised it. */
size_t
log_sink_write_guarded(const char *lines, size_t n, int64_t wait_ms)
{
    static const struct timespec at_once = {0};
    sigset_t pipe_only, before, pending;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
    sigpending(&pending);
    size_t lost = log_sink_write(lines, n, wait_ms);
    if (lost > 0 && sigismember(&pending, SIGPIPE) == 0)
        while (sigtimedwait(&pipe_only, NULL, &at_once) < 0 && errno == EINTR)
            continue;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return lost;
}
