#include "lib/namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static bool
write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        close(fd);
    return written;
}

/* Root inside, whoever we are outside. */
static bool
become_root(uid_t uid, gid_t gid)
{
    char users[40], groups[40];
    snprintf(users, sizeof users, "0 %u 1", (unsigned)uid);
    snprintf(groups, sizeof groups, "0 %u 1", (unsigned)gid);
    return write_file("/proc/self/setgroups", "deny") && write_file("/proc/self/uid_map", users) &&
           write_file("/proc/self/gid_map", groups);
}

static bool
raise_loopback(void)
{
    struct ifreq loopback = {.ifr_name = "lo"};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool up = fd >= 0 && ioctl(fd, SIOCGIFFLAGS, &loopback) == 0;
    loopback.ifr_flags |= IFF_UP;
    up = up && ioctl(fd, SIOCSIFFLAGS, &loopback) == 0;
    if (fd >= 0)
        close(fd);
    return up;
}

const char *
namespace_enter(bool with_network)
{
    static char why[200];
    uid_t uid = geteuid();
    gid_t gid = getegid();
    int flags = CLONE_NEWNS | (with_network ? CLONE_NEWNET : 0) | (uid != 0 ? CLONE_NEWUSER : 0);
    const char *failed = unshare(flags) != 0                                      ? "unshare"
                         : uid != 0 && !become_root(uid, gid)                     ? "a user map"
                         : mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ? "mounts of our own"
                         : with_network && !raise_loopback()                      ? "a loopback of our own"
                                                                                  : NULL;
    if (!failed)
        return NULL;
    snprintf(why, sizeof why, "no namespaces here (%s: %s)", failed, strerror(errno));
    return why;
}

void
namespace_mount_memory(const char *dir, unsigned megabytes)
{
    char options[40];
    snprintf(options, sizeof options, "size=%um,mode=0700", megabytes);
    if (mount("tmpfs", dir, "tmpfs", 0, options) != 0)
        fail_msg("tmpfs at %s: %s", dir, strerror(errno));
}

void
namespace_unmount(const char *dir)
{
    assert_int_equal(umount2(dir, MNT_DETACH), 0);
}

void
namespace_bind(const char *path, const char *target)
{
    if (mount(path, target, NULL, MS_BIND, NULL) != 0)
        fail_msg("%s at %s: %s", path, target, strerror(errno));
}
