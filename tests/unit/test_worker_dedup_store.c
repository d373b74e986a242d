/* The stores of deduplication in this process's memory and in an SQLite file: the same answers as the model's, whatever
 * is asked; what each of them alone promises; and what they say when they cannot. (DynamoDB's:
 * tests/process/test_dedup_dynamodb.c.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/dedup_model.h"
#include "lib/seeds.h"
#include "lib/tmp.h"

#define NOW INT64_C(1790000000000)

static const uint64_t KEPT_SEEDS[] = {1, 2};

/* ---- memory ---- */

static struct dedup_driver
memory_driver(size_t max_entries)
{
    struct dedup_driver d = {0};
    struct err e;
    assert_int_equal(dedup_memory_new(max_entries, &d.stores[0], &e), 0);
    return d;
}

static void
destroy(struct dedup_driver *d)
{
    for (int i = 0; i < DEDUP_MODEL_STORES; i++)
        if (d->stores[i])
            d->stores[i]->ops->destroy(d->stores[i]);
}

static void
memory_answers_as_the_model_does(void **state)
{
    (void)state;
    struct seeds seeds;
    uint64_t seed;
    seeds_init(&seeds, KEPT_SEEDS, sizeof KEPT_SEEDS / sizeof *KEPT_SEEDS);
    while (seeds_next(&seeds, &seed)) {
        struct dedup_driver d = memory_driver(1000);
        dedup_model_run(&d, seed, 20000);
        destroy(&d);
    }
}

static enum dedup_found
begin(struct dedup_driver *d, const char *key, const char *owner)
{
    struct dedup_op op = dedup_driver_do(d, 0, DEDUP_BEGIN, key, owner, NOW, NOW + 30000);
    assert_int_equal(op.code, 0);
    return op.found;
}

static void
complete(struct dedup_driver *d, unsigned number)
{
    char key[40];
    snprintf(key, sizeof key, "%u", number);
    assert_int_equal(dedup_driver_do(d, 0, DEDUP_COMPLETE, key, "a", NOW, NOW + 60000).code, 0);
}

static void
memory_forgets_what_was_asked_for_longest_ago_and_nothing_in_progress(void **state)
{
    (void)state;
    struct dedup_driver d = memory_driver(100);
    assert_int_equal(begin(&d, "in progress", "a"), DEDUP_FRESH);
    for (unsigned i = 0; i < 99; i++)
        complete(&d, i);
    assert_int_equal(begin(&d, "0", "b"), DEDUP_COMPLETED); /* asked for */
    complete(&d, 99);
    assert_int_equal(begin(&d, "0", "b"), DEDUP_COMPLETED);
    assert_int_equal(begin(&d, "1", "b"), DEDUP_FRESH);
    for (unsigned i = 1000; i < 5000; i++)
        complete(&d, i);
    assert_int_equal(begin(&d, "in progress", "b"), DEDUP_BUSY);
    assert_int_equal(begin(&d, "1", "a"), DEDUP_BUSY);
    destroy(&d);
}

static void
memory_stays_small_whatever_is_left_in_progress(void **state)
{
    (void)state;
    struct dedup_driver d = memory_driver(100);
    char key[40];
    for (int64_t i = 0; i < 20000; i++) {
        snprintf(key, sizeof key, "%lld", (long long)i);
        assert_int_equal(dedup_driver_do(&d, 0, DEDUP_BEGIN, key, "a", NOW + i * 100, NOW + i * 100 + 1000).code, 0);
    }
    assert_in_range(dedup_memory_count(d.stores[0]), 1, 20);
    destroy(&d);
}

/* ---- SQLite ---- */

struct file {
    const char *dir, *path;
    int wake_fd;
    struct dedup_driver driver;
};

static void
wake(void *context)
{
    uint64_t one = 1;
    assert_int_equal(write(((struct file *)context)->wake_fd, &one, sizeof one), sizeof one);
}

static void
wait(void *context)
{
    struct file *f = context;
    struct pollfd p = {.fd = f->wake_fd, .events = POLLIN};
    uint64_t n;
    assert_int_equal(poll(&p, 1, 20000), 1);
    assert_int_equal(read(f->wake_fd, &n, sizeof n), sizeof n);
}

static int
make_file(void **state)
{
    struct file *f = calloc(1, sizeof *f);
    struct err e;
    f->dir = tmp_new();
    f->path = tmp_path(f->dir, "dedup.sqlite");
    f->wake_fd = eventfd(0, EFD_CLOEXEC);
    f->driver.wait = wait;
    f->driver.context = f;
    for (int i = 0; i < DEDUP_MODEL_STORES; i++)
        assert_int_equal(dedup_sqlite_new(f->path, wake, f, &f->driver.stores[i], &e), 0);
    *state = f;
    return 0;
}

static int
end_file(void **state)
{
    struct file *f = *state;
    destroy(&f->driver);
    close(f->wake_fd);
    tmp_remove(f->dir);
    free(f);
    return 0;
}

static void
two_workers_on_one_file_answer_as_the_model_does(void **state)
{
    struct file *f = *state;
    dedup_model_run(&f->driver, 1, 1500);
}

static void
of_two_workers_that_begin_the_same_at_once_one_may(void **state)
{
    struct file *f = *state;
    dedup_model_race(&f->driver, 1000);
}

static void
a_file_is_read_by_the_next_worker(void **state)
{
    struct file *f = *state;
    struct err e;
    assert_int_equal(begin(&f->driver, "x", "a"), DEDUP_FRESH);
    complete(&f->driver, 1);
    destroy(&f->driver);
    memset(f->driver.stores, 0, sizeof f->driver.stores);
    assert_int_equal(dedup_sqlite_new(f->path, wake, f, &f->driver.stores[0], &e), 0);
    assert_int_equal(begin(&f->driver, "1", "b"), DEDUP_COMPLETED);
    assert_int_equal(begin(&f->driver, "x", "b"), DEDUP_BUSY);
    assert_int_equal(begin(&f->driver, "x", "a"), DEDUP_FRESH);
}

static int64_t
count_rows(const char *path)
{
    sqlite3 *db;
    sqlite3_stmt *s;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT count(*) FROM events", -1, &s, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    int64_t n = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    sqlite3_close(db);
    return n;
}

static void
expired_records_leave_the_file(void **state)
{
    struct file *f = *state;
    for (unsigned i = 0; i < 100; i++)
        complete(&f->driver, i);
    assert_int_equal(count_rows(f->path), 100);
    for (int i = 0; i < 20; i++)
        assert_int_equal(dedup_driver_do(&f->driver, 0, DEDUP_FORGET, "none", "a", NOW + 60000, 0).code, 0);
    assert_int_equal(count_rows(f->path), 0);
}

/* What fails is told and leaves the records as they were; then it works again. */
static void
a_file_that_another_holds_locked_is_an_error_that_passes(void **state)
{
    struct file *f = *state;
    sqlite3 *db;
    assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    struct dedup_op op = dedup_driver_do(&f->driver, 0, DEDUP_BEGIN, "x", "a", NOW, NOW + 1000);
    assert_int_equal(op.code, ERR_UNAVAILABLE);
    assert_non_null(strstr(f->driver.stores[0]->error.text, f->path));
    assert_non_null(strstr(f->driver.stores[0]->error.text, "locked"));
    assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_int_equal(begin(&f->driver, "x", "b"), DEDUP_FRESH);
}

static void
a_full_disk_is_an_error_that_passes(void **state)
{
    struct file *f = *state;
    struct rlimit old, none;
    assert_int_equal(begin(&f->driver, "x", "a"), DEDUP_FRESH);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    struct dedup_op op = dedup_driver_do(&f->driver, 0, DEDUP_BEGIN, "y", "a", NOW, NOW + 1000);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(op.code, ERR_IO);
    assert_int_equal(begin(&f->driver, "y", "b"), DEDUP_FRESH);
    assert_int_equal(begin(&f->driver, "x", "b"), DEDUP_BUSY);
}

static void
a_file_that_cannot_be_used_is_refused_with_its_name(void **state)
{
    struct file *f = *state;
    struct dedup_store *s;
    struct err e;
    assert_int_equal(dedup_sqlite_new(tmp_path(f->dir, "no/folder"), wake, f, &s, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "no/folder"));
    const char *text = tmp_write(f->dir, "text", "%s",
                                 "This is no database, whatever its name may be.\n"
                                 "It is here to be refused, and to be left as it is.\n");
    assert_int_equal(dedup_sqlite_new(text, wake, f, &s, &e), ERR_CORRUPT);
    assert_non_null(strstr(e.text, text));

    sqlite3 *db;
    const char *newer = tmp_path(f->dir, "newer");
    assert_int_equal(sqlite3_open(newer, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version = 7", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_int_equal(dedup_sqlite_new(newer, wake, f, &s, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "version 7"));
}

/* Operations that nobody waits for any more end with the store. */
static void
a_store_ends_with_operations_under_way(void **state)
{
    struct file *f = *state;
    struct dedup_op ops[100];
    for (int i = 0; i < 100; i++) {
        ops[i] = (struct dedup_op){
            .kind = DEDUP_COMPLETE, .key = SLICE("k"), .owner = SLICE("o"), .now_ms = NOW, .expires_ms = NOW + 1000};
        assert_false(f->driver.stores[0]->ops->start(f->driver.stores[0], &ops[i]));
    }
    destroy(&f->driver);
    memset(f->driver.stores, 0, sizeof f->driver.stores);
}

#define ON_FILE(test) cmocka_unit_test_setup_teardown(test, make_file, end_file)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_answers_as_the_model_does),
        cmocka_unit_test(memory_forgets_what_was_asked_for_longest_ago_and_nothing_in_progress),
        cmocka_unit_test(memory_stays_small_whatever_is_left_in_progress),
        ON_FILE(two_workers_on_one_file_answer_as_the_model_does),
        ON_FILE(of_two_workers_that_begin_the_same_at_once_one_may),
        ON_FILE(a_file_is_read_by_the_next_worker),
        ON_FILE(expired_records_leave_the_file),
        ON_FILE(a_file_that_another_holds_locked_is_an_error_that_passes),
        ON_FILE(a_full_disk_is_an_error_that_passes),
        ON_FILE(a_file_that_cannot_be_used_is_refused_with_its_name),
        ON_FILE(a_store_ends_with_operations_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
