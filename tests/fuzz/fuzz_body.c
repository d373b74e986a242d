/* fuzz_body: any bytes as a message's body: unwrapped, taken apart, and shown to a handler. What is shown lies in the
 * body or in the call's memory, and is UTF-8; what was unwrapped is what the notification says. */
#include <stdatomic.h>

#include "fuzz/fuzz.h"
#include "lib/sim.h"
#include "worker/host_view.h"
#include "worker/screen.h"

static void
check_utf8(struct handler_slice s)
{
    struct buf quoted = BUF_INIT;
    struct json value;
    touch(slice_of(s.p, s.n));
    /* json_write_string replaces what is no UTF-8, and the length tells. */
    json_write_string(&quoted, slice_of(s.p, s.n));
    check(json_parse(buf_slice(&quoted), &value, NULL) == 0 && json_equals_string(value, slice_of(s.p, s.n)));
    buf_clean_up(&quoted);
}

static void
check_json(struct handler_slice s)
{
    struct json value;
    check(json_parse(slice_of(s.p, s.n), &value, NULL) == 0);
}

static void
check_event(const struct handler_event *e)
{
    const struct handler_slice texts[] = {e->id,     e->source, e->detail_type, e->account,
                                          e->region, e->time,   e->replay_job,  e->original_id};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        check_utf8(texts[i]);
    for (uint32_t i = 0; i < e->resource_count; i++)
        check_utf8(e->resources[i]);
    check_json(e->detail);
}

static void
check_record(const struct handler_s3_record *r)
{
    const struct handler_slice texts[] = {r->event_name,  r->event_time, r->region,     r->bucket,
                                          r->encoded_key, r->etag,       r->version_id, r->sequencer};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        check_utf8(texts[i]);
    touch(slice_of(r->key.p, r->key.n));
    check(r->key.n <= r->encoded_key.n);
    check_json(r->record);
}

static void
look(struct handler_call *call, const struct message *m)
{
    const struct handler_event_extension *x = &host_event_extension;
    int32_t kind = x->kind(call, 0);
    const struct handler_event *e = x->event(call, 0);
    const struct handler_sns *s = x->sns(call, 0);
    const struct handler_s3_record *r;
    uint32_t n = 0;
    check((e != NULL) == (kind == HANDLER_BODY_EVENT));
    if (e)
        check_event(e);
    if (s) {
        check_utf8(s->topic_arn);
        check_utf8(s->message_id);
        check_utf8(s->subject);
        check_utf8(s->timestamp);
    }
    for (; (r = x->s3(call, 0, n)); n++)
        check_record(r);
    check((n > 0) == (kind == HANDLER_BODY_S3));
    check(m->view.body[m->view.body_len] == '\0');
    check(x->received(call, 0).p == m->body.p && x->received(call, 0).n == m->body.n);
}

static void
run(struct slice body, enum conf_unwrap unwrap)
{
    struct metrics metrics = {0};
    struct world world = {.metrics = &metrics, .random = 1};
    struct call_shared shared = {.metrics = &metrics, .plugin = "fuzz"};
    struct screen screen;
    struct sqs_message received = sim_sqs_message("id", "handle", "", 1);
    received.body = body;
    struct message *m = message_new(&received, "q", 1, 1), *messages[] = {m};
    struct handler_call call = {.shared = &shared, .thread = pthread_self(), .messages = messages, .count = 1};
    struct slice id;
    if (!m)
        return;
    screen_init(&screen, &world, &(struct screen_options){.unwrap = unwrap, .envelope = CONF_ENVELOPE_EVENTBRIDGE});
    bool passed = screen_message(&screen, m);
    check(passed == (m->verdict.kind == VERDICT_NONE));
    check(passed || m->verdict.kind == VERDICT_DEAD_LETTER);
    check(passed == (m->content->kind == HANDLER_BODY_EVENT ||
                     (unwrap == CONF_UNWRAP_AUTO && m->content->kind != HANDLER_BODY_OTHER)));
    if (m->content->unwrapped)
        check(json_equals_string(m->content->sns.message, slice_of(m->view.body, m->view.body_len)));
    else
        check(m->view.body == m->body.p);
    if (screen_event_id(m, &id))
        check(id.n > 0);
    arena_init(&call.arena, 0);
    atomic_store(&call.running, true);
    look(&call, m);
    arena_clean_up(&call.arena);
    message_release(m);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice body = slice_of((const char *)data, size);
    run(body, CONF_UNWRAP_NONE);
    run(body, CONF_UNWRAP_AUTO);
    return 0;
}
