/* What a handler hands in to be published: what is refused, and what the pieces say that it becomes. */
#include "worker/publish_list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/sim.h"
#include "worker/content.h"
#include "worker/message.h"

#define EVENT(resources)                                                                                               \
    "{\"version\":\"0\",\"id\":\"ev-1\",\"detail-type\":\"T\",\"source\":\"s\",\"account\":\"1\","                     \
    "\"time\":\"2026-11-20T06:00:00Z\",\"region\":\"r\",\"resources\":[" resources "],\"detail\":{}}"

static struct publish_desk desk;

static int
make_desk(void **state)
{
    (void)state;
    desk = (struct publish_desk){.bus = "orders", .queue = "invoices", .max_bytes = 4 << 20};
    return 0;
}

static int
nothing_is_held(void **state)
{
    (void)state;
    assert_int_equal(atomic_load(&desk.bytes), 0);
    return 0;
}

static struct message *
message_with(const char *id, const char *body, const struct sqs_attribute *attributes, size_t n)
{
    struct sqs_message r = sim_sqs_message(id, "handle", body, 1);
    r.attributes = attributes;
    r.n_attributes = n;
    r.group = SLICE("customer-7");
    r.trace_header = SLICE("Root=1-5");
    struct message *m = message_new(&r, "q", 0, 0);
    assert_non_null(m);
    return m;
}

static struct message *
message_of(const char *body)
{
    return message_with("m-1", body, NULL, 0);
}

static struct handler_slice
text(const char *s)
{
    return (struct handler_slice){s, strlen(s)};
}

static struct handler_new_event
plain_event(void)
{
    return (struct handler_new_event){.size = sizeof(struct handler_new_event),
                                      .source = HANDLER_TEXT("shop"),
                                      .detail_type = HANDLER_TEXT("Paid"),
                                      .detail = HANDLER_TEXT("{\"order\": 7}")};
}

static struct handler_new_message
plain_message(void)
{
    return (struct handler_new_message){.size = sizeof(struct handler_new_message), .body = HANDLER_TEXT("hello")};
}

static int
add_event(struct message *m, const struct handler_new_event *event)
{
    struct err e;
    return publish_list_add_event(&desk, m, event, &e);
}

static int
add_message(struct message *m, const struct handler_new_message *message)
{
    struct err e;
    return publish_list_add_message(&desk, m, message, &e);
}

/* The piece's resource or attribute that begins so; behind that. */
static struct slice
found(const struct publish_piece *x, const char *mark)
{
    for (size_t i = 0; i < x->n; i++) {
        if (!x->is_event && slice_equals_string(x->attributes[i].name, mark))
            return x->attributes[i].value;
        if (x->is_event && slice_starts_with(x->resources[i], slice_of_string(mark)))
            return slice_of(x->resources[i].p + strlen(mark), x->resources[i].n - strlen(mark));
    }
    return slice_of(NULL, 0);
}

static void
assert_slice(struct slice s, const char *expected)
{
    if (!slice_equals_string(s, expected))
        fail_msg("\"%.*s\" is not \"%s\"", SLICE_ARG(s), expected);
}

/* ---- pieces ---- */

static void
a_piece_is_a_copy_of_what_was_handed_in(void **state)
{
    (void)state;
    char detail[] = "{\"n\": 9007199254740993, \"x\": 1.10}";
    struct message *m = message_of("{}");
    struct handler_new_event event = plain_event();
    event.detail = text(detail);
    event.time_ms = 1234;
    assert_int_equal(add_event(m, &event), 0);
    memset(detail, '!', strlen(detail));
    const struct publish_piece *x = m->publish->first;
    assert_slice(x->payload, "{\"n\": 9007199254740993, \"x\": 1.10}");
    assert_slice(x->source, "shop");
    assert_slice(x->detail_type, "Paid");
    assert_slice(x->target, "orders");
    assert_int_equal(x->time_ms, 1234);
    assert_int_equal(x->n, 2);
    assert_true(atomic_load(&desk.bytes) > 100);
    message_release(m);
}

static void
its_id_is_the_same_when_the_same_is_published_again_and_else_another(void **state)
{
    (void)state;
    char first[200];
    struct message *m = message_of("{}");
    struct handler_new_event event = plain_event(), other = plain_event();
    other.detail = text("{\"order\": 8}");
    assert_int_equal(add_event(m, &event), 0);
    assert_int_equal(add_event(m, &event), 0);
    snprintf(first, sizeof first, "%.*s", SLICE_ARG(found(m->publish->first, "urn:fanout:cause:")));
    assert_int_equal(strncmp(first, "m-1:0:", 6), 0);
    assert_slice(slice_of(found(m->publish->last, "urn:fanout:cause:").p, 6), "m-1:1:");
    message_release(m);

    m = message_of("{}"); /* delivered again */
    event.time_ms = 99;
    assert_int_equal(add_event(m, &event), 0);
    assert_slice(found(m->publish->first, "urn:fanout:cause:"), first);
    message_release(m);

    m = message_of("{}"); /* and its handler says something else */
    assert_int_equal(add_event(m, &other), 0);
    assert_false(slice_equals_string(found(m->publish->first, "urn:fanout:cause:"), first));
    message_release(m);
}

static void
a_fifo_queue_gets_group_and_deduplication_id(void **state)
{
    (void)state;
    struct message *m = message_of("{}");
    struct handler_new_message own = plain_message(), given = plain_message(), standard = plain_message();
    own.queue = given.queue = text("invoices.fifo");
    given.group = text("g");
    given.deduplication_id = text("d");
    assert_int_equal(add_message(m, &own), 0);
    assert_int_equal(add_message(m, &given), 0);
    assert_int_equal(add_message(m, &standard), 0);
    const struct publish_piece *x = m->publish->first;
    assert_true(x->fifo);
    assert_slice(x->group, "customer-7");
    assert_true(slice_equals(x->dedup_id, found(x, "fanout.cause")));
    assert_slice(x->next->group, "g");
    assert_slice(x->next->dedup_id, "d");
    assert_false(x->next->next->fifo);
    assert_int_equal(x->next->next->group.n, 0);
    assert_int_equal(x->next->next->dedup_id.n, 0);
    message_release(m);
}

static void
marks_of_the_event_that_is_handled_are_left_out(void **state)
{
    (void)state;
    const struct handler_slice resources[] = {HANDLER_TEXT("urn:fanout:cause:old"), HANDLER_TEXT("arn:aws:x"),
                                              HANDLER_TEXT("urn:fanout:replay:job"),
                                              HANDLER_TEXT("urn:fanout:event:id")};
    const struct handler_attribute attributes[] = {
        {HANDLER_TEXT("fanout.cause"), HANDLER_TEXT("String"), HANDLER_TEXT("old")},
        {HANDLER_TEXT("colour"), HANDLER_TEXT("String"), HANDLER_TEXT("blue")}};
    struct message *m = message_of("{}");
    struct handler_new_event event = plain_event();
    struct handler_new_message message = plain_message();
    event.resources = resources;
    event.resource_count = 4;
    message.attributes = attributes;
    message.attribute_count = 2;
    assert_int_equal(add_event(m, &event), 0);
    assert_int_equal(add_message(m, &message), 0);
    assert_int_equal(m->publish->first->n, 3);
    assert_slice(m->publish->first->resources[0], "arn:aws:x");
    assert_int_equal(m->publish->last->n, 3);
    assert_slice(m->publish->last->attributes[0].name, "colour");
    assert_slice(slice_of(found(m->publish->last, "fanout.cause").p, 6), "m-1:1:");
    message_release(m);
}

/* ---- correlation ---- */

static void
assert_correlation(struct message *m, const char *expected)
{
    struct handler_new_event event = plain_event();
    struct handler_new_message message = plain_message();
    assert_int_equal(add_event(m, &event), 0);
    assert_int_equal(add_message(m, &message), 0);
    assert_slice(found(m->publish->first, "urn:fanout:correlation:"), expected);
    assert_slice(found(m->publish->last, "fanout.correlation"), expected);
    message_release(m);
}

static void
a_correlation_goes_on_and_begins_with_the_first_event(void **state)
{
    (void)state;
    const struct sqs_attribute attribute = {SLICE("fanout.correlation"), SLICE("String"), SLICE("c-1")};
    assert_correlation(message_with("m-1", EVENT("\"urn:fanout:correlation:c-2\""), &attribute, 1), "c-1");
    assert_correlation(message_of(EVENT("\"arn:x\",\"urn:fanout:correlation:c-2\"")), "c-2");
    assert_correlation(message_of(EVENT("")), "ev-1");
    assert_correlation(message_of(EVENT("\"urn:fanout:correlation:\"")), "ev-1");
    assert_correlation(message_of("no event"), "m-1");
}

static void
a_handlers_own_correlation_stands(void **state)
{
    (void)state;
    const struct handler_slice resource = HANDLER_TEXT("urn:fanout:correlation:mine");
    const struct handler_attribute attribute = {HANDLER_TEXT("fanout.correlation"), HANDLER_TEXT("String"),
                                                HANDLER_TEXT("mine")};
    struct message *m = message_of("{}");
    struct handler_new_event event = plain_event();
    struct handler_new_message message = plain_message();
    event.resources = &resource;
    message.attributes = &attribute;
    event.resource_count = message.attribute_count = 1;
    assert_int_equal(add_event(m, &event), 0);
    assert_int_equal(add_message(m, &message), 0);
    assert_int_equal(m->publish->first->n, 2);
    assert_slice(found(m->publish->first, "urn:fanout:correlation:"), "mine");
    assert_int_equal(m->publish->last->n, 2);
    assert_slice(found(m->publish->last, "fanout.correlation"), "mine");
    message_release(m);
}

/* ---- what is refused ---- */

static void
assert_event_refused(const struct handler_new_event *event, int rc, const char *why)
{
    struct message *m = message_of("{}");
    struct err e = {0};
    assert_int_equal(publish_list_add_event(&desk, m, event, &e), rc);
    if (!strstr(e.text, why))
        fail_msg("\"%s\" does not say \"%s\"", e.text, why);
    message_release(m);
    assert_int_equal(atomic_load(&desk.bytes), 0);
}

static void
assert_message_refused(const struct handler_new_message *message, int rc, const char *why)
{
    struct message *m = message_of("{}");
    struct err e = {0};
    assert_int_equal(publish_list_add_message(&desk, m, message, &e), rc);
    if (!strstr(e.text, why))
        fail_msg("\"%s\" does not say \"%s\"", e.text, why);
    message_release(m);
    assert_int_equal(atomic_load(&desk.bytes), 0);
}

static void
an_event_that_breaks_a_rule_is_refused_with_the_rule(void **state)
{
    (void)state;
    char long_text[300];
    struct handler_new_event v = plain_event();
    memset(long_text, 'a', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    assert_event_refused(NULL, ERR_INVALID, "the event is NULL");
#define REFUSED(field, value, why)                                                                                     \
    do {                                                                                                               \
        v = plain_event();                                                                                             \
        v.field = value;                                                                                               \
        assert_event_refused(&v, ERR_INVALID, why);                                                                    \
    } while (0)
    REFUSED(size, 0, "size");
    REFUSED(source, text(""), "source is missing");
    REFUSED(source, text(long_text), "source has 299 bytes, 256 are allowed");
    REFUSED(source, text("aws.ec2"), "AWS's own");
    REFUSED(source, text("a\xff"), "source is no UTF-8");
    REFUSED(source, text("a\x01"), "source is no UTF-8");
    REFUSED(detail_type, text(""), "detail_type is missing");
    REFUSED(detail_type, text(long_text), "detail_type has 299 bytes, 128 are allowed");
    REFUSED(detail, text(""), "detail is missing");
    REFUSED(detail, text("{\"a\":}"), "detail is no JSON");
    REFUSED(detail, text("[1]"), "detail is no JSON object");
    REFUSED(bus, text("a b"), "no name and no ARN");
    REFUSED(bus, text("x:y"), "no name and no ARN");
    REFUSED(resource_count, 1, "resources is NULL");
    REFUSED(time_ms, -1, "before 1970");
#undef REFUSED
    desk.bus = "";
    v = plain_event();
    assert_event_refused(&v, ERR_NOT_FOUND, "publish.bus is not configured");
}

static void
a_message_that_breaks_a_rule_is_refused_with_the_rule(void **state)
{
    (void)state;
    struct handler_new_message v = plain_message();
    assert_message_refused(NULL, ERR_INVALID, "the message is NULL");
#define REFUSED(field, value, why)                                                                                     \
    do {                                                                                                               \
        v = plain_message();                                                                                           \
        v.field = value;                                                                                               \
        assert_message_refused(&v, ERR_INVALID, why);                                                                  \
    } while (0)
    REFUSED(size, 4, "size");
    REFUSED(body, text(""), "body is missing");
    REFUSED(body, text("a\x0b"), "body is no UTF-8 text");
    REFUSED(body, text("\xef\xbf\xbf"), "body is no UTF-8 text");
    REFUSED(queue, text("a/b"), "no name and no URL");
    REFUSED(queue, text(".fifo"), "no name and no URL");
    REFUSED(queue, text("ftp://x/q"), "no name and no URL");
    REFUSED(group, text("a b"), "group is not");
    REFUSED(deduplication_id, text("d"), "for FIFO queues");
    REFUSED(delay_s, 901, "-1 to 900");
    REFUSED(delay_s, -2, "-1 to 900");
    REFUSED(attribute_count, 1, "attributes is NULL");
#undef REFUSED
    v = plain_message();
    v.queue = text("a.fifo");
    v.delay_s = 1;
    assert_message_refused(&v, ERR_INVALID, "a FIFO queue has its own alone");
    desk.queue = "";
    v = plain_message();
    assert_message_refused(&v, ERR_NOT_FOUND, "publish.queue is not configured");
}

static void
an_attribute_that_sqs_would_refuse_is_refused(void **state)
{
    (void)state;
    const struct {
        struct handler_attribute attribute;
        const char *why; /* NULL: it is taken */
    } cases[] = {
        {{HANDLER_TEXT("a.b-c_D9"), HANDLER_TEXT("String.json"), HANDLER_TEXT("x")}, NULL},
        {{HANDLER_TEXT("n"), HANDLER_TEXT("Number"), HANDLER_TEXT("-1.5e+10")}, NULL},
        {{HANDLER_TEXT("n"), HANDLER_TEXT("Number.int"), HANDLER_TEXT(".5")}, NULL},
        {{HANDLER_TEXT("b"), HANDLER_TEXT("Binary"), HANDLER_TEXT("\xff\x01")}, NULL},
        {{HANDLER_TEXT("n"), HANDLER_TEXT("Number"), HANDLER_TEXT("1e")}, "is no number"},
        {{HANDLER_TEXT("n"), HANDLER_TEXT("Number"), HANDLER_TEXT("one")}, "is no number"},
        {{HANDLER_TEXT("n"), HANDLER_TEXT("Number"), HANDLER_TEXT(".")}, "is no number"},
        {{HANDLER_TEXT("a"), HANDLER_TEXT("Text"), HANDLER_TEXT("x")}, "is no String, Number or Binary"},
        {{HANDLER_TEXT("a"), HANDLER_TEXT("String."), HANDLER_TEXT("x")}, "is no String, Number or Binary"},
        {{HANDLER_TEXT("a"), HANDLER_TEXT("String"), HANDLER_TEXT("")}, "has no value"},
        {{HANDLER_TEXT("a"), HANDLER_TEXT("String"), HANDLER_TEXT("\xff")}, "no UTF-8"},
        {{HANDLER_TEXT("AWS.x"), HANDLER_TEXT("String"), HANDLER_TEXT("x")}, "no name SQS takes"},
        {{HANDLER_TEXT("amazon.x"), HANDLER_TEXT("String"), HANDLER_TEXT("x")}, "no name SQS takes"},
        {{HANDLER_TEXT(".x"), HANDLER_TEXT("String"), HANDLER_TEXT("x")}, "no name SQS takes"},
        {{HANDLER_TEXT("x."), HANDLER_TEXT("String"), HANDLER_TEXT("x")}, "no name SQS takes"},
        {{HANDLER_TEXT("x..y"), HANDLER_TEXT("String"), HANDLER_TEXT("x")}, "no name SQS takes"},
        {{HANDLER_TEXT("x y"), HANDLER_TEXT("String"), HANDLER_TEXT("x")}, "no name SQS takes"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct handler_new_message v = plain_message();
        v.attributes = &cases[i].attribute;
        v.attribute_count = 1;
        struct message *m = message_of("{}");
        if (cases[i].why)
            assert_message_refused(&v, ERR_INVALID, cases[i].why);
        else
            assert_int_equal(add_message(m, &v), 0);
        message_release(m);
    }
}

static void
there_is_room_for_eight_attributes_beside_the_hosts(void **state)
{
    (void)state;
    char names[9][16];
    struct handler_attribute attributes[9];
    for (int i = 0; i < 9; i++) {
        snprintf(names[i], sizeof names[i], "a%d", i);
        attributes[i] = (struct handler_attribute){text(names[i]), HANDLER_TEXT("String"), HANDLER_TEXT("x")};
    }
    struct handler_new_message v = plain_message();
    v.attributes = attributes;
    v.attribute_count = 9;
    assert_message_refused(&v, ERR_INVALID, "more than 10 attributes");
    v.attribute_count = 8;
    struct message *m = message_of("{}");
    assert_int_equal(add_message(m, &v), 0);
    assert_int_equal(m->publish->first->n, 10);
    message_release(m);
    attributes[7] = attributes[0];
    assert_message_refused(&v, ERR_INVALID, "a0 is there twice");
}

/* ---- sizes ---- */

static void
sizes_are_counted_as_aws_counts_them(void **state)
{
    (void)state;
    const size_t most = 1048576;
    struct message *m = message_of("{}");
    struct handler_new_message message = plain_message();
    char *body = malloc(most + 1);
    assert_non_null(body);
    memset(body, 'x', most + 1);
    message.body = (struct handler_slice){body, 1000};
    assert_int_equal(add_message(m, &message), 0);
    size_t ours = m->publish->first->weight - 1000;
    publish_list_free(m->publish);
    m->publish = NULL;
    message.body.n = most - ours;
    assert_int_equal(add_message(m, &message), 0);
    assert_int_equal(m->publish->first->weight, most);
    message.body.n++;
    assert_int_equal(add_message(m, &message), ERR_LIMIT);
    message.body.n = most + 1;
    assert_int_equal(add_message(m, &message), ERR_LIMIT);
    assert_int_equal(m->publish->count, 1);
    message_release(m);
    free(body);
}

static void
memory_is_bounded_for_each_message_and_for_all(void **state)
{
    (void)state;
    struct message *m = message_of("{}"), *other = message_of("{}");
    struct handler_new_event event = plain_event();
    for (int i = 0; i < HANDLER_PUBLISH_MOST; i++)
        assert_int_equal(add_event(m, &event), 0);
    assert_int_equal(add_event(m, &event), ERR_LIMIT);
    desk.max_bytes = atomic_load(&desk.bytes);
    assert_int_equal(add_event(other, &event), ERR_LIMIT);
    message_release(m);
    assert_int_equal(add_event(other, &event), 0);
    message_release(other);
}

/* What a newer plugin's struct has more is not read, what an older one's lacks is left out. */
static void
structs_of_other_sizes_are_read_as_far_as_they_go(void **state)
{
    (void)state;
    struct message *m = message_of("{}");
    struct {
        struct handler_new_event event;
        char later[64];
    } newer = {.event = plain_event()};
    newer.event.size = sizeof newer;
    memset(newer.later, 0xff, sizeof newer.later);
    assert_int_equal(add_event(m, &newer.event), 0);
    struct handler_new_event older = plain_event();
    const size_t end = offsetof(struct handler_new_event, resources);
    older.size = end;
    memset((char *)&older + end, 0xff, sizeof older - end);
    assert_int_equal(add_event(m, &older), 0);
    message_release(m);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_desk, nothing_is_held)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_piece_is_a_copy_of_what_was_handed_in),
        TEST(its_id_is_the_same_when_the_same_is_published_again_and_else_another),
        TEST(a_fifo_queue_gets_group_and_deduplication_id),
        TEST(marks_of_the_event_that_is_handled_are_left_out),
        TEST(a_correlation_goes_on_and_begins_with_the_first_event),
        TEST(a_handlers_own_correlation_stands),
        TEST(an_event_that_breaks_a_rule_is_refused_with_the_rule),
        TEST(a_message_that_breaks_a_rule_is_refused_with_the_rule),
        TEST(an_attribute_that_sqs_would_refuse_is_refused),
        TEST(there_is_room_for_eight_attributes_beside_the_hosts),
        TEST(sizes_are_counted_as_aws_counts_them),
        TEST(memory_is_bounded_for_each_message_and_for_all),
        TEST(structs_of_other_sizes_are_read_as_far_as_they_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
