#include "supervisor/signals.h"

#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

int
signals_open(int *ret_fd, struct err *e)
{
    static const int wanted[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGCHLD};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        sigaddset(&set, wanted[i]);
        signal(wanted[i], SIG_DFL); /* an ignored CHLD, inherited, would take every exit status away */
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a write beyond RLIMIT_FSIZE fails with EFBIG instead */
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return err_set_errno(e, errno, "sigprocmask");
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return err_set_errno(e, errno, "signalfd");
    *ret_fd = fd;
    return 0;
}

int
signals_next(int fd)
{
    struct signalfd_siginfo info;
    ssize_t n;
    do
        n = read(fd, &info, sizeof info);
    while (n < 0 && errno == EINTR);
    return n == sizeof info ? (int)info.ssi_signo : 0;
}
