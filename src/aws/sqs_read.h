/* sqs_read: what sqs_decode's files share: taking the strings out of an answer in one pass.
 *
 * Not into a cJSON tree: of all a worker did for a message, building and freeing those trees was the most expensive
 * thing. Nothing here is true of a broken answer: sqs_read_end tells. */
#ifndef FANOUT_AWS_SQS_READ_H
#define FANOUT_AWS_SQS_READ_H

#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/json_read.h"
#include "base/slice.h"

struct sqs_source {
    struct json_reader reader;
    struct arena *arena;
    char *room; /* for the meaning of strings: as large as what is left of the answer */
};

/* In front of the members of the answer, which must be an object: ERR_PROTOCOL. The strings live in the answer and in
 * arena. */
int sqs_read_begin(struct sqs_source *s, struct arena *arena, struct slice answer, struct err *e);

/* Behind the last member. ERR_PROTOCOL: the answer was no JSON. */
int sqs_read_end(struct sqs_source *s, struct err *e);

/* A member that is a string, and where in a struct its slice goes. */
struct sqs_field {
    const char *name;
    size_t name_n, offset;
};
#define SQS_FIELD(name, type, member)                                                                                  \
    {                                                                                                                  \
        name, sizeof name - 1, offsetof(type, member)                                                                  \
    }
#define SQS_FIELDS(array) array, sizeof(array) / sizeof *(array)

/* Takes the value of the member called key into the field of that name of out: a string; of null, a slice without p.
 * 1: there is no such field, and the value is still to be taken. ERR_PROTOCOL: it is no string, or has no meaning. */
int sqs_read_field(struct sqs_source *s, struct json key, const struct sqs_field *fields, size_t n, void *out,
                   struct err *e);

/* All members of the object that was entered; those that are no fields are passed over. */
int sqs_read_fields(struct sqs_source *s, const struct sqs_field *fields, size_t n, void *out, struct err *e);

/* What a key means. */
int sqs_read_key(struct sqs_source *s, struct json key, const char *name, struct slice *ret, struct err *e);

/* Enters an object or an array, or takes null; 1: there is something to go over. */
int sqs_read_enter(struct sqs_source *s, enum json_type type, const char *what, struct err *e);

#endif
