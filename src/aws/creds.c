#include "aws/creds.h"

#include <stdlib.h>
#include <string.h>

struct creds *
creds_new(const char *access_key_id, const char *secret_access_key, const char *session_token, const char *source,
          int64_t expires_at_ms)
{
    struct creds *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    *c = (struct creds){.access_key_id = strdup(access_key_id),
                        .secret_access_key = strdup(secret_access_key),
                        .session_token = session_token && *session_token ? strdup(session_token) : NULL,
                        .source = strdup(source),
                        .expires_at_ms = expires_at_ms,
                        .references = 1};
    bool has_token = session_token && *session_token;
    if (!c->access_key_id || !c->secret_access_key || !c->source || (has_token && !c->session_token)) {
        creds_release(c);
        return NULL;
    }
    return c;
}

struct creds *
creds_hold(struct creds *c)
{
    c->references++;
    return c;
}

static void
wipe(const char *text)
{
    if (text)
        explicit_bzero((char *)text, strlen(text));
    free((char *)text);
}

void
creds_release(struct creds *c)
{
    if (!c || --c->references > 0)
        return;
    wipe(c->access_key_id);
    wipe(c->secret_access_key);
    wipe(c->session_token);
    free((char *)c->source);
    free(c);
}

int
creds_default_new(const char *profile, struct creds_provider **ret_provider, struct err *e)
{
    struct creds_provider *sources[2] = {NULL, NULL}, *chain;
    size_t n = 0;
    bool named = profile && *profile;
    int r;
    if (!named && (r = creds_env_new(&sources[n++], e)) < 0)
        return r;
    if ((r = creds_profile_new(profile, &sources[n++], e)) < 0) {
        creds_provider_destroy(sources[0]);
        return r;
    }
    r = creds_chain_new(sources, n, &chain, e);
    return r < 0 ? r : creds_cached_new(chain, ret_provider, e);
}
