/* template: reads a CloudFormation template (JSON) into resources with plain properties.
 *
 * The same file deploys to AWS and provisions fanout-local. Intrinsic functions are evaluated (Ref, Fn::Sub,
 * Fn::GetAtt, Fn::Join, Fn::Select, Fn::Split), parameters and pseudo parameters filled in, and resources put in an
 * order in which each comes after those it refers to. Pure: nothing is created here. local/provision acts on the
 * result.
 *
 * What a resource is called: its name property (QueueName, BucketName, Name, FunctionName, RoleName), or its logical id
 * (a FIFO queue's with .fifo behind it) where the template leaves the name to CloudFormation. */
#ifndef FANOUT_LOCAL_TEMPLATE_H
#define FANOUT_LOCAL_TEMPLATE_H

#include <stddef.h>

#include "base/err.h"
#include "base/slice.h"

/* A parameter's value, as with `aws cloudformation deploy --parameter-overrides`. */
struct template_parameter {
    struct slice name, value;
};

struct template_environment {
    const char *account; /* "000000000000" */
    const char *region;
    const char *queue_url_base; /* a queue's Ref is this and its name: "http://127.0.0.1:4566/000000000000/" */
    const struct template_parameter *parameters;
    size_t n_parameters;
};

struct template_resource {
    const char *id;          /* logical id */
    const char *type;        /* "AWS::SQS::Queue" */
    const char *name;        /* what it is called */
    struct slice properties; /* a JSON object without intrinsic functions; "{}" when absent */
};

struct template
{
    const struct template_resource *resources; /* in an order in which references point backwards */
    size_t n_resources;
};

/* ERR_INVALID names the path of the fault: "Resources.FanoutRule.Properties.Targets[0].Arn: Fn::GetAtt: there is no
 * resource \"Queue\"". */
int template_parse(struct slice text, const struct template_environment *environment, struct template **ret_template,
                   struct err *e);
void template_destroy(struct template *t); /* NULL is fine */

#endif
