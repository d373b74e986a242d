/* stage: fanout-local and fanoutd, started in a temporary folder for a while. Used by the demo. One thread. */
#ifndef FANOUT_CTL_STAGE_H
#define FANOUT_CTL_STAGE_H

#include <limits.h>
#include <signal.h>
#include <stdbool.h>

#include "base/err.h"
#include "ctl/child.h"

#define STAGE_BUS        "durable-event-bus"
#define STAGE_BUCKET     "durable-event-buffer-000000000000-us-east-1"
#define STAGE_ACCESS_KEY "demo"
#define STAGE_SECRET_KEY "demo-secret"

struct stage {
    const char *conf_dir;                     /* where demo.conf and the template are */
    const volatile sig_atomic_t *interrupted; /* not 0: stop waiting */
    char folder[PATH_MAX];                    /* "" until it was made */
    char record[PATH_MAX + 16];               /* the file in it that the handler writes its verdicts to */
    struct child local, fleet;
    char url[200], admin[200]; /* of fanout-local and of fanoutd's admin listener */
};

/* Makes the folder (in TMPDIR, or /tmp), and takes from this process's environment what would get between the demo and
 * what it starts: proxies, profiles, endpoints, tokens. */
int stage_set_up(struct stage *s, struct err *e);

/* Starts fanout-local and waits until it is ready. any_source: its rules take events of every source. ERR_CANCELLED:
 * interrupted. */
int stage_start_local(struct stage *s, bool any_source, struct err *e);

/* The same with fanoutd. */
int stage_start_fleet(struct stage *s, struct err *e);

/* An error when one of the two has ended. */
int stage_check(struct stage *s, struct err *e);

/* Ends fanoutd: true when it stopped cleanly; then fanout-local. */
bool stage_stop_fleet(struct stage *s);
void stage_stop_local(struct stage *s);

/* Removes the folder, if it was made. */
void stage_remove(struct stage *s);

#endif
