/* The judge of the chaos runs: what it must not let pass, and what it must not complain of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fanout/handler.h>

#include "base/clock.h"
#include "lib/account.h"

#define MESSAGES 4
#define ENTRIES  300

static int64_t now_ms;

static int64_t
tell_ms(void)
{
    return now_ms;
}

struct world {
    struct account *account;
    struct chaos_record *record;
    struct buf findings, sums;
    uint64_t exchanges;
};

static int
set_up(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    const struct account_rules rules = {.messages = MESSAGES,
                                        .visibility_s = 30,
                                        .max_attempts = 3,
                                        .max_receives = 4,
                                        .rate = {1, 0},
                                        .lease_max_s = {40, 0},
                                        .events = "events",
                                        .memory = {ACCOUNT_HOST, ACCOUNT_PROCESS},
                                        .queues = {"q", "q.fifo"},
                                        .dead = {"dead", "dead.fifo"},
                                        .now_ms = tell_ms};
    assert_non_null(w);
    now_ms = 1000000;
    w->account = account_new(&rules);
    w->record = calloc(1, chaos_record_bytes(MESSAGES, ENTRIES));
    assert_non_null(w->record);
    w->record->messages = MESSAGES;
    w->record->capacity = ENTRIES;
    *state = w;
    return 0;
}

static int
tear_down(void **state)
{
    struct world *w = *state;
    account_destroy(w->account);
    buf_clean_up(&w->findings);
    buf_clean_up(&w->sums);
    free(w->record);
    free(w);
    return 0;
}

/* ---- what the account hears -------------------------------------------------------------------------------------- */

/* The moments are nanoseconds apart; the account's own stamps are not to be equal. */
static void
tick(void)
{
    int64_t ns = clock_monotonic_ns();
    while (clock_monotonic_ns() <= ns)
        ;
}

static uint64_t
ask(struct world *w, const char *operation, const char *request)
{
    const struct wiretap_exchange x = {
        .number = ++w->exchanges, .operation = slice_of_string(operation), .request = slice_of_string(request)};
    account_hear(w->account, WIRETAP_ASKED, &x);
    tick();
    return x.number;
}

static void
answer(struct world *w, uint64_t number, const char *operation, const char *request, const char *text)
{
    const struct wiretap_exchange x = {.number = number,
                                       .operation = slice_of_string(operation),
                                       .request = slice_of_string(request),
                                       .status = 200,
                                       .answer = slice_of_string(text)};
    account_hear(w->account, WIRETAP_ANSWERED, &x);
    tick();
}

static void
deliver(struct world *w, unsigned n, unsigned receives)
{
    char text[400];
    const char *request = "{\"QueueUrl\":\"http://x/1/q\",\"MaxNumberOfMessages\":1}";
    snprintf(text, sizeof text,
             "{\"Messages\":[{\"ReceiptHandle\":\"h%u-%u\",\"Body\":\"{\\\"n\\\":%u}\",\"Attributes\":"
             "{\"ApproximateReceiveCount\":\"%u\"}}]}",
             n, receives, n, receives);
    answer(w, ask(w, "ReceiveMessage", request), "ReceiveMessage", request, text);
}

static void
remove_it(struct world *w, unsigned n, unsigned receives, bool confirmed)
{
    char request[200];
    snprintf(request, sizeof request, "{\"Entries\":[{\"Id\":\"0\",\"ReceiptHandle\":\"h%u-%u\"}]}", n, receives);
    uint64_t number = ask(w, "DeleteMessageBatch", request);
    answer(w, number, "DeleteMessageBatch", request,
           confirmed ? "{\"Successful\":[{\"Id\":\"0\"}]}" : "{\"Failed\":[{\"Id\":\"0\"}]}");
}

static void
move_it(struct world *w, unsigned n, bool confirmed)
{
    char request[200];
    snprintf(request, sizeof request, "{\"Entries\":[{\"Id\":\"0\",\"MessageBody\":\"{\\\"n\\\":%u}\"}]}", n);
    uint64_t number = ask(w, "SendMessageBatch", request);
    answer(w, number, "SendMessageBatch", request, confirmed ? "{\"Successful\":[{\"Id\":\"0\"}]}" : "{}");
}

static void
handle_by(struct world *w, unsigned n, int32_t verdict, int32_t pid)
{
    struct chaos_entry *e = &chaos_record_entries(w->record)[atomic_fetch_add(&w->record->next, 1)];
    e->message = n;
    e->pid = pid;
    e->began_ns = clock_monotonic_ns();
    tick();
    atomic_store(&e->verdict, verdict);
    atomic_store(&e->ended_ns, clock_monotonic_ns());
    tick();
}

static void
handle(struct world *w, unsigned n, int32_t verdict)
{
    handle_by(w, n, verdict, 1);
}

static void
lie(struct world *w, unsigned n, const char *reason)
{
    account_letter(w->account,
                   &(struct account_letter){.has_n = true, .n = n, .reason = reason, .keeps_attribute = true});
}

static void
put(struct world *w, unsigned n, enum account_fate fate)
{
    account_put(w->account, n, fate, 0, ACCOUNT_NO_GROUP);
}

/* Message 0, handled in its first delivery. */
static void
put_and_handle(struct world *w, enum account_fate fate, int32_t verdict)
{
    put(w, 0, fate);
    deliver(w, 0, 1);
    handle(w, 0, verdict);
}

/* Message 0, rejected and deleted, its dead letter sent with this reason. */
static void
put_and_reject(struct world *w, bool confirmed, const char *reason)
{
    put_and_handle(w, ACCOUNT_REJECTED, HANDLER_REJECT);
    move_it(w, 0, confirmed);
    remove_it(w, 0, 1, true);
    lie(w, 0, reason);
}

/* Messages 0 and 1, of one event. */
static void
put_twins(struct world *w)
{
    put(w, 0, ACCOUNT_DONE);
    put(w, 1, ACCOUNT_DONE);
    account_put_twin(w->account, 1, 0);
}

/* A life without a reproach. */
static void
live(struct world *w, unsigned n)
{
    deliver(w, n, 1);
    handle(w, n, HANDLER_DONE);
    remove_it(w, n, 1, true);
}

static void
judge(struct world *w, const char *found)
{
    size_t n = account_judge(w->account, w->record, &w->findings, &w->sums);
    if (!found && n > 0)
        fail_msg("%s", w->findings.data);
    if (found && (n != 1 || strncmp(w->findings.data, found, strlen(found)) != 0))
        fail_msg("%zu findings:\n%s", n, n > 0 ? w->findings.data : "");
}

static void
fill(struct world *w, unsigned from)
{
    for (unsigned n = from; n < MESSAGES; n++) {
        put(w, n, ACCOUNT_DONE);
        live(w, n);
    }
}

/* ---- tests ------------------------------------------------------------------------------------------------------- */

static void
right_ends_are_right(void **state)
{
    struct world *w = *state;
    put_and_reject(w, true, "message 0 is rejected");
    put(w, 1, ACCOUNT_FAILED);
    for (unsigned i = 1; i <= 3; i++) {
        deliver(w, 1, i);
        handle(w, 1, HANDLER_RETRY);
    }
    move_it(w, 1, true);
    remove_it(w, 1, 3, true);
    lie(w, 1, "failed 3 times, as often as retry.max_attempts allows; last: x");
    put(w, 2, ACCOUNT_FILTERED);
    deliver(w, 2, 1);
    remove_it(w, 2, 1, true);
    fill(w, 3);
    judge(w, NULL);
}

static void
a_message_that_nobody_handled_is_lost(void **state)
{
    struct world *w = *state;
    put(w, 0, ACCOUNT_DONE);
    deliver(w, 0, 1);
    fill(w, 1);
    judge(w, "lost: message 0");
}

static void
a_rejected_one_that_is_no_dead_letter_is_lost(void **state)
{
    struct world *w = *state;
    put_and_handle(w, ACCOUNT_REJECTED, HANDLER_REJECT);
    fill(w, 1);
    judge(w, "lost: message 0");
}

static void
a_delete_before_the_verdict_is_found(void **state)
{
    struct world *w = *state;
    put(w, 0, ACCOUNT_DONE);
    deliver(w, 0, 1);
    remove_it(w, 0, 1, false);
    handle(w, 0, HANDLER_DONE);
    fill(w, 1);
    judge(w, "delete: message 0");
}

static void
a_delete_before_the_dead_letter_is_confirmed_is_found(void **state)
{
    struct world *w = *state;
    put_and_reject(w, false, "message 0 is rejected");
    fill(w, 1);
    judge(w, "delete: message 0");
}

static void
handling_after_a_confirmed_delete_is_found(void **state)
{
    struct world *w = *state;
    account_put(w->account, 0, ACCOUNT_DONE, ACCOUNT_FIFO, ACCOUNT_NO_GROUP);
    live(w, 0);
    handle_by(w, 0, HANDLER_DONE, 2);
    fill(w, 1);
    judge(w, "again: message 0");
}

static void
a_redelivery_before_the_delete_was_confirmed_is_at_least_once(void **state)
{
    struct world *w = *state;
    account_put(w->account, 0, ACCOUNT_DONE, ACCOUNT_FIFO, ACCOUNT_NO_GROUP);
    deliver(w, 0, 1);
    handle(w, 0, HANDLER_DONE);
    deliver(w, 0, 2);
    remove_it(w, 0, 1, true);
    handle_by(w, 0, HANDLER_DONE, 2); /* another process does not know */
    fill(w, 1);
    judge(w, NULL);
}

static void
an_event_that_was_completed_is_not_handled_again(void **state)
{
    struct world *w = *state;
    put_and_handle(w, ACCOUNT_DONE, HANDLER_DONE);
    remove_it(w, 0, 1, false);
    deliver(w, 0, 2);
    handle_by(w, 0, HANDLER_DONE, 2);
    remove_it(w, 0, 2, true);
    fill(w, 1);
    judge(w, "event: message 0 was handled again");
}

static void
one_of_two_twins_is_enough(void **state)
{
    struct world *w = *state;
    put_twins(w);
    deliver(w, 1, 1);
    deliver(w, 0, 1);
    handle(w, 1, HANDLER_DONE);
    remove_it(w, 1, 1, true);
    remove_it(w, 0, 1, true);
    fill(w, 2);
    judge(w, NULL);
}

static void
both_twins_are_too_many(void **state)
{
    struct world *w = *state;
    put_twins(w);
    live(w, 0);
    live(w, 1);
    fill(w, 2);
    judge(w, "event: message 1 was handled after its event was completed by message 0");
}

static void
no_twin_at_all_is_too_few(void **state)
{
    struct world *w = *state;
    put_twins(w);
    deliver(w, 1, 1);
    deliver(w, 0, 1);
    handle(w, 0, HANDLER_RETRY);
    remove_it(w, 1, 1, true);
    deliver(w, 0, 2);
    handle(w, 0, HANDLER_DONE);
    remove_it(w, 0, 2, true);
    fill(w, 2);
    size_t n = account_judge(w->account, w->record, &w->findings, &w->sums);
    assert_int_equal(n, 2); /* lost, and deleted before its event was handled */
    assert_non_null(strstr(w->findings.data, "lost: message 1"));
    assert_non_null(strstr(w->findings.data, "delete: message 1"));
}

static void
a_delivery_after_a_confirmed_delete_excuses_nothing(void **state)
{
    struct world *w = *state;
    account_put(w->account, 0, ACCOUNT_DONE, ACCOUNT_FIFO, ACCOUNT_NO_GROUP);
    live(w, 0);
    deliver(w, 0, 2);
    handle_by(w, 0, HANDLER_DONE, 2);
    fill(w, 1);
    judge(w, "again: message 0");
}

static void
wrong_reasons_are_found(void **state)
{
    struct world *w = *state;
    put_and_reject(w, true, "message 1 is rejected");
    fill(w, 1);
    judge(w, "reason: message 0");
}

static void
given_up_too_early_is_found(void **state)
{
    struct world *w = *state;
    put_and_handle(w, ACCOUNT_FAILED, HANDLER_RETRY);
    move_it(w, 0, true);
    remove_it(w, 0, 1, true);
    lie(w, 0, "failed 2 times, as often as retry.max_attempts allows; last: x");
    fill(w, 1);
    judge(w, "reason: message 0");
}

static void
the_queue_s_own_move_is_found(void **state)
{
    struct world *w = *state;
    put_and_handle(w, ACCOUNT_FAILED, HANDLER_RETRY);
    lie(w, 0, NULL);
    fill(w, 1);
    judge(w, "end: message 0");
}

static void
a_filtered_one_that_was_handled_is_found(void **state)
{
    struct world *w = *state;
    put(w, 0, ACCOUNT_FILTERED);
    live(w, 0);
    fill(w, 1);
    judge(w, "handled: message 0");
}

static void
one_begun_before_the_one_ahead_was_decided_is_found(void **state)
{
    struct world *w = *state;
    for (unsigned n = 0; n < 2; n++) {
        account_put(w->account, n, ACCOUNT_DONE, ACCOUNT_FIFO, 7);
        deliver(w, n, 1);
    }
    handle(w, 0, HANDLER_RETRY);
    handle(w, 1, HANDLER_DONE);
    handle(w, 0, HANDLER_DONE);
    remove_it(w, 0, 1, true);
    remove_it(w, 1, 1, true);
    fill(w, 2);
    judge(w, "order: message 1 (fate 0, 1 deliveries) of group 7 was begun");
}

static void
more_in_hand_than_the_cap_is_found(void **state)
{
    struct world *w = *state;
    account_cap(w->account, 0, 2);
    for (unsigned n = 0; n < 2; n++) {
        put(w, n, ACCOUNT_DONE);
        deliver(w, n, 1);
    }
    ask(w, "ReceiveMessage", "{\"QueueUrl\":\"http://x/1/q\",\"MaxNumberOfMessages\":1}");
    for (unsigned n = 0; n < 2; n++) {
        handle(w, n, HANDLER_DONE);
        remove_it(w, n, 1, true);
    }
    account_cap(w->account, 0, 0);
    fill(w, 2);
    judge(w, "cap: q: 2 in hand and 1 asked for, of at most 2");
}

static void
what_was_given_back_or_whose_lease_is_over_is_in_nobodys_hand(void **state)
{
    struct world *w = *state;
    account_cap(w->account, 0, 2);
    for (unsigned n = 0; n < 2; n++) {
        put(w, n, ACCOUNT_DONE);
        deliver(w, n, 1);
    }
    ask(w, "ChangeMessageVisibilityBatch",
        "{\"Entries\":[{\"Id\":\"0\",\"ReceiptHandle\":\"h0-1\",\"VisibilityTimeout\":5},"
        "{\"Id\":\"1\",\"ReceiptHandle\":\"h1-1\",\"VisibilityTimeout\":30}]}");
    now_ms += 20000;
    deliver(w, 0, 2);
    now_ms += 11000;
    deliver(w, 1, 2);
    for (unsigned n = 0; n < 2; n++) {
        handle(w, n, HANDLER_DONE);
        remove_it(w, n, 2, true);
    }
    fill(w, 2);
    judge(w, NULL);
}

static void
a_message_twice_in_one_delete_is_found(void **state)
{
    struct world *w = *state;
    fill(w, 0);
    ask(w, "DeleteMessageBatch",
        "{\"Entries\":[{\"Id\":\"0\",\"ReceiptHandle\":\"h0-1\"},{\"Id\":\"1\",\"ReceiptHandle\":\"h0-1\"}]}");
    judge(w, "batch: DeleteMessageBatch");
}

static void
what_is_left_to_others_for_longer_than_a_lease_is_in_nobodys_hand(void **state)
{
    struct world *w = *state;
    account_cap(w->account, 0, 1);
    for (unsigned n = 0; n < 2; n++) {
        char request[200];
        put(w, n, ACCOUNT_LEFT);
        for (unsigned i = 1; i <= 4; i++) {
            deliver(w, n, i);
            snprintf(request, sizeof request,
                     "{\"Entries\":[{\"Id\":\"0\",\"ReceiptHandle\":\"h%u-%u\",\"VisibilityTimeout\":60}]}", n, i);
            ask(w, "ChangeMessageVisibilityBatch", request);
        }
        lie(w, n, NULL);
    }
    fill(w, 2);
    judge(w, NULL);
}

static void
an_extension_whose_answer_was_not_read_is_none(void **state)
{
    struct world *w = *state;
    const char *request = "{\"Entries\":[{\"Id\":\"0\",\"ReceiptHandle\":\"h0-1\",\"VisibilityTimeout\":30}]}";
    account_cap(w->account, 0, 1);
    put(w, 0, ACCOUNT_DONE);
    deliver(w, 0, 1);
    uint64_t number = ask(w, "ChangeMessageVisibilityBatch", request);
    answer(w, number, "ChangeMessageVisibilityBatch", request, "{\"Successful\":[{\"Id\":\"0\"}]}");
    account_hear(
        w->account, WIRETAP_BROKEN,
        &(struct wiretap_exchange){.number = number, .operation = slice_of_string("ChangeMessageVisibilityBatch")});
    fill(w, 1);
    deliver(w, 0, 2);
    handle(w, 0, HANDLER_DONE);
    remove_it(w, 0, 2, true);
    judge(w, NULL);
}

/* ---- what was published ------------------------------------------------------------------------------------------ */

static void
publish(struct world *w, unsigned n, unsigned piece, bool confirmed)
{
    char request[200];
    snprintf(request, sizeof request, "{\"Entries\":[{\"Detail\":\"{\\\"n\\\":%u,\\\"piece\\\":%u}\"}]}", n, piece);
    uint64_t number = ask(w, "PutEvents", request);
    answer(w, number, "PutEvents", request,
           confirmed ? "{\"FailedEntryCount\":0,\"Entries\":[{\"EventId\":\"e\"}]}"
                     : "{\"FailedEntryCount\":1,\"Entries\":[{\"ErrorCode\":\"InternalFailure\"}]}");
}

static void
put_one_that_publishes(struct world *w)
{
    put(w, 0, ACCOUNT_DONE);
    account_put_pieces(w->account, 0, 1);
    deliver(w, 0, 1);
    fill(w, 1);
}

static void
what_was_published_before_the_delete_is_right(void **state)
{
    struct world *w = *state;
    put_one_that_publishes(w);
    handle(w, 0, HANDLER_DONE);
    publish(w, 0, 0, false);
    publish(w, 0, 0, true);
    remove_it(w, 0, 1, true);
    account_piece(w->account, 0, 0);
    judge(w, NULL);
}

static void
a_delete_before_the_event_is_confirmed_is_found(void **state)
{
    struct world *w = *state;
    put_one_that_publishes(w);
    handle(w, 0, HANDLER_DONE);
    publish(w, 0, 0, false);
    remove_it(w, 0, 1, true);
    account_piece(w->account, 0, 0);
    judge(w, "publish: message 0 was deleted before its piece 0 was confirmed");
}

static void
an_event_of_one_that_was_not_done_is_found(void **state)
{
    struct world *w = *state;
    put_one_that_publishes(w);
    handle(w, 0, HANDLER_RETRY);
    publish(w, 0, 0, true);
    deliver(w, 0, 2);
    handle(w, 0, HANDLER_DONE);
    publish(w, 0, 0, true);
    remove_it(w, 0, 2, true);
    account_piece(w->account, 0, 0);
    judge(w, "publish: piece 0 of message 0 was sent before that was done");
}

static void
an_event_that_is_nowhere_is_found(void **state)
{
    struct world *w = *state;
    put(w, 0, ACCOUNT_DONE);
    account_put_pieces(w->account, 0, 1);
    deliver(w, 0, 1);
    fill(w, 1);
    handle(w, 0, HANDLER_DONE);
    judge(w, "publish: piece 0 of message 0, which was done, is nowhere");
}

/* ---- how often --------------------------------------------------------------------------------------------------- */

static void
as_many_failures_as_attempts_and_one_for_each_drain_are_right(void **state)
{
    struct world *w = *state;
    put(w, 0, ACCOUNT_DONE);
    fill(w, 1);
    for (unsigned i = 1; i <= 5; i++) {
        deliver(w, 0, i);
        handle_by(w, 0, HANDLER_RETRY, i < 4 ? 1 : 2);
    }
    deliver(w, 0, 6);
    handle(w, 0, HANDLER_DONE);
    remove_it(w, 0, 6, true);
    judge(w, NULL);
}

static void
more_failures_than_that_are_found(void **state)
{
    struct world *w = *state;
    put(w, 0, ACCOUNT_DONE);
    fill(w, 1);
    for (unsigned i = 1; i <= 6; i++) {
        deliver(w, 0, i);
        handle_by(w, 0, HANDLER_RETRY, i < 4 ? 1 : 2);
    }
    deliver(w, 0, 7);
    handle(w, 0, HANDLER_DONE);
    remove_it(w, 0, 7, true);
    judge(w, "attempts: message 0 failed 6 times, of 3");
}

static void
a_call_without_a_cause_is_found(void **state)
{
    struct world *w = *state;
    put(w, 0, ACCOUNT_DONE);
    fill(w, 1);
    deliver(w, 0, 1);
    handle(w, 0, HANDLER_DOWN);
    handle(w, 0, HANDLER_DONE);
    handle(w, 0, HANDLER_DONE);
    remove_it(w, 0, 1, true);
    judge(w, "calls: message 0 was handled 3 times");
}

static void
what_is_left_to_the_queue_is_moved_by_it_alone(void **state)
{
    struct world *w = *state;
    put(w, 0, ACCOUNT_LEFT);
    put(w, 1, ACCOUNT_LEFT);
    for (unsigned i = 1; i <= 4; i++) {
        deliver(w, 0, i);
        deliver(w, 1, i);
    }
    lie(w, 0, NULL);
    lie(w, 1, NULL);
    remove_it(w, 1, 4, false);
    fill(w, 2);
    judge(w, "delete: message 1 was deleted before it was done or moved");
}

static void
more_than_the_rate_allows_is_found(void **state)
{
    struct world *w = *state;
    put(w, 0, ACCOUNT_DONE);
    deliver(w, 0, 1);
    for (unsigned i = 0; i < 200; i++) {
        handle(w, 0, HANDLER_DOWN);
        chaos_record_entries(w->record)[i].began_clock_ms = 1000 + i * 50;
    }
    handle(w, 0, HANDLER_DONE);
    remove_it(w, 0, 1, true);
    fill(w, 1);
    judge(w, "rate: q: more than 140 messages");
}

static void
one_that_was_held_past_its_lease_and_done_is_found(void **state)
{
    struct world *w = *state;
    fill(w, 0);
    chaos_record_entries(w->record)[2].ended_clock_ms = 60000;
    judge(w, "lease: message 2 was done 60000 ms after its handler began");
}

static void
requests_in_a_loop_are_found(void **state)
{
    struct world *w = *state;
    fill(w, 0);
    for (unsigned i = 0; i < 700; i++) {
        answer(w, ask(w, "ReceiveMessage", "{}"), "ReceiveMessage", "{}", "{}");
        now_ms += 10;
    }
    judge(w, "requests: 692 in vain within 10 s");
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(right_ends_are_right),
        TEST(a_message_that_nobody_handled_is_lost),
        TEST(a_rejected_one_that_is_no_dead_letter_is_lost),
        TEST(a_delete_before_the_verdict_is_found),
        TEST(a_delete_before_the_dead_letter_is_confirmed_is_found),
        TEST(handling_after_a_confirmed_delete_is_found),
        TEST(a_redelivery_before_the_delete_was_confirmed_is_at_least_once),
        TEST(a_delivery_after_a_confirmed_delete_excuses_nothing),
        TEST(an_event_that_was_completed_is_not_handled_again),
        TEST(one_of_two_twins_is_enough),
        TEST(both_twins_are_too_many),
        TEST(no_twin_at_all_is_too_few),
        TEST(wrong_reasons_are_found),
        TEST(given_up_too_early_is_found),
        TEST(the_queue_s_own_move_is_found),
        TEST(a_filtered_one_that_was_handled_is_found),
        TEST(one_begun_before_the_one_ahead_was_decided_is_found),
        TEST(more_in_hand_than_the_cap_is_found),
        TEST(a_message_twice_in_one_delete_is_found),
        TEST(what_was_given_back_or_whose_lease_is_over_is_in_nobodys_hand),
        TEST(what_is_left_to_others_for_longer_than_a_lease_is_in_nobodys_hand),
        TEST(an_extension_whose_answer_was_not_read_is_none),
        TEST(what_was_published_before_the_delete_is_right),
        TEST(a_delete_before_the_event_is_confirmed_is_found),
        TEST(an_event_of_one_that_was_not_done_is_found),
        TEST(an_event_that_is_nowhere_is_found),
        TEST(as_many_failures_as_attempts_and_one_for_each_drain_are_right),
        TEST(more_failures_than_that_are_found),
        TEST(a_call_without_a_cause_is_found),
        TEST(what_is_left_to_the_queue_is_moved_by_it_alone),
        TEST(more_than_the_rate_allows_is_found),
        TEST(one_that_was_held_past_its_lease_and_done_is_found),
        TEST(requests_in_a_loop_are_found),
    };
    return cmocka_run_group_tests_name("account", tests, NULL, NULL);
}
