/* endpoint: where a service is, and in which region.
 *
 * Order of a URL: the argument, AWS_ENDPOINT_URL_<SERVICE> (SQS, S3, EVENTBRIDGE, STS, DYNAMODB), AWS_ENDPOINT_URL, the
 * profile's services section, the profile's endpoint_url (the environment and the files are ignored under
 * AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true, or ignore_configured_endpoint_urls = true in the profile), AWS's own host
 * of the region's partition: its FIPS host under AWS_USE_FIPS_ENDPOINT=true (use_fips_endpoint in the profile), the one
 * that IPv6 reaches too under AWS_USE_DUALSTACK_ENDPOINT=true (use_dualstack_endpoint). */
#ifndef FANOUT_AWS_ENDPOINT_H
#define FANOUT_AWS_ENDPOINT_H

#include "aws/aws.h"
#include "base/buf.h"
#include "base/err.h"

struct endpoint {
    char url[512];         /* scheme://host[:port][/path], no slash at the end */
    char signing_name[16]; /* "sqs", "s3", "events", "sts", "dynamodb" */
    char region[64];
    bool custom; /* not AWS's own: S3 is addressed by path */
};

/* region, profile, endpoint_url as in struct aws_client_options. Reads the environment and the profile's files: before
 * threads start. ERR_INVALID: no region (a custom endpoint needs one, too: requests are signed for it), a name that is
 * no region, a URL that is none, a FIPS or dualstack endpoint asked for together with a URL, a switch that is neither
 * true nor false; besides what profile_files_read says. */
int endpoint_resolve(enum aws_service service, const char *region, const char *profile, const char *endpoint_url,
                     struct endpoint *ret_endpoint, struct err *e);

/* Whose certificates to trust for TLS, in *ret_file, which the caller frees: the argument, AWS_CA_BUNDLE, the profile's
 * ca_bundle, or "" for the system's. Same times and errors as endpoint_resolve. */
int endpoint_ca_file(const char *argument, const char *profile, char **ret_file, struct err *e);

#endif
