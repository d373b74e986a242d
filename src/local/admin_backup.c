/* POST /_fanout/backup {"path": "/absolute/file"}: writes a copy of the database into that file.
 *
 * An admin request must be nobody's way to write files in the server's name. So the server fills a file and makes none:
 * one that is empty, that the user it runs as owns, and whose name ends in ".fanout-backup"; who asks has made it and
 * so was that user already. Making it durable, and its name, are the asker's as well (backup.c). Answered when the copy
 * is complete: {"bytes": 12288}. */
#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "local/admin_impl.h"
#include "local/backup.h"

struct backup {
    struct store_backup backup; /* first */
    struct httpd_request *http;
};

static void
finish(struct store_backup *backup, const struct err *error)
{
    struct backup *b = (struct backup *)backup;
    struct buf out = BUF_INIT;
    if (error) {
        log_write(LOG_WARN, "no backup was made", LOG_STR("file", backup->path), LOG_ERR(error));
        local_admin_answer_error(b->http, error->code == ERR_EXISTS ? 409 : 503, error->text);
    } else {
        log_write(LOG_INFO, "a backup was made", LOG_STR("file", backup->path), LOG_INT("bytes", backup->bytes));
        buf_add_format(&out, "{\"bytes\":%lld}\n", (long long)backup->bytes);
        local_admin_answer(b->http, 200, buf_slice(&out));
    }
    buf_clean_up(&out);
    free((char *)backup->path);
    free(b);
}

static int
check_file(const char *path, struct err *e)
{
    struct stat st;
    size_t n = strlen(path), suffix_n = strlen(LOCAL_BACKUP_SUFFIX);
    if (path[0] != '/' || n <= suffix_n || strcmp(path + n - suffix_n, LOCAL_BACKUP_SUFFIX) != 0)
        return err_set(e, ERR_INVALID, "path must be absolute and end in " LOCAL_BACKUP_SUFFIX);
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return err_set_errno(e, errno, "the server (user %u) cannot open %s", (unsigned)geteuid(), path);
    bool ours =
        fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0 && st.st_nlink == 1 && st.st_uid == geteuid();
    close(fd);
    return ours ? 0
                : err_set(e, ERR_DENIED, "%s must be an empty file of the user that the server runs as (%u)", path,
                          (unsigned)geteuid());
}

static char *
read_path(struct httpd_request *r, struct err *e)
{
    struct slice body = httpd_body(r);
    cJSON *object = body.n > 0 ? cJSON_ParseWithLength(body.p, body.n) : NULL;
    const cJSON *path = cJSON_GetObjectItemCaseSensitive(object, "path");
    char *copy = cJSON_IsString(path) ? strdup(path->valuestring) : NULL;
    if (!copy)
        err_set(e, ERR_INVALID, "the body is {\"path\": \"/absolute/file" LOCAL_BACKUP_SUFFIX "\"}");
    cJSON_Delete(object);
    return copy;
}

void
local_admin_backup(struct local *l, struct httpd_request *r)
{
    struct err e = {.text = "out of memory"};
    char *path = read_path(r, &e);
    struct backup *b = path && check_file(path, &e) == 0 ? calloc(1, sizeof *b) : NULL;
    if (b) {
        *b = (struct backup){.backup = {.path = path, .finish = finish}, .http = r};
        store_backup(l->store, &b->backup);
        return;
    }
    local_admin_answer_error(r, 400, e.text);
    free(path);
}
