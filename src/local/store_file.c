/* The folder, the lock in it, and the file: whose it is, and whether it is whole. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "local/store_impl.h"
#include "local/store_wal.h"

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

/* The lock file tells who has the lock; of which database, by its inode, from the moment that holds something; whether
 * that is open, with a write-ahead log; and where the server can be asked: "4711 open 1234567 http://127.0.0.1:4566",
 * or "4711 closed 1234567". */
struct note {
    long pid; /* 0: not to be read */
    bool open;
    unsigned long long inode; /* 0: there was no database yet */
    char url[200];
};

static struct note
read_note(int fd)
{
    char text[300] = "", state[8] = "";
    struct note note = {0};
    if (pread(fd, text, sizeof text - 1, 0) > 0)
        (void)sscanf(text, "%ld %7s %llu %199s", &note.pid, state, &note.inode, note.url);
    note.open = strcmp(state, "open") == 0;
    return note;
}

static int
write_note(int fd, const struct note *note)
{
    char text[300];
    int n = note->inode ? snprintf(text, sizeof text, "%ld %s %llu %s\n", note->pid, note->open ? "open" : "closed",
                                   note->inode, note->url)
                        : snprintf(text, sizeof text, "%ld\n", note->pid);
    return ftruncate(fd, 0) == 0 && pwrite(fd, text, (size_t)n, 0) == n ? 0 : -1;
}

static unsigned long long
inode_of(const char *path)
{
    struct stat st;
    return path && stat(path, &st) == 0 ? (unsigned long long)st.st_ino : 0;
}

static int
take_lock(struct store *s, const char *folder, struct err *e)
{
    int code = 0;
    char *path = path_in(folder, "fanout-local.lock");
    if (!path)
        return err_no_memory(e);
    s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    struct note note = s->lock_fd >= 0 ? read_note(s->lock_fd) : (struct note){0};
    if (s->lock_fd < 0)
        code = err_set_errno(e, errno, "cannot open %s", path);
    else if (flock(s->lock_fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        code = err_set(e, ERR_EXISTS,
                       "the data folder %s is in use by another fanout-local (process %ld): stop that one, or choose "
                       "another --data",
                       folder, note.pid);
    note.pid = (long)getpid();
    note.url[0] = '\0';
    if (!code && write_note(s->lock_fd, &note) != 0)
        code = err_set_errno(e, errno, "cannot write %s", path);
    s->had_data = !code && note.inode && note.inode == inode_of(s->path);
    s->was_open = s->had_data && note.open;
    free(path);
    return code;
}

void
store_tell_url(struct store *s, const char *url)
{
    struct note note = {.pid = (long)getpid(), .open = true};
    if (!s->path)
        return;
    note.inode = inode_of(s->path);
    snprintf(note.url, sizeof note.url, "%s", url);
    (void)write_note(s->lock_fd, &note);
}

int
store_find_server(const char *directory, char *ret_url, size_t size, struct err *e)
{
    char *path = path_in(directory, "fanout-local.lock");
    if (!path)
        return err_no_memory(e);
    int code = 0, fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct note note = fd >= 0 ? read_note(fd) : (struct note){0};
    if (fd < 0 && errno != ENOENT)
        code = err_set_errno(e, errno, "cannot open %s", path);
    else if (fd < 0 || flock(fd, LOCK_SH | LOCK_NB) == 0)
        code = err_set(e, ERR_NOT_FOUND, "no server uses %s", directory);
    else if (!note.url[0])
        code = err_set(e, ERR_UNAVAILABLE,
                       "the server that uses %s (process %ld) does not say where it can be asked: "
                       "give its --url",
                       directory, note.pid);
    else
        snprintf(ret_url, size, "%s", note.url);
    if (fd >= 0)
        close(fd);
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

int
store_file_refuse_newer(const struct store *s, const char *what, int64_t version, int64_t known, struct err *e)
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
        return store_file_refuse_newer(s, "format", format, FORMAT, e);
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

/* ---- is it whole? ------------------------------------------------------------------------------------------------ */

#define CHECK_BYTES ((int64_t)64 << 20) /* looked through in a quarter of a second */

static int
refuse_damaged(const struct store *s, const char *why, struct err *e)
{
    return err_set(e, ERR_CORRUPT,
                   "%s is damaged or no SQLite database (%s): put a copy in its place (fanout-local backup makes them) "
                   "and remove its -wal file, or choose another --data",
                   s->path, why);
}

static int
note_finding(void *finding, int n, char **values, char **names)
{
    (void)names;
    if (n > 0 && values[0])
        snprintf(finding, 200, "%s", values[0]);
    return 0;
}

static int
check_database(struct store *s, bool thoroughly, struct err *e)
{
    int64_t page_bytes = 0, pages = 0;
    char finding[200] = "";
    if (read_pragma(s, "PRAGMA page_size", &page_bytes) < 0 || read_pragma(s, "PRAGMA page_count", &pages) < 0)
        return -1;
    if (!thoroughly && page_bytes * pages > CHECK_BYTES)
        return 0;
    if (sqlite3_exec(s->tx.db, thoroughly ? "PRAGMA integrity_check(1)" : "PRAGMA quick_check(1)", note_finding,
                     finding, NULL) != SQLITE_OK)
        return store_tx_fail_sqlite(&s->tx, "checking it");
    char *line_end = strchr(finding, '\n');
    if (line_end)
        *line_end = ' ';
    return strcmp(finding, "ok") == 0 ? 0 : refuse_damaged(s, finding, e);
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static int
open_database(struct store *s, const struct store_options *o, struct err *e)
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
             check_database(s, o->check, e) < 0 || store_tx_commit(&s->tx) < 0;
    if (!failed)
        return s->path ? store_log_attach(s->tx.db, &s->log, e) : 0;
    if (e->code)
        return e->code;
    *e = s->tx.error;
    return e->code == ERR_CORRUPT ? refuse_damaged(s, sqlite3_errmsg(s->tx.db), e) : e->code;
}

static int
open_folder(struct store *s, const char *folder, struct err *e)
{
    int code = make_folder(folder, e);
    if (!code && !(s->path = path_in(folder, "fanout-local.sqlite3")))
        code = err_no_memory(e);
    return code ? code : take_lock(s, folder, e);
}

/* SQLite would make a new database of it. */
static int
refuse_emptied(const struct store *s, struct err *e)
{
    struct stat st;
    return stat(s->path, &st) == 0 && st.st_size == 0 ? refuse_damaged(s, "it is empty, and was not", e) : 0;
}

int
store_file_open(struct store *s, const struct store_options *o, struct err *e)
{
    int code = o->directory ? open_folder(s, o->directory, e) : 0;
    if (!code && s->had_data)
        code = refuse_emptied(s, e);
    if (!code && s->path)
        code = store_wal_check(s->path, s->was_open, o->salvage, e);
    if (!code)
        code = open_database(s, o, e);
    if (code || !s->path)
        return code;
    const struct note note = {.pid = (long)getpid(), .open = true, .inode = inode_of(s->path)};
    s->is_open = true;
    return write_note(s->lock_fd, &note) == 0
               ? 0
               : err_set_errno(e, errno, "cannot write %s", "fanout-local.lock in the data folder");
}

/* SQLite removes the log of a database that it closes: when it is still there, something of it is needed. */
static bool
has_log(const char *path)
{
    char *log;
    if (asprintf(&log, "%s-wal", path) < 0)
        return true;
    bool is_there = access(log, F_OK) == 0;
    free(log);
    return is_there;
}

void
store_file_close(struct store *s)
{
    const struct note closed = {.pid = (long)getpid(), .inode = inode_of(s->path)};
    sqlite3_close(s->tx.db);
    store_log_destroy(s->log);
    if (s->is_open && !has_log(s->path))
        (void)write_note(s->lock_fd, &closed);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
}
