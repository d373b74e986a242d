#include "local/sqs_fifo.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "local/sqs_dead_letters.h"

#define MAX_TEXT_BYTES 65536

enum kind { NUMBER, FLAG, TEXT, FIGURE, FIFO_TYPE, FIFO_FLAG, FIFO_CHOICE };

/* The attributes that can be set, those that are figures, and those of FIFO queues alone. */
static const struct setting {
    const char *name;
    enum kind kind;
    size_t offset;
    int64_t low, high;
} SETTINGS[] = {
    {"VisibilityTimeout", NUMBER, offsetof(struct lsqs_settings, visibility_s), 0, LSQS_MAX_VISIBILITY_S},
    {"MaximumMessageSize", NUMBER, offsetof(struct lsqs_settings, max_bytes), 1024, LSQS_MAX_BYTES},
    {"MessageRetentionPeriod", NUMBER, offsetof(struct lsqs_settings, retention_s), 60, 1209600},
    {"DelaySeconds", NUMBER, offsetof(struct lsqs_settings, delay_s), 0, 900},
    {"ReceiveMessageWaitTimeSeconds", NUMBER, offsetof(struct lsqs_settings, wait_s), 0, 20},
    {"Policy", TEXT, offsetof(struct lsqs_settings, policy), 0, 0},
    {"RedrivePolicy", TEXT, offsetof(struct lsqs_settings, redrive_policy), 0, 0},
    {"RedriveAllowPolicy", TEXT, offsetof(struct lsqs_settings, redrive_allow_policy), 0, 0},
    {"KmsMasterKeyId", TEXT, offsetof(struct lsqs_settings, kms_key), 0, 0},
    {"KmsDataKeyReusePeriodSeconds", NUMBER, offsetof(struct lsqs_settings, kms_reuse_s), 60, 86400},
    {"SqsManagedSseEnabled", FLAG, offsetof(struct lsqs_settings, managed_sse), 0, 1},
    {"ApproximateNumberOfMessages", FIGURE, 0, 0, 0},
    {"ApproximateNumberOfMessagesNotVisible", FIGURE, 0, 0, 0},
    {"ApproximateNumberOfMessagesDelayed", FIGURE, 0, 0, 0},
    {"CreatedTimestamp", FIGURE, 0, 0, 0},
    {"LastModifiedTimestamp", FIGURE, 0, 0, 0},
    {"QueueArn", FIGURE, 0, 0, 0},
    {"FifoQueue", FIFO_TYPE, 0, 0, 0},
    {"ContentBasedDeduplication", FIFO_FLAG, offsetof(struct lsqs_settings, content_dedup), 0, 1},
    {"DeduplicationScope", FIFO_CHOICE, offsetof(struct lsqs_settings, group_scope), 0, 1},
    {"FifoThroughputLimit", FIFO_CHOICE, offsetof(struct lsqs_settings, group_limit), 0, 1},
};
#define N_SETTINGS (sizeof SETTINGS / sizeof *SETTINGS)

static const struct setting *
find(struct slice name)
{
    for (size_t i = 0; i < N_SETTINGS; i++)
        if (slice_equals_string(name, SETTINGS[i].name))
            return &SETTINGS[i];
    return NULL;
}

/* What a FIFO_CHOICE of 0 and 1 is called. */
static const char *
choice(const struct setting *s, bool second)
{
    static const char *const SCOPES[] = {"queue", "messageGroup"}, *const LIMITS[] = {"perQueue", "perMessageGroupId"};
    return (s->offset == offsetof(struct lsqs_settings, group_scope) ? SCOPES : LIMITS)[second];
}

static int64_t *
number_at(const struct lsqs_settings *t, const struct setting *s)
{
    return (int64_t *)(void *)((char *)(uintptr_t)t + s->offset);
}

static char **
text_at(const struct lsqs_settings *t, const struct setting *s)
{
    return (char **)(void *)((char *)(uintptr_t)t + s->offset);
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

void
lsqs_settings_init(struct lsqs_settings *t)
{
    *t = (struct lsqs_settings){
        .visibility_s = 30, .max_bytes = LSQS_MAX_BYTES, .retention_s = 345600, .kms_reuse_s = 300, .managed_sse = 1};
}

void
lsqs_settings_clean_up(struct lsqs_settings *t)
{
    free(t->policy);
    free(t->redrive_policy);
    free(t->redrive_allow_policy);
    free(t->kms_key);
    free(t->dead_letter_arn);
    lsqs_settings_init(t);
}

static bool
copy_text(const char *from, char **to)
{
    *to = from ? strdup(from) : NULL;
    return !from || *to;
}

bool
lsqs_settings_copy(const struct lsqs_settings *from, struct lsqs_settings *to)
{
    *to = *from;
    to->policy = to->redrive_policy = to->redrive_allow_policy = to->kms_key = to->dead_letter_arn = NULL;
    if (copy_text(from->policy, &to->policy) && copy_text(from->redrive_policy, &to->redrive_policy) &&
        copy_text(from->redrive_allow_policy, &to->redrive_allow_policy) && copy_text(from->kms_key, &to->kms_key) &&
        copy_text(from->dead_letter_arn, &to->dead_letter_arn))
        return true;
    lsqs_settings_clean_up(to);
    return false;
}

/* ---- setting ----------------------------------------------------------------------------------------------------- */

static bool
parse_number(struct slice s, int64_t *ret)
{
    int64_t n = 0;
    bool negative = s.n > 1 && s.p[0] == '-';
    size_t at = negative;
    if (s.n == at || s.n > 15)
        return false;
    for (; at < s.n; at++) {
        if (s.p[at] < '0' || s.p[at] > '9')
            return false;
        n = n * 10 + (s.p[at] - '0');
    }
    *ret = negative ? -n : n;
    return true;
}

static bool
invalid(struct lsqs_error *e, const char *name)
{
    return lsqs_fail(e, LSQS_INVALID_ATTRIBUTE_VALUE, "Invalid value for the parameter %s.", name);
}

static bool
apply_text(struct lsqs_settings *t, const struct setting *setting, struct slice value, struct lsqs_error *e)
{
    char **at = text_at(t, setting);
    struct json parsed;
    bool json = at != &t->kms_key;
    if (value.n > MAX_TEXT_BYTES || (value.n > 0 && memchr(value.p, '\0', value.n)))
        return invalid(e, setting->name);
    char *copy = value.n > 0 ? strndup(value.p, value.n) : NULL;
    if (value.n > 0 && !copy)
        return lsqs_fail(e, LSQS_INTERNAL, "out of memory");
    free(*at);
    *at = copy;
    if (at == &t->redrive_policy)
        return lsqs_settings_read_redrive(t, e);
    if (at == &t->redrive_allow_policy)
        return !copy || lsqs_check_redrive_allow(value, e);
    if (json && copy && (json_parse(value, &parsed, NULL) != 0 || parsed.type != JSON_OBJECT))
        return invalid(e, setting->name);
    if (at == &t->kms_key && copy)
        t->managed_sse = 0;
    return true;
}

bool
lsqs_settings_apply(struct lsqs_settings *t, const struct local_sqs_attribute *a, struct lsqs_error *e)
{
    const struct setting *setting = find(a->name);
    int64_t n;
    if (setting && setting->kind == FIFO_CHOICE && !t->fifo)
        return lsqs_fail(e, LSQS_INVALID_ATTRIBUTE_NAME, "You can specify the %s only when FifoQueue is set to true.",
                         setting->name);
    if (!setting || setting->kind == FIGURE || (setting->kind >= FIFO_TYPE && !t->fifo))
        return lsqs_fail(e, LSQS_INVALID_ATTRIBUTE_NAME, "Unknown Attribute %.*s.",
                         (int)(a->name.n < 200 ? a->name.n : 200), a->name.p);
    switch (setting->kind) {
    case NUMBER:
        if (!parse_number(a->value, &n) || n < setting->low || n > setting->high)
            return invalid(e, setting->name);
        *number_at(t, setting) = n;
        return true;
    case FLAG:
    case FIFO_FLAG:
        if (!slice_equals(a->value, SLICE("true")) && !slice_equals(a->value, SLICE("false")))
            return invalid(e, setting->name);
        *number_at(t, setting) = a->value.n == 4;
        if (setting->offset == offsetof(struct lsqs_settings, managed_sse) && t->managed_sse) {
            free(t->kms_key); /* one or the other */
            t->kms_key = NULL;
        }
        return true;
    case FIFO_CHOICE:
        *number_at(t, setting) = slice_equals_string(a->value, choice(setting, true));
        return *number_at(t, setting) || slice_equals_string(a->value, choice(setting, false)) ||
               invalid(e, setting->name);
    case FIFO_TYPE:
        if (slice_equals(a->value, SLICE("false")))
            return lsqs_fail(e, LSQS_INVALID_ATTRIBUTE_VALUE,
                             "Invalid value for the parameter FifoQueue. Reason: Modifying queue type is not "
                             "supported.");
        return slice_equals(a->value, SLICE("true")) || invalid(e, setting->name);
    default:
        return apply_text(t, setting, a->value, e);
    }
}

bool
lsqs_settings_check_given(const struct local_sqs_attribute *a, size_t n, struct lsqs_error *e)
{
    bool key = false, managed = false;
    for (size_t i = 0; i < n; i++) {
        key |= slice_equals(a[i].name, SLICE("KmsMasterKeyId")) && a[i].value.n > 0;
        managed |= slice_equals(a[i].name, SLICE("SqsManagedSseEnabled")) && slice_equals(a[i].value, SLICE("true"));
    }
    return !key || !managed ||
           lsqs_fail(e, LSQS_INVALID_ATTRIBUTE_VALUE,
                     "You can use one type of server-side encryption (SSE) at one time. You can either enable KMS SSE "
                     "or SQS SSE.");
}

bool
lsqs_settings_check(const struct lsqs_settings *t, struct lsqs_error *e)
{
    return !t->group_limit || t->group_scope ||
           lsqs_fail(e, LSQS_INVALID_ATTRIBUTE_VALUE,
                     "Invalid value for the parameter FifoThroughputLimit. Reason: The perMessageGroupId value is "
                     "allowed only when the value for DeduplicationScope is messageGroup.");
}

bool
lsqs_settings_agree(const struct lsqs_settings *x, const struct lsqs_settings *y, struct slice attribute)
{
    const struct setting *setting = find(attribute);
    if (!setting || setting->kind == FIGURE || setting->kind == FIFO_TYPE)
        return true;
    if (setting->kind != TEXT)
        return *number_at(x, setting) == *number_at(y, setting);
    const char *a = *text_at(x, setting), *b = *text_at(y, setting);
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* ---- showing ----------------------------------------------------------------------------------------------------- */

static void
write_figure(const struct lsqs_queue *q, const struct store_tx *tx, const char *name, struct buf *out)
{
    const struct lsqs_counts *c = &q->counts;
    if (strcmp(name, "ApproximateNumberOfMessages") == 0)
        buf_add_int(out, c->total - c->in_flight - c->delayed);
    else if (strcmp(name, "ApproximateNumberOfMessagesNotVisible") == 0)
        buf_add_int(out, c->in_flight);
    else if (strcmp(name, "ApproximateNumberOfMessagesDelayed") == 0)
        buf_add_int(out, c->delayed);
    else if (strcmp(name, "CreatedTimestamp") == 0)
        buf_add_int(out, store_wall_ms(tx, q->created_at_ms) / 1000);
    else if (strcmp(name, "LastModifiedTimestamp") == 0)
        buf_add_int(out, store_wall_ms(tx, q->modified_at_ms) / 1000);
    else
        buf_add_string(out, q->arn);
}

const char *
lsqs_attribute(const struct lsqs_queue *q, const struct store_tx *tx, size_t i, struct buf *out)
{
    if (i >= N_SETTINGS)
        return NULL;
    const struct setting *s = &SETTINGS[i];
    const struct lsqs_settings *t = &q->settings;
    switch (s->kind) {
    case NUMBER:
        if (s->offset != offsetof(struct lsqs_settings, kms_reuse_s) || t->kms_key)
            buf_add_int(out, *number_at(t, s));
        break;
    case FLAG:
        buf_add_string(out, *number_at(t, s) ? "true" : "false");
        break;
    case TEXT:
        if (*text_at(t, s))
            buf_add_string(out, *text_at(t, s));
        break;
    case FIGURE:
        write_figure(q, tx, s->name, out);
        break;
    case FIFO_TYPE:
        if (t->fifo)
            buf_add_string(out, "true");
        break;
    case FIFO_FLAG:
        if (t->fifo)
            buf_add_string(out, *number_at(t, s) ? "true" : "false");
        break;
    case FIFO_CHOICE:
        if (t->fifo)
            buf_add_string(out, choice(s, *number_at(t, s) != 0));
        break;
    }
    return s->name;
}

/* ---- GetQueueAttributes ------------------------------------------------------------------------------------------ */

static bool
is_wanted(const struct lsqs_list *names, const char *name)
{
    const struct slice *wanted = names->items;
    for (size_t i = 0; i < names->n; i++)
        if (slice_equals(wanted[i], SLICE("All")) || slice_equals_string(wanted[i], name))
            return true;
    return false;
}

static bool
check_wanted(struct lsqs_call *c, const struct lsqs_list *names, struct store_tx *tx)
{
    const struct slice *wanted = names->items;
    struct buf text = BUF_INIT;
    bool ok = true;
    for (size_t i = 0; i < names->n && ok; i++) {
        const char *name = NULL;
        ok = slice_equals(wanted[i], SLICE("All"));
        for (size_t j = 0; !ok && (name = lsqs_attribute(c->queue, tx, j, &text)); j++)
            ok = slice_equals_string(wanted[i], name);
        if (!ok)
            lsqs_fail(&c->error, LSQS_INVALID_ATTRIBUTE_NAME, "Unknown Attribute %.*s.",
                      (int)(wanted[i].n < 200 ? wanted[i].n : 200), wanted[i].p);
    }
    buf_clean_up(&text);
    return ok;
}

int
lsqs_run_get_attributes(struct store_tx *tx, struct lsqs_call *c)
{
    const struct lsqs_get_attributes *r = c->request;
    struct lsqs_attributes_result *result = c->result;
    struct buf text = BUF_INIT;
    const char *name;
    size_t n = 0;
    int code = lsqs_touch(c->sqs, tx, c->queue);
    if (code == 0)
        code = lsqs_expire(tx, c->queue);
    if (code < 0 || !check_wanted(c, &r->names, tx))
        return code;
    struct local_sqs_attribute *items = arena_alloc(&c->call->arena, 32 * sizeof *items);
    for (size_t i = 0; items && i < 32 && (name = lsqs_attribute(c->queue, tx, i, &text)); i++) {
        if (text.len > 0 && is_wanted(&r->names, name))
            items[n++] = (struct local_sqs_attribute){
                .name = slice_of_string(name),
                .value = slice_of(arena_strndup(&c->call->arena, text.data, text.len), text.len)};
        buf_reset(&text);
    }
    buf_clean_up(&text);
    result->attributes = (struct lsqs_list){.items = items, .n = n};
    if (!items)
        lsqs_fail(&c->error, LSQS_INTERNAL, "out of memory");
    return 0;
}

/* ---- the row ----------------------------------------------------------------------------------------------------- */

static void
bind_text_or_null(sqlite3_stmt *q, int at, const char *text)
{
    if (text)
        store_bind_text(q, at, slice_of_string(text));
}

int
lsqs_save_queue(struct store_tx *tx, const struct lsqs_queue *q)
{
    const struct lsqs_settings *t = &q->settings;
    sqlite3_stmt *w = store_prepare(
        tx, "REPLACE INTO sqs_queue (id, name, box, created_at, modified_at, purged_at, visibility_s, max_bytes,"
            " retention_s, delay_s, wait_s, kms_reuse_s, managed_sse, content_dedup, group_scope, group_limit, policy,"
            " redrive_policy, redrive_allow_policy, kms_key, tags)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    if (w) {
        const int64_t numbers[] = {q->box,          q->created_at_ms, q->modified_at_ms, q->purged_at_ms,
                                   t->visibility_s, t->max_bytes,     t->retention_s,    t->delay_s,
                                   t->wait_s,       t->kms_reuse_s,   t->managed_sse,    t->content_dedup,
                                   t->group_scope,  t->group_limit};
        const int n = sizeof numbers / sizeof *numbers;
        store_bind_int(w, 1, q->id);
        store_bind_text(w, 2, slice_of_string(q->name));
        for (int i = 0; i < n; i++)
            store_bind_int(w, 3 + i, numbers[i]);
        bind_text_or_null(w, 3 + n, t->policy);
        bind_text_or_null(w, 4 + n, t->redrive_policy);
        bind_text_or_null(w, 5 + n, t->redrive_allow_policy);
        bind_text_or_null(w, 6 + n, t->kms_key);
        bind_text_or_null(w, 7 + n, q->tags);
    }
    return store_run(tx, w);
}
