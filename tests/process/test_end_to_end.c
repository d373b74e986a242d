/* The main job with the real programs: events go in through PutEvents and come out of a handler, and are in
 * raw-events, byte for byte. (What happens when parts are killed: test_kill.c.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "aws/s3.h"
#include "base/buf.h"
#include "base/json.h"
#include "ctl/entry.h"
#include "event/envelope.h"
#include "lib/proc.h"
#include "lib/shared.h"
#include "lib/system.h"
#include "lib/tmp.h"

#define EVENTS_MAX 400

/* ---- byte for byte ----------------------------------------------------------------------------------------------- */

struct sent {
    struct entry *entry;
    char id[64];
};

struct bytes_test {
    struct system *system;
    struct sent sent[EVENTS_MAX + 1]; /* by line number */
    size_t n;
    const char *out; /* what the jsonl plugin writes */
};

static const char *const TRICKY[] = {
    "{\"n\": 9007199254740993}",
    "{\"price\":1.10,\"zero\":-0.0,\"big\":1e400,\"small\":1E-400}",
    "{\"nul\":\"a\\u0000b\",\"slash\":\"\\/\",\"pair\":\"\\ud83d\\ude00\",\"raw\":\"\xf0\x9f\x98\x80 \xc3\xa9\"}",
    "{ \"white\" :\t[ 1 , 2,3 ] , \"a\":1, \"a\":2 }",
    "{}",
};

/* The 104 events that AWS services really send, when they are there; ours otherwise; and the tricky ones. */
static void
write_events(struct bytes_test *t, struct buf *file)
{
    if (!shared_read("data/events/aws-samples.ndjson", file))
        for (int i = 0; i < 100; i++)
            buf_add_format(file, "{\"Source\":\"buffer.source\",\"DetailType\":\"T%d\",\"Detail\":{\"i\":%d}}\n", i, i);
    for (size_t i = 0; i < sizeof TRICKY / sizeof *TRICKY; i++) {
        buf_add_string(file, "{\"Source\":\"buffer.source\",\"DetailType\":\"BufferedEvent\",\"Detail\":");
        json_write_string(file, slice_of_string(TRICKY[i]));
        buf_add_string(file, ",\"EventBusName\":\"" SYSTEM_BUS "\"}\n");
    }
    assert_false(buf_failed(file));
    for (char *line = file->data; *line; line = strchr(line, '\n') + 1) {
        struct err e = {0};
        assert_true(++t->n <= EVENTS_MAX);
        if (entry_parse(slice_of(line, strcspn(line, "\n")), t->n, SYSTEM_BUS, &t->sent[t->n].entry, &e) != 0)
            fail_msg("line %zu: %s", t->n, e.text);
    }
}

static void
publish(struct bytes_test *t, const char *events)
{
    struct proc *p;
    const char *argv[] = {proc_path("bin/fanoutctl"), "send", "--ids", events, NULL};
    assert_int_equal(system_run(t->system, argv, 30000, &p), 0);
    size_t seen = 0, number;
    char id[64];
    for (const char *line = proc_stdout(p); sscanf(line, "%zu %63s", &number, id) == 2; line = strchr(line, '\n') + 1) {
        assert_in_range(number, 1, t->n);
        memcpy(t->sent[number].id, id, sizeof id);
        seen++;
    }
    assert_int_equal(seen, t->n);
    proc_destroy(p);
}

static size_t
count_lines(const char *path)
{
    size_t bytes = 0, lines = 0;
    char *text = tmp_read(path, &bytes);
    for (size_t i = 0; text && i < bytes; i++)
        lines += text[i] == '\n';
    free(text);
    return lines;
}

static bool
all_came_out(void *context)
{
    struct bytes_test *t = context;
    return count_lines(t->out) >= t->n;
}

static struct sent *
sent_with_id(struct bytes_test *t, struct json id)
{
    for (size_t i = 1; i <= t->n; i++)
        if (json_equals_string(id, slice_of_string(t->sent[i].id)))
            return &t->sent[i];
    fail_msg("an event came out that was never published: %.*s", SLICE_ARG(id.text));
    return NULL;
}

/* Every line is one published event with its detail as it was sent; returns the lines, for the objects' turn. */
static char *
check_handled(struct bytes_test *t)
{
    char *text = tmp_read(t->out, NULL);
    assert_non_null(text);
    size_t lines = 0;
    for (char *line = text; *line; line = strchr(line, '\n') + 1, lines++) {
        struct event_envelope envelope;
        struct err e = {0};
        if (event_envelope_parse(slice_of(line, strcspn(line, "\n")), &envelope, &e) != 0)
            fail_msg("%s", e.text);
        const struct sent *sent = sent_with_id(t, envelope.id);
        if (!slice_equals(envelope.detail.text, sent->entry->event.detail))
            fail_msg("line %zu: sent %.*s, handled %.*s", sent->entry->line, SLICE_ARG(sent->entry->event.detail),
                     SLICE_ARG(envelope.detail.text));
        assert_true(json_equals_string(envelope.source, sent->entry->event.source));
        assert_true(json_equals_string(envelope.detail_type, sent->entry->event.detail_type));
    }
    assert_int_equal(lines, t->n);
    return text;
}

struct objects {
    bool done;
    size_t n;
    char keys[EVENTS_MAX + 1][128];
    struct buf body;
};

static void
on_listing(void *context, const struct s3_listing *l)
{
    struct objects *o = context;
    o->done = true;
    for (size_t i = 0; !l->error && i < l->n_entries && i <= EVENTS_MAX; i++, o->n++)
        snprintf(o->keys[i], sizeof o->keys[i], "%.*s", SLICE_ARG(l->entries[i].key));
}

static void
on_object(void *context, const struct s3_object *object)
{
    struct objects *o = context;
    o->done = true;
    buf_reset(&o->body);
    if (!object->error)
        buf_add_slice(&o->body, object->body);
    buf_add_char(&o->body, '\n');
}

/* Each event is one object, raw-events/TIME-ID.json, whose content is the line the handler got. */
static void
check_captured(struct bytes_test *t, const char *lines)
{
    struct system_client c = system_connect(t->system, AWS_S3);
    struct objects *o = calloc(1, sizeof *o);
    struct s3_list_options options = {.bucket = SYSTEM_BUCKET, .prefix = "raw-events/"};
    assert_non_null(o);
    assert_int_equal(s3_list(c.aws, &options, on_listing, o, NULL, NULL), 0);
    system_await(&c, &o->done);
    assert_int_equal(o->n, t->n);
    for (size_t i = 0; i < o->n; i++) {
        struct event_envelope envelope;
        struct err e = {0};
        char time[30], id[64], key[128];
        o->done = false;
        assert_int_equal(s3_get(c.aws, SYSTEM_BUCKET, o->keys[i], 0, NULL, on_object, o, NULL, NULL), 0);
        system_await(&c, &o->done);
        if (!strstr(lines, o->body.data))
            fail_msg("%s is no event the handler got: %s", o->keys[i], o->body.data);
        if (event_envelope_parse(buf_slice(&o->body), &envelope, &e) != 0)
            fail_msg("%s", e.text);
        snprintf(time, sizeof time, "%.*s", SLICE_ARG(json_raw(envelope.time)));
        snprintf(id, sizeof id, "%.*s", SLICE_ARG(json_raw(envelope.id)));
        snprintf(key, sizeof key, "raw-events/%s-%s.json", time, id);
        assert_string_equal(o->keys[i], key);
    }
    buf_clean_up(&o->body);
    free(o);
    system_disconnect(&c);
}

static void
events_come_out_and_are_captured_byte_for_byte(void **state)
{
    (void)state;
    const char *dir = tmp_new();
    struct bytes_test *t = calloc(1, sizeof *t);
    struct buf file = BUF_INIT;
    assert_non_null(t);
    write_events(t, &file);
    const char *events = tmp_write(dir, "events.ndjson", "%s", file.data);
    t->out = tmp_path(dir, "out.ndjson");
    t->system = system_start(dir);
    char consumers[1000];
    snprintf(consumers, sizeof consumers,
             "consumers = ( { name = \"bytes\"; queue = \"" SYSTEM_QUEUE "\"; plugin = \"jsonl\"; "
             "wait_time_s = 1; options = { path = \"%s\"; }; } );",
             t->out);
    system_start_fleet(t->system, consumers);
    publish(t, events);
    assert_true(proc_wait_until(all_came_out, t, 30000));
    system_stop_fleet(t->system);
    char *lines = check_handled(t);
    check_captured(t, lines);
    free(lines);
    system_stop(t->system);
    for (size_t i = 1; i <= t->n; i++)
        entry_destroy(t->sent[i].entry);
    buf_clean_up(&file);
    free(t);
    tmp_remove(dir);
}

/* ---- a server that goes away ------------------------------------------------------------------------------------- */

#define MANY 5000

static void
sending_goes_on_when_the_server_was_killed(void **state)
{
    (void)state;
    const char *dir = tmp_new();
    struct buf file = BUF_INIT;
    struct system *s = system_start(dir);
    for (int i = 0; i < MANY; i++)
        buf_add_format(&file, "{\"Source\":\"buffer.source\",\"DetailType\":\"T\",\"Detail\":{\"seq\":%d}}\n", i);
    const char *argv[] = {proc_path("bin/fanoutctl"), "send", "--ids", tmp_write(dir, "events", "%s", file.data), NULL};
    struct proc *sender = proc_spawn(argv, s->env);
    assert_non_null(proc_wait_line(sender, " ", 30000)); /* it has begun */
    system_kill_local(s);
    assert_true(proc_is_running(sender));
    system_restart_local(s);
    assert_int_equal(proc_wait_exit(sender, 60000), 0);
    size_t n = 0;
    for (const char *line = proc_stdout(sender); *line; line = strchr(line, '\n') + 1)
        n++;
    assert_int_equal(n, MANY);
    proc_destroy(sender);
    system_stop(s);
    buf_clean_up(&file);
    tmp_remove(dir);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_come_out_and_are_captured_byte_for_byte),
        cmocka_unit_test(sending_goes_on_when_the_server_was_killed),
    };
    return cmocka_run_group_tests_name("end_to_end", tests, NULL, NULL);
}
