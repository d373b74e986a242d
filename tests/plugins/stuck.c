/* stuck: holds each message for delay_ms, whatever it is told. For tests of what a worker does about that. */
#include <fanout/handler.h>

#include <stdlib.h>
#include <time.h>

static long long delay_ms;

static int32_t
open_stuck(const struct handler_host *host, void **plugin)
{
    *plugin = NULL;
    delay_ms = strtoll(host->option("delay_ms"), NULL, 10);
    return 0;
}

static int32_t
handle(void *plugin, void *thread, struct handler_call *call, const struct handler_message *message)
{
    struct timespec t = {.tv_sec = delay_ms / 1000, .tv_nsec = delay_ms % 1000 * 1000000};
    (void)plugin;
    (void)thread;
    (void)call;
    (void)message;
    nanosleep(&t, NULL);
    return HANDLER_DONE;
}

static const struct handler_option OPTIONS[] = {{"delay_ms", "int", "60000", "How long each message takes."}, {0}};

HANDLER_DEFINE(.name = "stuck", .version = "1", .help = "does not return", .options = OPTIONS, .handle = handle,
               .open = open_stuck);
