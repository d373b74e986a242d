/* noop_batch: declares every message done, a batch at a time. For benchmarks. */
#include <fanout/handler.h>

static int32_t
handle_batch(void *plugin, void *thread, struct handler_call *call, const struct handler_batch *batch)
{
    (void)plugin;
    (void)thread;
    (void)call;
    (void)batch;
    return HANDLER_DONE;
}

HANDLER_DEFINE(.name = "noop_batch", .version = "1", .help = "does nothing, successfully",
               .handle_batch = handle_batch);
