/* The images of docker/Dockerfile and the fleet of docker/compose.yaml, run by a container engine: `make
 * test-containers`.
 *
 * From the environment (see the Makefile): engine ("docker", "podman", or "" and then why says why), compose, base,
 * version, tag (of the images), project (all that is made here carries it, and tests/containers/clean removes that). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "lib/proc.h"
#include "lib/skip.h"
#include "lib/tmp.h"

#define COMMAND_MS 300000 /* of any one command; engines are slow on a machine under load */
#define SOON_MS    120000 /* for what must happen */
#define EVENTS     20000
#define MIB        (1024 * 1024)

#define COMPOSE "$compose -p $project -f docker/compose.yaml "
#define HEALTH  "fanoutd --health -c /etc/fanoutd/fanoutd.conf"

static const char *
env(const char *name)
{
    const char *value = getenv(name);
    return value ? value : "";
}

#define FORMAT(n) __attribute__((format(printf, n, (n) + 1)))

/* Runs a command of the shell; its exit status. *ret_out is what it wrote to standard output; the caller frees. */
static int __attribute__((format(printf, 3, 0))) run(bool may_fail, char **ret_out, const char *format, va_list ap)
{
    char command[2000];
    assert_true(vsnprintf(command, sizeof command, format, ap) < (int)sizeof command);
    struct proc *p = proc_spawn((const char *[]){"/bin/sh", "-c", command, NULL}, NULL);
    int code = proc_wait_exit(p, COMMAND_MS);
    if (code != 0 && !may_fail)
        print_message("%s: %d\n%s%s\n", command, code, proc_stdout(p), proc_stderr(p));
    *ret_out = strdup(proc_stdout(p));
    proc_destroy(p);
    return code;
}

static FORMAT(1) int shell(const char *format, ...)
{
    char *out;
    va_list ap;
    va_start(ap, format);
    int code = run(false, &out, format, ap);
    va_end(ap);
    free(out);
    return code;
}

static FORMAT(2) int shell_out(char **ret_out, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    int code = run(false, ret_out, format, ap);
    va_end(ap);
    return code;
}

/* For a command that may well fail. */
static FORMAT(1) bool succeeds(const char *format, ...)
{
    char *out;
    va_list ap;
    va_start(ap, format);
    int code = run(true, &out, format, ap);
    va_end(ap);
    free(out);
    return code == 0;
}

/* What a command prints; -1 when it fails. */
static FORMAT(1) long number(const char *format, ...)
{
    char *out;
    va_list ap;
    va_start(ap, format);
    int code = run(true, &out, format, ap);
    va_end(ap);
    long n = code == 0 ? strtol(out, NULL, 10) : -1;
    free(out);
    return n;
}

static int
clean(void **state)
{
    (void)state;
    return *env("engine") ? shell("tests/containers/clean") : 0;
}

#define SKIP_WITHOUT_ENGINE()                                                                                          \
    do {                                                                                                               \
        if (!*env("engine"))                                                                                           \
            skip_because("%s", *env("why") ? env("why") : "run by make test-containers alone");                        \
    } while (0)

/* ---- the images -------------------------------------------------------------------------------------------------- */

static void
each_image_adds_at_most_25_mb_to_its_base(void **state)
{
    (void)state;
    SKIP_WITHOUT_ENGINE();
    long base = number("$engine image inspect -f '{{.Size}}' %s", env("base"));
    assert_true(base > 0);
    static const char *const images[] = {"fanoutd", "fanout-local"};
    for (size_t i = 0; i < sizeof images / sizeof *images; i++) {
        long size = number("$engine image inspect -f '{{.Size}}' %s:$tag", images[i]);
        print_message("%s: %.1f MB over a base of %.1f\n", images[i], (double)(size - base) / MIB, (double)base / MIB);
        assert_true(size > base);
        assert_true(size - base <= 25 * MIB);
    }
}

#define SDK_MIB 300 /* Debian's gcc, g++ and make, and what they pull in */

static void
the_sdk_is_debians_compiler_a_header_and_a_makefile(void **state)
{
    (void)state;
    SKIP_WITHOUT_ENGINE();
    long base = number("$engine image inspect -f '{{.Size}}' %s", env("base"));
    long size = number("$engine image inspect -f '{{.Size}}' fanoutd-sdk:$tag");
    print_message("fanoutd-sdk: %.1f MB over a base of %.1f\n", (double)(size - base) / MIB, (double)base / MIB);
    assert_true(base > 0 && size > base);
    assert_true(size - base <= SDK_MIB * (long)MIB);
    char *out;
    assert_int_equal(shell_out(&out, "$engine run --rm --read-only --entrypoint find fanoutd-sdk:$tag "
                                     "/usr/local /handler /var/lib/apt/lists /var/cache -type f"),
                     0);
    assert_non_null(strstr(out, "/usr/local/include/fanout/handler.h\n"));
    assert_non_null(strstr(out, "/usr/local/lib/fanoutd/plugin.mk\n"));
    size_t files = 0;
    for (const char *at = out; (at = strchr(at, '\n')); at++)
        files++;
    assert_int_equal(files, 2);
    free(out);
}

static void
an_image_says_who_runs_and_how_it_is_stopped_and_asked(void **state)
{
    (void)state;
    SKIP_WITHOUT_ENGINE();
    static const char *const images[] = {"fanoutd", "fanout-local"};
    for (size_t i = 0; i < sizeof images / sizeof *images; i++) {
        char *out, expected[200];
        assert_int_equal(shell_out(&out,
                                   "$engine image inspect -f '{{.Config.User}} {{.Config.StopSignal}} "
                                   "{{index .Config.Labels \"org.opencontainers.image.version\"}} {{json .}}' %s:$tag",
                                   images[i]),
                         0);
        snprintf(expected, sizeof expected, "10001:10001 SIGTERM %s ", env("version"));
        assert_int_equal(strncmp(out, expected, strlen(expected)), 0);
        assert_non_null(strstr(out, "\"--health\""));
        free(out);
        snprintf(expected, sizeof expected, "%s %s\n", images[i], env("version"));
        assert_int_equal(shell_out(&out, "$engine run --rm --read-only %s:$tag --version", images[i]), 0);
        assert_string_equal(out, expected);
        free(out);
    }
}

static void
no_cache_and_no_build_tool_is_left_in_an_image(void **state)
{
    (void)state;
    SKIP_WITHOUT_ENGINE();
    assert_int_equal(shell("for i in fanoutd fanout-local; do $engine run --rm --read-only --entrypoint sh $i:$tag -c '"
                           "! command -v gcc make cc && ! ls -A /var/lib/apt/lists /var/cache /var/log /tmp /mnt "
                           "/run/secrets 2>/dev/null | grep -v :$ | grep . && "
                           "! ls /etc/apt/apt.conf.d | grep zz-build' || exit 1; done"),
                     0);
}

static const char HELLO[] = "#include <stdio.h>\n#include <fanout/handler.h>\n"
                            "static int32_t hello(void *plugin, void *thread, struct handler_call *call,\n"
                            "                     const struct handler_message *m)\n"
                            "{ (void)plugin, (void)thread, (void)call; puts(m->id); return HANDLER_DONE; }\n"
                            "HANDLER_DEFINE(.name = \"hello\", .version = \"1\", .handle = hello);\n";

static void
a_handler_built_with_the_sdk_is_accepted_by_fanoutd(void **state)
{
    (void)state;
    SKIP_WITHOUT_ENGINE();
    const char *dir = tmp_new();
    assert_int_equal(chmod(dir, 0777), 0);
    tmp_write(dir, "hello.c", "%s", HELLO);
    chmod(tmp_write(dir, "hello.conf",
                    "consumers = ( { name = \"x\"; queue = \"q\"; plugin = \"/handlers/hello.so\"; } );\n"),
          0644);
    chmod(tmp_path(dir, "hello.c"), 0644);
    assert_int_equal(shell("$engine run --rm -v %s:/handler fanoutd-sdk:$tag hello.so", dir), 0);
    assert_int_equal(shell("$engine run --rm --read-only -e AWS_REGION=us-east-1 -v %s:/handlers:ro fanoutd:$tag "
                           "-c /handlers/hello.conf --check",
                           dir),
                     0);
    tmp_remove(dir);
}

/* The README's Dockerfile for a handler of one's own, as it stands there. */
static void
an_image_with_a_handler_of_ones_own_is_built_as_the_readme_says(void **state)
{
    (void)state;
    SKIP_WITHOUT_ENGINE();
    static const char START[] = "```Dockerfile\n";
    const char *dir = tmp_new();
    char *readme = tmp_read("README.md", NULL);
    assert_non_null(readme);
    char *from = strstr(readme, START), *end = from ? strstr(from, "\n```") : NULL;
    assert_non_null(end);
    *end = '\0';
    tmp_write(dir, "Dockerfile", "%s\n", from + strlen(START));
    free(readme);
    tmp_write(dir, "hello.c", "%s", HELLO);
    tmp_write(dir, "hello.conf",
              "admin = { listen = \"0.0.0.0:9464\"; };\n"
              "consumers = ( { name = \"hello\"; queue = \"q\"; plugin = \"hello\"; } );\n");
    assert_int_equal(
        shell("cd %s && chmod 644 * && sed -i \"s/^FROM \\(fanoutd[a-z-]*\\)/FROM \\1:$tag/\" Dockerfile && "
              "$engine build -t fanoutd-hello:$tag . >&2",
              dir),
        0);
    int code = shell("$engine run --rm --read-only fanoutd-hello:$tag -c /etc/fanoutd/fanoutd.conf --check");
    assert_int_equal(shell("$engine rmi fanoutd-hello:$tag"), 0);
    assert_int_equal(code, 0);
    tmp_remove(dir);
}

/* ---- health ------------------------------------------------------------------------------------------------------ */

/* kill -SIGNAL of the worker in a container. */
static int
signal_worker(const char *container, const char *signal)
{
    return shell("$engine exec %s sh -c 'for p in /proc/[0-9]*; do read -r c <$p/comm && [ \"$c\" = fanout-worker ] && "
                 "kill -%s ${p#/proc/} && exit 0; done; exit 1'",
                 container, signal);
}

static bool
alone_is_healthy(void *context)
{
    (void)context;
    return succeeds("$engine exec $project-alone " HEALTH);
}

static bool
alone_is_unhealthy(void *context)
{
    return !alone_is_healthy(context);
}

static void
a_container_is_unhealthy_while_its_worker_stands_still(void **state)
{
    (void)state;
    SKIP_WITHOUT_ENGINE();
    /* Nobody answers for SQS: that makes nobody unhealthy. */
    assert_int_equal(
        shell("$engine run -d --name $project-alone --label com.docker.compose.project=$project --read-only "
              "--cap-drop ALL --security-opt no-new-privileges -v /var/lib/fanoutd "
              "-e AWS_REGION=us-east-1 -e AWS_ACCESS_KEY_ID=a -e AWS_SECRET_ACCESS_KEY=b "
              "-e AWS_ENDPOINT_URL=http://127.0.0.1:1 fanoutd:$tag"),
        0);
    assert_true(proc_wait_until(alone_is_healthy, NULL, SOON_MS));
    assert_int_equal(signal_worker("$project-alone", "STOP"), 0);
    assert_true(proc_wait_until(alone_is_unhealthy, NULL, SOON_MS));
    assert_int_equal(signal_worker("$project-alone", "CONT"), 0);
    assert_true(proc_wait_until(alone_is_healthy, NULL, SOON_MS));
    assert_int_equal(shell("$engine stop -t 30 $project-alone"), 0);
    assert_int_equal(number("$engine inspect -f '{{.State.ExitCode}}' $project-alone"), 0);
}

/* ---- the fleet --------------------------------------------------------------------------------------------------- */

struct fleet {
    char id[3][80]; /* 0: to be killed, 1: to be stopped, 2: goes on */
    long lines[3];
    long total;
    unsigned char seen[EVENTS + 1]; /* how often, up to 255 */
    long distinct, unexpected, repeated;
};

static void
find_fleet(struct fleet *f)
{
    char *out;
    assert_int_equal(shell_out(&out, "$engine ps -q --filter label=com.docker.compose.project=$project "
                                     "--filter label=com.docker.compose.service=fanoutd"),
                     0);
    assert_int_equal(sscanf(out, "%79s %79s %79s", f->id[0], f->id[1], f->id[2]), 3);
    free(out);
}

static bool
all_are_healthy(void *context)
{
    const struct fleet *f = context;
    for (int i = 0; i < 3; i++)
        if (!succeeds("$engine exec %s " HEALTH, f->id[i]))
            return false;
    return true;
}

static bool
all_have_worked(void *context)
{
    struct fleet *f = context;
    f->total = 0;
    bool each = true;
    for (int i = 0; i < 3; i++) {
        f->lines[i] = number("$engine exec %s sh -c 'wc -l </var/lib/fanoutd/%.12s.jsonl'", f->id[2], f->id[i]);
        each &= f->lines[i] > 0;
        f->total += f->lines[i] > 0 ? f->lines[i] : 0;
    }
    return each && f->total >= EVENTS / 10;
}

static bool
everything_was_handled(void *context)
{
    struct fleet *f = context;
    char *out, *end;
    if (shell_out(&out,
                  "$engine exec %s sh -c \"cat /var/lib/fanoutd/*.jsonl\" | "
                  "sed -n 's/.*\"detail\":{\"n\":\\([0-9]*\\)}.*/\\1/p'",
                  f->id[2]) != 0)
        return false;
    memset(f->seen, 0, sizeof f->seen);
    f->total = f->distinct = f->unexpected = f->repeated = 0;
    for (const char *at = out; *at; at = *end ? end + 1 : end) {
        long n = strtol(at, &end, 10);
        f->total++;
        if (n < 1 || n > EVENTS)
            f->unexpected++;
        else if (f->seen[n])
            f->repeated++;
        else
            f->distinct++, f->seen[n] = 1;
    }
    free(out);
    return f->distinct == EVENTS;
}

static void
nothing_is_lost_when_one_of_three_is_killed_and_another_stopped(void **state)
{
    static struct fleet f;
    (void)state;
    SKIP_WITHOUT_ENGINE();
    f = (struct fleet){0};
    assert_int_equal(shell(COMPOSE "up -d --no-build local fanoutd"), 0);
    find_fleet(&f);
    assert_true(proc_wait_until(all_are_healthy, &f, SOON_MS));
    assert_true(succeeds("$engine exec -u 0 %s sh -c 'touch /usr/local/x 2>&1 | grep -q Read-only'", f.id[0]));

    struct proc *publisher =
        proc_spawn((const char *[]){"/bin/sh", "-c", "exec " COMPOSE "run --rm -T --no-deps publisher", NULL}, NULL);
    assert_true(proc_wait_until(all_have_worked, &f, SOON_MS));
    /* Stopped first, so that it dies with what its outstanding poll has brought in hand. */
    assert_int_equal(signal_worker(f.id[0], "STOP"), 0);
    assert_int_equal(shell("$engine kill -s KILL %s", f.id[0]), 0);
    assert_true(proc_is_running(publisher));
    int64_t stopping_at_ms = clock_monotonic_ms();
    assert_int_equal(shell("$engine stop -t 30 %s", f.id[1]), 0);
    int64_t took_ms = clock_monotonic_ms() - stopping_at_ms;
    assert_non_null(proc_wait_line(publisher, "published 20000, failed 0, bad lines 0", SOON_MS));
    proc_wait_exit(publisher, SOON_MS);
    proc_destroy(publisher);
    bool all = proc_wait_until(everything_was_handled, &f, SOON_MS);

    print_message("published %d, handled %ld, lost %ld, unexpected %ld, duplicates %ld; at the kill: %ld, %ld and %ld "
                  "lines; stopped in %.1f s\n",
                  EVENTS, f.total, EVENTS - f.distinct, f.unexpected, f.repeated, f.lines[0], f.lines[1], f.lines[2],
                  (double)took_ms / 1000);
    assert_true(all);
    assert_int_equal(f.unexpected, 0);
    assert_true(f.repeated <= 2 * 80); /* threads x batch.size x (1 + prefetch) of each that ended */
    assert_int_equal(number("$engine inspect -f '{{.State.ExitCode}}' %s", f.id[0]), 137);
    assert_int_equal(number("$engine inspect -f '{{.State.ExitCode}}' %s", f.id[1]), 0);
    assert_true(took_ms <= 30000);
}

int
main(void)
{
    setenv("EVENTS", "20000", 1);
    setenv("RATE", "2000", 1);
    setenv("FANOUT_TAG", env("tag"), 1);
    setenv("FANOUT_LOCAL_LISTEN", "127.0.0.1:", 1); /* a port of the engine's choice */
    setenv("FANOUT_VISIBILITY_TIMEOUT_S", "10", 1);
#define TEST(f) cmocka_unit_test_setup_teardown(f, NULL, clean)
    const struct CMUnitTest tests[] = {
        TEST(each_image_adds_at_most_25_mb_to_its_base),
        TEST(the_sdk_is_debians_compiler_a_header_and_a_makefile),
        TEST(an_image_says_who_runs_and_how_it_is_stopped_and_asked),
        TEST(no_cache_and_no_build_tool_is_left_in_an_image),
        TEST(a_handler_built_with_the_sdk_is_accepted_by_fanoutd),
        TEST(an_image_with_a_handler_of_ones_own_is_built_as_the_readme_says),
        TEST(a_container_is_unhealthy_while_its_worker_stands_still),
        TEST(nothing_is_lost_when_one_of_three_is_killed_and_another_stopped),
    };
    return cmocka_run_group_tests_name("containers", tests, NULL, NULL);
}
