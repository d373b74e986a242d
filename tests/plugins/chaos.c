/* chaos: does with each message what the message says, and writes down that it did (lib/chaos_record.h).
 *
 * A body has "n":NUMBER, "do":"WORD" and "times":COUNT in its detail: done; retry, reject or violate so often, then
 * done; down (what it depends on) so often, then done; fail, for ever; slow: done after slow_ms of the run's clock;
 * dawdle: after dawdle_ms the first time. A violation of the contract is to settle what is not there, to settle again,
 * or to forget. How a batch is settled (from its end, while it runs, by what is returned) follows from its first
 * message.
 *
 * A message with "pieces":COUNT has so many published, whatever its verdict: {"n":NUMBER,"piece":0} and so on, where
 * option publish says. */
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
    const struct handler_publish_extension *publish; /* NULL: nothing is published */
    int to_bus;
    int64_t slow_ms, dawdle_ms;
    int in_order, skip;
};

/* One message of a call. */
struct task {
    const struct handler_message *message;
    struct chaos_record *record;
    struct chaos_entry *entry;          /* NULL: no room for it */
    unsigned n, times, pieces, handled; /* handled: so often before */
    char what[12];
    int32_t verdict;
};

static void
read_task(struct chaos *c, const struct handler_message *m, struct task *t)
{
    const char *n = strstr(m->body, "\"n\":"), *what = strstr(m->body, "\"do\":\""),
               *times = strstr(m->body, "\"times\":"), *pieces = strstr(m->body, "\"pieces\":");
    *t = (struct task){.message = m, .record = c->record};
    if (!n || !what || !times || strtoul(n + 4, NULL, 10) >= c->record->messages)
        return;
    t->n = (unsigned)strtoul(n + 4, NULL, 10);
    t->times = (unsigned)strtoul(times + 8, NULL, 10);
    t->pieces = pieces ? (unsigned)strtoul(pieces + 9, NULL, 10) : 0;
    snprintf(t->what, sizeof t->what, "%.*s", (int)strcspn(what + 6, "\""), what + 6);
    t->handled = atomic_fetch_add(&chaos_record_times(c->record)[t->n], 1);
    uint32_t at = atomic_fetch_add(&c->record->next, 1);
    if (at >= c->record->capacity)
        return;
    t->entry = &chaos_record_entries(c->record)[at];
    t->entry->pid = (int32_t)getpid();
    t->entry->receives = m->receive_count;
    t->entry->began_clock_ms = atomic_load(&c->record->clock_ms);
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
        atomic_store(&t->entry->ended_clock_ms, atomic_load(&t->record->clock_ms));
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
wait_slowly(struct chaos *c, struct handler_call *call, int64_t slow_ms)
{
    int64_t until_ms = atomic_load(&c->record->clock_ms) + slow_ms;
    while (atomic_load(&c->record->clock_ms) < until_ms) {
        if (c->host->stopping(call))
            return 0;
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
    return 1;
}

/* 0: that was refused. */
static int
publish(struct chaos *c, struct handler_call *call, uint32_t index, const struct task *t)
{
    for (unsigned k = 0; c->publish && k < t->pieces; k++) {
        char text[60];
        struct handler_slice s = {text, (size_t)snprintf(text, sizeof text, "{\"n\":%u,\"piece\":%u}", t->n, k)};
        const struct handler_new_event event = {.size = sizeof event,
                                                .source = HANDLER_TEXT("tests.chaos"),
                                                .detail_type = HANDLER_TEXT("Made"),
                                                .detail = s};
        const struct handler_new_message message = {.size = sizeof message, .body = s};
        if ((c->to_bus ? c->publish->event(call, index, &event) : c->publish->message(call, index, &message)) != 0)
            return 0;
    }
    return 1;
}

static int32_t
settle_done(struct chaos *c, struct handler_call *call, uint32_t index, struct task *t)
{
    end(t, HANDLER_DONE);
    int32_t answer = c->host->settle(call, index, HANDLER_DONE, -1, NULL);
    if (answer == HANDLER_E_LOST)
        end(t, CHAOS_LOST);
    return answer;
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
    int dawdles = is(t, "dawdle");
    int64_t slow_ms = dawdles && t->handled == 0 ? c->dawdle_ms : c->slow_ms;
    if (!publish(c, call, index, t)) {
        end(t, HANDLER_RETRY);
        c->host->settle(call, index, HANDLER_RETRY, -1, "publishing failed");
    } else if ((is(t, "slow") || dawdles) && !wait_slowly(c, call, slow_ms)) {
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
        if (settle_done(c, call, index, t) == 0 && t->n % 50 == 0) /* the first word stands */
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

/* Each in its turn; behind one that is to come again none of its group, unless that is to be skipped. Nothing is left
 * to what is returned, because that would count for those, too. */
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
        if (!c->skip && t.verdict != HANDLER_DONE && t.verdict != HANDLER_REJECT)
            stopped[n_stopped++] = m->group;
    }
    return HANDLER_UNSET;
}

static int32_t
handle_as_it_comes(struct chaos *c, struct handler_call *call, const struct handler_batch *batch)
{
    struct task tasks[BATCH_MAX];
    uint32_t count = batch->count < BATCH_MAX ? batch->count : BATCH_MAX, left = 0, forgotten = 0, dawdling = 0;
    if (count == 0)
        return HANDLER_UNSET;
    for (uint32_t i = 0; i < count; i++) {
        read_task(c, batch->messages[i], &tasks[i]);
        dawdling += (uint32_t)is(&tasks[i], "dawdle");
        if (is_forgotten(&tasks[i])) {
            end(&tasks[i], CHAOS_VIOLATION);
            forgotten++;
        }
    }
    /* What is returned does not tell which leases were over by then. */
    int backwards = tasks[0].n % 2, leave = forgotten + dawdling == 0 && tasks[0].n % 3 == 0;
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
    c->skip = strcmp(host->option("skip"), "true") == 0;
    c->dawdle_ms = strtoll(host->option("dawdle_ms"), NULL, 10);
    c->to_bus = strcmp(host->option("publish"), "bus") == 0;
    if (strcmp(host->option("publish"), "none") != 0 && !(c->publish = host->extension(HANDLER_PUBLISH_EXTENSION)))
        goto fail;
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
    host->log(NULL, HANDLER_LOG_ERROR, "cannot map option record, or cannot publish");
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
    {"dawdle_ms", "int", "20000", "How long one that dawdles takes the first time."},
    {"publish", "string", "none", "Where pieces are published: none, bus or queue."},
    {"in_order", "bool", "false", "Handle one after the other, and none of a group behind one that is to come again."},
    {"skip", "bool", "false", "In order, but go on with a group behind one that failed."},
    {0},
};

HANDLER_DEFINE(.name = "chaos", .version = "1", .help = "does what each message says", .options = OPTIONS,
               .handle_batch = handle_batch, .open = open_chaos, .close = close_chaos);
