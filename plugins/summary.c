/* summary: writes a line about each message: what it is, where it comes from, when it happened. For a look at a queue,
 * and as an example of the extensions event and attributes:
 *
 *     event 2026-11-20T06:00:00Z source=shop type=Paid id=7bf7... bytes=48
 *     event 2026-11-20T06:00:00Z source=shop type=Paid id=91c0... bytes=48 replayed_by=july first_id=7bf7...
 *     s3 2026-11-20T06:00:00.123Z name=ObjectCreated:Put bucket=photos key=2026/cat one.jpg bytes=1024
 *     s3-test
 *     other id=MESSAGE_ID bytes=12
 *
 * Where a message came by SNS (and the consumer has unwrap = sns or auto), " topic=ARN" is behind that. With attributes
 * = true each message attribute follows as " @NAME=VALUE", and who sent the message as " sender=ID". */
#include <fanout/handler.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct summary {
    const struct handler_host *host;
    const struct handler_event_extension *event;
    const struct handler_attributes_extension *attributes; /* NULL: not wanted */
    int fd;
};

/* "NAME" and the text, its line ends as spaces; nothing where there is none. */
static void
put(FILE *out, const char *name, struct handler_slice text)
{
    if (!text.p)
        return;
    fputs(name, out);
    for (size_t i = 0; i < text.n; i++)
        fputc(text.p[i] == '\n' || text.p[i] == '\r' ? ' ' : text.p[i], out);
}

static void
put_event(FILE *out, const struct handler_event *e)
{
    put(out, "event ", e->time);
    put(out, " source=", e->source);
    put(out, " type=", e->detail_type);
    put(out, " id=", e->id);
    fprintf(out, " bytes=%zu", e->detail.n);
    put(out, " replayed_by=", e->replay_job);
    put(out, " first_id=", e->original_id);
}

static void
put_record(FILE *out, const struct handler_s3_record *r)
{
    put(out, "s3 ", r->event_time);
    put(out, " name=", r->event_name);
    put(out, " bucket=", r->bucket);
    put(out, " key=", r->key);
    if (r->object_size >= 0)
        fprintf(out, " bytes=%lld", (long long)r->object_size);
}

/* What is behind each line of the message. */
static void
end_line(const struct summary *s, struct handler_call *call, FILE *out)
{
    const struct handler_sns *sns = s->event->sns(call, 0);
    if (sns)
        put(out, " topic=", sns->topic_arn);
    if (s->attributes) {
        uint32_t n;
        const struct handler_attribute *all = s->attributes->message(call, 0, &n);
        const struct handler_system_attributes *system = s->attributes->system(call, 0);
        for (uint32_t i = 0; i < n; i++) {
            put(out, " @", all[i].name);
            put(out, "=", all[i].value);
        }
        if (system)
            put(out, " sender=", system->sender_id);
    }
    fputc('\n', out);
}

/* Returns 0 when nothing could be said. */
static int
put_message(const struct summary *s, struct handler_call *call, const struct handler_message *m, FILE *out)
{
    const struct handler_event *e;
    const struct handler_s3_record *r;
    int32_t kind = s->event->kind(call, 0);
    if (kind < 0)
        return 0;
    switch (kind) {
    case HANDLER_BODY_EVENT:
        if (!(e = s->event->event(call, 0)))
            return 0;
        put_event(out, e);
        end_line(s, call, out);
        return 1;
    case HANDLER_BODY_S3:
        for (uint32_t i = 0; (r = s->event->s3(call, 0, i)); i++) {
            put_record(out, r);
            end_line(s, call, out);
        }
        return s->event->s3(call, 0, 0) != NULL;
    case HANDLER_BODY_S3_TEST:
        fputs("s3-test", out);
        end_line(s, call, out);
        return 1;
    default: /* HANDLER_BODY_OTHER, and what a newer host may know */
        fprintf(out, "other id=%s bytes=%zu", m->id, m->body_len);
        end_line(s, call, out);
        return 1;
    }
}

/* One write, so that lines of different threads stay whole. */
static int
write_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t written = write(fd, p, n);
        if (written < 0 && errno != EINTR)
            return 0;
        p += written > 0 ? written : 0;
        n -= written > 0 ? (size_t)written : 0;
    }
    return 1;
}

static int32_t
handle(void *plugin, void *thread, struct handler_call *call, const struct handler_message *m)
{
    const struct summary *s = plugin;
    char *text = NULL;
    size_t n = 0;
    (void)thread;
    FILE *out = open_memstream(&text, &n);
    int good = out && put_message(s, call, m, out);
    good = out && fclose(out) == 0 && good && write_all(s->fd, text, n);
    free(text);
    return good ? HANDLER_DONE : HANDLER_RETRY;
}

static int32_t
open_summary(const struct handler_host *host, void **plugin)
{
    const char *path = host->option("path");
    int attributes = strcmp(host->option("attributes"), "true") == 0;
    struct summary *s = calloc(1, sizeof *s);
    if (!s)
        return -1;
    s->host = host;
    s->event = host->extension(HANDLER_EVENT_EXTENSION);
    if (attributes) /* looked up here it makes receives ask for what SQS knows of a message */
        s->attributes = host->extension(HANDLER_ATTRIBUTES_EXTENSION);
    s->fd = strcmp(path, "-") == 0 ? STDOUT_FILENO : open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (s->fd >= 0 && s->event && (s->attributes || !attributes)) {
        *plugin = s;
        return 0;
    }
    if (s->fd < 0)
        handler_logf(host, NULL, HANDLER_LOG_ERROR, "cannot open %s: %s", path, strerror(errno));
    else
        host->log(NULL, HANDLER_LOG_ERROR, "this fanoutd is older than the extensions event and attributes");
    if (s->fd > STDERR_FILENO)
        close(s->fd);
    free(s);
    return -1;
}

static void
close_summary(void *plugin)
{
    struct summary *s = plugin;
    if (s->fd != STDOUT_FILENO)
        close(s->fd);
    free(s);
}

static const struct handler_option OPTIONS[] = {
    {"path", "string", "-", "The file to append to, made when it is not there; \"-\" is standard output."},
    {"attributes", "bool", "false", "Whether message attributes and the sender follow."},
    {0},
};

HANDLER_DEFINE(.name = "summary", .version = "1",
               .help = "Writes a line about each message: the EventBridge event or S3 notification it is.",
               .options = OPTIONS, .handle = handle, .open = open_summary, .close = close_summary);
