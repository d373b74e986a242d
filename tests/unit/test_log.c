#include "base/log.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
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
#include "base/log_format.h"

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

static char folder[64];

static char *
in_folder(const char *name)
{
    static char paths[4][128];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static int
make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/fanout-log-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int
remove_folder(void **state)
{
    (void)state;
    static const char *const names[] = {"log", "log.1", "fifo"};
    log_close(0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlink(in_folder(names[i]));
    return rmdir(folder);
}

static void
open_log(const char *file, bool asynchronous)
{
    struct err e = {0};
    struct log_options options = {.program = "test", .file = file, .level = LOG_INFO, .asynchronous = asynchronous};
    if (log_open(&options, &e) < 0)
        fail_msg("%s", e.text);
}

/* What the file holds; the caller frees it. */
static char *
content_of(const char *path)
{
    struct buf b = BUF_INIT;
    char piece[4096];
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    for (size_t n; (n = fread(piece, 1, sizeof piece, f)) > 0;)
        buf_add(&b, piece, n);
    fclose(f);
    return buf_take(&b);
}

static int
count_of(const char *text, const char *what)
{
    int count = 0;
    for (; (text = strstr(text, what)); text += strlen(what))
        count++;
    return count;
}

/* Sum of count=N over all "log lines dropped" lines. */
static uint64_t
announced_in(const char *text)
{
    static const char notice[] = "msg=\"log lines dropped\" count=";
    uint64_t sum = 0;
    for (; (text = strstr(text, notice)); text += sizeof notice - 1)
        sum += strtoull(text + sizeof notice - 1, NULL, 10);
    return sum;
}

static void
lines_go_to_the_file_at_the_level_set(void **state)
{
    (void)state;
    for (int asynchronous = 0; asynchronous < 2; asynchronous++) {
        unlink(in_folder("log"));
        open_log(in_folder("log"), asynchronous);
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
        char *text = content_of(in_folder("log"));
        assert_int_equal(count_of(text, "\n"), 3);
        assert_int_equal(count_of(text, "msg=shown"), 3);
        assert_non_null(strstr(text, " INFO test["));
        assert_non_null(strstr(text, "msg=shown n=1 s=\"a b\"\n"));
        free(text);
    }
}

static void
every_line_carries_the_context(void **state)
{
    (void)state;
    unlink(in_folder("log"));
    open_log(in_folder("log"), false);
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
    char *text = content_of(in_folder("log"));
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
        unlink(in_folder("log"));
        open_log(in_folder("log"), asynchronous);
        log_write(LOG_INFO, "first");
        assert_int_equal(rename(in_folder("log"), in_folder("log.1")), 0);
        assert_int_equal(log_reopen(NULL), 0);
        log_write(LOG_INFO, "second");
        log_close(1000);
        char *old = content_of(in_folder("log.1")), *new = content_of(in_folder("log"));
        assert_int_equal(count_of(old, "\n") + count_of(new, "\n"), 2); /* the first may still have been queued */
        assert_int_equal(count_of(old, "msg=second"), 0);
        assert_int_equal(count_of(new, "msg=second"), 1);
        free(old);
        free(new);
    }
}

static void
a_reopening_that_fails_keeps_the_file(void **state)
{
    (void)state;
    struct err e = {0};
    unlink(in_folder("log"));
    open_log(in_folder("log"), false);
    rename(in_folder("log"), in_folder("log.1"));
    assert_int_equal(mkdir(in_folder("log"), 0700), 0);
    assert_int_equal(log_reopen(&e), ERR_IO);
    assert_non_null(strstr(e.text, in_folder("log")));
    log_write(LOG_INFO, "still there");
    log_close(0);
    rmdir(in_folder("log"));
    char *text = content_of(in_folder("log.1"));
    assert_int_equal(count_of(text, "still there"), 1);
    free(text);
}

static void
a_file_that_cannot_be_opened_is_an_error_and_the_sink_stays(void **state)
{
    (void)state;
    struct err e = {0};
    unlink(in_folder("log"));
    open_log(in_folder("log"), false);
    struct log_options options = {.program = "test", .file = "/nonexistent/log"};
    assert_int_equal(log_open(&options, &e), ERR_NOT_FOUND);
    assert_non_null(strstr(e.text, "/nonexistent/log"));
    mkfifo(in_folder("fifo"), 0600);
    options.file = in_folder("fifo"); /* nobody reads it: opening must not wait */
    assert_int_equal(log_open(&options, &e), ERR_IO);
    char longest[PATH_MAX + 10];
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    options.file = longest;
    assert_int_equal(log_open(&options, &e), ERR_LIMIT);
    log_write(LOG_INFO, "still there");
    log_close(0);
    char *text = content_of(in_folder("log"));
    assert_int_equal(count_of(text, "still there"), 1);
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
    unlink(in_folder("log"));
    open_log(in_folder("log"), false);
    for (int i = 0; i < 10; i++)
        log_write_limited(LOG_WARN, 3600000, "hourly", LOG_INT("i", i));
    for (int i = 0; i < 10; i++)
        log_write_limited(LOG_WARN, 0, "always");
    log_close(0);
    char *text = content_of(in_folder("log"));
    assert_int_equal(count_of(text, "msg=hourly i=0 suppressed=0\n"), 1);
    assert_int_equal(count_of(text, "msg=hourly"), 1);
    assert_int_equal(count_of(text, "msg=always suppressed=0\n"), 10);
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

/* ---- sinks that do not take what they get ------------------------------------------------------------------------ */

/* A log to a FIFO. Returns the end that reads it. */
static int
open_log_to_fifo(bool asynchronous)
{
    mkfifo(in_folder("fifo"), 0600);
    int reader = open(in_folder("fifo"), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(reader >= 0);
    open_log(in_folder("fifo"), asynchronous);
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
    return announced_in(text) >= n;
}

static bool
accounts_for(const char *text, uint64_t n)
{
    return (uint64_t)count_of(text, "msg=line ") + announced_in(text) >= n;
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
    assert_int_equal(announced_in(text), dropped);
    assert_int_equal(count_of(text, "msg=line "), COUNT - dropped);
    int last = count_of(text, "msg=line ") - 1; /* the first ones were kept: no gap before the notice */
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
    assert_int_equal(count_of(text, "msg=line ") + (int)dropped, COUNT);
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
        open_log(NULL, asynchronous);
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
        assert_int_equal(count_of(text, "msg=line ") + (int)dropped, COUNT);
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
        const char *name = in_folder("fifo");
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
        open_log(is_stderr ? NULL : name, false);
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
    assert_int_equal(announced_in(text), dropped);
    assert_int_equal(count_of(text, "\n"), 3);
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
        open_log(NULL, asynchronous);
        close(STDERR_FILENO);
        log_write(LOG_INFO, "to nobody");
        log_close(100);
        uint64_t dropped = log_dropped();
        open_log(in_folder("log"), asynchronous);
        log_write(LOG_INFO, "to the file");
        log_close(100);
        log_write(LOG_INFO, "to nobody");
        dup2(stderr_before, STDERR_FILENO);
        close(stderr_before);
        assert_int_equal(dropped, 1);
        char *text = content_of(in_folder("log"));
        assert_int_equal(count_of(text, "to nobody"), 0);
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
        unlink(in_folder("log"));
        signal(SIGXFSZ, SIG_IGN);
        getrlimit(RLIMIT_FSIZE, &before);
        open_log(in_folder("log"), asynchronous);
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
        char *text = content_of(in_folder("log"));
        assert_int_equal(log_dropped(), 2);
        assert_int_equal(announced_in(text), 2);
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
        unlink(in_folder("log"));
        open_log(in_folder("log"), asynchronous);
        for (int i = 0; i < THREADS; i++)
            pthread_create(&threads[i], NULL, log_much, NULL);
        assert_int_equal(log_reopen(NULL), 0);
        for (int i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
        log_close(5000);
        assert_int_equal(log_dropped(), 0);
        char *text = content_of(in_folder("log"));
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
    unlink(in_folder("log"));
    open_log(in_folder("log"), true);
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
    char *text = content_of(in_folder("log"));
    assert_int_equal(count_of(text, "\n"), count_of(text, "msg=\"on and on\"\n") + count_of(text, "lines dropped"));
    free(text);
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
    return cmocka_run_group_tests_name("log", tests, make_folder, remove_folder);
}
