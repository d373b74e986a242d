#include "supervisor/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ipc/channel.h"

#define FIRST_FREE_FD (IPC_FD_CONFIG + 1)

int
spawn_find_worker(char *ret_path, size_t capacity, struct err *e)
{
    char exe[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    if (n < 0)
        return err_set_errno(e, errno, "cannot find out where fanoutd lies: /proc/self/exe");
    exe[n] = '\0';
    for (int up = 0; up < 2; up++) {
        char *slash = strrchr(exe, '/');
        if (slash)
            *slash = '\0';
    }
    n = snprintf(ret_path, capacity, "%s/libexec/fanoutd/fanout-worker", exe);
    if (n < 0 || (size_t)n >= capacity)
        return err_set(e, ERR_LIMIT, "the path of fanout-worker is too long: %s/libexec/fanoutd/fanout-worker", exe);
    if (access(ret_path, X_OK) != 0)
        return err_set_errno(e, errno, "fanout-worker cannot be executed at %s, where it belongs beside this fanoutd",
                             ret_path);
    return 0;
}

/* A memfd of its own for each child: they would share the file position of one. */
static int
make_config_fd(struct slice text, int *ret_fd, struct err *e)
{
    int fd = memfd_create("fanout-config", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return err_set_errno(e, errno, "memfd_create");
    for (size_t done = 0; done < text.n;) {
        ssize_t n = pwrite(fd, text.p + done, text.n - done, (off_t)done);
        if (n < 0) {
            int rc = err_set_errno(e, errno, "the worker's configuration: write");
            close(fd);
            return rc;
        }
        done += (size_t)n;
    }
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0) {
        int rc = err_set_errno(e, errno, "the worker's configuration: seal");
        close(fd);
        return rc;
    }
    *ret_fd = fd;
    return 0;
}

static void
set_signals(bool check)
{
    static const int ignored[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
    sigset_t none;
    for (int s = 1; s < NSIG; s++)
        signal(s, SIG_DFL);
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored && !check; i++)
        signal(ignored[i], SIG_IGN);
    if (check)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* In the child. Moves all four descriptors out of the way first: any of them may lie where another one belongs. */
static void
become(const struct spawn_options *o, const char *const argv[], pid_t parent, int config_fd, int status_fd)
{
    const int from[] = {o->check ? -1 : o->channel_fd, o->check ? -1 : o->ledger_fd, config_fd};
    int moved[3], to = IPC_FD_CHANNEL;
    status_fd = fcntl(status_fd, F_DUPFD_CLOEXEC, FIRST_FREE_FD);
    for (int i = 0; i < 3; i++)
        moved[i] = from[i] < 0 ? -1 : fcntl(from[i], F_DUPFD_CLOEXEC, FIRST_FREE_FD);
    for (int i = 0; i < 3; i++, to++) {
        if (from[i] < 0)
            close(to);
        else if (moved[i] < 0 || dup2(moved[i], to) < 0)
            goto fail;
    }
    if (close_range(FIRST_FREE_FD, ~0u, CLOSE_RANGE_CLOEXEC) != 0)
        goto fail;
    set_signals(o->check);
    if (o->check && getppid() != parent)
        _exit(1);
    execv(o->path, (char *const *)argv);
fail:;
    int errnum = errno;
    if (write(status_fd, &errnum, sizeof errnum) < 0)
        _exit(126);
    _exit(127);
}

/* The pipe closes by itself when the program is executed; otherwise it carries the reason. */
static int
wait_for_exec(int status_fd, const char *path, pid_t pid, struct err *e)
{
    int errnum = 0;
    ssize_t n;
    do
        n = read(status_fd, &errnum, sizeof errnum);
    while (n < 0 && errno == EINTR);
    if (n == 0)
        return 0;
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return err_set_errno(e, n == sizeof errnum ? errnum : EIO, "cannot execute %s", path);
}

int
spawn_worker(const struct spawn_options *o, pid_t *ret_pid, struct err *e)
{
    char slot[16];
    snprintf(slot, sizeof slot, "%d", o->slot);
    const char *const check[] = {"fanout-worker", "--check", "--consumer", o->consumer, NULL};
    const char *const work[] = {"fanout-worker", "--consumer", o->consumer, "--slot", slot, NULL};
    int config_fd = -1, status[2];
    int rc = make_config_fd(o->config, &config_fd, e);
    if (rc != 0)
        return rc;
    if (pipe2(status, O_CLOEXEC) != 0) {
        rc = err_set_errno(e, errno, "pipe");
        close(config_fd);
        return rc;
    }
    pid_t parent = getpid(), pid = fork();
    if (pid == 0)
        become(o, o->check ? check : work, parent, config_fd, status[1]);
    int errnum = errno;
    close(status[1]);
    if (pid < 0)
        rc = err_set_errno(e, errnum, "fork");
    else
        rc = wait_for_exec(status[0], o->path, pid, e);
    close(status[0]);
    close(config_fd);
    if (rc == 0)
        *ret_pid = pid;
    return rc;
}
