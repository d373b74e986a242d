#include "local/provision.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "local/plan.h"

#define TEMPLATE_MAX_BYTES ((size_t)1 << 20) /* CloudFormation's own limit */
#define READ_BYTES         8192
#define TEMPLATE_NAME      "durable-event-buffer.template.json"

/* ---- the file ---------------------------------------------------------------------------------------------------- */

static int
read_file(const char *path, struct buf *text, struct err *e)
{
    ssize_t n = -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && buf_reserve(text, READ_BYTES) && (n = read(fd, text->data + text->len, READ_BYTES)) > 0)
        text->len += (size_t)n;
    int failed = errno;
    if (fd >= 0)
        close(fd);
    if (text->failed || text->len > TEMPLATE_MAX_BYTES)
        return err_set(e, ERR_INVALID, "%s: is larger than %zu bytes", path, TEMPLATE_MAX_BYTES);
    if (fd < 0 || n < 0)
        return err_set(e, ERR_INVALID, "cannot read the template %s: %s", path, strerror(failed));
    return 0;
}

int
local_provision_find(char *ret_path, size_t path_bytes, struct err *e)
{
    static const char *const PLACES[] = {"../share/fanoutd", "../../../conf"};
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0)
        return err_set_errno(e, errno, "/proc/self/exe");
    self[n] = '\0';
    *strrchr(self, '/') = '\0';
    for (size_t i = 0; i < sizeof PLACES / sizeof *PLACES; i++) {
        int length = snprintf(ret_path, path_bytes, "%s/%s/" TEMPLATE_NAME, self, PLACES[i]);
        if (length > 0 && (size_t)length < path_bytes && access(ret_path, R_OK) == 0)
            return 0;
    }
    return err_set(e, ERR_NOT_FOUND, "there is no " TEMPLATE_NAME " in %s/%s or %s/%s; --template names another", self,
                   PLACES[0], self, PLACES[1]);
}

/* ---- carrying a plan out ----------------------------------------------------------------------------------------- */

struct work {
    const struct local_provision *services;
    const struct local_plan *plan;
};

/* What a service said of a step's names and values, with the place in the template; property is what stands between the
 * two. */
static int
refused(struct store_tx *tx, const struct local_plan_step *step, const char *property, int code,
        const struct err *error)
{
    return store_fail(tx, code == ERR_NOT_FOUND || code == ERR_LIMIT ? ERR_INVALID : (enum err_code)code,
                      "Resources.%s.Properties%s%s", step->id, property, error->text);
}

static int
take(struct store_tx *tx, const struct local_provision *p, const struct local_plan_step *step)
{
    const struct local_events_rule rule = {.bus = step->bus,
                                           .name = step->name,
                                           .pattern = step->pattern,
                                           .enabled = step->enabled,
                                           .targets = step->targets,
                                           .n_targets = step->n_targets};
    struct err e = {0};
    int rc;
    switch (step->kind) {
    case LOCAL_PLAN_BUS:
        return local_events_put_bus(p->events, tx, step->name);
    case LOCAL_PLAN_BUCKET:
        rc = local_s3_ensure_bucket(p->s3, tx, step->name, &e);
        return rc == 0 ? 0 : refused(tx, step, ".BucketName: ", rc, &e);
    case LOCAL_PLAN_QUEUE:
        rc = local_sqs_ensure_queue(p->sqs, tx, step->name, step->attributes, step->n_attributes, &e);
        return rc == 0 ? 0 : refused(tx, step, ": ", rc, &e);
    case LOCAL_PLAN_RULE:
        rc = local_events_provide_rule(p->events, tx, &rule, &e);
        return rc == 0 ? 0 : refused(tx, step, ".", rc, &e);
    }
    return store_fail(tx, ERR_CORRUPT, "a step of no kind");
}

static int
run(struct store_tx *tx, void *context)
{
    const struct work *w = context;
    int rc = local_events_begin_rules(w->services->events, tx);
    for (size_t i = 0; rc == 0 && i < w->plan->n_steps; i++)
        rc = take(tx, w->services, &w->plan->steps[i]);
    return rc != 0 ? rc : local_events_end_rules(w->services->events, tx);
}

static void
report(const struct local_provision *p, const struct local_plan *plan)
{
    size_t made[LOCAL_PLAN_RULE + 1] = {0};
    for (size_t i = 0; i < plan->n_steps; i++)
        made[plan->steps[i].kind]++;
    for (size_t i = 0; i < plan->n_notes; i++)
        log_write(plan->notes[i].warning ? LOG_WARN : LOG_DEBUG, plan->notes[i].text,
                  LOG_STR("path", plan->notes[i].path));
    log_write(LOG_INFO, "provisioned", LOG_STR("template", p->template), LOG_INT("buses", made[LOCAL_PLAN_BUS]),
              LOG_INT("buckets", made[LOCAL_PLAN_BUCKET]), LOG_INT("queues", made[LOCAL_PLAN_QUEUE]),
              LOG_INT("rules", made[LOCAL_PLAN_RULE]));
}

int
local_provision(struct local *l, void *context, struct err *e)
{
    const struct local_provision *p = context;
    struct work work = {.services = p};
    struct buf text, queue_url_base = BUF_INIT;
    struct template *template = NULL;
    struct local_plan *plan = NULL;
    if (!p->template)
        return p->n_parameters == 0 ? 0 : err_set(e, ERR_INVALID, "parameters were given, but there is no template");
    buf_init_limited(&text, TEMPLATE_MAX_BYTES + 2 * READ_BYTES);
    buf_add_format(&queue_url_base, "%s/%s/", local_url(l), local_account(l));
    const struct template_environment environment = {
        .account = local_account(l),
        .region = local_region(l),
        .queue_url_base = queue_url_base.data,
        .parameters = p->parameters,
        .n_parameters = p->n_parameters,
    };
    int rc = buf_failed(&queue_url_base) ? err_no_memory(e) : read_file(p->template, &text, e);
    if (rc != 0)
        goto out;
    if ((rc = template_parse(buf_slice(&text), &environment, &template, e)) != 0 ||
        (rc = local_plan_make(template, &plan, e)) != 0) {
        rc = err_prefix(e, rc, "%s", p->template);
        goto out;
    }
    work.plan = plan;
    rc = store_call(local_store(l), run, &work, e);
    if (rc == 0)
        report(p, plan);
    else if (rc == ERR_INVALID)
        rc = err_prefix(e, rc, "%s", p->template);
out:
    local_plan_destroy(plan);
    template_destroy(template);
    buf_clean_up(&queue_url_base);
    buf_clean_up(&text);
    return rc;
}
