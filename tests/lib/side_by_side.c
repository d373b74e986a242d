#include "lib/side_by_side.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            perror("side_by_side: " #condition);                                                                       \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

struct side {
    pid_t pid;
    FILE *out;
};

static void
start(struct side *s, const char *group, const struct CMUnitTest *tests, size_t n, size_t i, CMFixtureFunction set_up,
      CMFixtureFunction tear_down)
{
    CHECK((s->out = tmpfile()));
    fflush(NULL);
    CHECK((s->pid = fork()) >= 0);
    if (s->pid > 0)
        return;
    CHECK(dup2(fileno(s->out), STDOUT_FILENO) >= 0 && dup2(fileno(s->out), STDERR_FILENO) >= 0);
    cmocka_set_test_filter(tests[i].name);
    exit(_cmocka_run_group_tests(group, tests, n, set_up, tear_down));
}

/* False: a test of it failed, or it died. */
static bool
end(struct side *s, const char *test)
{
    char piece[4096];
    int status;
    while (waitpid(s->pid, &status, 0) < 0)
        CHECK(errno == EINTR);
    rewind(s->out);
    for (size_t n; (n = fread(piece, 1, sizeof piece, s->out)) > 0;)
        fwrite(piece, 1, n, stdout);
    fclose(s->out);
    if (WIFSIGNALED(status))
        printf("[  FAILED  ] %s\nended by signal %d\n", test, WTERMSIG(status));
    return status == 0;
}

int
side_by_side_run(const char *group, const struct CMUnitTest *tests, size_t n, CMFixtureFunction set_up,
                 CMFixtureFunction tear_down)
{
    struct side *sides = calloc(n, sizeof *sides);
    bool good = true;
    CHECK(sides);
    for (size_t i = 0; i < n; i++)
        start(&sides[i], group, tests, n, i, set_up, tear_down);
    for (size_t i = 0; i < n; i++)
        good &= end(&sides[i], tests[i].name);
    free(sides);
    fflush(stdout);
    return good ? 0 : 1;
}
