#include "lib/bare_sqlite.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "lib/tmp.h"

#define AT_ONCE 10

enum { INSERT, UPDATE, DELETE, STATEMENTS };

static const char *const SQL[STATEMENTS] = {
    "INSERT INTO m (id, visible_at, body) VALUES (?1, ?1, ?2)",
    "UPDATE m SET visible_at = visible_at + 30000 WHERE id = ?1",
    "DELETE FROM m WHERE id = ?1",
};

static void
need(sqlite3 *db, int rc, int wanted)
{
    if (rc == wanted)
        return;
    fprintf(stderr, "bare_sqlite: %s\n", sqlite3_errmsg(db));
    abort();
}

static void
do_ten(sqlite3 *db, sqlite3_stmt *statement, sqlite3_int64 first, const char *body)
{
    need(db, sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    for (sqlite3_int64 id = first; id < first + AT_ONCE; id++) {
        sqlite3_bind_int64(statement, 1, id);
        if (sqlite3_bind_parameter_count(statement) > 1)
            sqlite3_bind_text(statement, 2, body, -1, SQLITE_STATIC);
        need(db, sqlite3_step(statement), SQLITE_DONE);
        sqlite3_reset(statement);
    }
    need(db, sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
}

double
bare_sqlite_rate(const char *dir, size_t messages, size_t body_bytes)
{
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENTS];
    char *body = calloc(1, body_bytes + 1);
    if (!body || sqlite3_open(tmp_path(dir, "bare.sqlite3"), &db) != SQLITE_OK)
        abort();
    memset(body, 'x', body_bytes);
    need(db,
         sqlite3_exec(db,
                      "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                      "CREATE TABLE m (id INTEGER PRIMARY KEY, visible_at INTEGER, body TEXT)",
                      NULL, NULL, NULL),
         SQLITE_OK);
    for (int i = 0; i < STATEMENTS; i++)
        need(db, sqlite3_prepare_v2(db, SQL[i], -1, &statements[i], NULL), SQLITE_OK);

    int64_t start_ns = clock_monotonic_ns();
    for (size_t n = 0; n < messages; n += AT_ONCE)
        for (int i = 0; i < STATEMENTS; i++)
            do_ten(db, statements[i], (sqlite3_int64)n, body);
    double seconds = (double)(clock_monotonic_ns() - start_ns) / 1e9;

    for (int i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(statements[i]);
    sqlite3_close(db);
    free(body);
    return (double)messages / seconds;
}
