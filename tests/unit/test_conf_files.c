/* Configurations of several files. */
#include "config/conf.h"

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

#include "lib/conf_text.h"

static int
make_folder(void **state)
{
    char *folder = strdup("/tmp/test_conf.XXXXXX");
    *state = folder;
    return folder && mkdtemp(folder) ? 0 : -1;
}

static int
remove_folder(void **state)
{
    char command[200];
    snprintf(command, sizeof command, "rm -rf '%s'", (char *)*state);
    free(*state);
    return system(command) ? -1 : 0;
}

/* Writes FOLDER/name; path gets its path. */
static void
write_file(const char *folder, const char *name, const char *text, char path[300])
{
    snprintf(path, 300, "%s/%s", folder, name);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_int_equal(fputs(text, f) < 0, 0);
    assert_int_equal(fclose(f), 0);
}

/* %s in expected stands for the folder. */
static void
assert_file_problem(const char *folder, const char *path, int code, const char *expected)
{
    char text[1000];
    struct conf *conf = NULL;
    struct conf_problems problems;
    struct err e;
    char *at = strstr(expected, "%s");
    assert_int_equal(conf_read_file(path, &conf, &problems, &e), code);
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - expected), expected, folder, at + 2);
    assert_string_equal(e.text, text);
    assert_int_equal(problems.count, 1);
    assert_memory_equal(problems.text.data, text, strlen(text));
    buf_clean_up(&problems.text);
}

static void
includes_count_from_the_file_that_has_them(void **state)
{
    char sub[300], path[300];
    struct conf *c = NULL;
    struct err e;
    setenv("CONF_TEST_SUB", "sub", 1);
    snprintf(sub, sizeof sub, "%s/sub", (char *)*state);
    assert_int_equal(mkdir(sub, 0700), 0);
    write_file(sub, "consumers.conf", "\xef\xbb\xbf" CONF_TEXT_ONE "@include \"more.conf\" drain_timeout_s = 7;", path);
    write_file(sub, "more.conf", "plugin_dir = \"/plugins\"; # no line end", path);
    write_file(*state, "main.conf", "  @include \"${CONF_TEST_SUB}/consumers.conf\"\nlog = { level = \"debug\"; };",
               path);
    assert_int_equal(conf_read_file(path, &c, NULL, &e), 0);
    assert_string_equal(c->plugin_dir, "/plugins");
    assert_int_equal(c->drain_timeout_s, 7);
    assert_int_equal(c->log.level, LOG_DEBUG);
    assert_int_equal(c->n_consumers, 1);
    conf_destroy(c);
}

static void
a_problem_in_an_included_file_names_that_file(void **state)
{
    char path[300];
    write_file(*state, "bad.conf", "\n\nplugin_dr = \"x\";", path);
    write_file(*state, "main.conf", CONF_TEXT_ONE "@include \"bad.conf\"\ndrain_timeout_s = 0;", path);
    struct conf *conf = NULL;
    struct conf_problems problems;
    char expected[1000];
    assert_int_equal(conf_read_file(path, &conf, &problems, NULL), ERR_INVALID);
    snprintf(expected, sizeof expected,
             "%s/bad.conf:3: plugin_dr: unknown option; did you mean plugin_dir?\n"
             "%s/main.conf:3: drain_timeout_s: 0 is out of range, 1 to 3600\n",
             (char *)*state, (char *)*state);
    assert_string_equal(problems.text.data, expected);
    buf_clean_up(&problems.text);

    write_file(*state, "bad.conf", "\nplugin_dir = ;", path);
    write_file(*state, "main.conf", CONF_TEXT_ONE "@include \"bad.conf\"\n", path);
    assert_file_problem(*state, path, ERR_INVALID,
                        "%s/bad.conf:2: syntax error at or before \"plugin_dir = ;\": " CONF_TEXT_HOW_TO_WRITE);
    write_file(*state, "main.conf", CONF_TEXT_ONE "@include \"bad.conf\"\n= 4;", path);
    write_file(*state, "bad.conf", "plugin_dir = \"x\";\n", path);
    write_file(*state, "main.conf", CONF_TEXT_ONE "@include \"bad.conf\"\n= 4;", path);
    assert_file_problem(*state, path, ERR_INVALID,
                        "%s/main.conf:3: syntax error at or before \"= 4;\": " CONF_TEXT_HOW_TO_WRITE);
    write_file(*state, "bad.conf", "\nplugin_dir = \"/x\";", path);
    write_file(*state, "main.conf", CONF_TEXT_ONE "plugin_dir = \"/y\";\n@include \"bad.conf\"\n", path);
    struct err e;
    assert_int_equal(conf_read_file(path, &conf, NULL, &e), ERR_INVALID);
    snprintf(expected, sizeof expected,
             "%s/bad.conf:2: plugin_dir: is given twice, first in %s/main.conf:2; one of them has to go",
             (char *)*state, (char *)*state);
    assert_string_equal(e.text, expected);
}

static void
an_include_that_cannot_be_read_is_named_with_its_place(void **state)
{
    char path[300];
    write_file(*state, "main.conf", "\n@include \"/nowhere/x\"", path);
    assert_file_problem(*state, path, ERR_INVALID, "%s/main.conf:2: cannot open /nowhere/x: No such file or directory");
    write_file(*state, "main.conf", "\n@include \"/\"", path);
    assert_file_problem(*state, path, ERR_INVALID, "%s/main.conf:2: cannot read /: Is a directory");
    write_file(*state, "main.conf", "@include \"main.conf\"", path);
    assert_file_problem(*state, path, ERR_INVALID,
                        "%s/main.conf:1: @include is nested more than 10 deep; does a file include itself?");
    write_file(*state, "main.conf", "@include <x>", path);
    assert_file_problem(*state, path, ERR_INVALID, "%s/main.conf:1: an @ starts @include \"FILE\"");
    write_file(*state, "main.conf", "@include \"x\n\"", path);
    assert_file_problem(*state, path, ERR_INVALID, "%s/main.conf:1: an @ starts @include \"FILE\"");
    write_file(*state, "main.conf", "\n@include \"${CONF_TEST_UNSET}\"", path);
    assert_file_problem(*state, path, ERR_INVALID,
                        "%s/main.conf:2: the environment has no CONF_TEST_UNSET: set it, or write "
                        "${CONF_TEST_UNSET:-default}");
}

static void
the_number_of_includes_is_bounded(void **state)
{
    char path[300];
    struct buf text = BUF_INIT;
    for (int i = 0; i < 101; i++)
        buf_add_string(&text, "@include \"empty.conf\"\n");
    write_file(*state, "empty.conf", "", path);
    write_file(*state, "main.conf", text.data, path);
    assert_file_problem(*state, path, ERR_INVALID, "%s/main.conf:101: more than 100 @include in all");
    buf_clean_up(&text);
}

static void
a_file_that_cannot_be_read_is_no_invalid_file(void **state)
{
    char path[300];
    snprintf(path, sizeof path, "%s/none.conf", (char *)*state);
    assert_file_problem(*state, path, ERR_NOT_FOUND, "cannot open %s/none.conf: No such file or directory");
    assert_file_problem(*state, *state, ERR_IO, "cannot read %s: Is a directory");
    snprintf(path, sizeof path, "%s/zero", (char *)*state);
    assert_int_equal(symlink("/dev/zero", path), 0);
    assert_file_problem(*state, path, ERR_INVALID,
                        "%s/zero: a configuration has 256 KiB at most, with all that it includes");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(includes_count_from_the_file_that_has_them, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_problem_in_an_included_file_names_that_file, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(an_include_that_cannot_be_read_is_named_with_its_place, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(the_number_of_includes_is_bounded, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_file_that_cannot_be_read_is_no_invalid_file, make_folder, remove_folder),
    };
    return cmocka_run_group_tests_name("conf_files", tests, NULL, NULL);
}
