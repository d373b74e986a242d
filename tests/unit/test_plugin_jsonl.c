#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "lib/fake_host.h"

/* The plugin's fdatasync is this one: a program's own symbols come before libc's. */
static atomic_int sync_calls, sync_error;

__attribute__((visibility("default"))) int
fdatasync(int fd)
{
    (void)fd;
    atomic_fetch_add(&sync_calls, 1);
    errno = atomic_load(&sync_error);
    return errno ? -1 : 0;
}

struct place {
    char folder[40], file[60];
};

static int
make_folder(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    *state = p;
    strcpy(p->folder, "/tmp/test_jsonl.XXXXXX");
    if (!mkdtemp(p->folder))
        return -1;
    snprintf(p->file, sizeof p->file, "%s/f.ndjson", p->folder);
    atomic_store(&sync_calls, 0);
    atomic_store(&sync_error, 0);
    signal(SIGXFSZ, SIG_IGN);
    return 0;
}

static int
remove_folder(void **state)
{
    char command[100];
    snprintf(command, sizeof command, "rm -rf '%s'", ((struct place *)*state)->folder);
    free(*state);
    return system(command) ? -1 : 0;
}

static struct fake_plugin
open_jsonl(const char *path, const char *sync)
{
    struct err e;
    struct fake_plugin f;
    const struct plugin_option options[] = {{"path", path}, {"fsync", sync}};
    if (fake_plugin_open("jsonl", options, 2, &f, &e) != 0)
        fail_msg("%s", e.text);
    return f;
}

static void
assert_contents(const char *path, const char *expected)
{
    struct buf text = BUF_INIT;
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    for (int c; (c = getc(f)) != EOF;)
        buf_add_char(&text, (char)c);
    fclose(f);
    assert_string_equal(text.data ? text.data : "", expected);
    buf_clean_up(&text);
}

static void
write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void
assert_all(const struct fake_verdict *v, size_t n, int32_t verdict, const char *reason)
{
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(v[i].verdict, verdict);
        assert_string_equal(v[i].reason, reason);
        if (verdict == HANDLER_RETRY)
            assert_true(v[i].delay_ms < 0);
    }
}

static const struct fake_message TWO[] = {{"1", "{\"a\":1}", 1}, {"2", "{\"b\":[9007199254740993,1e400]}", 1}};
#define TWO_LINES "{\"a\":1}\n{\"b\":[9007199254740993,1e400]}\n"

static void
each_body_becomes_a_line_behind_what_is_there(void **state)
{
    struct place *p = *state;
    struct fake_verdict v[2];
    write_file(p->file, "old\n");
    struct fake_plugin f = open_jsonl(p->file, "false");
    fake_plugin_handle(&f, TWO, 2, v, NULL);
    assert_all(v, 2, HANDLER_DONE, "");
    fake_plugin_handle(&f, TWO, 2, v, NULL);
    fake_plugin_close(&f);
    assert_contents(p->file, "old\n" TWO_LINES TWO_LINES);
    assert_int_equal(sync_calls, 0);
}

static void
raw_line_ends_in_a_body_become_spaces(void **state)
{
    struct place *p = *state;
    struct fake_verdict v[4];
    const struct fake_message messages[] = {
        {"1", "{\r\n \"a\": 1\n}\n", 1}, {"2", "\n", 1}, {"3", "\"\\n\"", 1}, {"4", "", 1}};
    struct fake_plugin f = open_jsonl(p->file, "false");
    fake_plugin_handle(&f, messages, 4, v, NULL);
    assert_all(v, 4, HANDLER_DONE, "");
    fake_plugin_close(&f);
    assert_contents(p->file, "{   \"a\": 1 } \n \n\"\\n\"\n\n");
}

static void
a_batch_of_any_size_is_written(void **state)
{
    enum { N = 5000 };
    struct place *p = *state;
    struct fake_message *messages = calloc(N, sizeof *messages);
    struct fake_verdict *v = calloc(N, sizeof *v);
    struct buf expected = BUF_INIT;
    for (int i = 0; i < N; i++) {
        messages[i] = (struct fake_message){"id", i % 3 ? "[1,\n2]" : "{}", 1};
        buf_add_string(&expected, i % 3 ? "[1, 2]\n" : "{}\n");
    }
    struct fake_plugin f = open_jsonl(p->file, "false");
    fake_plugin_handle(&f, messages, N, v, NULL);
    assert_all(v, N, HANDLER_DONE, "");
    fake_plugin_close(&f);
    assert_contents(p->file, expected.data);
    buf_clean_up(&expected);
    free(messages);
    free(v);
}

static void
a_line_torn_by_a_killed_writer_is_closed(void **state)
{
    struct place *p = *state;
    struct fake_verdict v[2];
    write_file(p->file, "{}\n{\"half\":");
    struct fake_plugin f = open_jsonl(p->file, "false");
    fake_plugin_handle(&f, TWO, 2, v, NULL);
    assert_all(v, 2, HANDLER_DONE, "");
    fake_plugin_close(&f);
    assert_contents(p->file, "{}\n{\"half\":\n" TWO_LINES);
}

static void
set_file_limit(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void
a_batch_that_does_not_fit_is_taken_back_and_retried(void **state)
{
    struct place *p = *state;
    struct fake_verdict v[2];
    write_file(p->file, "old\n");
    struct fake_plugin f = open_jsonl(p->file, "true");
    set_file_limit(strlen("old\n{\"a\":1}\n{\"b"));
    fake_plugin_handle(&f, TWO, 2, v, NULL);
    set_file_limit(RLIM_INFINITY);
    assert_all(v, 2, HANDLER_RETRY, "cannot write: File too large");
    assert_contents(p->file, "old\n");
    assert_int_equal(sync_calls, 0);
    fake_plugin_handle(&f, TWO, 2, v, NULL);
    assert_all(v, 2, HANDLER_DONE, "");
    fake_plugin_close(&f);
    assert_contents(p->file, "old\n" TWO_LINES);
}

static void
a_full_device_is_a_reason_to_retry(void **state)
{
    (void)state;
    struct fake_verdict v[2];
    struct fake_plugin f = open_jsonl("/dev/full", "false");
    fake_plugin_handle(&f, TWO, 2, v, NULL);
    assert_all(v, 2, HANDLER_RETRY, "cannot write: No space left on device");
    fake_plugin_close(&f);
}

static void
with_fsync_nothing_is_done_before_the_disk_said_so(void **state)
{
    struct place *p = *state;
    struct fake_verdict v[2];
    struct fake_plugin f = open_jsonl(p->file, "true");
    fake_plugin_handle(&f, TWO, 2, v, NULL);
    assert_all(v, 2, HANDLER_DONE, "");
    assert_int_equal(sync_calls, 1);
    atomic_store(&sync_error, EIO);
    fake_plugin_handle(&f, TWO, 2, v, NULL);
    assert_all(v, 2, HANDLER_RETRY, "cannot sync: Input/output error");
    assert_int_equal(sync_calls, 2);
    atomic_store(&sync_error, EINVAL); /* what a pipe answers */
    fake_plugin_handle(&f, TWO, 2, v, NULL);
    assert_all(v, 2, HANDLER_DONE, "");
    fake_plugin_close(&f);
}

/* ---- standard output ------------------------------------------------------------------------------------------- */

static int
standard_output_to(int fd)
{
    fflush(stdout);
    int saved = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    assert_true(saved >= 0);
    assert_true(dup2(fd, STDOUT_FILENO) >= 0);
    return saved;
}

static void
restore_standard_output(int saved)
{
    dup2(saved, STDOUT_FILENO);
    close(saved);
}

static void
a_dash_is_standard_output_and_the_default(void **state)
{
    struct place *p = *state;
    struct err e;
    struct fake_plugin f;
    struct fake_verdict v[2];
    int fd = open(p->file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(fake_plugin_open("jsonl", NULL, 0, &f, &e), 0);
    int saved = standard_output_to(fd);
    fake_plugin_handle(&f, TWO, 2, v, NULL);
    fake_plugin_handle(&f, TWO, 2, v, NULL);
    fake_plugin_close(&f);
    int still_open = fcntl(STDOUT_FILENO, F_GETFD) >= 0;
    restore_standard_output(saved);
    close(fd);
    assert_true(still_open);
    assert_all(v, 2, HANDLER_DONE, "");
    assert_contents(p->file, TWO_LINES TWO_LINES);
}

/* Reads to the end; returns how many bytes there were. */
static void *
read_all(void *fd)
{
    char chunk[1000];
    size_t total = 0;
    for (ssize_t n; (n = read(*(int *)fd, chunk, sizeof chunk)) > 0;)
        total += (size_t)n;
    return (void *)(uintptr_t)total;
}

static void
a_pipe_that_is_full_for_now_is_waited_for(void **state)
{
    enum { N = 100, BODY = 10000 };
    (void)state;
    char body[BODY + 1];
    struct fake_message messages[N];
    struct fake_verdict v[N];
    int ends[2];
    pthread_t reader;
    void *total;
    memset(body, 'x', BODY);
    body[BODY] = 0;
    for (int i = 0; i < N; i++)
        messages[i] = (struct fake_message){"id", body, 1};
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    struct fake_plugin f = open_jsonl("-", "false");
    assert_int_equal(pthread_create(&reader, NULL, read_all, &ends[0]), 0);
    int saved = standard_output_to(ends[1]);
    fake_plugin_handle(&f, messages, N, v, NULL);
    restore_standard_output(saved);
    close(ends[1]);
    pthread_join(reader, &total);
    close(ends[0]);
    fake_plugin_close(&f);
    assert_all(v, N, HANDLER_DONE, "");
    assert_int_equal((uintptr_t)total, N * (BODY + 1));
}

/* ---- many writers ---------------------------------------------------------------------------------------------- */

enum { WRITERS = 4, BATCHES = 200, PER_BATCH = 5 };

struct writer {
    struct fake_plugin *plugin;
    int number;
    int wrong;
    const char *full; /* this file: each batch finds room for a part of it only */
};

/* Hands in BATCHES batches of lines "WRITER BATCH INDEX ...", a long one every now and then. */
static void *
write_batches(void *argument)
{
    static const char PADDING[] = "................................................................................";
    struct writer *w = argument;
    char bodies[PER_BATCH][200];
    struct fake_message messages[PER_BATCH];
    struct fake_verdict v[PER_BATCH];
    for (int batch = 0; batch < BATCHES; batch++) {
        for (int i = 0; i < PER_BATCH; i++) {
            snprintf(bodies[i], sizeof bodies[i], "%d %d %d %s%s", w->number, batch, i, i ? "" : PADDING, PADDING);
            messages[i] = (struct fake_message){"id", bodies[i], 1};
        }
        struct stat st;
        if (w->full && stat(w->full, &st) == 0)
            set_file_limit((rlim_t)st.st_size + 200);
        fake_plugin_handle(w->plugin, messages, PER_BATCH, v, NULL);
        for (int i = 0; i < PER_BATCH; i++)
            w->wrong += v[i].verdict != HANDLER_DONE;
    }
    return NULL;
}

/* Every line of every writer is there once, whole, and batches are not mixed. */
static void
assert_lines_of_all(const char *path)
{
    FILE *f = fopen(path, "re");
    char line[300];
    int seen[WRITERS] = {0}, last = -1;
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        int writer, batch, index, end = 0;
        assert_int_equal(sscanf(line, "%d %d %d .%n", &writer, &batch, &index, &end), 3);
        assert_true(end > 0 && strspn(line + end, ".") == (index ? 79 : 159) && line[strlen(line) - 1] == '\n');
        assert_in_range(writer, 0, WRITERS - 1);
        assert_int_equal(batch * PER_BATCH + index, seen[writer]++);
        if (index)
            assert_int_equal(writer, last);
        last = writer;
    }
    fclose(f);
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(seen[i], BATCHES * PER_BATCH);
}

static void
threads_share_a_file(void **state)
{
    struct place *p = *state;
    pthread_t threads[WRITERS];
    struct writer writers[WRITERS];
    struct fake_plugin f = open_jsonl(p->file, "false");
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.plugin = &f, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, write_batches, &writers[i]), 0);
    }
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(writers[i].wrong, 0);
    }
    fake_plugin_close(&f);
    assert_lines_of_all(p->file);
}

/* The last process fails all the time: what it takes back must be its own. */
static void
processes_share_a_file_even_when_one_cannot_write(void **state)
{
    struct place *p = *state;
    pid_t children[WRITERS + 1];
    write_file(p->file, "");
    for (int i = 0; i <= WRITERS; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] > 0)
            continue;
        struct fake_plugin f = open_jsonl(p->file, "false");
        struct writer w = {.plugin = &f, .number = i, .full = i == WRITERS ? p->file : NULL};
        write_batches(&w);
        fake_plugin_close(&f);
        _exit(i == WRITERS ? w.wrong != BATCHES * PER_BATCH : w.wrong != 0);
    }
    for (int i = 0; i <= WRITERS; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    assert_lines_of_all(p->file);
}

/* ---- options --------------------------------------------------------------------------------------------------- */

static void
a_file_that_cannot_be_opened_is_named(void **state)
{
    (void)state;
    struct err e;
    struct fake_plugin f;
    const struct plugin_option nowhere[] = {{"path", "/nowhere/f"}}, folder[] = {{"path", "/tmp"}};
    assert_int_equal(fake_plugin_open("jsonl", nowhere, 1, &f, &e), ERR_CANCELLED);
    assert_string_equal(e.text, "cannot open /nowhere/f: No such file or directory");
    assert_int_equal(fake_plugin_open("jsonl", folder, 1, &f, &e), ERR_CANCELLED);
    assert_string_equal(e.text, "cannot open /tmp: Is a directory");
}

static void
an_option_it_does_not_have_is_refused(void **state)
{
    (void)state;
    struct err e;
    struct fake_plugin f;
    assert_int_equal(fake_plugin_open("jsonl", (struct plugin_option[]){{"file", "x"}}, 1, &f, &e), ERR_INVALID);
    assert_string_equal(e.text, "plugin jsonl has no option file; it has path, write, fsync");
    assert_int_equal(fake_plugin_open("jsonl", (struct plugin_option[]){{"fsync", "yes"}}, 1, &f, &e), ERR_INVALID);
    assert_string_equal(e.text, "option fsync of plugin jsonl: \"yes\" is no bool (true or false)");
    assert_int_equal(fake_plugin_open("jsonl", (struct plugin_option[]){{"write", "all"}}, 1, &f, &e), ERR_CANCELLED);
    assert_string_equal(e.text, "option write is \"all\"; body and detail are allowed");
}

static void
a_host_that_cannot_show_details_is_named(void **state)
{
    (void)state;
    struct err e;
    struct fake_plugin f;
    assert_int_equal(fake_plugin_open("jsonl", (struct plugin_option[]){{"write", "detail"}}, 1, &f, &e),
                     ERR_CANCELLED);
    assert_string_equal(e.text, "write = detail: this fanoutd is older than that");
    assert_int_equal(fake_plugin_open("summary", NULL, 0, &f, &e), ERR_CANCELLED);
    assert_string_equal(e.text, "this fanoutd is older than the extensions event and attributes");
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(each_body_becomes_a_line_behind_what_is_there),
        IN_FOLDER(raw_line_ends_in_a_body_become_spaces),
        IN_FOLDER(a_batch_of_any_size_is_written),
        IN_FOLDER(a_line_torn_by_a_killed_writer_is_closed),
        IN_FOLDER(a_batch_that_does_not_fit_is_taken_back_and_retried),
        IN_FOLDER(a_full_device_is_a_reason_to_retry),
        IN_FOLDER(with_fsync_nothing_is_done_before_the_disk_said_so),
        IN_FOLDER(a_dash_is_standard_output_and_the_default),
        IN_FOLDER(a_pipe_that_is_full_for_now_is_waited_for),
        IN_FOLDER(processes_share_a_file_even_when_one_cannot_write),
        IN_FOLDER(threads_share_a_file),
        IN_FOLDER(a_file_that_cannot_be_opened_is_named),
        IN_FOLDER(an_option_it_does_not_have_is_refused),
        IN_FOLDER(a_host_that_cannot_show_details_is_named),
    };
    return cmocka_run_group_tests_name("plugin_jsonl", tests, NULL, NULL);
}
