#include "httpd/httpd_impl.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

#define KEEP_INTERVAL_MS 1000
#define KEEP_INTERVAL_NS (KEEP_INTERVAL_MS * INT64_C(1000000))
#define PAUSE_MS         100 /* for want of a descriptor, or of room */
#define ACCEPTS_AT_ONCE  64

/* ---- connections that wait for their client ---------------------------------------------------------------------- */

struct httpd_connection {
    int fd;
    _Atomic int64_t waits_since_ns; /* 0: it waits for our answer */
    struct httpd_connection *next, **link;
};

static struct httpd_connection *
connection_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

static void
add_connection(struct httpd *h, int fd, void **socket_context)
{
    struct httpd_connection *c = calloc(1, sizeof *c);
    if (!c)
        return;
    c->fd = fd;
    atomic_store(&c->waits_since_ns, clock_monotonic_ns());
    pthread_mutex_lock(&h->lock);
    c->next = h->connections;
    c->link = &h->connections;
    if (c->next)
        c->next->link = &c->next;
    h->connections = c;
    pthread_mutex_unlock(&h->lock);
    *socket_context = c;
}

static void
remove_connection(struct httpd *h, struct httpd_connection *c)
{
    pthread_mutex_lock(&h->lock);
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    pthread_mutex_unlock(&h->lock);
    free(c);
}

void
httpd_on_connection(void *h, struct MHD_Connection *connection, void **socket_context,
                    enum MHD_ConnectionNotificationCode what)
{
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        if (info)
            add_connection(h, info->connect_fd, socket_context);
        return;
    }
    if (*socket_context)
        remove_connection(h, *socket_context);
    *socket_context = NULL;
    atomic_fetch_sub(&((struct httpd *)h)->n_connections, 1);
}

void
httpd_connection_waits(struct httpd *h, struct MHD_Connection *connection, bool waits)
{
    (void)h;
    struct httpd_connection *c = connection_of(connection);
    if (c)
        atomic_store_explicit(&c->waits_since_ns, waits ? clock_monotonic_ns() : 0, memory_order_relaxed);
}

/* libmicrohttpd's own time-out starts over with every byte, so a client that drips is caught here. Shutting the socket
 * down makes libmicrohttpd see its end; the descriptor cannot be closed meanwhile, because remove_connection comes
 * first and needs the lock. */
void
httpd_close_overdue(struct httpd *h)
{
    int64_t now = clock_monotonic_ns();
    if (now - h->kept_at_ns < KEEP_INTERVAL_NS)
        return;
    h->kept_at_ns = now;
    pthread_mutex_lock(&h->lock);
    for (struct httpd_connection *c = h->connections; c; c = c->next) {
        int64_t since = atomic_load_explicit(&c->waits_since_ns, memory_order_relaxed);
        if (since != 0 && now - since > h->idle_timeout_ns)
            shutdown(c->fd, SHUT_RDWR);
    }
    pthread_mutex_unlock(&h->lock);
}

/* ---- accepting --------------------------------------------------------------------------------------------------- */

/* libmicrohttpd could accept by itself, but its threads take connections as they happen to wake, all of them by one
 * thread at the worst; and one that has no connection yet spins when there is no descriptor for the first. */

static bool
has_room(struct httpd *h)
{
    return atomic_load(&h->n_connections) < (int)h->max_connections;
}

/* Shares those who wait out among the threads, in turn. False: no more of them can be had for now. */
static bool
accept_waiting(struct httpd *h)
{
    for (int i = 0; i < ACCEPTS_AT_ONCE && has_room(h); i++) {
        struct sockaddr_storage peer;
        socklen_t n = sizeof peer;
        int fd = accept4(h->listen_fd, (struct sockaddr *)&peer, &n, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
            return errno == EAGAIN || errno == ECONNABORTED || errno == EINTR;
        struct MHD_Daemon *daemon = h->daemons[h->next_daemon++ % h->n_daemons];
        atomic_fetch_add(&h->n_connections, 1);
        if (MHD_add_connection(daemon, fd, (struct sockaddr *)&peer, n) != MHD_YES) /* which has closed it */
            atomic_fetch_sub(&h->n_connections, 1);
    }
    return true;
}

static void *
keep(void *context)
{
    struct httpd *h = context;
    bool pauses = false;
    while (!atomic_load(&h->stopping)) {
        bool listens = !pauses && has_room(h);
        struct pollfd p[] = {{.fd = h->wake_fd, .events = POLLIN},
                             {.fd = listens ? h->listen_fd : -1, .events = POLLIN}};
        poll(p, 2, listens ? KEEP_INTERVAL_MS : PAUSE_MS);
        pauses = p[1].revents && !accept_waiting(h);
        httpd_close_overdue(h);
    }
    return NULL;
}

int
httpd_keeper_start(struct httpd *h, struct err *e)
{
    h->wake_fd = eventfd(0, EFD_CLOEXEC);
    if (h->wake_fd < 0)
        return err_set_errno(e, errno, "cannot listen on %s", h->url);
    int failed = pthread_create(&h->keeper, NULL, keep, h);
    if (failed)
        return err_set_errno(e, failed, "cannot start a thread for %s", h->url);
    h->keeper_runs = true;
    return 0;
}

void
httpd_keeper_stop(struct httpd *h)
{
    if (h->keeper_runs) {
        eventfd_write(h->wake_fd, 1);
        pthread_join(h->keeper, NULL);
    }
    if (h->wake_fd >= 0)
        close(h->wake_fd);
}
