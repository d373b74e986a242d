/* child: one worker process, and what outlives it: its slot's state, its ledger, its configuration.
 *
 * Obeys what slots.h decides, reads the control channel, judges exits, and logs. The fleet owns children and is told of
 * what concerns more than one of them. The supervisor's thread only. */
#ifndef FANOUT_SUPERVISOR_CHILD_H
#define FANOUT_SUPERVISOR_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "config/conf.h"
#include "ipc/channel.h"
#include "ipc/ledger.h"
#include "supervisor/loop.h"
#include "supervisor/slots.h"

struct child;

enum child_news {
    CHILD_READY,   /* its plugin is open */
    CHILD_HEALTH,  /* child->health changed */
    CHILD_REFUSED, /* configuration or plugin: child->refusal says why; not logged yet */
};

struct child_options {
    struct loop *loop;       /* borrowed, as all here until child_new returns */
    const char *worker_path; /* outlives the child */
    const struct conf *conf;
    const struct conf_consumer *consumer;
    int number; /* of the slot within the consumer */
    unsigned generation;
    uint64_t seed;
    void (*tell)(void *context, struct child *c, enum child_news news, int64_t now_ms);
    void *context;
};

struct child {
    struct loop_watch watch; /* of the channel */
    struct child *next;      /* the fleet's */
    struct loop *loop;
    const char *worker_path;
    char *consumer;
    int number;
    unsigned generation;
    int64_t drain_ms; /* its configuration's */
    struct buf config;
    struct slots slots;
    struct ledger *ledger;
    int ledger_fd;
    int channel; /* -1: none */
    pid_t pid;   /* 0: none */
    bool health_known;
    enum ipc_health health;
    char health_text[200];
    char plugin[200]; /* its name and version, as it said */
    char refusal[IPC_TEXT_BYTES];
    void (*tell)(void *context, struct child *c, enum child_news news, int64_t now_ms);
    void *context;
};

/* Starts nothing yet. */
int child_new(const struct child_options *options, struct child **ret_child, struct err *e);

/* A process that still runs sees its channel end, and drains. */
void child_destroy(struct child *c);

/* Tells its slot and does what that answers. */
void child_apply(struct child *c, enum slots_event event, int64_t argument, int64_t now_ms);

/* Its process (c->pid) was reaped with this status. */
void child_exited(struct child *c, int status, int64_t now_ms);

/* Sends a message, if it runs. False: it was not sent, which is logged. */
bool child_send(struct child *c, enum ipc_type type, int64_t number);

/* Since the worker's engine turned last (or, before its first turn, since the worker became ready). Of one that is
 * ready. */
int64_t child_beat_age_ms(const struct child *c, int64_t now_ms);

/* It is ready, and its engine turns. Whether it reaches its queue is another matter: a fleet that is restarted because
 * AWS fails gains nothing. */
bool child_is_well(const struct child *c, int64_t now_ms);

const char *child_health_name(const struct child *c);

#endif
