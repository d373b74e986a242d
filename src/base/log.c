#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
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
#include "base/log_sink.h"

#define QUEUE_BYTES    (256 * 1024)
#define SINK_WAIT_MS   100
#define POLL_SLICE_MS  20  /* how soon the log thread sees that it is to give up */
#define CLOSE_GRACE_MS 200 /* for the log thread to end after its time is up */
#define MAX_CONTEXT    8

static _Atomic int level_now = LOG_INFO;

/* Set before threads start. */
static struct {
    char program[64];
    enum log_format format;
    char keys[MAX_CONTEXT][64], values[MAX_CONTEXT][128];
    size_t context_n;
} settings;

/* Lines that were lost, and how it stands with the sink. */
static _Atomic uint64_t dropped;   /* since log_open */
static _Atomic uint64_t announced; /* of them, those in a "log lines dropped" */
static _Atomic bool sink_stuck;    /* it did not take the last line */

/* What waits for the log thread: whole lines. Guarded by lock. */
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

/* The log thread waits for the sink until then; 0: for ever. */
static _Atomic int64_t give_up_at_ns;

/* ---- lines ----------------------------------------------------------------------------------------------------- */

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

/* Notes what came of writing lines. */
static bool
note_lost(size_t lost)
{
    atomic_fetch_add(&dropped, lost);
    atomic_store(&sink_stuck, lost > 0);
    return lost == 0;
}

/* Says how many lines were dropped since it was last said. For after a write that went well. */
static void
announce_drops(size_t (*sink_write)(const char *lines, size_t n, int64_t wait_ms), int64_t wait_ms)
{
    char line[LOG_LINE_BYTES];
    uint64_t total = atomic_load(&dropped);
    uint64_t before = atomic_exchange(&announced, total);
    if (total == before)
        return;
    struct log_field count = LOG_INT("count", total - before);
    size_t n = format_line(line, LOG_WARN, "log lines dropped", &count, 1);
    if (sink_write(line, n, wait_ms) == 0)
        return;
    atomic_store(&sink_stuck, true);
    atomic_fetch_sub(&announced, total - before);
}

/* ---- synchronous mode ------------------------------------------------------------------------------------------ */

static void
write_now(const char *line, size_t n)
{
    if (note_lost(log_sink_write_guarded(line, n, atomic_load(&sink_stuck) ? 0 : SINK_WAIT_MS)))
        announce_drops(log_sink_write_guarded, 0);
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

/* Takes as many whole lines as a pipe takes in one piece. Called with the lock held. */
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
    while (!is_time_up() && !log_sink_wait(POLL_SLICE_MS))
        continue;
    note_lost(log_sink_write(lines, n, is_time_up() ? 0 : SINK_WAIT_MS));
}

static void *
write_queued(void *generation)
{
    char lines[LOG_LINE_BYTES];
    pthread_mutex_lock(&queue.lock);
    while (queue.generation == (uintptr_t)generation) {
        size_t n = dequeue(lines);
        bool unsaid = atomic_load(&dropped) != atomic_load(&announced) && !atomic_load(&sink_stuck);
        if (n > 0 || unsaid) {
            pthread_mutex_unlock(&queue.lock);
            if (n > 0)
                write_patiently(lines, n);
            else
                announce_drops(log_sink_write, SINK_WAIT_MS);
            pthread_mutex_lock(&queue.lock);
            continue;
        }
        queue.full = false;
        if (queue.closing) {
            queue.running = false;
            pthread_cond_signal(&queue.ended);
            break;
        }
        pthread_cond_wait(&queue.work, &queue.lock);
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

/* Drops what is queued. Called with the lock held. */
static void
empty_queue(void)
{
    char lines[LOG_LINE_BYTES];
    for (size_t n; (n = dequeue(lines)) > 0;)
        for (size_t i = 0; i < n; i++)
            if (lines[i] == '\n')
                atomic_fetch_add(&dropped, 1);
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
    empty_queue();
    pthread_mutex_unlock(&queue.lock);
    if (hangs)
        pthread_detach(queue.thread);
    else
        pthread_join(queue.thread, NULL);
}

/* ---- the interface --------------------------------------------------------------------------------------------- */

int
log_open(const struct log_options *options, struct err *e)
{
    const char *path = options->file ? options->file : "";
    if (strlen(path) >= PATH_MAX)
        return err_set(e, ERR_LIMIT, "the log file's name is longer than %d bytes", PATH_MAX - 1);
    int fd = *path ? log_sink_prepare(path, e) : log_sink_prepare_stderr();
    if (*path && fd < 0)
        return fd;
    log_close(1000);
    log_sink_use(path, fd);
    snprintf(settings.program, sizeof settings.program, "%s", options->program ? options->program : "");
    settings.format = options->format;
    log_set_level(options->level);
    atomic_store(&dropped, 0);
    atomic_store(&announced, 0);
    atomic_store(&sink_stuck, false);
    int r = options->asynchronous ? start_thread(e) : 0;
    if (r < 0)
        log_sink_close();
    return r;
}

void
log_close(int wait_ms)
{
    stop_thread(wait_ms > 0 ? wait_ms : 0);
    log_sink_close();
}

int
log_reopen(struct err *e)
{
    return log_sink_reopen(e);
}

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
