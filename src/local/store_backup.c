/* A copy of the database while it is in use. SQLite's backup works on the writer's own connection, so that it never
 * begins anew: pages that change behind it are copied again with the commit that changes them. The copy is written
 * without syncing, which would hold up the writer; who asked for it does that. */
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "local/store_impl.h"

#define STEP_PAGES 16
#define SLICE_NS   1000000

void
store_backup(struct store *s, struct store_backup *b)
{
    struct err e = {0};
    b->bytes = 0;
    pthread_mutex_lock(&s->lock);
    if (s->stopping)
        err_set(&e, ERR_CANCELLED, "the server is shutting down");
    else if (s->backup)
        err_set(&e, ERR_EXISTS, "a backup is being made already, into %s", s->backup->path);
    else
        s->backup = b;
    pthread_mutex_unlock(&s->lock);
    if (e.code)
        b->finish(b, &e);
    else
        pthread_cond_signal(&s->changed);
}

bool
store_backup_is_wanted(struct store *s)
{
    pthread_mutex_lock(&s->lock);
    bool is_wanted = s->backup != NULL;
    pthread_mutex_unlock(&s->lock);
    return is_wanted;
}

static int
fail(struct store *s, const struct store_backup *b, int code, struct err *e)
{
    int primary = code & 0xff;
    (void)s;
    return err_set(e, primary == SQLITE_FULL ? ERR_UNAVAILABLE : ERR_IO, "cannot write the copy %s: %s", b->path,
                   sqlite3_errstr(code));
}

static int
begin(struct store *s, const struct store_backup *b, struct err *e)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE;
    int code = sqlite3_open_v2(b->path, &s->copy, flags, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_exec(s->copy, "PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF", NULL, NULL, NULL);
    if (code == SQLITE_OK) {
        s->copying = sqlite3_backup_init(s->copy, "main", s->tx.db, "main");
        code = s->copying ? SQLITE_OK : sqlite3_extended_errcode(s->copy);
    }
    return code == SQLITE_OK ? 0 : fail(s, b, code, e);
}

/* A database in memory is copied at once, for there every change would begin the copy anew. */
static int
step(struct store *s)
{
    int64_t until_ns = clock_monotonic_ns() + SLICE_NS;
    int code;
    do
        code = sqlite3_backup_step(s->copying, s->path ? STEP_PAGES : -1);
    while (code == SQLITE_OK && clock_monotonic_ns() < until_ns);
    return code;
}

static void
end(struct store *s, struct err *e)
{
    struct stat st;
    struct store_backup *b = s->backup;
    int finished = sqlite3_backup_finish(s->copying), closed = sqlite3_close(s->copy);
    s->copying = NULL;
    s->copy = NULL;
    if (!e->code && (finished != SQLITE_OK || closed != SQLITE_OK))
        fail(s, b, finished != SQLITE_OK ? finished : closed, e);
    if (!e->code && stat(b->path, &st) == 0)
        b->bytes = st.st_size;
    pthread_mutex_lock(&s->lock);
    s->backup = NULL;
    pthread_mutex_unlock(&s->lock);
    b->finish(b, e->code ? e : NULL);
}

void
store_backup_go_on(struct store *s)
{
    struct err e = {0};
    if (!s->copying && begin(s, s->backup, &e) != 0) {
        end(s, &e);
        return;
    }
    int code = step(s);
    if (code == SQLITE_OK)
        return;
    if (code != SQLITE_DONE)
        fail(s, s->backup, code, &e);
    end(s, &e);
}

void
store_backup_give_up(struct store *s)
{
    struct err e;
    if (!store_backup_is_wanted(s))
        return;
    err_set(&e, ERR_CANCELLED, "the server is shutting down");
    end(s, &e);
}
