#include "lib/system.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/tmp.h"

#define START_MS 30000

static const char *
word_after(const char *line, const char *text, char *out, size_t capacity)
{
    const char *at = line ? strstr(line, text) : NULL;
    if (!at)
        return NULL;
    at += strlen(text);
    size_t n = strcspn(at, " \r\n\"");
    assert_true(n > 0 && n < capacity);
    memcpy(out, at, n);
    out[n] = '\0';
    return out;
}

static void
start_local(struct system *s, const char *listen)
{
    const char *argv[] = {proc_path("bin/fanout-local"),
                          "--listen",
                          listen,
                          "--data",
                          tmp_path(s->dir, "data"),
                          "--access-key",
                          "test",
                          "--secret-key",
                          "test",
                          NULL};
    s->local = proc_spawn(argv, NULL);
    assert_non_null(word_after(proc_wait_line(s->local, "READY ", START_MS), "READY ", s->url, sizeof s->url));
}

struct system *
system_start(const char *dir)
{
    struct system *s = calloc(1, sizeof *s);
    static char endpoint[128];
    static const char *env[] = {"AWS_ACCESS_KEY_ID=test",
                                "AWS_SECRET_ACCESS_KEY=test",
                                "AWS_REGION=us-east-1",
                                "AWS_DEFAULT_REGION=us-east-1",
                                "AWS_SESSION_TOKEN",
                                "AWS_PROFILE",
                                endpoint,
                                NULL};
    assert_non_null(s);
    s->dir = dir;
    s->env = env;
    start_local(s, "127.0.0.1:0");
    snprintf(endpoint, sizeof endpoint, "AWS_ENDPOINT_URL=%s", s->url);
    return s;
}

void
system_start_fleet(struct system *s, const char *consumers)
{
    const char *conf = tmp_write(s->dir, "fanoutd.conf", "admin = { listen = \"127.0.0.1:0\"; };\n%s\n", consumers);
    const char *argv[] = {proc_path("bin/fanoutd"), "-c", conf, NULL};
    s->fleet = proc_spawn(argv, s->env);
    assert_non_null(
        word_after(proc_wait_line(s->fleet, "msg=ready consumers=", START_MS), "admin=", s->admin, sizeof s->admin));
}

void
system_kill_local(struct system *s)
{
    proc_signal(s->local, SIGKILL);
    assert_int_equal(proc_wait_exit(s->local, 10000), -SIGKILL);
    proc_destroy(s->local);
    s->local = NULL;
}

void
system_restart_local(struct system *s)
{
    char listen[100];
    snprintf(listen, sizeof listen, "%s", s->url + strlen("http://"));
    start_local(s, listen);
}

size_t
system_workers(struct system *s, pid_t *ret_pids, size_t max)
{
    char path[100], children[1000] = "";
    size_t n = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)proc_pid(s->fleet), (int)proc_pid(s->fleet));
    FILE *f = fopen(path, "re");
    if (!f)
        return 0;
    if (!fgets(children, sizeof children, f))
        children[0] = '\0';
    fclose(f);
    for (char *at = children, *end; n < max; at = end) {
        pid_t pid = (pid_t)strtol(at, &end, 10);
        if (end == at)
            break;
        ret_pids[n++] = pid;
    }
    return n;
}

pid_t
system_worker(struct system *s)
{
    pid_t pid;
    return system_workers(s, &pid, 1) == 1 ? pid : 0;
}

void
system_stop_fleet(struct system *s)
{
    proc_signal(s->fleet, SIGTERM);
    assert_int_equal(proc_wait_exit(s->fleet, 40000), 0);
    proc_destroy(s->fleet);
    s->fleet = NULL;
    s->admin[0] = '\0';
}

void
system_stop(struct system *s)
{
    if (!s)
        return;
    proc_destroy(s->fleet);
    proc_destroy(s->local);
    free(s);
}

int
system_run(struct system *s, const char *const argv[], int timeout_ms, struct proc **ret_proc)
{
    struct proc *p = proc_spawn(argv, s->env);
    int code = proc_wait_exit(p, timeout_ms);
    if (ret_proc)
        *ret_proc = p;
    else
        proc_destroy(p);
    return code;
}

struct system_client
system_connect(struct system *s, enum aws_service service)
{
    return system_connect_https(s->url, NULL, service);
}

struct system_client
system_connect_https(const char *url, const char *ca_file, enum aws_service service)
{
    struct system_client c = {0};
    struct err e = {0};
    const struct http_engine_options engine_options = {.ca_file = ca_file};
    if (http_engine_new(&engine_options, &c.engine, &e) != 0 ||
        creds_static_new("test", "test", NULL, &c.credentials, &e) != 0)
        fail_msg("%s", e.text);
    struct aws_client_options options = {
        .engine = c.engine,
        .credentials = c.credentials,
        .service = service,
        .region = "us-east-1",
        .endpoint_url = url,
    };
    if (aws_client_new(&options, &c.aws, &e) != 0)
        fail_msg("%s", e.text);
    return c;
}

void
system_disconnect(struct system_client *c)
{
    aws_client_destroy(c->aws);
    creds_provider_destroy(c->credentials);
    http_engine_destroy(c->engine);
    *c = (struct system_client){0};
}

void
system_await(struct system_client *c, const bool *done)
{
    struct err e = {0};
    if (http_engine_run_until(c->engine, done, 20000, &e) != 0)
        fail_msg("%s", e.text);
}
