/* call: one handler call in progress, as the host functions see it (pool.c runs it, host.c answers it). */
#ifndef FANOUT_WORKER_CALL_H
#define FANOUT_WORKER_CALL_H

#include <fanout/handler.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "ipc/ledger.h"
#include "worker/batch.h"
#include "worker/inbox.h"
#include "worker/message.h"

/* Breaches of the handler contract. */
enum breach {
    BREACH_INDEX,     /* an index that this call does not have */
    BREACH_TWICE,     /* settle: settled before */
    BREACH_VERDICT,   /* settle: no such verdict */
    BREACH_CALL,      /* a host function with a call that is not this thread's current one */
    BREACH_RETURN,    /* a return value that is no verdict */
    BREACH_FORGOTTEN, /* returned UNSET with messages unsettled */
    BREACH_PUBLISH,   /* published for a message that was settled */
    BREACH_KINDS
};

struct publish_desk;

/* What all handler threads share. */
struct call_shared {
    struct inbox inbox;
    struct metrics *metrics;
    const char *plugin;        /* its name, for logs */
    struct publish_desk *desk; /* NULL: nothing may be published */
    _Atomic bool stopping;
    _Atomic bool held;                   /* nothing is begun but trials: the breaker is not closed */
    _Atomic bool breached[BREACH_KINDS]; /* logged already */
    void (*wake)(void *context);
    void *context;
};

/* One for each handler thread, reused for all its calls: a stale pointer in a plugin's hand stays valid memory. */
struct handler_call {
    struct call_shared *shared;
    pthread_t thread;
    _Atomic bool running;
    bool down;      /* a message of it was settled as HANDLER_DOWN */
    bool publishes; /* ... as HANDLER_DONE, and has published something */
    bool posted;    /* ... in whatever way: the engine has it */
    struct batch *batch;
    struct message *const *messages; /* messages[i] is index i of the call */
    uint32_t count;
    struct arena arena;       /* of what host_view.c makes for the current call */
    struct host_view **views; /* by index; NULL: nothing was asked for */
};

/* The message of an index of the calling thread's current call; NULL: a breach, which is counted. */
struct message *host_message(struct handler_call *call, uint32_t index);

/* The call is over: what its views hold goes. */
void host_forget_views(struct handler_call *call);

extern const struct handler_host host_table;

/* host->option answers from this plugin while open runs on the calling thread; NULL ends that. */
struct plugin;
void host_set_opening(const struct plugin *plugin);

/* Whether the last open on the calling thread looked up the extension of that id. */
bool host_opened_with(const char *extension);

/* What the calling thread, a handler's, shares with the others; NULL: it is none (any more). */
void host_set_thread(struct call_shared *shared);

/* Counts the breach and logs the first of its kind. m may be NULL. */
void host_breach(struct call_shared *shared, enum breach kind, const struct message *m, int64_t value);

/* Puts a node into the engine's inbox and wakes the engine when that is needed. */
void host_post(struct call_shared *shared, struct inbox_node *node);

#endif
