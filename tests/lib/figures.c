#include "lib/figures.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void
figure_print(const struct figure *f)
{
    printf("%s\t%.*f\t%s\t", f->what, f->value < 100 ? 2 : 0, f->value, f->unit);
    if (f->ratio > 0)
        printf("%.2f\t%s\t", f->ratio, f->ratio_of);
    else
        printf("\t\t");
    if (f->most > 0)
        printf("<= %g\n", f->most);
    else if (f->least > 0)
        printf(">= %.0f\n", f->least);
    else
        printf("\n");
    fflush(stdout);
}

long
figure_setting(const char *name, long otherwise, long least)
{
    const char *text = getenv(name);
    char *end = NULL;
    long n = text ? strtol(text, &end, 10) : otherwise;
    if (n >= least && (!text || (end != text && *end == '\0')))
        return n;
    fprintf(stderr, "%s is a number, at least %ld, not \"%s\"\n", name, least, text ? text : "");
    exit(1);
}

static int
compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double
figure_median(double *values, size_t n)
{
    qsort(values, n, sizeof *values, compare);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

double
figure_least(const double *values, size_t n)
{
    double least = values[0];
    for (size_t i = 1; i < n; i++)
        if (values[i] < least)
            least = values[i];
    return least;
}

int64_t
figure_cpu_ns(pid_t pid)
{
    clockid_t clock;
    struct timespec t;
    int rc = clock_getcpuclockid(pid, &clock);
    if (rc != 0 || clock_gettime(clock, &t) != 0) {
        fprintf(stderr, "CPU time of process %d: %s\n", (int)pid, strerror(rc ? rc : errno));
        abort();
    }
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static bool
has_name(pid_t pid, const char *task, const char *thread)
{
    char path[64], name[32] = "";
    snprintf(path, sizeof path, "/proc/%d/task/%.16s/comm", (int)pid, task);
    FILE *f = fopen(path, "re");
    bool read = f && fgets(name, sizeof name, f);
    if (f)
        fclose(f);
    name[strcspn(name, "\n")] = '\0';
    return read && strcmp(name, thread) == 0;
}

int64_t
figure_run_delay_ns(pid_t pid, const char *thread)
{
    char path[64];
    long long delay_ns = -1;
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *tasks = opendir(path);
    for (struct dirent *t; tasks && delay_ns < 0 && (t = readdir(tasks));) {
        if (!has_name(pid, t->d_name, thread))
            continue;
        snprintf(path, sizeof path, "/proc/%d/task/%.16s/schedstat", (int)pid, t->d_name);
        FILE *f = fopen(path, "re");
        if (!f || fscanf(f, "%*u %lld", &delay_ns) != 1)
            delay_ns = -1;
        if (f)
            fclose(f);
    }
    if (tasks)
        closedir(tasks);
    return delay_ns;
}

int64_t
figure_pss_bytes(pid_t pid)
{
    char path[64], line[200];
    long long kib = -1;
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    FILE *f = fopen(path, "re");
    while (f && kib < 0 && fgets(line, sizeof line, f))
        if (sscanf(line, "Pss: %lld kB", &kib) != 1)
            kib = -1;
    if (f)
        fclose(f);
    if (kib < 0) {
        fprintf(stderr, "no PSS of process %d in %s\n", (int)pid, path);
        abort();
    }
    return kib * 1024;
}
