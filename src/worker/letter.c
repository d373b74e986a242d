#include "worker/letter.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"

#define PREFIX    "fanout."
#define FOLDED    "fanout.dead-letter"
#define OURS      10
#define OUR_BYTES (4 * MESSAGE_REASON_BYTES + 2048) /* the reason apart and folded, escaped; names and types */

const char *
letter_kind(enum dead_reason why)
{
    static const char *const KINDS[] = {
        [DEAD_REJECTED] = "rejected",       [DEAD_ATTEMPTS] = "attempts", [DEAD_RECEIVES] = "receives",
        [DEAD_UNDECODABLE] = "undecodable", [DEAD_MISMATCH] = "mismatch", [DEAD_UNDECIDED] = "undecided"};
    return KINDS[why];
}

static struct sqs_attribute
text_attribute(const char *name, struct slice value)
{
    return (struct sqs_attribute){.name = slice_of_string(name), .type = SLICE("String"), .value = value};
}

static size_t
bytes_of(const struct sqs_attribute *a)
{
    return a->name.n + a->type.n + a->value.n;
}

/* SQS refuses an attribute without a value. */
static struct slice
something(const char *text, const char *otherwise)
{
    return slice_of_string(text && *text ? text : otherwise);
}

static void
list_ours(const struct letter_sender *sender, const struct message *m, int64_t wall_ms, struct letter *t,
          struct sqs_attribute ours[OURS])
{
    int64_t first_ms = m->first_received_at_ms > 0 ? m->first_received_at_ms : m->view.received_at_ms;
    snprintf(t->attempts, sizeof t->attempts, "%u", (unsigned)m->attempts);
    snprintf(t->receives, sizeof t->receives, "%u", (unsigned)m->receive_count);
    clock_format_ms(first_ms, t->first);
    clock_format_ms(wall_ms, t->last);
    size_t n = 0;
    ours[n++] = text_attribute(PREFIX "reason", something(m->verdict.reason, "rejected without a reason"));
    ours[n++] = text_attribute(PREFIX "reason-kind", slice_of_string(letter_kind(m->verdict.dead)));
    ours[n++] = text_attribute(PREFIX "message-id", m->id);
    ours[n++] = text_attribute(PREFIX "attempts", slice_of_string(t->attempts));
    ours[n++] = text_attribute(PREFIX "receive-count", slice_of_string(t->receives));
    ours[n++] = text_attribute(PREFIX "consumer", slice_of_string(sender->consumer));
    ours[n++] = text_attribute(PREFIX "handler", slice_of_string(sender->handler));
    ours[n++] = text_attribute(PREFIX "host", something(sender->host, "unknown"));
    ours[n++] = text_attribute(PREFIX "first-received", slice_of_string(t->first));
    ours[n++] = text_attribute(PREFIX "last-failed", slice_of_string(t->last));
}

static bool
is_ours(struct slice name, const struct sqs_attribute ours[OURS])
{
    bool found = slice_equals_string(name, FOLDED);
    for (size_t i = 0; i < OURS && !found; i++)
        found = slice_equals(name, ours[i].name);
    return found;
}

/* The message's own into the letter. Returns the letter's size with them. */
static size_t
keep_own(const struct message *m, const struct sqs_attribute ours[OURS], struct letter *t)
{
    struct sqs_attribute own[LETTER_ATTRIBUTES];
    size_t n = message_read_attributes(m, own, LETTER_ATTRIBUTES), bytes = m->body.n;
    t->n = 0;
    for (size_t i = 0; i < n && i < LETTER_ATTRIBUTES; i++) {
        if (is_ours(own[i].name, ours))
            continue;
        bytes += bytes_of(&own[i]);
        t->attributes[t->n++] = own[i];
    }
    return bytes;
}

static void
fold(struct buf *out, const struct sqs_attribute ours[OURS])
{
    for (size_t i = 0; i < OURS; i++) {
        buf_add_char(out, i == 0 ? '{' : ',');
        json_write_string(out, slice_of(ours[i].name.p + strlen(PREFIX), ours[i].name.n - strlen(PREFIX)));
        buf_add_char(out, ':');
        json_write_string(out, ours[i].value);
    }
    buf_add_char(out, '}');
}

static size_t
limit_of(const struct message *m)
{
    return m->letter_bytes > 0 ? m->letter_bytes : LETTER_BYTES;
}

static void
add_if_it_fits(struct letter *t, const struct sqs_attribute *a, size_t limit, size_t *bytes)
{
    if (t->n == LETTER_ATTRIBUTES || *bytes + bytes_of(a) > limit)
        return;
    t->attributes[t->n++] = *a;
    *bytes += bytes_of(a);
}

void
letter_write(const struct letter_sender *sender, const struct message *m, int64_t wall_ms, struct letter *ret_letter)
{
    struct letter *t = ret_letter;
    struct sqs_attribute ours[OURS];
    buf_init(&t->folded);
    list_ours(sender, m, wall_ms, t, ours);
    size_t bytes = keep_own(m, ours, t), wanted = bytes, own = t->n;
    for (size_t i = 0; i < OURS; i++)
        wanted += bytes_of(&ours[i]);
    if (t->n + OURS > LETTER_ATTRIBUTES || wanted > limit_of(m)) {
        fold(&t->folded, ours);
        const struct sqs_attribute folded = text_attribute(FOLDED, buf_slice(&t->folded));
        if (!buf_failed(&t->folded))
            add_if_it_fits(t, &folded, limit_of(m), &bytes);
    }
    for (size_t i = 0; i < OURS; i++)
        add_if_it_fits(t, &ours[i], limit_of(m), &bytes);
    /* The two that have it come first; a reason may be too long where a shorter text still has room. */
    t->says_why = t->n > own && (slice_equals_string(t->attributes[own].name, FOLDED) ||
                                 slice_equals(t->attributes[own].name, ours[0].name));
}

void
letter_clean_up(struct letter *t)
{
    buf_clean_up(&t->folded);
}

bool
letter_shrink(struct message *m)
{
    bool was_alone = m->letter_bytes == 1;
    bool is_old = m->letter_bytes == 0 && m->body.n + m->attributes.n < LETTER_OLD_BYTES;
    m->letter_bytes = is_old ? LETTER_OLD_BYTES : 1;
    return !was_alone;
}

size_t
letter_bytes_at_most(const struct message *m)
{
    return m->body.n + m->attributes.n + OUR_BYTES;
}
