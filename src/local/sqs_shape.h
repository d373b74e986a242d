/* sqs_shape: the members of every request and result, for the codecs. One more codec is one more reader of these.
 *
 * Names are those of the JSON protocol. Query has other names for lists and maps: that of one item, for there is
 * nothing around the items. */
#ifndef FANOUT_LOCAL_SQS_SHAPE_H
#define FANOUT_LOCAL_SQS_SHAPE_H

#include "local/sqs_impl.h"

/* Is there something to be written? at: where the member is. */
bool lsqs_is_given(const struct lsqs_member *m, const char *at);

size_t lsqs_item_size(const struct lsqs_member *m); /* of a list's or map's */

static inline const char *
lsqs_query_name(const struct lsqs_member *m)
{
    return m->query ? m->query : m->name;
}

static inline const char *
lsqs_query_key(const struct lsqs_member *m)
{
    return m->query_key ? m->query_key : "Name";
}

extern const struct lsqs_shape LSQS_SHAPE_QUEUE, LSQS_SHAPE_CREATE_QUEUE, LSQS_SHAPE_LIST_QUEUES, LSQS_SHAPE_GET_URL,
    LSQS_SHAPE_GET_ATTRIBUTES, LSQS_SHAPE_SET_ATTRIBUTES, LSQS_SHAPE_SEND, LSQS_SHAPE_SEND_BATCH, LSQS_SHAPE_RECEIVE,
    LSQS_SHAPE_SETTLE, LSQS_SHAPE_DELETE_BATCH, LSQS_SHAPE_VISIBILITY_BATCH, LSQS_SHAPE_TAG, LSQS_SHAPE_UNTAG,
    LSQS_SHAPE_PERMISSION, LSQS_SHAPE_LIST_SOURCES, LSQS_SHAPE_START_MOVE, LSQS_SHAPE_CANCEL_MOVE,
    LSQS_SHAPE_LIST_MOVES;

extern const struct lsqs_shape LSQS_SHAPE_URL, LSQS_SHAPE_URLS, LSQS_SHAPE_ATTRIBUTES, LSQS_SHAPE_SENT,
    LSQS_SHAPE_SENT_BATCH, LSQS_SHAPE_DELETED_BATCH, LSQS_SHAPE_CHANGED_BATCH, LSQS_SHAPE_MESSAGES, LSQS_SHAPE_TAGS,
    LSQS_SHAPE_SOURCES, LSQS_SHAPE_MOVE_STARTED, LSQS_SHAPE_MOVE_CANCELLED, LSQS_SHAPE_MOVES;

#endif
