#include "local/store_impl.h"

#include <stdlib.h>

/* ---- life -------------------------------------------------------------------------------------------------------- */

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

    int code = store_file_open(s, o, e);
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
        return store_file_refuse_newer(s, service->name, version, (int64_t)service->n_migrations, e);
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
    store_file_close(s);
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
