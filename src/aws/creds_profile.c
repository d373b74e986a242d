#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/creds.h"
#include "aws/profile.h"

struct profile {
    struct creds_provider base;
    struct profile_paths paths;
    char *name;
};

/* What a profile may hold in place of keys: named, so that nobody has to guess why theirs is not taken. */
static const char *
other_way(const struct profile_files *f, const char *name)
{
    static const char *const ways[] = {"role_arn",      "credential_process",      "sso_session",
                                       "sso_start_url", "web_identity_token_file", "login_session"};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        if (profile_get(f, name, ways[i]))
            return ways[i];
    return NULL;
}

static int
from_file(const struct profile *p, const struct profile_files *f, enum profile_file which, struct creds **ret_creds,
          struct err *e)
{
    const char *path = which == PROFILE_CONFIG ? p->paths.config : p->paths.credentials;
    const char *id = profile_get_from(f, which, p->name, "aws_access_key_id");
    const char *secret = profile_get_from(f, which, p->name, "aws_secret_access_key");
    if (!id && !secret)
        return err_set(e, ERR_NOT_FOUND, "no keys");
    if (!id || !secret)
        return err_set(e, ERR_INVALID, "profile \"%s\" of %s has %s without %s", p->name, path,
                       id ? "aws_access_key_id" : "aws_secret_access_key",
                       id ? "aws_secret_access_key" : "aws_access_key_id");
    char source[300];
    snprintf(source, sizeof source, "profile %s of %s", p->name, path);
    *ret_creds = creds_new(id, secret, profile_get_from(f, which, p->name, "aws_session_token"), source, 0);
    return *ret_creds ? 0 : err_no_memory(e);
}

static int
look_up(const struct profile *p, struct creds **ret_creds, struct err *e)
{
    struct profile_files *f;
    int r = profile_files_read(&p->paths, &f, e);
    if (r < 0)
        return r;
    r = from_file(p, f, PROFILE_CREDENTIALS, ret_creds, e);
    if (r == ERR_NOT_FOUND)
        r = from_file(p, f, PROFILE_CONFIG, ret_creds, e);
    const char *other = other_way(f, p->name);
    const char *credentials = p->paths.credentials ? p->paths.credentials : "~/.aws/credentials";
    const char *config = p->paths.config ? p->paths.config : "~/.aws/config";
    if (r == ERR_NOT_FOUND && other)
        err_set(e, r,
                "profile \"%s\" has %s, which is not supported here: it needs aws_access_key_id and "
                "aws_secret_access_key",
                p->name, other);
    else if (r == ERR_NOT_FOUND && profile_exists(f, p->name))
        err_set(e, r, "profile \"%s\" has no aws_access_key_id in %s or %s", p->name, credentials, config);
    else if (r == ERR_NOT_FOUND)
        err_set(e, r, "there is no profile \"%s\" in %s or %s", p->name, credentials, config);
    profile_files_destroy(f);
    return r;
}

static void
profile_provider_get(struct creds_provider *provider, creds_done_fn *done, void *context)
{
    struct creds *creds = NULL;
    struct err e;
    int r = look_up((struct profile *)provider, &creds, &e);
    done(context, creds, r < 0 ? &e : NULL);
    creds_release(creds);
}

static void
profile_provider_destroy(struct creds_provider *provider)
{
    struct profile *p = (struct profile *)provider;
    profile_paths_clean_up(&p->paths);
    free(p->name);
    free(p);
}

int
creds_profile_new(const char *profile, struct creds_provider **ret_provider, struct err *e)
{
    struct profile *p = calloc(1, sizeof *p);
    if (!p)
        return err_no_memory(e);
    p->base =
        (struct creds_provider){.name = "profile", .get = profile_provider_get, .destroy = profile_provider_destroy};
    p->name = strdup(profile_name(profile));
    int r = p->name ? profile_paths_init(&p->paths, e) : err_no_memory(e);
    if (r < 0) {
        profile_provider_destroy(&p->base);
        return r;
    }
    *ret_provider = &p->base;
    return 0;
}
