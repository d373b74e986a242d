/* flaky: a handler that fails as it is told to, for demos and for tests of what happens then.
 *
 * Which messages of fail_percent fail depends on their ids and the seed alone, so that a run can be repeated. The order
 * of what is asked of a message: crash_pattern, delay_ms, down_file, reject_pattern, pattern, fail_percent. */
#include <fanout/handler.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SLICE_MS 10 /* of a delay, between two looks at whether to stop */

struct flaky {
    const struct handler_host *host;
    long long fail_percent, fail_first_receives, seed, delay_ms;
    const char *pattern, *reject_pattern, *crash_pattern, *down_file;
    int record; /* -1: none */
    int record_body;
};

/* FNV-1a over the id, begun with the seed, and mixed so that each bit of it counts. */
static uint64_t
hash(const char *id, uint64_t seed)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325) ^ (seed * UINT64_C(0x9e3779b97f4a7c15));
    for (; *id; id++)
        h = (h ^ (unsigned char)*id) * UINT64_C(0x100000001b3);
    h ^= h >> 33;
    h *= UINT64_C(0xff51afd7ed558ccd);
    return h ^ h >> 33;
}

static int
has(const struct handler_message *m, const char *pattern)
{
    return *pattern && strstr(m->body, pattern);
}

/* Works for delay_ms; returns 0 when it was asked to stop before that was over. */
static int
work(const struct flaky *f, struct handler_call *call)
{
    for (long long left = f->delay_ms; left > 0; left -= SLICE_MS) {
        if (f->host->stopping(call))
            return 0;
        long long slice = left < SLICE_MS ? left : SLICE_MS;
        nanosleep(&(struct timespec){.tv_nsec = slice * 1000000}, NULL);
    }
    return 1;
}

static int32_t
decide(const struct flaky *f, struct handler_call *call, const struct handler_message *m, const char **reason)
{
    if (has(m, f->crash_pattern))
        raise(SIGSEGV);
    if (!work(f, call)) {
        *reason = "the worker is stopping";
        return HANDLER_RETRY;
    }
    if (*f->down_file && access(f->down_file, F_OK) == 0) {
        *reason = "the file of option down_file is there";
        return HANDLER_DOWN;
    }
    if (has(m, f->reject_pattern)) {
        *reason = "the body has reject_pattern";
        return HANDLER_REJECT;
    }
    if (has(m, f->pattern)) {
        *reason = "the body has pattern";
        return HANDLER_RETRY;
    }
    if ((f->fail_first_receives == 0 || m->receive_count <= f->fail_first_receives) &&
        (long long)(hash(m->id, (uint64_t)f->seed) % 100) < f->fail_percent) {
        *reason = "chosen by fail_percent";
        return HANDLER_RETRY;
    }
    return HANDLER_DONE;
}

/* One write appends the line whole, whoever else writes to the file. A line feed in a body can only be white space of
 * its JSON, so a space stands for it. */
static int
record(const struct flaky *f, const struct handler_message *m, int32_t verdict)
{
    static const char *const WORDS[] = {"UNSET", "DONE", "RETRY", "REJECT", "DOWN"};
    size_t capacity = strlen(m->id) + 32 + (f->record_body ? m->body_len + 1 : 0);
    char *line = malloc(capacity);
    ssize_t written;
    if (!line)
        return -1;
    size_t n = (size_t)snprintf(line, capacity, "%s %s %u", m->id, WORDS[verdict], (unsigned)m->receive_count);
    if (f->record_body) {
        line[n++] = ' ';
        for (size_t i = 0; i < m->body_len; i++)
            line[n++] = m->body[i] == '\n' ? ' ' : m->body[i];
    }
    line[n++] = '\n';
    do
        written = write(f->record, line, n);
    while (written < 0 && errno == EINTR);
    free(line);
    if (written > 0 && written < (ssize_t)n && write(f->record, "\n", 1) < 0) /* the next line is to be whole */
        return -1;
    return written == (ssize_t)n ? 0 : -1;
}

/* Opens the file for it; a line that a killed process left half is closed first. */
static int
open_record(const char *path)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    int readable = fd < 0 ? -1 : open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    off_t end = readable < 0 ? 0 : lseek(readable, 0, SEEK_END);
    char last = '\n';
    if (end > 0 && pread(readable, &last, 1, end - 1) == 1 && last != '\n' && write(fd, "\n", 1) != 1) {
        close(fd);
        fd = -1;
    }
    int reason = errno;
    if (readable >= 0)
        close(readable);
    errno = reason;
    return fd;
}

static int32_t
handle(void *plugin, void *thread, struct handler_call *call, const struct handler_message *m)
{
    const struct flaky *f = plugin;
    const char *reason = NULL;
    (void)thread;
    int32_t verdict = decide(f, call, m, &reason);
    if (f->record >= 0 && record(f, m, verdict) != 0) {
        verdict = HANDLER_RETRY;
        reason = "cannot write to the file of option record";
    }
    if (verdict != HANDLER_DONE)
        f->host->settle(call, 0, verdict, -1, reason);
    return verdict;
}

/* An option of type int between 0 and max; -1 after saying that it is not. */
static long long
number(const struct handler_host *host, const char *name, long long max)
{
    long long value = strtoll(host->option(name), NULL, 10);
    if (value >= 0 && value <= max)
        return value;
    handler_logf(host, NULL, HANDLER_LOG_ERROR, "option %s is %lld; 0 to %lld is allowed", name, value, max);
    return -1;
}

static int32_t
open_flaky(const struct handler_host *host, void **plugin)
{
    struct flaky *f = calloc(1, sizeof *f);
    const char *path = host->option("record");
    if (!f) {
        host->log(NULL, HANDLER_LOG_ERROR, "out of memory");
        return -1;
    }
    *f = (struct flaky){.host = host,
                        .fail_percent = number(host, "fail_percent", 100),
                        .fail_first_receives = number(host, "fail_first_receives", UINT32_MAX),
                        .seed = strtoll(host->option("seed"), NULL, 10),
                        .delay_ms = number(host, "delay_ms", 43200000),
                        .pattern = host->option("pattern"),
                        .reject_pattern = host->option("reject_pattern"),
                        .crash_pattern = host->option("crash_pattern"),
                        .down_file = host->option("down_file"),
                        .record = -1,
                        .record_body = strcmp(host->option("record_body"), "true") == 0};
    int wrong = f->fail_percent < 0 || f->fail_first_receives < 0 || f->delay_ms < 0;
    if (!wrong && *path) {
        f->record = open_record(path);
        wrong = f->record < 0;
        if (wrong)
            handler_logf(host, NULL, HANDLER_LOG_ERROR, "cannot open %s: %s", path, strerror(errno));
    }
    if (wrong) {
        free(f);
        return -1;
    }
    *plugin = f;
    return 0;
}

static void
close_flaky(void *plugin)
{
    struct flaky *f = plugin;
    if (f->record >= 0)
        close(f->record);
    free(f);
}

static const struct handler_option OPTIONS[] = {
    {"fail_percent", "int", "0", "So many of a hundred messages are retried, 0 to 100, chosen by their ids."},
    {"fail_first_receives", "int", "0", "fail_percent holds for messages received at most so often; 0: for all."},
    {"seed", "int", "0", "Another number chooses other messages."},
    {"pattern", "string", "", "Messages whose body has this text are always retried; \"\": none."},
    {"reject_pattern", "string", "", "Messages whose body has this text are rejected; \"\": none."},
    {"crash_pattern", "string", "", "A message whose body has this text kills the process (SIGSEGV); \"\": none."},
    {"down_file", "string", "", "While this file is there, what the handler depends on is down; \"\": it never is."},
    {"delay_ms", "int", "0", "How long each message takes; a worker that stops gets it back sooner."},
    {"record", "string", "", "A file that gets a line ID VERDICT RECEIVE_COUNT for each message; \"\": none."},
    {"record_body", "bool", "false", "Whether BODY follows in that line."},
    {0},
};

HANDLER_DEFINE(.name = "flaky", .version = "1", .help = "Fails as it is told to, for demos and tests.",
               .options = OPTIONS, .handle = handle, .open = open_flaky, .close = close_flaky);
