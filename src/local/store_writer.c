#include "local/store_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define JOBS_PER_TURN   512
#define RETRY_TURN_MS   1000
#define CHECKPOINT_IDLE 1000 /* WAL pages from which an idle writer checkpoints, */
#define IDLE_MS         100  /* one that has had nothing to do for so long; */
#define CHECKPOINT_BUSY 4000 /* and a busy one */
#define LOG_INTERVAL_MS 10000

/* ---- time -------------------------------------------------------------------------------------------------------- */

int64_t
store_writer_now_ms(struct store *s)
{
    int64_t boot_ms = clock_boot_ms();
    if (s->last_boot_ms == 0)
        s->offset_ms = clock_wall_ms() - boot_ms;
    else if (boot_ms < s->last_boot_ms)
        s->offset_ms += s->last_boot_ms - boot_ms;
    s->last_boot_ms = boot_ms;
    return boot_ms + s->offset_ms;
}

/* ---- turns ------------------------------------------------------------------------------------------------------- */

/* The jobs of one turn, in the order they came. */
struct turn {
    struct store_job *jobs[JOBS_PER_TURN];
    size_t n;
};

static void
empty_done(struct store_tx *tx)
{
    tx->done = NULL;
    tx->done_end = &tx->done;
}

void
store_complete(struct store_tx *tx, struct store_job *job)
{
    job->next = NULL;
    *tx->done_end = job;
    tx->done_end = &job->next;
}

static void
finish_done(struct store_tx *tx)
{
    struct store_job *job = tx->done, *next;
    empty_done(tx);
    for (; job; job = next) {
        next = job->next;
        job->finish(job, NULL);
    }
}

static int
run_job(struct store_tx *tx, struct store_job *job)
{
    int code = job->run(tx, job);
    if (code == 0)
        store_complete(tx, job);
    return code < 0 ? store_fail(tx, (enum err_code)code, "a job failed") : 0;
}

static int
run_services(struct store *s)
{
    if (s->tx.now_ms < s->turns_from_ms)
        return 0;
    for (size_t i = 0; i < s->n_services; i++) {
        const struct store_service *service = &s->services[i];
        int code = service->turn ? service->turn(service->context, &s->tx) : 0;
        if (code < 0) {
            s->turns_from_ms = s->tx.now_ms + RETRY_TURN_MS;
            return store_fail(&s->tx, (enum err_code)code, "%s could not do what was due", service->name);
        }
    }
    return 0;
}

int
store_writer_load(struct store *s)
{
    for (size_t i = 0; i < s->n_services; i++) {
        const struct store_service *service = &s->services[i];
        int code = service->load ? service->load(service->context, &s->tx) : 0;
        if (code < 0)
            return store_fail(&s->tx, (enum err_code)code, "%s could not read its tables", service->name);
    }
    return 0;
}

/* Undoes the transaction in the tables and in the services' memory, and returns why. Memory that cannot be put right
 * would make every later answer a guess: then the process ends, and its next start reads what is durable. */
static struct err
undo(struct store *s)
{
    struct store_tx *tx = &s->tx;
    struct err cause = tx->error;
    if (cause.code != ERR_INVALID) /* a job's own word, which its caller hears: nothing is wrong with the store */
        log_write_limited(LOG_ERROR, LOG_INTERVAL_MS, "a transaction was undone", LOG_ERR(&cause));
    pthread_mutex_lock(&s->lock);
    s->stats.rollbacks++;
    pthread_mutex_unlock(&s->lock);
    store_tx_rollback(tx);
    err_clear(&tx->error);
    for (size_t i = 0; i < s->n_services; i++) {
        const struct store_service *service = &s->services[i];
        int (*mend)(void *, struct store_tx *) = service->rollback ? service->rollback : service->load;
        int code = mend ? mend(service->context, tx) : 0;
        if (code < 0) {
            store_fail(tx, (enum err_code)code, "%s could not read its tables", service->name);
            log_write(LOG_ERROR, "cannot go on after an undone transaction; start again", LOG_ERR(&tx->error));
            log_close(1000);
            _exit(EXIT_FAILURE);
        }
    }
    return cause;
}

static bool
is_among(struct store_job *job, const struct turn *t)
{
    for (size_t i = 0; i < t->n; i++)
        if (t->jobs[i] == job)
            return true;
    return false;
}

/* Moves what the undone transaction had completed, but for the jobs of t (which run again anyway), to *list. */
static void
take_back_completed(struct store_tx *tx, const struct turn *t, struct store_job **list)
{
    struct store_job *job = tx->done, *next;
    empty_done(tx);
    for (; job; job = next) {
        next = job->next;
        if (!is_among(job, t)) {
            job->next = *list;
            *list = job;
        }
    }
}

/* Runs a job in a transaction of its own; completed jobs of an undone one go to *list. */
static void
run_alone(struct store *s, struct store_job *job, struct store_job **list)
{
    struct store_tx *tx = &s->tx;
    if (store_tx_begin(tx) == 0 && run_job(tx, job) == 0 && store_tx_commit(tx) == 0) {
        s->commits++;
        finish_done(tx);
        return;
    }
    struct err cause = undo(s);
    take_back_completed(tx, &(struct turn){.jobs = {job}, .n = 1}, list);
    job->finish(job, &cause);
}

static void
run_turn(struct store *s, const struct turn *t)
{
    struct store_tx *tx = &s->tx;
    int code = store_tx_begin(tx);
    for (size_t i = 0; i < t->n && code == 0; i++)
        code = run_job(tx, t->jobs[i]);
    if (code == 0)
        code = run_services(s);
    if (code == 0 && store_tx_commit(tx) == 0) {
        s->commits++;
        finish_done(tx);
        return;
    }
    struct store_job *parked_before = NULL;
    undo(s);
    take_back_completed(tx, t, &parked_before);
    for (size_t i = 0; i < t->n; i++)
        run_alone(s, t->jobs[i], &parked_before);
    while (parked_before) {
        struct store_job *job = parked_before;
        parked_before = job->next;
        run_alone(s, job, &parked_before);
    }
}

/* ---- the thread -------------------------------------------------------------------------------------------------- */

static int64_t
earliest_due_ms(const struct store *s)
{
    int64_t due_ms = INT64_MAX;
    for (size_t i = 0; i < s->n_services; i++) {
        const struct store_service *service = &s->services[i];
        int64_t its_ms = service->due_ms ? service->due_ms(service->context) : INT64_MAX;
        due_ms = its_ms < due_ms ? its_ms : due_ms;
    }
    return due_ms > s->turns_from_ms ? due_ms : s->turns_from_ms;
}

/* Waits for at most wait_ms (negative: for ever) until there is something to do; the lock is held. */
static void
wait_for_work(struct store *s, int64_t wait_ms)
{
    int capped_ms = clock_cap_wait_ms(wait_ms);
    if (capped_ms < 0) {
        pthread_cond_wait(&s->changed, &s->lock);
        return;
    }
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += capped_ms / 1000;
    until.tv_nsec += (long)(capped_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_cond_timedwait(&s->changed, &s->lock, &until);
}

/* Moves the WAL into the database. */
static void
checkpoint(struct store *s)
{
    if (sqlite3_wal_checkpoint_v2(s->tx.db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL) != SQLITE_OK)
        log_write_limited(LOG_ERROR, LOG_INTERVAL_MS, "the write-ahead log could not be moved into the database",
                          LOG_STR("reason", sqlite3_errmsg(s->tx.db)));
    s->wal_pages = 0;
    pthread_mutex_lock(&s->lock);
    s->stats.checkpoints++;
    pthread_mutex_unlock(&s->lock);
}

/* Takes the jobs of the next turn, waiting until there are some or a service is due. A checkpoint is made while nobody
 * waits, and not at the first pause: one that comes between two lone messages delays the second. False: the end. */
static bool
next_turn(struct store *s, struct turn *t)
{
    int64_t due_ms = earliest_due_ms(s), idle_from_ms = clock_boot_ms();
    bool log_was_short = false;
    t->n = 0;
    pthread_mutex_lock(&s->lock);
    while (!s->submitted && !s->stopping) {
        int64_t now_ms = store_writer_now_ms(s);
        if (due_ms <= now_ms)
            break;
        if (s->backup) {
            pthread_mutex_unlock(&s->lock);
            store_backup_go_on(s);
            pthread_mutex_lock(&s->lock);
            continue;
        }
        if (s->log && store_log_is_short(s->log) && !log_was_short) {
            log_was_short = true; /* once, should it not get longer */
            pthread_mutex_unlock(&s->lock);
            store_log_lengthen(s->log);
            pthread_mutex_lock(&s->lock);
            continue;
        }
        int64_t wait_ms = due_ms == INT64_MAX ? -1 : due_ms - now_ms;
        if (s->wal_pages >= CHECKPOINT_IDLE) {
            int64_t rest_ms = idle_from_ms + IDLE_MS - clock_boot_ms();
            if (rest_ms <= 0) {
                pthread_mutex_unlock(&s->lock);
                checkpoint(s);
                pthread_mutex_lock(&s->lock);
                continue;
            }
            wait_ms = wait_ms < 0 || wait_ms > rest_ms ? rest_ms : wait_ms;
        }
        wait_for_work(s, wait_ms);
    }
    while (s->submitted && t->n < JOBS_PER_TURN) {
        t->jobs[t->n++] = s->submitted;
        if (!(s->submitted = s->submitted->next))
            s->submitted_end = &s->submitted;
    }
    bool ends = s->stopping && t->n == 0;
    s->stats.commits = s->commits;
    s->stats.turns++;
    s->stats.jobs += t->n;
    pthread_mutex_unlock(&s->lock);
    return !ends;
}

void *
store_writer_main(void *store)
{
    struct store *s = store;
    struct turn t;
    while (next_turn(s, &t)) {
        run_turn(s, &t);
        if (store_backup_is_wanted(s))
            store_backup_go_on(s);
        if (s->wal_pages >= CHECKPOINT_BUSY)
            checkpoint(s);
    }
    struct store_tx *tx = &s->tx;
    store_backup_give_up(s);
    empty_done(tx);
    tx->now_ms = store_writer_now_ms(s);
    for (size_t i = 0; i < s->n_services; i++)
        if (s->services[i].stop)
            s->services[i].stop(s->services[i].context, tx);
    finish_done(tx);
    return NULL;
}
