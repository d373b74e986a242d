#include "local/backup.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <libgen.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "httpd/probe.h"
#include "local/options.h"
#include "local/store.h"

struct wish {
    const char *file, *url, *data, *token_file;
    bool force;
    char token[LOCAL_ADMIN_TOKEN_MAX + 2];
    char folder[PATH_MAX]; /* FILE's, without symbolic links */
    char path[PATH_MAX];   /* FILE */
    char partial[PATH_MAX];
    char found_data[PATH_MAX];
    long long bytes;
};

/* ---- the command line -------------------------------------------------------------------------------------------- */

static int
read_command_line(int argc, char **argv, struct wish *w, struct err *e)
{
    enum { URL = 1, DATA, FORCE, TOKEN_FILE };
    static const struct option NAMES[] = {
        {"url", required_argument, NULL, URL},
        {"data", required_argument, NULL, DATA},
        {"force", no_argument, NULL, FORCE},
        {"admin-token-file", required_argument, NULL, TOKEN_FILE},
        {NULL, 0, NULL, 0},
    };
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, "", NAMES, NULL)) != -1;) {
        if (c == URL)
            w->url = optarg;
        else if (c == DATA)
            w->data = optarg;
        else if (c == FORCE)
            w->force = true;
        else if (c == TOKEN_FILE)
            w->token_file = optarg;
        else
            return err_set(e, ERR_INVALID, "unknown option, or one that lacks its value: %s", argv[optind - 1]);
    }
    if (optind + 1 != argc || !*argv[optind])
        return err_set(e, ERR_INVALID, "name one file: fanout-local backup FILE");
    w->file = argv[optind];
    if (w->url && w->data)
        return err_set(e, ERR_INVALID, "--url and --data exclude each other");
    if (w->url && strncmp(w->url, "http://", 7) != 0)
        return err_set(e, ERR_INVALID, "--url is http://HOST:PORT, as READY says it, not \"%s\"", w->url);
    if (w->token_file && local_read_token(w->token_file, w->token, e) != 0)
        return e->code;
    if (w->url || w->data)
        return 0;
    w->data = w->found_data;
    return local_default_folder(w->found_data, sizeof w->found_data, e);
}

static int join(char out[PATH_MAX], const char *format, ...) __attribute__((format(printf, 2, 3)));
static int
join(char out[PATH_MAX], const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(out, PATH_MAX, format, ap);
    va_end(ap);
    return n < 0 || n >= PATH_MAX ? -1 : 0;
}

/* Not even with --force: the files of a server that runs, nor a database whose log was left by one that did not end in
 * order; the log would then lie beside another database than its own. */
static int
check_overwritten(const struct wish *w, const char *name, struct err *e)
{
    static const char OURS[] = "fanout-local.";
    char log[PATH_MAX], url[300] = "";
    struct stat st;
    struct err searched = {0};
    if (strncmp(name, OURS, sizeof OURS - 1) == 0 &&
        store_find_server(w->folder, url, sizeof url, &searched) != ERR_NOT_FOUND)
        return err_set(e, ERR_EXISTS, "a server uses the files of %s: choose another folder", w->folder);
    if (join(log, "%s-wal", w->path) == 0 && lstat(log, &st) == 0)
        return err_set(e, ERR_EXISTS, "%s is a database in use, or was left by a kill: choose another name", w->file);
    return 0;
}

static int
find_place(struct wish *w, struct err *e)
{
    char for_dirname[PATH_MAX], for_basename[PATH_MAX];
    struct stat st;
    if (join(for_dirname, "%s", w->file) != 0 || join(for_basename, "%s", w->file) != 0)
        return err_set(e, ERR_INVALID, "the name is too long: %.100s", w->file);
    if (!realpath(dirname(for_dirname), w->folder))
        return err_set_errno(e, errno, "cannot find the folder of %s", w->file);
    const char *name = basename(for_basename);
    if (join(w->path, "%s/%s", w->folder, name) != 0 ||
        join(w->partial, "%s/%s.%ld" LOCAL_BACKUP_SUFFIX, w->folder, name, (long)getpid()) != 0)
        return err_set(e, ERR_INVALID, "the name is too long: %.100s", w->file);
    if (lstat(w->path, &st) == 0 && !S_ISREG(st.st_mode))
        return err_set(e, ERR_EXISTS, "%s is no file", w->file);
    if (lstat(w->path, &st) == 0 && !w->force)
        return err_set(e, ERR_EXISTS, "%s is there already: choose another name, or say --force", w->file);
    return check_overwritten(w, name, e);
}

/* ---- the copy ---------------------------------------------------------------------------------------------------- */

static void
take_answer(const struct wish *w, int status, struct slice body, long long *ret_bytes, struct err *e)
{
    cJSON *answer = body.n > 0 ? cJSON_ParseWithLength(body.p, body.n) : NULL;
    const cJSON *bytes = cJSON_GetObjectItemCaseSensitive(answer, "bytes");
    const cJSON *error = cJSON_GetObjectItemCaseSensitive(answer, "error");
    if (status == 200 && cJSON_IsNumber(bytes))
        *ret_bytes = (long long)bytes->valuedouble;
    else if (cJSON_IsString(error))
        err_set(e, ERR_UNAVAILABLE, "%s: %s%s", w->url, error->valuestring,
                status == 401 ? " (--admin-token-file FILE)" : "");
    else
        err_set(e, ERR_PROTOCOL, "%s: what answers there is no fanout-local (status %d)", w->url, status);
    cJSON_Delete(answer);
}

static int
ask_server(struct wish *w, struct err *e)
{
    struct buf question = BUF_INIT, answer = BUF_INIT;
    char listen[300];
    int status = 0;
    snprintf(listen, sizeof listen, "%s", w->url + strlen("http://"));
    listen[strcspn(listen, "/")] = '\0';
    buf_add_string(&question, "{\"path\":");
    json_write_string(&question, slice_of_string(w->partial));
    buf_add_string(&question, "}");
    err_clear(e);
    if (httpd_post(listen, "/_fanout/backup", w->token, buf_slice(&question), &status, &answer, e) == 0)
        take_answer(w, status, buf_slice(&answer), &w->bytes, e);
    buf_clean_up(&question);
    buf_clean_up(&answer);
    return e->code;
}

struct waiting {
    struct store_backup backup;
    pthread_mutex_t lock;
    pthread_cond_t over;
    bool is_over;
    struct err error;
};

static void
finish(struct store_backup *backup, const struct err *error)
{
    struct waiting *w = (struct waiting *)backup;
    pthread_mutex_lock(&w->lock);
    if (error)
        w->error = *error;
    w->is_over = true;
    pthread_cond_signal(&w->over);
    pthread_mutex_unlock(&w->lock);
}

/* Of a folder that no server uses. */
static int
copy_directly(struct wish *w, struct err *e)
{
    struct waiting waiting = {.backup = {.path = w->partial, .finish = finish},
                              .lock = PTHREAD_MUTEX_INITIALIZER,
                              .over = PTHREAD_COND_INITIALIZER};
    const struct store_options options = {.directory = w->data};
    struct store *s = NULL;
    int code = store_open(&options, &s, e);
    if (!code)
        code = store_start(s, e);
    if (!code) {
        store_backup(s, &waiting.backup);
        pthread_mutex_lock(&waiting.lock);
        while (!waiting.is_over)
            pthread_cond_wait(&waiting.over, &waiting.lock);
        pthread_mutex_unlock(&waiting.lock);
        w->bytes = waiting.backup.bytes;
        *e = waiting.error;
        code = waiting.error.code;
    }
    store_destroy(s);
    return code;
}

static int
copy(struct wish *w, struct err *e)
{
    static char url[300];
    char database[PATH_MAX];
    if (w->url)
        return ask_server(w, e);
    if (join(database, "%s/fanout-local.sqlite3", w->data) != 0 || access(database, F_OK) != 0)
        return err_set_errno(e, errno, "there is no database in %s (give its --data DIR, or the server's --url)",
                             w->data);
    int code = store_find_server(w->data, url, sizeof url, e);
    if (code == ERR_NOT_FOUND)
        return copy_directly(w, e);
    w->url = url;
    return code ? code : ask_server(w, e);
}

/* ---- its name ---------------------------------------------------------------------------------------------------- */

static int
sync_folder(const struct wish *w)
{
    int fd = open(w->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int failed = fd < 0 || fsync(fd) != 0;
    if (fd >= 0)
        close(fd);
    return failed ? -1 : 0;
}

/* A link is made only where nothing is. Where links cannot be made, it is renamed. */
static int
name_it(const struct wish *w, struct err *e)
{
    bool linked = !w->force && link(w->partial, w->path) == 0;
    if (!w->force && !linked && errno == EEXIST)
        return err_set(e, ERR_EXISTS, "%s is there by now: choose another name, or say --force", w->file);
    if (linked ? unlink(w->partial) != 0 : rename(w->partial, w->path) != 0)
        return err_set_errno(e, errno, "cannot name the copy %s", w->file);
    return sync_folder(w) == 0 ? 0 : err_set_errno(e, errno, "cannot sync the folder of %s", w->file);
}

static int
make_copy(struct wish *w, struct err *e)
{
    struct stat st;
    int fd = open(w->partial, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_set_errno(e, errno, "cannot make %s", w->partial);
    int code = copy(w, e);
    if (!code && (fsync(fd) != 0 || fstat(fd, &st) != 0))
        code = err_set_errno(e, errno, "cannot sync %s", w->partial);
    if (!code && (w->bytes == 0 || st.st_size != w->bytes))
        code = err_set(e, ERR_PROTOCOL, "the server says that it wrote %lld bytes, but %lld are in %s", w->bytes,
                       (long long)st.st_size, w->partial);
    if (!code)
        code = name_it(w, e);
    close(fd);
    if (code)
        unlink(w->partial);
    return code;
}

int
local_backup_main(int argc, char **argv)
{
    struct wish *w = calloc(1, sizeof *w);
    struct err e;
    int usage = w ? read_command_line(argc, argv, w, &e) : 0;
    int code = usage ? usage : w ? find_place(w, &e) : err_no_memory(&e);
    if (!code)
        code = clock_init(&e);
    if (!code)
        code = make_copy(w, &e);
    if (code)
        fprintf(stderr, "fanout-local: no backup: %s\n%s", e.text,
                usage ? "fanout-local --help shows what there is\n" : "");
    else
        printf("%s: %lld bytes\n", w->file, w->bytes);
    if (w)
        explicit_bzero(w->token, sizeof w->token);
    free(w);
    return usage ? 2 : code ? 1 : 0;
}
