/* fleet: all workers, each in its place.
 *
 * A place is a consumer's slot by number. It has one current worker; while a new configuration is taken up also the
 * successor, which takes over when it is ready and has reached its queue: only then is the current one drained. A
 * successor that never gets so far leaves the current one at work. Workers on their way out keep their place until
 * they are gone. What a worker counted goes on in its place's totals.
 *
 * The supervisor's thread only. */
#ifndef FANOUT_SUPERVISOR_FLEET_H
#define FANOUT_SUPERVISOR_FLEET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "config/conf.h"
#include "supervisor/child.h"
#include "supervisor/loop.h"

struct fleet_place {
    struct fleet_place *next;
    char *consumer;
    int number;
    struct child *current;   /* NULL: the place is on its way out */
    struct child *successor; /* NULL: none */
    struct child *leaving;   /* list */
    struct metrics past;     /* of workers that are gone */
    uint64_t past_spawns, past_crashes;
};

struct fleet {
    struct loop *loop;
    const char *worker_path;
    struct fleet_place *places; /* in the order of the configuration */
    unsigned generation;
    uint64_t random;
    bool stopping;
    bool was_ready;               /* every place was ready at the same time */
    bool reloading;               /* a new configuration is not yet fully in use */
    bool partly;                  /* and a part of it was refused */
    bool refused;                 /* a worker of the first generation refused its configuration */
    bool unclean;                 /* private: see fleet_was_unclean */
    void (*ready)(void *context); /* called once, when was_ready becomes true */
    void *context;
};

void fleet_init(struct fleet *f, struct loop *loop, const char *worker_path, void (*ready)(void *context),
                void *context);
void fleet_clean_up(struct fleet *f);

/* Starts all workers of a configuration, or, when there are some, replaces them. c is borrowed for the call. On failure
 * (no memory, no descriptors) everything is as it was. */
int fleet_apply(struct fleet *f, const struct conf *c, int64_t now_ms, struct err *e);

/* Drains all workers, each within its own configuration's time. */
void fleet_stop(struct fleet *f, int64_t now_ms);
void fleet_stop_now(struct fleet *f, int64_t now_ms);

/* Reaps every process that has ended (SIGCHLD). */
void fleet_reap(struct fleet *f, int64_t now_ms);

/* What time alone makes due, and the removal of what is gone. Not from within a watch. */
void fleet_tick(struct fleet *f, int64_t now_ms);
int64_t fleet_tick_at_ms(const struct fleet *f); /* INT64_MAX: never */

/* To every running worker. */
void fleet_send(struct fleet *f, enum ipc_type type, int64_t number);

/* fleet_stop was called and no process is left. */
bool fleet_is_over(const struct fleet *f);

/* While stopping, a worker ended without having settled all it had in hand. */
bool fleet_was_unclean(const struct fleet *f);

/* Every consumer has a worker that is ready. */
bool fleet_is_ready(const struct fleet *f);

/* No worker that is wanted is missing, and every engine turns. */
bool fleet_is_well(const struct fleet *f, int64_t now_ms);

/* The place's workers: current, successor, leaving ones; start with NULL. */
struct child *fleet_next_child(const struct fleet_place *p, const struct child *c);

/* A place's counter or histogram, over all its workers, those that are gone included. */
void fleet_read(const struct fleet_place *p, enum metrics_id id, struct metrics_reading *ret_reading);
uint64_t fleet_spawns(const struct fleet_place *p);
uint64_t fleet_crashes(const struct fleet_place *p);

#endif
