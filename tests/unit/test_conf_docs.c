#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/metrics_text.h"
#include "config/conf.h"

/* The tests run in the repository. Empty when the file cannot be opened. */
static struct buf
contents(const char *path)
{
    struct buf text = BUF_INIT;
    FILE *f = fopen(path, "re");
    char chunk[4096];
    size_t n;
    while (f && (n = fread(chunk, 1, sizeof chunk, f)) > 0)
        buf_add(&text, chunk, n);
    if (f)
        fclose(f);
    return text;
}

static void
the_example_file_is_what_the_table_says(void **state)
{
    (void)state;
    struct buf file = contents("conf/fanoutd.conf"), table = BUF_INIT;
    conf_print_example(&table);
    if (!file.data || strcmp(file.data, table.data) != 0)
        fail_msg("conf/fanoutd.conf is not what the option table says: run `make docs`");
    buf_clean_up(&file);
    buf_clean_up(&table);
}

static void
assert_table(const char *opening_line, const char *closing_line, void (*print)(struct buf *out))
{
    struct buf file = contents("README.md"), table = BUF_INIT;
    char *opening = file.data ? strstr(file.data, opening_line) : NULL;
    char *closing = opening ? strstr(opening, closing_line) : NULL;
    if (!closing)
        fail_msg("README.md has no %s and %s", opening_line, closing_line);
    char *written = opening + strlen(opening_line);
    *closing = 0;
    print(&table);
    if (strcmp(written, table.data) != 0)
        fail_msg("what README.md has between %s and %s is not what the table says: run `make docs`", opening_line,
                 closing_line);
    buf_clean_up(&file);
    buf_clean_up(&table);
}

static void
the_readme_is_what_the_tables_say(void **state)
{
    (void)state;
    assert_table("<!-- options -->\n", "<!-- /options -->", conf_print_markdown);
    assert_table("<!-- metrics -->\n", "<!-- /metrics -->", metrics_text_markdown);
}

static void
assert_reads(const char *path)
{
    struct conf *conf = NULL;
    struct conf_problems problems;
    if (conf_read_file(path, &conf, &problems, NULL) != 0)
        fail_msg("%s", problems.text.data);
    conf_destroy(conf);
}

static void
the_files_of_conf_are_right(void **state)
{
    (void)state;
    unsetenv("AWS_ENDPOINT_URL");
    assert_reads("conf/fanoutd.conf");
    assert_reads("conf/demo.conf");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_file_is_what_the_table_says),
        cmocka_unit_test(the_readme_is_what_the_tables_say),
        cmocka_unit_test(the_files_of_conf_are_right),
    };
    return cmocka_run_group_tests_name("conf_docs", tests, NULL, NULL);
}
