#include "worker/publish_list.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "aws/events.h"
#include "base/digest.h"
#include "base/json.h"
#include "worker/message.h"
#include "worker/publish_check.h"

#define CAUSE_ID_BYTES 100 /* of a message's id; SQS's have 36 */
#define HASH_BYTES     8
#define PIECE_ID_BYTES (CAUSE_ID_BYTES + 1 + 10 + 1 + 2 * HASH_BYTES + 1)

/* ---- its id ---- */

static void
hash_text(struct digest_md5_stream *md5, struct slice s)
{
    uint64_t n = s.n;
    digest_md5_update(md5, &n, sizeof n);
    digest_md5_update(md5, s.p, s.n);
}

/* What is sent, but for the time, which a handler may take from a clock. */
static bool
hash_piece(const struct publish_piece *x, char out[2 * HASH_BYTES + 1])
{
    uint8_t digest[DIGEST_MD5_BYTES];
    struct digest_md5_stream *md5 = digest_md5_begin();
    if (!md5)
        return false;
    hash_text(md5, x->target);
    hash_text(md5, x->source);
    hash_text(md5, x->detail_type);
    hash_text(md5, x->group);
    hash_text(md5, x->payload);
    for (size_t i = 0; i < x->n && x->is_event; i++)
        hash_text(md5, x->resources[i]);
    for (size_t i = 0; i < x->n && !x->is_event; i++) {
        hash_text(md5, x->attributes[i].name);
        hash_text(md5, x->attributes[i].type);
        hash_text(md5, x->attributes[i].value);
    }
    digest_md5_end(md5, digest);
    digest_hex(digest, HASH_BYTES, out);
    return true;
}

/* ID:NUMBER:HASH, or no memory. */
static bool
write_id(const struct publish_piece *x, const struct message *m, uint32_t number, char out[PIECE_ID_BYTES])
{
    char hash[2 * HASH_BYTES + 1], instead[DIGEST_MD5_HEX];
    if (!hash_piece(x, hash))
        return false;
    struct slice id = m->id;
    if (id.n > CAUSE_ID_BYTES) {
        digest_md5_hex(id.p, id.n, instead);
        id = slice_of_string(instead);
    }
    snprintf(out, PIECE_ID_BYTES, "%.*s:%u:%s", SLICE_ARG(id), number, hash);
    return true;
}

/* ---- its memory ---- */

static size_t
attribute_bytes(const struct sqs_attribute *a)
{
    return a->name.n + a->type.n + a->value.n;
}

/* What AWS counts. */
static size_t
weigh(const struct publish_piece *x)
{
    if (x->is_event) {
        const struct events_entry entry = {.source = x->source,
                                           .detail_type = x->detail_type,
                                           .detail = x->payload,
                                           .resources = x->resources,
                                           .n_resources = x->n,
                                           .time_ms = x->time_ms};
        return events_entry_bytes(&entry);
    }
    size_t bytes = x->payload.n;
    for (size_t i = 0; i < x->n; i++)
        bytes += attribute_bytes(&x->attributes[i]);
    return bytes;
}

static struct slice
put(char **at, struct slice s)
{
    if (s.n > 0)
        memcpy(*at, s.p, s.n);
    struct slice copy = slice_of(*at, s.n);
    *at += s.n;
    *(*at)++ = '\0';
    return copy;
}

/* A copy of x in one block, all its texts included. */
static struct publish_piece *
copy_piece(const struct publish_piece *x, size_t held)
{
    char *block = malloc(held);
    if (!block)
        return NULL;
    struct publish_piece *c = (struct publish_piece *)block;
    *c = *x;
    char *at = block + sizeof *c;
    if (x->is_event) {
        c->resources = (struct slice *)at;
        at += x->n * sizeof *c->resources;
    } else {
        c->attributes = (struct sqs_attribute *)at;
        at += x->n * sizeof *c->attributes;
    }
    for (size_t i = 0; i < x->n && x->is_event; i++)
        c->resources[i] = put(&at, x->resources[i]);
    for (size_t i = 0; i < x->n && !x->is_event; i++)
        c->attributes[i] = (struct sqs_attribute){.name = put(&at, x->attributes[i].name),
                                                  .type = put(&at, x->attributes[i].type),
                                                  .value = put(&at, x->attributes[i].value)};
    c->target = put(&at, x->target);
    c->source = put(&at, x->source);
    c->detail_type = put(&at, x->detail_type);
    c->group = put(&at, x->group);
    c->dedup_id = put(&at, x->dedup_id);
    c->payload = put(&at, x->payload);
    assert(at == block + held);
    c->held = held;
    return c;
}

/* Bytes of that block. */
static size_t
block_bytes(const struct publish_piece *x)
{
    size_t bytes =
        sizeof *x + x->target.n + x->source.n + x->detail_type.n + x->group.n + x->dedup_id.n + x->payload.n + 6;
    for (size_t i = 0; i < x->n; i++)
        bytes += x->is_event ? sizeof *x->resources + x->resources[i].n + 1
                             : sizeof *x->attributes + attribute_bytes(&x->attributes[i]) + 3;
    return bytes;
}

static bool
take_room(struct publish_desk *d, size_t bytes)
{
    size_t before = atomic_fetch_add_explicit(&d->bytes, bytes, memory_order_relaxed);
    if (before + bytes <= d->max_bytes)
        return true;
    atomic_fetch_sub_explicit(&d->bytes, bytes, memory_order_relaxed);
    return false;
}

/* ---- the list ---- */

static int
begin_list(struct publish_desk *desk, struct message *m, struct err *e)
{
    if (m->publish)
        return m->publish->count < HANDLER_PUBLISH_MOST
                   ? 0
                   : err_set(e, ERR_LIMIT, "%d pieces were published for this message already, the most allowed",
                             HANDLER_PUBLISH_MOST);
    struct publish_list *list = calloc(1, sizeof *list);
    char *correlation = list ? publish_correlation_of(m) : NULL;
    if (!correlation) {
        free(list);
        return err_no_memory(e);
    }
    *list = (struct publish_list){.desk = desk, .message = m, .correlation = correlation};
    m->publish = list;
    return 0;
}

/* x, which borrows its texts, is checked and complete. */
static int
append(struct publish_list *list, const struct publish_piece *x, struct err *e)
{
    size_t weight = weigh(x), limit = x->is_event ? EVENTS_BYTES_MAX : SQS_MESSAGE_BYTES_MAX;
    if (weight > limit)
        return err_set(e, ERR_LIMIT, "%zu bytes, as AWS counts them, are more than the %zu allowed", weight, limit);
    size_t held = block_bytes(x);
    if (!take_room(list->desk, held))
        return err_set(e, ERR_LIMIT,
                       "more than %zu MiB would wait to be published (publish.buffer_mb): retry the message",
                       list->desk->max_bytes >> 20);
    struct publish_piece *copy = copy_piece(x, held);
    if (!copy) {
        atomic_fetch_sub_explicit(&list->desk->bytes, held, memory_order_relaxed);
        return err_no_memory(e);
    }
    copy->list = list;
    copy->entry.message = list->message;
    copy->number = list->count++;
    copy->weight = weight;
    *(list->last ? &list->last->next : &list->first) = copy;
    list->last = copy;
    return 0;
}

void
publish_list_free(struct publish_list *list)
{
    if (!list)
        return;
    while (list->first) {
        struct publish_piece *x = list->first;
        assert(!x->entry.box);
        list->first = x->next;
        atomic_fetch_sub_explicit(&list->desk->bytes, x->held, memory_order_relaxed);
        free(x);
    }
    free(list->correlation);
    free(list);
}

/* ---- events ---- */

static struct slice
slice_of_plugin(struct handler_slice s)
{
    return slice_of(s.p, s.p ? s.n : 0);
}

/* The handler's resources but for those of our mark, with room for ours behind them; *ret_n counts them. malloced. */
static struct slice *
collect_resources(const struct handler_new_event *event, bool *ret_correlated, size_t *ret_n)
{
    struct slice *resources = reallocarray(NULL, event->resource_count + (size_t)2, sizeof *resources);
    size_t n = 0;
    for (uint32_t i = 0; resources && i < event->resource_count; i++) {
        struct slice s = slice_of_plugin(event->resources[i]);
        bool correlation = slice_starts_with(s, SLICE(PUBLISH_CORRELATION_MARK));
        *ret_correlated |= correlation;
        if (correlation || !slice_starts_with(s, SLICE(PUBLISH_MARK)))
            resources[n++] = s;
    }
    *ret_n = n;
    return resources;
}

int
publish_list_add_event(struct publish_desk *desk, struct message *m, const struct handler_new_event *event,
                       struct err *e)
{
    struct publish_piece x = {.is_event = true, .delay_s = -1};
    struct handler_new_event v;
    struct buf ours = BUF_INIT;
    char id[PIECE_ID_BYTES];
    bool correlated = false;
    int rc = publish_check_event(event, desk->bus, &v, e);
    if (rc == 0)
        rc = begin_list(desk, m, e);
    if (rc != 0)
        return rc;
    x.target = slice_of_plugin(v.bus);
    x.source = slice_of_plugin(v.source);
    x.detail_type = slice_of_plugin(v.detail_type);
    x.payload = slice_of_plugin(v.detail);
    x.time_ms = v.time_ms;
    x.resources = collect_resources(&v, &correlated, &x.n);
    if (!x.resources || !write_id(&x, m, m->publish->count, id)) {
        rc = err_no_memory(e);
        goto cleanup;
    }
    buf_add_format(&ours, PUBLISH_CAUSE_MARK "%s", id);
    size_t cause = ours.len;
    buf_add_format(&ours, PUBLISH_CORRELATION_MARK "%s", m->publish->correlation);
    if (buf_failed(&ours)) {
        rc = err_no_memory(e);
        goto cleanup;
    }
    x.resources[x.n++] = slice_of(ours.data, cause);
    if (!correlated)
        x.resources[x.n++] = slice_of(ours.data + cause, ours.len - cause);
    rc = append(m->publish, &x, e);

cleanup:
    buf_clean_up(&ours);
    free(x.resources);
    return rc;
}

/* ---- messages ---- */

static struct sqs_attribute
text_attribute(const char *name, const char *value)
{
    return (struct sqs_attribute){
        .name = slice_of_string(name), .type = SLICE("String"), .value = slice_of_string(value)};
}

/* The handler's attributes but for the one that is ours. publish_check_message has counted them. */
static size_t
collect_attributes(const struct handler_new_message *message, struct sqs_attribute *out, bool *ret_correlated)
{
    size_t n = 0;
    for (uint32_t i = 0; i < message->attribute_count; i++) {
        const struct handler_attribute *a = &message->attributes[i];
        struct slice name = slice_of_plugin(a->name);
        *ret_correlated |= slice_equals_string(name, PUBLISH_CORRELATION);
        if (!slice_equals_string(name, PUBLISH_CAUSE))
            out[n++] = (struct sqs_attribute){
                .name = name, .type = slice_of_plugin(a->type), .value = slice_of_plugin(a->value)};
    }
    return n;
}

/* The group on a FIFO queue where the handler named none. */
static struct slice
own_group(const struct message *m)
{
    return m->group.n > 0 ? m->group : slice_of(m->id.p, m->id.n < PUBLISH_ID_BYTES ? m->id.n : PUBLISH_ID_BYTES);
}

int
publish_list_add_message(struct publish_desk *desk, struct message *m, const struct handler_new_message *message,
                         struct err *e)
{
    struct sqs_attribute attributes[PUBLISH_ATTRIBUTES];
    struct publish_piece x = {.attributes = attributes};
    struct handler_new_message v;
    char id[PIECE_ID_BYTES];
    bool correlated = false;
    int rc = publish_check_message(message, desk->queue, &v, &x.fifo, e);
    if (rc == 0)
        rc = begin_list(desk, m, e);
    if (rc != 0)
        return rc;
    x.target = slice_of_plugin(v.queue);
    x.payload = slice_of_plugin(v.body);
    x.delay_s = v.delay_s == 0 ? -1 : v.delay_s < 0 ? 0 : v.delay_s; /* as sqs_send has it */
    x.group = slice_of_plugin(v.group);
    if (x.fifo && x.group.n == 0)
        x.group = own_group(m);
    x.n = collect_attributes(&v, attributes, &correlated);
    if (!write_id(&x, m, m->publish->count, id))
        return err_no_memory(e);
    attributes[x.n++] = text_attribute(PUBLISH_CAUSE, id);
    if (!correlated)
        attributes[x.n++] = text_attribute(PUBLISH_CORRELATION, m->publish->correlation);
    if (x.fifo)
        x.dedup_id = v.deduplication_id.n > 0 ? slice_of_plugin(v.deduplication_id) : slice_of_string(id);
    return append(m->publish, &x, e);
}
