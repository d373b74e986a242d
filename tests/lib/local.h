/* local: a fanout-local of this build, in a test's own folder, and its queues. */
#ifndef FANOUT_TESTS_LIB_LOCAL_H
#define FANOUT_TESTS_LIB_LOCAL_H

#include <sys/resource.h>

#include "base/clock.h"
#include "lib/aws_call.h"
#include "lib/proc.h"

struct local_server {
    const char *folder; /* the data */
    struct proc *process;
    char url[64];               /* "http://127.0.0.1:40123" */
    struct rlimit file_size;    /* before local_server_fill_disk */
    struct clock_page *clock;   /* of the process; NULL: its time is the machine's */
    const char *const *options; /* more of its command line, up to a NULL; NULL: none */
};

/* Starts it with an empty data folder and no template. with_clock: on a clock that the test moves, and that this
 * process then runs on, too. Aborts the test when it does not get ready. */
void local_server_start(struct local_server *s, bool with_clock);

/* The same with data in a folder that is there, and on the machine's clock. */
void local_server_start_in(struct local_server *s, const char *folder);

/* The same with an empty folder and more options, which live as long as the server. */
void local_server_start_with(struct local_server *s, const char *const *options);

/* Starts one again on the same data, after local_server_kill or an end of its own. The port is another. */
void local_server_restart(struct local_server *s);

void local_server_kill(struct local_server *s); /* kill -9 */
void local_server_stop(struct local_server *s); /* TERM; asserts exit status 0 */
void local_server_clean_up(struct local_server *s);

/* What a full disk looks like from inside: no file of the server's may grow, or be written behind its first 4 KB; and
 * the end of that. */
void local_server_fill_disk(struct local_server *s);
void local_server_make_room(struct local_server *s);

/* The one server of a test program, for cmocka: as above, with a clock or without; asserts that it ends well. */
extern struct local_server local_fixture;
int local_fixture_start(void **state);
int local_fixture_start_with_clock(void **state);
int local_fixture_stop(void **state);

/* Moves the clock. */
void local_server_pass(struct local_server *s, int64_t ms);

/* Makes a queue; attributes is a JSON object. Writes its URL. */
void local_server_queue(struct local_server *s, const char *name, const char *attributes, char *ret_url, size_t size);

/* How many long polls wait at that queue; -1: it does not exist. And until so many do. */
long local_server_waiting(struct local_server *s, const char *queue_url);
void local_server_await_waiting(struct local_server *s, const char *queue_url, long n);

#endif
