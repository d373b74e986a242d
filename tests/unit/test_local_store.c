#include "local/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "lib/tmp.h"

static struct clock_page *the_clock;

/* ---- a service that keeps words, and counts them in memory ------------------------------------------------------- */

struct words {
    struct store *store;
    int64_t count, count_loaded;
    int loads;
    struct store_job *parked;
    int64_t due_ms;
    bool turn_fails;
    int turns;
};

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

static int
open_words(struct words *w, const char *folder, size_t n_migrations, struct err *e)
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

static void
start(struct words *w, const char *folder)
{
    struct err e;
    if (open_words(w, folder, 2, &e) != 0)
        fail_msg("%s", e.text);
}

/* ---- jobs -------------------------------------------------------------------------------------------------------- */

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

static void
unpark(struct words *w, struct store_job *job)
{
    struct store_job **at = &w->parked;
    while (*at && *at != job)
        at = &(*at)->next;
    if (*at)
        *at = job->next;
}

static int
run_word(struct store_tx *tx, struct store_job *job)
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

static void
finish_word(struct store_job *job, const struct err *error)
{
    struct word_job *j = (struct word_job *)job;
    pthread_mutex_lock(&j->lock);
    j->outcome = error ? error->code : 0;
    j->is_over = true;
    pthread_cond_signal(&j->changed);
    pthread_mutex_unlock(&j->lock);
}

#define WORD_JOB(w, ...)                                                                                               \
    {                                                                                                                  \
        .job = {.run = run_word, .finish = finish_word}, .words = (w), .lock = PTHREAD_MUTEX_INITIALIZER,              \
        .changed = PTHREAD_COND_INITIALIZER, __VA_ARGS__                                                               \
    }

static int
wait_for(struct word_job *j)
{
    pthread_mutex_lock(&j->lock);
    while (!j->is_over)
        pthread_cond_wait(&j->changed, &j->lock);
    pthread_mutex_unlock(&j->lock);
    return j->outcome;
}

static bool
is_over(struct word_job *j)
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

/* How many words there are, in the table and, the same, in memory. */
static int64_t
count(struct words *w)
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

struct holder {
    struct words *words;
    pthread_mutex_t lock;
    pthread_t thread;
};

static void *
hold(void *context)
{
    struct holder *h = context;
    store_call(h->words->store, hold_until_unlocked, &h->lock, NULL);
    return NULL;
}

/* Stops the writer inside a job, so that what is submitted until release runs in one turn. */
static void
hold_writer(struct holder *h, struct words *w)
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

static void
release_writer(struct holder *h)
{
    pthread_mutex_unlock(&h->lock);
    pthread_join(h->thread, NULL);
    pthread_mutex_destroy(&h->lock);
}

/* ---- the disk ---------------------------------------------------------------------------------------------------- */

/* What SQLite's calls of fdatasync go through: as slow as a test wants. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stuck, full;
    int waiting, syncs, writes;
} disk = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

__attribute__((visibility("default"))) int
fdatasync(int fd)
{
    pthread_mutex_lock(&disk.lock);
    disk.syncs++;
    disk.waiting++;
    pthread_cond_broadcast(&disk.changed);
    while (disk.stuck)
        pthread_cond_wait(&disk.changed, &disk.lock);
    disk.waiting--;
    pthread_mutex_unlock(&disk.lock);
    return (int)syscall(SYS_fdatasync, fd);
}

/* And its writes, which fail while the disk is full. */
__attribute__((visibility("default"))) ssize_t
pwrite64(int fd, const void *p, size_t n, off64_t at)
{
    pthread_mutex_lock(&disk.lock);
    disk.writes++;
    bool full = disk.full;
    pthread_mutex_unlock(&disk.lock);
    if (full) {
        errno = ENOSPC;
        return -1;
    }
    return syscall(SYS_pwrite64, fd, p, n, at);
}

static void
fill_disk(bool full)
{
    pthread_mutex_lock(&disk.lock);
    disk.full = full;
    pthread_mutex_unlock(&disk.lock);
}

static int
count_writes(void)
{
    pthread_mutex_lock(&disk.lock);
    int n = disk.writes;
    pthread_mutex_unlock(&disk.lock);
    return n;
}

static void
stop_disk(bool stuck)
{
    pthread_mutex_lock(&disk.lock);
    disk.stuck = stuck;
    pthread_cond_broadcast(&disk.changed);
    pthread_mutex_unlock(&disk.lock);
}

static void
wait_until_disk_works(void)
{
    pthread_mutex_lock(&disk.lock);
    while (disk.waiting == 0)
        pthread_cond_wait(&disk.changed, &disk.lock);
    pthread_mutex_unlock(&disk.lock);
}

static int
count_syncs(void)
{
    pthread_mutex_lock(&disk.lock);
    int n = disk.syncs;
    pthread_mutex_unlock(&disk.lock);
    return n;
}

/* ---- tests ------------------------------------------------------------------------------------------------------- */

/* ---- tests ------------------------------------------------------------------------------------------------------- */

static void
what_is_finished_is_there_after_a_restart(void **state)
{
    (void)state;
    struct words w;
    const char *folder = tmp_new();
    start(&w, folder);
    struct word_job a = WORD_JOB(&w, .word = "one"), b = WORD_JOB(&w, .word = "two");
    store_submit(w.store, &a.job);
    store_submit(w.store, &b.job);
    assert_int_equal(wait_for(&a), 0);
    assert_int_equal(wait_for(&b), 0);
    store_destroy(w.store);
    start(&w, folder);
    assert_int_equal(w.count_loaded, 2);
    store_destroy(w.store);
}

static void
jobs_that_wait_share_one_turn_and_run_in_order(void **state)
{
    (void)state;
    struct words w;
    struct holder h;
    start(&w, NULL);
    struct word_job jobs[100];
    char text[100][16];
    hold_writer(&h, &w);
    struct store_stats before, after;
    store_get_stats(w.store, &before);
    for (int i = 0; i < 100; i++) {
        snprintf(text[i], sizeof text[i], "%d", i);
        jobs[i] = (struct word_job)WORD_JOB(&w, .word = text[i]);
        store_submit(w.store, &jobs[i].job);
    }
    release_writer(&h);
    for (int i = 0; i < 100; i++)
        assert_int_equal(wait_for(&jobs[i]), 0);
    store_get_stats(w.store, &after);
    assert_int_equal(after.turns - before.turns, 1);
    assert_int_equal(count(&w), 100);
    store_destroy(w.store);
}

static void
a_job_that_fails_leaves_nothing_and_harms_no_other(void **state)
{
    (void)state;
    struct words w;
    struct holder h;
    start(&w, NULL);
    struct word_job good = WORD_JOB(&w, .word = "good"), twice = WORD_JOB(&w, .word = "x", .second = "x"),
                    told = WORD_JOB(&w, .word = "y", .fails = true), last = WORD_JOB(&w, .word = "last");
    hold_writer(&h, &w);
    store_submit(w.store, &good.job);
    store_submit(w.store, &twice.job);
    store_submit(w.store, &told.job);
    store_submit(w.store, &last.job);
    release_writer(&h);
    assert_int_equal(wait_for(&good), 0);
    assert_int_equal(wait_for(&twice), ERR_IO);
    assert_int_equal(wait_for(&told), ERR_INVALID);
    assert_int_equal(wait_for(&last), 0);
    assert_int_equal(count(&w), 2);
    assert_int_equal(good.runs, 2);
    store_destroy(w.store);
}

static int
limit_pages(struct store_tx *tx, void *context)
{
    return store_exec(tx, *(bool *)context ? "PRAGMA max_page_count = 1" : "PRAGMA max_page_count = 1000000");
}

static void
a_full_disk_fails_what_writes_until_there_is_room(void **state)
{
    (void)state;
    struct words w;
    const char *folder = tmp_new();
    start(&w, folder);
    bool full = true;
    char *big = calloc(1, 100001);
    memset(big, 'b', 100000);
    assert_int_equal(store_call(w.store, limit_pages, &full, NULL), 0);
    struct word_job a = WORD_JOB(&w, .word = "small", .second = big);
    store_submit(w.store, &a.job);
    assert_int_equal(wait_for(&a), ERR_UNAVAILABLE);
    assert_int_equal(count(&w), 0);
    full = false;
    assert_int_equal(store_call(w.store, limit_pages, &full, NULL), 0);
    struct word_job b = WORD_JOB(&w, .word = "small", .second = big);
    store_submit(w.store, &b.job);
    assert_int_equal(wait_for(&b), 0);
    assert_int_equal(count(&w), 2);
    store_destroy(w.store);
    free(big);
}

static void
a_parked_job_is_finished_when_it_is_due(void **state)
{
    (void)state;
    struct words w;
    start(&w, NULL);
    atomic_store(&the_clock->frozen_at_ms, clock_wall_ms());
    struct word_job a = WORD_JOB(&w, .parks = true), b = WORD_JOB(&w, .word = "meanwhile");
    store_submit(w.store, &a.job);
    store_submit(w.store, &b.job);
    wait_for(&b);
    assert_false(is_over(&a));
    struct holder h;
    hold_writer(&h, &w);
    w.due_ms = clock_wall_ms() + 60000;
    release_writer(&h);
    assert_int_equal(count(&w), 1);
    assert_false(is_over(&a));
    atomic_fetch_add(&the_clock->offset_ms, 61000); /* the store's clock may stand some ms beside the wall's */
    assert_int_equal(wait_for(&a), 0);
    atomic_store(&the_clock->frozen_at_ms, 0);
    store_destroy(w.store);
}

static void
parked_jobs_survive_the_failure_of_the_turn_that_completes_them(void **state)
{
    (void)state;
    struct words w;
    struct holder h;
    start(&w, NULL);
    struct word_job parked = WORD_JOB(&w, .parks = true), bad = WORD_JOB(&w, .word = "x", .second = "x");
    store_submit(w.store, &parked.job);
    hold_writer(&h, &w);
    w.due_ms = INT64_MIN; /* the next turn completes it */
    w.turn_fails = true;  /* and is undone */
    release_writer(&h);
    store_submit(w.store, &bad.job);
    assert_int_equal(wait_for(&bad), ERR_IO);
    assert_false(is_over(&parked));
    hold_writer(&h, &w);
    w.turn_fails = false;
    release_writer(&h);
    assert_int_equal(wait_for(&parked), 0); /* a turn that failed is tried again by itself */
    store_destroy(w.store);
}

static void
stopping_finishes_what_was_submitted_and_what_is_parked_and_refuses_more(void **state)
{
    (void)state;
    struct words w;
    struct holder h;
    start(&w, NULL);
    struct word_job parked = WORD_JOB(&w, .parks = true), last = WORD_JOB(&w, .word = "last"),
                    late = WORD_JOB(&w, .word = "late");
    store_submit(w.store, &parked.job);
    hold_writer(&h, &w);
    store_submit(w.store, &last.job);
    release_writer(&h);
    store_stop(w.store);
    assert_true(is_over(&last) && is_over(&parked));
    assert_int_equal(last.outcome, 0);
    store_submit(w.store, &late.job);
    assert_true(is_over(&late));
    assert_int_equal(late.outcome, ERR_CANCELLED);
    store_destroy(w.store);
}

static int
read_times(struct store_tx *tx, void *context)
{
    int64_t *times = context;
    times[0] = store_now_ms(tx);
    times[1] = store_wall_ms(tx, times[0]);
    return 0;
}

static void
time_never_goes_back_and_is_shown_as_the_wall_clock_has_it(void **state)
{
    (void)state;
    struct words w;
    int64_t a[2], b[2], c[2];
    start(&w, NULL);
    store_call(w.store, read_times, a, NULL);
    atomic_store(&the_clock->wall_skew_ms, -3600000);
    store_call(w.store, read_times, b, NULL);
    assert_in_range(b[0] - a[0], 0, 30000);
    assert_in_range(a[1] - b[1], 3600000 - 30000, 3600000);
    atomic_fetch_add(&the_clock->offset_ms, -86400000);
    store_call(w.store, read_times, c, NULL);
    assert_in_range(c[0] - b[0], 0, 30000);
    atomic_fetch_add(&the_clock->offset_ms, 86400000);
    atomic_store(&the_clock->wall_skew_ms, 0);
    store_destroy(w.store);
}

static void
a_second_server_is_kept_out(void **state)
{
    (void)state;
    struct words w, second;
    struct err e;
    char pid[24];
    const char *folder = tmp_new();
    start(&w, folder);
    assert_int_equal(open_words(&second, folder, 2, &e), ERR_EXISTS);
    snprintf(pid, sizeof pid, "process %ld", (long)getpid());
    assert_non_null(strstr(e.text, folder));
    assert_non_null(strstr(e.text, pid));
    store_destroy(w.store);
    start(&w, folder);
    store_destroy(w.store);
}

static void
a_schema_is_brought_up_to_date_and_a_newer_one_refused(void **state)
{
    (void)state;
    struct words w;
    struct err e;
    const char *folder = tmp_new();
    assert_int_equal(open_words(&w, folder, 1, &e), 0);
    struct word_job a = WORD_JOB(&w, .word = "old");
    store_submit(w.store, &a.job);
    wait_for(&a);
    store_destroy(w.store);
    assert_int_equal(open_words(&w, folder, 2, &e), 0);
    assert_int_equal(w.count_loaded, 1);
    store_destroy(w.store);
    assert_int_equal(open_words(&w, folder, 1, &e), ERR_CORRUPT);
    assert_non_null(strstr(e.text, "newer"));
    assert_non_null(strstr(e.text, "words version 2"));
}

static void
sql_on_file(const char *path, const char *sql)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void
a_file_that_is_not_ours_is_refused_and_left_alone(void **state)
{
    (void)state;
    struct words w;
    struct err e;
    char path[512];
    const char *folder = tmp_new();
    snprintf(path, sizeof path, "%s/fanout-local.sqlite3", folder);
    sql_on_file(path, "CREATE TABLE somebody_elses (x)");
    assert_int_equal(open_words(&w, folder, 2, &e), ERR_CORRUPT);
    assert_non_null(strstr(e.text, "none of fanout-local"));
    unlink(path);

    sql_on_file(path, "PRAGMA application_id = 0x464e4c43; PRAGMA user_version = 99; CREATE TABLE x (y)");
    assert_int_equal(open_words(&w, folder, 2, &e), ERR_CORRUPT);
    assert_non_null(strstr(e.text, "newer"));
    unlink(path);

    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(dprintf(fd, "%0999d", 7), 999);
    close(fd);
    assert_int_equal(open_words(&w, folder, 2, &e), ERR_CORRUPT);
    assert_non_null(strstr(e.text, path));
    assert_non_null(strstr(e.text, "put a copy in its place"));
    assert_int_equal(truncate(path, 999), 0);
    assert_int_equal(open_words(&w, "/proc/no/such", 2, &e), ERR_NOT_FOUND);
    assert_non_null(strstr(e.text, "/proc/no"));
}

static void
a_database_that_was_emptied_is_refused(void **state)
{
    (void)state;
    struct words w;
    struct err e;
    const char *folder = tmp_new(), *path = tmp_path(folder, "fanout-local.sqlite3");
    start(&w, folder);
    store_destroy(w.store);
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(open_words(&w, folder, 2, &e), ERR_CORRUPT);
    assert_non_null(strstr(e.text, "it is empty, and was not"));
    unlink(path);
    start(&w, folder); /* another one */
    store_destroy(w.store);
}

static void
statements_are_kept_by_address_and_come_back_clean(void **state)
{
    (void)state;
    struct words w;
    start(&w, NULL);
    for (int i = 0; i < 300; i++) {
        char word[16];
        snprintf(word, sizeof word, "%d", i);
        struct word_job j = WORD_JOB(&w, .word = word);
        store_submit(w.store, &j.job);
        assert_int_equal(wait_for(&j), 0);
    }
    assert_int_equal(count(&w), 300);
    store_destroy(w.store);
}

static void
nothing_is_finished_before_the_disk_has_it(void **state)
{
    (void)state;
    struct words w;
    start(&w, tmp_new());
    struct word_job a = WORD_JOB(&w, .word = "one"), b = WORD_JOB(&w, .word = "two"), c = WORD_JOB(&w, .word = "three");
    stop_disk(true);
    store_submit(w.store, &a.job);
    wait_until_disk_works();
    store_submit(w.store, &b.job);
    store_submit(w.store, &c.job);
    assert_false(is_over(&a) || is_over(&b) || is_over(&c));
    int syncs = count_syncs();
    stop_disk(false);
    assert_int_equal(wait_for(&a), 0);
    assert_int_equal(wait_for(&b), 0);
    assert_int_equal(wait_for(&c), 0);
    assert_int_equal(count_syncs() - syncs, 1); /* for both */
    store_destroy(w.store);
}

static void
what_writes_nothing_does_not_wait_for_the_disk(void **state)
{
    (void)state;
    struct words w;
    start(&w, tmp_new());
    struct word_job a = WORD_JOB(&w, .word = "one"), reader = WORD_JOB(&w);
    store_submit(w.store, &a.job);
    assert_int_equal(wait_for(&a), 0);
    int syncs = count_syncs();
    store_submit(w.store, &reader.job);
    assert_int_equal(wait_for(&reader), 0);
    assert_int_equal(count_syncs(), syncs);
    store_destroy(w.store);
}

static int64_t
size_of(const char *folder, const char *name)
{
    struct stat st;
    assert_int_equal(stat(tmp_path(folder, name), &st), 0);
    return st.st_size;
}

static void
a_commit_is_one_write_into_space_that_is_there(void **state)
{
    (void)state;
    struct words w;
    const char *folder = tmp_new();
    char *big = calloc(1, 20001);
    memset(big, 'b', 20000);
    start(&w, folder);
    int64_t size = size_of(folder, "fanout-local.sqlite3-wal");
    struct word_job small = WORD_JOB(&w, .word = "small"), large = WORD_JOB(&w, .word = big);
    int writes = count_writes();
    store_submit(w.store, &small.job);
    assert_int_equal(wait_for(&small), 0);
    assert_int_equal(count_writes() - writes, 1);
    store_submit(w.store, &large.job); /* some fifteen pages */
    assert_int_equal(wait_for(&large), 0);
    assert_int_equal(count_writes() - writes, 2);
    assert_int_equal(size_of(folder, "fanout-local.sqlite3-wal"), size);
    store_destroy(w.store);
    free(big);
}

static void
a_write_that_fails_fails_its_job_and_no_other(void **state)
{
    (void)state;
    struct words w;
    const char *folder = tmp_new();
    struct err e;
    start(&w, folder);
    struct word_job before = WORD_JOB(&w, .word = "before"), lost = WORD_JOB(&w, .word = "lost"),
                    after = WORD_JOB(&w, .word = "after");
    store_submit(w.store, &before.job);
    assert_int_equal(wait_for(&before), 0);
    fill_disk(true);
    store_submit(w.store, &lost.job);
    assert_int_equal(wait_for(&lost), ERR_UNAVAILABLE);
    fill_disk(false);
    assert_int_equal(count(&w), 1);
    store_submit(w.store, &after.job);
    assert_int_equal(wait_for(&after), 0);
    assert_int_equal(count(&w), 2);
    store_destroy(w.store);
    if (open_words(&w, folder, 2, &e) != 0)
        fail_msg("%s", e.text);
    assert_int_equal(w.count_loaded, 2);
    store_destroy(w.store);
}

static void
copy_file(const char *from, const char *to, const char *name)
{
    size_t n;
    char *bytes = tmp_read(tmp_path(from, name), &n);
    assert_non_null(bytes);
    FILE *f = fopen(tmp_path(to, name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
    free(bytes);
}

static void
what_is_finished_is_in_the_files_and_nowhere_else(void **state)
{
    (void)state;
    struct words w, again;
    const char *folder = tmp_new();
    struct err e;
    char word[30], *big = calloc(1, 30001);
    start(&w, folder);
    for (int i = 0; i < 20; i++) {
        const char *copy = tmp_new();
        snprintf(word, sizeof word, "word %d", i);
        memset(big, 'a' + i, 30000);
        struct word_job j = WORD_JOB(&w, .word = word, .second = i % 3 == 0 ? big : NULL);
        store_submit(w.store, &j.job);
        assert_int_equal(wait_for(&j), 0);
        copy_file(folder, copy, "fanout-local.sqlite3"); /* as a kill -9 would leave them */
        copy_file(folder, copy, "fanout-local.sqlite3-wal");
        int64_t words = count(&w);
        if (open_words(&again, copy, 2, &e) != 0)
            fail_msg("%s", e.text);
        assert_int_equal(again.count_loaded, words);
        store_destroy(again.store);
        tmp_remove(copy);
    }
    store_destroy(w.store);
    free(big);
}

int
main(void)
{
    struct err e;
    char path[512];
    snprintf(path, sizeof path, "%s/clock", tmp_new());
    if (clock_page_create(path, &the_clock, &e) != 0)
        return 1;
    setenv("FANOUT_TEST_CLOCK", path, 1);
    if (clock_init(&e) != 0)
        return 1;

    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_finished_is_there_after_a_restart),
        cmocka_unit_test(jobs_that_wait_share_one_turn_and_run_in_order),
        cmocka_unit_test(a_job_that_fails_leaves_nothing_and_harms_no_other),
        cmocka_unit_test(a_full_disk_fails_what_writes_until_there_is_room),
        cmocka_unit_test(a_parked_job_is_finished_when_it_is_due),
        cmocka_unit_test(parked_jobs_survive_the_failure_of_the_turn_that_completes_them),
        cmocka_unit_test(stopping_finishes_what_was_submitted_and_what_is_parked_and_refuses_more),
        cmocka_unit_test(time_never_goes_back_and_is_shown_as_the_wall_clock_has_it),
        cmocka_unit_test(a_second_server_is_kept_out),
        cmocka_unit_test(a_schema_is_brought_up_to_date_and_a_newer_one_refused),
        cmocka_unit_test(a_file_that_is_not_ours_is_refused_and_left_alone),
        cmocka_unit_test(a_database_that_was_emptied_is_refused),
        cmocka_unit_test(statements_are_kept_by_address_and_come_back_clean),
        cmocka_unit_test(nothing_is_finished_before_the_disk_has_it),
        cmocka_unit_test(what_writes_nothing_does_not_wait_for_the_disk),
        cmocka_unit_test(a_commit_is_one_write_into_space_that_is_there),
        cmocka_unit_test(a_write_that_fails_fails_its_job_and_no_other),
        cmocka_unit_test(what_is_finished_is_in_the_files_and_nowhere_else),
    };
    return cmocka_run_group_tests_name("local/store", tests, NULL, NULL);
}
