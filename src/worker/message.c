#include "worker/message.h"

#include <assert.h>
#include <stdlib.h>

#include "worker/publish_list.h"

/* Attributes are kept as name, type and value, each behind its length. */
static size_t
encoded_size(const struct sqs_message *r)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n_attributes; i++)
        n += 3 * sizeof(uint32_t) + r->attributes[i].name.n + r->attributes[i].type.n + r->attributes[i].value.n;
    return n;
}

static char *
put_text(char *at, struct slice s)
{
    if (s.n > 0)
        memcpy(at, s.p, s.n);
    return at + s.n;
}

static char *
put_counted(char *at, struct slice s)
{
    uint32_t n = (uint32_t)s.n;
    memcpy(at, &n, sizeof n);
    return put_text(at + sizeof n, s);
}

static struct slice
take_counted(struct slice *rest)
{
    uint32_t n;
    assert(rest->n >= sizeof n);
    memcpy(&n, rest->p, sizeof n);
    struct slice s = slice_of(rest->p + sizeof n, n);
    assert(rest->n - sizeof n >= n);
    *rest = slice_of(s.p + n, rest->n - sizeof n - n);
    return s;
}

size_t
message_read_attributes(const struct message *m, struct sqs_attribute *ret_attributes, size_t max)
{
    size_t n = 0;
    for (struct slice rest = m->attributes; rest.n > 0; n++) {
        struct sqs_attribute a;
        a.name = take_counted(&rest);
        a.type = take_counted(&rest);
        a.value = take_counted(&rest);
        if (n < max)
            ret_attributes[n] = a;
    }
    return n;
}

/* Each that there is, behind its number. */
static void
list_system(const struct sqs_message *r, struct slice ret_values[MESSAGE_SYSTEM_ATTRIBUTES])
{
    ret_values[MESSAGE_TRACE_HEADER] = r->trace_header;
    ret_values[MESSAGE_SENDER_ID] = r->sender_id;
    ret_values[MESSAGE_DEDUPLICATION_ID] = r->dedup_id;
    ret_values[MESSAGE_DEAD_LETTER_SOURCE] = r->dead_letter_source_arn;
}

static size_t
system_size(const struct slice values[MESSAGE_SYSTEM_ATTRIBUTES])
{
    size_t n = 0;
    for (size_t i = 0; i < MESSAGE_SYSTEM_ATTRIBUTES; i++)
        n += values[i].n > 0 ? 1 + sizeof(uint32_t) + values[i].n : 0;
    return n;
}

static char *
put_system(char *at, const struct slice values[MESSAGE_SYSTEM_ATTRIBUTES])
{
    for (size_t i = 0; i < MESSAGE_SYSTEM_ATTRIBUTES; i++) {
        if (values[i].n > 0) {
            *at++ = (char)i;
            at = put_counted(at, values[i]);
        }
    }
    return at;
}

struct slice
message_system_attribute(const struct message *m, enum message_system which)
{
    for (struct slice rest = m->system; rest.n > 0;) {
        char i = rest.p[0];
        rest = slice_of(rest.p + 1, rest.n - 1);
        struct slice value = take_counted(&rest);
        if (i == (char)which)
            return value;
    }
    return slice_of(NULL, 0);
}

uint64_t
message_hash(struct slice id)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325) ^ id.n;
    size_t i = 0;
    for (; i + 8 <= id.n; i += 8) {
        uint64_t word;
        memcpy(&word, id.p + i, 8);
        h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 29;
    }
    for (; i < id.n; i++)
        h = (h ^ (unsigned char)id.p[i]) * UINT64_C(0x100000001b3);
    return h ^ h >> 32;
}

/* Puts s with a NUL behind it. */
static struct slice
put_string(char **at, struct slice s)
{
    struct slice copy = slice_of(*at, s.n);
    *at = put_text(*at, s);
    *(*at)++ = '\0';
    return copy;
}

struct message *
message_new(const struct sqs_message *r, const char *queue_name, int64_t wall_ms, int64_t now_ms)
{
    struct slice system_values[MESSAGE_SYSTEM_ATTRIBUTES];
    list_system(r, system_values);
    size_t attributes = encoded_size(r), system = system_size(system_values);
    size_t text = r->id.n + r->group.n + r->receipt_handle.n + r->md5_of_body.n + r->body.n + r->sequence_number.n + 6 +
                  attributes + system;
    struct message *m = malloc(sizeof *m + text);
    if (!m)
        return NULL;
    memset(m, 0, sizeof *m);
    char *at = (char *)(m + 1);
    m->id = put_string(&at, r->id);
    m->group = put_string(&at, r->group);
    m->receipt_handle = put_string(&at, r->receipt_handle);
    m->md5_of_body = put_string(&at, r->md5_of_body);
    m->body = put_string(&at, r->body);
    m->sequence = put_string(&at, r->sequence_number);
    m->attributes = slice_of(at, attributes);
    for (size_t i = 0; i < r->n_attributes; i++) {
        at = put_counted(at, r->attributes[i].name);
        at = put_counted(at, r->attributes[i].type);
        at = put_counted(at, r->attributes[i].value);
    }
    m->system = slice_of(at, system);
    at = put_system(at, system_values);
    assert(at == (char *)(m + 1) + text);

    m->view = (struct handler_message){.size = sizeof m->view,
                                       .receive_count = r->receive_count,
                                       .id = m->id.p,
                                       .queue = queue_name,
                                       .group = m->group.n > 0 ? m->group.p : NULL,
                                       .body = m->body.p,
                                       .body_len = m->body.n,
                                       .sent_at_ms = r->sent_at_ms,
                                       .received_at_ms = wall_ms};
    m->first_received_at_ms = r->first_received_at_ms;
    m->hash = message_hash(m->id);
    m->record = MESSAGE_NO_RECORD;
    m->references = 1;
    m->receive_count = r->receive_count;
    m->received_ms = m->in_hand_since_ms = now_ms;
    m->settling.message = m->extending.message = m;
    m->settled.kind = INBOX_SETTLED;
    return m;
}

void
message_forget_verdict(struct message *m)
{
    assert(!m->batch && !m->publish);
    if (m->verdict.reason) {
        free(m->last_reason);
        m->last_reason = m->verdict.reason;
    }
    m->verdict = (struct message_verdict){.kind = VERDICT_NONE};
    m->again = false;
}

void
message_hold(struct message *m)
{
    m->references++;
}

void
message_release(struct message *m)
{
    assert(m->references > 0);
    if (--m->references > 0)
        return;
    assert(!m->settling.box && !m->extending.box && !timer_is_set(&m->lease_timer));
    free(m->newer_handle);
    free(m->content);
    free(m->last_reason);
    free(m->verdict.reason);
    publish_list_free(m->publish);
    free(m);
}

int
message_receive_again(struct message *m, const struct sqs_message *r, int64_t now_ms)
{
    char *handle = malloc(r->receipt_handle.n + 1);
    if (!handle)
        return ERR_NO_MEMORY;
    put_text(handle, r->receipt_handle);
    handle[r->receipt_handle.n] = '\0';
    free(m->newer_handle);
    m->newer_handle = handle;
    m->receipt_handle = slice_of(handle, r->receipt_handle.n);
    m->handle_version++;
    m->receive_count = r->receive_count;
    m->received_ms = now_ms;
    return 0;
}

/* The length of the character at p (which ends in a NUL): 0 when it is no UTF-8, or none that XML 1.0 allows. */
static size_t
character_bytes(const unsigned char *p)
{
    if (p[0] < 0x80)
        return p[0] >= 0x20 && p[0] != 0x7F;
    size_t n = p[0] >= 0xF0 && p[0] < 0xF5 ? 4 : p[0] >= 0xE0 && p[0] < 0xF0 ? 3 : p[0] >= 0xC2 && p[0] < 0xE0 ? 2 : 0;
    uint32_t code = n == 4 ? p[0] & 0x07 : n == 3 ? p[0] & 0x0F : p[0] & 0x1F;
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0;
        code = code << 6 | (p[i] & 0x3F);
    }
    if ((n == 3 && code < 0x800) || (n == 4 && (code < 0x10000 || code > 0x10FFFF)) ||
        (code >= 0xD800 && code < 0xE000) || code == 0xFFFE || code == 0xFFFF)
        return 0;
    return n;
}

char *
message_copy_reason(const char *reason)
{
    char *out = reason ? malloc(MESSAGE_REASON_BYTES) : NULL;
    if (!out)
        return NULL;
    size_t n = 0;
    for (const unsigned char *p = (const unsigned char *)reason; *p;) {
        size_t bytes = character_bytes(p);
        if (n + (bytes ? bytes : 1) >= MESSAGE_REASON_BYTES)
            break;
        if (bytes)
            memcpy(out + n, p, bytes);
        else
            out[n] = *p < 0x80 ? ' ' : '?';
        n += bytes ? bytes : 1;
        p += bytes ? bytes : 1;
    }
    out[n] = '\0';
    return out;
}
