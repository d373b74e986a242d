#include "ctl/stage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "ctl/widen.h"

#define START_MS 10000
#define STOP_MS  5000
#define LOOK_MS  20 /* between two looks at what a child has said */

static void
clear_environment(void)
{
    extern char **environ;
    for (size_t i = 0; environ[i];) {
        char name[100];
        size_t n = strcspn(environ[i], "=");
        if (strncmp(environ[i], "AWS_", 4) == 0 && n < sizeof name) {
            memcpy(name, environ[i], n);
            name[n] = '\0';
            unsetenv(name);
        } else {
            i++;
        }
    }
    setenv("AWS_CONFIG_FILE", "/dev/null", 1);
    setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null", 1);
    setenv("no_proxy", "127.0.0.1", 1);
    setenv("NO_PROXY", "127.0.0.1", 1);
}

int
stage_set_up(struct stage *s, struct err *e)
{
    const char *tmp = getenv("TMPDIR");
    char folder[sizeof s->folder];
    clear_environment();
    int n = snprintf(folder, sizeof folder, "%s/fanout-demo-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (n >= (int)sizeof folder)
        return err_set(e, ERR_LIMIT, "TMPDIR is too long");
    if (!mkdtemp(folder))
        return err_set_errno(e, errno, "cannot make the folder %s", folder);
    memcpy(s->folder, folder, sizeof folder);
    snprintf(s->record, sizeof s->record, "%s/handled", s->folder);
    return 0;
}

static int
await_word(const struct stage *s, struct child *c, const char *text, char *ret_word, size_t capacity, struct err *e)
{
    int64_t deadline_ms = clock_monotonic_ms() + START_MS;
    while (!child_said(c, text, ret_word, capacity)) {
        if (*s->interrupted)
            return err_set(e, ERR_CANCELLED, "interrupted");
        if (!child_is_running(c))
            return child_set_error(c, e);
        if (clock_monotonic_ms() > deadline_ms)
            return err_set(e, ERR_TIMEOUT, "%s did not get ready in %d s; its output is in %s", c->name,
                           START_MS / 1000, c->log);
        child_wait(c, LOOK_MS);
    }
    return 0;
}

int
stage_start_local(struct stage *s, bool any_source, struct err *e)
{
    char program[PATH_MAX], data[PATH_MAX + 16], template_path[PATH_MAX + 40], log[PATH_MAX + 32];
    char wide_path[PATH_MAX + 40];
    int rc = child_find("fanout-local", program, sizeof program, e);
    if (rc != 0)
        return rc;
    snprintf(template_path, sizeof template_path, "%s/durable-event-buffer.template.json", s->conf_dir);
    if (any_source) {
        snprintf(wide_path, sizeof wide_path, "%s/template.json", s->folder);
        if ((rc = widen_file(template_path, wide_path, e)) != 0)
            return rc;
        memcpy(template_path, wide_path, sizeof template_path);
    }
    snprintf(data, sizeof data, "%s/data", s->folder);
    snprintf(log, sizeof log, "%s/fanout-local.log", s->folder);
    char *const argv[] = {"fanout-local",   "--listen",    "127.0.0.1:0",  "--data",         data,
                          "--template",     template_path, "--access-key", STAGE_ACCESS_KEY, "--secret-key",
                          STAGE_SECRET_KEY, NULL};
    const char *const extra[] = {NULL};
    if ((rc = child_start(&s->local, program, argv, extra, log, e)) != 0)
        return rc;
    return await_word(s, &s->local, "READY ", s->url, sizeof s->url, e);
}

int
stage_start_fleet(struct stage *s, struct err *e)
{
    char program[PATH_MAX], conf[PATH_MAX], endpoint[260], record[PATH_MAX + 40], log[PATH_MAX + 32];
    int rc = child_find("fanoutd", program, sizeof program, e);
    if (rc != 0)
        return rc;
    snprintf(conf, sizeof conf, "%s/demo.conf", s->conf_dir);
    snprintf(endpoint, sizeof endpoint, "AWS_ENDPOINT_URL=%s", s->url);
    snprintf(record, sizeof record, "DEMO_RECORD=%s", s->record);
    snprintf(log, sizeof log, "%s/fanoutd.log", s->folder);
    char *const argv[] = {"fanoutd", "-c", conf, NULL};
    const char *const extra[] = {endpoint,
                                 record,
                                 "DEMO_ADMIN=127.0.0.1:0",
                                 "AWS_ACCESS_KEY_ID=" STAGE_ACCESS_KEY,
                                 "AWS_SECRET_ACCESS_KEY=" STAGE_SECRET_KEY,
                                 "AWS_REGION=us-east-1",
                                 NULL};
    if ((rc = child_start(&s->fleet, program, argv, extra, log, e)) != 0)
        return rc;
    return await_word(s, &s->fleet, "admin=", s->admin, sizeof s->admin, e);
}

int
stage_check(struct stage *s, struct err *e)
{
    if (!child_is_running(&s->local))
        return child_set_error(&s->local, e);
    return child_is_running(&s->fleet) ? 0 : child_set_error(&s->fleet, e);
}

bool
stage_stop_fleet(struct stage *s)
{
    return child_stop(&s->fleet, STOP_MS);
}

void
stage_stop_local(struct stage *s)
{
    (void)child_stop(&s->local, STOP_MS);
}

void
stage_remove(struct stage *s)
{
    char *const argv[] = {"rm", "-rf", s->folder, NULL};
    const char *const extra[] = {NULL};
    struct child c;
    if (s->folder[0] && child_start(&c, "/bin/rm", argv, extra, "/dev/null", NULL) == 0)
        while (child_is_running(&c))
            child_wait(&c, -1);
    s->folder[0] = '\0';
}
