#include <stdlib.h>

#include "aws/creds.h"

struct fixed {
    struct creds_provider base;
    struct creds *creds;
};

static void
fixed_get(struct creds_provider *p, creds_done_fn *done, void *context)
{
    done(context, ((struct fixed *)p)->creds, NULL);
}

static void
fixed_destroy(struct creds_provider *p)
{
    creds_release(((struct fixed *)p)->creds);
    free(p);
}

int
creds_static_new(const char *access_key_id, const char *secret_access_key, const char *session_token,
                 struct creds_provider **ret_provider, struct err *e)
{
    struct fixed *f = calloc(1, sizeof *f);
    if (!f)
        return err_no_memory(e);
    f->base = (struct creds_provider){.name = "static", .get = fixed_get, .destroy = fixed_destroy};
    f->creds = creds_new(access_key_id, secret_access_key, session_token, "static", 0);
    if (!f->creds) {
        free(f);
        return err_no_memory(e);
    }
    *ret_provider = &f->base;
    return 0;
}
