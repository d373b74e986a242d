#include <stdlib.h>
#include <string.h>

#include "aws/creds.h"
#include "base/buf.h"

struct chain {
    struct creds_provider base;
    struct creds_provider **sources;
    size_t n;
};

/* One caller's walk along the chain. */
struct walk {
    struct chain *chain;
    size_t at;
    creds_done_fn *done;
    void *context;
    struct buf refusals; /* "environment: ...; profile: ..." */
};

static void ask(struct walk *w);

static void
end(struct walk *w, struct creds *creds, const struct err *error)
{
    w->done(w->context, creds, error);
    buf_clean_up(&w->refusals);
    free(w);
}

static void
answered(void *context, struct creds *creds, const struct err *error)
{
    struct walk *w = context;
    const struct creds_provider *source = w->chain->sources[w->at];
    struct err e;
    if (!error) {
        end(w, creds, NULL);
        return;
    }
    if (error->code != ERR_NOT_FOUND) {
        e = *error;
        err_prefix(&e, e.code, "credentials from %s", source->name);
        end(w, NULL, &e);
        return;
    }
    buf_add_format(&w->refusals, "%s%s: %s", w->refusals.len ? "; " : "", source->name, error->text);
    w->at++;
    ask(w);
}

static void
ask(struct walk *w)
{
    if (w->at < w->chain->n) {
        struct creds_provider *source = w->chain->sources[w->at];
        source->get(source, answered, w);
        return;
    }
    struct err e;
    if (buf_failed(&w->refusals))
        err_no_memory(&e);
    else
        err_set(&e, ERR_NOT_FOUND, "no credentials found: %.*s", SLICE_ARG(buf_slice(&w->refusals)));
    end(w, NULL, &e);
}

static void
chain_get(struct creds_provider *p, creds_done_fn *done, void *context)
{
    struct walk *w = calloc(1, sizeof *w);
    if (!w) {
        struct err e;
        err_no_memory(&e);
        done(context, NULL, &e);
        return;
    }
    *w = (struct walk){.chain = (struct chain *)p, .done = done, .context = context};
    ask(w);
}

static void
chain_invalidate(struct creds_provider *p, const struct creds *refused)
{
    struct chain *c = (struct chain *)p;
    for (size_t i = 0; i < c->n; i++)
        creds_provider_invalidate(c->sources[i], refused);
}

static void
chain_destroy(struct creds_provider *p)
{
    struct chain *c = (struct chain *)p;
    for (size_t i = 0; i < c->n; i++)
        creds_provider_destroy(c->sources[i]);
    free(c->sources);
    free(c);
}

int
creds_chain_new(struct creds_provider **providers, size_t n, struct creds_provider **ret_provider, struct err *e)
{
    struct chain *c = calloc(1, sizeof *c);
    struct creds_provider **sources = calloc(n ? n : 1, sizeof(struct creds_provider *));
    if (!c || !sources) {
        for (size_t i = 0; i < n; i++)
            creds_provider_destroy(providers[i]);
        free(c);
        free(sources);
        return err_no_memory(e);
    }
    memcpy(sources, providers, n * sizeof(struct creds_provider *));
    c->base = (struct creds_provider){
        .name = "chain", .get = chain_get, .invalidate = chain_invalidate, .destroy = chain_destroy};
    c->sources = sources;
    c->n = n;
    *ret_provider = &c->base;
    return 0;
}
