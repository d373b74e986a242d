#include "local/store_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"

#define APPLICATION_ID 0x464e4c43 /* "FNLC", in the file's header */
#define FORMAT         1          /* user_version: how the table of services itself is kept */

/* ---- the folder -------------------------------------------------------------------------------------------------- */

static int
make_folder(const char *path, struct err *e)
{
    char *copy = strdup(path);
    if (!copy)
        return err_no_memory(e);
    int code = 0;
    for (char *p = copy + 1; code == 0; p++)
        if (*p == '/' || *p == '\0') {
            char was = *p;
            *p = '\0';
            if (mkdir(copy, 0700) != 0 && errno != EEXIST)
                code = err_set_errno(e, errno, "cannot make the data folder %s", copy);
            *p = was;
            if (!was)
                break;
        }
    free(copy);
    return code;
}

static char *
path_in(const char *folder, const char *name)
{
    char *path;
    return asprintf(&path, "%s/%s", folder, name) < 0 ? NULL : path;
}

/* The process id that the holder of the lock wrote into it; 0 when it is not to be read. */
static long
holder_of(int fd)
{
    char text[24] = "";
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    return n > 0 ? strtol(text, NULL, 10) : 0;
}

static int
take_lock(struct store *s, const char *folder, struct err *e)
{
    int code = 0;
    char *path = path_in(folder, "fanout-local.lock");
    if (!path)
        return err_no_memory(e);
    s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (s->lock_fd < 0)
        code = err_set_errno(e, errno, "cannot open %s", path);
    else if (flock(s->lock_fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        code = err_set(e, ERR_EXISTS,
                       "the data folder %s is in use by another fanout-local (process %ld): stop that one, or choose "
                       "another --data",
                       folder, holder_of(s->lock_fd));
    else if (ftruncate(s->lock_fd, 0) != 0 || dprintf(s->lock_fd, "%ld\n", (long)getpid()) < 0)
        code = err_set_errno(e, errno, "cannot write %s", path);
    free(path);
    return code;
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

static int
note_wal_pages(void *store, sqlite3 *db, const char *name, int pages)
{
    (void)db, (void)name;
    ((struct store *)store)->wal_pages = pages;
    return SQLITE_OK;
}

static int
read_pragma(struct store *s, const char *sql, int64_t *ret)
{
    sqlite3_stmt *q = store_prepare(&s->tx, sql);
    int code = store_step(&s->tx, q);
    if (code == 1) {
        *ret = sqlite3_column_int64(q, 0);
        store_reset(q);
    }
    return code < 0 ? code : 0;
}

static int
refuse_newer(const struct store *s, const char *what, int64_t version, int64_t known, struct err *e)
{
    return err_set(e, ERR_CORRUPT,
                   "%s was written by a newer fanout-local (%s version %lld, this one knows %lld): use that one, or "
                   "choose another --data",
                   s->path ? s->path : "the database", what, (long long)version, (long long)known);
}

/* Finds out whose file it is, and makes a new one ours. */
static int
identify(struct store *s, struct err *e)
{
    int64_t application_id = 0, format = 0, tables = 0;
    if (read_pragma(s, "PRAGMA application_id", &application_id) < 0 ||
        read_pragma(s, "PRAGMA user_version", &format) < 0 ||
        read_pragma(s, "SELECT count(*) FROM sqlite_schema", &tables) < 0)
        return -1;
    bool is_new = application_id == 0 && tables == 0;
    if (!is_new && application_id != APPLICATION_ID)
        return err_set(e, ERR_CORRUPT,
                       "%s is a SQLite database, but none of fanout-local: move it away, or choose another --data",
                       s->path);
    if (format > FORMAT)
        return refuse_newer(s, "format", format, FORMAT, e);
    if (!is_new)
        return 0;
    char sql[256];
    snprintf(sql, sizeof sql,
             "PRAGMA application_id = %d; PRAGMA user_version = %d;"
             "CREATE TABLE service (name TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID",
             APPLICATION_ID, FORMAT);
    return store_exec(&s->tx, sql);
}

/* With another synchronous a commit would not be written when it is answered: store_log.h says why. */
static const char SETTINGS[] = "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                               "PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -65536;"
                               "PRAGMA journal_size_limit = 67108864";

static int
open_database(struct store *s, struct err *e)
{
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); /* figures nobody reads, under a lock that every allocation takes */
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    int opened = sqlite3_open_v2(s->path ? s->path : ":memory:", &s->tx.db, flags, NULL);
    if (!s->tx.db)
        return err_no_memory(e);
    err_clear(e);
    bool failed = opened != SQLITE_OK && store_tx_fail_sqlite(&s->tx, "opening it") < 0;
    if (!failed)
        sqlite3_wal_hook(s->tx.db, note_wal_pages, s); /* in place of SQLite's automatic checkpoints */
    failed = failed || store_exec(&s->tx, SETTINGS) < 0 || store_tx_begin(&s->tx) < 0 || identify(s, e) < 0 ||
             store_tx_commit(&s->tx) < 0;
    if (!failed)
        return s->path ? store_log_attach(s->tx.db, &s->log, e) : 0;
    if (e->code)
        return e->code;
    *e = s->tx.error;
    if (e->code == ERR_CORRUPT)
        return err_set(e, ERR_CORRUPT,
                       "%s is damaged or no SQLite database (%s): restore a copy, move it away with its -wal file, or "
                       "choose another --data",
                       s->path, sqlite3_errmsg(s->tx.db));
    return e->code;
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

static int
open_folder(struct store *s, const char *folder, struct err *e)
{
    int code = make_folder(folder, e);
    if (!code)
        code = take_lock(s, folder, e);
    if (!code && !(s->path = path_in(folder, "fanout-local.sqlite3")))
        code = err_no_memory(e);
    return code;
}

int
store_open(const struct store_options *o, struct store **ret_store, struct err *e)
{
    struct err unread = {0};
    struct store *s = calloc(1, sizeof *s);
    e = e ? e : &unread;
    if (!s)
        return err_no_memory(e);
    s->tx.store = s;
    s->lock_fd = -1;
    s->submitted_end = &s->submitted;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&s->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&s->lock, NULL);

    int code = o->directory ? open_folder(s, o->directory, e) : 0;
    if (!code)
        code = open_database(s, e);
    if (code) {
        store_destroy(s);
        return code;
    }
    *ret_store = s;
    return 0;
}

static int
migrate(struct store *s, const struct store_service *service, struct err *e)
{
    struct store_tx *tx = &s->tx;
    sqlite3_stmt *q = store_prepare(tx, "SELECT version FROM service WHERE name = ?");
    if (q)
        store_bind_text(q, 1, slice_of_string(service->name));
    int found = store_step(tx, q);
    if (found < 0)
        return found;
    int64_t version = found ? sqlite3_column_int64(q, 0) : 0;
    store_reset(q);
    if (version > (int64_t)service->n_migrations)
        return refuse_newer(s, service->name, version, (int64_t)service->n_migrations, e);
    for (size_t i = (size_t)version; i < service->n_migrations; i++)
        if (store_exec(tx, service->migrations[i]) < 0)
            return -1;
    q = store_prepare(tx, "REPLACE INTO service (name, version) VALUES (?, ?)");
    if (q) {
        store_bind_text(q, 1, slice_of_string(service->name));
        store_bind_int(q, 2, (int64_t)service->n_migrations);
    }
    return store_run(tx, q);
}

int
store_add_service(struct store *s, const struct store_service *service, struct err *e)
{
    struct err unread = {0};
    e = e ? e : &unread;
    err_clear(e);
    struct store_service *larger = realloc(s->services, (s->n_services + 1) * sizeof *larger);
    if (!larger)
        return err_no_memory(e);
    s->services = larger;
    if (store_tx_begin(&s->tx) < 0 || migrate(s, service, e) < 0 || store_tx_commit(&s->tx) < 0) {
        store_tx_rollback(&s->tx);
        if (!e->code)
            *e = s->tx.error;
        return e->code;
    }
    s->services[s->n_services++] = *service;
    return 0;
}

int
store_start(struct store *s, struct err *e)
{
    if (store_tx_begin(&s->tx) < 0 || store_writer_load(s) < 0 || store_tx_commit(&s->tx) < 0) {
        store_tx_rollback(&s->tx);
        if (e)
            *e = s->tx.error;
        return s->tx.error.code;
    }
    if (s->log)
        store_log_lengthen(s->log);
    int failed = pthread_create(&s->thread, NULL, store_writer_main, s);
    if (failed)
        return err_set_errno(e, failed, "cannot start the writer's thread");
    s->started = true;
    return 0;
}

void
store_stop(struct store *s)
{
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    if (s->started)
        pthread_join(s->thread, NULL);
    s->started = false;
}

void
store_destroy(struct store *s)
{
    if (!s)
        return;
    store_stop(s);
    store_tx_clean_up(&s->tx);
    sqlite3_close(s->tx.db);
    store_log_destroy(s->log);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    free(s->services);
    free(s->path);
    free(s);
}

/* ---- submitting -------------------------------------------------------------------------------------------------- */

void
store_submit(struct store *s, struct store_job *job)
{
    job->next = NULL;
    pthread_mutex_lock(&s->lock);
    bool refused = s->stopping;
    bool first = !s->submitted;
    if (!refused) {
        *s->submitted_end = job;
        s->submitted_end = &job->next;
    }
    pthread_mutex_unlock(&s->lock);
    if (refused) {
        struct err e;
        err_set(&e, ERR_CANCELLED, "the server is shutting down");
        job->finish(job, &e);
    } else if (first) {
        pthread_cond_signal(&s->changed);
    }
}

struct call {
    struct store_job job;
    int (*run)(struct store_tx *tx, void *context);
    void *context;
    pthread_mutex_t lock;
    pthread_cond_t over;
    bool is_over;
    struct err error;
};

static int
run_call(struct store_tx *tx, struct store_job *job)
{
    struct call *c = (struct call *)job;
    return c->run(tx, c->context);
}

static void
finish_call(struct store_job *job, const struct err *error)
{
    struct call *c = (struct call *)job;
    pthread_mutex_lock(&c->lock);
    if (error)
        c->error = *error;
    c->is_over = true;
    pthread_cond_signal(&c->over);
    pthread_mutex_unlock(&c->lock);
}

int
store_call(struct store *s, int (*run)(struct store_tx *tx, void *context), void *context, struct err *e)
{
    struct call c = {.job = {.run = run_call, .finish = finish_call},
                     .run = run,
                     .context = context,
                     .lock = PTHREAD_MUTEX_INITIALIZER,
                     .over = PTHREAD_COND_INITIALIZER};
    store_submit(s, &c.job);
    pthread_mutex_lock(&c.lock);
    while (!c.is_over)
        pthread_cond_wait(&c.over, &c.lock);
    pthread_mutex_unlock(&c.lock);
    pthread_cond_destroy(&c.over);
    pthread_mutex_destroy(&c.lock);
    if (c.error.code && e)
        *e = c.error;
    return c.error.code;
}

void
store_get_stats(struct store *s, struct store_stats *ret_stats)
{
    pthread_mutex_lock(&s->lock);
    *ret_stats = s->stats;
    pthread_mutex_unlock(&s->lock);
}
