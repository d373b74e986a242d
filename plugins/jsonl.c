/* jsonl: appends each message's body, or the detail of the event in it, as one line to a file or to standard output.
 *
 * A body is JSON as a rule, where raw line ends are white space between tokens and nothing else; so a raw CR or LF
 * becomes a space, and a message is always exactly one line. (In a body that is no JSON, that is a change.)
 *
 * A batch is written with as few writev as there can be, under an flock, so that threads and processes of fanoutd can
 * share a file. When a write fails, the file is cut back to where the batch began and the whole batch is retried. When
 * a writer was killed within a line, the next one closes that line before it appends. (Neither can be done to a pipe,
 * nor to a file that standard output was directed to.) */
#include <fanout/handler.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define PIECES 1024 /* IOV_MAX of Linux */

struct jsonl {
    const struct handler_host *host;
    pthread_mutex_t lock; /* flock is one for all threads of a process */
    int fd;
    int is_file;     /* a regular file that we opened ourselves: it can be locked and cut back */
    int is_readable; /* and its last byte can be looked at */
    int sync;
    const struct handler_event_extension *events; /* NULL: bodies are written as they are */
};

/* Lines on their way into the file. */
struct pieces {
    struct handler_slice *lines; /* of the batch's messages; p == NULL: it gets none, and is settled */
    uint32_t capacity;
    int fd;
    int n;
    int error; /* errno of the first write that failed; nothing is written after it */
    struct iovec iov[PIECES];
};

static void
write_pieces(struct pieces *p)
{
    struct iovec *iov = p->iov;
    int left = p->n;
    p->n = 0;
    while (left > 0 && !p->error) {
        ssize_t written = writev(p->fd, iov, left);
        if (written < 0 && errno == EAGAIN) {
            struct pollfd wait = {.fd = p->fd, .events = POLLOUT};
            poll(&wait, 1, -1);
        } else if (written < 0 && errno != EINTR) {
            p->error = errno;
        }
        for (; written > 0 && (size_t)written >= iov->iov_len; left--)
            written -= (ssize_t)iov++->iov_len;
        if (written > 0) {
            iov->iov_base = (char *)iov->iov_base + written;
            iov->iov_len -= (size_t)written;
        }
    }
}

static void
add_piece(struct pieces *p, const char *data, size_t n)
{
    if (n == 0)
        return;
    if (p->n == PIECES)
        write_pieces(p);
    p->iov[p->n++] = (struct iovec){.iov_base = (char *)(uintptr_t)data, .iov_len = n};
}

static void
add_line(struct pieces *p, struct handler_slice line)
{
    const char *at = line.p, *end = line.p + line.n;
    for (const char *c = at; c < end; c++) {
        if (*c != '\n' && *c != '\r')
            continue;
        add_piece(p, at, (size_t)(c - at));
        add_piece(p, " ", 1);
        at = c + 1;
    }
    add_piece(p, at, (size_t)(end - at));
    add_piece(p, "\n", 1);
}

static int
lock_file(struct jsonl *j)
{
    while (j->is_file && flock(j->fd, LOCK_EX) != 0)
        if (errno != EINTR)
            return errno;
    return 0;
}

/* Appends all messages or nothing; returns 0 or an errno. The caller holds the lock. */
static int
append(struct jsonl *j, uint32_t n, struct pieces *p)
{
    off_t before = j->is_file ? lseek(j->fd, 0, SEEK_END) : 0;
    char last = '\n';
    if (before < 0)
        return errno;
    if (j->is_readable && before > 0 && pread(j->fd, &last, 1, before - 1) == 1 && last != '\n') {
        j->host->log(NULL, HANDLER_LOG_WARN, "the file ended within a line; that line was closed");
        add_piece(p, "\n", 1);
    }
    for (uint32_t i = 0; i < n; i++)
        if (p->lines[i].p)
            add_line(p, p->lines[i]);
    write_pieces(p);
    if (p->error && j->is_file && ftruncate(j->fd, before) != 0)
        handler_logf(j->host, NULL, HANDLER_LOG_ERROR, "cannot cut off a half-written line: %s", strerror(errno));
    return p->error;
}

static int32_t
give_back(struct jsonl *j, struct handler_call *call, const struct pieces *p, uint32_t count, const char *what,
          int error)
{
    char reason[200];
    snprintf(reason, sizeof reason, "%s: %s", what, strerror(error));
    for (uint32_t i = 0; i < count; i++)
        if (p->lines[i].p)
            j->host->settle(call, i, HANDLER_RETRY, -1, reason);
    return HANDLER_UNSET;
}

/* What of each message is to be written; returns 0 or an errno. */
static int
choose_lines(struct jsonl *j, struct handler_call *call, const struct handler_batch *batch, struct pieces *p)
{
    if (p->capacity < batch->count) {
        struct handler_slice *more = realloc(p->lines, batch->count * sizeof *more);
        if (!more)
            return ENOMEM;
        p->lines = more;
        p->capacity = batch->count;
    }
    for (uint32_t i = 0; i < batch->count; i++) {
        const struct handler_message *m = batch->messages[i];
        p->lines[i] = (struct handler_slice){m->body, m->body_len};
        if (!j->events)
            continue;
        int32_t kind = j->events->kind(call, i);
        const struct handler_event *e = j->events->event(call, i);
        p->lines[i] = e ? e->detail : (struct handler_slice){NULL, 0};
        if (!e && (kind < 0 || kind == HANDLER_BODY_EVENT))
            j->host->settle(call, i, HANDLER_RETRY, -1, "out of memory");
        else if (!e)
            j->host->settle(call, i, HANDLER_REJECT, -1, "the body is no EventBridge event");
    }
    return 0;
}

static int32_t
handle_batch(void *plugin, void *thread, struct handler_call *call, const struct handler_batch *batch)
{
    struct jsonl *j = plugin;
    struct pieces *p = thread;
    p->fd = j->fd;
    p->n = p->error = 0;
    if (choose_lines(j, call, batch, p) != 0)
        return HANDLER_RETRY;

    pthread_mutex_lock(&j->lock);
    int error = lock_file(j);
    if (!error)
        error = append(j, batch->count, p);
    if (j->is_file)
        flock(j->fd, LOCK_UN);
    pthread_mutex_unlock(&j->lock);

    if (error)
        return give_back(j, call, p, batch->count, "cannot write", error);
    if (j->sync && fdatasync(j->fd) != 0 && errno != EINVAL) /* EINVAL: a pipe or a terminal */
        return give_back(j, call, p, batch->count, "cannot sync", errno);
    return HANDLER_DONE;
}

/* A new file is there after a power cut only if its folder was synced. */
static int
sync_folder(const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    int n = slash ? (int)(slash - path) : 0;
    snprintf(folder, sizeof folder, "%.*s%s", n, path, !slash ? "." : n == 0 ? "/" : "");
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int rc = fsync(fd);
    close(fd);
    return rc;
}

static int
open_path(struct jsonl *j, const char *path)
{
    struct stat st;
    j->fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (j->fd < 0 || fstat(j->fd, &st) != 0)
        return -1;
    if (!S_ISREG(st.st_mode))
        return 0;
    j->is_file = 1;
    int readable = open(path, O_RDWR | O_APPEND | O_CLOEXEC);
    if (readable >= 0) {
        close(j->fd);
        j->fd = readable;
        j->is_readable = 1;
    }
    return j->sync ? sync_folder(path) : 0;
}

static int32_t
open_jsonl(const struct handler_host *host, void **plugin)
{
    const char *path = host->option("path");
    const char *what = host->option("write");
    const struct handler_event_extension *events = NULL;
    if (strcmp(what, "detail") == 0) {
        events = host->extension(HANDLER_EVENT_EXTENSION);
        if (!events) {
            host->log(NULL, HANDLER_LOG_ERROR, "write = detail: this fanoutd is older than that");
            return -1;
        }
    } else if (strcmp(what, "body") != 0) {
        handler_logf(host, NULL, HANDLER_LOG_ERROR, "option write is \"%s\"; body and detail are allowed", what);
        return -1;
    }
    struct jsonl *j = calloc(1, sizeof *j);
    if (!j) {
        host->log(NULL, HANDLER_LOG_ERROR, "out of memory");
        return -1;
    }
    j->events = events;
    j->host = host;
    j->sync = strcmp(host->option("fsync"), "true") == 0;
    j->fd = STDOUT_FILENO;
    if (strcmp(path, "-") != 0 && open_path(j, path) != 0) {
        handler_logf(host, NULL, HANDLER_LOG_ERROR, "cannot open %s: %s", path, strerror(errno));
        if (j->fd >= 0)
            close(j->fd);
        free(j);
        return -1;
    }
    pthread_mutex_init(&j->lock, NULL);
    *plugin = j;
    return 0;
}

static void
close_jsonl(void *plugin)
{
    struct jsonl *j = plugin;
    if (j->fd != STDOUT_FILENO)
        close(j->fd);
    pthread_mutex_destroy(&j->lock);
    free(j);
}

static int32_t
open_thread(void *plugin, void **thread)
{
    (void)plugin;
    *thread = calloc(1, sizeof(struct pieces));
    return *thread ? 0 : -1;
}

static void
close_thread(void *plugin, void *thread)
{
    struct pieces *p = thread;
    (void)plugin;
    free(p->lines);
    free(p);
}

static const struct handler_option OPTIONS[] = {
    {"path", "string", "-", "The file to append to, made when it is not there; \"-\" is standard output."},
    {"write", "string", "body",
     "What of a message: body, or detail, which is that of the EventBridge event in it; other bodies are rejected."},
    {"fsync", "bool", "false", "Have the disk confirm each batch before its messages are deleted from the queue."},
    {0},
};

HANDLER_DEFINE(.name = "jsonl", .version = "1",
               .help =
                   "Appends each message's body, or its event's detail, as one line to a file or to standard output.",
               .options = OPTIONS, .handle_batch = handle_batch, .open = open_jsonl, .close = close_jsonl,
               .thread_open = open_thread, .thread_close = close_thread);
