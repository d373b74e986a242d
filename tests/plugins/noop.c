/* noop: declares every message done, one at a time. For benchmarks. */
#include <fanout/handler.h>

static int32_t
handle(void *plugin, void *thread, struct handler_call *call, const struct handler_message *message)
{
    (void)plugin;
    (void)thread;
    (void)call;
    (void)message;
    return HANDLER_DONE;
}

HANDLER_DEFINE(.name = "noop", .version = "1", .help = "does nothing, successfully", .handle = handle);
