/* crash: ends its process, or hangs it, in the ways that handlers do.
 *
 * The body of a message, or of `where` the option `how`, says which:
 *
 *     segv, abort, overflow, exit:N, kill     die of it
 *     memory                                  takes memory until there is none, then writes to none
 *     loop, deadlock                          never comes back: busy, or waiting for a lock of its own
 *     descriptors                             closes every descriptor from 3 on, then comes back
 *     scribble                                writes over every page of the ledger's map, then dies
 *     heap                                    writes over what malloc keeps for itself, then uses malloc
 *     thread                                  leaves a thread behind that goes on after the call
 *
 * Anything else is done. Each message is written to the file `record` first, "BODY PID", so that a test knows which
 * process met it. */
#include <fanout/handler.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *where, *how;
static int record_fd = -1;
/* By its own name in a backtrace, and not caught by a sanitizer first. */
#ifdef __clang__
#define POISON __attribute__((optnone, noinline, no_sanitize("undefined", "address")))
#else
#define POISON __attribute__((noipa, no_sanitize("undefined", "address")))
#endif

static volatile int *volatile nowhere = NULL;
static volatile int depth_max = -1;

POISON static void
poison_segv(void)
{
    *nowhere = 1;
}

POISON static void
poison_abort(void)
{
    abort();
}

POISON static int
poison_overflow(int depth)
{
    volatile char frame[512];
    frame[0] = (char)depth;
    return depth == depth_max ? 0 : poison_overflow(depth + 1) + frame[0];
}

POISON static void
poison_memory(void)
{
    for (;;) {
        char *p = malloc(16 << 20);
        if (!p) {
            poison_segv();
            return;
        }
        memset(p, 1, 16 << 20);
    }
}

POISON static void
poison_loop(void)
{
    for (volatile unsigned long turns = 0;; turns++)
        ;
}

static void
poison_deadlock(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&lock);
    pthread_mutex_lock(&lock);
}

static void
poison_scribble(void)
{
    char line[400], name[200];
    unsigned long start, end;
    FILE *maps = fopen("/proc/self/maps", "re");
    while (maps && fgets(line, sizeof line, maps)) {
        if (sscanf(line, "%lx-%lx rw-s %*s %*s %*s /memfd:%199s", &start, &end, name) == 3 &&
            strncmp(name, "fanout-ledger", 13) == 0)
            for (unsigned long at = start; at < end; at += 4096)
                memset((void *)at, 0x5a, 64);
    }
    poison_segv();
}

static void
poison_heap(void)
{
    for (int i = 0; i < 1000; i++) {
        char *p = malloc(100);
        if (p)
            memset(p - 16, 0xff, 200);
        free(p);
    }
}

static void *
go_on(void *unused)
{
    for (;;)
        pause();
    return unused;
}

static void
poison_thread(void)
{
    pthread_t t;
    if (pthread_create(&t, NULL, go_on, NULL) == 0)
        pthread_detach(t);
}

static void
obey(const char *what)
{
    if (strcmp(what, "segv") == 0)
        poison_segv();
    else if (strcmp(what, "abort") == 0)
        poison_abort();
    else if (strcmp(what, "overflow") == 0)
        poison_overflow(0);
    else if (strncmp(what, "exit:", 5) == 0)
        exit(atoi(what + 5));
    else if (strcmp(what, "kill") == 0)
        kill(getpid(), SIGKILL);
    else if (strcmp(what, "memory") == 0)
        poison_memory();
    else if (strcmp(what, "loop") == 0)
        poison_loop();
    else if (strcmp(what, "deadlock") == 0)
        poison_deadlock();
    else if (strcmp(what, "descriptors") == 0)
        close_range(3, ~0u, 0);
    else if (strcmp(what, "scribble") == 0)
        poison_scribble();
    else if (strcmp(what, "heap") == 0)
        poison_heap();
    else if (strcmp(what, "thread") == 0)
        poison_thread();
}

static void
obey_in(const char *here)
{
    if (strcmp(where, here) == 0)
        obey(how);
}

static int32_t
handle(void *plugin, void *thread, struct handler_call *call, const struct handler_message *m)
{
    (void)plugin;
    (void)thread;
    (void)call;
    char body[64], line[128];
    size_t n = m->body_len < sizeof body - 1 ? m->body_len : sizeof body - 1;
    memcpy(body, m->body, n);
    body[n] = '\0';
    int bytes = snprintf(line, sizeof line, "%s %d\n", body, (int)getpid());
    if (record_fd >= 0 && write(record_fd, line, (size_t)bytes) != bytes)
        return HANDLER_RETRY;
    char *space = strchr(body, ' ');
    obey(space ? space + 1 : body); /* "NAME COMMAND" tells messages apart */
    return HANDLER_DONE;
}

static int32_t
open_crash(const struct handler_host *host, void **plugin)
{
    *plugin = NULL;
    where = host->option("where");
    how = host->option("how");
    if (*host->option("record"))
        record_fd = open(host->option("record"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    obey_in("open");
    return 0;
}

static int32_t
open_thread(void *plugin, void **thread)
{
    (void)plugin;
    *thread = NULL;
    obey_in("thread_open");
    return 0;
}

static void
close_crash(void *plugin)
{
    (void)plugin;
    obey_in("close");
}

static const struct handler_option OPTIONS[] = {
    {"record", "string", "", "The file that says which process met which message."},
    {"where", "string", "handle", "open, thread_open or close, to do there what `how` says; handle: as bodies say."},
    {"how", "string", "", "What to do there."},
    {0}};

HANDLER_DEFINE(.name = "crash", .version = "1", .help = "dies in the ways that handlers do", .options = OPTIONS,
               .handle = handle, .open = open_crash, .thread_open = open_thread, .close = close_crash);
