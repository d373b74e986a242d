/* dedup_store: which events were begun and completed, and by whom: a table behind one interface, for dedup.h.
 *
 * A key has no record, one in progress (with an owner and a time when it expires), or a completed one (with such a
 * time). A record that has expired is none. Times are wall time, because other processes (SQLite) and other hosts
 * (DynamoDB) read the same records; a record whose expiry is now has expired.
 *
 *     begin     no record, or the owner's own one in progress, which is how one is renewed: it is the owner's, in
 *               progress, until expires_ms: FRESH. Somebody else's in progress: BUSY until until_ms. Completed:
 *               COMPLETED. Neither of these changes anything.
 *     complete  completed until expires_ms, whoever it belonged to.
 *     forget    the record is removed if it is the owner's, in progress and lasts exactly until expires_ms: one that
 *               was taken over meanwhile stays.
 *
 * Every operation can be repeated after its answer was lost. Engine thread only, whatever threads a store has. */
#ifndef FANOUT_WORKER_DEDUP_STORE_H
#define FANOUT_WORKER_DEDUP_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

enum dedup_kind { DEDUP_BEGIN, DEDUP_COMPLETE, DEDUP_FORGET };
struct dedup_store;
enum dedup_found { DEDUP_FRESH, DEDUP_COMPLETED, DEDUP_BUSY };

/* One operation, in its owner's memory until it is answered. */
struct dedup_op {
    enum dedup_kind kind;
    struct slice key, owner;    /* not empty; unchanged until the answer */
    int64_t now_ms, expires_ms; /* wall */
    void (*done)(struct dedup_op *op);

    /* the answer */
    int code;               /* 0, or why it failed: an enum err_code; the store's `error` says more */
    enum dedup_found found; /* of begin */
    int64_t until_ms;       /* of DEDUP_BUSY */

    struct dedup_store *store; /* its own, as is next */
    struct dedup_op *next;
};

struct dedup_store_ops {
    /* True: op is answered already. False: op->done is called later, from the loop or from collect. */
    bool (*start)(struct dedup_store *s, struct dedup_op *op);

    /* Calls done for what other threads have answered. Once each turn of the loop; NULL: there are none. */
    void (*collect)(struct dedup_store *s);

    /* Ends all operations without their done. */
    void (*destroy)(struct dedup_store *s);
};

struct dedup_store {
    const struct dedup_store_ops *ops;
    struct err error; /* of the operation that failed last */
};

/* In this process's memory. At most max_entries keys (>= 1), the completed ones that were asked for longest ago give
 * way; those in progress do not, so that they may be more. */
int dedup_memory_new(size_t max_entries, struct dedup_store **ret_store, struct err *e);
size_t dedup_memory_count(const struct dedup_store *s); /* records it holds, for tests */

/* In one SQLite file, for the workers of one host; a thread of its own does the work, operations that wait for it share
 * a commit. wake, from that thread: something can be collected. The file is made when it is missing, its folder is not.
 */
int dedup_sqlite_new(const char *path, void (*wake)(void *context), void *context, struct dedup_store **ret_store,
                     struct err *e);

/* In a DynamoDB table, for a fleet. client speaks to AWS_DYNAMODB and is taken; calls end with the store.
 *
 * The partition key is the string `id`, there is no sort key. An item has `status` (INPROGRESS or COMPLETED), `owner`,
 * `in_progress_expiration` (N, ms since 1970) and `expiration` (N, s since 1970; of a record in progress a day behind
 * the former), which is for DynamoDB's time to live. Needs dynamodb:PutItem, UpdateItem, DeleteItem, and DescribeTable
 * to tell a wrong table before it is used. */
struct aws_client;
int dedup_dynamodb_new(struct aws_client *client, const char *table, struct dedup_store **ret_store, struct err *e);

#endif
