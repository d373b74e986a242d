#include "local/sqs_impl.h"

#include <stdarg.h>
#include <stdio.h>

#define PREFIX "AWS.SimpleQueueService."
#define SHAPE  "com.amazonaws.sqs#"
#define CORAL  "com.amazon.coral.service#"

/* FACTS.md, section 1; the two shapes that the model lacks are the service framework's own. */
static const struct {
    const char *shape, *code;
    int status;
} ERRORS[] = {
    [LSQS_BATCH_IDS_NOT_DISTINCT] = {SHAPE "BatchEntryIdsNotDistinct", PREFIX "BatchEntryIdsNotDistinct", 400},
    [LSQS_BATCH_TOO_LONG] = {SHAPE "BatchRequestTooLong", PREFIX "BatchRequestTooLong", 400},
    [LSQS_EMPTY_BATCH] = {SHAPE "EmptyBatchRequest", PREFIX "EmptyBatchRequest", 400},
    [LSQS_INVALID_ADDRESS] = {SHAPE "InvalidAddress", "InvalidAddress", 404},
    [LSQS_INVALID_ATTRIBUTE_NAME] = {SHAPE "InvalidAttributeName", "InvalidAttributeName", 400},
    [LSQS_INVALID_ATTRIBUTE_VALUE] = {SHAPE "InvalidAttributeValue", "InvalidAttributeValue", 400},
    [LSQS_INVALID_BATCH_ID] = {SHAPE "InvalidBatchEntryId", PREFIX "InvalidBatchEntryId", 400},
    [LSQS_INVALID_CONTENTS] = {SHAPE "InvalidMessageContents", "InvalidMessageContents", 400},
    [LSQS_INVALID_VALUE] = {CORAL "InvalidParameterValueException", "InvalidParameterValue", 400},
    [LSQS_MISSING_PARAMETER] = {CORAL "MissingRequiredParameterException", "MissingParameter", 400},
    [LSQS_NO_SUCH_QUEUE] = {SHAPE "QueueDoesNotExist", PREFIX "NonExistentQueue", 400},
    [LSQS_OVER_LIMIT] = {SHAPE "OverLimit", "OverLimit", 403},
    [LSQS_PURGE_IN_PROGRESS] = {SHAPE "PurgeQueueInProgress", PREFIX "PurgeQueueInProgress", 403},
    [LSQS_QUEUE_DELETED_RECENTLY] = {SHAPE "QueueDeletedRecently", PREFIX "QueueDeletedRecently", 400},
    [LSQS_QUEUE_EXISTS] = {SHAPE "QueueNameExists", "QueueAlreadyExists", 400},
    [LSQS_INVALID_HANDLE] = {SHAPE "ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid", 404},
    [LSQS_TOO_MANY_ENTRIES] = {SHAPE "TooManyEntriesInBatchRequest", PREFIX "TooManyEntriesInBatchRequest", 400},
    [LSQS_UNSUPPORTED] = {SHAPE "UnsupportedOperation", PREFIX "UnsupportedOperation", 400},
    [LSQS_SERIALIZATION] = {CORAL "SerializationException", "SerializationException", 400},
    [LSQS_UNKNOWN_OPERATION] = {CORAL LSQS_NO_OPERATION, LSQS_NO_OPERATION, 400},
    /* Of Query alone: the errors that are common to AWS's services. */
    [LSQS_INVALID_ACTION] = {CORAL "InvalidAction", "InvalidAction", 400},
    [LSQS_MALFORMED_INPUT] = {CORAL "MalformedInput", "MalformedInput", 400},
    [LSQS_MALFORMED_QUERY] = {CORAL "MalformedQueryString", "MalformedQueryString", 404},
    [LSQS_INTERNAL] = {CORAL "InternalFailure", "InternalFailure", 500},
};

bool
lsqs_fail(struct lsqs_error *e, enum lsqs_error_kind kind, const char *format, ...)
{
    va_list ap;
    e->kind = kind;
    va_start(ap, format);
    vsnprintf(e->message, sizeof e->message, format, ap);
    va_end(ap);
    return false;
}

bool
lsqs_fail_missing(struct lsqs_error *e, const char *parameter)
{
    return lsqs_fail(e, LSQS_MISSING_PARAMETER, "The request must contain the parameter %s.", parameter);
}

const char *
lsqs_error_code(enum lsqs_error_kind kind)
{
    return ERRORS[kind].code;
}

const char *
lsqs_error_shape(enum lsqs_error_kind kind)
{
    return ERRORS[kind].shape;
}

int
lsqs_error_status(enum lsqs_error_kind kind)
{
    return ERRORS[kind].status;
}
