/* What fanoutd says and how it ends when a plugin or a configuration is wrong: exact words, exit code 2. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/proc.h"
#include "lib/skip.h"
#include "lib/tmp.h"

static const char *const ENV[] = {"AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=b", "AWS_REGION=us-east-1",
                                  "AWS_ENDPOINT_URL=http://127.0.0.1:1", NULL};

static const char *
write_conf(const char *dir, const char *plugin, const char *options)
{
    return tmp_write(dir, "x.conf",
                     "consumers = ( { name = \"x\"; queue = \"q\"; plugin = \"%s\"; options = { %s }; } );\n", plugin,
                     options);
}

/* fanoutd --check, and fanoutd itself: both end with 2, and both say why. */
static void
assert_refused(const char *plugin, const char *options, const char *table, const char *reason)
{
    const char *dir = tmp_new();
    char variable[64], expected[1000];
    snprintf(variable, sizeof variable, "FANOUT_TEST_TABLE=%s", table);
    snprintf(expected, sizeof expected, "%s: %s", plugin, reason);
    const char *env[] = {ENV[0], ENV[1], ENV[2], ENV[3], variable, NULL};
    const char *conf = write_conf(dir, plugin, options);
    const char *check[] = {proc_path("bin/fanoutd"), "-c", conf, "--check", NULL};
    const char *start[] = {proc_path("bin/fanoutd"), "-c", conf, NULL};
    struct proc *p = proc_spawn(check, env);
    assert_int_equal(proc_wait_exit(p, 20000), 2);
    if (!strstr(proc_stdout(p), expected) && !strstr(proc_stderr(p), expected))
        fail_msg("--check does not say \"%s\": %s%s", expected, proc_stdout(p), proc_stderr(p));
    proc_destroy(p);
    p = proc_spawn(start, env);
    assert_int_equal(proc_wait_exit(p, 20000), 2);
    if (proc_count_lines(p, reason) != 1)
        fail_msg("fanoutd does not log \"%s\" once: %s", reason, proc_stderr(p));
    proc_destroy(p);
    tmp_remove(dir);
}

static void
a_plugin_with_a_wrong_table_ends_fanoutd_with_code_2(void **state)
{
    (void)state;
    const char *tables = proc_path("tests/plugins/tables.so");
    assert_refused(tables, "must = \"x\";", "eight-bytes", "its table has 8 bytes; at least 48 are needed");
    assert_refused(tables, "must = \"x\";", "major", "its table says ABI 2; this host speaks 1");
    assert_refused(tables, "must = \"x\";", "none", "it sets none of handle and handle_batch; exactly one is needed");
}

static void
a_plugin_without_an_entry_of_ours_ends_fanoutd_with_code_2(void **state)
{
    (void)state;
    assert_refused(proc_path("tests/plugins/nosymbol.so"), "", "",
                   "has no handler_v1: not a handler; HANDLER_DEFINE writes it");
    assert_refused(proc_path("tests/plugins/newer.so"), "", "",
                   "has handler_v2 and no handler_v1: it was made for another fanoutd");
}

static void
a_plugin_with_an_unresolved_symbol_ends_fanoutd_with_code_2(void **state)
{
    (void)state;
    const char *dir = tmp_new();
    const char *source =
        tmp_write(dir, "unresolved.c",
                  "#include <fanout/handler.h>\n"
                  "extern int nobody_has_this(void);\n"
                  "static int32_t h(void *p, void *t, struct handler_call *c, const struct handler_message *m)\n"
                  "{ (void)p, (void)t, (void)c, (void)m; return nobody_has_this(); }\n"
                  "HANDLER_DEFINE(.name = \"u\", .version = \"1\", .handle = h);\n");
    const char *plugin = tmp_path(dir, "unresolved.so");
    const char *cc[] = {"cc", "-Isrc/handler", "-fPIC", "-shared", "-o", plugin, source, NULL};
    struct proc *p = proc_spawn(cc, NULL);
    int code = proc_wait_exit(p, 20000);
    proc_destroy(p);
    if (code == 127)
        skip_because("there is no cc");
    assert_int_equal(code, 0);
    assert_refused(plugin, "", "",
                   "unresolved symbol nobody_has_this; link plugins with -Wl,-z,defs to find these early");
    tmp_remove(dir);
}

static void
an_option_the_plugin_does_not_have_ends_fanoutd_with_code_2(void **state)
{
    (void)state;
    const char *dir = tmp_new();
    const char *conf = write_conf(dir, "jsonl", "path = \"-\"; color = \"red\";");
    const char *argv[] = {proc_path("bin/fanoutd"), "-c", conf, NULL};
    struct proc *p = proc_spawn(argv, ENV);
    assert_int_equal(proc_wait_exit(p, 20000), 2);
    if (!strstr(proc_stderr(p), "plugin jsonl has no option color"))
        fail_msg("%s", proc_stderr(p));
    proc_destroy(p);
    tmp_remove(dir);
}

static void
a_configuration_with_errors_names_them_all_and_ends_with_code_2(void **state)
{
    (void)state;
    const char *dir = tmp_new();
    const char *conf =
        tmp_write(dir, "bad.conf",
                  "drain_timeout_s = 0;\n"
                  "consumers = (\n"
                  "  { name = \"x\"; queue = \"q\"; plugin = \"jsonl\"; thread = 4; batch = { size = \"ten\"; }; }\n"
                  ");\n");
    const char *argv[] = {proc_path("bin/fanoutd"), "-c", conf, "--check", NULL};
    struct proc *p = proc_spawn(argv, ENV);
    assert_int_equal(proc_wait_exit(p, 20000), 2);
    const char *said = strstr(proc_stderr(p), "bad.conf:") ? proc_stderr(p) : proc_stdout(p);
    static const char *const EXPECTED[] = {"bad.conf:1: drain_timeout_s",         "1 to 3600",
                                           "bad.conf:3: consumers[0].thread",     "threads",
                                           "bad.conf:3: consumers[0].batch.size", "1 to 10000"};
    for (size_t i = 0; i < sizeof EXPECTED / sizeof *EXPECTED; i++)
        if (!strstr(said, EXPECTED[i]))
            fail_msg("\"%s\" is not in: %s", EXPECTED[i], said);
    proc_destroy(p);
    tmp_remove(dir);
}

static void
assert_says(const char *const argv[], const char *const expected[])
{
    struct proc *p = proc_spawn(argv, ENV);
    assert_int_equal(proc_wait_exit(p, 20000), 2);
    for (size_t i = 0; expected[i]; i++)
        if (!strstr(proc_stderr(p), expected[i]))
            fail_msg("\"%s\" is not in: %s", expected[i], proc_stderr(p));
    assert_string_equal(proc_stdout(p), "");
    proc_destroy(p);
}

static void
a_check_looks_at_the_files_that_are_named(void **state)
{
    (void)state;
    const char *dir = tmp_new();
    const char *conf = tmp_write(dir, "x.conf",
                                 "log = { file = \"/nowhere/x.log\"; }; aws = { ca_file = \"/nowhere/ca.pem\"; };\n"
                                 "consumers = ( { name = \"x\"; queue = \"q\"; plugin = \"jsonl\"; } );\n");
    assert_says((const char *[]){proc_path("bin/fanoutd"), "-c", conf, "--check", NULL},
                (const char *[]){"x.conf: log.file: cannot write /nowhere/x.log: No such file or directory\n",
                                 "x.conf: aws.ca_file: cannot read /nowhere/ca.pem: No such file or directory\n",
                                 NULL});
    tmp_write(dir, "x.conf",
              "log = { file = \"%s/new.log\"; };\n"
              "consumers = ( { name = \"x\"; queue = \"q\"; plugin = \"jsonl\"; } );\n",
              dir);
    struct proc *p = proc_spawn((const char *[]){proc_path("bin/fanoutd"), "-c", conf, "--check", NULL}, ENV);
    assert_int_equal(proc_wait_exit(p, 20000), 0);
    assert_null(tmp_read(tmp_path(dir, "new.log"), NULL));
    proc_destroy(p);
    tmp_remove(dir);
}

static void
a_check_that_refuses_options_prints_what_there_is(void **state)
{
    (void)state;
    const char *dir = tmp_new();
    const char *conf = write_conf(dir, "jsonl", "fsync = \"yes\";");
    assert_says((const char *[]){proc_path("bin/fanoutd"), "-c", conf, "--check", NULL},
                (const char *[]){"option fsync of plugin jsonl: \"yes\" is no bool (true or false)\n",
                                 "jsonl 1: Appends each message's body",
                                 "  path (string, default \"-\")\n      The file",
                                 "  fsync (bool, default \"false\")\n", NULL});
    tmp_remove(dir);
}

static void
fanoutctl_prints_what_a_plugin_says_of_itself(void **state)
{
    (void)state;
    const char *fanoutctl = proc_path("bin/fanoutctl");
    char variable[] = "FANOUT_TEST_TABLE=equal";
    const char *env[] = {variable, NULL};
    struct proc *p = proc_spawn((const char *[]){fanoutctl, "plugin", proc_path("tests/plugins/tables.so"), NULL}, env);
    assert_int_equal(proc_wait_exit(p, 20000), 0);
    assert_string_equal(proc_stdout(p), "tables 1\n"
                                        "Handles one message in a call.\n"
                                        "Options:\n"
                                        "  word (string, default \"\")\n      A word.\n"
                                        "  count (int, default \"3\")\n      A count.\n"
                                        "  ratio (number, default \"0.5\")\n      A ratio.\n"
                                        "  flag (bool, default \"false\")\n      A flag.\n"
                                        "  must (string, required)\n      What must be given.\n");
    proc_destroy(p);
    static const struct {
        const char *name, *says;
        int code;
    } CASES[] = {{"flaky", "  fail_percent (int, default \"0\")\n", 0},
                 {"nobody", "nobody.so: cannot be read: No such file or directory", 1},
                 {"--nothing", "", 2},
                 {NULL, "name one plugin", 2}};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        p = proc_spawn((const char *[]){fanoutctl, "plugin", CASES[i].name, NULL}, NULL);
        assert_int_equal(proc_wait_exit(p, 20000), CASES[i].code);
        if (!strstr(proc_stdout(p), CASES[i].says) && !strstr(proc_stderr(p), CASES[i].says))
            fail_msg("\"%s\" is not in: %s%s", CASES[i].says, proc_stdout(p), proc_stderr(p));
        proc_destroy(p);
    }
}

static void
wrong_usage_is_code_2(void **state)
{
    (void)state;
    const char *fanoutd = proc_path("bin/fanoutd");
    assert_says((const char *[]){fanoutd, "-c", "x.conf", "--check", "--print-config", NULL},
                (const char *[]){"--check or --print-config, one at a time", NULL});
    assert_says((const char *[]){fanoutd, NULL}, (const char *[]){"Give the configuration as fanoutd -c FILE", NULL});
    assert_says((const char *[]){fanoutd, "x.conf", NULL}, (const char *[]){"what is 'x.conf'?", NULL});
    assert_says((const char *[]){fanoutd, "-c", "/nowhere/x.conf", NULL},
                (const char *[]){"cannot open /nowhere/x.conf: No such file or directory", NULL});
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plugin_with_a_wrong_table_ends_fanoutd_with_code_2),
        cmocka_unit_test(a_plugin_without_an_entry_of_ours_ends_fanoutd_with_code_2),
        cmocka_unit_test(a_plugin_with_an_unresolved_symbol_ends_fanoutd_with_code_2),
        cmocka_unit_test(an_option_the_plugin_does_not_have_ends_fanoutd_with_code_2),
        cmocka_unit_test(a_configuration_with_errors_names_them_all_and_ends_with_code_2),
        cmocka_unit_test(a_check_looks_at_the_files_that_are_named),
        cmocka_unit_test(a_check_that_refuses_options_prints_what_there_is),
        cmocka_unit_test(fanoutctl_prints_what_a_plugin_says_of_itself),
        cmocka_unit_test(wrong_usage_is_code_2),
    };
    return cmocka_run_group_tests_name("refused", tests, NULL, NULL);
}
