/* words: a service of fanout-local's store that keeps words in a table, and counts them in memory. */
#ifndef FANOUT_TESTS_LIB_WORDS_H
#define FANOUT_TESTS_LIB_WORDS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "local/store.h"

struct words {
    struct store *store;
    int64_t count, count_loaded;
    int loads;
    struct store_job *parked;
    int64_t due_ms;
    bool turn_fails;
    int turns;
};

/* A store in folder with this service, of so many of its two versions. */
int words_open(struct words *w, const char *folder, size_t n_migrations, struct err *e);

/* Of both. */
void words_start(struct words *w, const char *folder);

/* Adds a word, or two. */
struct word_job {
    struct store_job job;
    struct words *words;
    const char *word, *second; /* second may be NULL */
    bool parks, fails;
    int runs;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_over;
    int outcome;
};

int words_run(struct store_tx *tx, struct store_job *job);
void words_finish(struct store_job *job, const struct err *error);

#define WORD_JOB(w, ...)                                                                                               \
    {                                                                                                                  \
        .job = {.run = words_run, .finish = words_finish}, .words = (w), .lock = PTHREAD_MUTEX_INITIALIZER,            \
        .changed = PTHREAD_COND_INITIALIZER, __VA_ARGS__                                                               \
    }

/* Until it is over: its outcome. */
int words_wait(struct word_job *j);
bool words_is_over(struct word_job *j);

/* How many words there are, in the table and, the same, in memory. */
int64_t words_count(struct words *w);

struct words_holder {
    struct words *words;
    pthread_mutex_t lock;
    pthread_t thread;
};

/* Stops the writer inside a job, so that what is submitted until release runs in one turn. */
void words_hold_writer(struct words_holder *h, struct words *w);
void words_release_writer(struct words_holder *h);

#endif
