/* sqs_values: random values of any of fanout-local's SQS shapes, and the way there and back through both protocols.
 *
 * What the server decodes (a request in Query) or encodes (a result in XML), this encodes or decodes, in a way of its
 * own: from the same tables, for those are the model. */
#ifndef FANOUT_TESTS_LIB_SQS_VALUES_H
#define FANOUT_TESTS_LIB_SQS_VALUES_H

#include "lib/xml_tree.h"
#include "local/sqs_codec.h"
#include "local/sqs_shape.h"

struct sqs_values {
    uint64_t random;
    bool any_text; /* with characters that XML 1.0 does not have */
    struct arena *arena;
};

/* A value of the shape. Lists and maps that are given have something in them, and so has every item. */
void *sqs_values_make(struct sqs_values *v, const struct lsqs_shape *shape);

/* Aborts the test where the two are not the same; name is for its message. */
void sqs_values_compare(const struct lsqs_shape *shape, const void *x, const void *y, const char *name);

/* The value as parameters in random order, the numbers of a list with gaps, any character escaped or not. */
void sqs_values_write_query(struct sqs_values *v, const struct lsqs_shape *shape, const void *value, struct buf *out);

/* A value out of the children of an element. */
void *sqs_values_read_xml(struct arena *arena, const struct lsqs_shape *shape, const struct xml_node *n);

#endif
