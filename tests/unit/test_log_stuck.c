/* A log whose sink does not take what it gets, and one that many threads write at once. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "lib/log_file.h"

/* ---- sinks that do not take what they get ------------------------------------------------------------------------ */

/* A log to a FIFO. Returns the end that reads it. */
static int
open_log_to_fifo(bool asynchronous)
{
    mkfifo(log_file_path("fifo"), 0600);
    int reader = open(log_file_path("fifo"), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(reader >= 0);
    log_file_open(log_file_path("fifo"), asynchronous);
    return reader;
}

/* Reads on until wanted says that *b is enough, or nothing comes for 10 s. */
static void
read_on_until(struct buf *b, int fd, bool (*wanted)(const char *text, uint64_t n), uint64_t n)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    buf_add_string(b, "");
    while (!wanted(b->data, n) && poll(&p, 1, 10000) > 0) {
        char piece[65536];
        ssize_t got = read(fd, piece, sizeof piece);
        if (got > 0)
            buf_add(b, piece, (size_t)got);
        else if (got == 0 || errno != EAGAIN)
            break;
    }
}

static char *
read_until(int fd, bool (*wanted)(const char *text, uint64_t n), uint64_t n)
{
    struct buf b = BUF_INIT;
    read_on_until(&b, fd, wanted, n);
    return buf_take(&b);
}

static bool
has_announced(const char *text, uint64_t n)
{
    return log_file_announced(text) >= n;
}

static bool
accounts_for(const char *text, uint64_t n)
{
    return (uint64_t)log_file_count(text, "msg=line ") + log_file_announced(text) >= n;
}

static bool
has_ended(const char *text, uint64_t n)
{
    (void)text, (void)n;
    return false; /* until end of file */
}

static int64_t
now_ms(void)
{
    return clock_monotonic_ns() / 1000000;
}

static void
an_asynchronous_log_never_waits_and_tells_what_it_dropped(void **state)
{
    (void)state;
    enum { COUNT = 20000 };
    int reader = open_log_to_fifo(true);
    int64_t slowest_ns = 0;
    for (int i = 0; i < COUNT; i++) {
        int64_t started_ns = clock_monotonic_ns();
        log_write(LOG_INFO, "line", LOG_INT("i", i), LOG_STR("padding", "padding padding padding padding"));
        int64_t took_ns = clock_monotonic_ns() - started_ns;
        slowest_ns = took_ns > slowest_ns ? took_ns : slowest_ns;
    }
    uint64_t dropped = log_dropped();
    assert_in_range(dropped, COUNT / 2, COUNT); /* 256 KB and a pipe hold less than 4000 of these */
    assert_true(slowest_ns < 1000000000);

    char *text = read_until(reader, has_announced, dropped);
    assert_int_equal(log_dropped(), dropped);
    assert_int_equal(log_file_announced(text), dropped);
    assert_int_equal(log_file_count(text, "msg=line "), COUNT - dropped);
    int last = log_file_count(text, "msg=line ") - 1; /* the first ones were kept: no gap before the notice */
    char last_line[32];
    snprintf(last_line, sizeof last_line, "msg=line i=%d ", last);
    assert_non_null(strstr(text, last_line));
    assert_true(strstr(text, last_line) < strstr(text, "log lines dropped"));
    free(text);

    log_write(LOG_INFO, "after");
    log_close(1000);
    text = read_until(reader, has_ended, 0);
    assert_non_null(strstr(text, "msg=after\n"));
    assert_int_equal(log_dropped(), dropped);
    free(text);
    close(reader);
}

/* Lines numbered i=0, 1, ... may be missing only where notices in between say how many. */
static void
assert_gaps_are_announced(const char *text, int count)
{
    int next = 0;
    for (const char *end; (end = strchr(text, '\n')); text = end + 1) {
        int i, dropped;
        const char *message = memmem(text, (size_t)(end - text), " msg=", 5);
        assert_non_null(message);
        if (sscanf(message, " msg=\"log lines dropped\" count=%d", &dropped) == 1)
            next += dropped;
        else if (sscanf(message, " msg=line i=%d", &i) == 1)
            assert_int_equal(i, next++);
        else
            fail_msg("what is this: %.*s", (int)(end - text), text);
    }
    assert_int_equal(next, count);
}

static void
every_gap_is_announced_where_it_is(void **state)
{
    (void)state;
    int reader = open_log_to_fifo(true), count = 0;
    struct buf text = BUF_INIT;
    while (log_dropped() == 0)
        log_write(LOG_INFO, "line", LOG_INT("i", count++));
    for (int i = 0; i < 3000; i++) { /* a reader that is too slow, then faster than the lines come */
        char piece[1000];
        ssize_t n = read(reader, piece, i < 1500 ? 100 : sizeof piece);
        if (n > 0)
            buf_add(&text, piece, (size_t)n);
        log_write(LOG_INFO, "line", LOG_INT("i", count++));
    }
    read_on_until(&text, reader, accounts_for, (uint64_t)count);
    log_close(1000);
    assert_gaps_are_announced(text.data, count);
    buf_clean_up(&text);
    close(reader);
}

static void
closing_waits_for_a_stuck_sink_no_longer_than_asked(void **state)
{
    (void)state;
    enum { COUNT = 2000 };
    int reader = open_log_to_fifo(true);
    for (int i = 0; i < COUNT; i++)
        log_write(LOG_INFO, "line", LOG_STR("padding", "padding padding padding padding padding padding"));
    int64_t started_ms = now_ms();
    log_close(100);
    assert_in_range(now_ms() - started_ms, 99, 2000);
    uint64_t dropped = log_dropped();
    assert_true(dropped > 0);
    char *text = read_until(reader, has_ended, 0);
    assert_int_equal(log_file_count(text, "msg=line ") + (int)dropped, COUNT);
    free(text);
    close(reader);
}

/* stderr on a pipe that blocks, which nobody reads and whose mode is not ours to change. */
static void
a_blocking_stderr_that_nobody_reads_holds_nobody_up(void **state)
{
    (void)state;
    enum { COUNT = 5000 };
    for (int asynchronous = 0; asynchronous < 2; asynchronous++) {
        int ends[2], stderr_before = dup(STDERR_FILENO);
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        dup2(ends[1], STDERR_FILENO);
        log_file_open(NULL, asynchronous);
        int64_t started_ms = now_ms();
        for (int i = 0; i < COUNT; i++)
            log_write(LOG_INFO, "line", LOG_INT("i", i), LOG_STR("padding", "padding padding padding padding"));
        log_close(50);
        int64_t took_ms = now_ms() - started_ms;
        int flags = fcntl(ends[1], F_GETFL);
        dup2(stderr_before, STDERR_FILENO);
        close(stderr_before);
        close(ends[1]);
        uint64_t dropped = log_dropped();
        char *text = read_until(ends[0], has_ended, 0);
        close(ends[0]);
        assert_true(took_ms < 5000);
        assert_int_equal(flags & O_NONBLOCK, 0);
        assert_true(dropped > 0);
        assert_int_equal(log_file_count(text, "msg=line ") + (int)dropped, COUNT);
        free(text);
    }
}

/* Fills the pipe that is its end as soon as poll has found room in it; -1: nobody does. */
static int rival = -1;

/* Stands before libc's. */
int poll_and_be_late(struct pollfd *fds, nfds_t n, int wait_ms) __asm__("poll");

int
poll_and_be_late(struct pollfd *fds, nfds_t n, int wait_ms)
{
    static const char full[4096];
    struct timespec wait = {.tv_sec = wait_ms / 1000, .tv_nsec = wait_ms % 1000 * 1000000L};
    int ready = ppoll(fds, n, wait_ms < 0 ? NULL : &wait, NULL);
    if (rival >= 0 && ready > 0)
        for (size_t piece = sizeof full; piece > 0; piece /= 2)
            while (write(rival, full, piece) > 0)
                continue;
    return ready;
}

/* A synchronous log is one thread's that has other work. */
static void
room_that_another_process_takes_first_is_not_waited_for(void **state)
{
    (void)state;
    for (int is_stderr = 0; is_stderr < 2; is_stderr++) {
        int ends[2], stderr_before = dup(STDERR_FILENO);
        const char *name = log_file_path("fifo");
        if (is_stderr) {
            assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
            assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
            name = "/proc/self/fd/2";
        } else {
            unlink(name);
            assert_int_equal(mkfifo(name, 0600), 0);
            ends[0] = open(name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
            ends[1] = -1;
        }
        log_file_open(is_stderr ? NULL : name, false);
        rival = open(name, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
        assert_true(rival >= 0);
        int64_t started_ms = now_ms();
        alarm(20); /* if it does wait, it is for ever */
        for (int i = 0; i < 3; i++)
            log_write(LOG_INFO, "late");
        alarm(0);
        int64_t took_ms = now_ms() - started_ms;
        close(rival);
        rival = -1;
        log_close(0);
        dup2(stderr_before, STDERR_FILENO);
        close(stderr_before);
        close(ends[0]);
        if (is_stderr)
            close(ends[1]);
        assert_int_equal(log_dropped(), 3);
        assert_in_range(took_ms, 0, 5000);
    }
}

static void
a_synchronous_log_tells_what_it_dropped_when_there_is_room_again(void **state)
{
    (void)state;
    enum { COUNT = 2000 };
    int reader = open_log_to_fifo(false);
    int64_t started_ms = now_ms();
    for (int i = 0; i < COUNT; i++)
        log_write(LOG_INFO, "line", LOG_INT("i", i));
    assert_true(now_ms() - started_ms < 5000); /* one wait of 100 ms, not one a line */
    uint64_t dropped = log_dropped();
    assert_true(dropped > 0);
    char drained[65536];
    while (read(reader, drained, sizeof drained) > 0)
        continue;
    log_write(LOG_INFO, "after");
    log_write(LOG_INFO, "later");
    log_close(0);
    char *text = read_until(reader, has_ended, 0);
    assert_int_equal(log_file_announced(text), dropped);
    assert_int_equal(log_file_count(text, "\n"), 3);
    assert_int_equal(log_dropped(), dropped);
    free(text);
    close(reader);
}

static void
a_sink_whose_reader_is_gone_neither_kills_nor_spins(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_DFL);
    for (int asynchronous = 0; asynchronous < 2; asynchronous++) {
        int reader = open_log_to_fifo(asynchronous);
        close(reader);
        struct rusage before, after;
        getrusage(RUSAGE_SELF, &before);
        errno = 0;
        for (int i = 0; i < 100; i++)
            log_write(LOG_INFO, "into the void");
        assert_int_equal(errno, 0);
        log_close(500);
        getrusage(RUSAGE_SELF, &after);
        assert_int_equal(log_dropped(), 100);
        assert_in_range(after.ru_utime.tv_sec - before.ru_utime.tv_sec, 0, 2);
        sigset_t pending;
        sigpending(&pending);
        assert_int_equal(sigismember(&pending, SIGPIPE), 0);
    }
}

static void
a_closed_stderr_is_survived(void **state)
{
    (void)state;
    for (int asynchronous = 0; asynchronous < 2; asynchronous++) {
        int stderr_before = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
        int file =
            open(log_file_path("stderr"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600); /* no pipe: those are kept open */
        assert_int_equal(dup2(file, STDERR_FILENO), STDERR_FILENO);
        close(file);
        log_file_open(NULL, asynchronous);
        close(STDERR_FILENO);
        log_write(LOG_INFO, "to nobody");
        log_close(100);
        uint64_t dropped = log_dropped();
        log_file_open(log_file_path("log"), asynchronous);
        log_write(LOG_INFO, "to the file");
        log_close(100);
        log_write(LOG_INFO, "to nobody");
        dup2(stderr_before, STDERR_FILENO);
        close(stderr_before);
        unlink(log_file_path("stderr"));
        assert_int_equal(dropped, 1);
        char *text = log_file_text(log_file_path("log"));
        assert_int_equal(log_file_count(text, "to nobody"), 0);
        free(text);
    }
}

/* A full disk, for which a limit on the size of files stands. */
static void
a_line_after_a_torn_one_begins_on_its_own(void **state)
{
    (void)state;
    for (int asynchronous = 0; asynchronous < 2; asynchronous++) {
        struct rlimit before, small;
        unlink(log_file_path("log"));
        signal(SIGXFSZ, SIG_IGN);
        getrlimit(RLIMIT_FSIZE, &before);
        log_file_open(log_file_path("log"), asynchronous);
        small = before;
        small.rlim_cur = 100;
        setrlimit(RLIMIT_FSIZE, &small);
        log_write(LOG_INFO, "first", LOG_STR("padding", "01234567890123456789"));
        log_write(LOG_INFO, "torn", LOG_STR("padding", "01234567890123456789"));
        log_write(LOG_INFO, "lost", LOG_STR("padding", "01234567890123456789"));
        if (asynchronous) { /* the queue is written by the time that the thread has ended */
            log_close(2000);
            setrlimit(RLIMIT_FSIZE, &before);
            assert_in_range(log_dropped(), 2, 3);
            continue;
        }
        setrlimit(RLIMIT_FSIZE, &before);
        log_write(LOG_INFO, "after");
        log_close(0);
        char *text = log_file_text(log_file_path("log"));
        assert_int_equal(log_dropped(), 2);
        assert_int_equal(log_file_announced(text), 2);
        assert_null(strstr(text, "msg=lost"));
        const char *after = strstr(text, "msg=after\n");
        assert_non_null(after);
        while (after > text && after[-1] != '\n')
            after--;
        assert_memory_equal(after, "20", 2); /* its own time stands first in its line */
        assert_true(after - text == 101);
        free(text);
    }
}

/* ---- threads ----------------------------------------------------------------------------------------------------- */

enum { THREADS = 4, EACH = 500 };
static _Atomic int next_thread;

static void *
log_much(void *arg)
{
    (void)arg;
    int me = next_thread++;
    for (int i = 0; i < EACH; i++) {
        log_write(LOG_INFO, "line", LOG_INT("thread", me), LOG_INT("i", i), LOG_STR("end", "here"));
        log_write_limited(LOG_DEBUG, 10, "never shown");
    }
    return NULL;
}

static void
lines_of_many_threads_come_whole_and_each_threads_in_order(void **state)
{
    (void)state;
    for (int asynchronous = 0; asynchronous < 2; asynchronous++) {
        pthread_t threads[THREADS];
        int last[THREADS];
        memset(last, -1, sizeof last);
        next_thread = 0;
        unlink(log_file_path("log"));
        log_file_open(log_file_path("log"), asynchronous);
        for (int i = 0; i < THREADS; i++)
            pthread_create(&threads[i], NULL, log_much, NULL);
        assert_int_equal(log_reopen(NULL), 0);
        for (int i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
        log_close(5000);
        assert_int_equal(log_dropped(), 0);
        char *text = log_file_text(log_file_path("log"));
        int lines = 0;
        for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1, lines++) {
            int thread, i;
            *end = '\0';
            const char *fields = strstr(line, " msg=line ");
            assert_non_null(fields);
            assert_int_equal(sscanf(fields, " msg=line thread=%d i=%d end=here", &thread, &i), 2);
            assert_int_equal(i, last[thread] + 1);
            last[thread] = i;
        }
        assert_int_equal(lines, THREADS * EACH);
        free(text);
    }
}

static _Atomic bool stop_logging;

static void *
log_without_end(void *arg)
{
    (void)arg;
    while (!stop_logging)
        log_write(LOG_INFO, "on and on");
    return NULL;
}

static void
the_log_may_be_closed_while_threads_are_logging(void **state)
{
    (void)state;
    int stderr_before = dup(STDERR_FILENO), null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    pthread_t threads[2];
    dup2(null, STDERR_FILENO); /* where lines go once it is closed */
    unlink(log_file_path("log"));
    log_file_open(log_file_path("log"), true);
    stop_logging = false;
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, log_without_end, NULL);
    int64_t started_ms = now_ms();
    log_close(100);
    int64_t took_ms = now_ms() - started_ms;
    stop_logging = true;
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    dup2(stderr_before, STDERR_FILENO);
    close(stderr_before);
    close(null);
    assert_true(took_ms < 5000);
    char *text = log_file_text(log_file_path("log"));
    assert_int_equal(log_file_count(text, "\n"),
                     log_file_count(text, "msg=\"on and on\"\n") + log_file_count(text, "lines dropped"));
    free(text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_asynchronous_log_never_waits_and_tells_what_it_dropped),
        cmocka_unit_test(every_gap_is_announced_where_it_is),
        cmocka_unit_test(closing_waits_for_a_stuck_sink_no_longer_than_asked),
        cmocka_unit_test(a_blocking_stderr_that_nobody_reads_holds_nobody_up),
        cmocka_unit_test(room_that_another_process_takes_first_is_not_waited_for),
        cmocka_unit_test(a_synchronous_log_tells_what_it_dropped_when_there_is_room_again),
        cmocka_unit_test(a_sink_whose_reader_is_gone_neither_kills_nor_spins),
        cmocka_unit_test(a_closed_stderr_is_survived),
        cmocka_unit_test(a_line_after_a_torn_one_begins_on_its_own),
        cmocka_unit_test(lines_of_many_threads_come_whole_and_each_threads_in_order),
        cmocka_unit_test(the_log_may_be_closed_while_threads_are_logging),
    };
    return cmocka_run_group_tests_name("log_stuck", tests, log_file_make_folder, log_file_remove_folder);
}
