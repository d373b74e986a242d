#include "lib/client.h"

#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/proc.h"
#include "lib/tap.h"
#include "lib/tmp.h"

#define SERVER_MS   20000
#define MAX_CLIENTS 8

struct running {
    const char *folder;
    struct proc *server;
    struct tap_run *run;
    char argv[CLIENT_ARGS][PATH_MAX], cwd[PATH_MAX], why[PATH_MAX + 200];
    char *input;
};

/* "build/interop/x" in this build's folder, "tests/x" in this repository's, anything else as it is. */
static void
make_absolute(const char *path, char out[PATH_MAX])
{
    char here[PATH_MAX / 2];
    if (strncmp(path, "build/", 6) == 0) {
        char relative[PATH_MAX / 2];
        snprintf(relative, sizeof relative, "../%s", path + 6);
        snprintf(out, PATH_MAX, "%s", proc_path(relative));
    } else if (strncmp(path, "tests/", 6) == 0 && getcwd(here, sizeof here)) {
        snprintf(out, PATH_MAX, "%s/%s", here, path);
    } else {
        snprintf(out, PATH_MAX, "%s", path);
    }
}

static const char *
or_else(const char *text, const char *otherwise)
{
    return text ? text : otherwise;
}

static const char *
start_server(struct running *r, const struct client *c)
{
    const char *argv[5 + CLIENT_ARGS + 1] = {proc_path("bin/fanout-local"), "--listen", "127.0.0.1:0", "--memory",
                                             "--no-provision"};
    memcpy(argv + 5, c->server, sizeof c->server);
    r->server = proc_spawn(argv, NULL);
    const char *line = proc_wait_line(r->server, "READY ", SERVER_MS);
    assert_non_null(line);
    return strstr(line, "http://");
}

static void
start(struct running *r, const struct client *c)
{
    char needs[PATH_MAX], home[PATH_MAX], endpoint[200];
    struct tap_program program = {.name = c->name, .timeout_ms = c->timeout_ms};
    const char *instead = c->instead ? getenv(c->instead) : NULL;
    r->folder = tmp_new();
    make_absolute(or_else(instead, c->needs), needs);
    if (access(needs, X_OK) != 0) {
        snprintf(r->why, sizeof r->why, "there is no %s (the logs in build/interop say why)", needs);
        program.missing = r->why;
        r->run = tap_start(&program);
        return;
    }
    const char *url = start_server(r, c), *argv[CLIENT_ARGS + 1] = {NULL};
    for (size_t i = 0; i < CLIENT_ARGS && c->argv[i]; i++) {
        make_absolute(strcmp(c->argv[i], c->needs) == 0 ? or_else(instead, c->needs) : c->argv[i], r->argv[i]);
        argv[i] = r->argv[i];
    }
    make_absolute(or_else(c->cwd, r->folder), r->cwd);
    snprintf(home, sizeof home, "HOME=%s", r->folder);
    snprintf(endpoint, sizeof endpoint, "AWS_ENDPOINT_URL=%.*s", (int)strcspn(url, " \r\n"), url);
    const char *env[] = {home,
                         endpoint,
                         "AWS_ACCESS_KEY_ID=test",
                         "AWS_SECRET_ACCESS_KEY=test",
                         "AWS_REGION=us-east-1",
                         "AWS_DEFAULT_REGION=us-east-1",
                         "AWS_EC2_METADATA_DISABLED=true",
                         "AWS_PAGER=",
                         "NO_PROXY=127.0.0.1,localhost",
                         "PYTHONDONTWRITEBYTECODE=1",
                         "AWS_PROFILE",
                         "AWS_SESSION_TOKEN",
                         "AWS_CONFIG_FILE",
                         "AWS_SHARED_CREDENTIALS_FILE",
                         c->env,
                         NULL};
    if (c->input) {
        char path[PATH_MAX];
        make_absolute(c->input, path);
        r->input = tmp_read(path, NULL);
        assert_non_null(r->input);
    }
    program.options = (struct proc_options){.argv = argv, .env = env, .cwd = r->cwd, .in = r->input};
    r->run = tap_start(&program);
}

static int
finish(struct running *r)
{
    int failed = tap_finish(r->run);
    if (r->server) {
        proc_signal(r->server, SIGTERM);
        if (proc_wait_exit(r->server, SERVER_MS) != 0) {
            proc_print(r->server);
            failed++;
        }
        proc_destroy(r->server);
    }
    free(r->input);
    tmp_remove(r->folder);
    return failed;
}

int
clients_run(const struct client *clients, size_t n)
{
    static struct running running[MAX_CLIENTS];
    int failed = 0;
    for (size_t i = 0; i < n && i < MAX_CLIENTS; i++)
        start(&running[i], &clients[i]);
    for (size_t i = 0; i < n && i < MAX_CLIENTS; i++)
        failed += finish(&running[i]);
    return failed;
}
