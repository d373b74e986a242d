#include "lib/fake_host.h"

#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct plugin *opening; /* whose options are asked for */
static _Thread_local char logged[1024];

static void
host_log(struct handler_call *call, int32_t level, const char *text)
{
    (void)call;
    (void)level;
    snprintf(logged, sizeof logged, "%s", text);
}

static int32_t
host_settle(struct handler_call *call, uint32_t index, int32_t verdict, int64_t delay_ms, const char *reason)
{
    if (index >= call->count)
        return HANDLER_E_INDEX;
    struct fake_verdict *v = &call->verdicts[index];
    if (v->verdict != HANDLER_UNSET)
        return HANDLER_E_SETTLED;
    if (verdict < HANDLER_DONE || verdict > HANDLER_DOWN)
        return HANDLER_E_VERDICT;
    *v = (struct fake_verdict){.verdict = verdict, .delay_ms = delay_ms};
    snprintf(v->reason, sizeof v->reason, "%s", reason ? reason : "");
    return HANDLER_OK;
}

static int64_t
host_remaining_ms(struct handler_call *call)
{
    (void)call;
    return 30000;
}

static int32_t
host_extend(struct handler_call *call, int64_t more_ms)
{
    (void)call;
    (void)more_ms;
    return HANDLER_OK;
}

static int32_t
host_stopping(struct handler_call *call)
{
    return call->stopping && atomic_load(call->stopping);
}

static const char *
host_option(const char *name)
{
    return plugin_option(opening, name);
}

static const void *
host_extension(const char *id)
{
    (void)id;
    return NULL;
}

static const struct handler_host HOST = {.size = sizeof HOST,
                                         .log = host_log,
                                         .settle = host_settle,
                                         .remaining_ms = host_remaining_ms,
                                         .extend = host_extend,
                                         .stopping = host_stopping,
                                         .option = host_option,
                                         .extension = host_extension};

/* BUILD/VARIANT: a test is BUILD/VARIANT/tests/KIND/test_x. */
static void
build_folder(char path[PATH_MAX])
{
    ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 1);
    path[n > 0 ? n : 0] = 0;
    for (int up = 0; up < 3; up++)
        dirname(path);
}

void
fake_host_plugin_path(const char *name, char *ret_path, size_t capacity)
{
    char build[PATH_MAX];
    const char *dir = getenv("FANOUT_PLUGIN_DIR");
    build_folder(build);
    snprintf(ret_path, capacity, "%s%s/%s.so", dir ? dir : build, dir ? "" : "/lib/fanoutd/plugins", name);
}

void
fake_host_test_plugin_path(const char *name, char *ret_path, size_t capacity)
{
    char build[PATH_MAX];
    build_folder(build);
    snprintf(ret_path, capacity, "%s/tests/plugins/%s.so", build, name);
}

int
fake_plugin_open(const char *name, const struct plugin_option *options, size_t n, struct fake_plugin *ret,
                 struct err *e)
{
    char path[PATH_MAX + 64];
    struct plugin *p = NULL;
    void *state = NULL;
    fake_host_plugin_path(name, path, sizeof path);
    int rc = plugin_load(path, &p, e);
    if (rc == 0)
        rc = plugin_set_options(p, options, n, e);
    logged[0] = 0;
    opening = p;
    if (rc == 0 && p->table.open && p->table.open(&HOST, &state) != 0)
        rc = err_set(e, ERR_CANCELLED, "%.400s", logged);
    if (rc) {
        plugin_destroy(p);
        return rc;
    }
    *ret = (struct fake_plugin){.plugin = p, .state = state};
    return 0;
}

void
fake_plugin_close(struct fake_plugin *f)
{
    if (f->plugin->table.close)
        f->plugin->table.close(f->state);
    plugin_destroy(f->plugin);
    *f = (struct fake_plugin){0};
}

static void
apply(struct handler_call *call, int32_t verdict)
{
    for (uint32_t i = 0; i < call->count; i++)
        if (call->verdicts[i].verdict == HANDLER_UNSET)
            call->verdicts[i].verdict = verdict;
}

void
fake_plugin_handle(struct fake_plugin *f, const struct fake_message *messages, uint32_t n,
                   struct fake_verdict *verdicts, atomic_bool *stopping)
{
    const struct handler *t = &f->plugin->table;
    struct handler_message *full = calloc(n, sizeof *full);
    const struct handler_message **pointers = calloc(n, sizeof(void *));
    if (!full || !pointers)
        abort();
    for (uint32_t i = 0; i < n; i++) {
        full[i] = (struct handler_message){.size = sizeof full[i],
                                           .receive_count = messages[i].receive_count,
                                           .id = messages[i].id,
                                           .queue = "q",
                                           .body = messages[i].body,
                                           .body_len = strlen(messages[i].body)};
        pointers[i] = &full[i];
        verdicts[i] = (struct fake_verdict){0};
    }
    void *thread = NULL;
    if (t->thread_open && t->thread_open(f->state, &thread) != 0)
        abort();
    if (t->handle_batch) {
        struct handler_call call = {.verdicts = verdicts, .count = n, .stopping = stopping};
        struct handler_batch batch = {.size = sizeof batch, .count = n, .messages = pointers};
        apply(&call, t->handle_batch(f->state, thread, &call, &batch));
    }
    for (uint32_t i = 0; t->handle && i < n; i++) {
        struct handler_call call = {.verdicts = &verdicts[i], .count = 1, .stopping = stopping};
        apply(&call, t->handle(f->state, thread, &call, &full[i]));
    }
    if (t->thread_close)
        t->thread_close(f->state, thread);
    free(pointers);
    free(full);
}
