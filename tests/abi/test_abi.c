#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/fake_host.h"
#include "lib/skip.h"
#include "plugin/plugin.h"

/* What plugin_load says of the table that tests/plugins/tables.c calls so. */
static int
load_table(const char *table, struct plugin **ret_plugin, struct err *e)
{
    char path[PATH_MAX];
    fake_host_test_plugin_path("tables", path, sizeof path);
    setenv("FANOUT_TEST_TABLE", table, 1);
    return plugin_load(path, ret_plugin, e);
}

static struct plugin *
loaded(const char *table)
{
    struct err e;
    struct plugin *p = NULL;
    if (load_table(table, &p, &e) != 0)
        fail_msg("%s: %s", table, e.text);
    return p;
}

/* The error's text is "PATH: expected". */
static void
assert_text(const struct err *e, const char *path, const char *expected)
{
    char text[PATH_MAX + 500];
    snprintf(text, sizeof text, "%s: %s", path, expected);
    assert_string_equal(e->text, text);
}

static void
assert_refused(const char *table, const char *expected)
{
    char path[PATH_MAX];
    struct err e;
    struct plugin *p = NULL;
    fake_host_test_plugin_path("tables", path, sizeof path);
    assert_int_equal(load_table(table, &p, &e), ERR_INVALID);
    assert_null(p);
    assert_text(&e, path, expected);
}

static void
shorter_equal_and_longer_tables_load(void **state)
{
    (void)state;
    struct plugin *equal = loaded("equal"), *shorter = loaded("shorter"), *longer = loaded("longer");
    assert_string_equal(equal->table.name, "tables");
    assert_string_equal(equal->table.version, "1");
    assert_non_null(equal->table.handle);
    assert_non_null(equal->table.close);
    assert_null(equal->table.open);

    assert_true(HANDLER_HAS(&shorter->table, handle));
    assert_false(HANDLER_HAS(&shorter->table, handle_batch));
    assert_string_equal(shorter->table.name, "tables");
    assert_ptr_equal(shorter->table.handle, equal->table.handle);
    assert_null(shorter->table.handle_batch);
    assert_null(shorter->table.close);

    assert_true(longer->table.size > sizeof longer->table);
    assert_ptr_equal(longer->table.handle, equal->table.handle);
    assert_ptr_equal(longer->table.close, equal->table.close);
    plugin_destroy(equal);
    plugin_destroy(shorter);
    plugin_destroy(longer);
    plugin_destroy(NULL);
}

static void
a_wrong_table_is_refused_with_what_is_wrong(void **state)
{
    (void)state;
    assert_refused("null", "handler_v1 returned NULL");
    assert_refused("zero-bytes", "its table has 0 bytes; at least 48 are needed");
    assert_refused("eight-bytes", "its table has 8 bytes; at least 48 are needed");
    assert_refused("major", "its table says ABI 2; this host speaks 1");
    assert_refused("no-name", "its name is \"\"; a name has 1 to 40 of a-z, 0-9, - and _");
    assert_refused("bad-name", "its name is \"Tables!\"; a name has 1 to 40 of a-z, 0-9, - and _");
    assert_refused("no-version", "it has no version");
    assert_refused("none", "it sets none of handle and handle_batch; exactly one is needed");
    assert_refused("both", "it sets both of handle and handle_batch; exactly one is needed");
    assert_refused("bad-type", "option when has type \"date\"; there are string, int, number and bool");
    assert_refused("no-type", "option when has type \"\"; there are string, int, number and bool");
    assert_refused("bad-int", "the default of option count, \"3.5\", is no int");
    assert_refused("bad-number", "the default of option ratio, \"nan\", is no number");
    assert_refused("bad-bool", "the default of option flag, \"yes\", is no bool");
    assert_refused("bad-option-name",
                   "option 0 is called \"a b\"; a name has 1 to 40 letters, digits, - and _, a letter first");
    assert_refused("option-twice", "two options are called a");
}

static void
a_shared_object_without_our_entry_is_refused(void **state)
{
    (void)state;
    char path[PATH_MAX];
    struct err e;
    struct plugin *p = NULL;
    fake_host_test_plugin_path("nosymbol", path, sizeof path);
    assert_int_equal(plugin_load(path, &p, &e), ERR_INVALID);
    assert_text(&e, path, "has no handler_v1: not a handler; HANDLER_DEFINE writes it");
    fake_host_test_plugin_path("newer", path, sizeof path);
    assert_int_equal(plugin_load(path, &p, &e), ERR_INVALID);
    assert_text(&e, path, "has handler_v2 and no handler_v1: it was made for another fanoutd");
    assert_null(p);
}

static void
a_path_that_is_no_shared_object_is_refused(void **state)
{
    (void)state;
    struct err e;
    struct plugin *p = NULL;
    assert_int_equal(plugin_load("/nowhere/x.so", &p, &e), ERR_NOT_FOUND);
    assert_string_equal(e.text, "/nowhere/x.so: cannot be read: No such file or directory");
    assert_int_equal(plugin_load("x.so", &p, &e), ERR_INVALID);
    assert_string_equal(e.text, "x.so: a plugin's path has a '/'");
    assert_int_equal(plugin_load("/etc/passwd", &p, &e), ERR_INVALID);
    assert_string_equal(e.text, "/etc/passwd: cannot be loaded as a shared object: invalid ELF header");
    assert_int_equal(plugin_load("/tmp", &p, &e), ERR_INVALID);
    assert_string_equal(e.text, "/tmp: is no file");
    assert_null(p);
}

static void
a_pipe_in_place_of_a_plugin_holds_nobody_up(void **state)
{
    char path[PATH_MAX];
    struct err e;
    struct plugin *p = NULL;
    snprintf(path, sizeof path, "%s/pipe.so", (char *)*state);
    assert_int_equal(mkfifo(path, 0600), 0);
    alarm(20);
    assert_int_equal(plugin_load(path, &p, &e), ERR_INVALID);
    alarm(0);
    assert_text(&e, path, "is no file");
    assert_null(p);
}

/* ---- options --------------------------------------------------------------------------------------------------- */

static void
assert_options_refused(const struct plugin_option *options, size_t n, const char *expected)
{
    struct err e;
    struct plugin *p = loaded("equal");
    assert_int_equal(plugin_set_options(p, options, n, &e), ERR_INVALID);
    assert_string_equal(e.text, expected);
    assert_null(plugin_option(p, "word"));
    plugin_destroy(p);
}

#define REFUSED(expected, ...)                                                                                         \
    assert_options_refused((const struct plugin_option[]){__VA_ARGS__},                                                \
                           sizeof((const struct plugin_option[]){__VA_ARGS__}) / sizeof(struct plugin_option),         \
                           (expected))

static void
options_are_the_configured_ones_or_the_defaults(void **state)
{
    (void)state;
    struct err e;
    struct plugin *p = loaded("equal");
    char count[] = "-7";
    const struct plugin_option given[] = {{"must", "x"}, {"count", count}, {"ratio", "1e3"}};
    assert_int_equal(plugin_set_options(p, given, 3, &e), 0);
    count[0] = '!';
    assert_string_equal(plugin_option(p, "must"), "x");
    assert_string_equal(plugin_option(p, "count"), "-7");
    assert_string_equal(plugin_option(p, "ratio"), "1e3");
    assert_string_equal(plugin_option(p, "word"), "");
    assert_string_equal(plugin_option(p, "flag"), "false");
    assert_null(plugin_option(p, "nothing"));
    plugin_destroy(p);

    p = loaded("no-options");
    assert_int_equal(plugin_set_options(p, NULL, 0, &e), 0);
    assert_null(plugin_option(p, "must"));
    plugin_destroy(p);
}

static void
a_wrong_option_is_refused(void **state)
{
    (void)state;
    REFUSED("plugin tables has no option cuont; it has word, count, ratio, flag, must", {"must", ""}, {"cuont", "1"});
    REFUSED("option count of plugin tables: \"four\" is no int", {"must", ""}, {"count", "four"});
    REFUSED("option count of plugin tables: \"1.5\" is no int", {"must", ""}, {"count", "1.5"});
    REFUSED("option count of plugin tables: \" 1\" is no int", {"must", ""}, {"count", " 1"});
    REFUSED("option count of plugin tables: \"\" is no int", {"must", ""}, {"count", ""});
    REFUSED("option count of plugin tables: \"9223372036854775808\" is no int", {"must", ""},
            {"count", "9223372036854775808"});
    REFUSED("option ratio of plugin tables: \"1e999\" is no number", {"must", ""}, {"ratio", "1e999"});
    REFUSED("option ratio of plugin tables: \"infinity\" is no number", {"must", ""}, {"ratio", "infinity"});
    REFUSED("option flag of plugin tables: \"1\" is no bool (true or false)", {"must", ""}, {"flag", "1"});
    REFUSED("option must of plugin tables is given twice", {"must", "a"}, {"must", "b"});
    REFUSED("plugin tables needs its option must: What must be given.", {"count", "1"});
    struct err e;
    struct plugin *p = loaded("no-options");
    assert_int_equal(plugin_set_options(p, &(struct plugin_option){"x", "1"}, 1, &e), ERR_INVALID);
    assert_string_equal(e.text, "plugin tables has no option x; it has none");
    plugin_destroy(p);
}

static void
a_name_is_looked_up_in_the_folder_and_a_path_is_itself(void **state)
{
    (void)state;
    char path[40];
    struct err e;
    assert_int_equal(plugin_resolve("jsonl", "/plugins", path, sizeof path, &e), 0);
    assert_string_equal(path, "/plugins/jsonl.so");
    assert_int_equal(plugin_resolve("./x", "/plugins", path, sizeof path, &e), 0);
    assert_string_equal(path, "./x");
    assert_int_equal(plugin_resolve("jsonl", "/12345678901234567890123456789", path, sizeof path, &e), 0);
    assert_int_equal(plugin_resolve("jsonl", "/123456789012345678901234567890", path, sizeof path, &e), ERR_LIMIT);
    assert_string_equal(e.text, "plugin jsonl...: its path is longer than 39 bytes");
}

/* ---- compiled here --------------------------------------------------------------------------------------------- */

static const char HANDLER_SOURCE[] = "#include <fanout/handler.h>\n"
                                     "static const struct handler_event_extension *event;\n"
                                     "static const struct handler_attributes_extension *attributes;\n"
                                     "static const struct handler_publish_extension *publish;\n"
                                     "static int32_t\n"
                                     "handled(void *plugin, void *thread, struct handler_call *call,\n"
                                     "        const struct handler_message *m)\n"
                                     "{\n"
                                     "    const struct handler_event *e = event ? event->event(call, 0) : 0;\n"
                                     "    (void)plugin; (void)thread;\n"
                                     "    if (e && HANDLER_HAS(e, replay_name) && e->time_ms == HANDLER_NO_TIME)\n"
                                     "        return HANDLER_REJECT;\n"
                                     "    if (attributes && attributes->find(call, 0, \"later\"))\n"
                                     "        return HANDLER_RETRY;\n"
                                     "    if (publish) {\n"
                                     "        struct handler_slice source = HANDLER_TEXT(\"shop\");\n"
                                     "        static struct handler_new_event n;\n"
                                     "        n.size = sizeof n;\n"
                                     "        n.source = source;\n"
                                     "        if (publish->event(call, 0, &n) != HANDLER_OK)\n"
                                     "            return HANDLER_RETRY;\n"
                                     "    }\n"
                                     "    return HANDLER_HAS(m, received_at_ms) ? HANDLER_DONE : HANDLER_RETRY;\n"
                                     "}\n"
                                     "static int32_t\n"
                                     "opened(const struct handler_host *host, void **plugin)\n"
                                     "{\n"
                                     "    *plugin = 0;\n"
                                     "    event = (const struct handler_event_extension *)\n"
                                     "        host->extension(HANDLER_EVENT_EXTENSION);\n"
                                     "    attributes = (const struct handler_attributes_extension *)\n"
                                     "        host->extension(HANDLER_ATTRIBUTES_EXTENSION);\n"
                                     "    publish = (const struct handler_publish_extension *)\n"
                                     "        host->extension(HANDLER_PUBLISH_EXTENSION);\n"
                                     "    handler_logf(host, 0, HANDLER_LOG_INFO, \"%d\", 1);\n"
                                     "    return 0;\n"
                                     "}\n"
                                     "HANDLER_DEFINE(.name = \"compiled\", .version = \"1\", .handle = handled,\n"
                                     "               .open = opened);\n";

static int
make_folder(void **state)
{
    char *folder = strdup("/tmp/test_abi.XXXXXX");
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

static void
write_source(const char *folder, const char *name, const char *text)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static bool
is_there(const char *program)
{
    char command[200];
    snprintf(command, sizeof command, "command -v %s >/dev/null 2>&1", program);
    return system(command) == 0;
}

/* Runs a command in the repository; returns its exit status. What it says is shown when that is not `expected`. */
__attribute__((format(printf, 2, 3))) static int
run(int expected, const char *format, ...)
{
    char command[2000], full[2100];
    va_list ap;
    va_start(ap, format);
    vsnprintf(command, sizeof command, format, ap);
    va_end(ap);
    snprintf(full, sizeof full, "out=$( { %s; } 2>&1 ); s=$?; [ $s = %d ] || echo \"$out\"; exit $s", command,
             expected);
    int status = system(full);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void
assert_compiled_loads(const char *folder)
{
    char path[PATH_MAX];
    struct err e;
    struct plugin *p = NULL;
    snprintf(path, sizeof path, "%s/a.so", folder);
    if (plugin_load(path, &p, &e) != 0)
        fail_msg("%s", e.text);
    assert_string_equal(p->table.name, "compiled");
    assert_int_equal(p->table.size, sizeof(struct handler));
    plugin_destroy(p);
}

#define STRICT "-pedantic-errors -Wall -Wextra -Wshadow -Wconversion -Wcast-qual -Werror"
#define SHARED "-fPIC -shared -Wl,-z,defs -Isrc/handler"

static void
a_handler_compiles_as_strict_c99(void **state)
{
    static const char *const COMPILERS[] = {"cc", "gcc", "clang-14"};
    int tried = 0;
    write_source(*state, "a.c", HANDLER_SOURCE);
    for (size_t i = 0; i < sizeof COMPILERS / sizeof *COMPILERS; i++) {
        if (!is_there(COMPILERS[i]))
            continue;
        tried++;
        assert_int_equal(run(0,
                             "%s -std=c99 %s -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 %s -o %s/a.so %s/a.c",
                             COMPILERS[i], STRICT, SHARED, (char *)*state, (char *)*state),
                         0);
    }
    if (!tried)
        skip_because("no C compiler");
    assert_compiled_loads(*state);
}

static void
a_handler_compiles_as_strict_cpp20(void **state)
{
    static const char *const COMPILERS[] = {"c++", "g++", "clang++-14"};
    int tried = 0;
    write_source(*state, "a.cc", HANDLER_SOURCE);
    for (size_t i = 0; i < sizeof COMPILERS / sizeof *COMPILERS; i++) {
        if (!is_there(COMPILERS[i]))
            continue;
        tried++;
        assert_int_equal(run(0, "%s -std=c++20 %s -Wmissing-declarations %s -o %s/a.so %s/a.cc", COMPILERS[i], STRICT,
                             SHARED, (char *)*state, (char *)*state),
                         0);
    }
    if (!tried)
        skip_because("no C++ compiler");
    assert_compiled_loads(*state);
}

static void
a_plugin_is_built_outside_the_tree_with_plugin_mk(void **state)
{
    char tree[PATH_MAX];
    if (!is_there("make") || !is_there("cc"))
        skip_because("no make or no C compiler");
    assert_non_null(getcwd(tree, sizeof tree));
    write_source(*state, "a.c", HANDLER_SOURCE);
    assert_int_equal(run(0, "cd %s && env -u MAKEFLAGS -u CFLAGS -u LDFLAGS make -f %s/plugins/plugin.mk a.so",
                         (char *)*state, tree),
                     0);
    assert_compiled_loads(*state);

    /* As it is laid out when it is installed. */
    assert_int_equal(run(0,
                         "cd %s && rm a.so && mkdir -p i/include/fanout i/lib/fanoutd && "
                         "cp %s/plugins/plugin.mk i/lib/fanoutd && cp %s/src/handler/fanout/handler.h "
                         "i/include/fanout && env -u MAKEFLAGS -u CFLAGS -u LDFLAGS make -f i/lib/fanoutd/plugin.mk "
                         "a.so",
                         (char *)*state, tree, tree),
                     0);
    assert_compiled_loads(*state);
}

static void
an_unresolved_symbol_is_named(void **state)
{
    char path[PATH_MAX];
    struct err e;
    struct plugin *p = NULL;
    if (!is_there("cc"))
        skip_because("no C compiler");
    write_source(*state, "u.c",
                 "int not_there_at_all(void);\nint calls(void);\n"
                 "int calls(void) { return not_there_at_all(); }\n");
    assert_int_equal(run(1, "cc -fPIC -shared -Wl,-z,defs -o %s/u.so %s/u.c", (char *)*state, (char *)*state), 1);
    assert_int_equal(run(0, "cc -fPIC -shared -o %s/u.so %s/u.c", (char *)*state, (char *)*state), 0);
    snprintf(path, sizeof path, "%s/u.so", (char *)*state);
    assert_int_equal(plugin_load(path, &p, &e), ERR_INVALID);
    assert_text(&e, path, "unresolved symbol not_there_at_all; link plugins with -Wl,-z,defs to find these early");
    assert_null(p);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shorter_equal_and_longer_tables_load),
        cmocka_unit_test(a_wrong_table_is_refused_with_what_is_wrong),
        cmocka_unit_test(a_shared_object_without_our_entry_is_refused),
        cmocka_unit_test(a_path_that_is_no_shared_object_is_refused),
        cmocka_unit_test_setup_teardown(a_pipe_in_place_of_a_plugin_holds_nobody_up, make_folder, remove_folder),
        cmocka_unit_test(options_are_the_configured_ones_or_the_defaults),
        cmocka_unit_test(a_wrong_option_is_refused),
        cmocka_unit_test(a_name_is_looked_up_in_the_folder_and_a_path_is_itself),
        cmocka_unit_test_setup_teardown(a_handler_compiles_as_strict_c99, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_handler_compiles_as_strict_cpp20, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_plugin_is_built_outside_the_tree_with_plugin_mk, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(an_unresolved_symbol_is_named, make_folder, remove_folder),
    };
    return cmocka_run_group_tests_name("abi", tests, NULL, NULL);
}
