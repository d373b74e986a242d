#include "local/figures.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

#define QUARTERS 160 /* of octaves: up to 2^40 us */

struct operation {
    char name[64]; /* "sqs:SendMessage" */
    uint64_t calls, errors;
    int64_t max_us;
    uint64_t took[QUARTERS];
};

struct local_figures {
    pthread_mutex_t lock;
    struct operation operations[LOCAL_FIGURES_MAX];
    size_t n;
};

int
local_figures_new(struct local_figures **ret_figures, struct err *e)
{
    struct local_figures *f = calloc(1, sizeof *f);
    if (!f)
        return err_no_memory(e);
    pthread_mutex_init(&f->lock, NULL);
    *ret_figures = f;
    return 0;
}

void
local_figures_destroy(struct local_figures *f)
{
    if (!f)
        return;
    pthread_mutex_destroy(&f->lock);
    free(f);
}

/* Four places to the octave: 4 to 7 us are 8 to 11. */
static size_t
quarter_of(int64_t us)
{
    uint64_t v = us < 1 ? 1 : (uint64_t)us;
    size_t octave = 63 - (size_t)__builtin_clzll(v);
    size_t at = octave * 4 + (octave >= 2 ? (v >> (octave - 2)) & 3 : (v << (2 - octave)) & 3);
    return at < QUARTERS ? at : QUARTERS - 1;
}

/* The first duration that is beyond that place. */
static int64_t
end_of(size_t quarter)
{
    size_t octave = quarter / 4;
    uint64_t parts = 5 + quarter % 4;
    return (int64_t)(octave >= 2 ? parts << (octave - 2) : (parts + (4 >> octave) - 1) >> (2 - octave));
}

static int64_t
quantile(const struct operation *o, uint64_t percent)
{
    uint64_t wanted = (o->calls * percent + 99) / 100, seen = 0;
    for (size_t i = 0; i < QUARTERS; i++)
        if ((seen += o->took[i]) >= wanted)
            return end_of(i) < o->max_us ? end_of(i) : o->max_us;
    return o->max_us;
}

static bool
is_of(const struct operation *o, const char *service, struct slice operation)
{
    size_t n = strlen(service);
    return strncmp(o->name, service, n) == 0 && o->name[n] == ':' && slice_equals_string(operation, o->name + n + 1);
}

static struct operation *
place_of(struct local_figures *f, const char *service, struct slice operation)
{
    size_t i = 0;
    while (i < f->n && !is_of(&f->operations[i], service, operation))
        i++;
    if (i < f->n)
        return &f->operations[i];
    struct operation *o = &f->operations[i < LOCAL_FIGURES_MAX - 1 ? i : LOCAL_FIGURES_MAX - 1];
    if (i < LOCAL_FIGURES_MAX - 1) {
        snprintf(o->name, sizeof o->name, "%s:%.*s", service, SLICE_ARG(operation));
        f->n++;
    } else if (!o->name[0]) {
        snprintf(o->name, sizeof o->name, "other");
    }
    return o;
}

void
local_figures_note(struct local_figures *f, const char *service, struct slice operation, int status,
                   int64_t duration_us)
{
    operation.n = operation.n < 40 ? operation.n : 40;
    pthread_mutex_lock(&f->lock);
    struct operation *o = place_of(f, service, operation);
    o->calls++;
    o->errors += status == 0 || status >= 400;
    o->max_us = duration_us > o->max_us ? duration_us : o->max_us;
    o->took[quarter_of(duration_us)]++;
    pthread_mutex_unlock(&f->lock);
}

void
local_figures_clear(struct local_figures *f)
{
    pthread_mutex_lock(&f->lock);
    memset(f->operations, 0, sizeof f->operations);
    f->n = 0;
    pthread_mutex_unlock(&f->lock);
}

static void
describe_calls(const struct operation *o, struct buf *out)
{
    buf_add_format(out, "%llu", (unsigned long long)o->calls);
}

static void
describe(const struct operation *o, struct buf *out)
{
    buf_add_format(out, "{\"calls\":%llu,\"errors\":%llu,\"p50_us\":%lld,\"p99_us\":%lld,\"max_us\":%lld}",
                   (unsigned long long)o->calls, (unsigned long long)o->errors, (long long)quantile(o, 50),
                   (long long)quantile(o, 99), (long long)o->max_us);
}

static void
describe_all(struct local_figures *f, struct buf *out, void (*add)(const struct operation *o, struct buf *out))
{
    char before = '{';
    pthread_mutex_lock(&f->lock);
    for (size_t i = 0; i < LOCAL_FIGURES_MAX; i++) {
        if (f->operations[i].calls == 0)
            continue;
        buf_add_char(out, before);
        json_write_string(out, slice_of_string(f->operations[i].name));
        buf_add_char(out, ':');
        add(&f->operations[i], out);
        before = ',';
    }
    pthread_mutex_unlock(&f->lock);
    buf_add_string(out, before == '{' ? "{}" : "}");
}

void
local_figures_describe_calls(struct local_figures *f, struct buf *out)
{
    describe_all(f, out, describe_calls);
}

void
local_figures_describe(struct local_figures *f, struct buf *out)
{
    describe_all(f, out, describe);
}
