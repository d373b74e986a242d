/* child: a program started for a while, its output in a file. Used by the demo. */
#ifndef FANOUT_CTL_CHILD_H
#define FANOUT_CTL_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

struct child {
    char name[64];
    char log[512]; /* the file both its outputs go to */
    pid_t pid;     /* 0: not running */
    int pidfd;     /* while it runs; -1: the kernel gave none */
    int status;    /* waitpid's, once it ended */
};

/* Starts program (a path) with argv and the environment plus extra ("NAME=value", NULL at the end) in a process group
 * of its own; it gets SIGTERM when this process dies. */
int child_start(struct child *c, const char *program, char *const argv[], const char *const extra[], const char *log,
                struct err *e);

/* True while it runs; notes its status when it ended. */
bool child_is_running(struct child *c);

/* Waits until it has ended, or a signal came, or wait_ms are over (negative: that does not happen). */
void child_wait(const struct child *c, int wait_ms);

/* Looks for text in its output: on success copies what follows it, up to white space or a quote, and returns true. */
bool child_said(const struct child *c, const char *text, char *ret_rest, size_t capacity);

/* How it ended and the last line of its output: "fanoutd ended with status 2: ...". Only once it has. */
int child_set_error(const struct child *c, struct err *e);

/* SIGTERM, then after grace_ms SIGKILL. Returns true when it ended with exit status 0. */
bool child_stop(struct child *c, int grace_ms);

/* The path of a program of ours: beside this one. ERR_NOT_FOUND. */
int child_find(const char *name, char *ret_path, size_t capacity, struct err *e);

#endif
