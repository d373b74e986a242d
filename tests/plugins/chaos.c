/* chaos: does with each message what the message says, and writes down that it did (lib/chaos_record.h).
 *
 * A body has "n":NUMBER, "do":"WORD" and "times":COUNT in its detail: done; retry, reject or violate so often, then
 * done; down (what it depends on) so often, then done; fail, for ever; slow: done after slow_ms of the run's clock. A
 * violation of the contract is to settle what is not there, to settle again, or to forget. How a batch is settled (from
 * its end, while it runs, by what is returned) follows from its first message. */
#include <fanout/handler.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../lib/chaos_record.h"

#define BATCH_MAX 100

struct chaos {
    const struct handler_host *host;
    struct chaos_record *record;
    size_t record_bytes;
    int64_t slow_ms;
    int in_order;
};

/* One message of a call. */
struct task {
    const struct handler_message *message;
    struct chaos_entry *entry;  /* NULL: no room for it */
    unsigned n, times, handled; /* handled: so often before */
    char what[12];
    int32_t verdict;
};

static void
read_task(struct chaos *c, const struct handler_message *m, struct task *t)
{
    const char *n = strstr(m->body, "\"n\":"), *what = strstr(m->body, "\"do\":\""),
               *times = strstr(m->body, "\"times\":");
    *t = (struct task){.message = m};
    if (!n || !what || !times || strtoul(n + 4, NULL, 10) >= c->record->messages)
        return;
    t->n = (unsigned)strtoul(n + 4, NULL, 10);
    t->times = (unsigned)strtoul(times + 8, NULL, 10);
    snprintf(t->what, sizeof t->what, "%.*s", (int)strcspn(what + 6, "\""), what + 6);
    t->handled = atomic_fetch_add(&chaos_record_times(c->record)[t->n], 1);
    uint32_t at = atomic_fetch_add(&c->record->next, 1);
    if (at >= c->record->capacity)
        return;
    t->entry = &chaos_record_entries(c->record)[at];
    t->entry->pid = (int32_t)getpid();
    t->entry->receives = m->receive_count;
    t->entry->began_ns = chaos_record_now_ns();
    t->entry->message = t->n;
}

/* Before the worker hears of it. */
static void
end(struct task *t, int32_t verdict)
{
    t->verdict = verdict;
    if (t->entry) {
        atomic_store(&t->entry->verdict, verdict);
        atomic_store(&t->entry->ended_ns, chaos_record_now_ns());
    }
}

static int
is(const struct task *t, const char *what)
{
    return strcmp(t->what, what) == 0;
}

/* 0: asked to stop. */
static int
wait_slowly(struct chaos *c, struct handler_call *call)
{
    int64_t until_ms = atomic_load(&c->record->clock_ms) + c->slow_ms;
    while (atomic_load(&c->record->clock_ms) < until_ms) {
        if (c->host->stopping(call))
            return 0;
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
    return 1;
}

static void
violate(struct chaos *c, struct handler_call *call, uint32_t count, uint32_t index)
{
    c->host->settle(call, count, HANDLER_DONE, -1, "there is none");
    c->host->settle(call, index, 1000, -1, "no such verdict");
}

/* Settles the message at index, or leaves it (returns 0) to the call's return value, which is done. */
static int
settle(struct chaos *c, struct handler_call *call, uint32_t index, struct task *t, int leave)
{
    char reason[60];
    if (is(t, "slow") && !wait_slowly(c, call)) {
        end(t, HANDLER_RETRY);
        c->host->settle(call, index, HANDLER_RETRY, 0, "asked to stop");
    } else if (is(t, "fail") || (is(t, "retry") && t->handled < t->times)) {
        snprintf(reason, sizeof reason, "failure %u of message %u", t->handled + 1, t->n);
        end(t, HANDLER_RETRY);
        c->host->settle(call, index, HANDLER_RETRY, t->n % 3 == 0 ? 1500 : -1, reason);
    } else if (is(t, "down") && t->handled < t->times) {
        end(t, HANDLER_DOWN);
        c->host->settle(call, index, HANDLER_DOWN, -1, "what I depend on is down");
    } else if (is(t, "reject")) {
        snprintf(reason, sizeof reason, "message %u is rejected", t->n);
        end(t, HANDLER_REJECT);
        c->host->settle(call, index, HANDLER_REJECT, -1, reason);
    } else if (!leave) {
        end(t, HANDLER_DONE);
        c->host->settle(call, index, HANDLER_DONE, -1, NULL);
        if (t->n % 50 == 0) /* the first word stands */
            c->host->settle(call, index, HANDLER_REJECT, -1, "settled twice");
    } else {
        end(t, HANDLER_DONE);
        return 0;
    }
    return 1;
}

static int
is_forgotten(const struct task *t)
{
    return is(t, "violate") && t->handled < t->times;
}

static int
has_behind(const struct handler_batch *batch, uint32_t index)
{
    for (uint32_t i = index + 1; i < batch->count; i++)
        if (strcmp(batch->messages[i]->group, batch->messages[index]->group) == 0)
            return 1;
    return 0;
}

/* Each in its turn; behind one that is to come again none of its group. Nothing is left to what is returned, because
 * that would count for those, too. */
static int32_t
handle_in_order(struct chaos *c, struct handler_call *call, const struct handler_batch *batch)
{
    const char *stopped[BATCH_MAX];
    uint32_t count = batch->count < BATCH_MAX ? batch->count : BATCH_MAX, n_stopped = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct handler_message *m = batch->messages[i];
        struct task t;
        uint32_t k = 0;
        while (k < n_stopped && strcmp(stopped[k], m->group) != 0)
            k++;
        if (k < n_stopped)
            continue;
        read_task(c, m, &t);
        if (!is_forgotten(&t)) {
            settle(c, call, i, &t, 0);
        } else {
            end(&t, CHAOS_VIOLATION);
            violate(c, call, batch->count, i);
            if (has_behind(batch, i)) /* they would be forgotten with it */
                c->host->settle(call, i, HANDLER_RETRY, -1, "the contract is broken");
        }
        if (t.verdict != HANDLER_DONE && t.verdict != HANDLER_REJECT)
            stopped[n_stopped++] = m->group;
    }
    return HANDLER_UNSET;
}

static int32_t
handle_as_it_comes(struct chaos *c, struct handler_call *call, const struct handler_batch *batch)
{
    struct task tasks[BATCH_MAX];
    uint32_t count = batch->count < BATCH_MAX ? batch->count : BATCH_MAX, left = 0, forgotten = 0;
    if (count == 0)
        return HANDLER_UNSET;
    for (uint32_t i = 0; i < count; i++) {
        read_task(c, batch->messages[i], &tasks[i]);
        if (is_forgotten(&tasks[i])) {
            end(&tasks[i], CHAOS_VIOLATION);
            forgotten++;
        }
    }
    int backwards = tasks[0].n % 2, leave = forgotten == 0 && tasks[0].n % 3 == 0;
    if (forgotten > 0)
        violate(c, call, batch->count, 0);
    for (uint32_t k = 0; k < count; k++) {
        uint32_t i = backwards ? count - 1 - k : k;
        if (!is_forgotten(&tasks[i]))
            left += !settle(c, call, i, &tasks[i], leave);
    }
    return forgotten > 0 ? tasks[0].n % 2 ? HANDLER_UNSET : 77 : left > 0 ? HANDLER_DONE : HANDLER_UNSET;
}

static int32_t
handle_batch(void *plugin, void *thread, struct handler_call *call, const struct handler_batch *batch)
{
    struct chaos *c = plugin;
    (void)thread;
    return c->in_order ? handle_in_order(c, call, batch) : handle_as_it_comes(c, call, batch);
}

static int32_t
open_chaos(const struct handler_host *host, void **plugin)
{
    struct chaos *c = calloc(1, sizeof *c);
    int fd = open(host->option("record"), O_RDWR | O_CLOEXEC);
    struct stat st;
    if (!c || fd < 0 || fstat(fd, &st) != 0)
        goto fail;
    c->host = host;
    c->slow_ms = strtoll(host->option("slow_ms"), NULL, 10);
    c->in_order = strcmp(host->option("in_order"), "true") == 0;
    c->record_bytes = (size_t)st.st_size;
    c->record = mmap(NULL, c->record_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    fd = -1;
    if (c->record == MAP_FAILED || c->record->magic != CHAOS_RECORD_MAGIC)
        goto fail;
    *plugin = c;
    return 0;
fail:
    host->log(NULL, HANDLER_LOG_ERROR, "cannot map option record");
    if (fd >= 0)
        close(fd);
    free(c);
    return -1;
}

static void
close_chaos(void *plugin)
{
    struct chaos *c = plugin;
    munmap(c->record, c->record_bytes);
    free(c);
}

static const struct handler_option OPTIONS[] = {
    {"record", "string", NULL, "The file that both map."},
    {"slow_ms", "int", "20000", "How long a slow message takes, by the run's clock."},
    {"in_order", "bool", "false", "Handle one after the other, and none of a group behind one that is to come again."},
    {0},
};

HANDLER_DEFINE(.name = "chaos", .version = "1", .help = "does what each message says", .options = OPTIONS,
               .handle_batch = handle_batch, .open = open_chaos, .close = close_chaos);
