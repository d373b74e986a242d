#include "ctl/lines.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/tmp.h"

#define GOOD "{\"Source\":\"s\",\"DetailType\":\"t\",\"Detail\":{}}"

struct fixture {
    struct lines lines;
    char *said; /* on stderr */
    size_t n;   /* good entries */
    size_t line_of_last;
};

/* Reads all of a file and catches what goes to stderr meanwhile. */
static void
read_all(struct fixture *f, const char *said_in)
{
    struct entry *entry;
    fflush(stderr);
    int before = dup(STDERR_FILENO);
    assert_non_null(freopen(said_in, "w", stderr));
    f->n = 0;
    for (; (entry = lines_next(&f->lines)); f->n++) {
        f->line_of_last = entry->line;
        entry_destroy(entry);
    }
    fflush(stderr);
    dup2(before, STDERR_FILENO);
    close(before);
    free(f->said);
    f->said = tmp_read(said_in, NULL);
}

static void
open_bytes(struct fixture *f, const char *bytes, size_t n)
{
    const char *path = tmp_path(tmp_new(), "events");
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    fclose(file);
    *f = (struct fixture){0};
    assert_int_equal(lines_open(&f->lines, path, "bus", NULL), 0);
}

static void
close_fixture(struct fixture *f)
{
    lines_close(&f->lines);
    free(f->said);
}

static void
empty_lines_line_ends_and_a_missing_last_one_do_not_matter(void **state)
{
    (void)state;
    static const char TEXT[] = GOOD "\r\n\n \t\r\n" GOOD "\n" GOOD;
    struct fixture f;
    open_bytes(&f, TEXT, sizeof TEXT - 1);
    read_all(&f, tmp_path(tmp_new(), "said"));
    assert_int_equal(f.n, 3);
    assert_int_equal(f.line_of_last, 5);
    assert_int_equal(f.lines.bad, 0);
    assert_string_equal(f.said, "");
    assert_int_equal(lines_check(&f.lines, NULL), 0);
    close_fixture(&f);
}

static void
a_bad_line_is_named_by_its_number_and_its_column(void **state)
{
    (void)state;
    static const char TEXT[] = GOOD "\n{\"Source\" 1}\n" GOOD "\n" GOOD "\0\n{\"Source\":\"s\"}\n";
    struct fixture f;
    open_bytes(&f, TEXT, sizeof TEXT - 1);
    read_all(&f, tmp_path(tmp_new(), "said"));
    assert_int_equal(f.n, 2);
    assert_int_equal(f.lines.bad, 3);
    assert_non_null(strstr(f.said, "/events:2: column 11 "));
    char nul[64]; /* behind the last good character */
    snprintf(nul, sizeof nul, "/events:4: column %zu ", sizeof GOOD);
    assert_non_null(strstr(f.said, nul));
    assert_non_null(strstr(f.said, "/events:5: DetailType is missing\n"));
    assert_null(strstr(f.said, "line 1"));
    close_fixture(&f);
}

static void
a_line_that_is_too_long_is_passed_over(void **state)
{
    (void)state;
    size_t n = LINES_LINE_BYTES_MAX + 100;
    char *text = malloc(n + sizeof GOOD);
    assert_non_null(text);
    memset(text, 'x', n);
    text[n - 1] = '\n';
    memcpy(text + n, GOOD, sizeof GOOD);
    struct fixture f;
    open_bytes(&f, text, n + sizeof GOOD - 1);
    read_all(&f, tmp_path(tmp_new(), "said"));
    assert_int_equal(f.n, 1);
    assert_int_equal(f.line_of_last, 2);
    assert_non_null(strstr(f.said, ":1: the line is longer than 8 MiB"));
    free(text);
    close_fixture(&f);
}

static void
a_second_reading_is_silent_about_what_the_first_one_named(void **state)
{
    (void)state;
    static const char TEXT[] = "bad\n" GOOD "\n";
    struct fixture f;
    const char *said_in = tmp_path(tmp_new(), "said");
    open_bytes(&f, TEXT, sizeof TEXT - 1);
    assert_int_equal(lines_keep(&f.lines, NULL), 0);
    read_all(&f, said_in);
    assert_string_not_equal(f.said, "");
    lines_rewind(&f.lines);
    read_all(&f, said_in);
    assert_string_equal(f.said, "");
    assert_int_equal(f.n, 1);
    assert_int_equal(f.line_of_last, 2);
    close_fixture(&f);
}

static void
a_pipe_can_be_read_twice_once_it_is_kept(void **state)
{
    (void)state;
    int ends[2];
    char name[40];
    struct fixture f = {0};
    const char *said_in = tmp_path(tmp_new(), "said");
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], GOOD "\n" GOOD "\n", 2 * sizeof GOOD), 2 * sizeof GOOD);
    close(ends[1]);
    snprintf(name, sizeof name, "/dev/fd/%d", ends[0]);
    assert_int_equal(lines_open(&f.lines, name, "bus", NULL), 0);
    close(ends[0]);
    assert_int_equal(lines_keep(&f.lines, NULL), 0);
    read_all(&f, said_in);
    assert_int_equal(f.n, 2);
    lines_rewind(&f.lines);
    read_all(&f, said_in);
    assert_int_equal(f.n, 2);
    close_fixture(&f);
}

static void
a_byte_order_mark_in_front_of_the_first_line_does_not_matter(void **state)
{
    (void)state;
    static const char TEXT[] = "\xef\xbb\xbf" GOOD "\r\n\xef\xbb\xbf" GOOD "\n";
    struct fixture f;
    open_bytes(&f, TEXT, sizeof TEXT - 1);
    read_all(&f, tmp_path(tmp_new(), "said"));
    assert_int_equal(f.n, 1);
    assert_int_equal(f.line_of_last, 1);
    assert_non_null(strstr(f.said, "/events:2: column 1 "));
    close_fixture(&f);
}

static void
a_writer_that_pauses_is_not_waited_for(void **state)
{
    (void)state;
    int ends[2];
    char name[40];
    struct fixture f = {0};
    struct entry *entry = NULL;
    assert_int_equal(pipe(ends), 0);
    snprintf(name, sizeof name, "/dev/fd/%d", ends[0]);
    assert_int_equal(lines_open(&f.lines, name, "bus", NULL), 0);
    close(ends[0]);
    assert_int_equal(lines_try(&f.lines, &entry), LINES_WAIT);
    assert_int_equal(write(ends[1], GOOD "\n" GOOD, 2 * sizeof GOOD - 1), 2 * sizeof GOOD - 1);
    assert_int_equal(lines_try(&f.lines, &entry), LINES_ENTRY);
    assert_int_equal(entry->line, 1);
    entry_destroy(entry);
    assert_int_equal(lines_try(&f.lines, &entry), LINES_WAIT); /* in the middle of a line */
    assert_int_equal(write(ends[1], "\n", 1), 1);
    assert_int_equal(lines_try(&f.lines, &entry), LINES_ENTRY);
    assert_int_equal(entry->line, 2);
    entry_destroy(entry);
    close(ends[1]);
    assert_int_equal(lines_try(&f.lines, &entry), LINES_END);
    close_fixture(&f);
}

static void
what_cannot_be_read_is_an_error_and_not_the_end(void **state)
{
    (void)state;
    struct fixture f = {0};
    struct err e = {0};
    const char *dir = tmp_new();
    assert_int_equal(lines_open(&f.lines, tmp_path(dir, "none"), "bus", &e), ERR_NOT_FOUND);
    assert_int_equal(lines_open(&f.lines, dir, "bus", &e), 0);
    assert_null(lines_next(&f.lines));
    assert_int_equal(lines_check(&f.lines, &e), ERR_IO);
    assert_non_null(strstr(e.text, "Is a directory"));
    close_fixture(&f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_lines_line_ends_and_a_missing_last_one_do_not_matter),
        cmocka_unit_test(a_bad_line_is_named_by_its_number_and_its_column),
        cmocka_unit_test(a_line_that_is_too_long_is_passed_over),
        cmocka_unit_test(a_second_reading_is_silent_about_what_the_first_one_named),
        cmocka_unit_test(a_pipe_can_be_read_twice_once_it_is_kept),
        cmocka_unit_test(a_byte_order_mark_in_front_of_the_first_line_does_not_matter),
        cmocka_unit_test(a_writer_that_pauses_is_not_waited_for),
        cmocka_unit_test(what_cannot_be_read_is_an_error_and_not_the_end),
    };
    return cmocka_run_group_tests_name("lines", tests, NULL, NULL);
}
