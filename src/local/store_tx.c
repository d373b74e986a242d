#include "local/store_impl.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

int64_t
store_now_ms(const struct store_tx *tx)
{
    return tx->now_ms;
}

void
store_raise_now(struct store_tx *tx, int64_t at_ms)
{
    if (at_ms <= tx->now_ms)
        return;
    tx->store->offset_ms += at_ms - tx->now_ms;
    tx->wall_shift_ms -= at_ms - tx->now_ms;
    tx->now_ms = at_ms;
}

int64_t
store_wall_ms(const struct store_tx *tx, int64_t at_ms)
{
    return at_ms + tx->wall_shift_ms;
}

uint64_t
store_serial(const struct store_tx *tx)
{
    return tx->serial;
}

/* ---- errors ------------------------------------------------------------------------------------------------------ */

int
store_fail(struct store_tx *tx, enum err_code code, const char *format, ...)
{
    if (tx->error.code)
        return tx->error.code;
    va_list ap;
    va_start(ap, format);
    char text[sizeof tx->error.text];
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    return err_set(&tx->error, code, "%s", text);
}

static enum err_code
code_of(int sqlite_code)
{
    switch (sqlite_code & 0xff) {
    case SQLITE_FULL:
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ERR_UNAVAILABLE;
    case SQLITE_NOMEM:
        return ERR_NO_MEMORY;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return ERR_CORRUPT;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
        return ERR_DENIED;
    default:
        return ERR_IO;
    }
}

int
store_tx_fail_sqlite(struct store_tx *tx, const char *doing)
{
    int sqlite_code = sqlite3_extended_errcode(tx->db);
    const char *path = tx->store->path ? tx->store->path : "the database in memory";
    return store_fail(tx, code_of(sqlite_code), "%s: %s: %s (SQLite error %d)", path, doing, sqlite3_errmsg(tx->db),
                      sqlite_code);
}

/* ---- statements -------------------------------------------------------------------------------------------------- */

static struct store_statement *
place_of(const struct store_tx *tx, const char *sql)
{
    size_t mask = tx->n_places - 1;
    size_t at = (size_t)((uintptr_t)sql * UINT64_C(0x9E3779B97F4A7C15) >> 32) & mask;
    while (tx->statements[at].sql && tx->statements[at].sql != sql)
        at = (at + 1) & mask;
    return &tx->statements[at];
}

static bool
make_room(struct store_tx *tx)
{
    if (tx->n_statements * 2 < tx->n_places)
        return true;
    struct store_tx larger = *tx;
    larger.n_places = tx->n_places ? tx->n_places * 2 : 128;
    larger.statements = calloc(larger.n_places, sizeof *larger.statements);
    if (!larger.statements)
        return false;
    for (size_t i = 0; i < tx->n_places; i++)
        if (tx->statements[i].sql)
            *place_of(&larger, tx->statements[i].sql) = tx->statements[i];
    free(tx->statements);
    tx->statements = larger.statements;
    tx->n_places = larger.n_places;
    return true;
}

sqlite3_stmt *
store_prepare(struct store_tx *tx, const char *sql)
{
    if (!make_room(tx)) {
        store_fail(tx, ERR_NO_MEMORY, "out of memory");
        return NULL;
    }
    struct store_statement *place = place_of(tx, sql);
    if (place->sql)
        return place->q;
    sqlite3_stmt *q;
    if (sqlite3_prepare_v3(tx->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &q, NULL) != SQLITE_OK) {
        store_tx_fail_sqlite(tx, sql);
        return NULL;
    }
    *place = (struct store_statement){.sql = sql, .q = q};
    tx->n_statements++;
    return q;
}

int
store_step(struct store_tx *tx, sqlite3_stmt *q)
{
    if (!q)
        return store_fail(tx, ERR_IO, "a statement could not be prepared");
    int code = sqlite3_step(q);
    if (code == SQLITE_ROW)
        return 1;
    int result = code == SQLITE_DONE ? 0 : store_tx_fail_sqlite(tx, sqlite3_sql(q));
    store_reset(q);
    return result;
}

int
store_run(struct store_tx *tx, sqlite3_stmt *q)
{
    int code = store_step(tx, q);
    if (code > 0)
        store_reset(q);
    return code < 0 ? code : 0;
}

void
store_reset(sqlite3_stmt *q)
{
    if (q) {
        sqlite3_reset(q);
        sqlite3_clear_bindings(q);
    }
}

int
store_exec(struct store_tx *tx, const char *sql)
{
    return sqlite3_exec(tx->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : store_tx_fail_sqlite(tx, sql);
}

int64_t
store_last_id(const struct store_tx *tx)
{
    return sqlite3_last_insert_rowid(tx->db);
}

int
store_changes(const struct store_tx *tx)
{
    return sqlite3_changes(tx->db);
}

/* ---- transactions ------------------------------------------------------------------------------------------------ */

int
store_tx_begin(struct store_tx *tx)
{
    err_clear(&tx->error);
    tx->done = NULL;
    tx->done_end = &tx->done;
    tx->serial++;
    tx->now_ms = store_writer_now_ms(tx->store);
    tx->wall_shift_ms = clock_wall_ms() - tx->now_ms;
    return store_run(tx, store_prepare(tx, "BEGIN IMMEDIATE"));
}

int
store_tx_commit(struct store_tx *tx)
{
    int code = store_run(tx, store_prepare(tx, "COMMIT"));
    assert(code < 0 || !tx->store->log || store_log_is_written(tx->store->log));
    return code;
}

void
store_tx_rollback(struct store_tx *tx)
{
    for (size_t i = 0; i < tx->n_places; i++)
        if (tx->statements[i].q)
            store_reset(tx->statements[i].q);
    if (!sqlite3_get_autocommit(tx->db)) /* some errors have rolled back already */
        sqlite3_exec(tx->db, "ROLLBACK", NULL, NULL, NULL);
}

void
store_tx_clean_up(struct store_tx *tx)
{
    for (size_t i = 0; i < tx->n_places; i++)
        sqlite3_finalize(tx->statements[i].q);
    free(tx->statements);
    tx->statements = NULL;
    tx->n_places = tx->n_statements = 0;
}
