#include "ipc/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define HEAD_BYTES offsetof(struct ipc_message, text)

int
ipc_pair(int *ret_supervisor_fd, int *ret_worker_fd, struct err *e)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) != 0)
        return err_set_errno(e, errno, "control channel: socketpair");
    *ret_supervisor_fd = fds[0];
    *ret_worker_fd = fds[1];
    return 0;
}

int
ipc_send(int fd, enum ipc_type type, int64_t number, const char *text, struct err *e)
{
    struct ipc_message m = {.type = (uint32_t)type, .number = number};
    size_t n = text ? strnlen(text, IPC_TEXT_BYTES - 1) : 0;
    if (n > 0)
        memcpy(m.text, text, n);
    ssize_t sent;
    do
        sent = send(fd, &m, HEAD_BYTES + n + 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return 0;
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS)
        return err_set(e, ERR_LIMIT, "control channel: the peer does not read, message %d is lost", (int)type);
    if (errno == EPIPE || errno == ECONNRESET || errno == ECONNREFUSED || errno == ENOTCONN)
        return err_set(e, ERR_UNAVAILABLE, "control channel: the peer is gone");
    return err_set_errno(e, errno, "control channel: send");
}

static bool
type_is_known(uint32_t type)
{
    return (type >= IPC_READY && type <= IPC_CANNOT_START) || (type >= IPC_DRAIN && type <= IPC_DUMP_STATE);
}

/* recvmsg gives 0 both at end of file and for an empty packet; only the first comes with a hang-up. */
static bool
peer_hung_up(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLRDHUP};
    return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

int
ipc_receive(int fd, struct ipc_message *ret_message, struct err *e)
{
    struct ipc_message m;
    struct iovec part = {.iov_base = &m, .iov_len = sizeof m};
    struct msghdr head = {.msg_iov = &part, .msg_iovlen = 1};
    ssize_t n;
    /* A peer that closes before it has read everything makes the next receive fail once with ECONNRESET, although its
     * own last messages are still queued (unix(7); net/unix/af_unix.c, unix_release_sock). */
    do
        n = recvmsg(fd, &head, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (n < 0 && (errno == EINTR || errno == ECONNRESET));
    if (n < 0) {
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return 0;
        return err_set_errno(e, errno, "control channel: receive");
    }
    if (n == 0 && peer_hung_up(fd))
        return err_set(e, ERR_UNAVAILABLE, "control channel: the peer is gone");
    if (head.msg_flags & MSG_TRUNC)
        return err_set(e, ERR_PROTOCOL, "control channel: a packet of more than %zu bytes", sizeof m);
    if ((size_t)n <= HEAD_BYTES)
        return err_set(e, ERR_PROTOCOL, "control channel: a packet of %zd bytes", n);
    if (!type_is_known(m.type))
        return err_set(e, ERR_PROTOCOL, "control channel: a packet of unknown type %u", m.type);
    size_t text_bytes = (size_t)n - HEAD_BYTES;
    if (m.text[text_bytes - 1] != '\0')
        return err_set(e, ERR_PROTOCOL, "control channel: a packet whose text is not terminated");
    memset(m.text + text_bytes, 0, sizeof m.text - text_bytes);
    *ret_message = m;
    return 1;
}
