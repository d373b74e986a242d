#include "local/store_log.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define GATHER_BYTES ((size_t)127 << 10) /* SQLite's files take less than 128 KiB at a time (os_unix.c) */
#define GROW_BYTES   ((sqlite3_int64)1 << 20)
#define SHORT_BYTES  ((sqlite3_int64)128 << 10)

struct store_log {
    sqlite3_io_methods methods; /* first: the file points here, and so to the rest */
    const sqlite3_io_methods *real;
    sqlite3_file *file;     /* SQLite's; NULL: closed */
    sqlite3_int64 size;     /* of the file, at least */
    sqlite3_int64 last_end; /* behind what was written last */
    sqlite3_int64 at;       /* where what is gathered belongs, */
    size_t n;               /* and how much it is */
    char gathered[GATHER_BYTES];
};

static struct store_log *
log_of(sqlite3_file *file)
{
    return (struct store_log *)(uintptr_t)file->pMethods;
}

static int
write_through(struct store_log *log, const void *p, size_t n, sqlite3_int64 at)
{
    int code = log->real->xWrite(log->file, p, (int)n, at);
    if (code != SQLITE_OK)
        return code;
    log->last_end = at + (sqlite3_int64)n;
    log->size = log->size > log->last_end ? log->size : log->last_end;
    return SQLITE_OK;
}

/* What cannot be written is forgotten: SQLite hears of it and undoes the transaction. */
static int
write_gathered(struct store_log *log)
{
    size_t n = log->n;
    log->n = 0;
    return n > 0 ? write_through(log, log->gathered, n, log->at) : SQLITE_OK;
}

/* ---- the file's methods, as far as they are not the real ones ---------------------------------------------------- */

static int
gather(sqlite3_file *file, const void *p, int amount, sqlite3_int64 at)
{
    struct store_log *log = log_of(file);
    size_t n = (size_t)amount;
    if (log->n > 0 && (at != log->at + (sqlite3_int64)log->n || n > GATHER_BYTES - log->n)) {
        int code = write_gathered(log);
        if (code != SQLITE_OK)
            return code;
    }
    if (n > GATHER_BYTES)
        return write_through(log, p, n, at);
    if (log->n == 0)
        log->at = at;
    memcpy(log->gathered + log->n, p, n);
    log->n += n;
    return SQLITE_OK;
}

static int
read_file(sqlite3_file *file, void *p, int n, sqlite3_int64 at)
{
    struct store_log *log = log_of(file);
    int code = write_gathered(log);
    return code == SQLITE_OK ? log->real->xRead(file, p, n, at) : code;
}

static int
sync_file(sqlite3_file *file, int flags)
{
    struct store_log *log = log_of(file);
    int code = write_gathered(log);
    return code == SQLITE_OK ? log->real->xSync(file, flags) : code;
}

static int
measure(sqlite3_file *file, sqlite3_int64 *ret_size)
{
    struct store_log *log = log_of(file);
    int code = write_gathered(log);
    return code == SQLITE_OK ? log->real->xFileSize(file, ret_size) : code;
}

static int
truncate_file(sqlite3_file *file, sqlite3_int64 size)
{
    struct store_log *log = log_of(file);
    int code = write_gathered(log);
    if (code == SQLITE_OK)
        code = log->real->xTruncate(file, size);
    if (code == SQLITE_OK && log->size > size)
        log->size = size;
    return code;
}

static int
close_file(sqlite3_file *file)
{
    struct store_log *log = log_of(file);
    int code = write_gathered(log), closed;
    file->pMethods = log->real;
    log->file = NULL;
    closed = log->real->xClose(file);
    return code == SQLITE_OK ? closed : code;
}

/* ---- the store's side -------------------------------------------------------------------------------------------- */

int
store_log_attach(sqlite3 *db, struct store_log **ret_log, struct err *e)
{
    sqlite3_file *file = NULL;
    sqlite3_int64 size;
    if (sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &file) != SQLITE_OK || !file ||
        !file->pMethods || file->pMethods->xFileSize(file, &size) != SQLITE_OK)
        return err_set(e, ERR_IO, "SQLite's write-ahead log is not open");
    struct store_log *log = calloc(1, sizeof *log);
    if (!log)
        return err_no_memory(e);
    log->real = file->pMethods;
    log->file = file;
    log->size = log->last_end = size;
    log->methods = *log->real;
    log->methods.xWrite = gather;
    log->methods.xRead = read_file;
    log->methods.xSync = sync_file;
    log->methods.xFileSize = measure;
    log->methods.xTruncate = truncate_file;
    log->methods.xClose = close_file;
    file->pMethods = &log->methods;
    *ret_log = log;
    return 0;
}

void
store_log_destroy(struct store_log *log)
{
    free(log);
}

bool
store_log_is_short(const struct store_log *log)
{
    return log->file && log->size - log->last_end < SHORT_BYTES;
}

void
store_log_lengthen(struct store_log *log)
{
    static const char zeros[64 << 10];
    const sqlite3_int64 piece = sizeof zeros;
    for (sqlite3_int64 end = log->last_end + GROW_BYTES; log->size < end;) {
        sqlite3_int64 n = piece - log->size % piece;
        if (log->real->xWrite(log->file, zeros, (int)n, log->size) != SQLITE_OK)
            return; /* the commit that needs the space will say why */
        log->size += n;
    }
    log->real->xSync(log->file, SQLITE_SYNC_NORMAL);
}

bool
store_log_is_written(const struct store_log *log)
{
    return log->n == 0;
}
