/* The Makefile as a person meets it: install, packages that are missing, flags that change. */
#include <limits.h>
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

#include "lib/proc.h"
#include "lib/skip.h"
#include "lib/tmp.h"

#define BUILD_MS 120000

/* Of the make that runs this test; VARIANT and the like are given anew. */
#define UNSET "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "VARIANT", "BUILD", "EVENTS", "DESTDIR", "PREFIX"

/* Runs a shell command with these variables changed too; its exit code. */
static int shell(const char *variable, struct proc **ret_proc, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int
shell(const char *variable, struct proc **ret_proc, const char *format, ...)
{
    char command[4000];
    va_list ap;
    va_start(ap, format);
    vsnprintf(command, sizeof command, format, ap);
    va_end(ap);
    const char *const env[] = {UNSET, variable, NULL};
    struct proc *p = proc_spawn((const char *[]){"/bin/sh", "-c", command, NULL}, env);
    int code = proc_wait_exit(p, BUILD_MS);
    if (ret_proc) {
        *ret_proc = p;
        return code;
    }
    if (code != 0)
        print_message("%s%s\n", proc_stdout(p), proc_stderr(p));
    proc_destroy(p);
    return code;
}

static void
assert_says(struct proc *p, const char *text)
{
    if (!strstr(proc_stdout(p), text) && !strstr(proc_stderr(p), text))
        fail_msg("\"%s\" is not in: %s%s", text, proc_stdout(p), proc_stderr(p));
}

static void
assert_mode(const char *dir, const char *file, mode_t mode)
{
    struct stat st;
    if (stat(tmp_path(dir, file), &st) != 0)
        fail_msg("%s was not installed", file);
    assert_int_equal(st.st_mode & 07777, mode);
}

/* BUILD and VARIANT of this program, for a make that shall find everything built. */
static void
place_of_build(char build[PATH_MAX], char variant[100])
{
    snprintf(build, PATH_MAX, "%s", proc_path("bin"));
    *strrchr(build, '/') = '\0';
    char *slash = strrchr(build, '/');
    snprintf(variant, 100, "%s", slash + 1);
    *slash = '\0';
}

/* ---- install ----------------------------------------------------------------------------------------------------- */

#define HANDLER                                                                                                        \
    "#include <fanout/handler.h>\n"                                                                                    \
    "static int32_t h(void *p, void *t, struct handler_call *c, const struct handler_message *m)\n"                    \
    "{ (void)p, (void)t, (void)c; return m->body_len > 0 ? HANDLER_DONE : HANDLER_REJECT; }\n"                         \
    "HANDLER_DEFINE(.name = \"mine\", .version = \"1\", .handle = h);\n"

static void
what_is_installed_builds_plugins_checks_configurations_and_runs_the_demo(void **state)
{
    (void)state;
    const char *dir = tmp_new();
    char build[PATH_MAX], variant[100];
    place_of_build(build, variant);
    assert_int_equal(
        shell("CI", NULL, "make -o all install BUILD=%s VARIANT=%s DESTDIR=%s PREFIX=/opt/fan", build, variant, dir),
        0);
    static const char *const PROGRAMS[] = {"bin/fanoutd", "bin/fanoutctl", "bin/fanout-local",
                                           "libexec/fanoutd/fanout-worker"};
    static const char *const FILES[] = {"lib/fanoutd/plugins/jsonl.so",
                                        "lib/fanoutd/plugins/flaky.so",
                                        "lib/fanoutd/plugin.mk",
                                        "include/fanout/handler.h",
                                        "share/fanoutd/fanoutd.conf",
                                        "share/fanoutd/demo.conf",
                                        "share/fanoutd/durable-event-buffer.template.json"};
    const char *root = tmp_path(dir, "opt/fan");
    for (size_t i = 0; i < sizeof PROGRAMS / sizeof *PROGRAMS; i++)
        assert_mode(root, PROGRAMS[i], 0755);
    for (size_t i = 0; i < sizeof FILES / sizeof *FILES; i++)
        assert_mode(root, FILES[i], 0644);

    /* Nothing of the tree is needed from here on. */
    const char *work = tmp_new();
    tmp_write(work, "mine.c", "%s", HANDLER);
    tmp_write(work, "yours.cc", "%s", HANDLER);
    tmp_write(work, "my.conf", "%s",
              "consumers = ( { name = \"c\"; queue = \"q\"; plugin = \"./mine.so\"; },\n"
              "              { name = \"cpp\"; queue = \"q\"; plugin = \"./yours.so\"; },\n"
              "              { name = \"named\"; queue = \"q\"; plugin = \"jsonl\"; } );\n");
    bool sanitized = strcmp(variant, "asan") == 0 || strcmp(variant, "tsan") == 0;
    assert_int_equal(shell("CI", NULL,
                           "cd %s && CFLAGS='-Wall -Wextra -Werror' CXXFLAGS='-Wall -Wextra -Werror' "
                           "make -f %s/lib/fanoutd/plugin.mk mine.so yours.so && %s/bin/fanoutd -c my.conf --check",
                           work, root, root),
                     0);
    if (!sanitized)
        assert_int_equal(shell("CI", NULL, "cd %s && %s/bin/fanoutctl demo --count 10", work, root), 0);
    tmp_remove(work);
    tmp_remove(dir);
}

/* ---- packages ---------------------------------------------------------------------------------------------------- */

/* A machine where libcurl's package and the compiler are missing, and where apt-get only notes what it is asked for.
 * PATH=... for its programs to come first. */
static const char *
bare_machine(const char *dir, int uid)
{
    static char path[PATH_MAX + 4096];
    static const char *const NAMES[] = {"dpkg-query", "id", "apt-get"};
    tmp_write(dir, "dpkg-query",
              "#!/bin/sh\ncase $* in *\" libcurl4-openssl-dev\" | *\" gcc\") ;; *) printf installed ;; esac\n");
    tmp_write(dir, "id", "#!/bin/sh\necho %d\n", uid);
    tmp_write(dir, "apt-get", "#!/bin/sh\necho \"$@\" >> %s/asked\n", dir);
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        assert_int_equal(chmod(tmp_path(dir, NAMES[i]), 0755), 0);
    snprintf(path, sizeof path, "PATH=%s:%s", dir, getenv("PATH"));
    return path;
}

static void
an_ordinary_user_is_told_the_one_command_and_nothing_happens(void **state)
{
    (void)state;
    const char *dir = tmp_new();
    const char *const targets[] = {"demo", "test", "bench", "lint"};
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        struct proc *p;
        assert_int_equal(shell(bare_machine(dir, 1000), &p, "make BUILD=%s/build %s", dir, targets[i]), 2);
        assert_says(p, "Run this, then try again:");
        assert_says(p, "apt-get update && apt-get install -y --no-install-recommends gcc ");
        assert_says(p, "libcurl4-openssl-dev");
        assert_int_equal(proc_count_lines(p, "  CC "), 0);
        proc_destroy(p);
    }
    assert_null(tmp_read(tmp_path(dir, "asked"), NULL));
    assert_int_not_equal(access(tmp_path(dir, "build"), F_OK), 0);
    tmp_remove(dir);
}

static void
root_gets_what_is_missing_installed(void **state)
{
    (void)state;
    const char *dir = tmp_new();
    assert_int_equal(shell(bare_machine(dir, 0), NULL, ".ci/deps build"), 0);
    char *asked = tmp_read(tmp_path(dir, "asked"), NULL);
    assert_string_equal(asked, "update -qq\ninstall -y -qq --no-install-recommends gcc libcurl4-openssl-dev\n");
    free(asked);
    tmp_remove(dir);
}

/* ---- building ---------------------------------------------------------------------------------------------------- */

static int64_t
built_at(const char *file)
{
    struct stat st;
    return stat(file, &st) == 0 ? st.st_mtim.tv_sec * INT64_C(1000000000) + st.st_mtim.tv_nsec : -1;
}

#define LIBRARY "build/release/obj/libfanout.a"

static void
it_is_rebuilt_when_a_header_a_flag_or_the_set_of_files_changes_and_only_then(void **state)
{
    (void)state;
    const char *dir = tmp_new();
    assert_int_equal(shell("CI", NULL, "cp -r Makefile .ci %s && mkdir -p %s/src/base", dir, dir), 0);
    tmp_write(dir, "src/base/one.h", "int one(void);\n");
    tmp_write(dir, "src/base/one.c", "#include \"base/one.h\"\nint one(void) { return 1; }\n");
    const char *object = tmp_path(dir, "build/release/obj/src/base/one.o");
    assert_int_equal(shell("CI", NULL, "make -C %s " LIBRARY, dir), 0);
    int64_t first = built_at(object);
    assert_true(first > 0);
    assert_int_equal(shell("CI", NULL, "make -C %s " LIBRARY, dir), 0);
    assert_int_equal(built_at(object), first);

    tmp_write(dir, "src/base/one.h", "int one(void);\nint two(void);\n");
    assert_int_equal(shell("CI", NULL, "make -C %s " LIBRARY, dir), 0);
    int64_t second = built_at(object);
    assert_true(second > first);

    assert_int_equal(shell("CFLAGS=-O1", NULL, "make -C %s " LIBRARY, dir), 0);
    int64_t third = built_at(object);
    assert_true(third > second);

    tmp_write(dir, "src/base/two.c", "#include \"base/one.h\"\nint two(void) { return 2; }\n");
    assert_int_equal(
        shell("CFLAGS=-O1", NULL, "make -C %s " LIBRARY " && nm %s/" LIBRARY " | grep -q 'T two'", dir, dir), 0);
    assert_int_equal(built_at(object), third);
    assert_int_equal(unlink(tmp_path(dir, "src/base/two.c")), 0);
    assert_int_equal(
        shell("CFLAGS=-O1", NULL, "make -C %s " LIBRARY " && ! nm %s/" LIBRARY " | grep -q 'T two'", dir, dir), 0);

    assert_int_equal(shell("CI", NULL, "make -C %s VARIANT=debug build/debug/obj/src/base/one.o", dir), 0);
    assert_true(built_at(tmp_path(dir, "build/debug/obj/src/base/one.o")) > 0);
    struct proc *p;
    assert_int_equal(shell("CI", &p, "make -C %s VARIANT=fast", dir), 2);
    assert_says(p, "VARIANT=fast is none of release, debug, asan, tsan");
    proc_destroy(p);
    tmp_remove(dir);
}

static void
warnings_are_errors_in_ci_only(void **state)
{
    (void)state;
    const char *dir = tmp_new();
    assert_int_equal(shell("CI", NULL, "cp -r Makefile .ci %s && mkdir -p %s/src/base", dir, dir), 0);
    tmp_write(dir, "src/base/one.c", "int one(void) { return 1; }\n"); /* -Wmissing-prototypes */
    assert_int_equal(shell("CI", NULL, "make -C %s " LIBRARY, dir), 0);
    struct proc *p;
    assert_int_equal(shell("CI=true", &p, "make -C %s " LIBRARY, dir), 2);
    assert_says(p, "missing-prototypes");
    proc_destroy(p);
    tmp_remove(dir);
}

static void
programs_of_a_release_are_hardened(void **state)
{
    (void)state;
    char build[PATH_MAX], variant[100];
    place_of_build(build, variant);
    if (strcmp(variant, "release") != 0)
        skip_because("this is no release");
    static const char *const PROGRAMS[] = {"bin/fanoutd", "bin/fanoutctl", "bin/fanout-local",
                                           "libexec/fanoutd/fanout-worker"};
    static const struct {
        const char *what, *option, *pattern;
    } SIGNS[] = {
        {"position-independent", "-hW", "Type: *DYN"},
        {"protected by RELRO", "-lW", "GNU_RELRO"},
        {"bound at the start", "-dW", "FLAGS_1.*NOW.*PIE"},
        {"protected against smashed stacks", "-sW", "__stack_chk_fail"},
        {"fortified", "-sW", "__[a-z]*printf_chk"},
    };
    for (size_t i = 0; i < sizeof PROGRAMS / sizeof *PROGRAMS; i++)
        for (size_t k = 0; k < sizeof SIGNS / sizeof *SIGNS; k++)
            if (shell("CI", NULL, "readelf %s %s | grep -q '%s'", SIGNS[k].option, proc_path(PROGRAMS[i]),
                      SIGNS[k].pattern) != 0)
                fail_msg("%s: not %s", PROGRAMS[i], SIGNS[k].what);
}

static void
help_lists_what_the_readme_and_ci_use(void **state)
{
    (void)state;
    static const char *const TARGETS[] = {
        "make demo",  "make test",         "make install", "make lint", "make check-layers",
        "make bench", "make VARIANT=asan", "EVENTS=",      "PREFIX=",   "DESTDIR="};
    struct proc *p;
    assert_int_equal(shell("CI", &p, "make help"), 0);
    for (size_t i = 0; i < sizeof TARGETS / sizeof *TARGETS; i++)
        assert_says(p, TARGETS[i]);
    proc_destroy(p);
}

static void
the_demo_takes_a_file_of_any_name(void **state)
{
    (void)state;
    char build[PATH_MAX], variant[100];
    place_of_build(build, variant);
    const char *dir = tmp_new();
    char tree[PATH_MAX];
    assert_non_null(getcwd(tree, sizeof tree));
    tmp_write(dir, "it's \"mine\".ndjson", "%s", "{\"Source\":\"s\",\"DetailType\":\"t\",\"Detail\":{}}\n");
    struct proc *p; /* a tree without sources, in which everything is built already */
    int code = shell("CI", &p,
                     "cd %s && mkdir build && ln -s %s/%s build/release && ln -s %s/Makefile %s/.ci %s/conf . && "
                     "make demo \"EVENTS=it's \\\"mine\\\".ndjson\"",
                     dir, build, variant, tree, tree, tree);
    if (code != 0)
        print_message("%s%s\n", proc_stdout(p), proc_stderr(p));
    assert_int_equal(code, 0);
    assert_says(p, "PASS: published 1 = captured 1 = handled 1");
    proc_destroy(p);
    tmp_remove(dir);
}

int
main(void)
{
    if (system("command -v make readelf nm cc c++ >/dev/null") != 0)
        print_message("make, a compiler or binutils are missing\n");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_installed_builds_plugins_checks_configurations_and_runs_the_demo),
        cmocka_unit_test(an_ordinary_user_is_told_the_one_command_and_nothing_happens),
        cmocka_unit_test(root_gets_what_is_missing_installed),
        cmocka_unit_test(it_is_rebuilt_when_a_header_a_flag_or_the_set_of_files_changes_and_only_then),
        cmocka_unit_test(warnings_are_errors_in_ci_only),
        cmocka_unit_test(programs_of_a_release_are_hardened),
        cmocka_unit_test(help_lists_what_the_readme_and_ci_use),
        cmocka_unit_test(the_demo_takes_a_file_of_any_name),
    };
    return cmocka_run_group_tests_name("make", tests, NULL, NULL);
}
