/* fanoutctl pattern test: what it prints, says and returns. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/json.h"
#include "lib/proc.h"
#include "lib/shared.h"
#include "lib/skip.h"
#include "lib/tmp.h"

#define END_MS  20000
#define PATTERN "{\"source\":[\"orders\"],\"detail\":{\"state\":[\"paid\"]}}"
#define PAID    "{\"source\":\"orders\",\"detail\":{\"state\":\"paid\", \"n\" : 1.10}}"
#define OPEN    "{\"source\":\"orders\",\"detail\":{\"state\":\"open\"}}"
#define OTHER   "{\"source\":\"other\",\"detail\":{}}"

static struct proc *ran;

/* Runs `fanoutctl pattern test OPTIONS...`, in being its standard input. Returns its exit code. */
static int
run(const char *in, const char *const *options)
{
    const char *argv[20] = {proc_path("bin/fanoutctl"), "pattern", "test"};
    size_t n = 3;
    for (; *options; options++) {
        assert_true(n + 1 < sizeof argv / sizeof *argv);
        argv[n++] = *options;
    }
    proc_destroy(ran);
    ran = proc_start(&(struct proc_options){.argv = argv, .in = in});
    return proc_wait_exit(ran, END_MS);
}

#define RUN(in, ...) run(in, (const char *const[]){__VA_ARGS__, NULL})

static int
clean_up(void **state)
{
    (void)state;
    proc_destroy(ran);
    ran = NULL;
    return 0;
}

static void
assert_said(const char *text)
{
    if (!strstr(proc_stderr(ran), text))
        fail_msg("it does not say \"%s\" but: %s", text, proc_stderr(ran));
}

static void
matching_lines_come_out_as_they_went_in(void **state)
{
    (void)state;
    assert_int_equal(RUN(OPEN "\n " PAID "\t\n\n" OTHER "\n" PAID, "--pattern", PATTERN), 0);
    assert_string_equal(proc_stdout(ran), " " PAID "\t\n" PAID "\n");
    assert_string_equal(proc_stderr(ran), "");
}

static void
nothing_that_matches_is_status_1(void **state)
{
    (void)state;
    assert_int_equal(RUN(OPEN "\n" OTHER "\n", "--pattern", PATTERN), 1);
    assert_string_equal(proc_stdout(ran), "");
    assert_int_equal(RUN("", "--pattern", PATTERN), 1);
}

static void
the_others_come_out_inverted(void **state)
{
    (void)state;
    assert_int_equal(RUN(OPEN "\n" PAID "\n" OTHER "\n", "--pattern", PATTERN, "-v"), 0);
    assert_string_equal(proc_stdout(ran), OPEN "\n" OTHER "\n");
    assert_int_equal(RUN(PAID "\n", "--pattern", PATTERN, "--invert"), 1);
}

static void
they_are_counted(void **state)
{
    (void)state;
    assert_int_equal(RUN(OPEN "\n" PAID "\n" PAID "\n", "--pattern", PATTERN, "-c"), 0);
    assert_string_equal(proc_stdout(ran), "2\n");
    assert_int_equal(RUN(OPEN "\n" PAID "\n" PAID "\n", "--pattern", PATTERN, "--count", "--invert"), 0);
    assert_string_equal(proc_stdout(ran), "1\n");
    assert_int_equal(RUN(OPEN "\n", "--pattern", PATTERN, "-c"), 1);
    assert_string_equal(proc_stdout(ran), "0\n");
}

static void
quietly_only_the_status_tells(void **state)
{
    (void)state;
    assert_int_equal(RUN(OPEN "\n" PAID "\nbad\n", "--pattern", PATTERN, "-q"), 0);
    assert_string_equal(proc_stdout(ran), "");
    assert_string_equal(proc_stderr(ran), ""); /* it ended at the first */
    assert_int_equal(RUN(OPEN "\n", "--pattern", PATTERN, "--quiet", "-c"), 1);
    assert_string_equal(proc_stdout(ran), "");
}

static void
a_bad_line_is_named_and_the_rest_goes_on(void **state)
{
    (void)state;
    assert_int_equal(RUN(PAID "\n{\"source\":}\n[]\n\n" PAID "\n", "--pattern", PATTERN), 2);
    assert_string_equal(proc_stdout(ran), PAID "\n" PAID "\n");
    assert_said("standard input:2: column 11 ");
    assert_said("standard input:3: an event is a JSON object");
    assert_int_equal(proc_count_lines(ran, "standard input:"), 2);
}

static void
a_file_is_read_by_its_name(void **state)
{
    (void)state;
    const char *dir = tmp_new();
    const char *events = tmp_write(dir, "events.ndjson", "%s", OTHER "\n" PAID "\nx\n");
    const char *pattern = tmp_write(dir, "pattern.json", "{\n  \"source\": [\"orders\"]\n}\n");
    assert_int_equal(RUN(NULL, "--pattern-file", pattern, events), 2);
    assert_string_equal(proc_stdout(ran), PAID "\n");
    assert_said("events.ndjson:3: ");
    assert_int_equal(RUN(NULL, "--pattern-file", pattern, "/nowhere/events"), 2);
    assert_said("cannot open /nowhere/events: ");
    assert_int_equal(RUN(NULL, "--pattern-file", "/nowhere/pattern", events), 2);
    assert_said("cannot read the pattern from /nowhere/pattern: ");
}

static void
a_bad_pattern_is_shown_with_its_place(void **state)
{
    (void)state;
    char *long_pattern = malloc(5001);
    assert_non_null(long_pattern);
    assert_int_equal(RUN(PAID "\n", "--pattern", "{\n\t\"caf\xc3\xa9\": \"orders\"\n}"), 2);
    assert_string_equal(proc_stdout(ran), "");
    assert_said("fanoutctl pattern test: Event pattern is not valid. Reason: \"caf\xc3\xa9\" must be an object or an "
                "array at [line: 2, column: 10]\n  \t\"caf\xc3\xa9\": \"orders\"\n  \t        ^\n");
    assert_int_equal(RUN(PAID "\n", "--pattern", "{\"source\":[1,]}"), 2);
    assert_said("Event pattern is not valid. Reason: JSON, line 1, column 14 ");
    assert_said("\n  {\"source\":[1,]}\n               ^\n");
    assert_int_equal(RUN(PAID "\n", "--pattern", "{\"source\":"), 2);
    assert_said("\n  {\"source\":\n            ^\n");
    assert_int_equal(RUN(PAID "\n", "--pattern", "{\"a\":[{\" at [line: 9, column: 9]\":1}]}"), 2);
    assert_said("\n  {\"a\":[{\" at [line: 9, column: 9]\":1}]}\n         ^\n");
    memset(long_pattern, ' ', 5000);
    long_pattern[5000] = '\0';
    assert_int_equal(RUN(PAID "\n", "--pattern", long_pattern), 2);
    assert_said("4096");
    free(long_pattern);
}

static void
it_explains_what_does_not_match(void **state)
{
    (void)state;
    assert_int_equal(RUN(OPEN "\n" PAID "\n" OTHER "\n", "--pattern", PATTERN, "--explain"), 0);
    assert_string_equal(proc_stdout(ran), PAID "\n");
    assert_said("standard input:1: detail.state: wanted \"paid\"; the event has \"open\"\n");
    assert_said("standard input:3: detail.state: wanted \"paid\"; missing\n");
    assert_said("standard input:3: source: wanted \"orders\"; the event has \"other\"\n");
    assert_int_equal(proc_count_lines(ran, "standard input:"), 3);
}

static void
entries_are_taken_for_the_events_they_become(void **state)
{
    (void)state;
    static const char ENTRY[] = "{\"Source\":\"orders\",\"DetailType\":\"Paid\",\"Time\":\"2025-11-20T06:00:00Z\","
                                "\"Resources\":[\"r\"],\"Detail\":\"{\\\"state\\\":\\\"paid\\\"}\"}\n";
    static const char LIKE_IT[] = "{\"source\":[\"orders\"],\"detail-type\":[\"Paid\"],\"resources\":[\"r\"],"
                                  "\"time\":[\"2025-11-20T06:00:00Z\"],\"detail\":{\"state\":[\"paid\"]}}";
    assert_int_equal(RUN(ENTRY, "--entries", "--pattern", LIKE_IT), 0);
    assert_string_equal(proc_stdout(ran), ENTRY);
    assert_int_equal(RUN(ENTRY, "--pattern", LIKE_IT), 2);
    assert_said("standard input:1: this is a PutEvents entry and no event; --entries takes those");
    assert_int_equal(RUN(PAID "\n", "--entries", "--pattern", PATTERN), 2);
    assert_said("standard input:1: unknown member \"source\"");
}

static void
real_events_are_found_among_others(void **state)
{
    (void)state;
    struct buf samples = BUF_INIT;
    if (!shared_read("data/events/aws-samples.ndjson", &samples))
        skip_because("../shared/data/events/aws-samples.ndjson is missing");
    const char *file = tmp_write(tmp_new(), "samples", "%s", samples.data);
    assert_int_equal(RUN(NULL, "--entries", "-c", "--pattern", "{\"source\":[{\"prefix\":\"\"}]}", file), 0);
    size_t lines = 0;
    for (const char *at = samples.data; (at = strchr(at, '\n')); at++)
        lines++;
    assert_int_equal(strtoul(proc_stdout(ran), NULL, 10), lines);
    buf_clean_up(&samples);
}

static void
say(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void
a_slow_writer_s_events_come_out_before_it_says_more(void **state)
{
    (void)state;
    const char *fifo = tmp_path(tmp_new(), "events");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    ran = proc_spawn((const char *[]){proc_path("bin/fanoutctl"), "pattern", "test", "--pattern", PATTERN, fifo, NULL},
                     NULL);
    int fd = open(fifo, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    say(fd, PAID "\n" OPEN "\n" OTHER);
    assert_non_null(proc_wait_line(ran, "paid", END_MS));
    close(fd);
    assert_int_equal(proc_wait_exit(ran, END_MS), 0);
}

static void
a_reader_that_leaves_ends_it(void **state)
{
    (void)state;
    char command[600];
    snprintf(command, sizeof command, "yes '%s' | %s pattern test --pattern '%s' | head -n 1", PAID,
             proc_path("bin/fanoutctl"), PATTERN);
    ran = proc_spawn((const char *[]){"/bin/sh", "-c", command, NULL}, NULL);
    assert_int_equal(proc_wait_exit(ran, END_MS), 0);
    assert_string_equal(proc_stdout(ran), PAID "\n");
    assert_string_equal(proc_stderr(ran), "");
}

static void
wrong_usage_is_status_2(void **state)
{
    (void)state;
    static const char *const WRONG[][6] = {
        {NULL},
        {"test", NULL},
        {"tset", "--pattern", PATTERN, NULL},
        {"test", "--pattern", PATTERN, "--pattern-file", "f", NULL},
        {"test", "--pattern", PATTERN, "a", "b", NULL},
        {"test", "--nothing", NULL},
    };
    for (size_t i = 0; i < sizeof WRONG / sizeof *WRONG; i++) {
        const char *argv[8] = {proc_path("bin/fanoutctl"), "pattern"};
        memcpy(argv + 2, WRONG[i], sizeof WRONG[i]);
        proc_destroy(ran);
        ran = proc_spawn(argv, NULL);
        assert_int_equal(proc_wait_exit(ran, END_MS), 2);
        assert_true(strlen(proc_stderr(ran)) > 0);
    }
    assert_int_equal(RUN(NULL, "--help"), 0);
    assert_int_equal(proc_count_lines(ran, "Exit status: 0"), 1);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_teardown(f, clean_up)
    const struct CMUnitTest tests[] = {
        TEST(matching_lines_come_out_as_they_went_in),
        TEST(nothing_that_matches_is_status_1),
        TEST(the_others_come_out_inverted),
        TEST(they_are_counted),
        TEST(quietly_only_the_status_tells),
        TEST(a_bad_line_is_named_and_the_rest_goes_on),
        TEST(a_file_is_read_by_its_name),
        TEST(a_bad_pattern_is_shown_with_its_place),
        TEST(it_explains_what_does_not_match),
        TEST(entries_are_taken_for_the_events_they_become),
        TEST(real_events_are_found_among_others),
        TEST(a_slow_writer_s_events_come_out_before_it_says_more),
        TEST(a_reader_that_leaves_ends_it),
        TEST(wrong_usage_is_status_2),
    };
    return cmocka_run_group_tests_name("pattern_test", tests, NULL, NULL);
}
