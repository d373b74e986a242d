#include "aws/profile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"

#define MAX_FILE_BYTES (1u << 20)

enum section_kind { SECTION_PROFILE, SECTION_SERVICES, SECTION_OTHER };

struct section {
    enum section_kind kind;
    bool prefixed; /* written [profile NAME] */
    const char *name;
};

struct setting {
    size_t section; /* index */
    const char *key;
    const char *parent; /* the key it is nested under; NULL: none */
    const char *value;
};

struct file {
    char *text; /* cut up in place by the parser; holds secrets */
    size_t text_bytes;
    struct section *sections;
    size_t n_sections;
    struct setting *settings;
    size_t n_settings;
};

struct profile_files {
    struct file of[2]; /* by enum profile_file */
};

/* ---- paths --------------------------------------------------------------------------------------------------------
 */

static int
path_of(const char *variable, const char *below_home, char **ret_path, struct err *e)
{
    const char *given = getenv(variable), *home = getenv("HOME");
    char *path = NULL;
    int n = 0;
    if (given && given[0] == '~' && given[1] == '/' && home)
        n = asprintf(&path, "%s%s", home, given + 1);
    else if (given && *given)
        n = asprintf(&path, "%s", given);
    else if (home && *home)
        n = asprintf(&path, "%s/%s", home, below_home);
    if (n < 0)
        return err_no_memory(e);
    *ret_path = path;
    return 0;
}

int
profile_paths_init(struct profile_paths *p, struct err *e)
{
    *p = (struct profile_paths){0};
    int r = path_of("AWS_CONFIG_FILE", ".aws/config", &p->config, e);
    if (r == 0)
        r = path_of("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials", &p->credentials, e);
    if (r < 0)
        profile_paths_clean_up(p);
    return r;
}

void
profile_paths_clean_up(struct profile_paths *p)
{
    free(p->config);
    free(p->credentials);
    *p = (struct profile_paths){0};
}

const char *
profile_name(const char *argument)
{
    const char *from_environment = getenv("AWS_PROFILE");
    if (argument && *argument)
        return argument;
    return from_environment && *from_environment ? from_environment : "default";
}

/* ---- parsing ------------------------------------------------------------------------------------------------------
 */

struct parser {
    struct file *file;
    const char *name; /* for messages */
    bool is_config;
    size_t line;
    const char *parent; /* the last key at the margin; NULL: none yet in this section */
    bool parent_is_empty;
};

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static char *
trim(char *text)
{
    while (is_blank(*text))
        text++;
    size_t n = strlen(text);
    while (n > 0 && is_blank(text[n - 1]))
        text[--n] = '\0';
    return text;
}

static void
cut_comment(char *text)
{
    for (char *p = text; *p; p++)
        if ((*p == '#' || *p == ';') && (p == text || is_blank(p[-1]))) {
            *p = '\0';
            return;
        }
}

/* Makes room for one more of what *array holds n of. */
static void *
one_more(void *array, size_t n, size_t bytes)
{
    if (n & (n - 1)) /* grown at powers of two */
        return array;
    return reallocarray(array, n ? n * 2 : 1, bytes);
}

static char *
unquoted(char *name)
{
    size_t n = strlen(name);
    if (n >= 2 && (name[0] == '"' || name[0] == '\'') && name[n - 1] == name[0]) {
        name[n - 1] = '\0';
        return name + 1;
    }
    return name;
}

/* The name behind a prefix word ("profile dev"), or NULL. */
static char *
behind(char *name, const char *word)
{
    size_t n = strlen(word);
    return strncmp(name, word, n) == 0 && is_blank(name[n]) ? unquoted(trim(name + n)) : NULL;
}

static int
parse_section(struct parser *p, char *line, struct err *e)
{
    char *end = strchr(line, ']');
    if (!end)
        return err_set(e, ERR_INVALID, "%s:%zu: a section without its closing ]", p->name, p->line);
    *end = '\0';
    char *name = trim(line + 1), *rest;
    struct section s = {.kind = p->is_config ? SECTION_OTHER : SECTION_PROFILE, .name = name};
    if (p->is_config && (rest = behind(name, "profile")))
        s = (struct section){.kind = SECTION_PROFILE, .prefixed = true, .name = rest};
    else if (p->is_config && (rest = behind(name, "services")))
        s = (struct section){.kind = SECTION_SERVICES, .name = rest};
    else if (p->is_config && strcmp(name, "default") == 0)
        s.kind = SECTION_PROFILE;

    struct section *more = one_more(p->file->sections, p->file->n_sections, sizeof *more);
    if (!more)
        return err_no_memory(e);
    p->file->sections = more;
    more[p->file->n_sections++] = s;
    p->parent = NULL;
    return 0;
}

static int
parse_setting(struct parser *p, char *line, bool indented, struct err *e)
{
    if (indented && p->parent && !p->parent_is_empty)
        return 0; /* a value that goes on: none that is read here does */
    char *equals = strchr(line, '=');
    if (!equals || equals == line)
        return err_set(e, ERR_INVALID, "%s:%zu: neither [section] nor key = value", p->name, p->line);
    if (p->file->n_sections == 0)
        return err_set(e, ERR_INVALID, "%s:%zu: a setting before the first [section]", p->name, p->line);
    *equals = '\0';
    char *key = trim(line), *value = equals + 1;
    cut_comment(value);
    value = trim(value);
    bool nested = indented && p->parent;

    struct setting *more = one_more(p->file->settings, p->file->n_settings, sizeof *more);
    if (!more)
        return err_no_memory(e);
    p->file->settings = more;
    more[p->file->n_settings++] = (struct setting){
        .section = p->file->n_sections - 1, .key = key, .parent = nested ? p->parent : NULL, .value = value};
    if (!nested) {
        p->parent = key;
        p->parent_is_empty = *value == '\0';
    }
    return 0;
}

static int
parse(struct file *f, struct slice text, const char *name, bool is_config, struct err *e)
{
    struct parser p = {.file = f, .name = name, .is_config = is_config};
    if (text.n > 0 && memchr(text.p, '\0', text.n))
        return err_set(e, ERR_INVALID, "%s: holds a NUL byte, so it is no text", name);
    f->text = strndup(text.n ? text.p : "", text.n);
    if (!f->text)
        return err_no_memory(e);
    f->text_bytes = text.n;
    char *next = strncmp(f->text, "\xef\xbb\xbf", 3) == 0 ? f->text + 3 : f->text;
    while (next) {
        char *line = next;
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        p.line++;
        bool indented = is_blank(*line);
        line = trim(line);
        if (*line == '\0' || *line == '#' || *line == ';')
            continue;
        int r = *line == '[' && !indented ? parse_section(&p, line, e) : parse_setting(&p, line, indented, e);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- reading ------------------------------------------------------------------------------------------------------
 */

static int
read_file(const char *path, struct buf *out, struct err *e)
{
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return !path || errno == ENOENT || errno == ENOTDIR ? 0 : err_set_errno(e, errno, "cannot open %s", path);
    ssize_t n = 0;
    do {
        if (!buf_reserve(out, 4096)) {
            close(fd);
            return out->len + 4096 > MAX_FILE_BYTES
                       ? err_set(e, ERR_LIMIT, "%s is larger than %u bytes", path, MAX_FILE_BYTES)
                       : err_no_memory(e);
        }
        n = read(fd, out->data + out->len, 4096);
        if (n > 0)
            out->len += (size_t)n;
    } while (n > 0 || (n < 0 && errno == EINTR));
    int r = n < 0 ? err_set_errno(e, errno, "cannot read %s", path) : 0;
    close(fd);
    return r;
}

int
profile_files_read(const struct profile_paths *paths, struct profile_files **ret_files, struct err *e)
{
    struct buf config, credentials;
    buf_init_limited(&config, MAX_FILE_BYTES);
    buf_init_limited(&credentials, MAX_FILE_BYTES);
    int r = read_file(paths->config, &config, e);
    if (r == 0)
        r = read_file(paths->credentials, &credentials, e);
    if (r == 0)
        r = profile_files_parse(buf_slice(&config), paths->config, buf_slice(&credentials), paths->credentials,
                                ret_files, e);
    buf_wipe(&config);
    buf_wipe(&credentials);
    return r;
}

int
profile_files_parse(struct slice config, const char *config_name, struct slice credentials,
                    const char *credentials_name, struct profile_files **ret_files, struct err *e)
{
    struct profile_files *f = calloc(1, sizeof *f);
    if (!f)
        return err_no_memory(e);
    int r = parse(&f->of[PROFILE_CONFIG], config, config_name, true, e);
    if (r == 0)
        r = parse(&f->of[PROFILE_CREDENTIALS], credentials, credentials_name, false, e);
    if (r < 0) {
        profile_files_destroy(f);
        return r;
    }
    *ret_files = f;
    return 0;
}

void
profile_files_destroy(struct profile_files *f)
{
    if (!f)
        return;
    for (int i = 0; i < 2; i++) {
        if (f->of[i].text)
            explicit_bzero(f->of[i].text, f->of[i].text_bytes);
        free(f->of[i].text);
        free(f->of[i].sections);
        free(f->of[i].settings);
    }
    free(f);
}

/* ---- looking up ---------------------------------------------------------------------------------------------------
 */

/* [profile default] puts a [default] beside it out of force. */
static bool
is_in_force(const struct file *f, const struct section *s)
{
    if (s->prefixed || strcmp(s->name, "default") != 0)
        return true;
    for (size_t i = 0; i < f->n_sections; i++)
        if (f->sections[i].prefixed && strcmp(f->sections[i].name, "default") == 0)
            return false;
    return true;
}

static bool
section_is(const struct file *f, const struct section *s, enum section_kind kind, const char *name)
{
    return s->kind == kind && strcmp(s->name, name) == 0 && is_in_force(f, s);
}

static const char *
find(const struct file *f, enum section_kind kind, const char *name, const char *parent, const char *key)
{
    for (size_t i = f->n_settings; i-- > 0;) {
        const struct setting *s = &f->settings[i];
        bool same_parent = parent ? s->parent && strcasecmp(s->parent, parent) == 0 : !s->parent;
        if (same_parent && strcasecmp(s->key, key) == 0 && section_is(f, &f->sections[s->section], kind, name))
            return *s->value ? s->value : NULL;
    }
    return NULL;
}

bool
profile_exists(const struct profile_files *f, const char *profile)
{
    for (int which = 0; which < 2; which++)
        for (size_t i = 0; i < f->of[which].n_sections; i++)
            if (section_is(&f->of[which], &f->of[which].sections[i], SECTION_PROFILE, profile))
                return true;
    return false;
}

const char *
profile_get_from(const struct profile_files *f, enum profile_file which, const char *profile, const char *key)
{
    return find(&f->of[which], SECTION_PROFILE, profile, NULL, key);
}

const char *
profile_get(const struct profile_files *f, const char *profile, const char *key)
{
    const char *value = profile_get_from(f, PROFILE_CREDENTIALS, profile, key);
    return value ? value : profile_get_from(f, PROFILE_CONFIG, profile, key);
}

const char *
profile_get_service(const struct profile_files *f, const char *profile, const char *service, const char *key)
{
    const char *services = profile_get(f, profile, "services");
    return services ? find(&f->of[PROFILE_CONFIG], SECTION_SERVICES, services, service, key) : NULL;
}
