#include "supervisor/check.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ipc/channel.h"
#include "supervisor/spawn.h"

#define CHECK_TIMEOUT_MS 30000

/* A plugin's constructors run during the check: they may hang or crash. */
static int
wait_for(pid_t pid, bool *ret_late, struct err *e)
{
    bool late = false;
    int status, fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd >= 0) {
        struct pollfd ended = {.fd = fd, .events = POLLIN};
        int n;
        do
            n = poll(&ended, 1, CHECK_TIMEOUT_MS);
        while (n < 0 && errno == EINTR);
        late = n == 0;
        close(fd);
    }
    if (late)
        kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return err_set_errno(e, errno, "waitpid");
    *ret_late = late;
    return status;
}

int
check_consumers(const struct conf *c, const char *worker_path, struct err *e)
{
    int bad = 0;
    for (size_t i = 0; i < c->n_consumers; i++) {
        const char *name = c->consumers[i].name;
        struct buf text = BUF_INIT;
        conf_print(c, &c->consumers[i], &text);
        const struct spawn_options options = {
            .path = worker_path, .consumer = name, .check = true, .config = buf_slice(&text)};
        pid_t pid = -1;
        bool late = false;
        int rc = buf_failed(&text) ? err_no_memory(e) : spawn_worker(&options, &pid, e);
        buf_clean_up(&text);
        int status = rc == 0 ? wait_for(pid, &late, e) : rc;
        if (status < 0)
            return status;
        if (late)
            fprintf(stderr, "consumer %s: its plugin did not load within %d s\n", name, CHECK_TIMEOUT_MS / 1000);
        else if (WIFSIGNALED(status))
            fprintf(stderr, "consumer %s: loading its plugin ended in SIG%s\n", name, sigabbrev_np(WTERMSIG(status)));
        else if (WEXITSTATUS(status) != IPC_EXIT_OK && WEXITSTATUS(status) != IPC_EXIT_CONFIG)
            fprintf(stderr, "consumer %s: the check failed with status %d\n", name, WEXITSTATUS(status));
        else if (status != 0)
            fprintf(stderr, "consumer %s: its worker would not start, for the reason above\n", name);
        bad += status != 0;
    }
    return bad;
}

/* A file that is not there yet can be written when its folder can. */
static bool
is_writable(const char *path)
{
    char folder[PATH_MAX];
    struct stat st;
    if (stat(path, &st) == 0) {
        errno = S_ISDIR(st.st_mode) ? EISDIR : 0;
        return !errno && access(path, W_OK) == 0;
    }
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
    return errno == ENOENT && access(folder, W_OK | X_OK) == 0;
}

int
check_files(const struct conf *c, const char *file)
{
    int bad = 0;
    if (*c->log.file && !is_writable(c->log.file)) {
        fprintf(stderr, "%s: log.file: cannot write %s: %s\n", file, c->log.file, strerror(errno));
        bad++;
    }
    if (*c->aws.ca_file && access(c->aws.ca_file, R_OK) != 0) {
        fprintf(stderr, "%s: aws.ca_file: cannot read %s: %s\n", file, c->aws.ca_file, strerror(errno));
        bad++;
    }
    for (size_t i = 0; i < c->n_consumers; i++) {
        const struct conf_consumer *x = &c->consumers[i];
        if (x->dedup.store != CONF_DEDUP_SQLITE || is_writable(x->dedup.path))
            continue;
        fprintf(stderr, "%s: consumer %s: dedup.path: cannot write %s: %s\n", file, x->name, x->dedup.path,
                strerror(errno));
        bad++;
    }
    return bad;
}
