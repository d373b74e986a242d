/* auth_refusal: what AWS says to who is not let in, in the words of each service. Any thread. */
#ifndef FANOUT_LOCAL_AUTH_REFUSAL_H
#define FANOUT_LOCAL_AUTH_REFUSAL_H

/* SQS (in the Query protocol's codes), services of the JSON protocol, S3. */
enum local_auth_dialect { LOCAL_AUTH_SQS, LOCAL_AUTH_JSON, LOCAL_AUTH_S3, LOCAL_AUTH_N_DIALECTS };

enum local_auth_reason {
    LOCAL_AUTH_MISSING,
    LOCAL_AUTH_MALFORMED,
    LOCAL_AUTH_OLD_VERSION,
    LOCAL_AUTH_NOT_ALL_SIGNED,
    LOCAL_AUTH_UNKNOWN_KEY,
    LOCAL_AUTH_NO_TOKEN, /* the pair has one */
    LOCAL_AUTH_WRONG_TOKEN,
    LOCAL_AUTH_EXPIRED_TOKEN,
    LOCAL_AUTH_WRONG_SIGNATURE,
    LOCAL_AUTH_WRONG_TIME,
    LOCAL_AUTH_WRONG_SCOPE,
    LOCAL_AUTH_PRESIGNED_EXPIRED,
    LOCAL_AUTH_WRONG_PAYLOAD,
    LOCAL_AUTH_NO_PAYLOAD_HASH,
    LOCAL_AUTH_NO_MEMORY,
};

struct local_auth_words {
    int status;
    const char *code;
    const char *text; /* NULL: it depends on the request */
};

struct local_auth_words local_auth_words(enum local_auth_reason reason, enum local_auth_dialect dialect);

/* SQS's JSON protocol has another name for each of its codes ("com.amazon.coral.service#ExpiredTokenException" for
 * ExpiredToken); NULL: the code is none of the above. */
const char *local_auth_shape(const char *sqs_code);

#endif
