#include "worker/guard.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "ipc/channel.h"

#define LOG_CLOSE_MS 1000

struct guard {
    int channel_fd;
    int64_t wait_ms;
};

static void *
stand(void *guard)
{
    const struct guard *g = guard;
    struct pollfd p = {.fd = g->channel_fd}; /* what is sent is the main thread's */
    while (poll(&p, 1, -1) < 0 || !(p.revents & (POLLHUP | POLLERR | POLLNVAL)))
        continue;
    int64_t until_ms = clock_monotonic_ms() + g->wait_ms;
    for (int64_t now_ms; (now_ms = clock_monotonic_ms()) < until_ms;)
        poll(NULL, 0, clock_cap_wait_ms(until_ms - now_ms));
    log_write(LOG_ERROR, "the plugin does not return and the supervisor is gone; ending without it",
              LOG_INT("waited_ms", g->wait_ms));
    log_close(LOG_CLOSE_MS);
    _exit(IPC_EXIT_FAILURE);
}

int
guard_start(int channel_fd, int64_t wait_ms, struct err *e)
{
    pthread_t thread;
    struct guard *g = malloc(sizeof *g);
    if (!g)
        return err_no_memory(e);
    *g = (struct guard){.channel_fd = channel_fd, .wait_ms = wait_ms};
    int error = pthread_create(&thread, NULL, stand, g);
    if (error != 0) {
        free(g);
        return err_set_errno(e, error, "the guard's thread");
    }
    pthread_detach(thread);
    return 0;
}
