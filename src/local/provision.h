/* provision: makes what a CloudFormation template describes: buses, buckets, queues, rules.
 *
 * Everything happens in one transaction. Queues and buckets that are there already get the template's settings and keep
 * what they hold, and those that are no longer in the template stay; its rules are kept as CloudFormation keeps a
 * stack's (events.h). So provisioning an old data folder again loses nothing. What the template asks for and this
 * server does not have is named in the log (local/plan). */
#ifndef FANOUT_LOCAL_PROVISION_H
#define FANOUT_LOCAL_PROVISION_H

#include <stddef.h>

#include "base/err.h"
#include "local/events.h"
#include "local/local.h"
#include "local/s3.h"
#include "local/sqs.h"
#include "local/template.h"

struct local_provision {
    const char *template; /* file; NULL: nothing is made */
    const struct template_parameter *parameters;
    size_t n_parameters;
    struct local_sqs *sqs;
    struct local_s3 *s3;
    struct local_events *events;
};

/* Reads the template and makes what it asks for; the server has started (local_start). ERR_INVALID: the template or its
 * parameters are at fault, the text names the file and the path of the fault, and nothing was made; any other error is
 * the store's. A local_provision_fn: context is a struct local_provision. */
int local_provision(struct local *l, void *context, struct err *e);

/* Where the template is that comes with this program: share/fanoutd of an installation, conf of a source tree. Writes
 * the path. ERR_NOT_FOUND names the places that were looked at. */
int local_provision_find(char *ret_path, size_t path_bytes, struct err *e);

#endif
