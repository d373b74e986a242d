/* The option table: every option of fanoutd, once. A new one is a field of struct conf or struct conf_consumer
 * (conf.h), a row here, and `make docs`. */
#include <arpa/inet.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "config/conf.h"

#define NAME_MAX_BYTES   40
#define OPTION_MAX_BYTES 1000
#define QUEUE_NAME_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
#define CONSUMER_CHARS   "abcdefghijklmnopqrstuvwxyz0123456789-"

static bool
is_made_of(const char *text, const char *chars, size_t min, size_t max)
{
    size_t n = strlen(text);
    return n >= min && n <= max && strspn(text, chars) == n;
}

/* A port: 0 to 65535, in at most five digits. */
static bool
is_port(const char *text, size_t n)
{
    return n >= 1 && n <= 5 && strspn(text, "0123456789") >= n && atoi(text) <= 65535;
}

/* HOST or HOST:PORT; an IPv6 address in brackets. */
static bool
is_authority(const char *text, size_t n, bool needs_port)
{
    const char *colon = memrchr(text, ':', n);
    if (colon && memchr(colon, ']', n - (size_t)(colon - text)))
        colon = NULL; /* of the address */
    size_t host = colon ? (size_t)(colon - text) : n;
    if (colon ? !is_port(colon + 1, n - host - 1) : needs_port)
        return false;
    if (host > 0 && text[0] == '[') {
        char address[INET6_ADDRSTRLEN];
        struct in6_addr in6;
        if (text[host - 1] != ']' || host < 2 || host - 2 >= sizeof address)
            return false;
        memcpy(address, text + 1, host - 2);
        address[host - 2] = 0;
        return inet_pton(AF_INET6, address, &in6) == 1;
    }
    return host > 0 && strspn(text, QUEUE_NAME_CHARS ".") == host;
}

static bool
is_url(const char *text)
{
    const char *host = strncmp(text, "https://", 8) == 0  ? text + 8
                       : strncmp(text, "http://", 7) == 0 ? text + 7
                                                          : NULL;
    if (!host || !is_authority(host, strcspn(host, "/?#"), false))
        return false;
    for (const char *p = host; *p; p++)
        if ((unsigned char)*p <= ' ' || *p == 0x7f)
            return false;
    return true;
}

static bool
fits_url_or_nothing(const char *text)
{
    return !*text || is_url(text);
}

static bool
fits_region(const char *text)
{
    return is_made_of(text, CONSUMER_CHARS, 0, NAME_MAX_BYTES);
}

static bool
fits_listen(const char *text)
{
    return !*text || is_authority(text, strlen(text), true);
}

static bool
fits_consumer_name(const char *text)
{
    return is_made_of(text, CONSUMER_CHARS, 1, NAME_MAX_BYTES);
}

static bool
fits_queue(const char *text)
{
    size_t n = strlen(text), suffix = strlen(".fifo");
    if (strstr(text, "://"))
        return is_url(text);
    if (n <= 80 && n > suffix && strcmp(text + n - suffix, ".fifo") == 0)
        n -= suffix;
    return n >= 1 && n <= 80 && strspn(text, QUEUE_NAME_CHARS) == n;
}

static bool
fits_queue_or_nothing(const char *text)
{
    return !*text || fits_queue(text);
}

static bool
fits_delays(const char *text)
{
    int64_t delays_ms[CONF_DELAYS_MAX];
    return !*text || conf_read_delays(text, delays_ms) > 0;
}

static bool
fits_bus_or_nothing(const char *text)
{
    return is_made_of(text, QUEUE_NAME_CHARS "./:", 0, 1600) && (!strchr(text, ':') || strncmp(text, "arn:", 4) == 0);
}

static bool
fits_table_or_nothing(const char *text)
{
    return !*text || is_made_of(text, QUEUE_NAME_CHARS ".", 3, 255);
}

static bool
fits_plugin(const char *text)
{
    return strchr(text, '/') ? text[strlen(text) - 1] != '/' : is_made_of(text, QUEUE_NAME_CHARS, 1, 100);
}

#define TOP(field) offsetof(struct conf, field)
#define OF(field)  offsetof(struct conf_consumer, field)

/* Members of one group stay together: the printers open and close groups as they pass. */
const struct conf_option conf_options[] = {
    {.path = "log.level",
     .type = CONF_ENUM,
     .def = "info",
     .choices = "error|warn|info|debug",
     .unit = "",
     .help = "The least important lines to write. Error: a person must act; warn: handled; info: life cycle.",
     .reloadable = true,
     .offset = TOP(log.level)},
    {.path = "log.format",
     .type = CONF_ENUM,
     .def = "text",
     .choices = "text|json",
     .unit = "",
     .help = "Lines of key=value, or one JSON object a line.",
     .reloadable = true,
     .offset = TOP(log.format)},
    {.path = "log.file",
     .type = CONF_STRING,
     .def = "",
     .max = PATH_MAX - 1,
     .allowed = "a path; \"\" is standard error",
     .unit = "",
     .help = "Where lines go.",
     .reloadable = true,
     .offset = TOP(log.file)},

    {.path = "aws.region",
     .type = CONF_STRING,
     .def = "",
     .max = NAME_MAX_BYTES,
     .fits = fits_region,
     .allowed = "a region like \"eu-central-1\"; \"\" is the environment's or the profile's",
     .unit = "",
     .help = "The region of the queues.",
     .reloadable = true,
     .offset = TOP(aws.region)},
    {.path = "aws.profile",
     .type = CONF_STRING,
     .def = "",
     .max = OPTION_MAX_BYTES,
     .allowed = "a profile's name; \"\" is AWS_PROFILE, or else \"default\"",
     .unit = "",
     .help = "The profile of the shared credentials and config files.",
     .reloadable = true,
     .offset = TOP(aws.profile)},
    {.path = "aws.endpoint_url",
     .type = CONF_STRING,
     .def = "",
     .max = OPTION_MAX_BYTES,
     .fits = fits_url_or_nothing,
     .allowed = "an http:// or https:// URL; \"\" is AWS_ENDPOINT_URL_SQS or AWS_ENDPOINT_URL from the environment, "
                "or else AWS itself",
     .unit = "",
     .help = "Who to speak to instead of AWS: \"http://127.0.0.1:4566\" is a fanout-local of this host.",
     .reloadable = true,
     .offset = TOP(aws.endpoint_url)},
    {.path = "aws.ca_file",
     .type = CONF_STRING,
     .def = "",
     .max = PATH_MAX - 1,
     .allowed = "a path; \"\" is AWS_CA_BUNDLE, the profile's ca_bundle, or else the system's certificate store",
     .unit = "",
     .help =
         "PEM certificates to trust for TLS, and no others. A changed file counts at HUP, and for connections opened "
         "five minutes later without one. There is no way to switch verification off.",
     .reloadable = true,
     .offset = TOP(aws.ca_file)},

    {.path = "admin.listen",
     .type = CONF_STRING,
     .def = "",
     .max = 255,
     .fits = fits_listen,
     .allowed = "HOST:PORT like \"127.0.0.1:9464\" or \"[::1]:9464\", port 0 picks a free one; \"\" is none",
     .unit = "",
     .help = "Where health, metrics and status are served. Off unless given, so that two fanoutd of one host never "
             "fail over one port; containers want \"0.0.0.0:9464\".",
     .offset = TOP(admin.listen)},

    {.path = "drain_timeout_s",
     .type = CONF_INT,
     .def = "25",
     .min = 1,
     .max = 3600,
     .unit = "s",
     .help = "How long a worker may go on after TERM to finish what it is handling. Container runtimes kill after "
             "30 s unless told otherwise: stay below.",
     .reloadable = true,
     .offset = TOP(drain_timeout_s)},
    {.path = "plugin_dir",
     .type = CONF_STRING,
     .def = "",
     .max = PATH_MAX - 1,
     .allowed = "a path; \"\" is lib/fanoutd/plugins beside the binaries",
     .unit = "",
     .help = "The folder of plugins that are given by name.",
     .reloadable = true,
     .offset = TOP(plugin_dir)},

    {.path = "consumers.name",
     .type = CONF_STRING,
     .example = "example",
     .max = NAME_MAX_BYTES,
     .fits = fits_consumer_name,
     .allowed = "1 to 40 of a-z, 0-9 and \"-\", no two alike",
     .unit = "",
     .help = "What the consumer is called in logs, metrics and the tools.",
     .reloadable = true,
     .offset = OF(name)},
    {.path = "consumers.queue",
     .type = CONF_STRING,
     .example = "durable-fanout-queue",
     .max = OPTION_MAX_BYTES,
     .fits = fits_queue,
     .allowed =
         "a queue's name (1 to 80 letters, digits, \"-\" and \"_\", with or without .fifo at the end) or its URL",
     .unit = "",
     .help = "The SQS queue to consume.",
     .reloadable = true,
     .offset = OF(queue)},
    {.path = "consumers.plugin",
     .type = CONF_STRING,
     .example = "jsonl",
     .max = PATH_MAX - 1,
     .fits = fits_plugin,
     .allowed =
         "a plugin's name (letters, digits, \"-\" and \"_\"), looked up as plugin_dir/NAME.so, or a path with a /",
     .unit = "",
     .help = "What handles the messages.",
     .reloadable = true,
     .offset = OF(plugin)},
    {.path = "consumers.processes",
     .type = CONF_INT,
     .def = "1",
     .min = 1,
     .max = 64,
     .unit = "",
     .help = "Worker processes. A handler that crashes takes its process's other threads with it, no other process.",
     .reloadable = true,
     .offset = OF(processes)},
    {.path = "consumers.threads",
     .type = CONF_INT,
     .def = "4",
     .min = 1,
     .max = 256,
     .unit = "",
     .help = "Handler threads of each process: so many calls of the plugin run at the same time.",
     .reloadable = true,
     .offset = OF(threads)},
    {.path = "consumers.prefetch",
     .type = CONF_INT,
     .def = "1",
     .min = 0,
     .max = 16,
     .unit = "",
     .help = "Batches kept ready for each thread beyond the one it is handling. Processes x threads x batch.size x "
             "(1 + prefetch) messages are in flight at most, and may be 120,000 at most.",
     .reloadable = true,
     .offset = OF(prefetch)},
    {.path = "consumers.start_timeout_s",
     .type = CONF_INT,
     .def = "60",
     .min = 1,
     .max = 3600,
     .unit = "s",
     .help = "How long a worker may take from its start until its plugin is open. One that takes longer is killed and "
             "started again, after a pause.",
     .reloadable = true,
     .offset = OF(start_timeout_s)},
    {.path = "consumers.wait_time_s",
     .type = CONF_INT,
     .def = "20",
     .min = 0,
     .max = 20,
     .unit = "s",
     .help = "How long a receive waits for messages at SQS. Less costs more requests when the queue is empty.",
     .reloadable = true,
     .offset = OF(wait_time_s)},
    {.path = "consumers.visibility_timeout_s",
     .type = CONF_INT,
     .def = "0",
     .min = 0,
     .max = 43200,
     .unit = "s",
     .help = "How long a received message is hidden from other hosts before that is extended or it comes back; 0 is "
             "the queue's own.",
     .reloadable = true,
     .offset = OF(visibility_timeout_s)},
    {.path = "consumers.unwrap",
     .type = CONF_ENUM,
     .def = "none",
     .choices = "none|sns|auto",
     .unit = "",
     .help = "What is taken out of its wrapping before anything looks at it. Sns: the message of an SNS notification; "
             "other bodies (raw message delivery) stay as they are. Auto: as well, and notifications of S3 count as "
             "understood where envelope = eventbridge.",
     .reloadable = true,
     .offset = OF(unwrap)},
    {.path = "consumers.envelope",
     .type = CONF_ENUM,
     .def = "none",
     .choices = "none|eventbridge",
     .unit = "",
     .help =
         "What bodies have to be. Eventbridge: events as EventBridge delivers them; a body that is none goes to the "
         "dead-letter queue with what is wrong with it, and the handler never sees it.",
     .reloadable = true,
     .offset = OF(envelope)},
    {.path = "consumers.filter",
     .type = CONF_STRING,
     .def = "",
     .max = 4096,
     .allowed = "an event pattern; \"\" is none",
     .unit = "",
     .help = "An EventBridge event pattern (JSON; a dollar sign is written $$): only what matches reaches the handler. "
             "A body that is no JSON object goes to the dead-letter queue; without one it stays in its queue, with an "
             "ERROR in "
             "the log.",
     .reloadable = true,
     .offset = OF(filter)},
    {.path = "consumers.on_mismatch",
     .type = CONF_ENUM,
     .def = "delete",
     .choices = "delete|leave|dead_letter",
     .unit = "",
     .help = "What becomes of messages that filter keeps from the handler. Leave gives them back to the queue, for "
             "another consumer of it, hidden for up to 1 s the first time and up to a minute later; each such receive "
             "counts for the queue's maxReceiveCount, and a FIFO queue is refused, since its group would stand still.",
     .reloadable = true,
     .offset = OF(on_mismatch)},
    {.path = "consumers.batch.size",
     .type = CONF_INT,
     .def = "10",
     .min = 1,
     .max = 10000,
     .unit = "",
     .help =
         "Messages that a handler thread takes at a time at most; above 10 several receives are merged. With "
         "handle_batch they are one call. With handle, threads that are idle take over what waits in a batch behind "
         "a slow message.",
     .reloadable = true,
     .offset = OF(batch.size)},
    {.path = "consumers.batch.window_ms",
     .type = CONF_INT,
     .def = "0",
     .min = 0,
     .max = 300000,
     .unit = "ms",
     .help = "How long a batch that is not full waits for more; 0 hands over what is there.",
     .reloadable = true,
     .offset = OF(batch.window_ms)},
    {.path = "consumers.lease.max_s",
     .type = CONF_INT,
     .def = "0",
     .min = 0,
     .max = 43200,
     .unit = "s",
     .help = "No message is held longer for its handler, from when the handler was called with it: its lease is not "
             "extended past that, remaining_ms tells the handler how long is left, and then the message is lost to it "
             "(settle answers HANDLER_E_LOST) and free for another delivery. It counts again when SQS brings the "
             "message back while the handler still runs. What waits behind it is held meanwhile. 0 is as long as SQS "
             "allows, 12 hours from the receive. Not below visibility_timeout_s; a "
             "queue's own visibility timeout that is longer is rounded up to.",
     .reloadable = true,
     .offset = OF(lease.max_s)},
    {.path = "consumers.retry.policy",
     .type = CONF_ENUM,
     .def = "exponential",
     .choices = "exponential|linear|list",
     .unit = "",
     .help =
         "How the ceiling of a failed message's delay grows: it doubles with each attempt, it grows by retry.base_ms, "
         "or it is the attempt's place in retry.delays_ms. The delay is drawn evenly below the ceiling. A delay "
         "that the handler asks for comes before all this.",
     .reloadable = true,
     .offset = OF(retry.policy)},
    {.path = "consumers.retry.base_ms",
     .type = CONF_INT,
     .def = "1000",
     .min = 1,
     .max = 43200000,
     .unit = "ms",
     .help = "Ceiling of the delay after a message's first failure (exponential, linear).",
     .reloadable = true,
     .offset = OF(retry.base_ms)},
    {.path = "consumers.retry.cap_ms",
     .type = CONF_INT,
     .def = "900000",
     .min = 1,
     .max = 43200000,
     .unit = "ms",
     .help = "Ceiling of any such delay (exponential, linear); not below retry.base_ms. SQS's bound is 12 hours.",
     .reloadable = true,
     .offset = OF(retry.cap_ms)},
    {.path = "consumers.retry.delays_ms",
     .type = CONF_STRING,
     .def = "",
     .max = OPTION_MAX_BYTES,
     .fits = fits_delays,
     .allowed = "1 to 32 numbers of milliseconds from 1 to 43200000 with commas between them, like \"1000, 5000, "
                "60000\"; \"\" unless retry.policy is list",
     .unit = "",
     .help = "Ceilings of the delays after the first failure, the second, and so on; the last one repeats (list).",
     .reloadable = true,
     .offset = OF(retry.delays_ms)},
    {.path = "consumers.retry.max_attempts",
     .type = CONF_INT,
     .def = "0",
     .min = 0,
     .max = 1000,
     .unit = "",
     .help = "How often a message may fail; 0 is as often as the queue allows (maxReceiveCount of its RedrivePolicy). "
             "An attempt is a receive, less those of which this worker knows that they never got to the handler. Keep "
             "maxReceiveCount at least 3 above.",
     .reloadable = true,
     .offset = OF(retry.max_attempts)},
    {.path = "consumers.retry.then",
     .type = CONF_ENUM,
     .def = "dead_letter",
     .choices = "dead_letter|leave_to_queue",
     .unit = "",
     .help =
         "What becomes of a message that failed so often: it is moved to the dead-letter queue with the reason, or "
         "retried until the queue's own RedrivePolicy takes it; a FIFO queue refuses that unless fifo.on_failure is "
         "skip, since what is behind it in its group would be taken with it.",
     .reloadable = true,
     .offset = OF(retry.then)},
    {.path = "consumers.dead_letter.queue",
     .type = CONF_STRING,
     .def = "",
     .max = OPTION_MAX_BYTES,
     .fits = fits_queue_or_nothing,
     .allowed = "a queue's name or its URL; \"\" is the one that the queue's RedrivePolicy names",
     .unit = "",
     .help = "Where dead letters go.",
     .reloadable = true,
     .offset = OF(dead_letter.queue)},
    {.path = "consumers.dedup.store",
     .type = CONF_ENUM,
     .def = "none",
     .choices = "none|memory|sqlite|dynamodb",
     .unit = "",
     .help =
         "Where it is kept which events were handled, so that one that comes again in another message is not handled "
         "again. Memory: by one worker process, until it ends. Sqlite: by all workers of this host. Dynamodb: by the "
         "whole fleet.",
     .reloadable = true,
     .offset = OF(dedup.store)},
    {.path = "consumers.dedup.window_s",
     .type = CONF_INT,
     .def = "86400",
     .min = 1,
     .max = 31536000,
     .unit = "s",
     .help = "How long a handled event is remembered.",
     .reloadable = true,
     .offset = OF(dedup.window_s)},
    {.path = "consumers.dedup.key",
     .type = CONF_ENUM,
     .def = "event_id",
     .choices = "event_id|body",
     .unit = "",
     .help = "What makes two messages the same. Event_id: the id of the EventBridge event in them (of a replayed one, "
             "the id it had first); messages without one are told apart by their SQS message id. Body: those by the "
             "SHA-256 of their body.",
     .reloadable = true,
     .offset = OF(dedup.key)},
    {.path = "consumers.dedup.on_error",
     .type = CONF_ENUM,
     .def = "hold",
     .choices = "hold|handle",
     .unit = "",
     .help =
         "While the store fails. Hold: messages wait, up to the in-flight cap, and the worker is unhealthy. Handle: "
         "they are handled without protection, and counted.",
     .reloadable = true,
     .offset = OF(dedup.on_error)},
    {.path = "consumers.dedup.max_entries",
     .type = CONF_INT,
     .def = "100000",
     .min = 1,
     .max = 10000000,
     .unit = "",
     .help = "Store memory: handled events remembered at most, by each process; the one that was asked for longest ago "
             "is forgotten first. About 200 bytes each.",
     .reloadable = true,
     .offset = OF(dedup.max_entries)},
    {.path = "consumers.dedup.path",
     .type = CONF_STRING,
     .def = "",
     .max = PATH_MAX - 1,
     .allowed = "a path",
     .unit = "",
     .help = "Store sqlite: the file, which is made when it is missing; its folder is not.",
     .reloadable = true,
     .offset = OF(dedup.path)},
    {.path = "consumers.dedup.table",
     .type = CONF_STRING,
     .def = "",
     .max = 255,
     .fits = fits_table_or_nothing,
     .allowed = "a table's name: 3 to 255 letters, digits, \"-\", \"_\" and \".\"",
     .unit = "",
     .help = "Store dynamodb: the table.",
     .reloadable = true,
     .offset = OF(dedup.table)},
    {.path = "consumers.dedup.endpoint_url",
     .type = CONF_STRING,
     .def = "",
     .max = OPTION_MAX_BYTES,
     .fits = fits_url_or_nothing,
     .allowed = "an http:// or https:// URL; \"\" is AWS_ENDPOINT_URL_DYNAMODB or AWS_ENDPOINT_URL from the "
                "environment, or else AWS itself",
     .unit = "",
     .help =
         "Store dynamodb: who to speak to instead of AWS. aws.endpoint_url is not about DynamoDB, which fanout-local "
         "has none of.",
     .reloadable = true,
     .offset = OF(dedup.endpoint_url)},
    {.path = "consumers.fifo.on_failure",
     .type = CONF_ENUM,
     .def = "stop_group",
     .choices = "stop_group|skip",
     .unit = "",
     .help = "What becomes of a FIFO queue's message group when one of its messages fails: stop_group handles none "
             "behind it before it is done or a dead letter; skip goes on with the group and handles that message "
             "later, which gives up the order for it.",
     .reloadable = true,
     .offset = OF(fifo.on_failure)},
    {.path = "consumers.publish.bus",
     .type = CONF_STRING,
     .def = "",
     .max = 1600,
     .fits = fits_bus_or_nothing,
     .allowed = "an event bus's name (\"default\" is the account's own) or its ARN; \"\" is none",
     .unit = "",
     .help = "Where events go that the handler publishes without naming a bus. A handler can publish only if this or "
             "publish.queue is set. A bus that does not exist swallows them, on AWS as here.",
     .reloadable = true,
     .offset = OF(publish.bus)},
    {.path = "consumers.publish.queue",
     .type = CONF_STRING,
     .def = "",
     .max = OPTION_MAX_BYTES,
     .fits = fits_queue_or_nothing,
     .allowed = "a queue's name or its URL; \"\" is none",
     .unit = "",
     .help = "Where messages go that the handler publishes without naming a queue.",
     .reloadable = true,
     .offset = OF(publish.queue)},
    {.path = "consumers.publish.buffer_mb",
     .type = CONF_INT,
     .def = "64",
     .min = 4,
     .max = 65536,
     .unit = "MiB",
     .help = "How much of what handlers publish each process keeps until AWS has confirmed it; beyond that publishing "
             "fails, and handlers retry.",
     .reloadable = true,
     .offset = OF(publish.buffer_mb)},
    {.path = "consumers.rate.max_per_s",
     .type = CONF_INT,
     .def = "0",
     .min = 0,
     .max = 1000000,
     .unit = "",
     .help = "Messages that each worker process hands to its handlers in a second at most; after a quiet second up to "
             "that many come at once. What is not to be handled yet is not received. 0 is no limit.",
     .reloadable = true,
     .offset = OF(rate.max_per_s)},
    {.path = "consumers.breaker.failure_percent",
     .type = CONF_INT,
     .def = "0",
     .min = 0,
     .max = 100,
     .unit = "",
     .help = "When so many of a hundred messages fail, handlers are left alone and nothing is received, until a try "
             "with one message goes well. 0: only a handler's HANDLER_DOWN does that.",
     .reloadable = true,
     .offset = OF(breaker.failure_percent)},
    {.path = "consumers.breaker.window_s",
     .type = CONF_INT,
     .def = "30",
     .min = 1,
     .max = 3600,
     .unit = "s",
     .help = "Of the last so many seconds.",
     .reloadable = true,
     .offset = OF(breaker.window_s)},
    {.path = "consumers.breaker.min_calls",
     .type = CONF_INT,
     .def = "20",
     .min = 1,
     .max = 1000000,
     .unit = "",
     .help = "Of at least so many messages: fewer say nothing.",
     .reloadable = true,
     .offset = OF(breaker.min_calls)},
    {.path = "consumers.breaker.pause_ms",
     .type = CONF_INT,
     .def = "5000",
     .min = 10,
     .max = 3600000,
     .unit = "ms",
     .help = "How long handlers are left alone before the first try, at most; at least half of it. Each try that fails "
             "doubles it.",
     .reloadable = true,
     .offset = OF(breaker.pause_ms)},
    {.path = "consumers.breaker.pause_cap_ms",
     .type = CONF_INT,
     .def = "60000",
     .min = 10,
     .max = 3600000,
     .unit = "ms",
     .help = "The longest such pause; not below breaker.pause_ms.",
     .reloadable = true,
     .offset = OF(breaker.pause_cap_ms)},
    {.path = "consumers.options",
     .type = CONF_PAIRS,
     .example = "{ path = \"-\"; }",
     .max = 65536,
     .unit = "",
     .help = "The plugin's own options: a group of strings, numbers and booleans, checked against the plugin's table.",
     .reloadable = true,
     .offset = OF(options)},
    {.path = NULL},
};
