/* keys: the key pairs whose signatures are taken: one of the command line, and those of a file, each with a name.
 *
 * The file is one of AWS's shared credentials files:
 *
 *     [orders]
 *     aws_access_key_id = AKIDORDERS
 *     aws_secret_access_key = a secret
 *     # These two may be missing; the second is as single sign-on tools write it.
 *     aws_session_token = a-token
 *     x_security_token_expires = 2026-11-20T06:00:00Z
 *
 * Comments are whole lines that begin with '#' or ';'. Other settings are passed over, and so is a section without
 * keys (a role's). Half a pair, a name or an access key id that is there twice, a line that is none, no pair at all:
 * ERR_INVALID, which names file and line. The file is read again on demand (HUP); as long as it is bad the pairs of
 * before stay. Requests hold a reference to the pair they were signed by. Any thread. */
#ifndef FANOUT_LOCAL_KEYS_H
#define FANOUT_LOCAL_KEYS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "aws/sigv4.h"
#include "base/err.h"
#include "base/slice.h"

#define LOCAL_KEYS_MAX      1000
#define LOCAL_KEY_NAME_MAX  64
#define LOCAL_KEY_DIALECTS  3 /* signing keys kept of each pair: of one service each */
#define LOCAL_KEYS_MAX_FILE 1048576

struct local_key {
    atomic_int references;
    char name[LOCAL_KEY_NAME_MAX + 1]; /* "" : the command line's */
    char *access_key_id, *secret;
    char *token; /* NULL: none */
    int64_t token_expires_at_ms;
    pthread_mutex_t lock;
    struct sigv4_key derived[LOCAL_KEY_DIALECTS]; /* of the day; guarded by lock, and copied out to be used */
};

/* One reference less; the last one wipes the secret. NULL is fine. */
void local_key_release(struct local_key *key);

enum local_token { LOCAL_TOKEN_RIGHT, LOCAL_TOKEN_MISSING, LOCAL_TOKEN_WRONG, LOCAL_TOKEN_EXPIRED };

/* Is this the pair's session token? A pair without one wants none. */
enum local_token local_key_check_token(const struct local_key *key, struct slice sent, int64_t now_ms);

/* Signs text: 64 hex digits and a NUL. dialect says which of the kept signing keys is the service's. ERR_NO_MEMORY. */
int local_key_sign(struct local_key *key, size_t dialect, const struct sigv4_scope *scope, struct slice text,
                   char out[65]);

struct local_keys;

struct local_keys_options {
    const char *access_key_id, *secret, *token; /* access_key_id NULL: no pair but the file's; token NULL: none */
    const char *file;                           /* NULL: none */
};

int local_keys_new(const struct local_keys_options *options, struct local_keys **ret_keys, struct err *e);
void local_keys_destroy(struct local_keys *k); /* NULL is fine */

/* Reads the file again. On failure everything stays as it was. */
int local_keys_reload(struct local_keys *k, struct err *e);

size_t local_keys_count(struct local_keys *k);

/* The pair of that access key id, with a reference for the caller; NULL: there is none. */
struct local_key *local_keys_find(struct local_keys *k, struct slice access_key_id);

/* ---- for keys.c and tests -----------------------------------------------------------------------------------------
 */

/* The pairs of a file's text; path is for messages. *ret_keys is the caller's to free, and so are its references. */
int local_keys_parse(const char *path, struct slice text, struct local_key ***ret_keys, size_t *ret_n, struct err *e);

/* A pair with one reference. The slices are copied. ERR_NO_MEMORY. */
int local_key_new(struct slice name, struct slice access_key_id, struct slice secret, struct slice token,
                  struct local_key **ret_key, struct err *e);

#endif
