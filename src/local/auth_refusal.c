#include "local/auth_refusal.h"

#include <stddef.h>
#include <string.h>

#define INVALID "The security token included in the request is invalid."
#define UNKNOWN "The AWS Access Key Id you provided does not exist in our records."
#define EXPIRED "The security token included in the request is expired"
#define MISMATCH                                                                                                       \
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key " \
    "and signing method. Consult the service documentation for details."
#define MISMATCH_S3                                                                                                    \
    "The request signature we calculated does not match the signature you provided. Check your key and signing "       \
    "method."
#define OLD "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."

static const struct local_auth_words WORDS[][LOCAL_AUTH_N_DIALECTS] = {
    [LOCAL_AUTH_MISSING] = {{403, "MissingAuthenticationToken", "Request is missing Authentication Token"},
                            {400, "MissingAuthenticationTokenException", "Missing Authentication Token"},
                            {403, "AccessDenied", "Access Denied"}},
    [LOCAL_AUTH_MALFORMED] = {{400, "IncompleteSignature", NULL},
                              {400, "IncompleteSignatureException", NULL},
                              {400, "AuthorizationHeaderMalformed", NULL}},
    [LOCAL_AUTH_OLD_VERSION] = {{400, "IncompleteSignature", OLD},
                                {400, "IncompleteSignatureException", OLD},
                                {400, "InvalidRequest", OLD}},
    [LOCAL_AUTH_NOT_ALL_SIGNED] = {{403, "SignatureDoesNotMatch", NULL},
                                   {400, "InvalidSignatureException", NULL},
                                   {403, "AccessDenied", NULL}},
    [LOCAL_AUTH_UNKNOWN_KEY] = {{403, "InvalidClientTokenId", INVALID},
                                {400, "UnrecognizedClientException", INVALID},
                                {403, "InvalidAccessKeyId", UNKNOWN}},
    [LOCAL_AUTH_NO_TOKEN] = {{403, "InvalidClientTokenId", INVALID},
                             {400, "UnrecognizedClientException", INVALID},
                             {403, "InvalidAccessKeyId", UNKNOWN}},
    [LOCAL_AUTH_WRONG_TOKEN] = {{403, "InvalidClientTokenId", INVALID},
                                {400, "UnrecognizedClientException", INVALID},
                                {400, "InvalidToken", "The provided token is malformed or otherwise invalid."}},
    [LOCAL_AUTH_EXPIRED_TOKEN] = {{403, "ExpiredToken", EXPIRED},
                                  {400, "ExpiredTokenException", EXPIRED},
                                  {400, "ExpiredToken", "The provided token has expired."}},
    [LOCAL_AUTH_WRONG_SIGNATURE] = {{403, "SignatureDoesNotMatch", MISMATCH},
                                    {400, "InvalidSignatureException", MISMATCH},
                                    {403, "SignatureDoesNotMatch", MISMATCH_S3}},
    [LOCAL_AUTH_WRONG_TIME] = {{403, "SignatureDoesNotMatch", NULL},
                               {400, "InvalidSignatureException", NULL},
                               {403, "RequestTimeTooSkewed",
                                "The difference between the request time and the current time is too large."}},
    [LOCAL_AUTH_WRONG_SCOPE] = {{403, "SignatureDoesNotMatch", NULL},
                                {400, "InvalidSignatureException", NULL},
                                {400, "AuthorizationHeaderMalformed", NULL}},
    [LOCAL_AUTH_PRESIGNED_EXPIRED] = {{403, "SignatureDoesNotMatch", NULL},
                                      {400, "InvalidSignatureException", NULL},
                                      {403, "AccessDenied", "Request has expired"}},
    [LOCAL_AUTH_WRONG_PAYLOAD] = {{403, "SignatureDoesNotMatch", MISMATCH},
                                  {400, "InvalidSignatureException", MISMATCH},
                                  {400, "XAmzContentSHA256Mismatch",
                                   "The provided 'x-amz-content-sha256' header does not match what was computed."}},
    [LOCAL_AUTH_NO_PAYLOAD_HASH] = {{403, "SignatureDoesNotMatch", MISMATCH},
                                    {400, "InvalidSignatureException", MISMATCH},
                                    {400, "InvalidRequest",
                                     "Missing required header for this request: x-amz-content-sha256"}},
    [LOCAL_AUTH_NO_MEMORY] = {{500, "InternalFailure", "out of memory"},
                              {500, "InternalFailure", "out of memory"},
                              {500, "InternalError", "out of memory"}},
};

struct local_auth_words
local_auth_words(enum local_auth_reason reason, enum local_auth_dialect dialect)
{
    return WORDS[reason][dialect];
}

const char *
local_auth_shape(const char *sqs_code)
{
    static const struct {
        const char *code, *shape;
    } SHAPES[] = {
        {"MissingAuthenticationToken", "com.amazon.coral.service#MissingAuthenticationTokenException"},
        {"IncompleteSignature", "com.amazon.coral.service#IncompleteSignatureException"},
        {"SignatureDoesNotMatch", "com.amazon.coral.service#InvalidSignatureException"},
        {"InvalidClientTokenId", "com.amazon.coral.service#UnrecognizedClientException"},
        {"ExpiredToken", "com.amazon.coral.service#ExpiredTokenException"},
    };
    for (size_t i = 0; i < sizeof SHAPES / sizeof *SHAPES; i++)
        if (strcmp(sqs_code, SHAPES[i].code) == 0)
            return SHAPES[i].shape;
    return NULL;
}
