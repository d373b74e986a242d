#include "aws/creds.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "aws/profile.h"
#include "base/clock.h"
#include "lib/tmp.h"

static struct clock_page *page;

static int
forget_environment(void **state)
{
    (void)state;
    static const char *const variables[] = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
                                            "AWS_PROFILE"};
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        unsetenv(variables[i]);
    setenv("AWS_CONFIG_FILE", "/nonexistent", 1);
    setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent", 1);
    setenv("HOME", "/nonexistent", 1);
    atomic_store(&page->offset_ms, 0);
    return 0;
}

/* What a source answered. */
struct answer {
    int calls;
    bool has;
    char id[80], secret[80], token[80], source[300];
    struct err error;
};

static void
note(void *context, struct creds *creds, const struct err *error)
{
    struct answer *a = context;
    a->calls++;
    a->has = creds != NULL;
    assert_true((creds != NULL) == (error == NULL));
    if (error)
        a->error = *error;
    if (creds) {
        snprintf(a->id, sizeof a->id, "%s", creds->access_key_id);
        snprintf(a->secret, sizeof a->secret, "%s", creds->secret_access_key);
        snprintf(a->token, sizeof a->token, "%s", creds->session_token ? creds->session_token : "");
        snprintf(a->source, sizeof a->source, "%s", creds->source);
    }
}

static struct answer
ask(struct creds_provider *p)
{
    struct answer a = {0};
    p->get(p, note, &a);
    assert_int_equal(a.calls, 1);
    return a;
}

/* Makes a source, asks it once, and destroys it. */
static struct answer
ask_profile(const char *profile)
{
    struct creds_provider *p;
    struct err e;
    assert_int_equal(creds_profile_new(profile, &p, &e), 0);
    struct answer a = ask(p);
    creds_provider_destroy(p);
    return a;
}

static struct answer
ask_env(void)
{
    struct creds_provider *p;
    struct err e;
    assert_int_equal(creds_env_new(&p, &e), 0);
    struct answer a = ask(p);
    creds_provider_destroy(p);
    return a;
}

static void
files(const char *config, const char *credentials)
{
    const char *dir = tmp_new();
    if (config)
        setenv("AWS_CONFIG_FILE", tmp_write(dir, "config", "%s", config), 1);
    if (credentials)
        setenv("AWS_SHARED_CREDENTIALS_FILE", tmp_write(dir, "credentials", "%s", credentials), 1);
}

/* ---- sources ------------------------------------------------------------------------------------------------------
 */

static void
the_environment_gives_both_keys_and_a_token(void **state)
{
    (void)state;
    assert_int_equal(ask_env().error.code, ERR_NOT_FOUND);
    setenv("AWS_ACCESS_KEY_ID", "ID", 1);
    struct answer a = ask_env();
    assert_int_equal(a.error.code, ERR_INVALID);
    assert_non_null(strstr(a.error.text, "AWS_SECRET_ACCESS_KEY is not"));
    setenv("AWS_SECRET_ACCESS_KEY", "SECRET", 1);
    setenv("AWS_SESSION_TOKEN", "", 1);
    a = ask_env();
    assert_string_equal(a.id, "ID");
    assert_string_equal(a.secret, "SECRET");
    assert_string_equal(a.token, "");
    assert_string_equal(a.source, "environment");
    setenv("AWS_SESSION_TOKEN", "TOKEN", 1);
    assert_string_equal(ask_env().token, "TOKEN");
    setenv("AWS_ACCESS_KEY_ID", "", 1);
    assert_int_equal(ask_env().error.code, ERR_INVALID);
}

static void
the_environment_is_read_when_the_source_is_made(void **state)
{
    (void)state;
    struct creds_provider *p;
    struct err e;
    setenv("AWS_ACCESS_KEY_ID", "ID", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "SECRET", 1);
    assert_int_equal(creds_env_new(&p, &e), 0);
    setenv("AWS_ACCESS_KEY_ID", "LATER", 1);
    assert_string_equal(ask(p).id, "ID");
    creds_provider_destroy(p);
}

static void
a_profile_is_found_in_credentials_then_in_config(void **state)
{
    (void)state;
    files("[default]\naws_access_key_id = C0\naws_secret_access_key = CS0\n"
          "[profile dev]\naws_access_key_id=C1\naws_secret_access_key=CS1\naws_session_token=CT1\n"
          "[dev2]\naws_access_key_id=no\naws_secret_access_key=no\n",
          "# mine\n[default]\naws_access_key_id = K0\naws_secret_access_key = S0/+=x\n\n[ops]\n"
          "AWS_ACCESS_KEY_ID=K1 ; a comment\naws_secret_access_key=S1#no comment\n");
    struct answer a = ask_profile(NULL);
    assert_string_equal(a.id, "K0");
    assert_string_equal(a.secret, "S0/+=x");
    assert_non_null(strstr(a.source, "profile default of /"));
    a = ask_profile("dev");
    assert_string_equal(a.id, "C1");
    assert_string_equal(a.token, "CT1");
    a = ask_profile("ops");
    assert_string_equal(a.id, "K1");
    assert_string_equal(a.secret, "S1#no comment");
    assert_int_equal(ask_profile("dev2").error.code, ERR_NOT_FOUND); /* in config it takes the word profile */
    setenv("AWS_PROFILE", "dev", 1);
    assert_string_equal(ask_profile("").id, "C1");
}

static void
files_are_found_in_the_home_folder(void **state)
{
    (void)state;
    const char *home = tmp_new();
    char folder[300];
    snprintf(folder, sizeof folder, "%s/.aws", home);
    assert_int_equal(mkdir(folder, 0700), 0);
    tmp_write(folder, "credentials", "[default]\naws_access_key_id=H\naws_secret_access_key=S\n");
    setenv("HOME", home, 1);
    unsetenv("AWS_CONFIG_FILE");
    unsetenv("AWS_SHARED_CREDENTIALS_FILE");
    assert_string_equal(ask_profile(NULL).id, "H");
    tmp_write(home, "other", "[default]\naws_access_key_id=O\naws_secret_access_key=S\n");
    setenv("AWS_SHARED_CREDENTIALS_FILE", "~/other", 1);
    assert_string_equal(ask_profile(NULL).id, "O");
    unsetenv("HOME");
    unsetenv("AWS_SHARED_CREDENTIALS_FILE");
    assert_int_equal(ask_profile(NULL).error.code, ERR_NOT_FOUND);
}

static void
a_profile_that_cannot_be_used_says_why(void **state)
{
    (void)state;
    files("[profile role]\nrole_arn = arn:aws:iam::1:role/x\nsource_profile = default\n",
          "[half]\naws_access_key_id = K\n[empty]\n");
    struct answer a = ask_profile("half");
    assert_int_equal(a.error.code, ERR_INVALID);
    assert_non_null(strstr(a.error.text, "aws_access_key_id without aws_secret_access_key"));
    a = ask_profile("role");
    assert_int_equal(a.error.code, ERR_NOT_FOUND);
    assert_non_null(strstr(a.error.text, "role_arn"));
    a = ask_profile("empty");
    assert_int_equal(a.error.code, ERR_NOT_FOUND);
    assert_non_null(strstr(a.error.text, "has no aws_access_key_id"));
    a = ask_profile("absent");
    assert_non_null(strstr(a.error.text, "there is no profile \"absent\""));
}

static void
files_that_cannot_be_read_are_errors_and_missing_ones_are_not(void **state)
{
    (void)state;
    const char *dir = tmp_new();
    setenv("AWS_SHARED_CREDENTIALS_FILE", dir, 1); /* a folder */
    struct answer a = ask_profile(NULL);
    assert_int_equal(a.error.code, ERR_IO);
    assert_non_null(strstr(a.error.text, dir));
    char *large = malloc((1 << 20) + 2);
    memset(large, '#', (1 << 20) + 1);
    large[(1 << 20) + 1] = '\0';
    files(NULL, large);
    assert_int_equal(ask_profile(NULL).error.code, ERR_LIMIT);
    free(large);
}

static void
a_profile_is_read_again_at_each_get(void **state)
{
    (void)state;
    struct creds_provider *p;
    struct err e;
    const char *dir = tmp_new();
    setenv("AWS_SHARED_CREDENTIALS_FILE",
           tmp_write(dir, "c", "[default]\naws_access_key_id=A\naws_secret_access_key=S\n"), 1);
    assert_int_equal(creds_profile_new(NULL, &p, &e), 0);
    assert_string_equal(ask(p).id, "A");
    tmp_write(dir, "c", "[default]\naws_access_key_id=B\naws_secret_access_key=S\n");
    assert_string_equal(ask(p).id, "B");
    creds_provider_destroy(p);
}

/* ---- the files' form ----------------------------------------------------------------------------------------------
 */

static struct profile_files *
parse(const char *config, const char *credentials)
{
    struct profile_files *f;
    struct err e = {0};
    if (profile_files_parse(slice_of_string(config), "config", slice_of_string(credentials), "credentials", &f, &e) !=
        0)
        fail_msg("%s", e.text);
    return f;
}

static void
the_last_of_equal_settings_counts_and_sections_may_come_in_parts(void **state)
{
    (void)state;
    struct profile_files *f =
        parse("\xef\xbb\xbf[profile a]\r\nx = 1\r\nx = 2\r\n[profile b]\ny=1\n[profile a]\nz = 3\n", "");
    assert_string_equal(profile_get(f, "a", "x"), "2");
    assert_string_equal(profile_get(f, "a", "z"), "3");
    assert_null(profile_get(f, "a", "y"));
    assert_true(profile_exists(f, "b"));
    assert_false(profile_exists(f, "c"));
    profile_files_destroy(f);
}

static void
profile_default_puts_default_out_of_force(void **state)
{
    (void)state;
    struct profile_files *f = parse("[default]\nx = 1\ny = 1\n[profile default]\nx = 2\n", "");
    assert_string_equal(profile_get(f, "default", "x"), "2");
    assert_null(profile_get(f, "default", "y"));
    profile_files_destroy(f);
}

static void
names_may_be_quoted_and_comments_need_a_space(void **state)
{
    (void)state;
    struct profile_files *f =
        parse("[profile \"my dev\"]\nx = a#b # c\n[profile 'q'] ; comment\ny = ;all\n[ profile   sp ]\nz=1\n",
              "[my dev]\nw=2\n");
    assert_string_equal(profile_get(f, "my dev", "x"), "a#b");
    assert_null(profile_get(f, "q", "y"));
    assert_string_equal(profile_get(f, "sp", "z"), "1");
    assert_string_equal(profile_get(f, "my dev", "w"), "2");
    profile_files_destroy(f);
}

static void
nested_settings_belong_to_their_parent(void **state)
{
    (void)state;
    struct profile_files *f = parse("[profile p]\nservices = s\ns3 =\n  max = 1\nregion = r\n[services s]\nsqs =\n  "
                                    "endpoint_url = u1\n  other = o\ns3 =\n  endpoint_url = u2\n",
                                    "");
    assert_string_equal(profile_get_service(f, "p", "sqs", "endpoint_url"), "u1");
    assert_string_equal(profile_get_service(f, "p", "SQS", "other"), "o");
    assert_string_equal(profile_get_service(f, "p", "s3", "endpoint_url"), "u2");
    assert_null(profile_get_service(f, "p", "sts", "endpoint_url"));
    assert_null(profile_get_service(f, "default", "sqs", "endpoint_url"));
    assert_null(profile_get(f, "p", "max"));
    assert_string_equal(profile_get(f, "p", "region"), "r");
    profile_files_destroy(f);
}

static void
broken_files_are_refused_with_their_line(void **state)
{
    (void)state;
    static const char *const cases[][2] = {{"x = 1\n", "config:1"},
                                           {"[a\n", "config:1"},
                                           {"[default]\n\n# c\nnonsense\n", "config:4"},
                                           {"[default]\n= v\n", "config:2"},
                                           {"[default]\nsqs =\n  nonsense\n", "config:3"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct profile_files *f;
        struct err e = {0};
        assert_int_equal(profile_files_parse(slice_of_string(cases[i][0]), "config", SLICE(""), "credentials", &f, &e),
                         ERR_INVALID);
        assert_non_null(strstr(e.text, cases[i][1]));
    }
    struct profile_files *f;
    struct err e;
    assert_int_equal(profile_files_parse(SLICE("[a]\nx=\0"), "config", SLICE(""), "credentials", &f, &e), ERR_INVALID);
}

/* ---- chain and cache ----------------------------------------------------------------------------------------------
 */

/* A source under the test's control. */
struct puppet {
    struct creds_provider base;
    struct creds *creds;
    struct err error; /* when creds is NULL */
    bool later;       /* answers when told to */
    int gets, invalidations;
    creds_done_fn *done;
    void *context;
    bool *destroyed;
};

static void
puppet_answer(struct puppet *p)
{
    creds_done_fn *done = p->done;
    p->done = NULL;
    done(p->context, p->creds, p->creds ? NULL : &p->error);
}

static void
puppet_get(struct creds_provider *provider, creds_done_fn *done, void *context)
{
    struct puppet *p = (struct puppet *)provider;
    p->gets++;
    assert_null(p->done);
    p->done = done;
    p->context = context;
    if (!p->later)
        puppet_answer(p);
}

static void
puppet_invalidate(struct creds_provider *provider, const struct creds *refused)
{
    (void)refused;
    ((struct puppet *)provider)->invalidations++;
}

static void
puppet_destroy(struct creds_provider *provider)
{
    struct puppet *p = (struct puppet *)provider;
    if (p->done) {
        creds_release(p->creds);
        p->creds = NULL;
        err_set(&p->error, ERR_CANCELLED, "destroyed");
        puppet_answer(p);
    }
    creds_release(p->creds);
    if (p->destroyed)
        *p->destroyed = true;
    free(p);
}

static struct puppet *
puppet_new(const char *id, int64_t expires_in_ms)
{
    struct puppet *p = calloc(1, sizeof *p);
    p->base = (struct creds_provider){"puppet", puppet_get, puppet_invalidate, puppet_destroy};
    if (id)
        p->creds = creds_new(id, "secret", NULL, "puppet", expires_in_ms ? clock_wall_ms() + expires_in_ms : 0);
    return p;
}

static void
puppet_becomes(struct puppet *p, const char *id, int64_t expires_in_ms)
{
    creds_release(p->creds);
    p->creds = id ? creds_new(id, "secret", NULL, "puppet", expires_in_ms ? clock_wall_ms() + expires_in_ms : 0) : NULL;
}

static void
a_chain_takes_the_first_answer_and_names_all_refusals(void **state)
{
    (void)state;
    struct err e;
    struct creds_provider *chain;
    struct puppet *a = puppet_new(NULL, 0), *b = puppet_new("B", 0), *c = puppet_new("C", 0);
    err_set(&a->error, ERR_NOT_FOUND, "nothing here");
    assert_int_equal(creds_chain_new((struct creds_provider *[]){&a->base, &b->base, &c->base}, 3, &chain, &e), 0);
    assert_string_equal(ask(chain).id, "B");
    assert_int_equal(c->gets, 0);
    creds_provider_destroy(chain);

    a = puppet_new(NULL, 0);
    b = puppet_new(NULL, 0);
    err_set(&a->error, ERR_NOT_FOUND, "nothing here");
    err_set(&b->error, ERR_NOT_FOUND, "nor there");
    assert_int_equal(creds_chain_new((struct creds_provider *[]){&a->base, &b->base}, 2, &chain, &e), 0);
    struct answer said = ask(chain);
    assert_int_equal(said.error.code, ERR_NOT_FOUND);
    assert_string_equal(said.error.text, "no credentials found: puppet: nothing here; puppet: nor there");
    creds_provider_destroy(chain);
}

static void
a_source_that_is_broken_ends_the_chain(void **state)
{
    (void)state;
    struct err e;
    struct creds_provider *chain;
    struct puppet *a = puppet_new(NULL, 0), *b = puppet_new("B", 0);
    err_set(&a->error, ERR_INVALID, "half a key");
    assert_int_equal(creds_chain_new((struct creds_provider *[]){&a->base, &b->base}, 2, &chain, &e), 0);
    struct answer said = ask(chain);
    assert_int_equal(said.error.code, ERR_INVALID);
    assert_non_null(strstr(said.error.text, "half a key"));
    assert_int_equal(b->gets, 0);
    creds_provider_destroy(chain);
}

static void
destroying_a_chain_answers_who_still_waits(void **state)
{
    (void)state;
    struct err e;
    struct creds_provider *chain;
    struct answer said = {0};
    struct puppet *a = puppet_new("A", 0), *b = puppet_new("B", 0);
    a->later = true;
    assert_int_equal(creds_chain_new((struct creds_provider *[]){&a->base, &b->base}, 2, &chain, &e), 0);
    chain->get(chain, note, &said);
    assert_int_equal(said.calls, 0);
    creds_provider_destroy(chain);
    assert_int_equal(said.calls, 1);
    assert_int_equal(said.error.code, ERR_CANCELLED);
}

static struct creds_provider *
cached(struct puppet *p)
{
    struct creds_provider *cache;
    struct err e;
    assert_int_equal(creds_cached_new(&p->base, &cache, &e), 0);
    return cache;
}

#define MINUTE 60000

static void
what_does_not_expire_is_asked_for_once(void **state)
{
    (void)state;
    struct puppet *p = puppet_new("A", 0);
    struct creds_provider *cache = cached(p);
    for (int i = 0; i < 10; i++) {
        assert_string_equal(ask(cache).id, "A");
        atomic_fetch_add(&page->offset_ms, 1000 * MINUTE);
    }
    assert_int_equal(p->gets, 1);
    creds_provider_destroy(cache);
}

static void
many_who_wait_cause_one_request(void **state)
{
    (void)state;
    struct puppet *p = puppet_new("A", 0);
    p->later = true;
    struct creds_provider *cache = cached(p);
    struct answer a[20] = {{0}};
    for (int i = 0; i < 20; i++)
        cache->get(cache, note, &a[i]);
    assert_int_equal(p->gets, 1);
    assert_int_equal(a[0].calls, 0);
    puppet_answer(p);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(a[i].calls, 1);
        assert_string_equal(a[i].id, "A");
    }
    creds_provider_destroy(cache);
}

static void
a_refresh_begins_15_minutes_early_beside_the_old_ones(void **state)
{
    (void)state;
    struct puppet *p = puppet_new("A", 60 * MINUTE);
    struct creds_provider *cache = cached(p);
    assert_string_equal(ask(cache).id, "A");
    atomic_fetch_add(&page->offset_ms, 44 * MINUTE);
    assert_string_equal(ask(cache).id, "A");
    assert_int_equal(p->gets, 1);
    atomic_fetch_add(&page->offset_ms, 2 * MINUTE);
    p->later = true;
    puppet_becomes(p, "B", 60 * MINUTE);
    assert_string_equal(ask(cache).id, "A"); /* at once, and the old ones */
    assert_string_equal(ask(cache).id, "A");
    assert_int_equal(p->gets, 2);
    puppet_answer(p);
    assert_string_equal(ask(cache).id, "B");
    assert_int_equal(p->gets, 2);
    creds_provider_destroy(cache);
}

static void
from_10_minutes_before_expiry_callers_wait(void **state)
{
    (void)state;
    struct puppet *p = puppet_new("A", 60 * MINUTE);
    struct creds_provider *cache = cached(p);
    struct answer a = {0};
    ask(cache);
    atomic_fetch_add(&page->offset_ms, 51 * MINUTE);
    p->later = true;
    puppet_becomes(p, "B", 60 * MINUTE);
    cache->get(cache, note, &a);
    assert_int_equal(a.calls, 0);
    puppet_answer(p);
    assert_string_equal(a.id, "B");
    creds_provider_destroy(cache);
}

static void
the_old_ones_serve_while_a_refresh_fails_until_they_expire(void **state)
{
    (void)state;
    struct puppet *p = puppet_new("A", 60 * MINUTE);
    struct creds_provider *cache = cached(p);
    ask(cache);
    puppet_becomes(p, NULL, 0);
    err_set(&p->error, ERR_UNAVAILABLE, "down");
    atomic_fetch_add(&page->offset_ms, 51 * MINUTE);
    assert_string_equal(ask(cache).id, "A");
    for (int i = 0; i < 100; i++)
        assert_string_equal(ask(cache).id, "A");
    assert_int_equal(p->gets, 2); /* not at every call */
    atomic_fetch_add(&page->offset_ms, 1 * MINUTE);
    assert_string_equal(ask(cache).id, "A");
    assert_int_equal(p->gets, 3);
    atomic_fetch_add(&page->offset_ms, 9 * MINUTE);
    struct answer a = ask(cache);
    assert_false(a.has);
    assert_int_equal(a.error.code, ERR_UNAVAILABLE);
    puppet_becomes(p, "B", 60 * MINUTE);
    assert_string_equal(ask(cache).id, "B"); /* and at once when it works again */
    creds_provider_destroy(cache);
}

static void
credentials_that_live_shortly_are_not_asked_for_at_every_call(void **state)
{
    (void)state;
    struct puppet *p = puppet_new("A", 5 * MINUTE);
    struct creds_provider *cache = cached(p);
    for (int i = 0; i < 100; i++)
        assert_string_equal(ask(cache).id, "A");
    assert_in_range(p->gets, 1, 2);
    creds_provider_destroy(cache);
}

static struct creds *kept;

static void
keep(void *context, struct creds *creds, const struct err *error)
{
    (void)context, (void)error;
    kept = creds_hold(creds);
}

static void
refused_ones_are_dropped_but_not_those_fetched_since(void **state)
{
    (void)state;
    struct puppet *p = puppet_new("A", 0);
    struct creds_provider *cache = cached(p);
    cache->get(cache, keep, NULL);
    puppet_becomes(p, "B", 0);
    creds_provider_invalidate(cache, kept);
    assert_int_equal(p->invalidations, 1);
    assert_string_equal(kept->access_key_id, "A"); /* who holds them keeps them */
    assert_string_equal(ask(cache).id, "B");
    assert_int_equal(p->gets, 2);
    creds_provider_invalidate(cache, kept); /* another call, refused later */
    assert_string_equal(ask(cache).id, "B");
    assert_int_equal(p->gets, 2);
    creds_release(kept);
    creds_provider_destroy(cache);
}

static void
destroying_a_cache_answers_who_still_waits(void **state)
{
    (void)state;
    bool destroyed = false;
    struct puppet *p = puppet_new("A", 0);
    p->later = true;
    p->destroyed = &destroyed;
    struct creds_provider *cache = cached(p);
    struct answer a = {0}, b = {0};
    cache->get(cache, note, &a);
    cache->get(cache, note, &b);
    creds_provider_destroy(cache);
    assert_true(destroyed);
    assert_int_equal(a.calls + b.calls, 2);
    assert_int_equal(a.error.code, ERR_CANCELLED);
}

static void
by_default_the_environment_goes_before_the_profile_unless_one_is_named(void **state)
{
    (void)state;
    struct creds_provider *p;
    struct err e;
    files(NULL, "[default]\naws_access_key_id=P\naws_secret_access_key=S\n[dev]\naws_access_key_id=D\naws_secret_"
                "access_key=S\n");
    assert_int_equal(creds_default_new(NULL, &p, &e), 0);
    assert_string_equal(ask(p).id, "P");
    creds_provider_destroy(p);
    setenv("AWS_ACCESS_KEY_ID", "E", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "S", 1);
    setenv("AWS_PROFILE", "dev", 1); /* names one, but does not put the environment's keys out of force */
    assert_int_equal(creds_default_new("", &p, &e), 0);
    assert_string_equal(ask(p).id, "E");
    creds_provider_destroy(p);
    assert_int_equal(creds_default_new("dev", &p, &e), 0);
    assert_string_equal(ask(p).id, "D");
    creds_provider_destroy(p);
    forget_environment(NULL);
    assert_int_equal(creds_default_new(NULL, &p, &e), 0);
    struct answer a = ask(p);
    assert_int_equal(a.error.code, ERR_NOT_FOUND);
    assert_non_null(strstr(a.error.text, "environment: "));
    assert_non_null(strstr(a.error.text, "profile: "));
    creds_provider_destroy(p);
}

int
main(void)
{
    struct err e;
    const char *path = tmp_path(tmp_new(), "clock");
    setenv("FANOUT_TEST_CLOCK", path, 1);
    if (clock_page_create(path, &page, &e) != 0 || clock_init(&e) != 0) {
        fprintf(stderr, "%s\n", e.text);
        return 1;
    }
    atomic_store(&page->frozen_at_ms, INT64_C(1795154400000));
#define alone(test) cmocka_unit_test_setup_teardown(test, forget_environment, forget_environment)
    const struct CMUnitTest tests[] = {
        alone(the_environment_gives_both_keys_and_a_token),
        alone(the_environment_is_read_when_the_source_is_made),
        alone(a_profile_is_found_in_credentials_then_in_config),
        alone(files_are_found_in_the_home_folder),
        alone(a_profile_that_cannot_be_used_says_why),
        alone(files_that_cannot_be_read_are_errors_and_missing_ones_are_not),
        alone(a_profile_is_read_again_at_each_get),
        alone(the_last_of_equal_settings_counts_and_sections_may_come_in_parts),
        alone(profile_default_puts_default_out_of_force),
        alone(names_may_be_quoted_and_comments_need_a_space),
        alone(nested_settings_belong_to_their_parent),
        alone(broken_files_are_refused_with_their_line),
        alone(a_chain_takes_the_first_answer_and_names_all_refusals),
        alone(a_source_that_is_broken_ends_the_chain),
        alone(destroying_a_chain_answers_who_still_waits),
        alone(what_does_not_expire_is_asked_for_once),
        alone(many_who_wait_cause_one_request),
        alone(a_refresh_begins_15_minutes_early_beside_the_old_ones),
        alone(from_10_minutes_before_expiry_callers_wait),
        alone(the_old_ones_serve_while_a_refresh_fails_until_they_expire),
        alone(credentials_that_live_shortly_are_not_asked_for_at_every_call),
        alone(refused_ones_are_dropped_but_not_those_fetched_since),
        alone(destroying_a_cache_answers_who_still_waits),
        alone(by_default_the_environment_goes_before_the_profile_unless_one_is_named),
    };
    return cmocka_run_group_tests_name("creds", tests, NULL, NULL);
}
