/* pool: the handler threads. They take batches from a bounded queue, call the plugin, and put what it decided into the
 * engine's inbox.
 *
 * Everything a plugin can do wrong ends here: verdicts that are none, indices out of range, messages settled twice or
 * after the call, return values that mean nothing. Such a breach of the contract never makes a message done: it is
 * counted, logged once a kind, and the message is retried.
 *
 * With `handle_batch` a batch is one call. With `handle` its messages are taken one after the other, by the thread that
 * took the batch and, while that is slow, by others that are idle; those of one group by one thread, in their order. */
#ifndef FANOUT_WORKER_POOL_H
#define FANOUT_WORKER_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "ipc/ledger.h"
#include "plugin/plugin.h"
#include "worker/batch.h"

struct pool;
struct publish_desk;

struct pool_options {
    struct plugin *plugin; /* borrowed, opened with pool_open_plugin */
    void *plugin_state;    /* what open made */
    size_t threads;
    size_t queue_batches;      /* that may wait for a thread */
    struct ledger *ledger;     /* borrowed */
    struct publish_desk *desk; /* borrowed; where handlers publish; NULL: they cannot */

    /* Handler threads: something is in the inbox, which was empty. */
    void (*wake)(void *context);
    void *context;
};

/* The plugin's open, on the calling thread: 0, or what is to be logged. *ret_state is for pool_options. */
int pool_open_plugin(struct plugin *plugin, void **ret_state, struct err *e);

/* Starts the threads and waits until every one has run thread_open. ERR_DENIED: thread_open refused. */
int pool_new(const struct pool_options *options, struct pool **ret_pool, struct err *e);

/* The engine thread's side. pool_submit has room for queue_batches and wakes nobody: pool_wake does, for all that were
 * submitted since. pool_take_back gives NULL when none waits. */
void pool_submit(struct pool *p, struct batch *b);
void pool_wake(struct pool *p);
struct batch *pool_take_back(struct pool *p);

/* Has idle threads help with batches, of a plugin with `handle`, that turn out to be slow (share.h). To be called in
 * each turn, and after as many milliseconds as it returns, most_ms at most. */
int64_t pool_watch(struct pool *p, int64_t most_ms, int64_t now_ms);
struct inbox *pool_inbox(struct pool *p);

/* host->stopping says so from now on, and no message that was not begun is begun. Any thread. */
void pool_set_stopping(struct pool *p);

/* While held no message is begun, but those of batches that are trials: they come back as VERDICT_HELD. So does what is
 * left of a batch, of a plugin with `handle`, in which a message said HANDLER_DOWN. Any thread. */
void pool_set_held(struct pool *p, bool held);

/* Ends the threads (each runs thread_close). Returns false, and the pool must live on, when one of them is still inside
 * the plugin after wait_ms. The engine must have stopped. */
bool pool_stop(struct pool *p, int64_t wait_ms);

/* After pool_stop, and after the plugin was closed: until then a thread of its own may hold a call that is over, and
 * use it, which is a breach to be refused and not a crash. */
void pool_destroy(struct pool *p);

#endif
