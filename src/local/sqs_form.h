/* sqs_form: application/x-www-form-urlencoded text, as parameters whose names are paths ("Attribute.2.Name").
 *
 * Any thread. */
#ifndef FANOUT_LOCAL_SQS_FORM_H
#define FANOUT_LOCAL_SQS_FORM_H

#include "local/sqs_impl.h"

#define LSQS_FORM_FIELDS 10000

struct lsqs_form_field {
    struct slice name, value; /* decoded; value.p is never NULL */
    size_t at;                /* the how manieth it is */
};

struct lsqs_form {
    struct lsqs_form_field *fields; /* in an arena */
    size_t n, room;
};

/* Adds the parameters of text to a form, which is zeroed to begin; they point into text where they hold no escape.
 * false with e set: a broken escape, what is no UTF-8, more than LSQS_FORM_FIELDS, no memory. */
bool lsqs_form_read(struct lsqs_form *f, struct slice text, struct arena *arena, struct lsqs_error *e);

/* Orders the parameters by the segments of their names, numbers by their value: those that begin with the same segments
 * are then neighbours. Among equals the later one comes later. */
void lsqs_form_sort(struct lsqs_form *f);

/* Takes the first segment off a name: what is before its first '.'. */
struct slice lsqs_form_cut_segment(struct slice *name);

bool lsqs_form_is_number(struct slice segment);
bool lsqs_form_same_segment(struct slice a, struct slice b); /* numbers: the same number */

/* Decodes the first parameter that is called so into out, cut off where out ends; false: there is none, or its value is
 * empty. */
bool lsqs_form_find(struct slice text, const char *name, char *out, size_t size);

#endif
