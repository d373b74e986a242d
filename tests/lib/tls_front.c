#include "lib/tls_front.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIECE_BYTES 65536

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "tls_front: %s: %s\n", #condition, strerror(errno));                                       \
            ERR_print_errors_fp(stderr);                                                                               \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

struct connection {
    struct tls_front *front;
    struct connection *next;
    pthread_t thread;
    int fd;    /* -1: over (guarded by the lock) */
    SSL *ssl;  /* the thread's own */
    int plain; /* the thread's own; -1: none yet */
};

struct tls_front {
    int listen_fd, port, plain_port;
    pthread_t thread;
    atomic_bool stopping;
    pthread_mutex_t lock; /* guards what follows */
    SSL_CTX *context;
    struct connection *connections; /* all there ever were: threads to join */
    struct tls_front_seen seen;
};

/* ---- one connection ---- */

static bool
send_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        p += sent;
        n -= (size_t)sent;
    }
    return true;
}

/* An end of the stream is not read by OpenSSL: after that it would not say good-bye, and the client's session would be
 * spoilt. */
static bool
from_tls(struct connection *c, char *piece)
{
    char first;
    if (SSL_pending(c->ssl) == 0 && recv(c->fd, &first, 1, MSG_PEEK) <= 0)
        return false;
    int n = SSL_read(c->ssl, piece, PIECE_BYTES);
    return n > 0 && send_all(c->plain, piece, (size_t)n);
}

static bool
to_tls(struct connection *c, char *piece)
{
    ssize_t n = recv(c->plain, piece, PIECE_BYTES, 0);
    return n > 0 && SSL_write(c->ssl, piece, (int)n) > 0;
}

static void
pass_on(struct connection *c)
{
    char *piece = malloc(PIECE_BYTES);
    bool going = true;
    CHECK(piece);
    while (going) {
        struct pollfd fds[] = {{.fd = c->fd, .events = POLLIN}, {.fd = c->plain, .events = POLLIN}};
        if (SSL_pending(c->ssl) == 0 && poll(fds, 2, -1) < 0)
            break;
        if (SSL_pending(c->ssl) > 0 || fds[0].revents)
            going = from_tls(c, piece);
        if (going && fds[1].revents)
            going = to_tls(c, piece);
    }
    free(piece);
}

static int
connect_plain(int port)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0)
        return fd;
    close(fd);
    return -1;
}

static bool
shake_hands(struct connection *c)
{
    struct tls_front *f = c->front;
    bool ok = SSL_accept(c->ssl) == 1;
    const char *name = SSL_get_servername(c->ssl, TLSEXT_NAMETYPE_host_name);
    pthread_mutex_lock(&f->lock);
    snprintf(f->seen.server_name, sizeof f->seen.server_name, "%s", name ? name : "");
    snprintf(f->seen.version, sizeof f->seen.version, "%s", SSL_get_version(c->ssl));
    (*(!ok ? &f->seen.failed : SSL_session_reused(c->ssl) ? &f->seen.resumed : &f->seen.full))++;
    pthread_mutex_unlock(&f->lock);
    return ok;
}

static void *
serve(void *argument)
{
    struct connection *c = argument;
    struct tls_front *f = c->front;
    if (shake_hands(c) && (c->plain = connect_plain(f->plain_port)) >= 0) {
        pass_on(c);
        SSL_shutdown(c->ssl);
        close(c->plain);
    }
    ERR_clear_error();
    SSL_free(c->ssl);
    pthread_mutex_lock(&f->lock);
    close(c->fd);
    c->fd = -1;
    f->seen.open--;
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

static void
begin(struct tls_front *f, int fd)
{
    struct connection *c = calloc(1, sizeof *c);
    CHECK(c);
    *c = (struct connection){.front = f, .fd = fd, .plain = -1, .next = f->connections};
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    pthread_mutex_lock(&f->lock);
    CHECK((c->ssl = SSL_new(f->context)) && SSL_set_fd(c->ssl, fd) == 1);
    f->connections = c;
    f->seen.connections++;
    f->seen.open++;
    CHECK(pthread_create(&c->thread, NULL, serve, c) == 0);
    pthread_mutex_unlock(&f->lock);
}

static void *
run(void *argument)
{
    struct tls_front *f = argument;
    int fd;
    while ((fd = accept4(f->listen_fd, NULL, NULL, SOCK_CLOEXEC)) >= 0)
        begin(f, fd);
    CHECK(atomic_load(&f->stopping));
    return NULL;
}

/* ---- for the test ---- */

void
tls_front_show(struct tls_front *f, const struct cert *leaf, const struct cert *intermediate, int max_version)
{
    static const unsigned char id[] = "tls_front";
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    CHECK(context && SSL_CTX_use_certificate(context, leaf->x509) == 1 &&
          SSL_CTX_use_PrivateKey(context, leaf->key) == 1);
    CHECK(!intermediate || SSL_CTX_add1_chain_cert(context, intermediate->x509) == 1);
    CHECK(SSL_CTX_set_session_id_context(context, id, sizeof id) == 1);
    SSL_CTX_set_security_level(context, 0); /* versions that OpenSSL itself would refuse are for the client to refuse */
    CHECK(SSL_CTX_set_min_proto_version(context, 0) == 1 && SSL_CTX_set_max_proto_version(context, max_version) == 1);
    pthread_mutex_lock(&f->lock);
    SSL_CTX_free(f->context);
    f->context = context;
    pthread_mutex_unlock(&f->lock);
}

struct tls_front *
tls_front_start(int plain_port, const struct cert *leaf, const struct cert *intermediate)
{
    struct tls_front *f = calloc(1, sizeof *f);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    sigset_t pipe, old;
    CHECK(f);
    f->plain_port = plain_port;
    pthread_mutex_init(&f->lock, NULL);
    tls_front_show(f, leaf, intermediate, 0);
    f->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(f->listen_fd >= 0 && bind(f->listen_fd, (struct sockaddr *)&a, sizeof a) == 0 &&
          listen(f->listen_fd, 256) == 0 && getsockname(f->listen_fd, (struct sockaddr *)&a, &n) == 0);
    f->port = ntohs(a.sin_port);
    sigemptyset(&pipe); /* OpenSSL writes without MSG_NOSIGNAL; its threads inherit this */
    sigaddset(&pipe, SIGPIPE);
    CHECK(pthread_sigmask(SIG_BLOCK, &pipe, &old) == 0);
    CHECK(pthread_create(&f->thread, NULL, run, f) == 0);
    CHECK(pthread_sigmask(SIG_SETMASK, &old, NULL) == 0);
    return f;
}

void
tls_front_drop_connections(struct tls_front *f)
{
    pthread_mutex_lock(&f->lock);
    for (struct connection *c = f->connections; c; c = c->next)
        if (c->fd >= 0)
            shutdown(c->fd, SHUT_RD);
    pthread_mutex_unlock(&f->lock);
}

void
tls_front_stop(struct tls_front *f)
{
    if (!f)
        return;
    atomic_store(&f->stopping, true);
    shutdown(f->listen_fd, SHUT_RDWR);
    pthread_join(f->thread, NULL);
    tls_front_drop_connections(f);
    for (struct connection *c = f->connections, *next; c; c = next) {
        next = c->next;
        pthread_join(c->thread, NULL);
        free(c);
    }
    close(f->listen_fd);
    SSL_CTX_free(f->context);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

int
tls_front_port(const struct tls_front *f)
{
    return f->port;
}

struct tls_front_seen
tls_front_seen(struct tls_front *f)
{
    pthread_mutex_lock(&f->lock);
    struct tls_front_seen seen = f->seen;
    pthread_mutex_unlock(&f->lock);
    return seen;
}
