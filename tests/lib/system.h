/* system: fanout-local and fanoutd of this build, started in a folder of the test's own.
 *
 *     struct system *s = system_start(dir, NULL);
 *     system_start_fleet(s, "consumers = ( { name = \"t\"; queue = \"durable-fanout-queue\"; plugin = \"jsonl\"; ... }
 * );");
 *     ...
 *     system_stop(s);
 *
 * What cannot start fails the test with its output on stderr. One thread. */
#ifndef FANOUT_TESTS_LIB_SYSTEM_H
#define FANOUT_TESTS_LIB_SYSTEM_H

#include <stddef.h>
#include <sys/types.h>

#include "aws/aws.h"
#include "http/http.h"
#include "lib/proc.h"

#define SYSTEM_BUS    "durable-event-bus"
#define SYSTEM_BUCKET "durable-event-buffer-000000000000-us-east-1"
#define SYSTEM_QUEUE  "durable-fanout-queue"
#define SYSTEM_DLQ    "durable-fanout-dlq"

struct system {
    const char *dir;
    char url[100];   /* of fanout-local */
    char admin[100]; /* of fanoutd; "" while it does not run */
    struct proc *local, *fleet;
    const char *const *env; /* for programs that speak to it: credentials, region, endpoint */
};

/* Starts fanout-local on a port of its choice, provisioned from the template; data in DIR/data. */
struct system *system_start(const char *dir);

/* Starts fanoutd with an admin listener in front of the consumers given, and waits until it is ready. */
void system_start_fleet(struct system *s, const char *consumers);

/* kill -9, and the same again: the same port, the same data. */
void system_kill_local(struct system *s);
void system_restart_local(struct system *s);

/* The process id of a worker that runs now; 0: there is none. */
pid_t system_worker(struct system *s);

/* Those of all that run now, at most max of them. */
size_t system_workers(struct system *s, pid_t *ret_pids, size_t max);

/* TERM to fanoutd; fails the test unless it ends with 0. */
void system_stop_fleet(struct system *s);

/* Ends what still runs, frees. NULL is fine. */
void system_stop(struct system *s);

/* Runs a program of this build ("bin/fanoutctl") to its end and returns its exit code; its output is to be had from
 * *ret_proc (which the caller destroys) when that is not NULL. */
int system_run(struct system *s, const char *const argv[], int timeout_ms, struct proc **ret_proc);

/* A client of one of its services, on an engine of its own. */
struct system_client {
    struct http_engine *engine;
    struct creds_provider *credentials;
    struct aws_client *aws;
};
struct system_client system_connect(struct system *s, enum aws_service service);
struct system_client system_connect_https(const char *url, const char *ca_file, enum aws_service service);
void system_disconnect(struct system_client *c);

/* Waits for a callback to set *done; fails the test after 20 s. */
void system_await(struct system_client *c, const bool *done);

#endif
