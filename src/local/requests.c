#include "local/requests.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/utf8.h"
#include "local/auth_query.h"

struct entry {
    char service[16], operation[48], resource[160], error[64], key[65], id[40];
    int64_t at_ms, duration_us;
    int status;
    size_t bytes_in, bytes_out;
};

struct local_requests {
    pthread_mutex_t lock;
    uint64_t last;  /* the number of the newest; the first is 1 */
    uint64_t first; /* of the oldest that is kept */
    struct entry ring[LOCAL_REQUESTS_MAX];
};

int
local_requests_new(struct local_requests **ret_requests, struct err *e)
{
    struct local_requests *q = calloc(1, sizeof *q);
    if (!q)
        return err_no_memory(e);
    pthread_mutex_init(&q->lock, NULL);
    q->first = 1;
    *ret_requests = q;
    return 0;
}

void
local_requests_destroy(struct local_requests *q)
{
    if (!q)
        return;
    pthread_mutex_destroy(&q->lock);
    free(q);
}

static bool
is_ascii(struct slice text)
{
    unsigned char all = 0;
    for (size_t i = 0; i < text.n; i++)
        all |= (unsigned char)text.p[i];
    return all < 0x80;
}

/* Cut at a character's end. What is no UTF-8 shows as '?'. */
static void
keep(char *out, size_t size, struct slice text)
{
    size_t at = 0, n;
    if (text.n < size && is_ascii(text)) {
        if (text.n > 0)
            memcpy(out, text.p, text.n);
        out[text.n] = '\0';
        return;
    }
    for (const char *p = text.p, *end = text.p + text.n; p < end; p += n ? n : 1) {
        n = utf8_length(p, end);
        if (at + (n ? n : 1) >= size)
            break;
        if (n)
            memcpy(out + at, p, n);
        else
            out[at] = '?';
        at += n ? n : 1;
    }
    out[at] = '\0';
}

void
local_requests_note(struct local_requests *q, const struct local_request *r)
{
    pthread_mutex_lock(&q->lock);
    uint64_t number = ++q->last;
    struct entry *at = &q->ring[number % LOCAL_REQUESTS_MAX];
    if (q->last - q->first >= LOCAL_REQUESTS_MAX)
        q->first++;
    keep(at->service, sizeof at->service, slice_of_string(r->service));
    keep(at->operation, sizeof at->operation, r->operation);
    keep(at->resource, sizeof at->resource, r->resource);
    keep(at->error, sizeof at->error, slice_of_string(r->error));
    keep(at->key, sizeof at->key, slice_of_string(r->key));
    keep(at->id, sizeof at->id, slice_of_string(r->id));
    at->at_ms = r->at_ms;
    at->duration_us = r->duration_us;
    at->status = r->status;
    at->bytes_in = r->bytes_in;
    at->bytes_out = r->bytes_out;
    pthread_mutex_unlock(&q->lock);
}

void
local_requests_clear(struct local_requests *q)
{
    pthread_mutex_lock(&q->lock);
    q->first = q->last + 1;
    pthread_mutex_unlock(&q->lock);
}

/* ---- asking ------------------------------------------------------------------------------------------------------ */

enum { SERVICE, OPERATION, RESOURCE, ERROR, KEY, N_TEXTS };

struct filter {
    struct buf texts[N_TEXTS];
    bool given[N_TEXTS];
    int status_from, status_to;
    uint64_t after, limit;
};

static int
read_number(const char *name, struct slice text, uint64_t most, uint64_t *ret, struct err *e)
{
    uint64_t v = 0;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9' || text.n > 18)
            return err_set(e, ERR_INVALID, "%s is a number, not \"%.*s\"", name, (int)(text.n < 40 ? text.n : 40),
                           text.p);
        v = v * 10 + (uint64_t)(text.p[i] - '0');
    }
    if (text.n == 0 || v > most)
        return err_set(e, ERR_INVALID, "%s is a number from 0 to %llu", name, (unsigned long long)most);
    *ret = v;
    return 0;
}

static int
read_status(struct slice text, struct filter *f, struct err *e)
{
    uint64_t status = 0;
    if (text.n == 3 && text.p[0] >= '1' && text.p[0] <= '5' && text.p[1] == 'x' && text.p[2] == 'x') {
        f->status_from = (text.p[0] - '0') * 100;
        f->status_to = f->status_from + 99;
        return 0;
    }
    if (read_number("status", text, 599, &status, NULL) != 0)
        return err_set(e, ERR_INVALID, "status is a number like 200, or 4xx");
    f->status_from = f->status_to = (int)status;
    return 0;
}

static int
read_parameter(struct slice name, struct slice value, struct filter *f, struct err *e)
{
    static const char *const NAMES[N_TEXTS] = {"service", "operation", "resource", "error", "key"};
    for (size_t i = 0; i < N_TEXTS; i++)
        if (slice_equals_string(name, NAMES[i])) {
            f->given[i] = true;
            local_auth_query_decode(value, &f->texts[i]);
            return buf_failed(&f->texts[i]) ? err_no_memory(e) : 0;
        }
    if (slice_equals_string(name, "status"))
        return read_status(value, f, e);
    if (slice_equals_string(name, "after"))
        return read_number("after", value, INT64_MAX, &f->after, e);
    if (slice_equals_string(name, "limit"))
        return read_number("limit", value, LOCAL_REQUESTS_MAX, &f->limit, e);
    return err_set(e, ERR_INVALID,
                   "there is no parameter \"%.*s\": there are service, operation, resource, error, key, status, after "
                   "and limit",
                   (int)(name.n < 40 ? name.n : 40), name.p);
}

static int
read_filter(struct slice query, struct filter *f, struct err *e)
{
    int code = 0;
    for (const char *p = query.p, *end = query.p + query.n; p < end && code == 0;) {
        const char *next = memchr(p, '&', (size_t)(end - p));
        size_t n = next ? (size_t)(next - p) : (size_t)(end - p);
        const char *equals = n > 0 ? memchr(p, '=', n) : NULL;
        size_t name_n = equals ? (size_t)(equals - p) : n;
        if (n > 0)
            code = read_parameter(slice_of(p, name_n),
                                  slice_of(p + name_n + (equals != NULL), n - name_n - (equals != NULL)), f, e);
        p += n + 1;
    }
    return code;
}

static bool
fits(const struct filter *f, const struct entry *r)
{
    const char *const texts[N_TEXTS] = {r->service, r->operation, r->resource, r->error, r->key};
    for (size_t i = 0; i < N_TEXTS; i++)
        if (f->given[i] && !slice_equals_string(buf_slice(&f->texts[i]), texts[i]))
            return false;
    return r->status >= f->status_from && r->status <= f->status_to;
}

static void
add_text(struct buf *out, const char *name, const char *text)
{
    buf_add_format(out, ",\"%s\":", name);
    json_write_string(out, slice_of_string(text));
}

static void
describe(const struct entry *r, uint64_t number, struct buf *out)
{
    char time[CLOCK_ISO8601_BYTES];
    clock_format_ms(r->at_ms, time);
    buf_add_format(out, "{\"number\":%llu,\"time\":\"%s\"", (unsigned long long)number, time);
    add_text(out, "id", r->id);
    add_text(out, "service", r->service);
    add_text(out, "operation", r->operation);
    add_text(out, "resource", r->resource);
    buf_add_format(out, ",\"status\":%d", r->status);
    add_text(out, "error", r->error);
    add_text(out, "key", r->key);
    buf_add_format(out, ",\"duration_us\":%lld,\"bytes_in\":%zu,\"bytes_out\":%zu}", (long long)r->duration_us,
                   r->bytes_in, r->bytes_out);
}

/* The oldest that is to be shown; the lock is held. */
static uint64_t
beginning(const struct local_requests *q, const struct filter *f)
{
    uint64_t from = f->after + 1 > q->first ? f->after + 1 : q->first, found = 0;
    for (uint64_t number = q->last; number >= from; number--) {
        if (fits(f, &q->ring[number % LOCAL_REQUESTS_MAX]))
            found++;
        if (found > f->limit)
            return number + 1;
    }
    return from;
}

int
local_requests_describe(struct local_requests *q, struct slice query, struct buf *out, struct err *e)
{
    struct filter f = {.status_to = 599, .limit = LOCAL_REQUESTS_MAX};
    int code = read_filter(query, &f, e);
    if (!code) {
        bool first = true;
        pthread_mutex_lock(&q->lock);
        buf_add_format(out, "{\"last\":%llu,\"forgotten\":%llu,\"requests\":[", (unsigned long long)q->last,
                       (unsigned long long)(q->first - 1));
        for (uint64_t number = beginning(q, &f); number <= q->last; number++) {
            const struct entry *r = &q->ring[number % LOCAL_REQUESTS_MAX];
            if (!fits(&f, r))
                continue;
            buf_add_string(out, first ? "" : ",");
            describe(r, number, out);
            first = false;
        }
        pthread_mutex_unlock(&q->lock);
        buf_add_string(out, "]}\n");
    }
    for (size_t i = 0; i < N_TEXTS; i++)
        buf_clean_up(&f.texts[i]);
    return code;
}
