#include "ctl/child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"

#define UNTOLD_MS 20 /* without a pidfd: between two looks */

extern char **environ;

/* The environment with extra in front: the first of two equal names is the one that counts for getenv, so the old ones
 * are left out. */
static char **
merge_environment(const char *const extra[])
{
    size_t n = 0, k = 0;
    while (environ[n])
        n++;
    while (extra[k])
        k++;
    char **merged = calloc(n + k + 1, sizeof *merged);
    if (!merged)
        return NULL;
    size_t count = 0;
    for (size_t i = 0; i < k; i++)
        merged[count++] = (char *)extra[i];
    for (size_t i = 0; i < n; i++) {
        bool replaced = false;
        for (size_t j = 0; j < k && !replaced; j++) {
            size_t name_n = strcspn(extra[j], "=") + 1;
            replaced = strncmp(environ[i], extra[j], name_n) == 0;
        }
        if (!replaced)
            merged[count++] = environ[i];
    }
    return merged;
}

static _Noreturn void
become(const char *program, char *const argv[], char **environment, int log_fd, pid_t parent)
{
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    signal(SIGPIPE, SIG_DFL);
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (getppid() == parent && null_fd >= 0 && dup2(null_fd, 0) >= 0 && dup2(log_fd, 1) >= 0 && dup2(log_fd, 2) >= 0)
        execve(program, argv, environment);
    dprintf(STDERR_FILENO, "cannot run %s: %s\n", program, strerror(errno));
    _exit(127);
}

int
child_start(struct child *c, const char *program, char *const argv[], const char *const extra[], const char *log,
            struct err *e)
{
    *c = (struct child){0};
    snprintf(c->name, sizeof c->name, "%s", argv[0]);
    snprintf(c->log, sizeof c->log, "%s", log);
    char **environment = merge_environment(extra);
    if (!environment)
        return err_no_memory(e);
    int rc = 0;
    int log_fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd < 0) {
        rc = err_set_errno(e, errno, "cannot write %s", log);
        goto out;
    }
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid < 0)
        rc = err_set_errno(e, errno, "cannot start %s", c->name);
    else if (pid == 0)
        become(program, argv, environment, log_fd, parent);
    if (pid > 0) {
        c->pid = pid;
        c->pidfd = pidfd_open(pid, 0); /* CLOEXEC by itself */
    }
    close(log_fd);
out:
    free(environment);
    return rc;
}

bool
child_is_running(struct child *c)
{
    if (c->pid > 0 && waitpid(c->pid, &c->status, WNOHANG) != 0) {
        c->pid = 0;
        if (c->pidfd >= 0)
            close(c->pidfd);
    }
    return c->pid > 0;
}

void
child_wait(const struct child *c, int wait_ms)
{
    struct pollfd ended = {.fd = c->pidfd, .events = POLLIN};
    if (c->pid > 0)
        poll(&ended, 1, c->pidfd >= 0 || (wait_ms >= 0 && wait_ms < UNTOLD_MS) ? wait_ms : UNTOLD_MS);
}

bool
child_said(const struct child *c, const char *text, char *ret_rest, size_t capacity)
{
    bool found = false;
    struct buf all = BUF_INIT;
    char piece[4096];
    size_t n;
    FILE *f = fopen(c->log, "re");
    while (f && (n = fread(piece, 1, sizeof piece, f)) > 0)
        buf_add(&all, piece, n);
    if (f)
        fclose(f);
    const char *at = all.len > 0 && !buf_failed(&all) ? strstr(all.data, text) : NULL;
    if (at) {
        at += strlen(text);
        size_t length = strcspn(at, " \t\r\n\"");
        if (length < capacity && at[length] != '\0') { /* a line that is still being written has no end yet */
            memcpy(ret_rest, at, length);
            ret_rest[length] = '\0';
            found = true;
        }
    }
    buf_clean_up(&all);
    return found;
}

int
child_set_error(const struct child *c, struct err *e)
{
    char line[400], last[400] = "without a word";
    FILE *f = fopen(c->log, "re");
    while (f && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0])
            snprintf(last, sizeof last, "%s", line);
    }
    if (f)
        fclose(f);
    return WIFSIGNALED(c->status)
               ? err_set(e, ERR_UNAVAILABLE, "%s was ended by signal %d, its last words: %s", c->name,
                         WTERMSIG(c->status), last)
               : err_set(e, ERR_UNAVAILABLE, "%s ended with status %d: %s", c->name, WEXITSTATUS(c->status), last);
}

bool
child_stop(struct child *c, int grace_ms)
{
    if (!child_is_running(c))
        return false;
    kill(c->pid, SIGTERM);
    for (int64_t deadline_ms = clock_monotonic_ms() + grace_ms; child_is_running(c);) {
        int64_t left_ms = deadline_ms - clock_monotonic_ms();
        if (left_ms <= 0)
            kill(-c->pid, SIGKILL);
        child_wait(c, left_ms > 0 ? (int)left_ms : -1);
    }
    return WIFEXITED(c->status) && WEXITSTATUS(c->status) == 0;
}

int
child_find(const char *name, char *ret_path, size_t capacity, struct err *e)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n < 0)
        return err_set_errno(e, errno, "cannot read /proc/self/exe");
    self[n] = '\0';
    char *slash = strrchr(self, '/');
    *slash = '\0';
    if ((size_t)snprintf(ret_path, capacity, "%s/%s", self, name) >= capacity)
        return err_set(e, ERR_LIMIT, "the path %s/%s is too long", self, name);
    if (access(ret_path, F_OK) != 0)
        return err_set_errno(e, errno, "%s", ret_path);
    return 0;
}
