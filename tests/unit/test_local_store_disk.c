/* The store of fanout-local and its files: what it opens, what it writes and when, and what a disk does that is full.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/slow_disk.h"
#include "lib/tmp.h"
#include "lib/words.h"

static void
a_second_server_is_kept_out(void **state)
{
    (void)state;
    struct words w, second;
    struct err e;
    char pid[24];
    const char *folder = tmp_new();
    words_start(&w, folder);
    assert_int_equal(words_open(&second, folder, 2, &e), ERR_EXISTS);
    snprintf(pid, sizeof pid, "process %ld", (long)getpid());
    assert_non_null(strstr(e.text, folder));
    assert_non_null(strstr(e.text, pid));
    store_destroy(w.store);
    words_start(&w, folder);
    store_destroy(w.store);
}

static void
a_schema_is_brought_up_to_date_and_a_newer_one_refused(void **state)
{
    (void)state;
    struct words w;
    struct err e;
    const char *folder = tmp_new();
    assert_int_equal(words_open(&w, folder, 1, &e), 0);
    struct word_job a = WORD_JOB(&w, .word = "old");
    store_submit(w.store, &a.job);
    words_wait(&a);
    store_destroy(w.store);
    assert_int_equal(words_open(&w, folder, 2, &e), 0);
    assert_int_equal(w.count_loaded, 1);
    store_destroy(w.store);
    assert_int_equal(words_open(&w, folder, 1, &e), ERR_CORRUPT);
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
    assert_int_equal(words_open(&w, folder, 2, &e), ERR_CORRUPT);
    assert_non_null(strstr(e.text, "none of fanout-local"));
    unlink(path);

    sql_on_file(path, "PRAGMA application_id = 0x464e4c43; PRAGMA user_version = 99; CREATE TABLE x (y)");
    assert_int_equal(words_open(&w, folder, 2, &e), ERR_CORRUPT);
    assert_non_null(strstr(e.text, "newer"));
    unlink(path);

    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(dprintf(fd, "%0999d", 7), 999);
    close(fd);
    assert_int_equal(words_open(&w, folder, 2, &e), ERR_CORRUPT);
    assert_non_null(strstr(e.text, path));
    assert_non_null(strstr(e.text, "put a copy in its place"));
    assert_int_equal(truncate(path, 999), 0);
    assert_int_equal(words_open(&w, "/proc/no/such", 2, &e), ERR_NOT_FOUND);
    assert_non_null(strstr(e.text, "/proc/no"));
}

static void
a_database_that_was_emptied_is_refused(void **state)
{
    (void)state;
    struct words w;
    struct err e;
    const char *folder = tmp_new(), *path = tmp_path(folder, "fanout-local.sqlite3");
    words_start(&w, folder);
    store_destroy(w.store);
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(words_open(&w, folder, 2, &e), ERR_CORRUPT);
    assert_non_null(strstr(e.text, "it is empty, and was not"));
    unlink(path);
    words_start(&w, folder); /* another one */
    store_destroy(w.store);
}

static void
statements_are_kept_by_address_and_come_back_clean(void **state)
{
    (void)state;
    struct words w;
    words_start(&w, NULL);
    for (int i = 0; i < 300; i++) {
        char word[16];
        snprintf(word, sizeof word, "%d", i);
        struct word_job j = WORD_JOB(&w, .word = word);
        store_submit(w.store, &j.job);
        assert_int_equal(words_wait(&j), 0);
    }
    assert_int_equal(words_count(&w), 300);
    store_destroy(w.store);
}

static void
nothing_is_finished_before_the_disk_has_it(void **state)
{
    (void)state;
    struct words w;
    words_start(&w, tmp_new());
    struct word_job a = WORD_JOB(&w, .word = "one"), b = WORD_JOB(&w, .word = "two"), c = WORD_JOB(&w, .word = "three");
    slow_disk_stop(true);
    store_submit(w.store, &a.job);
    slow_disk_wait();
    store_submit(w.store, &b.job);
    store_submit(w.store, &c.job);
    assert_false(words_is_over(&a) || words_is_over(&b) || words_is_over(&c));
    int syncs = slow_disk_syncs();
    slow_disk_stop(false);
    assert_int_equal(words_wait(&a), 0);
    assert_int_equal(words_wait(&b), 0);
    assert_int_equal(words_wait(&c), 0);
    assert_int_equal(slow_disk_syncs() - syncs, 1); /* for both */
    store_destroy(w.store);
}

static void
what_writes_nothing_does_not_wait_for_the_disk(void **state)
{
    (void)state;
    struct words w;
    words_start(&w, tmp_new());
    struct word_job a = WORD_JOB(&w, .word = "one"), reader = WORD_JOB(&w);
    store_submit(w.store, &a.job);
    assert_int_equal(words_wait(&a), 0);
    int syncs = slow_disk_syncs();
    store_submit(w.store, &reader.job);
    assert_int_equal(words_wait(&reader), 0);
    assert_int_equal(slow_disk_syncs(), syncs);
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
    words_start(&w, folder);
    int64_t size = size_of(folder, "fanout-local.sqlite3-wal");
    struct word_job small = WORD_JOB(&w, .word = "small"), large = WORD_JOB(&w, .word = big);
    int writes = slow_disk_writes();
    store_submit(w.store, &small.job);
    assert_int_equal(words_wait(&small), 0);
    assert_int_equal(slow_disk_writes() - writes, 1);
    store_submit(w.store, &large.job); /* some fifteen pages */
    assert_int_equal(words_wait(&large), 0);
    assert_int_equal(slow_disk_writes() - writes, 2);
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
    words_start(&w, folder);
    struct word_job before = WORD_JOB(&w, .word = "before"), lost = WORD_JOB(&w, .word = "lost"),
                    after = WORD_JOB(&w, .word = "after");
    store_submit(w.store, &before.job);
    assert_int_equal(words_wait(&before), 0);
    slow_disk_fill(true);
    store_submit(w.store, &lost.job);
    assert_int_equal(words_wait(&lost), ERR_UNAVAILABLE);
    slow_disk_fill(false);
    assert_int_equal(words_count(&w), 1);
    store_submit(w.store, &after.job);
    assert_int_equal(words_wait(&after), 0);
    assert_int_equal(words_count(&w), 2);
    store_destroy(w.store);
    if (words_open(&w, folder, 2, &e) != 0)
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
    words_start(&w, folder);
    for (int i = 0; i < 20; i++) {
        const char *copy = tmp_new();
        snprintf(word, sizeof word, "word %d", i);
        memset(big, 'a' + i, 30000);
        struct word_job j = WORD_JOB(&w, .word = word, .second = i % 3 == 0 ? big : NULL);
        store_submit(w.store, &j.job);
        assert_int_equal(words_wait(&j), 0);
        copy_file(folder, copy, "fanout-local.sqlite3"); /* as a kill -9 would leave them */
        copy_file(folder, copy, "fanout-local.sqlite3-wal");
        int64_t words = words_count(&w);
        if (words_open(&again, copy, 2, &e) != 0)
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
    const struct CMUnitTest tests[] = {
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
    return cmocka_run_group_tests_name("local/store_disk", tests, NULL, NULL);
}
