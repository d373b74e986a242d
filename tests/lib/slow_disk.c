#include "lib/slow_disk.h"

#include <errno.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What SQLite's calls of fdatasync go through: as slow as a test wants. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stuck, full;
    int waiting, syncs, writes;
} disk = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

__attribute__((visibility("default"))) int
fdatasync(int fd)
{
    pthread_mutex_lock(&disk.lock);
    disk.syncs++;
    disk.waiting++;
    pthread_cond_broadcast(&disk.changed);
    while (disk.stuck)
        pthread_cond_wait(&disk.changed, &disk.lock);
    disk.waiting--;
    pthread_mutex_unlock(&disk.lock);
    return (int)syscall(SYS_fdatasync, fd);
}

/* And its writes, which fail while the disk is full. */
__attribute__((visibility("default"))) ssize_t
pwrite64(int fd, const void *p, size_t n, off64_t at)
{
    pthread_mutex_lock(&disk.lock);
    disk.writes++;
    bool full = disk.full;
    pthread_mutex_unlock(&disk.lock);
    if (full) {
        errno = ENOSPC;
        return -1;
    }
    return syscall(SYS_pwrite64, fd, p, n, at);
}

void
slow_disk_fill(bool full)
{
    pthread_mutex_lock(&disk.lock);
    disk.full = full;
    pthread_mutex_unlock(&disk.lock);
}

int
slow_disk_writes(void)
{
    pthread_mutex_lock(&disk.lock);
    int n = disk.writes;
    pthread_mutex_unlock(&disk.lock);
    return n;
}

void
slow_disk_stop(bool stuck)
{
    pthread_mutex_lock(&disk.lock);
    disk.stuck = stuck;
    pthread_cond_broadcast(&disk.changed);
    pthread_mutex_unlock(&disk.lock);
}

void
slow_disk_wait(void)
{
    pthread_mutex_lock(&disk.lock);
    while (disk.waiting == 0)
        pthread_cond_wait(&disk.changed, &disk.lock);
    pthread_mutex_unlock(&disk.lock);
}

int
slow_disk_syncs(void)
{
    pthread_mutex_lock(&disk.lock);
    int n = disk.syncs;
    pthread_mutex_unlock(&disk.lock);
    return n;
}
