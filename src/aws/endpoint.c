#include "aws/endpoint.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "aws/profile.h"

struct service {
    const char *signing_name;
    const char *host;     /* first label of AWS's own host */
    const char *variable; /* of the environment */
    const char *section;  /* in a profile's services */
};

static const struct service SERVICES[] = {
    [AWS_SQS] = {"sqs", "sqs", "AWS_ENDPOINT_URL_SQS", "sqs"},
    [AWS_S3] = {"s3", "s3", "AWS_ENDPOINT_URL_S3", "s3"},
    [AWS_EVENTBRIDGE] = {"events", "events", "AWS_ENDPOINT_URL_EVENTBRIDGE", "eventbridge"},
    [AWS_STS] = {"sts", "sts", "AWS_ENDPOINT_URL_STS", "sts"},
    [AWS_DYNAMODB] = {"dynamodb", "dynamodb", "AWS_ENDPOINT_URL_DYNAMODB", "dynamodb"},
};

/* By the beginning of the region's name; all others are aws. (botocore's partitions.json) */
static const struct partition {
    const char *prefix, *suffix, *dualstack_suffix;
} PARTITIONS[] = {
    {"cn-", "amazonaws.com.cn", "api.amazonwebservices.com.cn"},
    {"us-gov-", "amazonaws.com", "api.aws"},
    {"us-isob-", "sc2s.sgov.gov", "api.aws.scloud"},
    {"us-isof-", "csp.hci.ic.gov", "api.aws.hci.ic.gov"},
    {"us-iso-", "c2s.ic.gov", "api.aws.ic.gov"},
    {"eu-isoe-", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"},
    {"eusc-", "amazonaws.eu", "api.amazonwebservices.eu"},
    {"", "amazonaws.com", "api.aws"},
};

/* Kinds of AWS's own hosts that are asked for by a switch. */
struct variant {
    bool fips, dualstack;
};

static const char *
set_variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static const char *
region_of(const char *argument, const struct profile_files *files, const char *profile)
{
    if (argument && *argument)
        return argument;
    const char *region = set_variable("AWS_REGION");
    region = region ? region : set_variable("AWS_DEFAULT_REGION");
    return region ? region : profile_get(files, profile, "region");
}

static int
check_region(const char *region, struct err *e)
{
    if (!region)
        return err_set(e, ERR_INVALID,
                       "no region: set it in the configuration, in AWS_REGION, or as region in the profile");
    size_t n = strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-");
    if (region[n] != '\0' || n == 0 || n > 63 || region[0] == '-' || region[n - 1] == '-')
        return err_set(e, ERR_INVALID, "\"%s\" is no name of a region, such as us-east-1", region);
    return 0;
}

static const char *
configured_url(const struct service *service, const struct profile_files *files, const char *profile)
{
    const char *ignored = set_variable("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
    ignored = ignored ? ignored : profile_get(files, profile, "ignore_configured_endpoint_urls");
    if (ignored && strcasecmp(ignored, "true") == 0)
        return NULL;
    const char *url = set_variable(service->variable);
    url = url ? url : set_variable("AWS_ENDPOINT_URL");
    url = url ? url : profile_get_service(files, profile, service->section, "endpoint_url");
    return url ? url : profile_get(files, profile, "endpoint_url");
}

static int
read_switch(const struct profile_files *files, const char *profile, const char *variable, const char *key, bool *ret_on,
            struct err *e)
{
    const char *value = set_variable(variable);
    const char *name = value ? variable : key;
    value = value ? value : profile_get(files, profile, key);
    *ret_on = value && strcasecmp(value, "true") == 0;
    if (value && !*ret_on && strcasecmp(value, "false") != 0)
        return err_set(e, ERR_INVALID, "%s is \"%s\"; it can be true or false", name, value);
    return 0;
}

static int
read_variant(const struct profile_files *files, const char *profile, struct variant *ret_variant, struct err *e)
{
    int r = read_switch(files, profile, "AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint", &ret_variant->fips, e);
    if (r < 0)
        return r;
    return read_switch(files, profile, "AWS_USE_DUALSTACK_ENDPOINT", "use_dualstack_endpoint", &ret_variant->dualstack,
                       e);
}

/* scheme://host[:port][/path], in characters that need no escaping; no user, no query, no fragment. */
static int
check_url(const char *url, struct err *e)
{
    const char *authority = strncmp(url, "http://", 7) == 0    ? url + 7
                            : strncmp(url, "https://", 8) == 0 ? url + 8
                                                               : NULL;
    if (!authority)
        return err_set(e, ERR_INVALID, "endpoint \"%s\" does not begin with http:// or https://", url);
    size_t n = strcspn(authority, "/");
    const char *path = authority + n;
    if (memchr(authority, '@', n))
        return err_set(e, ERR_INVALID, "an endpoint URL may not hold a user and a password");
    if (strpbrk(authority, "?#"))
        return err_set(e, ERR_INVALID, "endpoint \"%s\" may not hold ? or #", url);
    size_t host = *authority == '[' ? strcspn(authority, "]/") + 1 : strcspn(authority, ":/");
    bool bracketed = *authority == '[';
    if (host == 0 || host > n || host > 255 ||
        (bracketed && (host < 4 || strspn(authority + 1, "0123456789abcdefABCDEF:.") != host - 2)) ||
        (!bracketed && strspn(authority, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") != host))
        return err_set(e, ERR_INVALID, "endpoint \"%s\" has no proper host name", url);
    const char *port = authority + host;
    size_t digits = *port == ':' ? strspn(port + 1, "0123456789") : 0;
    if ((*port == ':' && (digits == 0 || digits > 5 || atoi(port + 1) < 1 || atoi(port + 1) > 65535)) ||
        (*port == ':' ? port + 1 + digits : port) != path)
        return err_set(e, ERR_INVALID, "endpoint \"%s\" has no proper port (1 to 65535)", url);
    for (const char *p = path; *p; p++)
        if (*p <= ' ' || *p >= 0x7f || strchr("\"<>\\^`{|}", *p))
            return err_set(e, ERR_INVALID, "endpoint \"%s\" holds a character that must be escaped", url);
    return 0;
}

/* The rules of botocore's endpoint-rule-set-1.json. S3 has its own: its dualstack hosts are in the partition's usual
 * domain. In GovCloud the plain hosts of the others are FIPS hosts. */
static void
write_own_url(enum aws_service which, const char *region, const struct variant *v, struct endpoint *p)
{
    const struct partition *partition = PARTITIONS;
    while (strncmp(region, partition->prefix, strlen(partition->prefix)) != 0)
        partition++;
    bool gov = strcmp(partition->prefix, "us-gov-") == 0, s3 = which == AWS_S3;
    bool named = v->fips && (s3 || !gov || v->dualstack);
    snprintf(p->url, sizeof p->url, "https://%s%s%s.%s.%s", SERVICES[which].host, named ? "-fips" : "",
             s3 && v->dualstack ? ".dualstack" : "", region,
             v->dualstack && !s3 ? partition->dualstack_suffix : partition->suffix);
}

static int
copy_url(const char *url, const struct variant *v, struct endpoint *p, struct err *e)
{
    int r = check_url(url, e);
    if (r < 0)
        return r;
    if (v->fips || v->dualstack)
        return err_set(
            e, ERR_INVALID,
            "%s asks for an endpoint of AWS's own, and \"%s\" is configured instead: one of the two has to go",
            v->fips ? "AWS_USE_FIPS_ENDPOINT (use_fips_endpoint)"
                    : "AWS_USE_DUALSTACK_ENDPOINT (use_dualstack_endpoint)",
            url);
    size_t n = strlen(url);
    while (n > 0 && url[n - 1] == '/')
        n--;
    if (n >= sizeof p->url)
        return err_set(e, ERR_INVALID, "the endpoint URL is longer than %zu bytes", sizeof p->url - 1);
    snprintf(p->url, sizeof p->url, "%.*s", (int)n, url);
    return 0;
}

static int
fill(enum aws_service which, const char *region, const struct variant *variant, const char *custom_url,
     struct endpoint *ret_endpoint, struct err *e)
{
    struct endpoint p = {.custom = custom_url != NULL};
    int r = check_region(region, e);
    if (r < 0)
        return r;
    snprintf(p.region, sizeof p.region, "%s", region);
    snprintf(p.signing_name, sizeof p.signing_name, "%s", SERVICES[which].signing_name);
    if (custom_url && (r = copy_url(custom_url, variant, &p, e)) < 0)
        return r;
    if (!custom_url && which == AWS_S3 && variant->fips && strncmp(region, "cn-", 3) == 0)
        return err_set(e, ERR_INVALID, "S3 has no FIPS endpoint in %s, and AWS_USE_FIPS_ENDPOINT asks for one", region);
    if (!custom_url)
        write_own_url(which, region, variant, &p);
    *ret_endpoint = p;
    return 0;
}

static int
read_files(struct profile_files **ret_files, struct err *e)
{
    struct profile_paths paths;
    int r = profile_paths_init(&paths, e);
    if (r < 0)
        return r;
    r = profile_files_read(&paths, ret_files, e);
    profile_paths_clean_up(&paths);
    return r;
}

int
endpoint_ca_file(const char *argument, const char *profile, char **ret_file, struct err *e)
{
    struct profile_files *files = NULL;
    const char *file = argument && *argument ? argument : set_variable("AWS_CA_BUNDLE");
    if (!file) {
        int r = read_files(&files, e);
        if (r < 0)
            return r;
        file = profile_get(files, profile_name(profile), "ca_bundle");
    }
    char *copy = strdup(file ? file : "");
    profile_files_destroy(files);
    if (!copy)
        return err_no_memory(e);
    *ret_file = copy;
    return 0;
}

int
endpoint_resolve(enum aws_service service, const char *region, const char *profile, const char *endpoint_url,
                 struct endpoint *ret_endpoint, struct err *e)
{
    struct profile_files *files = NULL;
    struct variant variant = {false, false};
    const char *name = profile_name(profile);
    int r = read_files(&files, e);
    if (r == 0)
        r = read_variant(files, name, &variant, e);
    if (r == 0) {
        const char *url =
            endpoint_url && *endpoint_url ? endpoint_url : configured_url(&SERVICES[service], files, name);
        r = fill(service, region_of(region, files, name), &variant, url, ret_endpoint, e);
    }
    profile_files_destroy(files);
    return r;
}
