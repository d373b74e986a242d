/* stuck: takes open_ms to open, which ends with open_result, holds each message for delay_ms, and takes close_ms to
 * close, whatever it is told.
 * For tests of what a worker does about that. */
#include <fanout/handler.h>

#include <stdlib.h>
#include <time.h>

static long long delay_ms, close_ms;

static void
hold(long long ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

static int32_t
open_stuck(const struct handler_host *host, void **plugin)
{
    *plugin = NULL;
    delay_ms = strtoll(host->option("delay_ms"), NULL, 10);
    close_ms = strtoll(host->option("close_ms"), NULL, 10);
    hold(strtoll(host->option("open_ms"), NULL, 10));
    return (int32_t)strtoll(host->option("open_result"), NULL, 10);
}

static void
close_stuck(void *plugin)
{
    (void)plugin;
    hold(close_ms);
}

static int32_t
handle(void *plugin, void *thread, struct handler_call *call, const struct handler_message *message)
{
    (void)plugin;
    (void)thread;
    (void)call;
    (void)message;
    hold(delay_ms);
    return HANDLER_DONE;
}

static const struct handler_option OPTIONS[] = {{"delay_ms", "int", "60000", "How long each message takes."},
                                                {"open_ms", "int", "0", "How long open takes."},
                                                {"open_result", "int", "0", "What open returns."},
                                                {"close_ms", "int", "0", "How long close takes."},
                                                {0}};

HANDLER_DEFINE(.name = "stuck", .version = "1", .help = "does not return", .options = OPTIONS, .handle = handle,
               .open = open_stuck, .close = close_stuck);
