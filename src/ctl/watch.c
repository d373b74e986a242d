#include "ctl/watch.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aws/s3.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "ctl/archive.h"
#include "http/http.h"

#define INTERVAL_MS 250

struct watch {
    struct tally *tally;
    struct http_engine *engine;
    struct creds_provider *credentials;
    struct aws_client *s3, *events;
    char bucket[80];
    char metrics_url[260];
    struct watch_metrics latest;
    struct archive archive;
    size_t listings; /* of everything that were through */
    bool listing, scraping;
    struct timer timer;
    const char *record;
    int record_fd;
    struct buf unread; /* of the record: the beginning of a line */
};

/* ---- the bucket -------------------------------------------------------------------------------------------------- */

static void ask_for_page(struct watch *w, const char *start_after, const char *token);

/* raw-events/2026-11-20T06:00:00Z-f47ac10b-58cc-4372-a567-0e02b2c3d479.json */
static struct slice
id_in_key(struct slice key)
{
    const size_t tail = strlen(".json"), id = 36;
    if (key.n < strlen(ARCHIVE_PREFIX) + id + tail)
        return slice_of(NULL, 0);
    return slice_of(key.p + key.n - tail - id, id);
}

static void
list_done(void *context, const struct s3_listing *l)
{
    struct watch *w = context;
    w->listing = false;
    if (l->error)
        return;
    for (size_t i = 0; i < l->n_entries; i++)
        (void)tally_note(w->tally, TALLY_CAPTURED, id_in_key(l->entries[i].key));
    char token[2048];
    if (!l->truncated) {
        w->listings += w->archive.whole;
        archive_done(&w->archive, clock_monotonic_ms());
        return;
    }
    if (l->next_token.n >= sizeof token)
        return;
    memcpy(token, l->next_token.p, l->next_token.n);
    token[l->next_token.n] = '\0';
    ask_for_page(w, NULL, token);
}

static void
ask_for_page(struct watch *w, const char *start_after, const char *token)
{
    struct s3_list_options options = {
        .bucket = w->bucket, .prefix = ARCHIVE_PREFIX, .start_after = start_after, .continuation_token = token};
    w->listing = s3_list(w->s3, &options, list_done, w, NULL, NULL) == 0;
}

static void
start_listing(struct watch *w)
{
    char start_after[ARCHIVE_START_BYTES];
    archive_begin(&w->archive, clock_wall_ms(), clock_monotonic_ms(), start_after);
    ask_for_page(w, start_after[0] ? start_after : NULL, NULL);
}

/* ---- the metrics ------------------------------------------------------------------------------------------------- */

/* The sum of all samples of a metric in Prometheus's text format. */
static int64_t
sum_of(const char *text, const char *name)
{
    int64_t sum = 0;
    size_t n = strlen(name);
    for (const char *line = text; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
        if (strncmp(line, name, n) != 0 || (line[n] != '{' && line[n] != ' '))
            continue;
        size_t length = strcspn(line, "\n");
        const char *space = memrchr(line, ' ', length);
        if (space)
            sum += strtoll(space + 1, NULL, 10);
    }
    return sum;
}

static void
scrape_done(void *context, const struct http_response *r)
{
    struct watch *w = context;
    w->scraping = false;
    if (r->status != 200)
        return;
    struct buf text = BUF_INIT;
    buf_add_slice(&text, r->body);
    if (!buf_failed(&text) && text.len > 0) {
        w->latest.received = (uint64_t)sum_of(text.data, "fanout_received_total");
        w->latest.retried = (uint64_t)sum_of(text.data, "fanout_retried_total");
        w->latest.deleted = (uint64_t)sum_of(text.data, "fanout_deleted_total");
        w->latest.in_flight = sum_of(text.data, "fanout_in_flight");
    }
    buf_clean_up(&text);
}

static void
start_scraping(struct watch *w)
{
    struct http_request request = {.method = "GET", .url = w->metrics_url, .timeout_ms = 2000, .context = w};
    w->scraping = http_submit(w->engine, &request, scrape_done, NULL, NULL) == 0;
}

/* ---- the record -------------------------------------------------------------------------------------------------- */

/* "MESSAGE_ID VERDICT RECEIVE_COUNT BODY" */
static void
read_line(struct watch *w, struct slice line)
{
    char verdict[16] = "";
    int body_at = 0;
    struct json envelope, id;
    if (sscanf(line.p, "%*127s %15s %*u %n", verdict, &body_at) != 1 || body_at == 0 || strcmp(verdict, "DONE") != 0)
        return;
    if (json_parse(slice_of(line.p + body_at, line.n - (size_t)body_at), &envelope, NULL) == 0 &&
        json_get(envelope, "id", &id) && id.type == JSON_STRING)
        (void)tally_note(w->tally, TALLY_HANDLED, json_raw(id));
}

void
watch_read_record(struct watch *w)
{
    char piece[65536];
    ssize_t n;
    if (w->record_fd < 0)
        w->record_fd = open(w->record, O_RDONLY | O_CLOEXEC);
    while (w->record_fd >= 0 && (n = read(w->record_fd, piece, sizeof piece)) > 0)
        buf_add(&w->unread, piece, (size_t)n);
    if (buf_failed(&w->unread) || w->unread.len == 0)
        return;
    size_t at = 0;
    for (char *end; (end = memchr(w->unread.data + at, '\n', w->unread.len - at));
         at = (size_t)(end - w->unread.data) + 1) {
        *end = '\0';
        read_line(w, slice_of(w->unread.data + at, (size_t)(end - w->unread.data) - at));
    }
    buf_consume(&w->unread, at);
}

/* ---- the loop ---------------------------------------------------------------------------------------------------- */

static void
look_again(struct timer *t, int64_t now_ms)
{
    struct watch *w = (struct watch *)((char *)t - offsetof(struct watch, timer));
    watch_read_record(w);
    if (w->s3 && !w->listing)
        start_listing(w);
    if (w->metrics_url[0] && !w->scraping)
        start_scraping(w);
    (void)timers_set(http_engine_timers(w->engine), t, now_ms + INTERVAL_MS);
}

int
watch_new(struct tally *tally, const char *record, struct watch **ret_watch, struct err *e)
{
    struct http_engine_options options = {0};
    struct watch *w = calloc(1, sizeof *w);
    if (!w)
        return err_no_memory(e);
    w->tally = tally;
    w->record = record;
    w->record_fd = -1;
    w->timer.fire = look_again;
    int rc = http_engine_new(&options, &w->engine, e);
    if (rc == 0)
        rc = timers_set(http_engine_timers(w->engine), &w->timer, clock_monotonic_ms());
    if (rc != 0) {
        watch_destroy(w);
        return rc;
    }
    *ret_watch = w;
    return 0;
}

void
watch_destroy(struct watch *w)
{
    if (!w)
        return;
    aws_client_destroy(w->s3);
    aws_client_destroy(w->events);
    creds_provider_destroy(w->credentials);
    http_engine_destroy(w->engine);
    if (w->record_fd >= 0)
        close(w->record_fd);
    buf_clean_up(&w->unread);
    free(w);
}

int
watch_connect(struct watch *w, const char *url, const char *access_key, const char *secret_key, const char *bucket,
              struct err *e)
{
    int rc = creds_static_new(access_key, secret_key, NULL, &w->credentials, e);
    struct aws_client_options options = {
        .engine = w->engine,
        .credentials = w->credentials,
        .region = "us-east-1",
        .endpoint_url = url,
    };
    snprintf(w->bucket, sizeof w->bucket, "%s", bucket);
    options.service = AWS_EVENTBRIDGE;
    if (rc == 0)
        rc = aws_client_new(&options, &w->events, e);
    options.service = AWS_S3;
    if (rc == 0)
        rc = aws_client_new(&options, &w->s3, e);
    return rc;
}

int
watch_metrics_at(struct watch *w, const char *url, struct err *e)
{
    int n = snprintf(w->metrics_url, sizeof w->metrics_url, "%s/metrics", url);
    return n < (int)sizeof w->metrics_url ? 0 : err_set(e, ERR_LIMIT, "the URL %s is too long", url);
}

struct aws_client *
watch_events_client(struct watch *w)
{
    return w->events;
}

struct timers *
watch_timers(struct watch *w)
{
    return http_engine_timers(w->engine);
}

int
watch_run(struct watch *w, int64_t wait_ms, struct err *e)
{
    return http_engine_run(w->engine, wait_ms, e);
}

int
watch_last_look(struct watch *w, int64_t within_ms, struct err *e)
{
    int64_t deadline_ms = clock_monotonic_ms() + within_ms;
    size_t enough = w->listings + (w->listing && w->archive.whole ? 2 : 1);
    watch_read_record(w);
    while (w->s3 && w->listings < enough && clock_monotonic_ms() < deadline_ms) {
        archive_expect_anywhere(&w->archive);
        int rc = watch_run(w, 20, e);
        if (rc != 0)
            return rc;
    }
    return 0;
}

const struct watch_metrics *
watch_latest(const struct watch *w)
{
    return &w->latest;
}
