/* fuzz_channel: what a broken worker may send its supervisor, packet by packet. The input is packets, each behind its
 * length (two bytes). What is taken is well formed, and comes out the same when it is sent on; what is not says why. */
#include "ipc/channel.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz/fuzz.h"

static void
send_on(const struct ipc_message *m)
{
    int fds[2];
    struct ipc_message other;
    struct err e;
    check(ipc_pair(&fds[0], &fds[1], &e) == 0);
    check(ipc_send(fds[0], (enum ipc_type)m->type, m->number, m->text, &e) == 0);
    check(ipc_receive(fds[1], &other, &e) == 1);
    check(other.type == m->type && other.number == m->number && strcmp(other.text, m->text) == 0);
    close(fds[0]);
    close(fds[1]);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fds[2];
    struct err e = {0};
    struct ipc_message m;
    check(ipc_pair(&fds[0], &fds[1], &e) == 0);
    while (size > 2) {
        size_t n = (size_t)data[0] << 8 | data[1];
        n = n < size - 2 ? n : size - 2;
        check(send(fds[0], data + 2, n, MSG_DONTWAIT) == (ssize_t)n);
        int rc = ipc_receive(fds[1], &m, &e);
        check(rc == 1 || (rc == ERR_PROTOCOL && e.code == rc && e.text[0]));
        if (rc == 1) {
            check(memchr(m.text, '\0', sizeof m.text) != NULL);
            send_on(&m);
        }
        check(ipc_receive(fds[1], &m, &e) == 0); /* one packet, one answer */
        data += 2 + n;
        size -= 2 + n;
    }
    close(fds[0]);
    check(ipc_receive(fds[1], &m, &e) == ERR_UNAVAILABLE);
    close(fds[1]);
    return 0;
}
