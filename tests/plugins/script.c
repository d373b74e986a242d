/* script: does with each message what its body says, and writes what came of it to a file. A whole batch at a time;
 * script_each is the same, a message at a time.
 *
 * A body is a name and then commands: "a retry:5000". At its first delivery they are obeyed in turn, later the message
 * is declared done (unless the first command is `always`). Messages that wait come after the others of their batch.
 *
 *     done, retry, retry:MS, reject:REASON   settle
 *     index, verdict                         settle with an index, with a verdict that do not exist
 *     thread, null                           settle from another thread, with no call
 *     late                                   settle from another thread as soon as the gate lets it, whatever is over
 *     wait                                   until the gate lets it: a byte in the named pipe that is option `gate`
 *     until_lost                             until remaining_ms is 0
 *     remaining                              remaining_ms
 *     return:N                               what the call returns (otherwise HANDLER_UNSET)
 *
 * The file has a line "NAME COMMAND RESULT" for each, "NAME begin RECEIVE_COUNT" before them and "NAME end 0" after. */
#include <fanout/handler.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LATE_MAX 16

struct job {
    struct handler_call *call;
    char name[64];
    pthread_t thread;
};

static const struct handler_host *host;
static int record_fd = -1, gate_fd = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of late and n_late */
static struct job late[LATE_MAX];
static int n_late;

static void
note(const char *name, const char *what, long long result)
{
    char line[700]; /* a command may be as long as perform's text */
    int n = snprintf(line, sizeof line, "%s %s %lld\n", name, what, result);
    if (write(record_fd, line, (size_t)n) != n)
        abort();
}

static void
pass_gate(void)
{
    char byte;
    while (read(gate_fd, &byte, 1) != 1)
        ;
}

static void *
settle_elsewhere(void *argument)
{
    const struct job *j = argument;
    note(j->name, "thread", host->settle(j->call, 0, HANDLER_DONE, -1, NULL));
    return NULL;
}

static void *
settle_late(void *argument)
{
    const struct job *j = argument;
    pass_gate();
    note(j->name, "late", host->settle(j->call, 0, HANDLER_DONE, -1, NULL));
    return NULL;
}

static void
start_late(struct handler_call *call, const char *name)
{
    pthread_mutex_lock(&lock);
    struct job *j = &late[n_late];
    *j = (struct job){.call = call};
    snprintf(j->name, sizeof j->name, "%s", name);
    if (n_late == LATE_MAX || pthread_create(&j->thread, NULL, settle_late, j) != 0)
        abort();
    n_late++;
    pthread_mutex_unlock(&lock);
}

static void
wait_until_lost(struct handler_call *call)
{
    const struct timespec a_little = {.tv_nsec = 2000000};
    while (host->remaining_ms(call) > 0)
        nanosleep(&a_little, NULL);
}

/* One command. *ret_value: what the call is to return. */
static void
obey(struct handler_call *call, uint32_t count, uint32_t index, const char *name, const char *command,
     int32_t *ret_value)
{
    const char *argument = strchr(command, ':');
    argument = argument ? argument + 1 : NULL;
    if (strcmp(command, "done") == 0) {
        note(name, command, host->settle(call, index, HANDLER_DONE, -1, NULL));
    } else if (strncmp(command, "retry", 5) == 0) {
        note(name, command, host->settle(call, index, HANDLER_RETRY, argument ? atoll(argument) : -1, NULL));
    } else if (strncmp(command, "reject", 6) == 0) {
        note(name, command, host->settle(call, index, HANDLER_REJECT, -1, argument));
    } else if (strcmp(command, "index") == 0) {
        note(name, command, host->settle(call, count, HANDLER_DONE, -1, NULL));
    } else if (strcmp(command, "verdict") == 0) {
        note(name, command, host->settle(call, index, 77, -1, NULL));
    } else if (strcmp(command, "null") == 0) {
        note(name, command, host->settle(NULL, index, HANDLER_DONE, -1, NULL));
    } else if (strcmp(command, "thread") == 0) {
        struct job j = {.call = call};
        snprintf(j.name, sizeof j.name, "%s", name);
        if (pthread_create(&j.thread, NULL, settle_elsewhere, &j) != 0)
            abort();
        pthread_join(j.thread, NULL);
    } else if (strcmp(command, "late") == 0) {
        start_late(call, name);
    } else if (strcmp(command, "wait") == 0) {
        note(name, "waits", 0);
        pass_gate();
    } else if (strcmp(command, "until_lost") == 0) {
        wait_until_lost(call);
        note(name, command, 0);
    } else if (strcmp(command, "remaining") == 0) {
        note(name, command, host->remaining_ms(call));
    } else if (strncmp(command, "return:", 7) == 0) {
        *ret_value = (int32_t)atoi(argument);
    } else {
        note(name, "no-such-command", -1000);
    }
}

static void
perform(struct handler_call *call, uint32_t count, uint32_t index, const struct handler_message *m, int32_t *ret_value)
{
    char text[512], *rest = text;
    snprintf(text, sizeof text, "%.*s", (int)m->body_len, m->body);
    const char *name = strsep(&rest, " "), *command = strsep(&rest, " ");
    note(name, "begin", m->receive_count);
    int always = command && strcmp(command, "always") == 0;
    if (m->receive_count > 1 && !always) {
        note(name, "again", host->settle(call, index, HANDLER_DONE, -1, NULL));
        return;
    }
    for (command = always ? strsep(&rest, " ") : command; command; command = strsep(&rest, " "))
        obey(call, count, index, name, command, ret_value);
    note(name, "end", 0);
}

#ifdef SCRIPT_EACH
static int32_t
handle(void *plugin, void *thread, struct handler_call *call, const struct handler_message *m)
{
    (void)plugin;
    (void)thread;
    int32_t value = HANDLER_UNSET;
    perform(call, 1, 0, m, &value);
    return value;
}
#else
static int
waits(const struct handler_message *m)
{
    return strstr(m->body, "wait") || strstr(m->body, "until_lost");
}

static int32_t
handle_batch(void *plugin, void *thread, struct handler_call *call, const struct handler_batch *batch)
{
    (void)plugin;
    (void)thread;
    int32_t value = HANDLER_UNSET;
    for (int waiting = 0; waiting < 2; waiting++)
        for (uint32_t i = 0; i < batch->count; i++)
            if (waits(batch->messages[i]) == waiting)
                perform(call, batch->count, i, batch->messages[i], &value);
    return value;
}
#endif

static int32_t
open_script(const struct handler_host *h, void **plugin)
{
    *plugin = NULL;
    host = h;
    record_fd = open(host->option("record"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    gate_fd = open(host->option("gate"), O_RDWR | O_CLOEXEC); /* for writing, too: it never ends */
    return record_fd < 0 || gate_fd < 0;
}

static void
close_script(void *plugin)
{
    (void)plugin;
    for (int i = 0; i < n_late; i++)
        pthread_join(late[i].thread, NULL);
    close(gate_fd);
    close(record_fd);
}

static const struct handler_option OPTIONS[] = {{"record", "string", NULL, "The file that says what was done."},
                                                {"gate", "string", NULL, "The named pipe of `wait` and `late`."},
                                                {0}};

#ifdef SCRIPT_EACH
HANDLER_DEFINE(.name = "script-each", .version = "1", .help = "does what bodies say", .options = OPTIONS,
               .handle = handle, .open = open_script, .close = close_script);
#else
HANDLER_DEFINE(.name = "script", .version = "1", .help = "does what bodies say", .options = OPTIONS,
               .handle_batch = handle_batch, .open = open_script, .close = close_script);
#endif
