#include "supervisor/admin.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/metrics_text.h"
#include "httpd/httpd.h"
#include "supervisor/scrape.h"

struct admin {
    struct loop_watch watch;
    struct httpd *httpd;
    struct loop *loop;
    const struct fleet *fleet;
    int64_t started_at_ms;
    int64_t resume_ms; /* out of the loop until then, for want of a descriptor; 0: in it */
};

#define PAUSE_MS 200

static void
answer(struct httpd_request *r, int status, const char *type, struct slice body)
{
    const struct httpd_header_out headers[] = {{"Allow", "GET, HEAD"}, {"Cache-Control", "no-store"}};
    bool refused = status == 405;
    const struct httpd_answer a = {.status = status,
                                   .content_type = type,
                                   .headers = refused ? headers : headers + 1,
                                   .n_headers = refused ? 2 : 1,
                                   .body = body};
    httpd_answer(r, &a);
}

static void
answer_text(struct httpd_request *r, int status, const char *text)
{
    answer(r, status, "text/plain; charset=utf-8", slice_of_string(text));
}

/* What its worker says keeps it from working. */
static void
add_trouble(struct buf *text, const struct child *c)
{
    if (c->slots.state == SLOTS_READY && c->health_known && c->health != IPC_HEALTH_OK)
        buf_add_format(text, ", %s: %s", child_health_name(c), c->health_text);
}

static void
answer_ready(const struct fleet *f, struct httpd_request *r)
{
    struct buf text = BUF_INIT;
    bool ready = fleet_is_ready(f);
    buf_add_string(&text, ready ? "ready\n" : f->stopping ? "not ready: stopping\n" : "not ready\n");
    for (const struct fleet_place *p = f->places; p; p = p->next) {
        if (!p->current)
            continue;
        buf_add_format(&text, "%s/%d %s", p->consumer, p->number, slots_state_name(p->current->slots.state));
        add_trouble(&text, p->current);
        buf_add_char(&text, '\n');
    }
    answer(r, ready ? 200 : 503, "text/plain; charset=utf-8", buf_slice(&text));
    buf_clean_up(&text);
}

static void
answer_health(const struct fleet *f, struct httpd_request *r)
{
    struct buf text = BUF_INIT;
    int64_t now_ms = clock_monotonic_ms();
    bool well = fleet_is_well(f, now_ms);
    buf_add_string(&text, well ? "healthy\n" : f->stopping ? "unhealthy: stopping\n" : "unhealthy\n");
    for (const struct fleet_place *p = f->places; p; p = p->next) {
        const struct child *c = p->current;
        if (!c)
            continue;
        buf_add_format(&text, "%s/%d %s", p->consumer, p->number, slots_state_name(c->slots.state));
        if (c->slots.state == SLOTS_READY && !child_is_well(c, now_ms))
            buf_add_format(&text, ", but its engine has not turned for %.1f s",
                           (double)child_beat_age_ms(c, now_ms) / 1000);
        add_trouble(&text, c);
        buf_add_char(&text, '\n');
    }
    answer(r, well ? 200 : 503, "text/plain; charset=utf-8", buf_slice(&text));
    buf_clean_up(&text);
}

static void
answer_metrics(const struct admin *a, struct httpd_request *r)
{
    struct buf text = BUF_INIT;
    scrape_write(a->fleet, a->started_at_ms, &text);
    if (buf_failed(&text))
        answer_text(r, 500, "out of memory\n");
    else
        answer(r, 200, METRICS_TEXT_CONTENT_TYPE, buf_slice(&text));
    buf_clean_up(&text);
}

static void
handle(void *context, struct httpd_request *r)
{
    const struct admin *a = context;
    struct slice path = httpd_path(r), method = httpd_method(r);
    bool live = slice_equals_string(path, "/livez"), ready = slice_equals_string(path, "/readyz");
    bool health = slice_equals_string(path, "/healthz");
    if (!live && !ready && !health && !slice_equals_string(path, "/metrics"))
        answer_text(r, 404, "there are /livez, /readyz, /healthz and /metrics\n");
    else if (!slice_equals_string(method, "GET") && !slice_equals_string(method, "HEAD"))
        answer_text(r, 405, "GET or HEAD\n");
    else if (live)
        answer_text(r, 200, "alive\n");
    else if (ready)
        answer_ready(a->fleet, r);
    else if (health)
        answer_health(a->fleet, r);
    else
        answer_metrics(a, r);
}

static bool
has_descriptors(const struct admin *a)
{
    int fd = fcntl(httpd_fd(a->httpd), F_DUPFD_CLOEXEC, 0);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* A connection that cannot be accepted stays ready: without the pause the loop would spin. */
static void
run(struct loop_watch *w)
{
    struct admin *a = (struct admin *)((char *)w - offsetof(struct admin, watch));
    if (a->resume_ms > 0)
        return;
    httpd_run(a->httpd);
    if (has_descriptors(a))
        return;
    loop_remove(a->loop, httpd_fd(a->httpd));
    a->resume_ms = clock_monotonic_ms() + PAUSE_MS;
}

static void
resume(struct admin *a, int64_t now_ms)
{
    struct err e;
    a->resume_ms = loop_add(a->loop, httpd_fd(a->httpd), &a->watch, &e) == 0 ? 0 : now_ms + PAUSE_MS;
}

int
admin_new(const char *listen, const struct fleet *fleet, int64_t started_at_ms, struct loop *loop,
          struct admin **ret_admin, struct err *e)
{
    struct admin *a = calloc(1, sizeof *a);
    if (!a)
        return err_no_memory(e);
    *a = (struct admin){.watch.ready = run, .loop = loop, .fleet = fleet, .started_at_ms = started_at_ms};
    const struct httpd_options options = {.listen = listen,
                                          .handler = handle,
                                          .context = a,
                                          .external_loop = true,
                                          .max_body_bytes = 4096,
                                          .max_connections = 100,
                                          .idle_timeout_s = 30};
    int rc = httpd_new(&options, &a->httpd, e);
    if (rc == 0)
        rc = loop_add(loop, httpd_fd(a->httpd), &a->watch, e);
    if (rc != 0) {
        httpd_destroy(a->httpd);
        free(a);
        return err_prefix(e, rc, "admin.listen");
    }
    *ret_admin = a;
    return 0;
}

void
admin_destroy(struct admin *a)
{
    if (!a)
        return;
    loop_remove(a->loop, httpd_fd(a->httpd));
    httpd_destroy(a->httpd);
    free(a);
}

const char *
admin_url(const struct admin *a)
{
    return a ? httpd_url(a->httpd) : "";
}

void
admin_tick(struct admin *a)
{
    if (!a)
        return;
    int64_t now_ms = clock_monotonic_ms();
    if (a->resume_ms > 0 && now_ms >= a->resume_ms)
        resume(a, now_ms);
    if (httpd_wait_ms(a->httpd) == 0)
        httpd_run(a->httpd);
}

int64_t
admin_wait_ms(const struct admin *a)
{
    if (!a || a->resume_ms == 0)
        return a ? httpd_wait_ms(a->httpd) : -1;
    int64_t left_ms = a->resume_ms - clock_monotonic_ms();
    return left_ms > 0 ? left_ms : 0;
}
