/* creds: where credentials come from.
 *
 * A provider answers, now or later, with a set of credentials. One source per file (creds_env.c, creds_profile.c, ...),
 * each a provider; creds_chain asks one after the other; creds_cached keeps an answer until it is about to expire, asks
 * once for many waiting callers, and serves the old one while a refresh fails and it is still valid. Engine thread
 * only. */
#ifndef FANOUT_AWS_CREDS_H
#define FANOUT_AWS_CREDS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Immutable and counted, so that a signed request can outlive a refresh. Secrets are wiped when the last one lets go.
 */
struct creds {
    const char *access_key_id;
    const char *secret_access_key;
    const char *session_token; /* NULL: none */
    const char *source;        /* "environment", "profile default of /root/.aws/credentials" */
    int64_t expires_at_ms;     /* wall time; 0: never */
    unsigned references;
};
struct creds *creds_new(const char *access_key_id, const char *secret_access_key, const char *session_token,
                        const char *source, int64_t expires_at_ms); /* NULL: no memory */
struct creds *creds_hold(struct creds *c);
void creds_release(struct creds *c); /* NULL is fine */

/* creds is NULL when error is set; the callee holds what it keeps. ERR_NOT_FOUND: this source has none. */
typedef void creds_done_fn(void *context, struct creds *creds, const struct err *error);

struct creds_provider {
    const char *name;
    /* Calls done exactly once, before returning or later. */
    void (*get)(struct creds_provider *p, creds_done_fn *done, void *context);
    /* The service refused these: a cache that still holds them drops them. May be NULL. */
    void (*invalidate)(struct creds_provider *p, const struct creds *refused);
    /* Answers whoever still waits with ERR_CANCELLED. */
    void (*destroy)(struct creds_provider *p);
};

static inline void
creds_provider_destroy(struct creds_provider *p)
{
    if (p)
        p->destroy(p);
}

static inline void
creds_provider_invalidate(struct creds_provider *p, const struct creds *refused)
{
    if (p->invalidate)
        p->invalidate(p, refused);
}

/* The functions below read environment variables when the provider is made (before threads start: getenv is not safe
 * beside a plugin's setenv), never later. A source that turns out to have no credentials says so to get's callback. */

/* Fixed ones, for tests and fanout-local. */
int creds_static_new(const char *access_key_id, const char *secret_access_key, const char *session_token,
                     struct creds_provider **ret_provider, struct err *e);

/* AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN (empty counts as unset). ERR_NOT_FOUND when the first two
 * are unset; ERR_INVALID when only one of them is set. */
int creds_env_new(struct creds_provider **ret_provider, struct err *e);

/* A profile of the shared files (AWS_SHARED_CREDENTIALS_FILE, AWS_CONFIG_FILE or ~/.aws/...), re-read at each get, so
 * that rotated keys are found. profile NULL or "": AWS_PROFILE, else "default". ERR_NOT_FOUND: no such profile, or one
 * without keys; ERR_INVALID: half a pair of keys, or a broken file. */
int creds_profile_new(const char *profile, struct creds_provider **ret_provider, struct err *e);

/* Takes the n providers (also on failure). First answer wins. A source that has credentials but cannot give them (any
 * error but ERR_NOT_FOUND) ends the search, because who we are must not depend on what is broken; if none has any, the
 * error says what each of them said. */
int creds_chain_new(struct creds_provider **providers, size_t n, struct creds_provider **ret_provider, struct err *e);

/* Takes inner (also on failure). Refreshes 15 minutes before expiry while still handing out the old ones; from 10
 * minutes before expiry callers wait for the refresh, and get the old ones when it fails. */
int creds_cached_new(struct creds_provider *inner, struct creds_provider **ret_provider, struct err *e);

/* The default chain, cached: environment (left out when the argument names a profile), profile. */
int creds_default_new(const char *profile, struct creds_provider **ret_provider, struct err *e);

#endif
