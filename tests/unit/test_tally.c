#include "ctl/tally.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/err.h"

static void
note(struct tally *t, enum tally_what what, int event)
{
    char id[40];
    int n = snprintf(id, sizeof id, "00000000-0000-4000-8000-%012d", event);
    assert_int_equal(tally_note(t, what, slice_of(id, (size_t)n)), 0);
}

static void
an_event_counts_once_whatever_the_order_of_what_is_seen(void **state)
{
    (void)state;
    struct tally t;
    tally_init(&t);
    note(&t, TALLY_HANDLED, 1);
    note(&t, TALLY_CAPTURED, 1);
    assert_int_equal(t.handled, 0);
    assert_int_equal(tally_unexpected(&t), 1);
    note(&t, TALLY_PUBLISHED, 1);
    note(&t, TALLY_CAPTURED, 1);
    assert_int_equal(t.published, 1);
    assert_int_equal(t.captured, 1);
    assert_int_equal(t.handled, 1);
    assert_int_equal(t.duplicates, 0);
    assert_int_equal(tally_unexpected(&t), 0);
    assert_int_equal(tally_lost(&t), 0);
    tally_clean_up(&t);
}

static void
handling_again_is_a_duplicate_and_never_handling_is_a_loss(void **state)
{
    (void)state;
    struct tally t;
    tally_init(&t);
    for (int i = 0; i < 3; i++)
        note(&t, TALLY_PUBLISHED, i);
    for (int i = 0; i < 4; i++)
        note(&t, TALLY_HANDLED, 1);
    note(&t, TALLY_HANDLED, 2);
    assert_int_equal(t.duplicates, 3);
    assert_int_equal(tally_lost(&t), 1);
    tally_clean_up(&t);
}

static void
many_events_are_kept_apart(void **state)
{
    (void)state;
    struct tally t;
    tally_init(&t);
    for (int i = 0; i < 20000; i++)
        note(&t, TALLY_PUBLISHED, i);
    for (int i = 0; i < 20000; i += 2)
        note(&t, TALLY_HANDLED, i);
    assert_int_equal(t.published, 20000);
    assert_int_equal(t.handled, 10000);
    assert_int_equal(tally_lost(&t), 10000);
    tally_clean_up(&t);
}

static void
an_id_that_cannot_be_one_is_refused(void **state)
{
    (void)state;
    struct tally t;
    tally_init(&t);
    assert_int_equal(tally_note(&t, TALLY_PUBLISHED, slice_of("", 0)), ERR_INVALID);
    assert_int_equal(tally_note(&t, TALLY_PUBLISHED, slice_of("a\0b", 3)), ERR_INVALID);
    assert_int_equal(tally_note(&t, TALLY_PUBLISHED, slice_of_string("0123456789012345678901234567890123456789")),
                     ERR_INVALID);
    assert_int_equal(t.count, 0);
    tally_clean_up(&t);
}

static void
events_that_did_not_arrive_are_found_with_their_lines(void **state)
{
    (void)state;
    struct tally t;
    tally_init(&t);
    size_t at = 0;
    assert_null(tally_next_missing(&t, &at));
    for (int i = 0; i < 3; i++) {
        char id[40];
        int n = snprintf(id, sizeof id, "00000000-0000-4000-8000-%012d", i);
        assert_int_equal(tally_note_published(&t, slice_of(id, (size_t)n), (size_t)i + 100), 0);
        note(&t, TALLY_CAPTURED, i);
    }
    note(&t, TALLY_HANDLED, 0);
    note(&t, TALLY_HANDLED, 2);
    note(&t, TALLY_HANDLED, 7); /* never published: nothing is missing of it */
    at = 0;
    const struct tally_event *event = tally_next_missing(&t, &at);
    assert_non_null(event);
    assert_int_equal(event->line, 101);
    assert_string_equal(event->id, "00000000-0000-4000-8000-000000000001");
    assert_null(tally_next_missing(&t, &at));
    tally_clean_up(&t);
}

static void
an_event_is_found_once_something_of_it_was_seen(void **state)
{
    (void)state;
    struct tally t;
    tally_init(&t);
    assert_null(tally_find(&t, SLICE("00000000-0000-4000-8000-000000000001")));
    note(&t, TALLY_CAPTURED, 1);
    const struct tally_event *event = tally_find(&t, SLICE("00000000-0000-4000-8000-000000000001"));
    assert_non_null(event);
    assert_int_equal(event->captured, 1);
    assert_int_equal(event->handled, 0);
    assert_null(tally_find(&t, SLICE("00000000-0000-4000-8000-000000000002")));
    tally_clean_up(&t);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_counts_once_whatever_the_order_of_what_is_seen),
        cmocka_unit_test(handling_again_is_a_duplicate_and_never_handling_is_a_loss),
        cmocka_unit_test(many_events_are_kept_apart),
        cmocka_unit_test(an_event_is_found_once_something_of_it_was_seen),
        cmocka_unit_test(an_id_that_cannot_be_one_is_refused),
        cmocka_unit_test(events_that_did_not_arrive_are_found_with_their_lines),
    };
    return cmocka_run_group_tests_name("tally", tests, NULL, NULL);
}
