#include "base/log.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
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

#include "base/clock.h"
#include "base/log_format.h"
#include "lib/log_file.h"

/* ---- what a line looks like ------------------------------------------------------------------------------------- */

static const struct log_head HEAD = {
    .wall_ms = 1795154400123, .level = LOG_WARN, .program = "fanout-worker", .pid = 4711};
static const char TEXT_HEAD[] = "2026-11-20T06:00:00.123Z WARN fanout-worker[4711] ";

/* The line of msg=m and one field, without head and newline. */
static const char *
text_of(struct log_field field)
{
    static char line[LOG_LINE_BYTES + 1];
    size_t n = log_format_line(line, LOG_FORMAT_TEXT, &HEAD, "m", &field, 1);
    assert_int_equal(line[n - 1], '\n');
    line[n - 1] = '\0';
    assert_memory_equal(line, TEXT_HEAD, strlen(TEXT_HEAD));
    assert_memory_equal(line + strlen(TEXT_HEAD), "msg=m ", 6);
    return line + strlen(TEXT_HEAD) + 6;
}

static const char *
text_of_string(const char *value)
{
    return text_of((struct log_field)LOG_STR("k", value));
}

static void
a_line_has_time_level_program_context_message_and_fields(void **state)
{
    (void)state;
    char line[LOG_LINE_BYTES];
    struct log_field context[] = {LOG_STR("consumer", "orders")};
    struct log_head head = HEAD;
    head.context = context;
    head.context_n = 1;
    struct err e;
    err_set(&e, ERR_IO, "no such queue");
    struct log_field fields[] = {LOG_STR("id", "abc-1"), LOG_INT("attempts", 3), LOG_ERR(&e)};
    size_t n = log_format_line(line, LOG_FORMAT_TEXT, &head, "delete failed", fields, 3);
    static const char text[] = "2026-11-20T06:00:00.123Z WARN fanout-worker[4711] consumer=orders "
                               "msg=\"delete failed\" id=abc-1 attempts=3 error=\"no such queue\"\n";
    assert_int_equal(n, strlen(text));
    assert_memory_equal(line, text, n);

    n = log_format_line(line, LOG_FORMAT_JSON, &head, "delete failed", fields, 3);
    static const char json[] = "{\"time\":\"2026-11-20T06:00:00.123Z\",\"level\":\"WARN\",\"program\":"
                               "\"fanout-worker\",\"pid\":4711,\"consumer\":\"orders\",\"msg\":\"delete failed\","
                               "\"id\":\"abc-1\",\"attempts\":3,\"error\":\"no such queue\"}\n";
    assert_int_equal(n, strlen(json));
    assert_memory_equal(line, json, n);
}

static void
values_are_quoted_only_where_needed(void **state)
{
    (void)state;
    assert_string_equal(text_of_string("plain-value_1.5/x:y"), "k=plain-value_1.5/x:y");
    assert_string_equal(text_of_string("a b"), "k=\"a b\"");
    assert_string_equal(text_of_string("a=b"), "k=\"a=b\"");
    assert_string_equal(text_of_string(""), "k=\"\"");
    assert_string_equal(text_of_string(NULL), "k=\"\"");
    assert_string_equal(text_of_string("say \"hi\""), "k=\"say \\\"hi\\\"\"");
    assert_string_equal(text_of_string("gr\u00fc\u00dfe"), "k=gr\u00fc\u00dfe");
}

static void
a_value_cannot_forge_a_line_nor_speak_to_the_terminal(void **state)
{
    (void)state;
    assert_string_equal(text_of_string("a\nb\tc\\d"), "k=\"a\\nb\\tc\\\\d\"");
    assert_string_equal(text_of_string("\r\x1b[31m\x7f"), "k=\"\\x0d\\x1b[31m\\x7f\"");
    assert_string_equal(text_of_string("\xff\xc3"), "k=\"\\xff\\xc3\"");
    assert_string_equal(text_of_string("\xc2\x9b"), "k=\"\\xc2\\x9b\"");          /* CSI as a C1 control */
    assert_string_equal(text_of_string("\xed\xa0\x80"), "k=\"\\xed\\xa0\\x80\""); /* a surrogate */
    assert_string_equal(text_of_string("\xc0\xaf"), "k=\"\\xc0\\xaf\"");          /* overlong */
    assert_string_equal(text_of((struct log_field)LOG_SLICE("k", slice_of("a\0b", 3))), "k=\"a\\x00b\"");
    assert_string_equal(text_of((struct log_field)LOG_INT("a key=\n", 1)), "a_key__=1");
    assert_string_equal(text_of((struct log_field)LOG_INT("", 1)), "_=1");
}

static void
numbers_and_truth_values(void **state)
{
    (void)state;
    assert_string_equal(text_of((struct log_field)LOG_INT("k", INT64_MIN)), "k=-9223372036854775808");
    assert_string_equal(text_of((struct log_field)LOG_NUM("k", 0.1)), "k=0.1");
    assert_string_equal(text_of((struct log_field)LOG_NUM("k", 1e300)), "k=1e+300");
    assert_string_equal(text_of((struct log_field)LOG_NUM("k", NAN)), "k=nan");
    assert_string_equal(text_of((struct log_field)LOG_NUM("k", -INFINITY)), "k=-inf");
    assert_string_equal(text_of((struct log_field)LOG_BOOL("k", true)), "k=true");
    assert_string_equal(text_of((struct log_field)LOG_BOOL("k", false)), "k=false");
}

static cJSON *
parse_line(char *line, size_t n)
{
    assert_true(n >= 1 && n <= LOG_LINE_BYTES);
    assert_int_equal(line[n - 1], '\n');
    line[n - 1] = '\0';
    assert_int_equal(strlen(line), n - 1);
    assert_null(strchr(line, '\n'));
    const char *end = NULL;
    cJSON *json = cJSON_ParseWithOpts(line, &end, true);
    if (!json)
        fail_msg("no JSON: %s", line);
    return json;
}

static void
json_is_valid_whatever_the_values(void **state)
{
    (void)state;
    char line[LOG_LINE_BYTES];
    struct log_field odd[] = {LOG_NUM("nan", NAN), LOG_NUM("inf", INFINITY), LOG_STR("null", NULL),
                              LOG_STR("\x01\"k", "\xff\u00e9\n\x01\"\\")};
    cJSON *json = parse_line(line, log_format_line(line, LOG_FORMAT_JSON, &HEAD, "m", odd, 4));
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(json, "nan")));
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(json, "inf")));
    assert_string_equal(cJSON_GetObjectItem(json, "\x01\"k")->valuestring, "\ufffd\u00e9\n\x01\"\\");
    cJSON_Delete(json);

    srand(5);
    for (int i = 0; i < 5000; i++) {
        char values[3][2000];
        struct log_field fields[3];
        for (int k = 0; k < 3; k++) {
            size_t n = (size_t)(rand() % (i % 10 == 0 ? 2000 : 40));
            for (size_t at = 0; at < n; at++)
                values[k][at] = (char)(rand() % (i % 3 ? 256 : 32));
            fields[k] = (struct log_field)LOG_SLICE("k", slice_of(values[k], n));
        }
        cJSON_Delete(parse_line(line, log_format_line(line, LOG_FORMAT_JSON, &HEAD, "m", fields, 3)));
    }
}

static void
a_line_that_is_too_long_is_cut_and_stays_whole(void **state)
{
    (void)state;
    char line[LOG_LINE_BYTES], value[6000];
    memset(value, 'x', sizeof value);
    for (size_t n = LOG_LINE_BYTES - 200; n < LOG_LINE_BYTES + 100; n++) {
        struct log_field fields[] = {LOG_SLICE("long", slice_of(value, n)), LOG_INT("number", 123456789),
                                     LOG_STR("after", "y")};
        size_t length = log_format_line(line, LOG_FORMAT_TEXT, &HEAD, "m", fields, 3);
        assert_in_range(length, LOG_LINE_BYTES - 200, LOG_LINE_BYTES);
        assert_int_equal(line[length - 1], '\n');

        cJSON *json = parse_line(line, log_format_line(line, LOG_FORMAT_JSON, &HEAD, "m", fields, 3));
        const char *text = cJSON_GetObjectItem(json, "long")->valuestring;
        const cJSON *number = cJSON_GetObjectItem(json, "number");
        bool cut = strlen(text) >= 3 && strcmp(text + strlen(text) - 3, "...") == 0;
        assert_true(cut || strlen(text) == n);
        assert_true(!cut || !number);
        if (number)
            assert_true(number->valuedouble == 123456789);
        cJSON_Delete(json);
    }
    for (size_t i = 0; i + 6 <= sizeof value; i += 6) /* every character takes six */
        memcpy(value + i, "\x01\x02\x03\x04\x05\x06", 6);
    for (size_t n = 600; n < 700; n++) {
        struct log_field fields[] = {LOG_SLICE("k", slice_of(value, n))};
        cJSON_Delete(parse_line(line, log_format_line(line, LOG_FORMAT_JSON, &HEAD, "m", fields, 1)));
    }
    struct log_field fields[] = {LOG_SLICE("k", slice_of(value, sizeof value))};
    memset(value, 'x', sizeof value);
    value[sizeof value - 1] = '\0';
    cJSON_Delete(parse_line(line, log_format_line(line, LOG_FORMAT_JSON, &HEAD, value, fields, 1)));
}

/* ---- where it goes ----------------------------------------------------------------------------------------------- */

static void
lines_go_to_the_file_at_the_level_set(void **state)
{
    (void)state;
    for (int asynchronous = 0; asynchronous < 2; asynchronous++) {
        unlink(log_file_path("log"));
        log_file_open(log_file_path("log"), asynchronous);
        errno = EPIPE;
        log_write(LOG_INFO, "shown", LOG_INT("n", 1), LOG_STR("s", "a b"));
        assert_int_equal(errno, EPIPE);
        log_write(LOG_DEBUG, "hidden");
        log_line(LOG_DEBUG, "hidden", NULL, 0);
        log_set_level(LOG_DEBUG);
        log_write(LOG_DEBUG, "shown");
        log_set_level(LOG_ERROR);
        log_write(LOG_WARN, "hidden");
        log_write(LOG_ERROR, "shown");
        assert_int_equal(log_dropped(), 0);
        log_close(1000);
        char *text = log_file_text(log_file_path("log"));
        assert_int_equal(log_file_count(text, "\n"), 3);
        assert_int_equal(log_file_count(text, "msg=shown"), 3);
        assert_non_null(strstr(text, " INFO test["));
        assert_non_null(strstr(text, "msg=shown n=1 s=\"a b\"\n"));
        free(text);
    }
}

static void
every_line_carries_the_context(void **state)
{
    (void)state;
    unlink(log_file_path("log"));
    log_file_open(log_file_path("log"), false);
    log_set_context("consumer", "orders");
    log_set_context("slot", "1");
    log_write(LOG_INFO, "both");
    log_set_context("slot", "2");
    log_write(LOG_INFO, "changed");
    log_set_context("consumer", NULL);
    log_set_context("unknown", NULL);
    log_write(LOG_INFO, "one");
    log_set_context("slot", NULL);
    log_write(LOG_INFO, "none");
    log_close(0);
    char *text = log_file_text(log_file_path("log"));
    assert_non_null(strstr(text, "] consumer=orders slot=1 msg=both\n"));
    assert_non_null(strstr(text, "] consumer=orders slot=2 msg=changed\n"));
    assert_non_null(strstr(text, "] slot=2 msg=one\n"));
    assert_non_null(strstr(text, "] msg=none\n"));
    free(text);
}

static void
a_rotated_file_is_opened_again_under_its_name(void **state)
{
    (void)state;
    for (int asynchronous = 0; asynchronous < 2; asynchronous++) {
        unlink(log_file_path("log"));
        log_file_open(log_file_path("log"), asynchronous);
        log_write(LOG_INFO, "first");
        assert_int_equal(rename(log_file_path("log"), log_file_path("log.1")), 0);
        assert_int_equal(log_reopen(NULL), 0);
        log_write(LOG_INFO, "second");
        log_close(1000);
        char *old = log_file_text(log_file_path("log.1")), *new = log_file_text(log_file_path("log"));
        assert_int_equal(log_file_count(old, "\n") + log_file_count(new, "\n"),
                         2); /* the first may still have been queued */
        assert_int_equal(log_file_count(old, "msg=second"), 0);
        assert_int_equal(log_file_count(new, "msg=second"), 1);
        free(old);
        free(new);
    }
}

static void
a_reopening_that_fails_keeps_the_file(void **state)
{
    (void)state;
    struct err e = {0};
    unlink(log_file_path("log"));
    log_file_open(log_file_path("log"), false);
    rename(log_file_path("log"), log_file_path("log.1"));
    assert_int_equal(mkdir(log_file_path("log"), 0700), 0);
    assert_int_equal(log_reopen(&e), ERR_IO);
    assert_non_null(strstr(e.text, log_file_path("log")));
    log_write(LOG_INFO, "still there");
    log_close(0);
    rmdir(log_file_path("log"));
    char *text = log_file_text(log_file_path("log.1"));
    assert_int_equal(log_file_count(text, "still there"), 1);
    free(text);
}

static void
a_file_that_cannot_be_opened_is_an_error_and_the_sink_stays(void **state)
{
    (void)state;
    struct err e = {0};
    unlink(log_file_path("log"));
    log_file_open(log_file_path("log"), false);
    struct log_options options = {.program = "test", .file = "/nonexistent/log"};
    assert_int_equal(log_open(&options, &e), ERR_NOT_FOUND);
    assert_non_null(strstr(e.text, "/nonexistent/log"));
    mkfifo(log_file_path("fifo"), 0600);
    options.file = log_file_path("fifo"); /* nobody reads it: opening must not wait */
    assert_int_equal(log_open(&options, &e), ERR_IO);
    char longest[PATH_MAX + 10];
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    options.file = longest;
    assert_int_equal(log_open(&options, &e), ERR_LIMIT);
    log_write(LOG_INFO, "still there");
    log_close(0);
    char *text = log_file_text(log_file_path("log"));
    assert_int_equal(log_file_count(text, "still there"), 1);
    free(text);
}

static void
levels_have_names(void **state)
{
    (void)state;
    enum log_level level = LOG_INFO;
    assert_int_equal(log_parse_level("error", &level), 0);
    assert_int_equal(level, LOG_ERROR);
    assert_int_equal(log_parse_level("Debug", &level), 0);
    assert_int_equal(level, LOG_DEBUG);
    assert_int_equal(log_parse_level("verbose", &level), ERR_INVALID);
    assert_int_equal(log_parse_level("", &level), ERR_INVALID);
    assert_int_equal(level, LOG_DEBUG);
    assert_string_equal(log_level_name(LOG_WARN), "WARN");
}

static void
a_repeated_line_comes_once_an_interval_with_the_number_left_out(void **state)
{
    (void)state;
    unlink(log_file_path("log"));
    log_file_open(log_file_path("log"), false);
    for (int i = 0; i < 10; i++)
        log_write_limited(LOG_WARN, 3600000, "hourly", LOG_INT("i", i));
    for (int i = 0; i < 10; i++)
        log_write_limited(LOG_WARN, 0, "always");
    log_close(0);
    char *text = log_file_text(log_file_path("log"));
    assert_int_equal(log_file_count(text, "msg=hourly i=0 suppressed=0\n"), 1);
    assert_int_equal(log_file_count(text, "msg=hourly"), 1);
    assert_int_equal(log_file_count(text, "msg=always suppressed=0\n"), 10);
    free(text);

    struct log_site site = {0};
    uint64_t suppressed = 42;
    assert_true(log_site_allows(&site, 3600000, &suppressed));
    assert_int_equal(suppressed, 0);
    for (int i = 0; i < 7; i++)
        assert_false(log_site_allows(&site, 3600000, &suppressed));
    site.next_ms = clock_monotonic_ms(); /* the hour is over */
    assert_true(log_site_allows(&site, 3600000, &suppressed));
    assert_int_equal(suppressed, 7);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_has_time_level_program_context_message_and_fields),
        cmocka_unit_test(values_are_quoted_only_where_needed),
        cmocka_unit_test(a_value_cannot_forge_a_line_nor_speak_to_the_terminal),
        cmocka_unit_test(numbers_and_truth_values),
        cmocka_unit_test(json_is_valid_whatever_the_values),
        cmocka_unit_test(a_line_that_is_too_long_is_cut_and_stays_whole),
        cmocka_unit_test(lines_go_to_the_file_at_the_level_set),
        cmocka_unit_test(every_line_carries_the_context),
        cmocka_unit_test(a_rotated_file_is_opened_again_under_its_name),
        cmocka_unit_test(a_reopening_that_fails_keeps_the_file),
        cmocka_unit_test(a_file_that_cannot_be_opened_is_an_error_and_the_sink_stays),
        cmocka_unit_test(levels_have_names),
        cmocka_unit_test(a_repeated_line_comes_once_an_interval_with_the_number_left_out),
    };
    return cmocka_run_group_tests_name("log", tests, log_file_make_folder, log_file_remove_folder);
}
