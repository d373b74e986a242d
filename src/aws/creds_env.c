#include <stdlib.h>

#include "aws/creds.h"

struct environment {
    struct creds_provider base;
    struct creds *creds; /* NULL: error says why */
    struct err error;
};

static void
environment_get(struct creds_provider *p, creds_done_fn *done, void *context)
{
    struct environment *v = (struct environment *)p;
    done(context, v->creds, v->creds ? NULL : &v->error);
}

static void
environment_destroy(struct creds_provider *p)
{
    creds_release(((struct environment *)p)->creds);
    free(p);
}

static const char *
variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

int
creds_env_new(struct creds_provider **ret_provider, struct err *e)
{
    struct environment *v = calloc(1, sizeof *v);
    if (!v)
        return err_no_memory(e);
    v->base = (struct creds_provider){.name = "environment", .get = environment_get, .destroy = environment_destroy};
    const char *id = variable("AWS_ACCESS_KEY_ID"), *secret = variable("AWS_SECRET_ACCESS_KEY");
    if (id && secret) {
        v->creds = creds_new(id, secret, variable("AWS_SESSION_TOKEN"), "environment", 0);
        if (!v->creds) {
            free(v);
            return err_no_memory(e);
        }
    } else if (id || secret) {
        err_set(&v->error, ERR_INVALID, "%s is set and %s is not: set both, or neither",
                id ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_ACCESS_KEY", id ? "AWS_SECRET_ACCESS_KEY" : "AWS_ACCESS_KEY_ID");
    } else {
        err_set(&v->error, ERR_NOT_FOUND, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set");
    }
    *ret_provider = &v->base;
    return 0;
}
