/* Messages in hand, the table of them, and the table of ids that are done. */
#include "worker/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/sim.h"
#include "worker/done.h"
#include "worker/inflight.h"

static struct message *
new_message(const char *id)
{
    struct sqs_message r = sim_sqs_message(id, "handle", "body", 1);
    struct message *m = message_new(&r, "orders", 5, 7);
    assert_non_null(m);
    return m;
}

static void
a_plugin_sees_the_message_and_a_nul_behind_its_body(void **state)
{
    (void)state;
    struct sqs_message r = sim_sqs_message("id-1", "handle", "", 3);
    r.body = slice_of("a\0b", 3);
    r.group = SLICE("g");
    struct message *m = message_new(&r, "orders", 1000, 7);
    assert_string_equal(m->view.id, "id-1");
    assert_string_equal(m->view.queue, "orders");
    assert_string_equal(m->view.group, "g");
    assert_int_equal(m->view.body_len, 3);
    assert_memory_equal(m->view.body, "a\0b", 4);
    assert_int_equal(m->view.receive_count, 3);
    assert_int_equal(m->view.received_at_ms, 1000);
    assert_int_equal(m->view.size, sizeof(struct handler_message));
    message_release(m);

    m = new_message("id-2");
    assert_null(m->view.group);
    message_release(m);
}

static void
attributes_come_back_as_they_were(void **state)
{
    (void)state;
    const struct sqs_attribute attributes[] = {
        {.name = SLICE("a"), .type = SLICE("String"), .value = SLICE("x")},
        {.name = SLICE("empty"), .type = SLICE("String.custom"), .value = slice_of(NULL, 0)},
        {.name = SLICE("raw"), .type = SLICE("Binary"), .value = slice_of("\0\1\2", 3)},
    };
    struct sqs_message r = sim_sqs_message("id", "handle", "body", 1);
    r.attributes = attributes;
    r.n_attributes = 3;
    struct message *m = message_new(&r, "orders", 0, 0);
    struct sqs_attribute back[3];
    assert_int_equal(message_read_attributes(m, back, 2), 3);
    assert_int_equal(message_read_attributes(m, back, 3), 3);
    for (size_t i = 0; i < 3; i++) {
        assert_true(slice_equals(back[i].name, attributes[i].name));
        assert_true(slice_equals(back[i].type, attributes[i].type));
        assert_true(slice_equals(back[i].value, attributes[i].value));
    }
    message_release(m);
    m = new_message("none");
    assert_int_equal(message_read_attributes(m, back, 3), 0);
    message_release(m);
}

static void
the_newest_receipt_handle_wins(void **state)
{
    (void)state;
    struct message *m = new_message("id");
    struct sqs_message r = sim_sqs_message("id", "second", "body", 2);
    assert_int_equal(message_receive_again(m, &r, 100), 0);
    r = sim_sqs_message("id", "third", "body", 3);
    assert_int_equal(message_receive_again(m, &r, 200), 0);
    assert_true(slice_equals_string(m->receipt_handle, "third"));
    assert_int_equal(m->receive_count, 3);
    assert_int_equal(m->received_ms, 200);
    assert_int_equal(m->handle_version, 2);
    assert_int_equal(m->view.receive_count, 1); /* a handler may be reading it */
    message_release(m);
}

static void
assert_reason(const char *reason, const char *expected)
{
    char *copy = message_copy_reason(reason);
    assert_string_equal(copy, expected);
    free(copy);
}

static void
reasons_become_one_line_that_sqs_accepts(void **state)
{
    (void)state;
    assert_null(message_copy_reason(NULL));
    assert_reason("", "");
    assert_reason("plain", "plain");
    assert_reason("two\nlines\tand\x01more\x7f", "two lines and more ");
    assert_reason("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80",
                  "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80");
    assert_reason("\xc3", "?");                /* cut short */
    assert_reason("a\xffz", "a?z");            /* no UTF-8 */
    assert_reason("\xc0\xaf", "??");           /* overlong */
    assert_reason("\xe0\x80\xaf", "???");      /* overlong */
    assert_reason("\xed\xa0\x80", "???");      /* a surrogate */
    assert_reason("\xef\xbf\xbf", "???");      /* U+FFFF, which XML 1.0 leaves out */
    assert_reason("\xf4\x90\x80\x80", "????"); /* past Unicode */
}

static void
long_reasons_are_cut_at_a_whole_character(void **state)
{
    (void)state;
    char reason[3000] = "x";
    for (size_t i = 1; i + 2 < sizeof reason; i += 2)
        memcpy(reason + i, "\xc3\xbc", 3);
    char *copy = message_copy_reason(reason);
    size_t n = strlen(copy);
    assert_in_range(n, MESSAGE_REASON_BYTES - 2, MESSAGE_REASON_BYTES - 1);
    assert_memory_equal(copy + n - 2, "\xc3\xbc", 2);
    free(copy);
}

/* ---- inflight ---- */

static void
messages_in_hand_are_found_by_id_and_kept_in_order(void **state)
{
    (void)state;
    struct inflight f;
    struct err e;
    char id[32];
    assert_int_equal(inflight_init(&f, 10, &e), 0);
    for (int i = 0; i < 1000; i++) { /* many more than expected */
        snprintf(id, sizeof id, "message-%d", i);
        inflight_add(&f, new_message(id));
    }
    assert_int_equal(f.count, 1000);
    for (int i = 0; i < 1000; i += 2) {
        snprintf(id, sizeof id, "message-%d", i);
        struct slice s = slice_of_string(id);
        struct message *m = inflight_find(&f, s, message_hash(s));
        assert_true(slice_equals(m->id, s));
        inflight_remove(&f, m);
        assert_null(inflight_find(&f, s, message_hash(s)));
    }
    assert_int_equal(f.count, 500);
    int n = 1;
    for (struct message *m = f.oldest; m; m = m->next, n += 2) {
        snprintf(id, sizeof id, "message-%d", n);
        assert_string_equal(m->view.id, id);
    }
    assert_int_equal(n, 1001);
    inflight_clean_up(&f);
}

/* ---- done ---- */

static void
note(struct done *d, const char *id)
{
    done_note(d, slice_of_string(id), message_hash(slice_of_string(id)));
}

static bool
has(const struct done *d, const char *id)
{
    return done_has(d, slice_of_string(id), message_hash(slice_of_string(id)));
}

static void
ids_that_are_done_are_known_until_too_many_newer_ones_came(void **state)
{
    (void)state;
    struct done d;
    struct err e;
    assert_int_equal(done_init(&d, 3, &e), 0);
    assert_false(has(&d, "a"));
    note(&d, "a");
    note(&d, "b");
    note(&d, "c");
    note(&d, "a"); /* the newest again */
    note(&d, "d");
    assert_true(has(&d, "a"));
    assert_false(has(&d, "b"));
    assert_true(has(&d, "c"));
    assert_true(has(&d, "d"));
    assert_int_equal(d.count, 3);
    done_forget(&d, SLICE("c"), message_hash(SLICE("c")));
    done_forget(&d, SLICE("c"), message_hash(SLICE("c")));
    assert_false(has(&d, "c"));
    assert_int_equal(d.count, 2);
    done_clean_up(&d);
}

static void
the_same_hash_is_not_the_same_id(void **state)
{
    (void)state;
    struct done d;
    struct err e;
    assert_int_equal(done_init(&d, 10, &e), 0);
    done_note(&d, SLICE("a"), 42);
    assert_true(done_has(&d, SLICE("a"), 42));
    assert_false(done_has(&d, SLICE("b"), 42));
    assert_false(done_has(&d, SLICE("ab"), 42));
    done_clean_up(&d);
}

static void
hashes_of_uuids_spread(void **state)
{
    (void)state;
    unsigned buckets[64] = {0};
    char id[64];
    for (unsigned i = 0; i < 6400; i++) {
        snprintf(id, sizeof id, "00000000-0000-4000-8000-%012x", i);
        buckets[message_hash(slice_of_string(id)) & 63]++;
    }
    for (size_t i = 0; i < 64; i++)
        assert_in_range(buckets[i], 50, 160);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plugin_sees_the_message_and_a_nul_behind_its_body),
        cmocka_unit_test(attributes_come_back_as_they_were),
        cmocka_unit_test(the_newest_receipt_handle_wins),
        cmocka_unit_test(reasons_become_one_line_that_sqs_accepts),
        cmocka_unit_test(long_reasons_are_cut_at_a_whole_character),
        cmocka_unit_test(messages_in_hand_are_found_by_id_and_kept_in_order),
        cmocka_unit_test(ids_that_are_done_are_known_until_too_many_newer_ones_came),
        cmocka_unit_test(the_same_hash_is_not_the_same_id),
        cmocka_unit_test(hashes_of_uuids_spread),
    };
    return cmocka_run_group_tests_name("worker_message", tests, NULL, NULL);
}
