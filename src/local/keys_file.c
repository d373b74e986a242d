/* The text of a credentials file, line by line. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "local/keys.h"

#define ID_MAX     128
#define SECRET_MAX 128
#define TOKEN_MAX  4096

/* A section as far as it was read. */
struct section {
    struct slice name, access_key_id, secret, token, expires;
    size_t line; /* where it begins */
};

struct reading {
    const char *path;
    struct err *e;
    size_t line;
    struct section section;
    bool in_section;
    struct local_key **list;
    size_t n, room;
};

static struct slice
trimmed(struct slice s)
{
    while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
        s = slice_of(s.p + 1, s.n - 1);
    while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t' || s.p[s.n - 1] == '\r'))
        s.n--;
    return s;
}

static bool
is_printable(struct slice s, bool space)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < (space ? 0x20 : 0x21) || (unsigned char)s.p[i] >= 0x7f)
            return false;
    return true;
}

#define REFUSE(r, at, format, ...) err_set((r)->e, ERR_INVALID, "%s:%zu: " format, (r)->path, (at), ##__VA_ARGS__)

/* ---- a section --------------------------------------------------------------------------------------------------- */

static int
check_pair(struct reading *r, const struct section *s)
{
    if (s->access_key_id.n == 0 || s->access_key_id.n > ID_MAX || !is_printable(s->access_key_id, false) ||
        memchr(s->access_key_id.p, ',', s->access_key_id.n) || memchr(s->access_key_id.p, '/', s->access_key_id.n))
        return REFUSE(r, s->line,
                      "[%.*s] needs an aws_access_key_id of 1 to %d characters, without spaces, ',' and '/'",
                      SLICE_ARG(s->name), ID_MAX);
    if (s->secret.n == 0 || s->secret.n > SECRET_MAX || !is_printable(s->secret, true))
        return REFUSE(r, s->line, "[%.*s] needs an aws_secret_access_key of 1 to %d characters", SLICE_ARG(s->name),
                      SECRET_MAX);
    if (s->token.n > TOKEN_MAX || !is_printable(s->token, false))
        return REFUSE(r, s->line, "[%.*s]: aws_session_token has %d characters at most, and no spaces",
                      SLICE_ARG(s->name), TOKEN_MAX);
    for (size_t i = 0; i < r->n; i++) {
        if (slice_equals_string(s->name, r->list[i]->name))
            return REFUSE(r, s->line, "[%.*s] is there twice", SLICE_ARG(s->name));
        if (slice_equals_string(s->access_key_id, r->list[i]->access_key_id))
            return REFUSE(r, s->line, "[%.*s] has the access key id of [%s]", SLICE_ARG(s->name), r->list[i]->name);
    }
    return 0;
}

static int
make_room(struct reading *r)
{
    if (r->n == LOCAL_KEYS_MAX)
        return REFUSE(r, r->section.line, "no more than %d key pairs", LOCAL_KEYS_MAX);
    if (r->n < r->room)
        return 0;
    size_t room = r->room ? 2 * r->room : 8;
    struct local_key **larger = realloc(r->list, room * sizeof *larger);
    if (!larger)
        return err_no_memory(r->e);
    r->list = larger;
    r->room = room;
    return 0;
}

/* What was read of a section becomes a pair, if it has keys. */
static int
end_section(struct reading *r)
{
    const struct section *s = &r->section;
    int64_t expires_ms = INT64_MAX;
    if (!r->in_section || (!s->access_key_id.p && !s->secret.p && !s->token.p))
        return 0;
    int code = check_pair(r, s);
    if (!code && s->expires.p && clock_parse_iso8601(s->expires.p, s->expires.n, &expires_ms, NULL) != 0)
        code = REFUSE(r, s->line, "[%.*s]: x_security_token_expires is no time like 2026-11-20T06:00:00Z",
                      SLICE_ARG(s->name));
    if (!code)
        code = make_room(r);
    if (!code)
        code = local_key_new(s->name, s->access_key_id, s->secret, s->token.n > 0 ? s->token : (struct slice){0},
                             &r->list[r->n], r->e);
    if (code)
        return code;
    r->list[r->n++]->token_expires_at_ms = expires_ms;
    return 0;
}

static int
begin_section(struct reading *r, struct slice line)
{
    int code = end_section(r);
    if (code)
        return code;
    if (line.p[line.n - 1] != ']')
        return REFUSE(r, r->line, "a section is [name]");
    struct slice name = trimmed(slice_of(line.p + 1, line.n - 2));
    if (name.n == 0 || name.n > LOCAL_KEY_NAME_MAX || !is_printable(name, true))
        return REFUSE(r, r->line, "a section's name has 1 to %d characters of ASCII", LOCAL_KEY_NAME_MAX);
    r->section = (struct section){.name = name, .line = r->line};
    r->in_section = true;
    return 0;
}

/* ---- a line ------------------------------------------------------------------------------------------------------ */

static int
read_setting(struct reading *r, struct slice line)
{
    const char *equals = memchr(line.p, '=', line.n);
    if (!equals || equals == line.p)
        return REFUSE(r, r->line, "neither [name], nor setting = value, nor a comment");
    if (!r->in_section)
        return REFUSE(r, r->line, "a setting stands below the [name] of its key pair");
    struct slice name = trimmed(slice_of(line.p, (size_t)(equals - line.p)));
    struct slice value = trimmed(slice_of(equals + 1, line.n - (size_t)(equals + 1 - line.p)));
    struct section *s = &r->section;
    struct slice *place = slice_equals_string(name, "aws_access_key_id")          ? &s->access_key_id
                          : slice_equals_string(name, "aws_secret_access_key")    ? &s->secret
                          : slice_equals_string(name, "aws_session_token")        ? &s->token
                          : slice_equals_string(name, "x_security_token_expires") ? &s->expires
                                                                                  : NULL;
    if (!place)
        return 0;
    if (place->p)
        return REFUSE(r, r->line, "%.*s is there twice in [%.*s]", SLICE_ARG(name), SLICE_ARG(s->name));
    *place = value;
    return 0;
}

static int
read_line(struct reading *r, struct slice line)
{
    bool continues = line.n > 0 && (line.p[0] == ' ' || line.p[0] == '\t'); /* of a nested setting, which is not ours */
    line = trimmed(line);
    if (line.n == 0 || line.p[0] == '#' || line.p[0] == ';' || (continues && r->in_section))
        return 0;
    return line.p[0] == '[' ? begin_section(r, line) : read_setting(r, line);
}

int
local_keys_parse(const char *path, struct slice text, struct local_key ***ret_keys, size_t *ret_n, struct err *e)
{
    struct reading r = {.path = path, .e = e};
    int code = 0;
    for (const char *at = text.p, *end = text.p + text.n; at < end && code == 0;) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t n = newline ? (size_t)(newline - at) : (size_t)(end - at);
        r.line++;
        code = read_line(&r, slice_of(at, n));
        at += n + 1;
    }
    if (!code)
        code = end_section(&r);
    if (!code && r.n == 0)
        code = err_set(e, ERR_INVALID,
                       "%s: there is no key pair in it: [name], aws_access_key_id, aws_secret_access_key", path);
    if (code) {
        for (size_t i = 0; i < r.n; i++)
            local_key_release(r.list[i]);
        free(r.list);
        return code;
    }
    *ret_keys = r.list;
    *ret_n = r.n;
    return 0;
}
