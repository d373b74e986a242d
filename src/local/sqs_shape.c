#include "local/sqs_shape.h"

#include "local/sqs_move.h"

/* One value; a list or map of texts, under its items' name in Query; the same of structs. */
#define MEMBER(type_, struct_, field, name_)                                                                           \
    {                                                                                                                  \
        .name = (name_), .type = (type_), .offset = offsetof(struct struct_, field)                                    \
    }
#define TEXTS(type_, struct_, field, name_, query_, ...)                                                               \
    {                                                                                                                  \
        .name = (name_), .type = (type_), .offset = offsetof(struct struct_, field), .query = (query_), __VA_ARGS__    \
    }
#define LIST(type_, struct_, field, name_, query_, shape_, ...)                                                        \
    {                                                                                                                  \
        .name = (name_), .type = (type_), .offset = offsetof(struct struct_, field), .query = (query_),                \
        .shape = &(shape_), __VA_ARGS__                                                                                \
    }
#define SHAPE(name_, struct_, members_)                                                                                \
    const struct lsqs_shape name_ = {                                                                                  \
        .size = sizeof(struct struct_), .members = (members_), .n_members = sizeof(members_) / sizeof *(members_)}

size_t
lsqs_item_size(const struct lsqs_member *m)
{
    return m->shape ? m->shape->size : m->type == LSQS_MAP ? sizeof(struct local_sqs_attribute) : sizeof(struct slice);
}

bool
lsqs_is_given(const struct lsqs_member *m, const char *at)
{
    switch (m->type) {
    case LSQS_STRING:
    case LSQS_BLOB:
        return ((const struct slice *)(const void *)at)->p != NULL;
    case LSQS_INT:
    case LSQS_FLAG:
        return ((const struct lsqs_int *)(const void *)at)->given;
    default:
        return m->always || ((const struct lsqs_list *)(const void *)at)->n > 0;
    }
}

/* ---- message attributes ------------------------------------------------------------------------------------------ */

static const struct lsqs_member ATTRIBUTE_MEMBERS[] = {
    MEMBER(LSQS_STRING, lsqs_attribute, string_value, "StringValue"),
    MEMBER(LSQS_BLOB, lsqs_attribute, binary_value, "BinaryValue"),
    TEXTS(LSQS_STRINGS, lsqs_attribute, string_list, "StringListValues", "StringListValue"),
    TEXTS(LSQS_STRINGS, lsqs_attribute, binary_list, "BinaryListValues", "BinaryListValue"),
    MEMBER(LSQS_STRING, lsqs_attribute, data_type, "DataType"),
};
static SHAPE(ATTRIBUTE, lsqs_attribute, ATTRIBUTE_MEMBERS);

/* ---- requests ---------------------------------------------------------------------------------------------------- */

static const struct lsqs_member QUEUE_MEMBERS[] = {
    MEMBER(LSQS_STRING, lsqs_queue_request, queue_url, "QueueUrl"),
};
SHAPE(LSQS_SHAPE_QUEUE, lsqs_queue_request, QUEUE_MEMBERS);

static const struct lsqs_member CREATE_MEMBERS[] = {
    MEMBER(LSQS_STRING, lsqs_create_queue, name, "QueueName"),
    TEXTS(LSQS_MAP, lsqs_create_queue, attributes, "Attributes", "Attribute"),
    TEXTS(LSQS_MAP, lsqs_create_queue, tags, "tags", "Tag", .query_key = "Key"),
};
SHAPE(LSQS_SHAPE_CREATE_QUEUE, lsqs_create_queue, CREATE_MEMBERS);

static const struct lsqs_member LIST_MEMBERS[] = {
    MEMBER(LSQS_STRING, lsqs_list_queues, prefix, "QueueNamePrefix"),
    MEMBER(LSQS_STRING, lsqs_list_queues, token, "NextToken"),
    MEMBER(LSQS_INT, lsqs_list_queues, max, "MaxResults"),
};
SHAPE(LSQS_SHAPE_LIST_QUEUES, lsqs_list_queues, LIST_MEMBERS);

static const struct lsqs_member LIST_SOURCES_MEMBERS[] = {
    MEMBER(LSQS_STRING, lsqs_list_sources, queue_url, "QueueUrl"),
    MEMBER(LSQS_STRING, lsqs_list_sources, token, "NextToken"),
    MEMBER(LSQS_INT, lsqs_list_sources, max, "MaxResults"),
};
SHAPE(LSQS_SHAPE_LIST_SOURCES, lsqs_list_sources, LIST_SOURCES_MEMBERS);

static const struct lsqs_member GET_URL_MEMBERS[] = {
    MEMBER(LSQS_STRING, lsqs_get_url, name, "QueueName"),
    MEMBER(LSQS_STRING, lsqs_get_url, owner, "QueueOwnerAWSAccountId"),
};
SHAPE(LSQS_SHAPE_GET_URL, lsqs_get_url, GET_URL_MEMBERS);

static const struct lsqs_member GET_ATTRIBUTES_MEMBERS[] = {
    MEMBER(LSQS_STRING, lsqs_get_attributes, queue_url, "QueueUrl"),
    TEXTS(LSQS_STRINGS, lsqs_get_attributes, names, "AttributeNames", "AttributeName"),
};
SHAPE(LSQS_SHAPE_GET_ATTRIBUTES, lsqs_get_attributes, GET_ATTRIBUTES_MEMBERS);

static const struct lsqs_member SET_ATTRIBUTES_MEMBERS[] = {
    MEMBER(LSQS_STRING, lsqs_set_attributes, queue_url, "QueueUrl"),
    TEXTS(LSQS_MAP, lsqs_set_attributes, attributes, "Attributes", "Attribute"),
};
SHAPE(LSQS_SHAPE_SET_ATTRIBUTES, lsqs_set_attributes, SET_ATTRIBUTES_MEMBERS);

static const struct lsqs_member SEND_MEMBERS[] = {
    MEMBER(LSQS_STRING, lsqs_send_one, queue_url, "QueueUrl"),
    MEMBER(LSQS_STRING, lsqs_send_one, entry.body, "MessageBody"),
    MEMBER(LSQS_INT, lsqs_send_one, entry.delay_s, "DelaySeconds"),
    LIST(LSQS_MAP_OF, lsqs_send_one, entry.attributes, "MessageAttributes", "MessageAttribute", ATTRIBUTE),
    LIST(LSQS_MAP_OF, lsqs_send_one, entry.system_attributes, "MessageSystemAttributes", "MessageSystemAttribute",
         ATTRIBUTE),
    MEMBER(LSQS_STRING, lsqs_send_one, entry.deduplication_id, "MessageDeduplicationId"),
    MEMBER(LSQS_STRING, lsqs_send_one, entry.group_id, "MessageGroupId"),
};
SHAPE(LSQS_SHAPE_SEND, lsqs_send_one, SEND_MEMBERS);

static const struct lsqs_member SEND_ENTRY_MEMBERS[] = {
    MEMBER(LSQS_STRING, lsqs_send, id, "Id"),
    MEMBER(LSQS_STRING, lsqs_send, body, "MessageBody"),
    MEMBER(LSQS_INT, lsqs_send, delay_s, "DelaySeconds"),
    LIST(LSQS_MAP_OF, lsqs_send, attributes, "MessageAttributes", "MessageAttribute", ATTRIBUTE),
    LIST(LSQS_MAP_OF, lsqs_send, system_attributes, "MessageSystemAttributes", "MessageSystemAttribute", ATTRIBUTE),
    MEMBER(LSQS_STRING, lsqs_send, deduplication_id, "MessageDeduplicationId"),
    MEMBER(LSQS_STRING, lsqs_send, group_id, "MessageGroupId"),
};
static SHAPE(SEND_ENTRY, lsqs_send, SEND_ENTRY_MEMBERS);

static const struct lsqs_member SEND_BATCH_MEMBERS[] = {
    MEMBER(LSQS_STRING, lsqs_batch, queue_url, "QueueUrl"),
    LIST(LSQS_LIST, lsqs_batch, entries, "Entries", "SendMessageBatchRequestEntry", SEND_ENTRY),
};
SHAPE(LSQS_SHAPE_SEND_BATCH, lsqs_batch, SEND_BATCH_MEMBERS);

static const struct lsqs_member RECEIVE_MEMBERS[] = {
    MEMBER(LSQS_STRING, lsqs_receive, queue_url, "QueueUrl"),
    TEXTS(LSQS_STRINGS, lsqs_receive, attribute_names, "AttributeNames", "AttributeName"),
    TEXTS(LSQS_STRINGS, lsqs_receive, system_names, "MessageSystemAttributeNames", "MessageSystemAttributeName"),
    TEXTS(LSQS_STRINGS, lsqs_receive, message_names, "MessageAttributeNames", "MessageAttributeName"),
    MEMBER(LSQS_INT, lsqs_receive, max, "MaxNumberOfMessages"),
    MEMBER(LSQS_INT, lsqs_receive, visibility_s, "VisibilityTimeout"),
    MEMBER(LSQS_INT, lsqs_receive, wait_s, "WaitTimeSeconds"),
    MEMBER(LSQS_STRING, lsqs_receive, attempt_id, "ReceiveRequestAttemptId"),
};
SHAPE(LSQS_SHAPE_RECEIVE, lsqs_receive, RECEIVE_MEMBERS);

static const struct lsqs_member SETTLE_MEMBERS[] = {
    MEMBER(LSQS_STRING, lsqs_settle_one, queue_url, "QueueUrl"),
    MEMBER(LSQS_STRING, lsqs_settle_one, entry.handle, "ReceiptHandle"),
    MEMBER(LSQS_INT, lsqs_settle_one, entry.visibility_s, "VisibilityTimeout"),
};
SHAPE(LSQS_SHAPE_SETTLE, lsqs_settle_one, SETTLE_MEMBERS);

static const struct lsqs_member SETTLE_ENTRY_MEMBERS[] = {
    MEMBER(LSQS_STRING, lsqs_settle, id, "Id"),
    MEMBER(LSQS_STRING, lsqs_settle, handle, "ReceiptHandle"),
    MEMBER(LSQS_INT, lsqs_settle, visibility_s, "VisibilityTimeout"),
};
static SHAPE(SETTLE_ENTRY, lsqs_settle, SETTLE_ENTRY_MEMBERS);

static const struct lsqs_member DELETE_BATCH_MEMBERS[] = {
    MEMBER(LSQS_STRING, lsqs_batch, queue_url, "QueueUrl"),
    LIST(LSQS_LIST, lsqs_batch, entries, "Entries", "DeleteMessageBatchRequestEntry", SETTLE_ENTRY),
};
SHAPE(LSQS_SHAPE_DELETE_BATCH, lsqs_batch, DELETE_BATCH_MEMBERS);

static const struct lsqs_member VISIBILITY_BATCH_MEMBERS[] = {
    MEMBER(LSQS_STRING, lsqs_batch, queue_url, "QueueUrl"),
    LIST(LSQS_LIST, lsqs_batch, entries, "Entries", "ChangeMessageVisibilityBatchRequestEntry", SETTLE_ENTRY),
};
SHAPE(LSQS_SHAPE_VISIBILITY_BATCH, lsqs_batch, VISIBILITY_BATCH_MEMBERS);

static const struct lsqs_member TAG_MEMBERS[] = {
    MEMBER(LSQS_STRING, lsqs_tag, queue_url, "QueueUrl"),
    TEXTS(LSQS_MAP, lsqs_tag, tags, "Tags", "Tag", .query_key = "Key"),
};
SHAPE(LSQS_SHAPE_TAG, lsqs_tag, TAG_MEMBERS);

static const struct lsqs_member UNTAG_MEMBERS[] = {
    MEMBER(LSQS_STRING, lsqs_untag, queue_url, "QueueUrl"),
    TEXTS(LSQS_STRINGS, lsqs_untag, keys, "TagKeys", "TagKey"),
};
SHAPE(LSQS_SHAPE_UNTAG, lsqs_untag, UNTAG_MEMBERS);

static const struct lsqs_member PERMISSION_MEMBERS[] = {
    MEMBER(LSQS_STRING, lsqs_permission, queue_url, "QueueUrl"),
    MEMBER(LSQS_STRING, lsqs_permission, label, "Label"),
    TEXTS(LSQS_STRINGS, lsqs_permission, accounts, "AWSAccountIds", "AWSAccountId"),
    TEXTS(LSQS_STRINGS, lsqs_permission, actions, "Actions", "ActionName"),
};
SHAPE(LSQS_SHAPE_PERMISSION, lsqs_permission, PERMISSION_MEMBERS);

/* ---- results ----------------------------------------------------------------------------------------------------- */

static const struct lsqs_member URL_MEMBERS[] = {MEMBER(LSQS_STRING, lsqs_url_result, url, "QueueUrl")};
SHAPE(LSQS_SHAPE_URL, lsqs_url_result, URL_MEMBERS);

static const struct lsqs_member URLS_MEMBERS[] = {
    TEXTS(LSQS_STRINGS, lsqs_urls_result, urls, "QueueUrls", "QueueUrl"),
    MEMBER(LSQS_STRING, lsqs_urls_result, token, "NextToken"),
};
SHAPE(LSQS_SHAPE_URLS, lsqs_urls_result, URLS_MEMBERS);

static const struct lsqs_member SOURCES_MEMBERS[] = {
    TEXTS(LSQS_STRINGS, lsqs_urls_result, urls, "queueUrls", "QueueUrl", .always = true),
    MEMBER(LSQS_STRING, lsqs_urls_result, token, "NextToken"),
};
SHAPE(LSQS_SHAPE_SOURCES, lsqs_urls_result, SOURCES_MEMBERS);

static const struct lsqs_member ATTRIBUTES_MEMBERS[] = {
    TEXTS(LSQS_MAP, lsqs_attributes_result, attributes, "Attributes", "Attribute"),
};
SHAPE(LSQS_SHAPE_ATTRIBUTES, lsqs_attributes_result, ATTRIBUTES_MEMBERS);

static const struct lsqs_member TAGS_MEMBERS[] = {
    TEXTS(LSQS_MAP, lsqs_tags_result, tags, "Tags", "Tag", .query_key = "Key"),
};
SHAPE(LSQS_SHAPE_TAGS, lsqs_tags_result, TAGS_MEMBERS);

static const struct lsqs_member SENT_MEMBERS[] = {
    MEMBER(LSQS_STRING, lsqs_sent, id, "Id"),
    MEMBER(LSQS_STRING, lsqs_sent, message_id, "MessageId"),
    MEMBER(LSQS_STRING, lsqs_sent, md5, "MD5OfMessageBody"),
    MEMBER(LSQS_STRING, lsqs_sent, md5_attributes, "MD5OfMessageAttributes"),
    MEMBER(LSQS_STRING, lsqs_sent, md5_system, "MD5OfMessageSystemAttributes"),
    MEMBER(LSQS_STRING, lsqs_sent, sequence, "SequenceNumber"),
};
SHAPE(LSQS_SHAPE_SENT, lsqs_sent, SENT_MEMBERS);

static const struct lsqs_member SETTLED_MEMBERS[] = {MEMBER(LSQS_STRING, lsqs_settled, id, "Id")};
static SHAPE(SETTLED, lsqs_settled, SETTLED_MEMBERS);

static const struct lsqs_member FAILED_MEMBERS[] = {
    MEMBER(LSQS_STRING, lsqs_failed, id, "Id"),
    MEMBER(LSQS_FLAG, lsqs_failed, sender, "SenderFault"),
    MEMBER(LSQS_STRING, lsqs_failed, code, "Code"),
    MEMBER(LSQS_STRING, lsqs_failed, message, "Message"),
};
static SHAPE(FAILED, lsqs_failed, FAILED_MEMBERS);

static const struct lsqs_member SENT_BATCH_MEMBERS[] = {
    LIST(LSQS_LIST, lsqs_batch_result, successful, "Successful", "SendMessageBatchResultEntry", LSQS_SHAPE_SENT,
         .always = true),
    LIST(LSQS_LIST, lsqs_batch_result, failed, "Failed", "BatchResultErrorEntry", FAILED),
};
SHAPE(LSQS_SHAPE_SENT_BATCH, lsqs_batch_result, SENT_BATCH_MEMBERS);

static const struct lsqs_member DELETED_BATCH_MEMBERS[] = {
    LIST(LSQS_LIST, lsqs_batch_result, successful, "Successful", "DeleteMessageBatchResultEntry", SETTLED,
         .always = true),
    LIST(LSQS_LIST, lsqs_batch_result, failed, "Failed", "BatchResultErrorEntry", FAILED),
};
SHAPE(LSQS_SHAPE_DELETED_BATCH, lsqs_batch_result, DELETED_BATCH_MEMBERS);

static const struct lsqs_member CHANGED_BATCH_MEMBERS[] = {
    LIST(LSQS_LIST, lsqs_batch_result, successful, "Successful", "ChangeMessageVisibilityBatchResultEntry", SETTLED,
         .always = true),
    LIST(LSQS_LIST, lsqs_batch_result, failed, "Failed", "BatchResultErrorEntry", FAILED),
};
SHAPE(LSQS_SHAPE_CHANGED_BATCH, lsqs_batch_result, CHANGED_BATCH_MEMBERS);

static const struct lsqs_member MESSAGE_MEMBERS[] = {
    MEMBER(LSQS_STRING, lsqs_message, message_id, "MessageId"),
    MEMBER(LSQS_STRING, lsqs_message, handle, "ReceiptHandle"),
    MEMBER(LSQS_STRING, lsqs_message, md5, "MD5OfBody"),
    MEMBER(LSQS_STRING, lsqs_message, body, "Body"),
    TEXTS(LSQS_MAP, lsqs_message, attributes, "Attributes", "Attribute"),
    MEMBER(LSQS_STRING, lsqs_message, md5_attributes, "MD5OfMessageAttributes"),
    LIST(LSQS_MAP_OF, lsqs_message, message_attributes, "MessageAttributes", "MessageAttribute", ATTRIBUTE),
};
static SHAPE(MESSAGE, lsqs_message, MESSAGE_MEMBERS);

static const struct lsqs_member MESSAGES_MEMBERS[] = {
    LIST(LSQS_LIST, lsqs_messages_result, messages, "Messages", "Message", MESSAGE),
};
SHAPE(LSQS_SHAPE_MESSAGES, lsqs_messages_result, MESSAGES_MEMBERS);

/* ---- message move tasks ------------------------------------------------------------------------------------------ */

static const struct lsqs_member START_MOVE_MEMBERS[] = {
    MEMBER(LSQS_STRING, lsqs_start_move, source_arn, "SourceArn"),
    MEMBER(LSQS_STRING, lsqs_start_move, destination_arn, "DestinationArn"),
    MEMBER(LSQS_INT, lsqs_start_move, rate, "MaxNumberOfMessagesPerSecond"),
};
SHAPE(LSQS_SHAPE_START_MOVE, lsqs_start_move, START_MOVE_MEMBERS);

static const struct lsqs_member MOVE_STARTED_MEMBERS[] = {
    MEMBER(LSQS_STRING, lsqs_move_started, handle, "TaskHandle"),
};
SHAPE(LSQS_SHAPE_MOVE_STARTED, lsqs_move_started, MOVE_STARTED_MEMBERS);

static const struct lsqs_member CANCEL_MOVE_MEMBERS[] = {
    MEMBER(LSQS_STRING, lsqs_cancel_move, handle, "TaskHandle"),
};
SHAPE(LSQS_SHAPE_CANCEL_MOVE, lsqs_cancel_move, CANCEL_MOVE_MEMBERS);

static const struct lsqs_member MOVE_CANCELLED_MEMBERS[] = {
    MEMBER(LSQS_INT, lsqs_move_cancelled, moved, "ApproximateNumberOfMessagesMoved"),
};
SHAPE(LSQS_SHAPE_MOVE_CANCELLED, lsqs_move_cancelled, MOVE_CANCELLED_MEMBERS);

static const struct lsqs_member LIST_MOVES_MEMBERS[] = {
    MEMBER(LSQS_STRING, lsqs_list_moves, source_arn, "SourceArn"),
    MEMBER(LSQS_INT, lsqs_list_moves, max, "MaxResults"),
};
SHAPE(LSQS_SHAPE_LIST_MOVES, lsqs_list_moves, LIST_MOVES_MEMBERS);

static const struct lsqs_member MOVE_MEMBERS[] = {
    MEMBER(LSQS_STRING, lsqs_move, handle, "TaskHandle"),
    MEMBER(LSQS_STRING, lsqs_move, status, "Status"),
    MEMBER(LSQS_STRING, lsqs_move, source_arn, "SourceArn"),
    MEMBER(LSQS_STRING, lsqs_move, destination_arn, "DestinationArn"),
    MEMBER(LSQS_INT, lsqs_move, rate, "MaxNumberOfMessagesPerSecond"),
    MEMBER(LSQS_INT, lsqs_move, moved, "ApproximateNumberOfMessagesMoved"),
    MEMBER(LSQS_INT, lsqs_move, to_move, "ApproximateNumberOfMessagesToMove"),
    MEMBER(LSQS_STRING, lsqs_move, failure, "FailureReason"),
    MEMBER(LSQS_INT, lsqs_move, started_at_ms, "StartedTimestamp"),
};
static SHAPE(MOVE, lsqs_move, MOVE_MEMBERS);

static const struct lsqs_member MOVES_MEMBERS[] = {
    LIST(LSQS_LIST, lsqs_moves_result, moves, "Results", "ListMessageMoveTasksResultEntry", MOVE, .always = true),
};
SHAPE(LSQS_SHAPE_MOVES, lsqs_moves_result, MOVES_MEMBERS);
