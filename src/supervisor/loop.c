#include "supervisor/loop.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"

int
loop_init(struct loop *l, struct err *e)
{
    int fd = epoll_create1(EPOLL_CLOEXEC);
    if (fd < 0)
        return err_set_errno(e, errno, "epoll_create1");
    l->epoll = fd;
    return 0;
}

void
loop_clean_up(struct loop *l)
{
    if (l->epoll >= 0)
        close(l->epoll);
    l->epoll = -1;
}

int
loop_add(struct loop *l, int fd, struct loop_watch *w, struct err *e)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = w};
    if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        return err_set_errno(e, errno, "epoll_ctl: descriptor %d", fd);
    return 0;
}

void
loop_remove(struct loop *l, int fd)
{
    epoll_ctl(l->epoll, EPOLL_CTL_DEL, fd, NULL);
}

int
loop_wait(struct loop *l, int64_t wait_ms, struct err *e)
{
    struct epoll_event events[64];
    int n = epoll_wait(l->epoll, events, sizeof events / sizeof *events, clock_cap_wait_ms(wait_ms));
    if (n < 0 && errno != EINTR)
        return err_set_errno(e, errno, "epoll_wait");
    for (int i = 0; i < n; i++) {
        struct loop_watch *w = events[i].data.ptr;
        w->ready(w);
    }
    return 0;
}
