/* store_impl: what the store's files share: store.c (the store's life and its schema), store_file.c (the folder and the
 * file), store_tx.c (statements), store_writer.c (the thread and its turns), store_backup.c (a copy). */
#ifndef FANOUT_LOCAL_STORE_IMPL_H
#define FANOUT_LOCAL_STORE_IMPL_H

#include <pthread.h>

#include "local/store.h"
#include "local/store_log.h"

struct store_statement {
    const char *sql; /* its address is the key */
    sqlite3_stmt *q;
};

struct store_tx {
    struct store *store;
    sqlite3 *db;
    struct store_statement *statements; /* open addressing; a power of two */
    size_t n_statements, n_places;
    uint64_t serial;
    int64_t now_ms, wall_shift_ms;
    struct err error; /* the first of this transaction */
    struct store_job *done, **done_end;
};

struct store {
    struct store_tx tx;
    struct store_service *services;
    size_t n_services;
    char *path; /* of the database; NULL: in memory */
    int lock_fd;
    bool had_data; /* the database is one that a server before had open */
    bool was_open; /* the server before did not close the database, and it had a write-ahead log */
    bool is_open;
    struct store_log *log; /* NULL: in memory */

    /* store_now_ms: boot time plus an offset chosen at the start, mended when boot time itself goes back (it does under
     * a test clock). */
    int64_t offset_ms, last_boot_ms;

    /* The writer's. */
    pthread_t thread;
    bool started;
    int wal_pages;         /* after the last commit */
    int64_t turns_from_ms; /* no turn of the services before this time: the last one failed */
    uint64_t commits;
    sqlite3 *copy; /* of a backup that has begun */
    sqlite3_backup *copying;

    /* Guards what follows. */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct store_job *submitted, **submitted_end;
    bool stopping;
    struct store_backup *backup; /* wanted or under way */
    struct store_stats stats;
};

/* store_tx.c. The results of the functions below are those of store_step. */
int store_tx_fail_sqlite(struct store_tx *tx, const char *doing); /* notes SQLite's last error */
int store_tx_begin(struct store_tx *tx);
int store_tx_commit(struct store_tx *tx);
void store_tx_rollback(struct store_tx *tx);
void store_tx_clean_up(struct store_tx *tx);

/* store_file.c: opens, identifies and checks the database; what store_open says. */
int store_file_open(struct store *s, const struct store_options *o, struct err *e);
void store_file_close(struct store *s);
int store_file_refuse_newer(const struct store *s, const char *what, int64_t version, int64_t known, struct err *e);

/* store_backup.c. Writer thread, between transactions. */
bool store_backup_is_wanted(struct store *s);
void store_backup_go_on(struct store *s);
void store_backup_give_up(struct store *s); /* the store is stopping */

/* store_writer.c. */
void *store_writer_main(void *store);
int64_t store_writer_now_ms(struct store *s); /* writer thread, or before there is one */
int store_writer_load(struct store *s);

#endif
