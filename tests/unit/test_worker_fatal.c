#include "worker/fatal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/tmp.h"
#include "lib/xorshift.h"
#include "worker/modules.h"

/* ---- a process that dies ---- */

struct death {
    struct ledger_crash crash;
    int status;
};

static void
begin_to_die(int fd)
{
    struct ledger *l;
    struct err e;
    prctl(PR_SET_DUMPABLE, 0); /* no core files */
    if (ledger_open(fd, &l, &e) != 0)
        _exit(100);
    ledger_reset(l);
    if (fatal_init(l, &e) != 0)
        _exit(101);
}

static struct death
die_by(void (*how)(void))
{
    const struct ledger_options options = {.records = 1, .threads = 8, .heap_bytes = 4096};
    struct ledger *l;
    struct err e;
    struct death d;
    int fd;
    assert_int_equal(ledger_create(&options, &fd, &l, &e), 0);
    pid_t pid = fork();
    if (pid == 0) {
        begin_to_die(fd);
        how();
        _exit(102);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &d.status, 0), pid);
    d.crash = *ledger_crash(l);
    ledger_close(l);
    close(fd);
    return d;
}

static void
assert_died_of(const struct death *d, int signal_number)
{
    assert_true(WIFSIGNALED(d->status));
    assert_int_equal(WTERMSIG(d->status), signal_number);
    assert_int_equal(d->crash.signal, signal_number);
}

/* ---- ways to die ---- */

static volatile int *volatile nowhere = (int *)16;

__attribute__((noinline)) static void
write_nowhere(void)
{
    *nowhere = 1;
}

static void
fault(void)
{
    fatal_note_modules((uintptr_t)write_nowhere);
    write_nowhere();
}

static void *
fault_in_thread(void *unused)
{
    fatal_thread_begin(5);
    write_nowhere();
    return unused;
}

static void
fault_elsewhere(void)
{
    pthread_t t;
    if (pthread_create(&t, NULL, fault_in_thread, NULL) == 0)
        pthread_join(t, NULL);
}

static void
fault_later(void)
{
    pthread_t t;
    fatal_thread_begin(3);
    if (pthread_create(&t, NULL, fault_in_thread, NULL) == 0)
        pthread_join(t, NULL);
}

static volatile int depth_max = -1;

/* Not a tail call: the compiler is to keep every frame. */
__attribute__((noinline)) static int
run_over(int depth)
{
    volatile char frame[512];
    frame[0] = (char)depth;
    return depth == depth_max ? 0 : run_over(depth + 1) + frame[0];
}

static void *
overflow_in_thread(void *unused)
{
    fatal_thread_begin(2);
    run_over(0);
    return unused;
}

static void
overflow(void)
{
    pthread_t t;
    fatal_note_modules((uintptr_t)run_over);
    if (pthread_create(&t, NULL, overflow_in_thread, NULL) == 0)
        pthread_join(t, NULL);
}

static void
trap(void)
{
    raise(SIGTRAP);
}

static void
jump_nowhere(void)
{
    void (*f)(void);
    void *to = (void *)64;
    memcpy(&f, &to, sizeof f);
    f();
    depth_max = 0; /* no tail call */
}

static pthread_barrier_t barrier;

static void *
fault_together(void *number)
{
    fatal_thread_begin((int32_t)(intptr_t)number);
    pthread_barrier_wait(&barrier);
    write_nowhere();
    return NULL;
}

static void
all_fault_at_once(void)
{
    pthread_t t[8];
    pthread_barrier_init(&barrier, NULL, 8);
    for (intptr_t i = 0; i < 8; i++)
        pthread_create(&t[i], NULL, fault_together, (void *)i);
    for (intptr_t i = 0; i < 8; i++)
        pthread_join(t[i], NULL);
}

static void
leave_in_peace(void)
{
    fatal_thread_end();
    _exit(0);
}

/* ---- tests ---- */

static void
a_fault_is_reported_with_its_signal_address_and_function(void **state)
{
    (void)state;
    struct death d = die_by(fault);
    assert_died_of(&d, SIGSEGV);
    assert_int_equal(d.crash.address, 16);
    assert_int_equal(d.crash.thread, -1);
    assert_true(d.crash.n_frames > 1);
    assert_memory_equal(d.crash.where, "write_nowhere+0x", 16);
    assert_non_null(strstr(d.crash.where, " (test_worker_fatal+0x"));
    assert_memory_equal(d.crash.backtrace, "write_nowhere+0x", 16);
    assert_non_null(strstr(d.crash.backtrace, ", main+0x"));
}

static void
the_thread_that_struck_is_named(void **state)
{
    (void)state;
    struct death d = die_by(fault_elsewhere);
    assert_died_of(&d, SIGSEGV);
    assert_int_equal(d.crash.thread, 5);
    d = die_by(fault_later);
    assert_int_equal(d.crash.thread, 5);
}

static void
a_stack_that_ran_over_is_reported(void **state)
{
    (void)state;
    struct death d = die_by(overflow);
    assert_died_of(&d, SIGSEGV);
    assert_int_equal(d.crash.thread, 2);
    assert_memory_equal(d.crash.where, "run_over+0x", 11);
    assert_int_equal(d.crash.n_frames, LEDGER_FRAMES);
}

static void
abort_and_what_was_sent_end_by_their_own_signal(void **state)
{
    (void)state;
    struct death d = die_by(abort);
    assert_died_of(&d, SIGABRT);
    assert_non_null(strstr(d.crash.backtrace, "die_by+0x"));
    d = die_by(trap);
    assert_died_of(&d, SIGTRAP);
}

static void
a_jump_to_nowhere_is_reported_with_what_is_known(void **state)
{
    (void)state;
    struct death d = die_by(jump_nowhere);
    assert_died_of(&d, SIGSEGV);
    assert_int_equal(d.crash.address, 64);
    assert_int_equal(d.crash.frames[0], 64);
    assert_memory_equal(d.crash.backtrace, "0x40, jump_nowhere+0x", 21);
}

static void
of_threads_that_strike_together_one_is_reported(void **state)
{
    (void)state;
    struct death d = die_by(all_fault_at_once);
    assert_died_of(&d, SIGSEGV);
    assert_in_range(d.crash.thread, 0, 7);
    assert_memory_equal(d.crash.where, "write_nowhere+0x", 16);
}

static void
who_leaves_in_peace_reports_nothing(void **state)
{
    (void)state;
    struct death d = die_by(leave_in_peace);
    assert_true(WIFEXITED(d.status));
    assert_int_equal(WEXITSTATUS(d.status), 0);
    assert_int_equal(d.crash.signal, 0);
}

/* ---- names ---- */

static void
own_functions_and_libraries_have_names(void **state)
{
    (void)state;
    static struct modules m;
    char text[200];
    modules_read(&m);
    assert_true(m.count > 2);
    modules_describe(&m, (uintptr_t)run_over + 1, 0, text, sizeof text);
    assert_memory_equal(text, "run_over+0x1 (test_worker_fatal+0x", 34);
    modules_describe(&m, (uintptr_t)getpid, 0, text, sizeof text);
    assert_non_null(strstr(text, "getpid+0x0 (libc"));
}

static void
a_return_address_behind_a_function_is_still_its_own(void **state)
{
    (void)state;
    static struct modules m;
    char first[200], behind[200];
    modules_read(&m);
    modules_describe(&m, (uintptr_t)run_over, 0, first, sizeof first);
    assert_memory_equal(first, "run_over+0x0 ", 13);
    modules_describe(&m, (uintptr_t)run_over, 1, behind, sizeof behind);
    assert_null(strstr(behind, "run_over"));
}

static void
what_is_in_no_file_is_a_number_and_text_is_cut_to_fit(void **state)
{
    (void)state;
    static struct modules m;
    char text[64];
    modules_read(&m);
    assert_int_equal(modules_describe(&m, 0x1234, 0, text, sizeof text), 6);
    assert_string_equal(text, "0x1234");
    memset(text, 'x', sizeof text);
    assert_int_equal(modules_describe(&m, (uintptr_t)run_over, 0, text, 9), 8);
    assert_string_equal(text, "run_over");
    assert_int_equal(text[9], 'x');
}

/* A file that is damaged or cut in many ways: whatever it says, nothing is read outside it. */
static void
damaged_files_are_read_within_their_bounds(void **state)
{
    (void)state;
    static struct modules m;
    static struct modules one = {.count = 1};
    char text[400];
    size_t n;
    const char *dir = tmp_new();
    modules_read(&m);
    const struct module *own = modules_find(&m, (uintptr_t)run_over);
    assert_non_null(own);
    char *whole = tmp_read(own->path, &n);
    assert_non_null(whole);
    ElfW(Ehdr) head;
    memcpy(&head, whole, sizeof head);
    one.module[0] = *own;
    snprintf(one.module[0].path, sizeof one.module[0].path, "%s", tmp_path(dir, "damaged"));
    uint64_t random = 4711;
    for (int round = 0; round < 200; round++) {
        size_t sections = (size_t)head.e_shnum * sizeof(ElfW(Shdr)), cut = n;
        size_t area = round % 2 ? head.e_shoff : 0, bytes = round % 2 ? sections : sizeof head;
        size_t at = area + xorshift_next(&random) % bytes;
        char kept = whole[at];
        if (round % 5 == 0)
            cut = xorshift_next(&random) % n;
        whole[at] = (char)xorshift_next(&random);
        FILE *out = fopen(one.module[0].path, "we");
        assert_non_null(out);
        assert_int_equal(fwrite(whole, 1, cut, out), cut);
        fclose(out);
        whole[at] = kept;
        modules_describe(&one, (uintptr_t)run_over, 0, text, sizeof text);
        assert_non_null(strstr(text, "damaged+0x"));
    }
    unlink(one.module[0].path);
    modules_describe(&one, (uintptr_t)run_over, 0, text, sizeof text);
    assert_memory_equal(text, "damaged+0x", 10);
    free(whole);
    tmp_remove(dir);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fault_is_reported_with_its_signal_address_and_function),
        cmocka_unit_test(the_thread_that_struck_is_named),
        cmocka_unit_test(a_stack_that_ran_over_is_reported),
        cmocka_unit_test(abort_and_what_was_sent_end_by_their_own_signal),
        cmocka_unit_test(a_jump_to_nowhere_is_reported_with_what_is_known),
        cmocka_unit_test(of_threads_that_strike_together_one_is_reported),
        cmocka_unit_test(who_leaves_in_peace_reports_nothing),
        cmocka_unit_test(own_functions_and_libraries_have_names),
        cmocka_unit_test(a_return_address_behind_a_function_is_still_its_own),
        cmocka_unit_test(what_is_in_no_file_is_a_number_and_text_is_cut_to_fit),
        cmocka_unit_test(damaged_files_are_read_within_their_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
