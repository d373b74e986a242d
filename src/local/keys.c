#include "local/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/log.h"

/* ---- a pair ------------------------------------------------------------------------------------------------------ */

static char *
copy_of(struct slice s)
{
    char *copy = malloc(s.n + 1);
    if (copy && s.n > 0)
        memcpy(copy, s.p, s.n);
    if (copy)
        copy[s.n] = '\0';
    return copy;
}

int
local_key_new(struct slice name, struct slice access_key_id, struct slice secret, struct slice token,
              struct local_key **ret_key, struct err *e)
{
    struct local_key *k = calloc(1, sizeof *k);
    if (!k)
        return err_no_memory(e);
    pthread_mutex_init(&k->lock, NULL);
    atomic_init(&k->references, 1);
    k->token_expires_at_ms = INT64_MAX;
    if (name.n > 0)
        memcpy(k->name, name.p, name.n < LOCAL_KEY_NAME_MAX ? name.n : LOCAL_KEY_NAME_MAX);
    k->access_key_id = copy_of(access_key_id);
    k->secret = copy_of(secret);
    k->token = token.p ? copy_of(token) : NULL;
    if (!k->access_key_id || !k->secret || (token.p && !k->token)) {
        local_key_release(k);
        return err_no_memory(e);
    }
    *ret_key = k;
    return 0;
}

static void
wipe(char *text)
{
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
}

void
local_key_release(struct local_key *key)
{
    if (!key || atomic_fetch_sub(&key->references, 1) > 1)
        return;
    for (size_t i = 0; i < LOCAL_KEY_DIALECTS; i++)
        sigv4_key_clean_up(&key->derived[i]);
    wipe(key->secret);
    wipe(key->token);
    free(key->access_key_id);
    pthread_mutex_destroy(&key->lock);
    free(key);
}

/* In time that says nothing of where they differ. */
static bool
is_same(struct slice a, const char *b)
{
    uint8_t of_a[DIGEST_SHA256_BYTES], of_b[DIGEST_SHA256_BYTES];
    digest_sha256(a.p, a.n, of_a);
    digest_sha256(b, strlen(b), of_b);
    return digest_equal(of_a, of_b, sizeof of_a);
}

enum local_token
local_key_check_token(const struct local_key *key, struct slice sent, int64_t now_ms)
{
    if (!key->token)
        return sent.n == 0 ? LOCAL_TOKEN_RIGHT : LOCAL_TOKEN_WRONG;
    if (sent.n == 0)
        return LOCAL_TOKEN_MISSING;
    if (!is_same(sent, key->token))
        return LOCAL_TOKEN_WRONG;
    return now_ms < key->token_expires_at_ms ? LOCAL_TOKEN_RIGHT : LOCAL_TOKEN_EXPIRED;
}

int
local_key_sign(struct local_key *k, size_t dialect, const struct sigv4_scope *scope, struct slice text, char out[65])
{
    struct sigv4_key derived;
    pthread_mutex_lock(&k->lock);
    derived = k->derived[dialect];
    pthread_mutex_unlock(&k->lock);
    int code = sigv4_signature(scope, slice_of_string(k->secret), text, &derived, out);
    pthread_mutex_lock(&k->lock);
    k->derived[dialect] = derived;
    pthread_mutex_unlock(&k->lock);
    sigv4_key_clean_up(&derived);
    return code;
}

/* ---- all of them ------------------------------------------------------------------------------------------------- */

struct local_keys {
    struct local_keys_options own; /* copies */
    pthread_rwlock_t lock;
    struct local_key **list; /* sorted by access key id */
    size_t n;
};

static int
compare(const void *a, const void *b)
{
    const struct local_key *const *x = a, *const *y = b;
    return strcmp((*x)->access_key_id, (*y)->access_key_id);
}

static void
release_all(struct local_key **list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        local_key_release(list[i]);
    free(list);
}

static int
read_all(int fd, const char *path, char *room, size_t size, size_t *ret_n, struct err *e)
{
    size_t n = 0;
    ssize_t more;
    while (n < size && (more = read(fd, room + n, size - n)) != 0) {
        if (more < 0 && errno != EINTR)
            return err_set_errno(e, errno, "cannot read the credentials %s", path);
        n += more > 0 ? (size_t)more : 0;
    }
    *ret_n = n;
    return n == size ? err_set(e, ERR_INVALID, "the credentials %s are longer than %d bytes", path, LOCAL_KEYS_MAX_FILE)
                     : 0;
}

static int
read_file(const char *path, struct local_key ***ret_list, size_t *ret_n, struct err *e)
{
    struct stat st;
    size_t n = 0, size = LOCAL_KEYS_MAX_FILE + 1;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(e, errno, "cannot open the credentials %s", path);
    char *text = malloc(size);
    int code = text ? read_all(fd, path, text, size, &n, e) : err_no_memory(e);
    if (!code && fstat(fd, &st) == 0 && (st.st_mode & S_IRWXO) != 0)
        log_write(LOG_WARN, "every user of this machine may read the credentials: chmod o= would change that",
                  LOG_STR("file", path));
    close(fd);
    if (!code)
        code = local_keys_parse(path, slice_of(text, n), ret_list, ret_n, e);
    if (text)
        explicit_bzero(text, n);
    free(text);
    return code;
}

/* The command line's pair beside the file's. */
static int
add_own(const struct local_keys_options *own, struct local_key ***list, size_t *n, struct err *e)
{
    struct local_key **larger = realloc(*list, (*n + 1) * sizeof *larger);
    if (!larger)
        return err_no_memory(e);
    *list = larger;
    int code = local_key_new((struct slice){0}, slice_of_string(own->access_key_id), slice_of_string(own->secret),
                             own->token ? slice_of_string(own->token) : (struct slice){0}, &larger[*n], e);
    *n += code == 0;
    return code;
}

static int
check_distinct(const struct local_keys_options *own, struct local_key *const *list, size_t n, struct err *e)
{
    for (size_t i = 1; i < n; i++)
        if (strcmp(list[i - 1]->access_key_id, list[i]->access_key_id) == 0)
            return err_set(e, ERR_INVALID, "%s: the access key id %s is the command line's as well", own->file,
                           list[i]->access_key_id);
    return 0;
}

int
local_keys_reload(struct local_keys *k, struct err *e)
{
    struct local_key **list = NULL, **before;
    size_t n = 0, n_before;
    int code = k->own.file ? read_file(k->own.file, &list, &n, e) : 0;
    if (!code && k->own.access_key_id)
        code = add_own(&k->own, &list, &n, e);
    if (!code && n > 0)
        qsort(list, n, sizeof(struct local_key *), compare);
    if (!code)
        code = check_distinct(&k->own, list, n, e);
    if (code) {
        release_all(list, n);
        return code;
    }
    pthread_rwlock_wrlock(&k->lock);
    before = k->list;
    n_before = k->n;
    k->list = list;
    k->n = n;
    pthread_rwlock_unlock(&k->lock);
    release_all(before, n_before);
    return 0;
}

static char *
copy_if(const char *text)
{
    return text ? strdup(text) : NULL;
}

int
local_keys_new(const struct local_keys_options *o, struct local_keys **ret_keys, struct err *e)
{
    struct local_keys *k = calloc(1, sizeof *k);
    if (!k)
        return err_no_memory(e);
    pthread_rwlock_init(&k->lock, NULL);
    k->own = (struct local_keys_options){.access_key_id = copy_if(o->access_key_id),
                                         .secret = copy_if(o->secret),
                                         .token = copy_if(o->token),
                                         .file = copy_if(o->file)};
    bool copied = (k->own.access_key_id || !o->access_key_id) && (k->own.secret || !o->secret) &&
                  (k->own.token || !o->token) && (k->own.file || !o->file);
    int code = copied ? local_keys_reload(k, e) : err_no_memory(e);
    if (code)
        local_keys_destroy(k);
    else
        *ret_keys = k;
    return code;
}

void
local_keys_destroy(struct local_keys *k)
{
    if (!k)
        return;
    release_all(k->list, k->n);
    free((char *)k->own.access_key_id);
    wipe((char *)k->own.secret);
    wipe((char *)k->own.token);
    free((char *)k->own.file);
    pthread_rwlock_destroy(&k->lock);
    free(k);
}

size_t
local_keys_count(struct local_keys *k)
{
    pthread_rwlock_rdlock(&k->lock);
    size_t n = k->n;
    pthread_rwlock_unlock(&k->lock);
    return n;
}

static int
compare_with(struct slice id, const char *other)
{
    size_t n = strlen(other);
    int order = memcmp(id.p, other, id.n < n ? id.n : n);
    return order ? order : (id.n > n) - (id.n < n);
}

struct local_key *
local_keys_find(struct local_keys *k, struct slice access_key_id)
{
    struct local_key *found = NULL;
    if (access_key_id.n == 0)
        return NULL;
    pthread_rwlock_rdlock(&k->lock);
    for (size_t low = 0, high = k->n; !found && low < high;) {
        size_t middle = low + (high - low) / 2;
        int order = compare_with(access_key_id, k->list[middle]->access_key_id);
        if (order == 0)
            found = k->list[middle];
        else if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    if (found)
        atomic_fetch_add(&found->references, 1);
    pthread_rwlock_unlock(&k->lock);
    return found;
}
