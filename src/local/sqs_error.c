#include "local/sqs_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

#define PREFIX "AWS.SimpleQueueService."
#define SHAPE  "com.amazonaws.sqs#"
#define CORAL  "com.amazon.coral.service#"

/* The model's errors, and the service framework's own, which the model lacks. The code is what the Query protocol and
 * x-amzn-query-error call it; of the framework's, a request that cannot be read is MalformedInput there.
 *
 * What comes first when a request is wrong in several ways: its signature; that it can be read at all (of two wrong
 * types the first in the text); the queue URL's form and account; what its members may be, in the order of the
 * operation's check function; that the queue exists; then what depends on the queue. Type errors before all others is
 * what AWS was seen to do; where AWS puts the missing queue among the rest, nobody has recorded. */
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
    [LSQS_NOT_FOUND] = {SHAPE "ResourceNotFoundException", "ResourceNotFoundException", 404},
    [LSQS_NO_SUCH_QUEUE] = {SHAPE "QueueDoesNotExist", PREFIX "NonExistentQueue", 400},
    [LSQS_OVER_LIMIT] = {SHAPE "OverLimit", "OverLimit", 403},
    [LSQS_PURGE_IN_PROGRESS] = {SHAPE "PurgeQueueInProgress", PREFIX "PurgeQueueInProgress", 403},
    [LSQS_QUEUE_DELETED_RECENTLY] = {SHAPE "QueueDeletedRecently", PREFIX "QueueDeletedRecently", 400},
    [LSQS_QUEUE_EXISTS] = {SHAPE "QueueNameExists", "QueueAlreadyExists", 400},
    [LSQS_INVALID_HANDLE] = {SHAPE "ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid", 404},
    [LSQS_THROTTLED] = {SHAPE "RequestThrottled", "RequestThrottled", 403},
    [LSQS_TOO_MANY_ENTRIES] = {SHAPE "TooManyEntriesInBatchRequest", PREFIX "TooManyEntriesInBatchRequest", 400},
    [LSQS_UNSUPPORTED] = {SHAPE "UnsupportedOperation", PREFIX "UnsupportedOperation", 400},
    [LSQS_SERIALIZATION] = {CORAL "SerializationException", "MalformedInput", 400},
    [LSQS_UNKNOWN_OPERATION] = {CORAL LSQS_NO_OPERATION, LSQS_NO_OPERATION, 400},
    /* Of Query alone: the errors that are common to AWS's services. */
    [LSQS_INVALID_ACTION] = {CORAL "InvalidAction", "InvalidAction", 400},
    [LSQS_MALFORMED_INPUT] = {CORAL "MalformedInput", "MalformedInput", 400},
    [LSQS_MALFORMED_QUERY] = {CORAL "MalformedQueryString", "MalformedQueryString", 404},
    [LSQS_INTERNAL] = {CORAL "InternalFailure", "InternalFailure", 500},
    [LSQS_INVALID_ID_FORMAT] = {SHAPE "InvalidIdFormat", "InvalidIdFormat", 400},
    [LSQS_INVALID_SECURITY] = {SHAPE "InvalidSecurity", "InvalidSecurity", 403},
    [LSQS_KMS_ACCESS_DENIED] = {SHAPE "KmsAccessDenied", "KMS.AccessDeniedException", 400},
    [LSQS_KMS_DISABLED] = {SHAPE "KmsDisabled", "KMS.DisabledException", 400},
    [LSQS_KMS_INVALID_KEY_USAGE] = {SHAPE "KmsInvalidKeyUsage", "KMS.InvalidKeyUsageException", 400},
    [LSQS_KMS_INVALID_STATE] = {SHAPE "KmsInvalidState", "KMS.InvalidStateException", 400},
    [LSQS_KMS_NOT_FOUND] = {SHAPE "KmsNotFound", "KMS.NotFoundException", 400},
    [LSQS_KMS_OPT_IN_REQUIRED] = {SHAPE "KmsOptInRequired", "KMS.OptInRequired", 403},
    [LSQS_KMS_THROTTLED] = {SHAPE "KmsThrottled", "KMS.ThrottlingException", 400},
    [LSQS_MESSAGE_NOT_IN_FLIGHT] = {SHAPE "MessageNotInflight", PREFIX "MessageNotInflight", 400},
};
#define N_ERRORS (sizeof ERRORS / sizeof *ERRORS)

/* Texts that are shown in part end anywhere: what is left of a character there goes. */
static void
drop_broken_characters(char *text)
{
    char *end = text + strlen(text), *to = text;
    for (const char *p = text; p < end;) {
        size_t n = utf8_length(p, end);
        if (n > 0)
            memmove(to, p, n);
        to += n;
        p += n > 0 ? n : 1;
    }
    *to = '\0';
}

bool
lsqs_fail(struct lsqs_error *e, enum lsqs_error_kind kind, const char *format, ...)
{
    va_list ap;
    e->kind = kind;
    va_start(ap, format);
    vsnprintf(e->message, sizeof e->message, format, ap);
    va_end(ap);
    drop_broken_characters(e->message);
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

enum lsqs_error_kind
lsqs_error_named(const char *name)
{
    for (size_t i = 0; i < N_ERRORS; i++)
        if (ERRORS[i].code &&
            (strcmp(name, ERRORS[i].code) == 0 || strcmp(name, strchr(ERRORS[i].shape, '#') + 1) == 0))
            return (enum lsqs_error_kind)i;
    return LSQS_OK;
}
