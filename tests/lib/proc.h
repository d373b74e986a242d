/* proc: runs the real programs in tests: start, wait for a line, signal, wait for the end.
 *
 * What a process writes is read as it comes by a thread of its own, so a child never blocks on a full pipe. Every child
 * leads a process group of its own; proc_destroy, or the end of the test program, kills all that is left of it, the
 * child's own children included. A wait that fails prints what the process wrote until then to stderr, so that a
 * test needs no more than an assertion. Whatever fails for lack of means (fork, memory) aborts.
 *
 *     struct proc *p = proc_spawn((const char *[]){proc_path("bin/fanoutd"), "-c", file, NULL}, NULL);
 *     const char *line = proc_wait_line(p, "msg=\"ready\"", 10000);
 *     assert_non_null(line);
 *     proc_signal(p, SIGTERM);
 *     assert_int_equal(proc_wait_exit(p, 10000), 0);
 *     proc_destroy(p);
 *
 * Calls on one struct proc come from one thread. */
#ifndef FANOUT_TESTS_LIB_PROC_H
#define FANOUT_TESTS_LIB_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct proc;

struct proc_options {
    const char *const *argv; /* ends with NULL; argv[0] is looked up in PATH when it holds no '/' */
    const char *const
        *env;        /* NULL, or changes to our environment, ending with NULL: "NAME=VALUE" sets, "NAME" unsets */
    const char *cwd; /* NULL: ours */
    const char *in;  /* standard input's text; NULL: nothing */
};

struct proc *proc_start(const struct proc_options *options);
struct proc *proc_spawn(const char *const argv[], const char *const env[]);

/* Kills what is left, reaps it, frees. NULL is fine. */
void proc_destroy(struct proc *p);

pid_t proc_pid(const struct proc *p);

/* The next line, of either stream, that contains substring, after the line the last call found. NULL when it does not
 * come within timeout_ms or the process closes its output first. The line lives until proc_destroy. */
const char *proc_wait_line(struct proc *p, const char *substring, int timeout_ms);

/* Lines that contain substring, of all that were written so far. */
size_t proc_count_lines(struct proc *p, const char *substring);

/* To the process itself, not to its group. */
void proc_signal(struct proc *p, int signal);

/* Waits until it has ended and all its output is read. Its exit code; -N when signal N killed it; PROC_TIMEOUT. */
#define PROC_TIMEOUT (-1000)
int proc_wait_exit(struct proc *p, int timeout_ms);
bool proc_is_running(struct proc *p);

/* All it wrote so far, to live until proc_destroy. */
const char *proc_stdout(struct proc *p);
const char *proc_stderr(struct proc *p);

/* All it wrote so far, to standard error, for a test that has failed. NULL is fine. */
void proc_print(struct proc *p);

/* A file of this build: proc_path("bin/fanoutd"), "libexec/fanoutd/fanout-worker", "lib/fanoutd/plugins/jsonl.so",
 * "tests/plugins/x.so". Lives until the program ends. */
const char *proc_path(const char *relative);

/* True as soon as condition(context) is; asks again every few milliseconds for timeout_ms. For states that no line
 * announces (a file that appears, a process that is gone). */
bool proc_wait_until(bool (*condition)(void *context), void *context, int timeout_ms);

#endif
