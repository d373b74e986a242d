/* slots: what the supervisor does next about one worker process.
 *
 *     idle -> starting -> ready -> draining -> killing -> backoff or idle or held
 *
 * A pure state machine: it is told what happened and when, and answers what to do. It starts no process, sends nothing
 * and reads no clock, so that every path can be walked in a test. The fleet (fleet.c) feeds it and obeys it.
 *
 * A worker's exit code counts only after the matching message on its control channel, because a handler may call
 * exit(0) at any time: whatever was not announced is a crash. A crash, and a failure to open, wait: 0.5 s x 2^n with
 * jitter, 30 s at most, starting over after 60 s of health. An announced exit that nobody asked for (a recycle)
 * restarts at once. A worker that is not ready in time, because its plugin's open does not return, is killed, and
 * waits in the same way. */
#ifndef FANOUT_SUPERVISOR_SLOTS_H
#define FANOUT_SUPERVISOR_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/backoff.h"

enum slots_state {
    SLOTS_IDLE,     /* no process, none wanted */
    SLOTS_STARTING, /* running, not yet ready: it has until start_by_ms */
    SLOTS_READY,    /* the plugin is open */
    SLOTS_DRAINING, /* to end by itself before deadline_ms */
    SLOTS_KILLING,  /* SIGKILL was sent */
    SLOTS_BACKOFF,  /* no process until due_ms */
    SLOTS_HELD,     /* no process until it is resumed */
};
#define SLOTS_STATES 7

enum slots_event {
    SLOTS_START,   /* there shall be a worker */
    SLOTS_SPAWNED, /* the answers to SLOTS_DO_SPAWN, before any other event */
    SLOTS_SPAWN_FAILED,
    SLOTS_SAID_READY,
    SLOTS_SAID_DRAINED, /* argument: messages left in hand */
    SLOTS_SAID_BAD_CONFIG,
    SLOTS_SAID_CANNOT_START,
    SLOTS_SAID_RECYCLE,   /* argument: how long its drain may last, ms */
    SLOTS_CHANNEL_CLOSED, /* nothing more will be said */
    SLOTS_EXITED,         /* argument: as waitpid gives it; what was said before it is told before it */
    SLOTS_TICK,
    SLOTS_STOP, /* no worker any more; argument: how long the drain may last, ms */
    SLOTS_STOP_NOW,
    SLOTS_HOLD, /* no worker until SLOTS_RESUME; argument as for SLOTS_STOP */
    SLOTS_RESUME,
};
#define SLOTS_EVENTS 15

enum slots_action {
    SLOTS_DO_NOTHING,
    SLOTS_DO_SPAWN, /* answer at once with SLOTS_SPAWNED or SLOTS_SPAWN_FAILED */
    SLOTS_DO_DRAIN, /* tell it to drain in drain_ms */
    SLOTS_DO_KILL,
};

/* How the last process ended. */
enum slots_exit {
    SLOTS_EXIT_NONE, /* none has ended yet */
    SLOTS_EXIT_DRAINED,
    SLOTS_EXIT_UNCLEAN, /* announced, with messages left in hand */
    SLOTS_EXIT_RECYCLED,
    SLOTS_EXIT_REFUSED, /* configuration or plugin */
    SLOTS_EXIT_FAILED,  /* announced: it cannot start now */
    SLOTS_EXIT_KILLED,  /* by us */
    SLOTS_EXIT_CRASHED,
};

struct slots {
    enum slots_state state;
    enum { SLOTS_WANT_NONE, SLOTS_WANT_RUN, SLOTS_WANT_HOLD } want;
    bool spawning; /* SLOTS_DO_SPAWN is not answered yet */
    bool said_drained, said_refused, said_failed, said_recycle;
    int64_t left_in_hand; /* as it said with drained */
    int64_t start_ms;     /* how long a process may take until it is ready */
    int64_t spawned_at_ms, start_by_ms;
    int64_t ready_at_ms; /* of this process; -1: not yet */
    int64_t deadline_ms; /* SLOTS_DRAINING; SLOTS_STARTING and _READY: INT64_MAX */
    int64_t drain_ms;    /* with SLOTS_DO_DRAIN */
    int64_t due_ms;      /* SLOTS_BACKOFF */
    struct backoff backoff;
    enum slots_exit last_exit;
    bool was_ready; /* any process of it was */
    bool unclean;   /* a process ended without having settled everything, while none was wanted */
    uint64_t spawns, crashes;
};

/* How long a process may outstay its own deadline, and how long it may linger after its last word. */
#define SLOTS_GRACE_MS  3000
#define SLOTS_LINGER_MS 5000

/* seed: of the jitter. start_ms: how long a process may take until it is ready. */
void slots_init(struct slots *s, uint64_t seed, int64_t start_ms);

/* Times are monotonic. Events that make no sense in the present state change nothing. */
enum slots_action slots_apply(struct slots *s, enum slots_event event, int64_t argument, int64_t now_ms);

static inline bool
slots_has_process(const struct slots *s)
{
    return s->state == SLOTS_STARTING || s->state == SLOTS_READY || s->state == SLOTS_DRAINING ||
           s->state == SLOTS_KILLING;
}

/* When SLOTS_TICK is next needed (monotonic); INT64_MAX: never. */
int64_t slots_tick_at_ms(const struct slots *s);

const char *slots_state_name(enum slots_state state);
const char *slots_exit_name(enum slots_exit exit);

#endif
