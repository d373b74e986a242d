/* figures: how a benchmark says what it found, for tests/bench/table to print and keep.
 *
 * One line to standard output for each figure, fields divided by tabs: what, figure, unit, ratio, what it is a ratio
 * to, target. A ratio is taken within one run, of things measured in turns, so that it means something on a machine
 * that is busy with other work as well. */
#ifndef FANOUT_TESTS_LIB_FIGURES_H
#define FANOUT_TESTS_LIB_FIGURES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct figure {
    const char *what; /* the same in every run: figures of two runs are matched by it */
    double value;
    const char *unit;
    double ratio;         /* 0: none */
    const char *ratio_of; /* "bare loop" */
    double most, least;   /* the target; 0: none */
};
void figure_print(const struct figure *f);

/* A setting of a bench, from the environment. One that is less than `least`, or no number, ends the program. */
long figure_setting(const char *name, long otherwise, long least);

/* The one in the middle; sorts values. */
double figure_median(double *values, size_t n);
double figure_least(const double *values, size_t n);

/* CPU time, user and system, of a whole process that runs or was not yet waited for, in nanoseconds. */
int64_t figure_cpu_ns(pid_t pid);

/* How long a process's thread of that name could have run and no core was free for it, so far, in nanoseconds; -1:
 * there is no such thread. */
int64_t figure_run_delay_ns(pid_t pid, const char *thread);

/* A process's share of the machine's memory (PSS), in bytes. */
int64_t figure_pss_bytes(pid_t pid);

#endif
