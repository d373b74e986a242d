#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TEST_WAIT_MS 10

/* The test clock: set once, by clock_init. The bases make monotonic and boot time equal wall time at that moment, so
 * that all clocks can be frozen at one figure without going back. */
static struct {
    struct clock_page *_Atomic page; /* NULL: real time */
    int64_t monotonic_base_ms, boot_base_ms;
} test_clock;

static int64_t
read_ms(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int
open_page(const char *path, int flags, struct err *e)
{
    int fd = open(path, flags | O_CLOEXEC | O_NOCTTY, 0600);
    if (fd < 0)
        return err_set_errno(e, errno, "cannot open the test clock %s", path);
    return fd;
}

int
clock_init(struct err *e)
{
    const char *path = getenv("FANOUT_TEST_CLOCK");
    if (!path || !*path)
        return 0;
    int fd = open_page(path, O_RDONLY, e);
    if (fd < 0)
        return fd;
    int r = 0;
    struct stat st;
    struct clock_page *page = MAP_FAILED;
    if (fstat(fd, &st) == 0 && (!S_ISREG(st.st_mode) || st.st_size < (off_t)sizeof *page))
        r = err_set(e, ERR_INVALID, "FANOUT_TEST_CLOCK=%s is no clock page; unset it to run on real time", path);
    else if ((page = mmap(NULL, sizeof *page, PROT_READ, MAP_SHARED, fd, 0)) == MAP_FAILED)
        r = err_set_errno(e, errno, "cannot map the test clock %s", path);
    else if (page->magic != CLOCK_PAGE_MAGIC)
        r = err_set(e, ERR_INVALID, "FANOUT_TEST_CLOCK=%s is no clock page; unset it to run on real time", path);
    close(fd);
    if (r < 0) {
        if (page != MAP_FAILED)
            munmap(page, sizeof *page);
        return r;
    }
    test_clock.monotonic_base_ms = read_ms(CLOCK_REALTIME) - read_ms(CLOCK_MONOTONIC);
    test_clock.boot_base_ms = read_ms(CLOCK_REALTIME) - read_ms(CLOCK_BOOTTIME);
    atomic_store(&test_clock.page, page); /* an earlier page stays mapped: somebody may be reading it */
    return 0;
}

int
clock_page_create(const char *path, struct clock_page **ret_page, struct err *e)
{
    int fd = open_page(path, O_RDWR | O_CREAT, e);
    if (fd < 0)
        return fd;
    int r = 0;
    struct clock_page *page = MAP_FAILED;
    if (ftruncate(fd, sizeof *page) < 0)
        r = err_set_errno(e, errno, "cannot size the test clock %s", path);
    else if ((page = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)) == MAP_FAILED)
        r = err_set_errno(e, errno, "cannot map the test clock %s", path);
    close(fd);
    if (r < 0)
        return r;
    atomic_store(&page->frozen_at_ms, 0);
    atomic_store(&page->offset_ms, 0);
    atomic_store(&page->wall_skew_ms, 0);
    page->magic = CLOCK_PAGE_MAGIC;
    *ret_page = page;
    return 0;
}

static int64_t
read_relaxed(_Atomic int64_t *v)
{
    return atomic_load_explicit(v, memory_order_relaxed);
}

static struct clock_page *
current_page(void)
{
    return atomic_load_explicit(&test_clock.page, memory_order_acquire);
}

static int64_t
test_ms(struct clock_page *page, clockid_t id, int64_t base_ms)
{
    int64_t frozen_at_ms = read_relaxed(&page->frozen_at_ms);
    return (frozen_at_ms ? frozen_at_ms : read_ms(id) + base_ms) + read_relaxed(&page->offset_ms);
}

int64_t
clock_wall_ms(void)
{
    struct clock_page *page = current_page();
    if (!page)
        return read_ms(CLOCK_REALTIME);
    return test_ms(page, CLOCK_REALTIME, 0) + read_relaxed(&page->wall_skew_ms);
}

int64_t
clock_monotonic_ms(void)
{
    struct clock_page *page = current_page();
    return page ? test_ms(page, CLOCK_MONOTONIC, test_clock.monotonic_base_ms) : read_ms(CLOCK_MONOTONIC);
}

int64_t
clock_monotonic_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t
clock_boot_ms(void)
{
    struct clock_page *page = current_page();
    return page ? test_ms(page, CLOCK_BOOTTIME, test_clock.boot_base_ms) : read_ms(CLOCK_BOOTTIME);
}

int
clock_cap_wait_ms(int64_t wait_ms)
{
    int64_t cap_ms = current_page() ? TEST_WAIT_MS : INT_MAX;
    if (wait_ms < 0)
        return current_page() ? TEST_WAIT_MS : -1;
    return (int)(wait_ms < cap_ms ? wait_ms : cap_ms);
}
