#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <time.h>

#include "worker/dedup_store.h"

#define BUSY_MS     2000 /* for the other processes' commits */
#define OPEN_TRIES  40   /* switching a new file to WAL does not always wait for others that do so */
#define OPEN_NAP_MS 50
#define SWEEP_LEAST 16 /* expired records removed with each commit; or twice as many as are written */
#define SCHEMA      1  /* user_version */

enum statement { BEGIN, COMMIT, ROLLBACK, LOOK, PUT, REMOVE, SWEEP, STATEMENTS };

static const char *const SQL[STATEMENTS] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [LOOK] = "SELECT owner, completed, expires_ms FROM events WHERE id = ?1",
    [PUT] = "INSERT OR REPLACE INTO events (id, owner, completed, expires_ms) VALUES (?1, ?2, ?3, ?4)",
    [REMOVE] = "DELETE FROM events WHERE id = ?1 AND owner = ?2 AND completed = 0 AND expires_ms = ?4",
    [SWEEP] = "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE expires_ms <= ?1 LIMIT ?2)",
};

struct sqlite {
    struct dedup_store store;
    sqlite3 *db; /* the thread's, as the statements */
    sqlite3_stmt *statements[STATEMENTS];
    void (*wake)(void *context);
    void *context;
    pthread_t thread;
    bool started;

    pthread_mutex_t lock; /* of the rest */
    pthread_cond_t work;
    struct dedup_op *queued, **queued_end;
    struct dedup_op *answered, **answered_end;
    struct err error; /* of the last commit that failed */
    bool stop;
};

/* ---- SQLite ---- */

static int
fail(struct sqlite *t, int sqlite_code, const char *what, struct err *e)
{
    enum err_code code = ERR_IO;
    switch (sqlite_code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        code = ERR_UNAVAILABLE;
        break;
    case SQLITE_NOMEM:
        code = ERR_NO_MEMORY;
        break;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        code = ERR_CORRUPT;
        break;
    case SQLITE_CANTOPEN:
        code = ERR_NOT_FOUND;
        break;
    default:
        break;
    }
    const char *file = sqlite3_db_filename(t->db, "main");
    return err_set(e, code, "deduplication file %s: %s: %s%s", file ? file : "", what, sqlite3_errmsg(t->db),
                   (sqlite_code & 0xff) == SQLITE_FULL ? "; make room" : "");
}

/* Runs a statement that gives no rows. */
static int
run(struct sqlite *t, enum statement s, struct err *e)
{
    int rc = sqlite3_step(t->statements[s]);
    int r = rc == SQLITE_DONE ? 0 : fail(t, rc, SQL[s], e);
    sqlite3_reset(t->statements[s]);
    return r;
}

static void
bind(struct sqlite *t, enum statement s, const struct dedup_op *op)
{
    sqlite3_bind_text(t->statements[s], 1, op->key.p, (int)op->key.n, SQLITE_STATIC);
    sqlite3_bind_text(t->statements[s], 2, op->owner.p, (int)op->owner.n, SQLITE_STATIC);
    sqlite3_bind_int64(t->statements[s], 4, op->expires_ms);
}

/* ---- operations, inside a transaction ---- */

static int
put(struct sqlite *t, const struct dedup_op *op, bool completed, struct err *e)
{
    bind(t, PUT, op);
    sqlite3_bind_int(t->statements[PUT], 3, completed);
    return run(t, PUT, e);
}

/* What stands in the way of beginning op: found and until_ms; DEDUP_FRESH: nothing. */
static int
look(struct sqlite *t, struct dedup_op *op, struct err *e)
{
    sqlite3_stmt *s = t->statements[LOOK];
    sqlite3_bind_text(s, 1, op->key.p, (int)op->key.n, SQLITE_STATIC);
    op->found = DEDUP_FRESH;
    int rc = sqlite3_step(s), r = 0;
    if (rc == SQLITE_ROW) {
        const char *owner = (const char *)sqlite3_column_text(s, 0);
        struct slice its = slice_of(owner, (size_t)sqlite3_column_bytes(s, 0));
        bool completed = sqlite3_column_int(s, 1) != 0;
        int64_t expires_ms = sqlite3_column_int64(s, 2);
        if (expires_ms > op->now_ms && completed)
            op->found = DEDUP_COMPLETED;
        else if (expires_ms > op->now_ms && !slice_equals(its, op->owner))
            op->found = DEDUP_BUSY;
        op->until_ms = expires_ms;
    } else if (rc != SQLITE_DONE) {
        r = fail(t, rc, SQL[LOOK], e);
    }
    sqlite3_reset(s);
    return r;
}

static int
execute(struct sqlite *t, struct dedup_op *op, struct err *e)
{
    int rc = 0;
    switch (op->kind) {
    case DEDUP_BEGIN:
        rc = look(t, op, e);
        return rc == 0 && op->found == DEDUP_FRESH ? put(t, op, false, e) : rc;
    case DEDUP_COMPLETE:
        return put(t, op, true, e);
    case DEDUP_FORGET:
        bind(t, REMOVE, op);
        return run(t, REMOVE, e);
    }
    return rc;
}

static int
execute_all(struct sqlite *t, struct dedup_op *first, struct err *e)
{
    int n = 0;
    int64_t now_ms = 0;
    int rc = run(t, BEGIN, e);
    for (struct dedup_op *op = first; rc == 0 && op; op = op->next, n++) {
        rc = execute(t, op, e);
        now_ms = op->now_ms;
    }
    if (rc == 0) {
        sqlite3_bind_int64(t->statements[SWEEP], 1, now_ms);
        sqlite3_bind_int(t->statements[SWEEP], 2, 2 * n > SWEEP_LEAST ? 2 * n : SWEEP_LEAST);
        rc = run(t, SWEEP, e);
    }
    if (rc == 0)
        rc = run(t, COMMIT, e);
    if (rc != 0 && !sqlite3_get_autocommit(t->db))
        run(t, ROLLBACK, NULL);
    return rc;
}

/* ---- the thread ---- */

static void *
work(void *argument)
{
    struct sqlite *t = argument;
    pthread_setname_np(pthread_self(), "dedup");
    pthread_mutex_lock(&t->lock);
    for (;;) {
        while (!t->queued && !t->stop)
            pthread_cond_wait(&t->work, &t->lock);
        if (t->stop)
            break;
        struct dedup_op *first = t->queued, **end = t->queued_end;
        t->queued = NULL;
        t->queued_end = &t->queued;
        pthread_mutex_unlock(&t->lock);

        struct err e;
        int rc = execute_all(t, first, &e);
        for (struct dedup_op *op = first; op; op = op->next)
            op->code = rc;

        pthread_mutex_lock(&t->lock);
        *t->answered_end = first;
        t->answered_end = end;
        if (rc != 0)
            t->error = e;
        pthread_mutex_unlock(&t->lock);
        t->wake(t->context);
        pthread_mutex_lock(&t->lock);
    }
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

/* ---- the engine's side ---- */

static bool
start(struct dedup_store *s, struct dedup_op *op)
{
    struct sqlite *t = (struct sqlite *)s;
    op->next = NULL;
    pthread_mutex_lock(&t->lock);
    *t->queued_end = op;
    t->queued_end = &op->next;
    pthread_cond_signal(&t->work);
    pthread_mutex_unlock(&t->lock);
    return false;
}

static void
collect(struct dedup_store *s)
{
    struct sqlite *t = (struct sqlite *)s;
    pthread_mutex_lock(&t->lock);
    struct dedup_op *op = t->answered;
    t->answered = NULL;
    t->answered_end = &t->answered;
    if (op)
        t->store.error = t->error;
    pthread_mutex_unlock(&t->lock);
    while (op) {
        struct dedup_op *next = op->next;
        op->done(op);
        op = next;
    }
}

static void
finalize(struct sqlite *t)
{
    for (int i = 0; i < STATEMENTS; i++) {
        sqlite3_finalize(t->statements[i]);
        t->statements[i] = NULL;
    }
}

static void
destroy(struct dedup_store *s)
{
    struct sqlite *t = (struct sqlite *)s;
    if (t->started) {
        pthread_mutex_lock(&t->lock);
        t->stop = true;
        pthread_cond_signal(&t->work);
        pthread_mutex_unlock(&t->lock);
        pthread_join(t->thread, NULL);
    }
    finalize(t);
    sqlite3_close(t->db);
    pthread_cond_destroy(&t->work);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

/* ---- opening ---- */

static int
user_version(struct sqlite *t, int *ret_version, struct err *e)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(t->db, "PRAGMA user_version", -1, &s, NULL);
    rc = rc == SQLITE_OK ? sqlite3_step(s) : rc;
    if (rc == SQLITE_ROW)
        *ret_version = sqlite3_column_int(s, 0);
    int r = rc == SQLITE_ROW ? 0 : fail(t, rc, "cannot be read", e);
    sqlite3_finalize(s);
    return r;
}

static int
make_table(struct sqlite *t, struct err *e)
{
    static const char TEXT[] = "BEGIN IMMEDIATE;"
                               "CREATE TABLE IF NOT EXISTS events (id TEXT PRIMARY KEY, owner TEXT NOT NULL,"
                               " completed INTEGER NOT NULL, expires_ms INTEGER NOT NULL) WITHOUT ROWID;"
                               "CREATE INDEX IF NOT EXISTS events_expires ON events (expires_ms);"
                               "PRAGMA user_version = 1;"
                               "COMMIT";
    int rc = sqlite3_exec(t->db, TEXT, NULL, NULL, NULL);
    return rc == SQLITE_OK ? 0 : fail(t, rc, "its table cannot be made", e);
}

static int
prepare(struct sqlite *t, struct err *e)
{
    int version = 0;
    sqlite3_busy_timeout(t->db, BUSY_MS);
    int rc = sqlite3_exec(t->db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL", NULL, NULL, NULL);
    if (rc != SQLITE_OK)
        return fail(t, rc, "cannot be opened", e);
    int r = user_version(t, &version, e);
    if (r == 0 && version == 0)
        r = make_table(t, e);
    else if (r == 0 && version != SCHEMA)
        r = err_set(e, ERR_INVALID,
                    "deduplication file %s is of version %d, this program's is %d: name another file in dedup.path",
                    sqlite3_db_filename(t->db, "main"), version, SCHEMA);
    for (int i = 0; r == 0 && i < STATEMENTS; i++) {
        rc = sqlite3_prepare_v3(t->db, SQL[i], -1, SQLITE_PREPARE_PERSISTENT, &t->statements[i], NULL);
        if (rc != SQLITE_OK)
            r = fail(t, rc, "is no deduplication file", e);
    }
    return r;
}

static int
open_file(struct sqlite *t, const char *path, struct err *e)
{
    int rc = sqlite3_open_v2(path, &t->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc != SQLITE_OK)
        return err_set(e, rc == SQLITE_NOMEM ? ERR_NO_MEMORY : ERR_INVALID,
                       "deduplication file %s (dedup.path): %s; is there its folder, and may it be written to?", path,
                       sqlite3_errstr(rc));
    int r = prepare(t, e);
    for (int i = 0; r == ERR_UNAVAILABLE && i < OPEN_TRIES; i++) {
        nanosleep(&(struct timespec){.tv_nsec = OPEN_NAP_MS * 1000000L}, NULL);
        finalize(t);
        r = prepare(t, e);
    }
    return r;
}

/* Signals are for the other threads. */
static int
start_thread(struct sqlite *t, struct err *e)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&t->thread, NULL, work, t);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    t->started = error == 0;
    return error == 0 ? 0 : err_set_errno(e, error, "deduplication thread");
}

int
dedup_sqlite_new(const char *path, void (*wake)(void *context), void *context, struct dedup_store **ret_store,
                 struct err *e)
{
    static const struct dedup_store_ops OPS = {.start = start, .collect = collect, .destroy = destroy};
    struct sqlite *t = calloc(1, sizeof *t);
    if (!t)
        return err_no_memory(e);
    t->store.ops = &OPS;
    t->wake = wake;
    t->context = context;
    t->queued_end = &t->queued;
    t->answered_end = &t->answered;
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->work, NULL);
    int rc = open_file(t, path, e);
    if (rc == 0)
        rc = start_thread(t, e);
    if (rc != 0) {
        destroy(&t->store);
        return rc;
    }
    *ret_store = &t->store;
    return 0;
}
