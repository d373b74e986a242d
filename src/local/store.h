/* store: the one SQLite file behind every service of fanout-local, and its one writer.
 *
 * An actor. Other threads submit jobs; the writer thread takes all that wait, runs them in one transaction, commits
 * (WAL, synchronous=FULL: an fsync), and only then finishes them, so that every answer a client sees was durable first
 * and one fsync pays for many requests. Everything a service keeps in memory beside its tables belongs to the writer
 * thread too: no locks.
 *
 * A turn of the writer:
 *     BEGIN → run each job → turn of each service (what has become due, long polls) → COMMIT → finish the jobs
 * When anything in it fails in SQLite (a full disk, an I/O error), all of it is rolled back, every service puts its
 * memory right, and each job runs again in a transaction of its own, so that only those that fail by themselves are
 * finished with an error.
 *
 * The database is DIR/fanout-local.sqlite3; a lock on DIR/fanout-local.lock keeps a second server out. */
#ifndef FANOUT_LOCAL_STORE_H
#define FANOUT_LOCAL_STORE_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

struct store;
struct store_tx; /* a transaction; writer thread only */
struct store_job;

/* ---- life -------------------------------------------------------------------------------------------------------- */

struct store_service {
    const char *name; /* names its row in the table of schema versions; never changes */
    void *context;

    /* The schema's steps, each one or more SQL statements. Step n makes version n + 1 out of version n; a landed step
     * is never changed, a new one is appended. Table names begin with the service's name. */
    const char *const *migrations;
    size_t n_migrations;

    /* Reads what the service keeps in memory: once, at the start. NULL: nothing is kept. */
    int (*load)(void *context, struct store_tx *tx);

    /* The transaction was undone: puts what is kept in memory right. NULL: load is called again (and must forget what
     * was there). */
    int (*rollback)(void *context, struct store_tx *tx);

    /* Does what has become due at store_now_ms, in the transaction of every turn after its jobs, in the order in which
     * the services were added. Returns 0, or the error of a store_ call (the turn is rolled back; it is tried again a
     * second later at the soonest). NULL: nothing ever becomes due. */
    int (*turn)(void *context, struct store_tx *tx);

    /* When turn wants to run next even if no job comes, in store_now_ms's time; INT64_MAX: never. */
    int64_t (*due_ms)(void *context);

    /* The server ends: completes (store_complete) every job that is parked. No more writing. NULL: none ever is. */
    void (*stop)(void *context, struct store_tx *tx);
};

struct store_options {
    const char *directory; /* made when it is missing; NULL: in memory, gone at the end */
    bool check;            /* looks at every page and index first, however long that takes */
    bool salvage;          /* opens it although its write-ahead log is damaged or gone: without what it held last */
};

/* Opens the database and takes the lock. ERR_EXISTS: another server has it. ERR_CORRUPT: no database of ours, damaged,
 * or written by a newer version; the text says what to do. The structure of a database of up to 64 MiB is looked at
 * (PRAGMA quick_check); of a larger one, for the start is to take no longer, only with check. store_wal.h says what can
 * be known of the write-ahead log. */
int store_open(const struct store_options *options, struct store **ret_store, struct err *e);

/* Writes into the lock file where the server can be asked, for store_find_server. In memory: nothing. */
void store_tell_url(struct store *s, const char *url);

/* Where the server that has the folder's lock can be asked. ERR_NOT_FOUND: none has it. ERR_UNAVAILABLE: it does not
 * say (yet). */
int store_find_server(const char *directory, char *ret_url, size_t size, struct err *e);

/* Before store_start. The struct is copied, what it points to is borrowed. Brings the service's schema up to date. */
int store_add_service(struct store *s, const struct store_service *service, struct err *e);

/* Loads the services and starts the writer thread. */
int store_start(struct store *s, struct err *e);

/* Finishes what was submitted, has the services complete what is parked, closes. Jobs submitted from here on are
 * finished at once with ERR_CANCELLED, until store_destroy. */
void store_stop(struct store *s);
void store_destroy(struct store *s); /* s may be NULL */

/* ---- jobs -------------------------------------------------------------------------------------------------------- */

#define STORE_PARKED 1

struct store_job {
    /* Does the work. Returns
     *   0             done: finish follows the commit (what was refused without writing is done as well);
     *   STORE_PARKED  not over: the service keeps the job and hands it to store_complete in a later job or turn;
     *   negative      the error of a store_ call: everything the job wrote is undone.
     * May run again after a rollback, parked or completed jobs included: it must begin by forgetting what an earlier
     * run left, in itself and in the service's memory (the tables and what load reads are put right by the store). */
    int (*run)(struct store_tx *tx, struct store_job *job);

    /* error NULL: it is committed. Otherwise nothing of it is. Ends the job, whose memory is the caller's again. On the
     * writer thread, outside any transaction; or on the submitter's, when the store is stopping. */
    void (*finish)(struct store_job *job, const struct err *error);

    struct store_job *next; /* the store's while the job is submitted, the service's while it is parked */
};

/* Hands a job to the writer. Any thread; finish may be called before this returns. */
void store_submit(struct store *s, struct store_job *job);

/* The parked job is over: finish follows this turn's commit. */
void store_complete(struct store_tx *tx, struct store_job *job);

/* Runs a function as a job and waits for it: for start-up and tests. Any thread but the writer's. Returns what run
 * returned (never STORE_PARKED) or why it could not be committed. */
int store_call(struct store *s, int (*run)(struct store_tx *tx, void *context), void *context, struct err *e);

/* ---- a copy -------------------------------------------------------------------------------------------------------
 */

struct store_backup {
    const char *path; /* absolute, without symbolic links: an empty file that is there */

    /* error NULL: the file holds a copy of bytes bytes, of everything that was finished before store_backup and some of
     * what came later. It is written, not synced. On the writer thread, or on the caller's when the store is stopping.
     */
    void (*finish)(struct store_backup *b, const struct err *error);
    int64_t bytes;
};

/* Copies the database, a millisecond between two turns, or as fast as it goes while there is nothing to do. One at a
 * time: ERR_EXISTS. ERR_UNAVAILABLE: the disk is full. The struct is the store's until finish. Any thread. */
void store_backup(struct store *s, struct store_backup *b);

/* ---- inside a transaction ---------------------------------------------------------------------------------------- */

/* The time of this turn: milliseconds since 1970 that never go back and run through a suspended host, whatever happens
 * to the wall clock; the same for everything in one turn. For all that is compared: visibility, delays, retention. */
int64_t store_now_ms(const struct store_tx *tx);

/* Of a service's load: it is at_ms at least, for something was stored then. The wall clock may have been set back while
 * no server ran. */
void store_raise_now(struct store_tx *tx, int64_t at_ms);

/* The wall time to show for a time of store_now_ms's: differs from it once the wall clock was set. */
int64_t store_wall_ms(const struct store_tx *tx, int64_t at_ms);

/* The number of this transaction: no two have the same. For what a service notes to take back in rollback. */
uint64_t store_serial(const struct store_tx *tx);

/* A prepared statement, kept from then on under the address of sql (a string literal or static array): reset and
 * without bindings. NULL when SQLite could not; the next store_step of NULL reports it. One user at a time: a statement
 * that is still being stepped cannot be had again. */
sqlite3_stmt *store_prepare(struct store_tx *tx, const char *sql);

/* 1: a row is there. 0: the end; the statement is reset. Negative: SQLite failed, the statement is reset; return the
 * code from run or turn. ERR_UNAVAILABLE: disk full. */
int store_step(struct store_tx *tx, sqlite3_stmt *q);

/* Steps a statement that gives no row. */
int store_run(struct store_tx *tx, sqlite3_stmt *q);

/* Leaves a statement before its end. */
void store_reset(sqlite3_stmt *q);

/* Statements without bindings or rows. */
int store_exec(struct store_tx *tx, const char *sql);

int64_t store_last_id(const struct store_tx *tx); /* sqlite3_last_insert_rowid */
int store_changes(const struct store_tx *tx);     /* rows changed by the last statement */

/* Notes an error of the caller's own (stored data that makes no sense: ERR_CORRUPT) and returns code, for run, turn or
 * load to return. */
int store_fail(struct store_tx *tx, enum err_code code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Shorthands. Bindings count from 1, columns from 0. Bound bytes must stay valid until the statement is stepped. */
static inline void
store_bind_int(sqlite3_stmt *q, int at, int64_t v)
{
    sqlite3_bind_int64(q, at, v);
}

static inline void
store_bind_text(sqlite3_stmt *q, int at, struct slice s)
{
    sqlite3_bind_text64(q, at, s.p ? s.p : "", s.n, SQLITE_STATIC, SQLITE_UTF8);
}

static inline void
store_bind_blob(sqlite3_stmt *q, int at, struct slice s)
{
    sqlite3_bind_blob64(q, at, s.p ? s.p : "", s.n, SQLITE_STATIC);
}

/* Text or blob; lives until the next step or reset. NULL gives an empty slice with p NULL. */
static inline struct slice
store_column(sqlite3_stmt *q, int at)
{
    const char *p = sqlite3_column_blob(q, at);
    if (!p)
        return slice_of(sqlite3_column_type(q, at) == SQLITE_NULL ? NULL : "", 0);
    return slice_of(p, (size_t)sqlite3_column_bytes(q, at));
}

/* ---- figures ----------------------------------------------------------------------------------------------------- */

struct store_stats {
    uint64_t turns, jobs, rollbacks;
    uint64_t commits; /* transactions that were committed, with changes or without */
    uint64_t checkpoints;
};
void store_get_stats(struct store *s, struct store_stats *ret_stats); /* any thread */

#endif
