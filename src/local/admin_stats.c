#include "local/admin_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"

/* Resident pages (proc(5), statm); 0: not to be had. */
static long long
resident_bytes(void)
{
    long long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f && fscanf(f, "%*s %lld", &pages) != 1)
        pages = 0;
    if (f)
        fclose(f);
    return pages * sysconf(_SC_PAGESIZE);
}

static void
add_store(struct store *s, struct buf *out)
{
    struct store_stats stats;
    store_get_stats(s, &stats);
    buf_add_format(out,
                   ",\"store\":{\"turns\":%llu,\"jobs\":%llu,\"commits\":%llu,\"rollbacks\":%llu,\"checkpoints\":%llu}",
                   (unsigned long long)stats.turns, (unsigned long long)stats.jobs, (unsigned long long)stats.commits,
                   (unsigned long long)stats.rollbacks, (unsigned long long)stats.checkpoints);
}

static int
run(struct store_tx *tx, struct store_job *job)
{
    struct local_admin_job *j = (struct local_admin_job *)job;
    struct local *l = j->local;
    int64_t uptime_ms = clock_monotonic_ms() - l->started_at_ms;
    buf_reset(&j->out);
    buf_add_format(&j->out, "{\"version\":\"%s\",\"uptime_ms\":%lld,\"requests\":", FANOUT_VERSION,
                   (long long)uptime_ms);
    local_figures_describe_calls(l->figures, &j->out);
    buf_add_string(&j->out, ",\"operations\":");
    local_figures_describe(l->figures, &j->out);
    add_store(l->store, &j->out);
    buf_add_format(&j->out, ",\"process\":{\"pid\":%ld,\"rss_bytes\":%lld,\"uptime_ms\":%lld}", (long)getpid(),
                   resident_bytes(), (long long)uptime_ms);
    for (size_t i = 0; i < l->n_services; i++) {
        if (!l->services[i].describe)
            continue;
        buf_add_format(&j->out, ",\"%s\":", l->services[i].name);
        l->services[i].describe(l->services[i].context, tx, &j->out);
    }
    buf_add_string(&j->out, "}\n");
    return 0;
}

static void
finish(struct store_job *job, const struct err *error)
{
    struct local_admin_job *j = (struct local_admin_job *)job;
    if (error || buf_failed(&j->out))
        local_admin_answer_error(j->http, 503, error ? error->text : "out of memory");
    else
        local_admin_answer(j->http, 200, buf_slice(&j->out));
    buf_clean_up(&j->out);
    free(j);
}

void
local_admin_stats(struct local *l, struct httpd_request *r)
{
    local_admin_submit(l, r, run, finish);
}
