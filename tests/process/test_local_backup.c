/* Copies of a database in use, and databases that are not whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/admin.h"
#include "lib/local.h"
#include "lib/tmp.h"

static struct local_server server;
static struct aws_call c;

static int
start(void **state)
{
    (void)state;
    local_server_start(&server, false);
    aws_call_init(&c, server.url);
    return 0;
}

static int
stop(void **state)
{
    (void)state;
    aws_call_clean_up(&c);
    local_server_clean_up(&server);
    return 0;
}

static void
reconnect(struct local_server *s)
{
    aws_call_clean_up(&c);
    aws_call_init(&c, s->url);
}

static void
send_message(const char *url, const char *body)
{
    if (aws_call_sqs(&c, "SendMessage", "{\"QueueUrl\": \"%s\", \"MessageBody\": \"%s\"}", url, body) != 200)
        fail_msg("%d %s: %s", c.status, c.error, c.message);
}

static int
begin(void **state)
{
    (void)state;
    reconnect(&server);
    return 0;
}

static void
queue_of(const struct local_server *s, const char *name, char *url, size_t size)
{
    snprintf(url, size, "%s/000000000000/%s", s->url, name);
}

/* Ends by itself; its exit status. */
static int
run(const char *const arguments[], const char *says)
{
    const char *argv[16] = {proc_path("bin/fanout-local")};
    for (size_t i = 0; i < 14 && arguments[i]; i++)
        argv[i + 1] = arguments[i];
    struct proc *p = proc_spawn(argv, NULL);
    int status = proc_wait_exit(p, 60000);
    if (!strstr(proc_stdout(p), says) && !strstr(proc_stderr(p), says))
        fail_msg("%s %s does not say \"%s\": %d %s%s", arguments[0], arguments[1], says, status, proc_stdout(p),
                 proc_stderr(p));
    proc_destroy(p);
    return status;
}

static size_t
files_in(const char *folder)
{
    char command[300], n[20] = "";
    snprintf(command, sizeof command, "ls -A '%s' | wc -l", folder);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    assert_non_null(fgets(n, sizeof n, f));
    pclose(f);
    return strtoul(n, NULL, 10);
}

/* ---- copies ------------------------------------------------------------------------------------------------------ */

#define SENDERS 3

/* Sends its own numbers until it is told to stop. */
struct sender {
    pthread_t thread;
    int number;
    char url[200];
    const char *server;
    atomic_int sent; /* so many were answered */
    atomic_bool stop;
};

static void *
send_all(void *context)
{
    struct sender *s = context;
    struct aws_call call;
    aws_call_init(&call, s->server);
    for (int i = 0; !atomic_load(&s->stop); i++)
        if (aws_call_sqs(&call, "SendMessage", "{\"QueueUrl\": \"%s\", \"MessageBody\": \"%d/%d %0500d\"}", s->url,
                         s->number, i, 0) == 200)
            atomic_fetch_add(&s->sent, 1);
    aws_call_clean_up(&call);
    return NULL;
}

static bool
each_has_sent_a_hundred(void *context)
{
    const struct sender *s = context;
    for (size_t i = 0; i < SENDERS; i++)
        if (atomic_load(&s[i].sent) < 100)
            return false;
    return true;
}

static void
count_received(struct local_server *s, const char *name, int counts[SENDERS], int highest[SENDERS])
{
    char url[200], text[1000];
    queue_of(s, name, url, sizeof url);
    reconnect(s);
    for (size_t n = 1; n > 0;) {
        assert_int_equal(
            aws_call_sqs(&c, "ReceiveMessage",
                         "{\"QueueUrl\": \"%s\", \"MaxNumberOfMessages\": 10, \"VisibilityTimeout\": 9000}", url),
            200);
        n = aws_call_count(&c, "Messages");
        for (size_t i = 0; i < n; i++) {
            int sender, number;
            char path[40];
            snprintf(path, sizeof path, "Messages.%zu.Body", i);
            assert_true(aws_call_text(&c, path, text, sizeof text));
            assert_int_equal(sscanf(text, "%d/%d", &sender, &number), 2);
            assert_in_range(sender, 0, SENDERS - 1);
            counts[sender]++;
            highest[sender] = number > highest[sender] ? number : highest[sender];
        }
    }
}

/* A folder whose database is the copy. */
static const char *
folder_with(const char *copy)
{
    const char *folder = tmp_new();
    assert_int_equal(rename(copy, tmp_path(folder, "fanout-local.sqlite3")), 0);
    return folder;
}

/* So much that a copy is not made between two turns of the writer. */
static void
send_ballast(void)
{
    char url[200];
    struct buf body = BUF_INIT;
    local_server_queue(&server, "ballast", "{}", url, sizeof url);
    for (int i = 0; i < 900000; i++)
        buf_add_char(&body, 'x');
    for (int i = 0; i < 24; i++)
        send_message(url, body.data);
    buf_clean_up(&body);
}

static void
a_copy_made_while_others_send_has_all_that_was_answered_before(void **state)
{
    (void)state;
    static struct sender senders[SENDERS];
    int before[SENDERS], counts[SENDERS] = {0}, highest[SENDERS] = {-1, -1, -1};
    int during = 0;
    char url[200];
    const char *copy = tmp_path(tmp_new(), "copy");
    send_ballast();
    local_server_queue(&server, "q", "{}", url, sizeof url);
    for (int i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){.number = i, .server = server.url};
        snprintf(senders[i].url, sizeof senders[i].url, "%s", url);
        assert_int_equal(pthread_create(&senders[i].thread, NULL, send_all, &senders[i]), 0);
    }
    assert_true(proc_wait_until(each_has_sent_a_hundred, senders, 20000));
    for (int i = 0; i < SENDERS; i++)
        before[i] = atomic_load(&senders[i].sent);
    assert_int_equal(run((const char *[]){"backup", copy, "--data", server.folder, NULL}, " bytes"), 0);
    for (int i = 0; i < SENDERS; i++)
        during += atomic_load(&senders[i].sent) - before[i];
    print_message("%d messages were answered while the copy was made\n", during);
    assert_true(during > 0);
    for (int i = 0; i < SENDERS; i++) {
        atomic_store(&senders[i].stop, true);
        pthread_join(senders[i].thread, NULL);
    }
    struct stat st;
    assert_int_equal(stat(copy, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    struct local_server restored = {.folder = folder_with(copy), .options = (const char *[]){"--check", NULL}};
    local_server_restart(&restored);
    assert_int_equal(admin_queue_figure(restored.url, "ballast", "visible"), 24);
    count_received(&restored, "q", counts, highest);
    for (int i = 0; i < SENDERS; i++) {
        assert_true(counts[i] >= before[i]);
        assert_int_equal(counts[i], highest[i] + 1); /* and of what came later a beginning, without gaps */
    }
    local_server_clean_up(&restored);
}

static void
a_copy_is_made_of_a_server_that_is_named_or_found_or_ended_or_in_memory(void **state)
{
    (void)state;
    char url[200];
    const char *folder = tmp_new();
    local_server_queue(&server, "kept", "{}", url, sizeof url);
    send_message(url, "x");
    assert_int_equal(run((const char *[]){"backup", tmp_path(folder, "named"), "--url", server.url, NULL}, "named: "),
                     0);
    assert_int_equal(run((const char *[]){"backup", tmp_path(folder, "found"), "--data", server.folder, NULL}, ""), 0);
    local_server_stop(&server);
    assert_int_equal(run((const char *[]){"backup", tmp_path(folder, "ended"), "--data", server.folder, NULL}, ""), 0);
    local_server_restart(&server);
    local_server_kill(&server);
    assert_int_equal(run((const char *[]){"backup", tmp_path(folder, "killed"), "--data", server.folder, NULL}, ""), 0);
    local_server_restart(&server);
    reconnect(&server);
    assert_int_equal(files_in(folder), 4);

    struct proc *p = proc_spawn(
        (const char *[]){proc_path("bin/fanout-local"), "--memory", "--no-provision", "--listen", "127.0.0.1:0", NULL},
        NULL);
    const char *line = proc_wait_line(p, "READY ", 20000);
    char memory[sizeof server.url];
    assert_non_null(line);
    snprintf(memory, sizeof memory, "%.*s", (int)strcspn(line + 6, "\n"), line + 6);
    struct local_server in_memory = {.folder = ""};
    snprintf(in_memory.url, sizeof in_memory.url, "%s", memory);
    local_server_queue(&in_memory, "kept", "{}", url, sizeof url);
    reconnect(&in_memory);
    send_message(url, "x");
    assert_int_equal(run((const char *[]){"backup", tmp_path(folder, "memory"), "--url", memory, NULL}, ""), 0);
    proc_destroy(p);

    static const char *const COPIES[] = {"named", "found", "ended", "killed", "memory"};
    for (size_t i = 0; i < sizeof COPIES / sizeof *COPIES; i++) {
        struct local_server restored;
        local_server_start_in(&restored, folder_with(tmp_path(folder, COPIES[i])));
        assert_int_equal(admin_queue_figure(restored.url, "kept", "visible"), 1);
        local_server_clean_up(&restored);
    }
    reconnect(&server);
    tmp_remove(folder);
}

static void
nothing_is_overwritten_without_force_and_nothing_is_left_behind(void **state)
{
    (void)state;
    const char *folder = tmp_new(), *copy = tmp_write(folder, "copy", "something else"), *data = server.folder;
    char *text;
    assert_int_equal(run((const char *[]){"backup", copy, "--data", data, NULL}, "is there already"), 1);
    text = tmp_read(copy, NULL);
    assert_string_equal(text, "something else");
    free(text);
    assert_int_equal(run((const char *[]){"backup", copy, "--data", data, "--force", NULL}, " bytes"), 0);
    text = tmp_read(copy, NULL);
    assert_memory_equal(text, "SQLite format 3", 16);
    free(text);
    assert_int_equal(run((const char *[]){"backup", folder, "--data", data, "--force", NULL}, "is no file"), 1);
    assert_int_equal(run((const char *[]){"backup", "/no/such/folder/x", "--data", data, NULL}, "/no/such/folder/x"),
                     1);
    assert_int_equal(run((const char *[]){"backup", tmp_path(folder, "x"), "--data", folder, NULL}, "no database in"),
                     1);
    assert_int_equal(
        run((const char *[]){"backup", tmp_path(folder, "x"), "--url", "http://127.0.0.1:1", NULL}, "nobody listens"),
        1);
    assert_int_equal(run((const char *[]){"backup", NULL, NULL}, "name one file"), 2);
    assert_int_equal(run((const char *[]){"backup", "a", "b", NULL}, "name one file"), 2);
    assert_int_equal(run((const char *[]){"backup", "a", "--url", "x", "--data", "y", NULL}, "exclude each other"), 2);
    assert_int_equal(run((const char *[]){"backup", "a", "--url", "https://x", NULL}, "--url is http://"), 2);
    assert_int_equal(run((const char *[]){"backup", "a", "--fast", NULL}, "--fast"), 2);
    assert_int_equal(files_in(folder), 1);
    tmp_remove(folder);
}

static void
force_does_not_overwrite_a_database_in_use_or_left_by_a_kill(void **state)
{
    (void)state;
    static const char *const NAMES[] = {"fanout-local.sqlite3", "fanout-local.sqlite3-wal", "fanout-local.lock"};
    char url[200];
    const char *data = server.folder;
    size_t n = files_in(data);
    local_server_queue(&server, "mine", "{}", url, sizeof url);
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        assert_int_equal(run((const char *[]){"backup", tmp_path(data, NAMES[i]), "--data", data, "--force", NULL},
                             "a server uses the files of"),
                         1);
    send_message(url, "kept");
    local_server_kill(&server);
    assert_int_equal(
        run((const char *[]){"backup", tmp_path(data, NAMES[0]), "--data", data, "--force", NULL}, "left by a kill"),
        1);
    local_server_restart(&server);
    reconnect(&server);
    assert_int_equal(admin_queue_figure(server.url, "mine", "visible"), 1);
    assert_int_equal(files_in(data), n);
}

static void
a_disk_that_is_full_leaves_no_copy_and_a_server_that_goes_on(void **state)
{
    (void)state;
    const char *folder = tmp_new();
    char url[200];
    struct rlimit size;
    struct buf body = BUF_INIT;
    local_server_queue(&server, "full", "{}", url, sizeof url);
    for (int i = 0; i < 200000; i++)
        buf_add_char(&body, 'x');
    for (int i = 0; i < 5; i++)
        send_message(url, body.data);
    buf_clean_up(&body);
    assert_int_equal(prlimit(proc_pid(server.process), RLIMIT_FSIZE, NULL, &size), 0);
    struct rlimit little = {.rlim_cur = 100000, .rlim_max = size.rlim_max};
    assert_int_equal(prlimit(proc_pid(server.process), RLIMIT_FSIZE, &little, NULL), 0);
    assert_int_equal(
        run((const char *[]){"backup", tmp_path(folder, "copy"), "--url", server.url, NULL}, "cannot write"), 1);
    assert_int_equal(prlimit(proc_pid(server.process), RLIMIT_FSIZE, &size, NULL), 0);
    assert_int_equal(files_in(folder), 0);
    send_message(url, "still there");
    assert_int_equal(run((const char *[]){"backup", tmp_path(folder, "copy"), "--url", server.url, NULL}, ""), 0);
    tmp_remove(folder);
}

/* Nobody gets a file written in the server's name that he could not write himself. */
static void
the_server_fills_an_empty_file_of_its_own_user_and_no_other(void **state)
{
    (void)state;
    const char *folder = tmp_new();
    char body[600];
    static const char *const FILES[] = {"plain", "full.fanout-backup", "missing.fanout-backup", "link.fanout-backup",
                                        "two.fanout-backup"};
    tmp_write(folder, "plain", "%s", "");
    tmp_write(folder, "full.fanout-backup", "x");
    tmp_write(folder, "target", "%s", "");
    tmp_write(folder, "two.fanout-backup", "%s", "");
    assert_int_equal(symlink(tmp_path(folder, "target"), tmp_path(folder, "link.fanout-backup")), 0);
    assert_int_equal(link(tmp_path(folder, "two.fanout-backup"), tmp_path(folder, "other")), 0);
    for (size_t i = 0; i < sizeof FILES / sizeof *FILES; i++) {
        snprintf(body, sizeof body, "{\"path\": \"%s\"}", tmp_path(folder, FILES[i]));
        assert_int_equal(admin_ask(&c, "POST", "/backup", body), 400);
    }
    static const char *const BODIES[] = {"", "{}", "{\"path\": 1}", "{\"path\": \"x.fanout-backup\"}", "[]"};
    for (size_t i = 0; i < sizeof BODIES / sizeof *BODIES; i++)
        assert_int_equal(admin_ask(&c, "POST", "/backup", BODIES[i]), 400);
    assert_int_equal(files_in(folder), 6);
    tmp_remove(folder);
}

/* ---- what is not whole ------------------------------------------------------------------------------------------- */

/* A folder with what a killed server left: its database, its log, its lock. */
static const char *
killed_folder(void)
{
    char url[200], copy[600];
    const char *folder = tmp_new();
    local_server_queue(&server, "left", "{}", url, sizeof url);
    reconnect(&server);
    for (int i = 0; i < 50; i++)
        send_message(url, "some body to be kept");
    local_server_kill(&server);
    snprintf(copy, sizeof copy, "cp -a '%s'/* '%s'", server.folder, folder);
    assert_int_equal(system(copy), 0);
    local_server_restart(&server);
    reconnect(&server);
    return folder;
}

static void
change_byte(const char *path, long at)
{
    FILE *f = fopen(path, "r+");
    assert_non_null(f);
    assert_int_equal(fseek(f, at, SEEK_SET), 0);
    int was = fgetc(f);
    assert_true(was != EOF);
    assert_int_equal(fseek(f, at, SEEK_SET), 0);
    assert_int_equal(fputc(was ^ 0x10, f), was ^ 0x10);
    assert_int_equal(fclose(f), 0);
}

static int
try_start(const char *folder, const char *option, const char *says)
{
    return run((const char *[]){"--data", folder, "--no-provision", "--listen", "127.0.0.1:0", option, NULL}, says);
}

static void
assert_salvaged(const char *folder)
{
    struct local_server salvaged = {.folder = folder, .options = (const char *[]){"--salvage", NULL}};
    local_server_restart(&salvaged);
    assert_int_equal(proc_count_lines(salvaged.process, "it held last is lost"), 1);
    local_server_stop(&salvaged);
    local_server_start_in(&salvaged, folder); /* and then it is whole */
    local_server_clean_up(&salvaged);
}

static void
a_log_with_a_wrong_byte_before_its_end_is_refused(void **state)
{
    (void)state;
    const char *folder = killed_folder(), *log = tmp_path(folder, "fanout-local.sqlite3-wal");
    change_byte(log, 32 + 24 + 1000);
    assert_int_equal(try_start(folder, NULL, "fanout-local.sqlite3-wal is damaged"), 1);
    assert_int_equal(try_start(folder, NULL, "--salvage goes on"), 1);
    assert_salvaged(folder);
    folder = killed_folder();
    change_byte(tmp_path(folder, "fanout-local.sqlite3-wal"), 17); /* the header's salt */
    assert_int_equal(try_start(folder, NULL, "fanout-local.sqlite3-wal is damaged"), 1);
    assert_salvaged(folder);
}

/* SQLite itself takes a log that is gone for an empty one. The file must be the one that was open: a copy of it that is
 * put in its place has no log. */
static void
a_log_that_is_gone_is_refused(void **state)
{
    (void)state;
    char url[200];
    const char *log = tmp_path(server.folder, "fanout-local.sqlite3-wal");
    local_server_queue(&server, "gone", "{}", url, sizeof url);
    send_message(url, "x");
    local_server_kill(&server);
    assert_int_equal(rename(log, tmp_path(server.folder, "aside")), 0);
    assert_int_equal(try_start(server.folder, NULL, "gone, though the database was not closed"), 1);
    assert_int_equal(try_start(server.folder, NULL, "gone, though the database was not closed"), 1);
    assert_int_equal(rename(tmp_path(server.folder, "aside"), log), 0);
    local_server_restart(&server);
    reconnect(&server);
    assert_int_equal(admin_queue_figure(server.url, "gone", "visible"), 1);

    const char *folder = tmp_new(), *copy = tmp_path(folder, "copy");
    assert_int_equal(run((const char *[]){"backup", copy, "--data", server.folder, NULL}, ""), 0);
    local_server_kill(&server);
    assert_int_equal(unlink(log), 0);
    assert_int_equal(rename(copy, tmp_path(server.folder, "fanout-local.sqlite3")), 0);
    local_server_restart(&server);
    reconnect(&server);
    assert_int_equal(admin_queue_figure(server.url, "gone", "visible"), 1);
    tmp_remove(folder);
}

static void
a_database_whose_structure_is_wrong_is_refused(void **state)
{
    (void)state;
    const char *folder = killed_folder(), *file = tmp_path(folder, "fanout-local.sqlite3");
    struct local_server whole;
    local_server_start_in(&whole, folder); /* moves the log into the file */
    local_server_stop(&whole);
    change_byte(file, 100); /* the kind of the first page */
    assert_int_equal(try_start(folder, NULL, "put a copy in its place"), 1);
    change_byte(file, 100);
    change_byte(file, 4096); /* that of the second */
    assert_int_equal(try_start(folder, NULL, "put a copy in its place"), 1);
    assert_int_equal(try_start(folder, "--check", "put a copy in its place"), 1);
    change_byte(file, 4096);
    local_server_start_in(&whole, folder);
    local_server_clean_up(&whole);
}

int
main(void)
{
#define TEST(test) cmocka_unit_test_setup(test, begin)
    const struct CMUnitTest tests[] = {
        TEST(a_copy_made_while_others_send_has_all_that_was_answered_before),
        TEST(a_copy_is_made_of_a_server_that_is_named_or_found_or_ended_or_in_memory),
        TEST(nothing_is_overwritten_without_force_and_nothing_is_left_behind),
        TEST(force_does_not_overwrite_a_database_in_use_or_left_by_a_kill),
        TEST(a_disk_that_is_full_leaves_no_copy_and_a_server_that_goes_on),
        TEST(the_server_fills_an_empty_file_of_its_own_user_and_no_other),
        TEST(a_log_with_a_wrong_byte_before_its_end_is_refused),
        TEST(a_log_that_is_gone_is_refused),
        TEST(a_database_whose_structure_is_wrong_is_refused),
    };
    return cmocka_run_group_tests_name("local/backup", tests, start, stop);
}
