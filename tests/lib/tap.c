#include "lib/tap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/skip.h"

#define MAX_CHECKS 500

enum verdict { NOT_REACHED, OK, NOT_OK, SKIPPED };

struct check {
    enum verdict verdict;
    char name[300], reason[400]; /* "boto3: a_queue_is_made"; why it was skipped */
    const char *details;         /* the lines of '#' after it, in the program's output */
};

struct tap_run {
    struct tap_program program;
    struct proc *process;
    int exit_code;
    size_t planned, n;
    struct check checks[MAX_CHECKS];
};

struct tap_run *
tap_start(const struct tap_program *p)
{
    struct tap_run *r = calloc(1, sizeof *r);
    if (!r)
        abort();
    r->program = *p;
    r->process = p->missing ? NULL : proc_start(&p->options);
    return r;
}

/* ---- what it said ------------------------------------------------------------------------------------------------ */

static void
copy(char *out, size_t size, const char *text, size_t n)
{
    while (n > 0 && text[n - 1] == ' ')
        n--;
    snprintf(out, size, "%.*s", (int)n, text);
}

/* "ok 12 - a_name # SKIP a reason", up to end. */
static void
read_check(struct tap_run *r, const char *line, const char *end)
{
    bool ok = strncmp(line, "ok ", 3) == 0;
    const char *dash = memmem(line, (size_t)(end - line), " - ", 3);
    if ((!ok && strncmp(line, "not ok ", 7) != 0) || !dash || r->n == MAX_CHECKS)
        return;
    struct check *c = &r->checks[r->n++];
    const char *skip = memmem(dash, (size_t)(end - dash), " # SKIP ", 8);
    c->verdict = !ok ? NOT_OK : skip ? SKIPPED : OK;
    int n = snprintf(c->name, sizeof c->name, "%s: ", r->program.name);
    copy(c->name + n, sizeof c->name - (size_t)n, dash + 3, (size_t)((skip ? skip : end) - dash - 3));
    if (skip)
        copy(c->reason, sizeof c->reason, skip + 8, (size_t)(end - skip - 8));
    c->details = *end ? end + 1 : end;
}

static void
read_output(struct tap_run *r, const char *out)
{
    for (const char *line = out; *line;) {
        const char *end = line + strcspn(line, "\n");
        if (strncmp(line, "1..", 3) == 0)
            r->planned = strtoul(line + 3, NULL, 10);
        else
            read_check(r, line, end);
        line = *end ? end + 1 : end;
    }
    if (r->planned > MAX_CHECKS)
        r->planned = MAX_CHECKS;
    for (; r->n < r->planned; r->n++)
        snprintf(r->checks[r->n].name, sizeof r->checks->name, "%s: check_%zu_which_it_never_came_to", r->program.name,
                 r->n + 1);
}

/* ---- cmocka ------------------------------------------------------------------------------------------------------ */

static void
tell(void **state)
{
    const struct check *c = *state;
    if (c->verdict == SKIPPED)
        skip_because("%s", c->reason);
    if (c->verdict == NOT_REACHED)
        fail_msg("the program ended, or was ended, before it");
    if (c->verdict == NOT_OK) {
        for (const char *line = c->details; *line == '#'; line += strcspn(line, "\n"), line += *line == '\n')
            print_error("%.*s\n", (int)strcspn(line, "\n"), line);
        fail();
    }
}

static void
it_can_be_run(void **state)
{
    const struct tap_run *r = *state;
    skip_because("%s", r->program.missing);
}

static void
it_ends_as_it_says(void **state)
{
    struct tap_run *r = *state;
    size_t failed = 0;
    for (size_t i = 0; i < r->n; i++)
        failed += r->checks[i].verdict == NOT_OK;
    if (r->planned == 0 || r->n != r->planned || r->exit_code != (failed > 0)) {
        proc_print(r->process);
        fail_msg("%zu checks announced, %zu told, exit code %d", r->planned, r->n, r->exit_code);
    }
}

int
tap_finish(struct tap_run *r)
{
    static struct CMUnitTest tests[MAX_CHECKS + 1];
    size_t n = 0;
    if (r->process) {
        r->exit_code = proc_wait_exit(r->process, r->program.timeout_ms);
        read_output(r, proc_stdout(r->process));
    }
    for (; n < r->n; n++)
        tests[n] = (struct CMUnitTest){r->checks[n].name, tell, NULL, NULL, &r->checks[n]};
    tests[n++] = r->process ? (struct CMUnitTest){"it_ends_as_it_says", it_ends_as_it_says, NULL, NULL, r}
                            : (struct CMUnitTest){"it_can_be_run", it_can_be_run, NULL, NULL, r};
    int failed = _cmocka_run_group_tests(r->program.name, tests, n, NULL, NULL);
    proc_destroy(r->process);
    free(r);
    return failed;
}
