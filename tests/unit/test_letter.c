/* What a dead letter carries. */
#include "worker/letter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/rounds.h"
#include "lib/sim.h"

#define DIED_AT INT64_C(1764000000000) /* 2025-11-24T16:00:00Z */

static const struct letter_sender SENDER = {"orders", "flaky 1", "host-7"};

/* With attributes "own-0", "own-1" and so on. */
static struct message *
new_message(size_t attributes, struct slice body)
{
    static char names[12][32];
    struct sqs_attribute own[12];
    struct sqs_message r = sim_sqs_message("id-1", "handle", "", 4);
    r.body = body;
    r.first_received_at_ms = DIED_AT - 3600000;
    for (size_t i = 0; i < attributes; i++) {
        snprintf(names[i], sizeof names[i], "own-%zu", i);
        own[i] = (struct sqs_attribute){slice_of_string(names[i]), SLICE("Binary"), slice_of("\0x", 2)};
    }
    r.attributes = own;
    r.n_attributes = attributes;
    struct message *m = message_new(&r, "orders", DIED_AT - 1000, 7);
    assert_non_null(m);
    m->verdict.reason = message_copy_reason("the \"disk\" is full");
    m->verdict.dead = DEAD_ATTEMPTS;
    m->attempts = 3;
    return m;
}

static const char *
value_of(const struct letter *t, const char *name)
{
    static char text[8192];
    for (size_t i = 0; i < t->n; i++) {
        if (!slice_equals_string(t->attributes[i].name, name))
            continue;
        snprintf(text, sizeof text, "%.*s", SLICE_ARG(t->attributes[i].value));
        return text;
    }
    return "(none)";
}

#define ASSERT_VALUE(t, name, value) assert_string_equal(value_of(t, name), value)

static void
assert_all_apart(const struct letter *t)
{
    ASSERT_VALUE(t, "fanout.reason", "the \"disk\" is full");
    ASSERT_VALUE(t, "fanout.reason-kind", "attempts");
    ASSERT_VALUE(t, "fanout.message-id", "id-1");
    ASSERT_VALUE(t, "fanout.attempts", "3");
    ASSERT_VALUE(t, "fanout.receive-count", "4");
    ASSERT_VALUE(t, "fanout.consumer", "orders");
    ASSERT_VALUE(t, "fanout.handler", "flaky 1");
    ASSERT_VALUE(t, "fanout.host", "host-7");
    ASSERT_VALUE(t, "fanout.first-received", "2025-11-24T15:00:00.000Z");
    ASSERT_VALUE(t, "fanout.last-failed", "2025-11-24T16:00:00.000Z");
    ASSERT_VALUE(t, "fanout.dead-letter", "(none)");
}

static void
why_it_died_is_in_attributes_of_its_own(void **state)
{
    (void)state;
    struct letter t;
    struct message *m = new_message(0, SLICE("body"));
    letter_write(&SENDER, m, DIED_AT, &t);
    assert_int_equal(t.n, 10);
    assert_all_apart(&t);
    letter_clean_up(&t);
    message_release(m);
}

static void
beside_attributes_of_the_message_all_is_in_one_and_what_fits_apart(void **state)
{
    (void)state;
    for (size_t own = 1; own < LETTER_ATTRIBUTES; own++) {
        struct letter t;
        struct message *m = new_message(own, SLICE("body"));
        letter_write(&SENDER, m, DIED_AT, &t);
        assert_int_equal(t.n, LETTER_ATTRIBUTES);
        for (size_t i = 0; i < own; i++) {
            assert_true(slice_starts_with(t.attributes[i].name, SLICE("own-")));
            assert_true(slice_equals_string(t.attributes[i].type, "Binary"));
            assert_true(slice_equals(t.attributes[i].value, slice_of("\0x", 2)));
        }
        ASSERT_VALUE(&t, "fanout.dead-letter",
                     "{\"reason\":\"the \\\"disk\\\" is full\",\"reason-kind\":\"attempts\",\"message-id\":\"id-1\","
                     "\"attempts\":\"3\",\"receive-count\":\"4\",\"consumer\":\"orders\",\"handler\":\"flaky 1\","
                     "\"host\":\"host-7\",\"first-received\":\"2025-11-24T15:00:00.000Z\","
                     "\"last-failed\":\"2025-11-24T16:00:00.000Z\"}");
        ASSERT_VALUE(&t, "fanout.reason", own < 9 ? "the \"disk\" is full" : "(none)");
        ASSERT_VALUE(&t, "fanout.reason-kind", own < 8 ? "attempts" : "(none)");
        ASSERT_VALUE(&t, "fanout.last-failed", "(none)");
        letter_clean_up(&t);
        message_release(m);
    }
}

static void
ten_attributes_of_the_message_are_kept_whatever_is_lost(void **state)
{
    (void)state;
    struct letter t;
    struct message *m = new_message(10, SLICE("body"));
    letter_write(&SENDER, m, DIED_AT, &t);
    assert_int_equal(t.n, 10);
    for (size_t i = 0; i < 10; i++)
        assert_true(slice_starts_with(t.attributes[i].name, SLICE("own-")));
    letter_clean_up(&t);
    message_release(m);
}

/* From no room at all for what is ours to room for everything, byte by byte. */
static void
no_letter_is_larger_than_sqs_allows(void **state)
{
    (void)state;
    char *body = malloc(LETTER_BYTES);
    assert_non_null(body);
    memset(body, 'x', LETTER_BYTES);
    size_t most = 0, least = LETTER_ATTRIBUTES;
    for (size_t room = 0; room < 1200; room += 1200 / rounds_of(1200)) {
        struct letter t;
        struct message *m = new_message(1, slice_of(body, LETTER_BYTES - 13 - room));
        letter_write(&SENDER, m, DIED_AT, &t);
        size_t bytes = m->body.n;
        for (size_t i = 0; i < t.n; i++)
            bytes += t.attributes[i].name.n + t.attributes[i].type.n + t.attributes[i].value.n;
        assert_true(bytes <= LETTER_BYTES);
        assert_true(bytes <= letter_bytes_at_most(m));
        ASSERT_VALUE(&t, "own-0", "");
        most = t.n > most ? t.n : most;
        least = t.n < least ? t.n : least;
        letter_clean_up(&t);
        message_release(m);
    }
    assert_int_equal(least, 1);
    assert_int_equal(most, LETTER_ATTRIBUTES);
    free(body);
}

static size_t
size_of(const struct message *m, size_t *ret_n)
{
    struct letter t;
    size_t bytes = m->body.n;
    letter_write(&SENDER, m, DIED_AT, &t);
    for (size_t i = 0; i < t.n; i++)
        bytes += t.attributes[i].name.n + t.attributes[i].type.n + t.attributes[i].value.n;
    *ret_n = t.n;
    letter_clean_up(&t);
    return bytes;
}

static void
a_letter_that_was_refused_shrinks_until_it_is_the_message_alone(void **state)
{
    (void)state;
    char *body = malloc(LETTER_OLD_BYTES + 1);
    assert_non_null(body);
    memset(body, 'x', LETTER_OLD_BYTES + 1);
    size_t n;
    struct message *m = new_message(1, slice_of(body, LETTER_OLD_BYTES - 200));
    assert_true(size_of(m, &n) > LETTER_OLD_BYTES);
    assert_true(letter_shrink(m));
    assert_in_range(size_of(m, &n), LETTER_OLD_BYTES - 150, LETTER_OLD_BYTES);
    assert_true(n > 1);
    assert_true(letter_shrink(m));
    size_of(m, &n);
    assert_int_equal(n, 1);
    assert_false(letter_shrink(m));
    message_release(m);
    m = new_message(0, slice_of(body, LETTER_OLD_BYTES + 1));
    assert_true(letter_shrink(m));
    assert_int_equal(size_of(m, &n), LETTER_OLD_BYTES + 1);
    assert_int_equal(n, 0);
    assert_false(letter_shrink(m));
    message_release(m);
    free(body);
}

static void
no_letter_is_larger_than_foreseen(void **state)
{
    (void)state;
    char reason[MESSAGE_REASON_BYTES];
    memset(reason, '"', sizeof reason);
    reason[sizeof reason - 1] = 0;
    for (size_t own = 0; own <= 10; own++) {
        struct letter t;
        struct message *m = new_message(own, SLICE("body"));
        free(m->verdict.reason);
        m->verdict.reason = message_copy_reason(reason);
        letter_write(&SENDER, m, DIED_AT, &t);
        size_t bytes = m->body.n;
        for (size_t i = 0; i < t.n; i++)
            bytes += t.attributes[i].name.n + t.attributes[i].type.n + t.attributes[i].value.n;
        assert_true(bytes <= letter_bytes_at_most(m));
        letter_clean_up(&t);
        message_release(m);
    }
}

/* Redriven, and dead again. */
static void
what_an_earlier_death_left_is_replaced(void **state)
{
    (void)state;
    const struct sqs_attribute own[] = {{SLICE("fanout.reason"), SLICE("String"), SLICE("old")},
                                        {SLICE("fanout.dead-letter"), SLICE("String"), SLICE("{}")},
                                        {SLICE("fanout.host"), SLICE("String"), SLICE("old")},
                                        {SLICE("fanout.colour"), SLICE("String"), SLICE("not ours")}};
    struct sqs_message r = sim_sqs_message("id-2", "handle", "body", 1);
    struct letter t;
    r.attributes = own;
    r.n_attributes = sizeof own / sizeof *own;
    struct message *m = message_new(&r, "orders", DIED_AT, 7);
    letter_write(&SENDER, m, DIED_AT, &t);
    assert_int_equal(t.n, LETTER_ATTRIBUTES);
    for (size_t i = 0; i < t.n; i++)
        for (size_t k = 0; k < i; k++)
            assert_false(slice_equals(t.attributes[i].name, t.attributes[k].name));
    ASSERT_VALUE(&t, "fanout.colour", "not ours");
    ASSERT_VALUE(&t, "fanout.reason", "rejected without a reason");
    ASSERT_VALUE(&t, "fanout.host", "host-7");
    letter_clean_up(&t);
    message_release(m);
}

/* A host without a name, a message of which nobody said when it was received first. */
static void
no_attribute_is_empty(void **state)
{
    (void)state;
    const struct letter_sender nameless = {"orders", "flaky 1", ""};
    struct sqs_message r = sim_sqs_message("id-3", "handle", "body", 1);
    struct letter t;
    struct message *m = message_new(&r, "orders", DIED_AT, 7);
    m->verdict.reason = message_copy_reason("");
    letter_write(&nameless, m, DIED_AT, &t);
    assert_int_equal(t.n, LETTER_ATTRIBUTES);
    for (size_t i = 0; i < t.n; i++)
        assert_true(t.attributes[i].value.n > 0);
    ASSERT_VALUE(&t, "fanout.first-received", "2025-11-24T16:00:00.000Z");
    letter_clean_up(&t);
    message_release(m);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(why_it_died_is_in_attributes_of_its_own),
        cmocka_unit_test(beside_attributes_of_the_message_all_is_in_one_and_what_fits_apart),
        cmocka_unit_test(ten_attributes_of_the_message_are_kept_whatever_is_lost),
        cmocka_unit_test(no_letter_is_larger_than_sqs_allows),
        cmocka_unit_test(a_letter_that_was_refused_shrinks_until_it_is_the_message_alone),
        cmocka_unit_test(no_letter_is_larger_than_foreseen),
        cmocka_unit_test(what_an_earlier_death_left_is_replaced),
        cmocka_unit_test(no_attribute_is_empty),
    };
    return cmocka_run_group_tests_name("letter", tests, NULL, NULL);
}
