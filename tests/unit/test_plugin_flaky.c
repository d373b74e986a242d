#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "lib/fake_host.h"
#include "lib/tmp.h"

static struct fake_plugin
open_flaky(const struct plugin_option *options, size_t n)
{
    struct err e;
    struct fake_plugin f;
    if (fake_plugin_open("flaky", options, n, &f, &e) != 0)
        fail_msg("%s", e.text);
    return f;
}

#define FLAKY(...)                                                                                                     \
    open_flaky((const struct plugin_option[]){__VA_ARGS__},                                                            \
               sizeof((const struct plugin_option[]){__VA_ARGS__}) / sizeof(struct plugin_option))

static struct fake_verdict
handle(struct fake_plugin *f, const char *id, const char *body, uint32_t receive_count)
{
    struct fake_verdict v;
    fake_plugin_handle(f, &(struct fake_message){id, body, receive_count}, 1, &v, NULL);
    return v;
}

/* Which of 10,000 messages are not done. */
static int
failures(struct fake_plugin *f, uint32_t receive_count, char failed[10000])
{
    int n = 0;
    for (int i = 0; i < 10000; i++) {
        char id[40];
        snprintf(id, sizeof id, "5fea7756-0ea4-451a-a703-%012d", i);
        failed[i] = handle(f, id, "{}", receive_count).verdict != HANDLER_DONE;
        n += failed[i];
    }
    return n;
}

static void
everything_is_done_unless_told_otherwise(void **state)
{
    (void)state;
    char failed[10000];
    struct fake_plugin f = open_flaky(NULL, 0);
    assert_int_equal(failures(&f, 1, failed), 0);
    fake_plugin_close(&f);
}

static void
fail_percent_chooses_by_id_and_seed(void **state)
{
    (void)state;
    char first[10000], again[10000];
    struct fake_plugin f = FLAKY({"fail_percent", "4"});
    assert_in_range(failures(&f, 1, first), 340, 460);
    fake_plugin_close(&f);
    f = FLAKY({"fail_percent", "4"});
    failures(&f, 7, again);
    fake_plugin_close(&f);
    assert_memory_equal(first, again, sizeof first);
    f = FLAKY({"fail_percent", "4"}, {"seed", "1"});
    assert_in_range(failures(&f, 1, again), 340, 460);
    assert_memory_not_equal(first, again, sizeof first);
    struct fake_plugin all = FLAKY({"fail_percent", "100"});
    assert_int_equal(failures(&all, 1, again), 10000);
    assert_string_equal(handle(&all, "x", "{}", 1).reason, "chosen by fail_percent");
    assert_true(handle(&all, "x", "{}", 1).delay_ms < 0);
    fake_plugin_close(&all);
    fake_plugin_close(&f);
}

static void
fail_first_receives_ends_the_failures_of_a_message(void **state)
{
    (void)state;
    struct fake_plugin f = FLAKY({"fail_percent", "100"}, {"fail_first_receives", "2"});
    assert_int_equal(handle(&f, "x", "{}", 1).verdict, HANDLER_RETRY);
    assert_int_equal(handle(&f, "x", "{}", 2).verdict, HANDLER_RETRY);
    assert_int_equal(handle(&f, "x", "{}", 3).verdict, HANDLER_DONE);
    fake_plugin_close(&f);
}

static void
patterns_decide_by_the_body(void **state)
{
    (void)state;
    struct fake_plugin f = FLAKY({"pattern", "\"bad\""}, {"reject_pattern", "poison"});
    assert_int_equal(handle(&f, "x", "{\"a\":\"good\"}", 1).verdict, HANDLER_DONE);
    struct fake_verdict v = handle(&f, "x", "{\"a\":\"bad\"}", 9);
    assert_int_equal(v.verdict, HANDLER_RETRY);
    assert_string_equal(v.reason, "the body has pattern");
    v = handle(&f, "x", "{\"a\":\"bad\", \"poison\":1}", 1);
    assert_int_equal(v.verdict, HANDLER_REJECT);
    assert_string_equal(v.reason, "the body has reject_pattern");
    fake_plugin_close(&f);
}

static void
down_file_makes_every_message_wait_while_it_is_there(void **state)
{
    (void)state;
    const char *dir = tmp_new(), *path = tmp_path(dir, "down");
    struct fake_plugin f = FLAKY({"down_file", path}, {"reject_pattern", "poison"});
    assert_int_equal(handle(&f, "x", "{}", 1).verdict, HANDLER_DONE);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    struct fake_verdict v = handle(&f, "x", "{\"poison\":1}", 1);
    assert_int_equal(v.verdict, HANDLER_DOWN);
    assert_string_equal(v.reason, "the file of option down_file is there");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(handle(&f, "x", "{}", 1).verdict, HANDLER_DONE);
    fake_plugin_close(&f);
    tmp_remove(dir);
}

static void
crash_pattern_kills_the_process(void **state)
{
    (void)state;
    struct fake_plugin f = FLAKY({"crash_pattern", "boom"});
    assert_int_equal(handle(&f, "x", "{}", 1).verdict, HANDLER_DONE);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        handle(&f, "x", "{\"boom\":1}", 1);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSEGV);
    fake_plugin_close(&f);
}

static void
delay_ms_is_the_time_a_message_takes(void **state)
{
    (void)state;
    struct fake_plugin f = FLAKY({"delay_ms", "25"});
    int64_t began = clock_monotonic_ns();
    assert_int_equal(handle(&f, "x", "{}", 1).verdict, HANDLER_DONE);
    assert_true(clock_monotonic_ns() - began >= 25 * 1000000);
    fake_plugin_close(&f);
}

static void *
say_stop(void *stopping)
{
    atomic_store((atomic_bool *)stopping, true);
    return NULL;
}

static void
a_worker_that_stops_does_not_wait_for_a_delay(void **state)
{
    (void)state;
    struct fake_plugin f = FLAKY({"delay_ms", "40000000"});
    struct fake_verdict v;
    atomic_bool stopping = false;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, say_stop, &stopping), 0);
    fake_plugin_handle(&f, &(struct fake_message){"x", "{}", 1}, 1, &v, &stopping);
    pthread_join(thread, NULL);
    assert_int_equal(v.verdict, HANDLER_RETRY);
    assert_string_equal(v.reason, "the worker is stopping");
    fake_plugin_close(&f);
}

static void
record_gets_a_line_for_each_verdict(void **state)
{
    (void)state;
    char folder[] = "/tmp/test_flaky.XXXXXX", path[60], line[100];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/record", folder);
    for (int round = 0; round < 2; round++) {
        struct fake_plugin f = FLAKY({"record", path}, {"pattern", "bad"}, {"reject_pattern", "worse"});
        handle(&f, "id-1", "good", 1);
        handle(&f, "id-2", "bad", 7);
        handle(&f, "id-3", "worse", 1);
        fake_plugin_close(&f);
    }
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    for (int round = 0; round < 2; round++) {
        assert_string_equal(fgets(line, sizeof line, f), "id-1 DONE 1\n");
        assert_string_equal(fgets(line, sizeof line, f), "id-2 RETRY 7\n");
        assert_string_equal(fgets(line, sizeof line, f), "id-3 REJECT 1\n");
    }
    assert_null(fgets(line, sizeof line, f));
    fclose(f);
    unlink(path);
    rmdir(folder);
}

static void
record_body_puts_the_body_behind_the_verdict_on_one_line(void **state)
{
    (void)state;
    char folder[] = "/tmp/test_flaky.XXXXXX", path[60], line[100];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/record", folder);
    struct fake_plugin f = FLAKY({"record", path}, {"record_body", "true"});
    handle(&f, "id-1", "{\n\"a\": 1.10}", 1);
    fake_plugin_close(&f);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_string_equal(fgets(line, sizeof line, file), "id-1 DONE 1 { \"a\": 1.10}\n");
    assert_null(fgets(line, sizeof line, file));
    fclose(file);
    unlink(path);
    rmdir(folder);
}

static void
a_line_that_was_cut_off_does_not_take_the_next_one_along(void **state)
{
    (void)state;
    char folder[] = "/tmp/test_flaky.XXXXXX", path[60], text[200] = "";
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/record", folder);
    FILE *file = fopen(path, "we"); /* a worker was killed here */
    assert_non_null(file);
    fputs("a DONE 1 {}\nb DONE 1 {\"ha", file);
    fclose(file);
    for (int i = 0; i < 2; i++) {
        struct fake_plugin f = FLAKY({"record", path}, {"record_body", "true"});
        handle(&f, "c", "{}", 2);
        fake_plugin_close(&f);
    }
    file = fopen(path, "re");
    assert_non_null(file);
    assert_true(fread(text, 1, sizeof text - 1, file) > 0);
    fclose(file);
    assert_string_equal(text, "a DONE 1 {}\nb DONE 1 {\"ha\nc DONE 2 {}\nc DONE 2 {}\n");
    unlink(path);
    rmdir(folder);
}

static void
a_verdict_that_cannot_be_recorded_is_a_retry(void **state)
{
    (void)state;
    struct fake_plugin f = FLAKY({"record", "/dev/full"});
    struct fake_verdict v = handle(&f, "x", "{}", 1);
    assert_int_equal(v.verdict, HANDLER_RETRY);
    assert_string_equal(v.reason, "cannot write to the file of option record");
    fake_plugin_close(&f);
}

static void
assert_refused(const char *name, const char *value, const char *expected)
{
    struct err e;
    struct fake_plugin f;
    struct plugin_option option = {name, value};
    assert_int_equal(fake_plugin_open("flaky", &option, 1, &f, &e), ERR_CANCELLED);
    assert_string_equal(e.text, expected);
}

static void
options_out_of_range_are_refused(void **state)
{
    (void)state;
    assert_refused("fail_percent", "101", "option fail_percent is 101; 0 to 100 is allowed");
    assert_refused("fail_percent", "-1", "option fail_percent is -1; 0 to 100 is allowed");
    assert_refused("fail_first_receives", "-1", "option fail_first_receives is -1; 0 to 4294967295 is allowed");
    assert_refused("delay_ms", "43200001", "option delay_ms is 43200001; 0 to 43200000 is allowed");
    assert_refused("record", "/nowhere/r", "cannot open /nowhere/r: No such file or directory");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_is_done_unless_told_otherwise),
        cmocka_unit_test(fail_percent_chooses_by_id_and_seed),
        cmocka_unit_test(fail_first_receives_ends_the_failures_of_a_message),
        cmocka_unit_test(patterns_decide_by_the_body),
        cmocka_unit_test(down_file_makes_every_message_wait_while_it_is_there),
        cmocka_unit_test(crash_pattern_kills_the_process),
        cmocka_unit_test(delay_ms_is_the_time_a_message_takes),
        cmocka_unit_test(a_worker_that_stops_does_not_wait_for_a_delay),
        cmocka_unit_test(record_gets_a_line_for_each_verdict),
        cmocka_unit_test(record_body_puts_the_body_behind_the_verdict_on_one_line),
        cmocka_unit_test(a_line_that_was_cut_off_does_not_take_the_next_one_along),
        cmocka_unit_test(a_verdict_that_cannot_be_recorded_is_a_retry),
        cmocka_unit_test(options_out_of_range_are_refused),
    };
    return cmocka_run_group_tests_name("plugin_flaky", tests, NULL, NULL);
}
