/* ordered: a handler that says in which order it got what, a whole batch at a time; ordered_each is the same, a message
 * at a time. One group may be inside one call at a time, which it checks.
 *
 * A body is "GROUP PLACE FAILURES WORD": it fails so often, then the word is its verdict, done or reject. Into the file
 * that option `record` names goes a line for each message, "GROUP PLACE begins" and then "GROUP PLACE VERDICT" (done,
 * reject, retry, or "void", a verdict that does not count: one before it, of its group and call, is retried), or
 * "GROUP PLACE overlaps". */
#include <fanout/handler.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GROUPS    100
#define IN_GROUP  1000
#define BATCH_MAX 100

struct body {
    unsigned group, place, failures;
    char word[10];
};

static int record_fd = -1;
static unsigned char failed[GROUPS][IN_GROUP]; /* so often; written by who holds the group */
static int held[GROUPS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of held */

static void
note(const struct body *b, const char *what)
{
    char line[100];
    int n = snprintf(line, sizeof line, "%u %u %s\n", b->group, b->place, what);
    if (write(record_fd, line, (size_t)n) != n)
        abort();
}

static void
hold(const struct body *b, int add)
{
    pthread_mutex_lock(&lock);
    held[b->group] += add;
    int by = held[b->group];
    pthread_mutex_unlock(&lock);
    if (by > 1)
        note(b, "overlaps");
}

static int
read_body(const struct handler_message *m, struct body *ret)
{
    return sscanf(m->body, "%u %u %u %9s", &ret->group, &ret->place, &ret->failures, ret->word) == 4 &&
           ret->group < GROUPS && ret->place < IN_GROUP;
}

static int32_t
decide(const struct body *b, int counts)
{
    note(b, "begins");
    if (failed[b->group][b->place] < b->failures) {
        failed[b->group][b->place]++;
        note(b, "retry");
        return HANDLER_RETRY;
    }
    note(b, counts ? b->word : "void");
    return b->word[0] == 'd' ? HANDLER_DONE : HANDLER_REJECT;
}

#ifdef ORDERED_EACH
static int32_t
handle(void *plugin, void *thread, struct handler_call *call, const struct handler_message *m)
{
    struct body b;
    (void)plugin;
    (void)thread;
    (void)call;
    if (!read_body(m, &b))
        return HANDLER_REJECT;
    hold(&b, 1);
    int32_t verdict = decide(&b, 1);
    hold(&b, -1);
    return verdict;
}
#else
static const struct handler_host *host;

static int32_t
handle_batch(void *plugin, void *thread, struct handler_call *call, const struct handler_batch *batch)
{
    struct body b[BATCH_MAX];
    unsigned char here[GROUPS] = {0}, broken[GROUPS] = {0};
    uint32_t count = batch->count < BATCH_MAX ? batch->count : BATCH_MAX;
    (void)plugin;
    (void)thread;
    for (uint32_t i = 0; i < count; i++) {
        if (!read_body(batch->messages[i], &b[i]))
            return HANDLER_REJECT;
        if (!here[b[i].group]++)
            hold(&b[i], 1);
    }
    for (uint32_t i = 0; i < count; i++) {
        int32_t verdict = decide(&b[i], !broken[b[i].group]);
        broken[b[i].group] |= verdict == HANDLER_RETRY;
        if (b[i].place % 2)
            host->settle(call, i, verdict, -1, NULL);
        else if (verdict != HANDLER_DONE)
            host->settle(call, i, verdict, 100, NULL);
    }
    for (uint32_t i = 0; i < count; i++)
        if (!--here[b[i].group])
            hold(&b[i], -1);
    return HANDLER_DONE;
}
#endif

static int32_t
open_ordered(const struct handler_host *h, void **plugin)
{
    *plugin = NULL;
#ifndef ORDERED_EACH
    host = h;
#endif
    record_fd = open(h->option("record"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    return record_fd < 0;
}

static void
close_ordered(void *plugin)
{
    (void)plugin;
    close(record_fd);
}

static const struct handler_option OPTIONS[] = {
    {"record", "string", NULL, "The file that says what was done."}, {"gate", "string", "", "Not used."}, {0}};

#ifdef ORDERED_EACH
HANDLER_DEFINE(.name = "ordered-each", .version = "1", .help = "says in which order", .options = OPTIONS,
               .handle = handle, .open = open_ordered, .close = close_ordered);
#else
HANDLER_DEFINE(.name = "ordered", .version = "1", .help = "says in which order", .options = OPTIONS,
               .handle_batch = handle_batch, .open = open_ordered, .close = close_ordered);
#endif
