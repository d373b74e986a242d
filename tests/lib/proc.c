#include "lib/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/tmp.h"

extern char **environ;

enum { OUT, ERR, STREAMS };

struct line {
    int stream;
    char *text;
};

struct proc {
    struct proc *next;
    pid_t pid;
    char name[64];
    int exit_code; /* valid once ended_itself */
    bool ended_itself;
    int fd[STREAMS]; /* the reader thread's */
    pthread_t reader;
    size_t cursor;         /* proc_wait_line's */
    char *joined[STREAMS]; /* proc_stdout's and proc_stderr's last answer */
    pthread_mutex_t lock;  /* guards what follows */
    pthread_cond_t changed;
    struct line *lines;
    size_t n_lines, capacity;
    bool ended; /* both streams are closed */
};

static struct proc *all;
static pid_t owner;

static void
give_up(const char *what)
{
    perror(what);
    abort();
}

static void *
must(void *p)
{
    if (!p)
        give_up("memory");
    return p;
}

static int64_t
now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- the reader thread ---- */

struct partial {
    char *text;
    size_t n, capacity;
};

static void
add_line(struct proc *p, int stream, struct partial *partial)
{
    char *text = must(strndup(partial->text ? partial->text : "", partial->n));
    partial->n = 0;
    pthread_mutex_lock(&p->lock);
    if (p->n_lines == p->capacity) {
        p->capacity = p->capacity ? p->capacity * 2 : 64;
        p->lines = must(realloc(p->lines, p->capacity * sizeof *p->lines));
    }
    p->lines[p->n_lines++] = (struct line){stream, text};
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

static void
take_bytes(struct proc *p, int stream, struct partial *partial, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (bytes[i] == '\n') {
            add_line(p, stream, partial);
            continue;
        }
        if (partial->n == partial->capacity) {
            partial->capacity = partial->capacity ? partial->capacity * 2 : 256;
            partial->text = must(realloc(partial->text, partial->capacity));
        }
        partial->text[partial->n++] = bytes[i];
    }
}

static void *
read_output(void *context)
{
    struct proc *p = context;
    struct partial partial[STREAMS] = {{0}};
    struct pollfd polls[STREAMS];
    for (int i = 0; i < STREAMS; i++)
        polls[i] = (struct pollfd){.fd = p->fd[i], .events = POLLIN};
    while (polls[OUT].fd >= 0 || polls[ERR].fd >= 0) {
        if (poll(polls, STREAMS, -1) < 0 && errno != EINTR)
            give_up("poll");
        for (int i = 0; i < STREAMS; i++) {
            if (polls[i].fd < 0 || polls[i].revents == 0)
                continue;
            char bytes[65536];
            ssize_t n = read(polls[i].fd, bytes, sizeof bytes);
            if (n > 0) {
                take_bytes(p, i, &partial[i], bytes, (size_t)n);
            } else if (n == 0 || errno != EINTR) {
                if (partial[i].n > 0)
                    add_line(p, i, &partial[i]);
                polls[i].fd = -1;
            }
        }
    }
    for (int i = 0; i < STREAMS; i++)
        free(partial[i].text);
    pthread_mutex_lock(&p->lock);
    p->ended = true;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* ---- start ---- */

static bool
names_same_variable(const char *a, const char *b)
{
    size_t n = strcspn(a, "=");
    return n == strcspn(b, "=") && strncmp(a, b, n) == 0;
}

static char **
make_environment(const char *const *changes)
{
    size_t n = 0, n_changes = 0, kept = 0;
    while (environ[n])
        n++;
    while (changes && changes[n_changes])
        n_changes++;
    char **env = must(calloc(n + n_changes + 1, sizeof *env));
    for (size_t i = 0; i < n; i++) {
        bool changed = false;
        for (size_t k = 0; k < n_changes; k++)
            changed |= names_same_variable(environ[i], changes[k]);
        if (!changed)
            env[kept++] = environ[i];
    }
    for (size_t k = 0; k < n_changes; k++)
        if (strchr(changes[k], '='))
            env[kept++] = (char *)(uintptr_t)changes[k];
    return env;
}

static int
open_input(const char *text)
{
    if (!text)
        return open("/dev/null", O_RDONLY | O_CLOEXEC);
    int fd = memfd_create("stdin", MFD_CLOEXEC);
    size_t n = strlen(text);
    if (fd < 0 || (n > 0 && pwrite(fd, text, n, 0) != (ssize_t)n))
        give_up("stdin");
    return fd;
}

/* Between fork and exec: only what is safe in the child of a program with threads. */
static void
become(const struct proc_options *o, char **env, const int fds[3], pid_t parent)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    for (int i = 0; i < 3; i++)
        if (dup2(fds[i], i) < 0)
            _exit(127);
    if (!o->cwd || chdir(o->cwd) == 0)
        execvpe(o->argv[0], (char *const *)(uintptr_t)o->argv, env);
    static const char failed[] = "proc: cannot execute the program\n";
    if (write(2, failed, sizeof failed - 1) < 0)
        _exit(126);
    _exit(127);
}

static void
kill_all(void)
{
    if (owner == getpid())
        while (all)
            proc_destroy(all);
}

struct proc *
proc_start(const struct proc_options *options)
{
    struct proc *p = must(calloc(1, sizeof *p));
    int pipes[STREAMS][2], in = open_input(options->in);
    if (in < 0 || pipe2(pipes[OUT], O_CLOEXEC) != 0 || pipe2(pipes[ERR], O_CLOEXEC) != 0)
        give_up("pipe");
    char **env = make_environment(options->env);
    const char *base = strrchr(options->argv[0], '/');
    snprintf(p->name, sizeof p->name, "%s", base ? base + 1 : options->argv[0]);
    if (owner == 0) {
        owner = getpid();
        atexit(kill_all);
    }
    const int fds[3] = {in, pipes[OUT][1], pipes[ERR][1]};
    pid_t parent = getpid();
    p->pid = fork();
    if (p->pid < 0)
        give_up("fork");
    if (p->pid == 0)
        become(options, env, fds, parent);
    setpgid(p->pid, p->pid); /* in both, so that it is true for whoever comes first */
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    free(env);
    for (int i = 0; i < STREAMS; i++)
        p->fd[i] = pipes[i][0];

    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&p->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&p->lock, NULL);
    if (pthread_create(&p->reader, NULL, read_output, p) != 0)
        give_up("pthread_create");
    p->next = all;
    all = p;
    return p;
}

struct proc *
proc_spawn(const char *const argv[], const char *const env[])
{
    const struct proc_options options = {.argv = argv, .env = env};
    return proc_start(&options);
}

pid_t
proc_pid(const struct proc *p)
{
    return p->pid;
}

/* ---- wait ---- */

static void
print_output(struct proc *p, const char *what)
{
    fprintf(stderr, "---- %s[%d]: %s. Its output so far:\n", p->name, (int)p->pid, what);
    pthread_mutex_lock(&p->lock);
    size_t from = p->n_lines > 200 ? p->n_lines - 200 : 0;
    for (size_t i = from; i < p->n_lines; i++)
        fprintf(stderr, "%c %s\n", p->lines[i].stream == OUT ? '1' : '2', p->lines[i].text);
    pthread_mutex_unlock(&p->lock);
    fprintf(stderr, "----\n");
}

static struct timespec
deadline_at(int timeout_ms)
{
    int64_t at = now_ms() + timeout_ms;
    return (struct timespec){.tv_sec = at / 1000, .tv_nsec = at % 1000 * 1000000};
}

const char *
proc_wait_line(struct proc *p, const char *substring, int timeout_ms)
{
    const struct timespec deadline = deadline_at(timeout_ms);
    const char *found = NULL;
    size_t at = p->cursor;
    pthread_mutex_lock(&p->lock);
    for (bool late = false; !found;) {
        while (at < p->n_lines && !found)
            if (strstr(p->lines[at++].text, substring))
                found = p->lines[at - 1].text;
        if (found || p->ended || late)
            break;
        late = pthread_cond_timedwait(&p->changed, &p->lock, &deadline) == ETIMEDOUT;
    }
    bool ended = p->ended;
    pthread_mutex_unlock(&p->lock);
    if (found) {
        p->cursor = at;
        return found;
    }
    char what[200];
    snprintf(what, sizeof what, "no line with '%s' %s", substring, ended ? "before the end" : "in time");
    print_output(p, what);
    return NULL;
}

size_t
proc_count_lines(struct proc *p, const char *substring)
{
    size_t n = 0;
    pthread_mutex_lock(&p->lock);
    for (size_t i = 0; i < p->n_lines; i++)
        n += strstr(p->lines[i].text, substring) != NULL;
    pthread_mutex_unlock(&p->lock);
    return n;
}

void
proc_signal(struct proc *p, int signal)
{
    kill(p->pid, signal);
}

/* The process is left a zombie until proc_destroy, so that its number, which is its group's, is nobody else's. */
bool
proc_is_running(struct proc *p)
{
    siginfo_t info = {0};
    if (!p->ended_itself && waitid(P_PID, (id_t)p->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0) {
        p->exit_code = info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
        p->ended_itself = true;
    }
    return !p->ended_itself;
}

/* The exit is waited for through a pidfd: no poll loop, and no SIGCHLD that a test might want for itself. */
static bool
reap_until(struct proc *p, int64_t deadline_ms)
{
    if (!proc_is_running(p))
        return true;
    int fd = (int)syscall(SYS_pidfd_open, p->pid, 0);
    if (fd < 0)
        give_up("pidfd_open");
    while (proc_is_running(p)) {
        int64_t left = deadline_ms - now_ms();
        if (left <= 0)
            break;
        struct pollfd poll_exit = {.fd = fd, .events = POLLIN};
        poll(&poll_exit, 1, left > INT_MAX ? INT_MAX : (int)left);
    }
    close(fd);
    return p->ended_itself;
}

int
proc_wait_exit(struct proc *p, int timeout_ms)
{
    const struct timespec deadline = deadline_at(timeout_ms);
    if (!reap_until(p, now_ms() + timeout_ms)) {
        print_output(p, "still running");
        return PROC_TIMEOUT;
    }
    /* Children that inherited the pipes may keep them open: the output is then read up to the deadline. */
    pthread_mutex_lock(&p->lock);
    while (!p->ended && pthread_cond_timedwait(&p->changed, &p->lock, &deadline) != ETIMEDOUT)
        ;
    pthread_mutex_unlock(&p->lock);
    return p->exit_code;
}

static const char *
join_output(struct proc *p, int stream)
{
    pthread_mutex_lock(&p->lock);
    size_t n = 1, at = 0;
    for (size_t i = 0; i < p->n_lines; i++)
        if (p->lines[i].stream == stream)
            n += strlen(p->lines[i].text) + 1;
    char *text = must(malloc(n));
    for (size_t i = 0; i < p->n_lines; i++)
        if (p->lines[i].stream == stream)
            at += (size_t)sprintf(text + at, "%s\n", p->lines[i].text);
    text[at] = '\0';
    pthread_mutex_unlock(&p->lock);
    free(p->joined[stream]);
    p->joined[stream] = text;
    return text;
}

const char *
proc_stdout(struct proc *p)
{
    return join_output(p, OUT);
}

const char *
proc_stderr(struct proc *p)
{
    return join_output(p, ERR);
}

void
proc_print(struct proc *p)
{
    if (p)
        print_output(p, "the test failed");
}

/* ---- the end ---- */

void
proc_destroy(struct proc *p)
{
    if (!p)
        return;
    kill(-p->pid, SIGKILL);
    waitpid(p->pid, NULL, 0);
    pthread_join(p->reader, NULL);
    for (struct proc **at = &all; *at; at = &(*at)->next) {
        if (*at == p) {
            *at = p->next;
            break;
        }
    }
    for (int i = 0; i < STREAMS; i++) {
        close(p->fd[i]);
        free(p->joined[i]);
    }
    for (size_t i = 0; i < p->n_lines; i++)
        free(p->lines[i].text);
    free(p->lines);
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

const char *
proc_path(const char *relative)
{
    char exe[PATH_MAX], root[PATH_MAX + 8];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    if (n < 0)
        give_up("/proc/self/exe");
    exe[n] = '\0';
    char *tests = strstr(exe, "/tests/");
    for (char *next = tests; next; next = strstr(next + 1, "/tests/"))
        tests = next;
    if (!tests) {
        fprintf(stderr, "%s: not in a build's tests folder\n", exe);
        abort();
    }
    *tests = '\0';
    snprintf(root, sizeof root, "%s", exe);
    return tmp_path(root, relative);
}

bool
proc_wait_until(bool (*condition)(void *context), void *context, int timeout_ms)
{
    int64_t deadline = now_ms() + timeout_ms;
    while (!condition(context)) {
        if (now_ms() >= deadline)
            return false;
        poll(NULL, 0, 5);
    }
    return true;
}
