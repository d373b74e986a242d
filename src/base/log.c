#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log_format.h"

#define QUEUE_BYTES    (256 * 1024)
#define SYNC_WAIT_MS   100
#define POLL_SLICE_MS  20  /* how soon the log thread sees that it is to give up */
#define CLOSE_GRACE_MS 200 /* for the log thread to end after its time is up */
#define MAX_CONTEXT    8

static _Atomic int level_now = LOG_INFO;

/* Set before threads start. */
static struct {
    char program[64];
    enum log_format format;
    char path[PATH_MAX]; /* "": stderr */
    char keys[MAX_CONTEXT][64], values[MAX_CONTEXT][128];
    size_t context_n;
} settings;

/* The sink. A log file keeps one descriptor number for the life of the process: reopening and closing put another file
 * under that number, so that a thread that is just writing never writes to a stranger's descriptor. */
static _Atomic int sink_fd = STDERR_FILENO;
static int file_fd = -1;
static _Atomic uint64_t dropped;      /* lines, since log_open */
static _Atomic uint64_t announced;    /* of them, in "log lines dropped" */
static _Atomic bool sink_stuck;       /* the last write failed */
static _Atomic bool sink_torn;        /* it ended in the middle of a line */
static _Atomic int64_t give_up_at_ns; /* the log thread waits for the sink until then; 0: for ever */

/* What waits for the log thread: whole lines. All but the bounds of bytes is guarded by lock. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t work, ended;
    char bytes[QUEUE_BYTES];
    size_t first, used;
    uint64_t generation; /* of the thread that may take lines; another one ends */
    pthread_t thread;
    bool running;
    bool closing;
    bool full; /* something was dropped: nothing more is taken until the queue is empty */
} queue = {.lock = PTHREAD_MUTEX_INITIALIZER, .work = PTHREAD_COND_INITIALIZER};

/* ---- writing --------------------------------------------------------------------------------------------------- */

static bool
wait_writable(int fd, int64_t wait_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    int r;
    do
        r = poll(&p, 1, (int)wait_ms);
    while (r < 0 && errno == EINTR);
    return r != 0; /* also when something is wrong with it: write(2) will tell */
}

/* Writes all of it, waiting up to wait_ms in total for room. Returns how many bytes are left over. */
static size_t
write_bytes(const char *p, size_t n, int64_t wait_ms)
{
    int fd = atomic_load(&sink_fd);
    int64_t started_ns = clock_monotonic_ns(), left_ms = wait_ms;
    while (n > 0 && wait_writable(fd, left_ms)) {
        ssize_t written = write(fd, p, n);
        if (written > 0) {
            p += written;
            n -= (size_t)written;
        } else if (written < 0 && errno == EAGAIN) {
            poll(NULL, 0, 1); /* room, but not for this much */
        } else if (written < 0 && errno != EINTR) {
            break;
        }
        int64_t waited_ms = (clock_monotonic_ns() - started_ns) / 1000000;
        if (waited_ms >= wait_ms && written < 0)
            break;
        left_ms = waited_ms < wait_ms ? wait_ms - waited_ms : 0;
    }
    return n;
}

/* Writes whole lines; those that the sink does not take are counted as dropped. */
static bool
write_lines(const char *p, size_t n, int64_t wait_ms)
{
    size_t left = 0;
    if (atomic_load(&sink_torn)) {
        left = write_bytes("\n", 1, wait_ms);
        if (left == 0)
            atomic_store(&sink_torn, false);
    }
    left = left ? n : write_bytes(p, n, wait_ms);
    if (left > 0 && left < n && p[n - left - 1] != '\n')
        atomic_store(&sink_torn, true);
    for (size_t i = n - left; i < n; i++)
        if (p[i] == '\n')
            atomic_fetch_add(&dropped, 1);
    atomic_store(&sink_stuck, left > 0);
    return left == 0;
}

static size_t
format_line(char out[LOG_LINE_BYTES], enum log_level level, const char *message, const struct log_field *fields,
            size_t n)
{
    struct log_field context[MAX_CONTEXT];
    for (size_t i = 0; i < settings.context_n; i++)
        context[i] = (struct log_field)LOG_STR(settings.keys[i], settings.values[i]);
    struct log_head head = {
        .wall_ms = clock_wall_ms(),
        .level = level,
        .program = settings.program[0] ? settings.program : program_invocation_short_name,
        .pid = getpid(),
        .context = context,
        .context_n = settings.context_n,
    };
    return log_format_line(out, settings.format, &head, message, fields, n);
}

/* Says how many lines were dropped since it was last said. For after a write that went well. */
static void
announce_drops(int64_t wait_ms)
{
    uint64_t total = atomic_load(&dropped);
    uint64_t before = atomic_exchange(&announced, total);
    if (total <= before)
        return;
    char line[LOG_LINE_BYTES];
    struct log_field count = LOG_INT("count", total - before);
    size_t n = format_line(line, LOG_WARN, "log lines dropped", &count, 1);
    if (write_lines(line, n, wait_ms))
        return;
    atomic_fetch_sub(&dropped, 1); /* that one was no line of the caller's */
    atomic_fetch_sub(&announced, total - before);
}

/* ---- synchronous mode ------------------------------------------------------------------------------------------ */

/* Keeps a sink whose reader is gone from killing the process: SIGPIPE goes to the thread that wrote. */
static void
hold_sigpipe(sigset_t *ret_before, bool *ret_pending)
{
    sigset_t pipe_only, pending;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_only, ret_before);
    sigpending(&pending);
    *ret_pending = sigismember(&pending, SIGPIPE) == 1;
}

static void
release_sigpipe(const sigset_t *before, bool was_pending)
{
    static const struct timespec at_once = {0};
    sigset_t pipe_only;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    while (!was_pending && sigtimedwait(&pipe_only, NULL, &at_once) < 0 && errno == EINTR)
        continue;
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

static void
write_now(const char *line, size_t n)
{
    sigset_t before;
    bool was_pending;
    hold_sigpipe(&before, &was_pending);
    if (write_lines(line, n, atomic_load(&sink_stuck) ? 0 : SYNC_WAIT_MS))
        announce_drops(0);
    release_sigpipe(&before, was_pending);
}

/* ---- asynchronous mode ----------------------------------------------------------------------------------------- */

/* Hands a line to the log thread. False when there is none. */
static bool
enqueue(const char *line, size_t n)
{
    bool wake = false;
    pthread_mutex_lock(&queue.lock);
    bool running = queue.running;
    if (running && (queue.full || QUEUE_BYTES - queue.used < n)) {
        queue.full = true;
        atomic_fetch_add(&dropped, 1);
    } else if (running) {
        size_t at = (queue.first + queue.used) % QUEUE_BYTES;
        size_t to_end = QUEUE_BYTES - at < n ? QUEUE_BYTES - at : n;
        memcpy(queue.bytes + at, line, to_end);
        memcpy(queue.bytes, line + to_end, n - to_end);
        wake = queue.used == 0;
        queue.used += n;
    }
    pthread_mutex_unlock(&queue.lock);
    if (wake)
        pthread_cond_signal(&queue.work);
    return running;
}

/* Takes as many whole lines as fit in one write to a pipe. Called with the lock held. */
static size_t
dequeue(char out[LOG_LINE_BYTES])
{
    size_t n = queue.used < LOG_LINE_BYTES ? queue.used : LOG_LINE_BYTES;
    size_t to_end = QUEUE_BYTES - queue.first < n ? QUEUE_BYTES - queue.first : n;
    memcpy(out, queue.bytes + queue.first, to_end);
    memcpy(out + to_end, queue.bytes, n - to_end);
    while (n > 0 && out[n - 1] != '\n')
        n--;
    queue.first = (queue.first + n) % QUEUE_BYTES;
    queue.used -= n;
    return n;
}

static bool
is_time_up(void)
{
    int64_t until_ns = atomic_load(&give_up_at_ns);
    return until_ns != 0 && clock_monotonic_ns() >= until_ns;
}

static void
write_patiently(const char *lines, size_t n)
{
    int fd = atomic_load(&sink_fd);
    while (!is_time_up() && !wait_writable(fd, POLL_SLICE_MS))
        continue;
    write_lines(lines, n, is_time_up() ? 0 : SYNC_WAIT_MS);
}

static void *
write_queued(void *generation)
{
    char lines[LOG_LINE_BYTES];
    pthread_mutex_lock(&queue.lock);
    while (queue.generation == (uintptr_t)generation) {
        size_t n = dequeue(lines);
        bool unsaid = atomic_load(&dropped) != atomic_load(&announced) && !atomic_load(&sink_stuck);
        if (n == 0 && !unsaid)
            queue.full = false;
        if (n > 0 || unsaid) {
            pthread_mutex_unlock(&queue.lock);
            if (n > 0)
                write_patiently(lines, n);
            else
                announce_drops(SYNC_WAIT_MS);
            pthread_mutex_lock(&queue.lock);
        } else if (queue.closing) {
            queue.running = false;
            pthread_cond_signal(&queue.ended);
            break;
        } else {
            pthread_cond_wait(&queue.work, &queue.lock);
        }
    }
    pthread_mutex_unlock(&queue.lock);
    return NULL;
}

static void
init_ended(void)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&queue.ended, &attributes);
    pthread_condattr_destroy(&attributes);
}

static int
start_thread(struct err *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    sigset_t all, before;
    pthread_once(&once, init_ended);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for other threads; SIGPIPE for none */
    pthread_mutex_lock(&queue.lock);
    atomic_store(&give_up_at_ns, 0);
    queue.first = queue.used = 0;
    queue.closing = queue.full = false;
    queue.generation++;
    int failed = pthread_create(&queue.thread, NULL, write_queued, (void *)(uintptr_t)queue.generation);
    queue.running = failed == 0;
    pthread_mutex_unlock(&queue.lock);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed)
        return err_set_errno(e, failed, "cannot start the log thread");
    pthread_setname_np(queue.thread, "log");
    return 0;
}

/* Ends the log thread; one that hangs in write(2) is left behind, and ends when that returns. */
static void
stop_thread(int wait_ms)
{
    int64_t until_ns = clock_monotonic_ns() + (int64_t)wait_ms * 1000000;
    int64_t at_last_ns = until_ns + CLOSE_GRACE_MS * INT64_C(1000000);
    struct timespec at_last = {.tv_sec = at_last_ns / 1000000000, .tv_nsec = at_last_ns % 1000000000};
    pthread_mutex_lock(&queue.lock);
    if (!queue.running) {
        pthread_mutex_unlock(&queue.lock);
        return;
    }
    atomic_store(&give_up_at_ns, until_ns);
    queue.closing = true;
    pthread_cond_signal(&queue.work);
    while (queue.running && pthread_cond_timedwait(&queue.ended, &queue.lock, &at_last) != ETIMEDOUT)
        continue;
    bool hangs = queue.running;
    queue.running = false;
    queue.generation++;
    for (char lines[LOG_LINE_BYTES]; queue.used > 0;) {
        size_t n = dequeue(lines);
        for (size_t i = 0; i < n; i++)
            if (lines[i] == '\n')
                atomic_fetch_add(&dropped, 1);
    }
    pthread_mutex_unlock(&queue.lock);
    if (hangs)
        pthread_detach(queue.thread);
    else
        pthread_join(queue.thread, NULL);
}

/* ---- the sink -------------------------------------------------------------------------------------------------- */

/* Opens path. O_NONBLOCK: a FIFO without a reader is an error, not a wait. */
static int
open_file(const char *path, struct err *e)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
    if (fd < 0)
        return err_set_errno(e, errno, "cannot open the log file %s", path);
    return fd;
}

/* Puts fd under the log file's number (and takes it over). */
static void
install_file(int fd)
{
    if (file_fd < 0) {
        file_fd = fd;
        return;
    }
    dup3(fd, file_fd, O_CLOEXEC);
    close(fd);
}

static void
close_file(void)
{
    atomic_store(&sink_fd, STDERR_FILENO);
    if (settings.path[0] && dup3(STDERR_FILENO, file_fd, O_CLOEXEC) < 0) { /* there is no stderr */
        int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
        if (fd >= 0)
            install_file(fd);
    }
    settings.path[0] = '\0';
}

int
log_open(const struct log_options *options, struct err *e)
{
    const char *path = options->file ? options->file : "";
    if (strlen(path) >= sizeof settings.path)
        return err_set(e, ERR_LIMIT, "the log file's name is longer than %zu bytes", sizeof settings.path - 1);
    int fd = *path ? open_file(path, e) : 0;
    if (fd < 0)
        return fd;
    log_close(1000);
    if (*path) {
        install_file(fd);
        atomic_store(&sink_fd, file_fd);
    }
    strcpy(settings.path, path);
    snprintf(settings.program, sizeof settings.program, "%s", options->program ? options->program : "");
    settings.format = options->format;
    log_set_level(options->level);
    atomic_store(&dropped, 0);
    atomic_store(&announced, 0);
    atomic_store(&sink_stuck, false);
    atomic_store(&sink_torn, false);
    if (!options->asynchronous)
        return 0;
    int r = start_thread(e);
    if (r < 0)
        close_file();
    return r;
}

void
log_close(int wait_ms)
{
    stop_thread(wait_ms > 0 ? wait_ms : 0);
    close_file();
}

int
log_reopen(struct err *e)
{
    if (!settings.path[0])
        return 0;
    int fd = open_file(settings.path, e);
    if (fd < 0)
        return fd;
    install_file(fd);
    return 0;
}

/* ---- the rest of the interface --------------------------------------------------------------------------------- */

void
log_set_level(enum log_level level)
{
    atomic_store_explicit(&level_now, level, memory_order_relaxed);
}

enum log_level
log_level(void)
{
    return atomic_load_explicit(&level_now, memory_order_relaxed);
}

uint64_t
log_dropped(void)
{
    return atomic_load(&dropped);
}

void
log_set_context(const char *key, const char *value)
{
    size_t i = 0;
    while (i < settings.context_n && strcmp(settings.keys[i], key) != 0)
        i++;
    if (!value) {
        if (i == settings.context_n)
            return;
        settings.context_n--;
        memmove(settings.keys[i], settings.keys[i + 1], (settings.context_n - i) * sizeof *settings.keys);
        memmove(settings.values[i], settings.values[i + 1], (settings.context_n - i) * sizeof *settings.values);
        return;
    }
    assert(i < MAX_CONTEXT);
    if (i == settings.context_n)
        settings.context_n++;
    snprintf(settings.keys[i], sizeof *settings.keys, "%s", key);
    snprintf(settings.values[i], sizeof *settings.values, "%s", value);
}

void
log_line(enum log_level level, const char *message, const struct log_field *fields, size_t n)
{
    char line[LOG_LINE_BYTES];
    if (level > log_level())
        return;
    int saved_errno = errno;
    size_t length = format_line(line, level, message, fields, n);
    if (!enqueue(line, length))
        write_now(line, length);
    errno = saved_errno;
}

bool
log_site_allows(struct log_site *site, int64_t interval_ms, uint64_t *ret_suppressed)
{
    int64_t now_ms = clock_monotonic_ms();
    int64_t next_ms = atomic_load(&site->next_ms);
    if ((next_ms != 0 && now_ms < next_ms) ||
        !atomic_compare_exchange_strong(&site->next_ms, &next_ms, now_ms + interval_ms)) {
        atomic_fetch_add(&site->suppressed, 1);
        return false;
    }
    *ret_suppressed = atomic_exchange(&site->suppressed, 0);
    return true;
}

static const char *const LEVEL_NAMES[] = {"ERROR", "WARN", "INFO", "DEBUG"};

int
log_parse_level(const char *text, enum log_level *ret_level)
{
    for (int i = 0; i <= LOG_DEBUG; i++) {
        if (strcasecmp(text, LEVEL_NAMES[i]) == 0) {
            *ret_level = (enum log_level)i;
            return 0;
        }
    }
    return ERR_INVALID;
}

const char *
log_level_name(enum log_level level)
{
    return LEVEL_NAMES[level];
}
