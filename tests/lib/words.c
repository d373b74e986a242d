#include "lib/words.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const char *const MIGRATIONS[] = {
    "CREATE TABLE words (id INTEGER PRIMARY KEY, word TEXT NOT NULL UNIQUE)",
    "ALTER TABLE words ADD COLUMN language TEXT; CREATE INDEX words_language ON words (language)",
};

static int
load(void *context, struct store_tx *tx)
{
    struct words *w = context;
    sqlite3_stmt *q = store_prepare(tx, "SELECT count(*) FROM words");
    int code = store_step(tx, q);
    if (code < 0)
        return code;
    w->count = w->count_loaded = sqlite3_column_int64(q, 0);
    w->loads++;
    store_reset(q);
    return 0;
}

static int
insert(struct store_tx *tx, struct words *w, const char *word)
{
    sqlite3_stmt *q = store_prepare(tx, "INSERT INTO words (word) VALUES (?)");
    if (q)
        store_bind_text(q, 1, slice_of_string(word));
    int code = store_run(tx, q);
    if (code == 0)
        w->count++;
    return code;
}

static int
turn(void *context, struct store_tx *tx)
{
    struct words *w = context;
    w->turns++;
    if (w->turn_fails)
        return insert(tx, w, NULL);
    if (w->due_ms <= store_now_ms(tx)) {
        w->due_ms = INT64_MAX;
        while (w->parked) {
            struct store_job *job = w->parked;
            w->parked = job->next;
            store_complete(tx, job);
        }
    }
    return 0;
}

static int64_t
due_ms(void *context)
{
    return ((struct words *)context)->due_ms;
}

static void
stop(void *context, struct store_tx *tx)
{
    struct words *w = context;
    w->due_ms = INT64_MIN;
    turn(w, tx);
}

int
words_open(struct words *w, const char *folder, size_t n_migrations, struct err *e)
{
    struct store_options o = {.directory = folder};
    *w = (struct words){.due_ms = INT64_MAX};
    int code = store_open(&o, &w->store, e);
    if (code)
        return code;
    struct store_service service = {.name = "words",
                                    .context = w,
                                    .migrations = MIGRATIONS,
                                    .n_migrations = n_migrations,
                                    .load = load,
                                    .turn = turn,
                                    .due_ms = due_ms,
                                    .stop = stop};
    code = store_add_service(w->store, &service, e);
    if (!code)
        code = store_start(w->store, e);
    if (code)
        store_destroy(w->store);
    return code;
}

void
words_start(struct words *w, const char *folder)
{
    struct err e;
    if (words_open(w, folder, 2, &e) != 0)
        fail_msg("%s", e.text);
}

static void
unpark(struct words *w, struct store_job *job)
{
    struct store_job **at = &w->parked;
    while (*at && *at != job)
        at = &(*at)->next;
    if (*at)
        *at = job->next;
}

int
words_run(struct store_tx *tx, struct store_job *job)
{
    struct word_job *j = (struct word_job *)job;
    unpark(j->words, job);
    j->runs++;
    int code = j->word ? insert(tx, j->words, j->word) : 0;
    if (code == 0 && j->second)
        code = insert(tx, j->words, j->second);
    if (code == 0 && j->fails)
        return store_fail(tx, ERR_INVALID, "as it was told to");
    if (code == 0 && j->parks) {
        job->next = j->words->parked;
        j->words->parked = job;
        return STORE_PARKED;
    }
    return code;
}

void
words_finish(struct store_job *job, const struct err *error)
{
    struct word_job *j = (struct word_job *)job;
    pthread_mutex_lock(&j->lock);
    j->outcome = error ? error->code : 0;
    j->is_over = true;
    pthread_cond_signal(&j->changed);
    pthread_mutex_unlock(&j->lock);
}

int
words_wait(struct word_job *j)
{
    pthread_mutex_lock(&j->lock);
    while (!j->is_over)
        pthread_cond_wait(&j->changed, &j->lock);
    pthread_mutex_unlock(&j->lock);
    return j->outcome;
}

bool
words_is_over(struct word_job *j)
{
    pthread_mutex_lock(&j->lock);
    bool over = j->is_over;
    pthread_mutex_unlock(&j->lock);
    return over;
}

static int
count_now(struct store_tx *tx, void *context)
{
    struct words *w = context;
    int64_t in_memory = w->count;
    int code = load(w, tx);
    assert_int_equal(w->count, in_memory);
    return code;
}

int64_t
words_count(struct words *w)
{
    struct err e;
    assert_int_equal(store_call(w->store, count_now, w, &e), 0);
    return w->count;
}

static int
hold_until_unlocked(struct store_tx *tx, void *context)
{
    (void)tx;
    pthread_mutex_lock(context);
    pthread_mutex_unlock(context);
    return 0;
}

static void *
hold(void *context)
{
    struct words_holder *h = context;
    store_call(h->words->store, hold_until_unlocked, &h->lock, NULL);
    return NULL;
}

void
words_hold_writer(struct words_holder *h, struct words *w)
{
    h->words = w;
    pthread_mutex_init(&h->lock, NULL);
    pthread_mutex_lock(&h->lock);
    struct store_stats before, now;
    store_get_stats(w->store, &before);
    assert_int_equal(pthread_create(&h->thread, NULL, hold, h), 0);
    do
        store_get_stats(w->store, &now);
    while (now.jobs == before.jobs);
}

void
words_release_writer(struct words_holder *h)
{
    pthread_mutex_unlock(&h->lock);
    pthread_join(h->thread, NULL);
    pthread_mutex_destroy(&h->lock);
}
