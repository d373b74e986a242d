/* fanout-local killed with -9 at drawn moments, several times in a run, while clients send, receive, delete and change
 * visibilities; and started on what drawn damage has left of its files.
 *
 * Every message has an account of what was answered about it. The clock stands still until the end, so that what is
 * visible then, and what later, follows from the account alone, but for messages that an operation without an answer
 * was about: those may be as before it or as after. FANOUT_SEEDS and FANOUT_SOAK_S say which seeds (lib/seeds.h); one
 * that fails belongs into KEPT_SEEDS. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/local.h"
#include "lib/seeds.h"
#include "lib/tmp.h"

static const uint64_t KEPT_SEEDS[] = {1, 2};

#define CLIENTS      4
#define KILLS        4
#define MESSAGES     6000
#define STEPS_A_KILL 500 /* of all clients together, at most */
#define HELD_MAX     40  /* by a client */
#define SHORT_S      1000
#define LONG_S       20000
#define DAMAGES      24 /* of a seed */
#define DAMAGED_SENT 60

/* ---- the account ------------------------------------------------------------------------------------------------- */

enum answer { NOT_ASKED, NO_ANSWER, ANSWERED };
enum sight { UNKNOWN, VISIBLE, HIDDEN_SHORT, HIDDEN_LONG };

struct account {
    enum answer sent, deleted;
    enum sight sight;
    unsigned changes;  /* of sight: what is answered late changes nothing that came later */
    unsigned receives; /* that were answered */
    int seen[3];       /* at the end: at once, after SHORT_S, after LONG_S */
};

struct run {
    uint64_t random;
    struct local_server server;
    char queue_url[200];

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    struct account messages[MESSAGES];
    int n_messages;
    char url[64];
    unsigned generation; /* of the server */
    bool over;
    long steps, lost_receives;
};

struct client {
    struct run *run;
    pthread_t thread;
    uint64_t random;
    unsigned generation;
    struct aws_call call;
    struct {
        int message;
        char handle[100];
    } held[HELD_MAX];
    size_t n_held;
};

static void
note_sight(struct account *a, enum sight sight)
{
    a->sight = sight;
    a->changes++;
}

/* On a client's thread, where cmocka has no place to go back to. */
static void
require(bool is_so, const char *otherwise, int what)
{
    if (is_so)
        return;
    fprintf(stderr, "%d: %s\n", what, otherwise);
    abort();
}

/* ---- what clients do --------------------------------------------------------------------------------------------- */

static void
send_some(struct client *c)
{
    struct run *r = c->run;
    struct buf body = BUF_INIT;
    int n = 1 + (int)seeds_draw(&c->random, 10);
    pthread_mutex_lock(&r->lock);
    int from = r->n_messages;
    n = from + n <= MESSAGES ? n : MESSAGES - from;
    r->n_messages += n;
    for (int i = from; i < from + n; i++)
        r->messages[i].sent = NO_ANSWER;
    pthread_mutex_unlock(&r->lock);
    if (n == 0)
        return;
    buf_add_format(&body, "{\"QueueUrl\": \"%s\", \"Entries\": [", r->queue_url);
    for (int i = 0; i < n; i++)
        buf_add_format(&body, "%s{\"Id\": \"%d\", \"MessageBody\": \"%d\"}", i ? "," : "", i, from + i);
    buf_add_string(&body, "]}");
    if (aws_call_sqs_body(&c->call, "SendMessageBatch", buf_slice(&body)) == 200) {
        require(aws_call_count(&c->call, "Successful") == (size_t)n, "not all of a batch were sent", from);
        pthread_mutex_lock(&r->lock);
        for (int i = from; i < from + n; i++) {
            r->messages[i].sent = ANSWERED;
            if (r->messages[i].changes == 0)
                note_sight(&r->messages[i], VISIBLE);
        }
        pthread_mutex_unlock(&r->lock);
    }
    buf_clean_up(&body);
}

static void
receive_some(struct client *c)
{
    struct run *r = c->run;
    char text[40], path[60];
    if (c->n_held + 10 > HELD_MAX)
        return;
    int status = aws_call_sqs(&c->call, "ReceiveMessage",
                              "{\"QueueUrl\": \"%s\", \"MaxNumberOfMessages\": 10, \"VisibilityTimeout\": %d}",
                              r->queue_url, SHORT_S);
    size_t n = status == 200 ? aws_call_count(&c->call, "Messages") : 0;
    pthread_mutex_lock(&r->lock);
    r->lost_receives += status == 0;
    for (size_t i = 0; i < n; i++) {
        snprintf(path, sizeof path, "Messages.%zu.Body", i);
        int message = aws_call_text(&c->call, path, text, sizeof text) ? atoi(text) : -1;
        require(message >= 0 && message < r->n_messages, "nobody sent what was received", message);
        struct account *a = &r->messages[message];
        require(a->deleted != ANSWERED, "it was received after its delete had been answered", message);
        a->receives++;
        note_sight(a, HIDDEN_SHORT);
        c->held[c->n_held].message = message;
        snprintf(path, sizeof path, "Messages.%zu.ReceiptHandle", i);
        aws_call_text(&c->call, path, c->held[c->n_held].handle, sizeof c->held[c->n_held].handle);
        c->n_held++;
    }
    pthread_mutex_unlock(&r->lock);
}

/* Takes one of those that are held; false: none is. */
static bool
take_held(struct client *c, int *ret_message, char handle[100])
{
    if (c->n_held == 0)
        return false;
    size_t i = seeds_draw(&c->random, c->n_held);
    *ret_message = c->held[i].message;
    memcpy(handle, c->held[i].handle, 100);
    c->held[i] = c->held[--c->n_held];
    return true;
}

static void
delete_one(struct client *c)
{
    struct run *r = c->run;
    int message;
    char handle[100];
    if (!take_held(c, &message, handle))
        return;
    struct account *a = &r->messages[message];
    pthread_mutex_lock(&r->lock);
    a->deleted = NO_ANSWER;
    pthread_mutex_unlock(&r->lock);
    if (aws_call_sqs(&c->call, "DeleteMessage", "{\"QueueUrl\": \"%s\", \"ReceiptHandle\": \"%s\"}", r->queue_url,
                     handle) != 200)
        return;
    pthread_mutex_lock(&r->lock);
    a->deleted = ANSWERED;
    pthread_mutex_unlock(&r->lock);
}

static void
change_visibility(struct client *c)
{
    struct run *r = c->run;
    int message, timeout_s = seeds_draw(&c->random, 2) ? LONG_S : 0;
    char handle[100];
    if (!take_held(c, &message, handle))
        return;
    struct account *a = &r->messages[message];
    pthread_mutex_lock(&r->lock);
    note_sight(a, UNKNOWN);
    unsigned changes = a->changes;
    pthread_mutex_unlock(&r->lock);
    if (aws_call_sqs(&c->call, "ChangeMessageVisibility",
                     "{\"QueueUrl\": \"%s\", \"ReceiptHandle\": \"%s\", \"VisibilityTimeout\": %d}", r->queue_url,
                     handle, timeout_s) != 200)
        return;
    pthread_mutex_lock(&r->lock);
    if (a->changes == changes)
        note_sight(a, timeout_s ? HIDDEN_LONG : VISIBLE);
    pthread_mutex_unlock(&r->lock);
}

/* ---- a client's life --------------------------------------------------------------------------------------------- */

/* After a kill, waits for the next server. False: the run is over. */
static bool
go_on(struct client *c, bool broken)
{
    struct run *r = c->run;
    pthread_mutex_lock(&r->lock);
    while (broken && r->generation == c->generation && !r->over)
        pthread_cond_wait(&r->changed, &r->lock);
    bool goes_on = !r->over;
    if (goes_on && r->generation != c->generation) {
        aws_call_clean_up(&c->call);
        aws_call_init(&c->call, r->url);
        c->generation = r->generation;
    }
    r->steps++;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
    return goes_on;
}

static void *
live(void *client)
{
    static void (*const STEPS[])(struct client *) = {send_some,  receive_some, receive_some,
                                                     delete_one, delete_one,   change_visibility};
    struct client *c = client;
    aws_call_init(&c->call, c->run->url);
    do {
        c->call.status = 200;
        STEPS[seeds_draw(&c->random, sizeof STEPS / sizeof *STEPS)](c);
        require(c->call.status == 200 || c->call.status == 0, c->call.error, c->call.status);
    } while (go_on(c, c->call.status == 0));
    aws_call_clean_up(&c->call);
    return NULL;
}

static void
await_steps(struct run *r, long n)
{
    pthread_mutex_lock(&r->lock);
    for (long until = r->steps + n; r->steps < until;)
        pthread_cond_wait(&r->changed, &r->lock);
    pthread_mutex_unlock(&r->lock);
}

static void
kill_and_restart(struct run *r)
{
    local_server_kill(&r->server);
    local_server_restart(&r->server);
    pthread_mutex_lock(&r->lock);
    snprintf(r->url, sizeof r->url, "%s", r->server.url);
    r->generation++;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

/* ---- the judgement ----------------------------------------------------------------------------------------------- */

static void
take_all(struct run *r, struct aws_call *call, int when)
{
    char text[40], path[80];
    for (size_t n = 1; n > 0;) {
        assert_int_equal(
            aws_call_sqs(call, "ReceiveMessage",
                         "{\"QueueUrl\": \"%s\", \"MaxNumberOfMessages\": 10, \"VisibilityTimeout\": 43200,"
                         " \"AttributeNames\": [\"ApproximateReceiveCount\"]}",
                         r->queue_url),
            200);
        n = aws_call_count(call, "Messages");
        for (size_t i = 0; i < n; i++) {
            snprintf(path, sizeof path, "Messages.%zu.Body", i);
            assert_true(aws_call_text(call, path, text, sizeof text));
            struct account *a = &r->messages[atoi(text)];
            a->seen[when]++;
            snprintf(path, sizeof path, "Messages.%zu.Attributes.ApproximateReceiveCount", i);
            assert_true(aws_call_text(call, path, text, sizeof text));
            assert_in_range(atol(text), a->receives + 1, a->receives + 1 + (unsigned)r->lost_receives);
        }
    }
}

static void
judge_one(const struct run *r, int i, long *late)
{
    const struct account *a = &r->messages[i];
    int seen = a->seen[0] + a->seen[1] + a->seen[2];
    if (seen > 1)
        fail_msg("message %d is there %d times", i, seen);
    if (a->deleted == ANSWERED && seen > 0)
        fail_msg("message %d is there, and its delete was answered", i);
    if (a->sent == ANSWERED && a->deleted == NOT_ASKED && seen == 0)
        fail_msg("message %d is gone: its sending was answered, and nobody has deleted it", i);
    if (seen == 0)
        return;
    if ((a->sight == HIDDEN_SHORT && a->seen[0]) || (a->sight == HIDDEN_LONG && (a->seen[0] || a->seen[1])))
        fail_msg("message %d is visible too early", i);
    *late += (a->sight == VISIBLE && !a->seen[0]) || (a->sight == HIDDEN_SHORT && !a->seen[1]);
}

static void
judge(struct run *r)
{
    struct aws_call call;
    long late = 0, answered = 0;
    aws_call_init(&call, r->server.url);
    take_all(r, &call, 0);
    local_server_pass(&r->server, SHORT_S * 1000);
    take_all(r, &call, 1);
    local_server_pass(&r->server, (LONG_S - SHORT_S) * 1000);
    take_all(r, &call, 2);
    aws_call_clean_up(&call);
    for (int i = 0; i < r->n_messages; i++) {
        judge_one(r, i, &late);
        answered += r->messages[i].sent == ANSWERED;
    }
    print_message("%d messages, %ld answered, %ld steps, %ld receives without an answer, %ld messages hidden by them\n",
                  r->n_messages, answered, r->steps, r->lost_receives, late);
    assert_true(late <= 10 * r->lost_receives);
    assert_true(answered > 0);
}

static void
what_was_answered_outlives_every_kill(void **state)
{
    static struct run r;
    static struct client clients[CLIENTS];
    memset(&r, 0, sizeof r);
    memset(clients, 0, sizeof clients);
    r.random = *(const uint64_t *)*state;
    pthread_mutex_init(&r.lock, NULL);
    pthread_cond_init(&r.changed, NULL);
    local_server_start(&r.server, true);
    snprintf(r.url, sizeof r.url, "%s", r.server.url);
    local_server_queue(&r.server, "q", "{}", r.queue_url, sizeof r.queue_url);
    for (size_t i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){.run = &r, .random = r.random * 1000 + i + 1};
        assert_int_equal(pthread_create(&clients[i].thread, NULL, live, &clients[i]), 0);
    }
    for (int i = 0; i < KILLS; i++) {
        await_steps(&r, 1 + (long)seeds_draw(&r.random, STEPS_A_KILL));
        usleep((useconds_t)seeds_draw(&r.random, 2000)); /* into the midst of what they do */
        kill_and_restart(&r);
    }
    await_steps(&r, 100);
    pthread_mutex_lock(&r.lock);
    r.over = true;
    pthread_cond_broadcast(&r.changed);
    pthread_mutex_unlock(&r.lock);
    for (size_t i = 0; i < CLIENTS; i++)
        pthread_join(clients[i].thread, NULL);
    kill_and_restart(&r);
    judge(&r);
    local_server_clean_up(&r.server);
}

/* ---- damage ------------------------------------------------------------------------------------------------------ */

/* What a killed server left, to be copied for each damage. */
static const char *
make_remains(void)
{
    struct local_server server;
    struct aws_call c;
    char url[200];
    local_server_start(&server, true);
    local_server_queue(&server, "q", "{\"VisibilityTimeout\": \"9000\"}", url, sizeof url);
    aws_call_init(&c, server.url);
    for (int i = 0; i < DAMAGED_SENT; i++) {
        if (i == DAMAGED_SENT / 2) { /* the first half is in the database, the second in the log */
            aws_call_clean_up(&c);
            local_server_stop(&server);
            local_server_restart(&server);
            aws_call_init(&c, server.url);
        }
        assert_int_equal(
            aws_call_sqs(&c, "SendMessage", "{\"QueueUrl\": \"%s\", \"MessageBody\": \"%d %0300d\"}", url, i, 0), 200);
    }
    aws_call_clean_up(&c);
    local_server_kill(&server);
    return server.folder;
}

static long
size_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return (long)st.st_size;
}

struct damage {
    bool in_log, cut;
    char what[100];
};

static void
do_damage(const char *folder, uint64_t *random, struct damage *d)
{
    d->in_log = seeds_draw(random, 2);
    const char *path = tmp_path(folder, d->in_log ? "fanout-local.sqlite3-wal" : "fanout-local.sqlite3");
    long size = size_of(path), most = d->in_log && size > 300000 ? 300000 : size; /* behind it there are zeros */
    long at = (long)seeds_draw(random, (uint64_t)most), n = 1;
    d->cut = seeds_draw(random, 4) == 0;
    if (d->cut) {
        snprintf(d->what, sizeof d->what, "cut at %ld", at);
        assert_int_equal(truncate(path, at), 0);
        return;
    }
    FILE *f = fopen(path, "r+");
    assert_non_null(f);
    if (seeds_draw(random, 3) == 0)
        n = 1 + (long)seeds_draw(random, 5000);
    snprintf(d->what, sizeof d->what, "%ld bytes at %ld", n, at);
    fseek(f, at, SEEK_SET);
    for (long i = 0; i < n && at + i < size; i++)
        fputc((int)seeds_draw(random, 256), f);
    fclose(f);
}

/* Takes what there is, as long as there are answers. Returns how many messages came, or -1 once there was an error. */
static int
take_what_is_there(const struct local_server *s, bool seen[DAMAGED_SENT])
{
    struct aws_call c;
    char text[1000], path[40];
    int came = 0;
    aws_call_init(&c, s->url);
    aws_call_sqs(&c, "ListQueues", "{}");
    for (size_t n = 1; n > 0 && c.status == 200; came += (int)n) {
        aws_call_sqs(&c, "ReceiveMessage", "{\"QueueUrl\": \"%s/000000000000/q\", \"MaxNumberOfMessages\": 10}",
                     s->url);
        n = c.status == 200 ? aws_call_count(&c, "Messages") : 0;
        for (size_t i = 0; i < n; i++) {
            snprintf(path, sizeof path, "Messages.%zu.Body", i);
            aws_call_text(&c, path, text, sizeof text);
            int number = atoi(text);
            if (number >= 0 && number < DAMAGED_SENT)
                seen[number] = true;
        }
        if (came > 10 * DAMAGED_SENT)
            fail_msg("there is no end to what is received");
    }
    bool ok = c.status == 200;
    aws_call_sqs(&c, "SendMessage", "{\"QueueUrl\": \"%s/000000000000/q\", \"MessageBody\": \"x\"}", s->url);
    aws_call_clean_up(&c);
    return ok ? came : -1;
}

static bool
has_said_or_ended(void *process)
{
    return strstr(proc_stdout(process), "\n") || !proc_is_running(process);
}

/* On the clock of the server that left the remains. */
static void
try_damaged(const char *folder, const struct damage *d, int *refused, int *served)
{
    struct proc *p = proc_spawn((const char *[]){proc_path("bin/fanout-local"), "--listen", "127.0.0.1:0", "--data",
                                                 folder, "--no-provision", NULL},
                                NULL);
    struct local_server server = {.folder = folder, .process = p};
    bool seen[DAMAGED_SENT] = {false};
    assert_true(proc_wait_until(has_said_or_ended, p, 20000));
    const char *line = strstr(proc_stdout(p), "READY ");
    if (line) {
        snprintf(server.url, sizeof server.url, "%.*s", (int)strcspn(line + 6, "\n"), line + 6);
        int came = take_what_is_there(&server, seen);
        proc_signal(p, SIGTERM);
        ++*served;
        for (int i = 1; d->in_log && d->cut && i < DAMAGED_SENT; i++)
            if (seen[i] && !seen[i - 1])
                fail_msg("%s: message %d is there without the one before", d->what, i);
        for (int i = 0; d->in_log && came >= 0 && i < DAMAGED_SENT / 2; i++)
            if (!seen[i])
                fail_msg("%s of the log: message %d of the database is gone", d->what, i);
    }
    int status = proc_wait_exit(p, 20000);
    if (status != 0 && status != 1)
        fail_msg("%s in the %s: ended with %d: %s", d->what, d->in_log ? "log" : "database", status, proc_stderr(p));
    if (!line && (status != 1 || !strstr(proc_stderr(p), "fanout-local.sqlite3")))
        fail_msg("%s: refused without a word of the file: %s", d->what, proc_stderr(p));
    *refused += !line;
    proc_destroy(p);
}

static void
damaged_files_are_refused_or_served_and_never_crash_the_server(void **state)
{
    uint64_t random = *(const uint64_t *)*state * 77;
    const char *remains = make_remains();
    int refused = 0, served = 0;
    for (int i = 0; i < DAMAGES; i++) {
        char command[400];
        struct damage d;
        const char *folder = tmp_new();
        snprintf(command, sizeof command, "cp '%s'/* '%s'", remains, folder);
        assert_int_equal(system(command), 0);
        do_damage(folder, &random, &d);
        try_damaged(folder, &d, &refused, &served);
        tmp_remove(folder);
    }
    print_message("%d refused, %d served\n", refused, served);
    assert_true(refused > 0 && served > 0);
    tmp_remove(remains);
}

int
main(void)
{
    static uint64_t seed;
    struct seeds seeds;
    int failed = 0;
    seeds_init(&seeds, KEPT_SEEDS, sizeof KEPT_SEEDS / sizeof *KEPT_SEEDS);
    while (failed < 3 && seeds_next(&seeds, &seed)) {
        const struct CMUnitTest tests[] = {
            cmocka_unit_test_prestate(what_was_answered_outlives_every_kill, &seed),
            cmocka_unit_test_prestate(damaged_files_are_refused_or_served_and_never_crash_the_server, &seed),
        };
        failed += cmocka_run_group_tests_name("local/kill", tests, NULL, NULL);
    }
    return failed > 0;
}
