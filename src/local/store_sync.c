#include "local/store_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"

/* ---- the writer's side ------------------------------------------------------------------------------------------- */

void
store_sync_hand_over(struct store *s)
{
    struct store_tx *tx = &s->tx;
    pthread_mutex_lock(&s->lock);
    s->log_is_behind |= s->log_was_written;
    if (tx->done) {
        *s->committed_end = tx->done;
        s->committed_end = tx->done_end;
        pthread_cond_signal(&s->committed_more);
    }
    pthread_mutex_unlock(&s->lock);
    s->log_was_written = false;
    store_tx_empty_done(tx);
}

/* ---- the thread -------------------------------------------------------------------------------------------------- */

/* What is in the log but not on the disk cannot be taken back any more, and after a failed fdatasync nobody can say
 * what of it will be there (the kernel forgets what it could not write): the process ends without having answered, and
 * its next start reads what is durable. */
static void
sync_log(const struct store *s)
{
    while (fdatasync(s->log_fd) != 0) {
        if (errno == EINTR)
            continue;
        struct err e;
        err_set_errno(&e, errno, "%s-wal could not be synced", s->path);
        log_write(LOG_ERROR, "cannot go on: what was written may not be durable; look at the disk, start again",
                  LOG_ERR(&e));
        log_close(1000);
        abort();
    }
}

static void
finish(struct store_job *job)
{
    for (struct store_job *next; job; job = next) {
        next = job->next;
        job->finish(job, NULL);
    }
}

static void *
sync_and_finish(void *store)
{
    struct store *s = store;
    pthread_mutex_lock(&s->lock);
    for (;;) {
        while (!s->committed && !s->sync_ends)
            pthread_cond_wait(&s->committed_more, &s->lock);
        struct store_job *jobs = s->committed;
        if (!jobs)
            break;
        s->committed = NULL;
        s->committed_end = &s->committed;
        s->syncing = s->log_is_behind && s->log_fd >= 0;
        s->log_is_behind = false;
        if (s->syncing) {
            pthread_mutex_unlock(&s->lock);
            sync_log(s);
            pthread_mutex_lock(&s->lock);
            s->syncing = false;
            pthread_cond_signal(&s->changed);
        }
        pthread_mutex_unlock(&s->lock);
        finish(jobs);
        pthread_mutex_lock(&s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

int
store_sync_start(struct store *s, struct err *e)
{
    char *path;
    s->log_fd = -1;
    if (s->path) {
        if (asprintf(&path, "%s-wal", s->path) < 0)
            return err_no_memory(e);
        s->log_fd = open(path, O_RDONLY | O_CLOEXEC);
        int code = s->log_fd < 0 ? err_set_errno(e, errno, "cannot open %s", path) : 0;
        free(path);
        if (code)
            return code;
        s->log_is_behind = true; /* what was set up before this thread */
    }
    int failed = pthread_create(&s->sync_thread, NULL, sync_and_finish, s);
    if (failed)
        return err_set_errno(e, failed, "cannot start the thread that syncs");
    s->sync_started = true;
    return 0;
}

void
store_sync_stop(struct store *s)
{
    if (s->sync_started) {
        pthread_mutex_lock(&s->lock);
        s->sync_ends = true;
        pthread_cond_signal(&s->committed_more);
        pthread_mutex_unlock(&s->lock);
        pthread_join(s->sync_thread, NULL);
    }
    s->sync_started = false;
    if (s->log_fd >= 0)
        close(s->log_fd);
    s->log_fd = -1;
}
