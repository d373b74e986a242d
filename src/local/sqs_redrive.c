#include "local/sqs_dead_letters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "local/sqs_fifo.h"

#define MAX_RECEIVES 1000
#define MAX_SOURCES  10
#define ARN_PARTS    6
#define ARN_REGION   3
#define ARN_ACCOUNT  4

/* ---- RedrivePolicy ----------------------------------------------------------------------------------------------- */

static bool
bad(struct lsqs_error *e, const struct lsqs_settings *t, const char *why, struct slice what, const char *more)
{
    if (e)
        lsqs_fail(e, LSQS_INVALID_VALUE, "Value %.300s for parameter RedrivePolicy is invalid. Reason: %s%.*s%s",
                  t->redrive_policy, why, (int)(what.n < 20 ? what.n : 20), what.n > 0 ? what.p : "", more);
    return false;
}

static bool
bad_plainly(struct lsqs_error *e, const struct lsqs_settings *t, const char *why)
{
    return bad(e, t, why, SLICE(""), "");
}

/* A count may be written as a string. */
static bool
read_count(struct json count, int64_t *ret)
{
    struct json number;
    if (count.type == JSON_STRING)
        return json_is_plain(count) && json_parse(json_raw(count), &number, NULL) == 0 && number.type == JSON_NUMBER &&
               json_int64(number, ret);
    return count.type == JSON_NUMBER && json_int64(count, ret);
}

static bool
is_arn_of_a_queue(struct lsqs_error *e, const struct lsqs_settings *t, const char *arn)
{
    size_t parts = 1;
    for (const char *at = arn; *at; at++)
        parts += *at == ':';
    if (parts != ARN_PARTS || strncmp(arn, "arn:", 4) != 0)
        return bad_plainly(e, t, "Dead-letter target ARN should be fully qualified ARN.");
    const char *service = strchr(arn + 4, ':') + 1;
    return strncmp(service, "sqs:", 4) == 0 ||
           bad_plainly(e, t, "Only SQS queues are valid resources for deadLetterTargetArn.");
}

/* What a policy must be that is set anew. */
static bool
check_new(struct lsqs_error *e, const struct lsqs_settings *t, struct json policy, const char *arn)
{
    for (struct json_iter it = json_iter(policy); json_next(&it);)
        if (!json_equals_string(it.key, SLICE("deadLetterTargetArn")) &&
            !json_equals_string(it.key, SLICE("maxReceiveCount")))
            return bad_plainly(e, t,
                               "Only following attributes are supported: [maxReceiveCount, deadLetterTargetArn].");
    return is_arn_of_a_queue(e, t, arn);
}

bool
lsqs_settings_read_redrive(struct lsqs_settings *t, struct lsqs_error *e)
{
    struct json policy, arn, count;
    char text[256] = "";
    size_t n = 0;
    int64_t max;
    free(t->dead_letter_arn);
    t->dead_letter_arn = NULL;
    if (!t->redrive_policy)
        return true;
    if (json_parse(slice_of_string(t->redrive_policy), &policy, NULL) != 0 || policy.type != JSON_OBJECT)
        return e && lsqs_fail(e, LSQS_INVALID_ATTRIBUTE_VALUE,
                              "Invalid value for the parameter RedrivePolicy. Reason: Redrive policy is not a valid "
                              "JSON map.");
    if (!json_get(policy, "maxReceiveCount", &count))
        return bad_plainly(e, t, "Redrive policy does not contain mandatory attribute: maxReceiveCount.");
    if (!json_get(policy, "deadLetterTargetArn", &arn))
        return bad_plainly(e, t, "Redrive policy does not contain mandatory attribute: deadLetterTargetArn.");
    if (!read_count(count, &max) || max < 1 || max > MAX_RECEIVES)
        return bad(e, t,
                   "Invalid value for maxReceiveCount: ", count.type == JSON_STRING ? json_raw(count) : count.text,
                   ", valid values are from 1 to 1000 both inclusive.");
    if (arn.type != JSON_STRING || !json_decode_into(arn, text, sizeof text - 1, &n))
        n = 0;
    text[n] = '\0';
    if (e ? !check_new(e, t, policy, text) : n == 0)
        return false;
    t->max_receives = max;
    t->dead_letter_arn = strdup(text);
    if (!t->dead_letter_arn && e)
        lsqs_fail(e, LSQS_INTERNAL, "out of memory");
    return t->dead_letter_arn != NULL;
}

/* ---- RedriveAllowPolicy ------------------------------------------------------------------------------------------ */

static bool
bad_format(struct lsqs_error *e)
{
    return lsqs_fail(e, LSQS_INVALID_ATTRIBUTE_VALUE,
                     "Invalid value for the parameter RedriveAllowPolicy. Reason: Amazon SQS can't create the redrive "
                     "allow policy, as it\xe2\x80\x99s in an unsupported format.");
}

static bool
bad_sources(struct lsqs_error *e, struct slice policy, const char *why)
{
    return lsqs_fail(e, LSQS_INVALID_VALUE,
                     "Value %.*s for parameter RedriveAllowPolicy is invalid. Reason: Amazon SQS can't create the "
                     "redrive allow policy. %s",
                     (int)(policy.n < 230 ? policy.n : 230), policy.p, why);
}

static bool
check_sources(struct slice policy, bool by_queue, const struct json *sources, struct lsqs_error *e)
{
    if (sources && sources->type != JSON_ARRAY)
        return bad_format(e);
    for (struct json_iter it = sources ? json_iter(*sources) : (struct json_iter){0}; sources && json_next(&it);)
        if (it.value.type != JSON_STRING)
            return bad_format(e);
    if (!by_queue)
        return !sources || bad_sources(e, policy,
                                       "To specify one or more source queue ARNs, you must set redrivePermission to "
                                       "byQueue.");
    if (!sources || json_count(*sources) == 0)
        return bad_sources(e, policy,
                           "When you specify the byQueue permission type, you must also specify one or more "
                           "sourceQueueArns values.");
    return json_count(*sources) <= MAX_SOURCES ||
           bad_sources(e, policy, "The maximum number of source queue ARNs you can specify is 10.");
}

bool
lsqs_check_redrive_allow(struct slice policy, struct lsqs_error *e)
{
    struct json value, permission, sources;
    if (json_parse(policy, &value, NULL) != 0 || value.type != JSON_OBJECT)
        return bad_format(e);
    for (struct json_iter it = json_iter(value); json_next(&it);)
        if (!json_equals_string(it.key, SLICE("redrivePermission")) &&
            !json_equals_string(it.key, SLICE("sourceQueueArns")))
            return bad_format(e);
    if (!json_get(value, "redrivePermission", &permission) || permission.type != JSON_STRING)
        return bad_format(e);
    bool by_queue = json_equals_string(permission, SLICE("byQueue"));
    if (!by_queue && !json_equals_string(permission, SLICE("allowAll")) &&
        !json_equals_string(permission, SLICE("denyAll")))
        return bad_format(e);
    return check_sources(policy, by_queue, json_get(value, "sourceQueueArns", &sources) ? &sources : NULL, e);
}

/* Does the dead-letter queue let a queue of that name, of the same account and region, use it? */
static bool
allows(const struct lsqs_queue *dead_letters, struct slice name)
{
    struct json policy, permission, sources;
    const char *text = dead_letters->settings.redrive_allow_policy;
    char arn[256];
    if (!text || json_parse(slice_of_string(text), &policy, NULL) != 0 ||
        !json_get(policy, "redrivePermission", &permission) || json_equals_string(permission, SLICE("allowAll")))
        return true;
    if (!json_equals_string(permission, SLICE("byQueue")) || !json_get(policy, "sourceQueueArns", &sources))
        return false;
    int n = snprintf(arn, sizeof arn, "%.*s%.*s", (int)(strrchr(dead_letters->arn, ':') + 1 - dead_letters->arn),
                     dead_letters->arn, SLICE_ARG(name));
    for (struct json_iter it = json_iter(sources); json_next(&it);)
        if (n > 0 && json_equals_string(it.value, slice_of(arn, (size_t)n)))
            return true;
    return false;
}

/* ---- both -------------------------------------------------------------------------------------------------------- */

/* Is part n, from 0, of the ARN that text? */
static bool
has_part(const char *arn, int n, const char *text)
{
    while (n-- > 0)
        arn = strchr(arn, ':') + 1;
    return slice_equals_string(slice_of(arn, strcspn(arn, ":")), text);
}

bool
lsqs_check_dead_letter_queue(struct local_sqs *s, struct slice name, const struct lsqs_settings *t,
                             struct lsqs_error *e)
{
    if (!t->dead_letter_arn)
        return true;
    struct slice arn = slice_of_string(t->dead_letter_arn);
    if (!has_part(arn.p, ARN_REGION, local_region(s->local)))
        return bad_plainly(e, t, "Dead-letter target must be in same region as the source.");
    if (!has_part(arn.p, ARN_ACCOUNT, local_account(s->local)))
        return bad_plainly(e, t, "Dead-letter target owner should be same as the source.");
    if (lsqs_is_fifo_name(name) != lsqs_is_fifo_name(arn)) /* AWS's two full stops */
        return bad_plainly(e, t, "Dead-letter queue must be same type of queue as the source..");
    const struct lsqs_queue *q = lsqs_find_queue_by_arn(s, arn);
    if (!q)
        return bad_plainly(e, t, "Dead letter target does not exist.");
    return allows(q, name) ||
           bad_plainly(e, t, "The dead-letter queue's RedriveAllowPolicy does not allow this queue to use it.");
}
