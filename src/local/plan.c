#include "local/plan_impl.h"

#include <stdlib.h>
#include <string.h>

/* ---- the types --------------------------------------------------------------------------------------------------- */

static struct local_plan_step *
add_step(const struct plan_subject *s, enum local_plan_kind kind)
{
    struct planner *p = s->planner;
    struct local_plan_step *step = &p->steps[p->n_steps++];
    *step = (struct local_plan_step){.kind = kind, .id = s->resource->id, .name = slice_of_string(s->resource->name)};
    return step;
}

/* Is the resource's name 1 to max letters, digits and others? */
static int
check_name(const struct plan_subject *s, size_t max, const char *others, struct err *e)
{
    const char *name = s->resource->name;
    size_t n = strlen(name);
    for (size_t i = 0; i < n; i++) {
        char c = name[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && !strchr(others, c))
            return plan_fault(s, "Name", e, "\"%s\" holds something else than letters, digits and \"%s\"", name,
                              others);
    }
    return n <= max ? 0 : plan_fault(s, "Name", e, "is longer than %zu characters", max);
}

static int
plan_bus(const struct plan_subject *s, struct err *e)
{
    add_step(s, LOCAL_PLAN_BUS);
    return check_name(s, 256, "/.-_", e);
}

static int
plan_bucket(const struct plan_subject *s, struct err *e)
{
    (void)e;
    add_step(s, LOCAL_PLAN_BUCKET);
    return 0;
}

static const char *const QUEUE_PROPERTIES[] = {
    "QueueName",
    "DelaySeconds",
    "MaximumMessageSize",
    "MessageRetentionPeriod",
    "ReceiveMessageWaitTimeSeconds",
    "VisibilityTimeout",
    "RedrivePolicy",
    "RedriveAllowPolicy",
    "FifoQueue",
    "ContentBasedDeduplication",
    "DeduplicationScope",
    "FifoThroughputLimit",
    "KmsMasterKeyId",
    "KmsDataKeyReusePeriodSeconds",
    "SqsManagedSseEnabled",
    NULL,
};

static int
plan_queue(const struct plan_subject *s, struct err *e)
{
    struct local_plan_step *step = add_step(s, LOCAL_PLAN_QUEUE);
    struct json value;
    size_t n = sizeof QUEUE_PROPERTIES / sizeof *QUEUE_PROPERTIES;
    int rc = 0;
    if (!(step->attributes = arena_alloc(&s->planner->arena, n * sizeof *step->attributes)))
        return err_no_memory(e);
    for (const char *const *name = QUEUE_PROPERTIES + 1; rc == 0 && *name; name++) {
        if (!plan_get(s->object, *name, &value))
            continue;
        struct local_sqs_attribute *a = &step->attributes[step->n_attributes++];
        a->name = slice_of_string(*name);
        rc = plan_as_text(s, *name, value, &a->value, e);
    }
    return rc;
}

static int
plan_function(const struct plan_subject *s, struct err *e)
{
    struct planner *p = s->planner;
    struct json code, bucket;
    struct slice text = {0};
    bool has_code = json_get_path(s->object, &code, "Code", "ZipFile", NULL) && code.type == JSON_STRING;
    bool has_bucket = json_get_path(s->object, &bucket, "Environment", "Variables", "BUCKET", NULL) &&
                      bucket.type == JSON_STRING && json_raw(bucket).n > 0;
    int rc = has_code ? plan_as_text(s, "Code.ZipFile", code, &text, e) : 0;
    if (rc != 0)
        return rc;
    if (!has_bucket || text.n == 0 || !memmem(text.p, text.n, "raw-events/", strlen("raw-events/")))
        return plan_note(s, true,
                         "functions do not run here, and this one is not the capture function: its events go to "
                         "the dead-letter queues of its rules",
                         e);
    rc = plan_as_text(s, "Environment.Variables.BUCKET", bucket, &text, e);
    if (rc == 0)
        p->captures[p->n_captures++] = (struct plan_capture){.function = s->resource->name, .bucket = text};
    return rc;
}

/* ---- rules ------------------------------------------------------------------------------------------------------- */

/* The bucket of the capture function that arn names ("arn:aws:lambda:REGION:ACCOUNT:function:NAME[:QUALIFIER]"). */
static struct slice
capture_bucket(const struct planner *p, struct slice arn)
{
    static const char MARK[] = ":function:";
    const char *at =
        slice_starts_with(arn, SLICE("arn:aws:lambda:")) ? memmem(arn.p, arn.n, MARK, sizeof MARK - 1) : NULL;
    if (!at)
        return slice_of(NULL, 0);
    at += sizeof MARK - 1;
    struct slice name = slice_of(at, (size_t)(arn.p + arn.n - at));
    const char *qualifier = name.n ? memchr(name.p, ':', name.n) : NULL;
    if (qualifier)
        name.n = (size_t)(qualifier - name.p);
    for (size_t i = 0; i < p->n_captures; i++)
        if (slice_equals_string(name, p->captures[i].function))
            return p->captures[i].bucket;
    return slice_of(NULL, 0);
}

/* What a queue gets instead of the event, as PutTargets takes it. */
static const char *const TARGET_SETTINGS[] = {"Input", "InputPath", "InputTransformer", "SqsParameters", NULL};

static int
get_settings(const struct plan_subject *s, struct slice *ret, struct err *e)
{
    struct buf text = BUF_INIT;
    struct json value;
    buf_add_char(&text, '{');
    for (const char *const *name = TARGET_SETTINGS; *name; name++) {
        if (!plan_get(s->object, *name, &value))
            continue;
        buf_add_format(&text, "%s\"%s\":", text.len > 1 ? "," : "", *name);
        json_write_compact(&text, value);
    }
    buf_add_char(&text, '}');
    return plan_keep(s->planner, &text, ret, e);
}

static int
plan_target(const struct plan_subject *s, size_t index, struct local_plan_step *step, struct err *e)
{
    static const char *const KNOWN[] = {"Id", "Arn", "DeadLetterConfig", NULL};
    static const char *const HARMLESS[] = {"RoleArn", "RetryPolicy", NULL};
    static const char *const HARMLESS_FOR_QUEUES[] = {"RoleArn",          "RetryPolicy",   "Input", "InputPath",
                                                      "InputTransformer", "SqsParameters", NULL};
    struct local_events_target *out = &step->targets[step->n_targets++];
    struct plan_subject dead_letters = {s->planner, s->resource, NULL, s->object};
    int rc = plan_get_string(s, "Id", true, &out->id, e);
    for (size_t i = 0; rc == 0 && i < index; i++)
        if (slice_equals(step->targets[i].id, out->id))
            rc = plan_fault(s, "Id", e, "\"%.*s\" is another target's", SLICE_ARG(out->id));
    if (rc == 0)
        rc = plan_get_string(s, "Arn", true, &out->arn, e);
    if (rc == 0 && plan_get(s->object, "DeadLetterConfig", &dead_letters.object)) {
        dead_letters.path = arena_format(&s->planner->arena, "%s.DeadLetterConfig", s->path);
        rc = dead_letters.path ? plan_get_string(&dead_letters, "Arn", true, &out->dead_letter_arn, e)
                               : err_no_memory(e);
    }
    if (rc != 0)
        return rc;
    if (slice_starts_with(out->arn, SLICE("arn:aws:sqs:"))) {
        rc = get_settings(s, &out->settings, e);
        return rc != 0 ? rc : plan_note_unknown(s, KNOWN, HARMLESS_FOR_QUEUES, e);
    }
    out->capture_bucket = capture_bucket(s->planner, out->arn);
    if (out->capture_bucket.n == 0)
        rc = plan_note_key(s, SLICE("Arn"),
                           "is neither a queue nor the capture function: nothing takes its events here", e);
    return rc != 0 ? rc : plan_note_unknown(s, KNOWN, HARMLESS, e);
}

static int
plan_targets(const struct plan_subject *s, struct local_plan_step *step, struct err *e)
{
    struct json targets;
    if (!plan_get(s->object, "Targets", &targets))
        return 0;
    if (targets.type != JSON_ARRAY || json_count(targets) > LOCAL_PLAN_TARGETS_MAX)
        return plan_fault(s, "Targets", e, "must be a list of at most %d targets", LOCAL_PLAN_TARGETS_MAX);
    if (!(step->targets = arena_zalloc(&s->planner->arena, json_count(targets) * sizeof *step->targets)))
        return err_no_memory(e);
    int rc = 0;
    for (struct json_iter it = json_iter(targets); rc == 0 && json_next(&it);) {
        struct plan_subject target = {s->planner, s->resource, NULL, it.value};
        target.path = arena_format(&s->planner->arena, "%s.Targets[%zu]", s->path, it.index);
        rc = target.path ? plan_target(&target, it.index, step, e) : err_no_memory(e);
    }
    return rc;
}

static int
plan_rule(const struct plan_subject *s, struct err *e)
{
    struct json pattern, schedule;
    struct slice state = SLICE("ENABLED");
    bool has_pattern = plan_get(s->object, "EventPattern", &pattern);
    bool has_schedule = plan_get(s->object, "ScheduleExpression", &schedule);
    int rc = has_schedule ? plan_note_key(s, SLICE("ScheduleExpression"), "schedules do not run here", e) : 0;
    if (rc != 0 || (has_schedule && !has_pattern))
        return rc;
    if (!has_pattern)
        return plan_fault(s, "EventPattern", e, "must be an event pattern");
    struct local_plan_step *step = add_step(s, LOCAL_PLAN_RULE);
    rc = check_name(s, 64, ".-_", e);
    if (rc == 0)
        rc = plan_as_text(s, "EventPattern", pattern, &step->pattern, e);
    if (rc == 0)
        rc = plan_get_string(s, "EventBusName", false, &step->bus, e);
    if (rc == 0)
        rc = plan_get_string(s, "State", false, &state, e);
    if (rc != 0)
        return rc;
    step->enabled = slice_starts_with(state, SLICE("ENABLED"));
    if (!step->enabled && !slice_equals_string(state, "DISABLED"))
        return plan_fault(s, "State", e, "must be ENABLED or DISABLED");
    return plan_targets(s, step, e);
}

/* ---- the table of types ------------------------------------------------------------------------------------------ */

static const struct type {
    const char *type;
    int (*plan)(const struct plan_subject *s, struct err *e); /* NULL: nothing to be done here */
    const char *const *known;                                 /* properties that are acted on; NULL: all are fine */
    const char *const *harmless;                              /* properties that change nothing here */
} TYPES[] = {
    {"AWS::Events::EventBus", plan_bus, (const char *const[]){"Name", NULL},
     (const char *const[]){"Description", "KmsKeyIdentifier", "LogConfig", "Policy", "Tags", NULL}},
    {"AWS::Events::Rule", plan_rule,
     (const char *const[]){"Name", "EventBusName", "EventPattern", "ScheduleExpression", "State", "Targets", NULL},
     (const char *const[]){"Description", "RoleArn", "Tags", NULL}},
    {"AWS::Lambda::Function", plan_function, NULL, NULL},
    {"AWS::S3::Bucket", plan_bucket, (const char *const[]){"BucketName", NULL},
     (const char *const[]){"AccessControl", "BucketEncryption", "OwnershipControls", "PublicAccessBlockConfiguration",
                           "Tags", NULL}},
    {"AWS::SQS::Queue", plan_queue, QUEUE_PROPERTIES, (const char *const[]){"Tags", NULL}},
    {"AWS::Events::EventBusPolicy", NULL, NULL, NULL},
    {"AWS::IAM::ManagedPolicy", NULL, NULL, NULL},
    {"AWS::IAM::Policy", NULL, NULL, NULL},
    {"AWS::IAM::Role", NULL, NULL, NULL},
    {"AWS::Lambda::EventInvokeConfig", NULL, NULL, NULL},
    {"AWS::Lambda::Permission", NULL, NULL, NULL},
    {"AWS::Logs::LogGroup", NULL, NULL, NULL},
    {"AWS::S3::BucketPolicy", NULL, NULL, NULL},
    {"AWS::SQS::QueuePolicy", NULL, NULL, NULL},
};

static const struct type *
type_of(const char *name)
{
    for (size_t i = 0; i < sizeof TYPES / sizeof *TYPES; i++)
        if (strcmp(TYPES[i].type, name) == 0)
            return &TYPES[i];
    return NULL;
}

static int
plan_resource(struct planner *p, const struct template_resource *resource, struct err *e)
{
    struct plan_subject s = {.planner = p, .resource = resource};
    const struct type *type = type_of(resource->type);
    if (!type)
        return plan_note(&s, true,
                         arena_format(&p->arena, "%s is a type that is not known here: left out", resource->type), e);
    if (!type->plan)
        return plan_note(&s, false, "needs nothing here: permissions and invocations are not modelled", e);
    if (!(s.path = arena_format(&p->arena, "Resources.%s.Properties", resource->id)))
        return err_no_memory(e);
    int rc = json_parse(resource->properties, &s.object, e);
    if (rc == 0)
        rc = type->plan(&s, e);
    return rc != 0 || !type->known ? rc : plan_note_unknown(&s, type->known, type->harmless, e);
}

int
local_plan_make(const struct template *t, struct local_plan **ret_plan, struct err *e)
{
    struct planner *p = calloc(1, sizeof *p);
    if (!p)
        return err_no_memory(e);
    arena_init(&p->arena, 0);
    p->steps = arena_alloc(&p->arena, t->n_resources * sizeof *p->steps);
    p->notes = arena_alloc(&p->arena, PLAN_NOTES_MAX * sizeof *p->notes);
    p->captures = arena_alloc(&p->arena, t->n_resources * sizeof *p->captures);
    int rc = p->steps && p->notes && p->captures ? 0 : err_no_memory(e);
    for (size_t i = 0; rc == 0 && i < t->n_resources; i++)
        rc = plan_resource(p, &t->resources[i], e);
    if (rc != 0) {
        local_plan_destroy(&p->public);
        return rc;
    }
    p->public = (struct local_plan){.steps = p->steps, .n_steps = p->n_steps, .notes = p->notes, .n_notes = p->n_notes};
    *ret_plan = &p->public;
    return 0;
}

void
local_plan_destroy(struct local_plan *plan)
{
    struct planner *p = (struct planner *)plan;
    if (!p)
        return;
    arena_clean_up(&p->arena);
    free(p);
}
