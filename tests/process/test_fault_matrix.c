/* Each fault a queue can have, for half a minute of a clock that the test moves: the real fanoutd asks a bounded number
 * of times a second meanwhile, goes on by itself when the fault is over, and handles each message once (or twice, when
 * its handler wants it again).
 *
 * All rows run at once, a consumer each. How the engine paces itself is tests/unit/test_worker_poll.c's and
 * test_worker_settle.c's; answers cut at each byte are tests/unit/test_http_answer.c's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "lib/faulty_fleet.h"
#include "lib/proc.h"
#include "lib/tmp.h"

#define FAULT_MS    30000  /* of the test's clock */
#define RECOVERY_MS 120000 /* pauses end after 30 s, an answer that hangs is waited for some 30 s */
#define STEP_MS     100
#define MOST_IN_A_SECOND                                                                                               \
    24 /* three tries each of a receive and some deletes; libcurl itself doubles one whose                             \
        * kept connection is closed. A loop that spins makes hundreds. */
#define MOST_WHILE_FAULTY 90
#define MOST_OF_ENTRIES   150 /* five messages, each tried by itself about every two seconds */

#define ROW(name_, kind_)                                                                                              \
    {                                                                                                                  \
        .name = name_, .kind = kind_, .faults = FAULTY_LASTS, .visibility_s = 600, .settings = "threads = 1;"          \
    }

/* The worker has room for one message: had what cannot be read kept its place, nothing more would come. */
#define ROW_OF_ONE_PLACE(name_, kind_)                                                                                 \
    {                                                                                                                  \
        .name = name_, .kind = kind_, .faults = FAULTY_LASTS, .visibility_s = 600,                                     \
        .settings = "threads = 1; prefetch = 0; batch = { size = 1; };"                                                \
    }

/* Each message is to come again soon after its first delivery, which is a change of its visibility; one that stays
 * refused comes with the end of its lease. */
#define ROW_OF_RETRIES(name_, kind_)                                                                                   \
    {                                                                                                                  \
        .name = name_, .kind = kind_, .faults = FAULTY_LASTS, .visibility_s = 30, .settings = "threads = 1;",          \
        .options = "fail_percent = 100; fail_first_receives = 1;"                                                      \
    }

/* Each message is rejected, and so moved. */
#define ROW_OF_REJECTS(name_, kind_)                                                                                   \
    {                                                                                                                  \
        .name = name_, .kind = kind_, .faults = FAULTY_LASTS, .visibility_s = 600, .settings = "threads = 1;",         \
        .options = "reject_pattern = \"body of\";"                                                                     \
    }

static const struct faulty_queue ROWS[] = {
    ROW("no-fault", FAULTY_NOT),
    /* One message at a time, in hand for a good part of the time the others are at fault. */
    {.name = "handlers-busy",
     .kind = FAULTY_NOT,
     .faults = FAULTY_LASTS,
     .visibility_s = 600,
     .settings = "threads = 1; prefetch = 0; batch = { size = 1; };",
     .options = "delay_ms = 300;"},
    ROW("http-500", FAULTY_ERROR),
    ROW("http-503", FAULTY_UNAVAILABLE),
    ROW("access-denied", FAULTY_DENIED),
    ROW("token-expired", FAULTY_EXPIRED),
    ROW("clock-skewed", FAULTY_SKEWED),
    ROW("wrong-key", FAULTY_WRONG_KEY),
    ROW("throttled", FAULTY_THROTTLED),
    ROW("throttled-with-retry-after", FAULTY_THROTTLED_UNTIL),
    ROW("no-json", FAULTY_GARBAGE),
    ROW("json-of-no-shape", FAULTY_SHAPELESS),
    ROW("cut-anywhere", FAULTY_CUT),
    ROW("reset-midway", FAULTY_CUT_RESET),
    ROW("closed-without-answer", FAULTY_CLOSED),
    ROW("reset-without-answer", FAULTY_RESET),
    ROW("hangs", FAULTY_HANG),
    ROW("hangs-midway", FAULTY_HANG_MIDWAY),
    ROW("empty-at-once", FAULTY_EMPTY),
    ROW("deleted-and-made-again", FAULTY_GONE),
    ROW("damaged", FAULTY_MD5),
    ROW("duplicates", FAULTY_DUPLICATE),
    ROW_OF_ONE_PLACE("damaged-in-one-place", FAULTY_MD5),
    ROW_OF_ONE_PLACE("no-shape-in-one-place", FAULTY_SHAPELESS),
    ROW_OF_ONE_PLACE("cut-in-one-place", FAULTY_CUT),
    ROW("delete-500", FAULTY_DELETE_FAILING),
    ROW("delete-server-fault", FAULTY_DELETE_SERVER),
    ROW("delete-unknown-code", FAULTY_DELETE_UNKNOWN),
    ROW("delete-sender-fault", FAULTY_DELETE_SENDER),
    ROW("delete-invalid-handle", FAULTY_DELETE_HANDLE),
    ROW("delete-in-no-list", FAULTY_DELETE_MISSING),
    ROW("delete-answer-lost", FAULTY_DELETE_LOST),
    ROW_OF_RETRIES("change-500", FAULTY_CHANGE_FAILING),
    ROW_OF_RETRIES("change-server-fault", FAULTY_CHANGE_SERVER),
    ROW_OF_RETRIES("change-unknown-code", FAULTY_CHANGE_UNKNOWN),
    ROW_OF_RETRIES("change-sender-fault", FAULTY_CHANGE_SENDER),
    ROW_OF_RETRIES("change-in-no-list", FAULTY_CHANGE_MISSING),
    ROW_OF_REJECTS("move-500", FAULTY_DEAD_FAILING),
    ROW_OF_REJECTS("move-server-fault", FAULTY_DEAD_SERVER),
    ROW_OF_REJECTS("move-unknown-code", FAULTY_DEAD_UNKNOWN),
    ROW_OF_REJECTS("move-sender-fault", FAULTY_DEAD_SENDER),
    ROW_OF_REJECTS("move-in-no-list", FAULTY_DEAD_MISSING),
};
#define N_ROWS (sizeof ROWS / sizeof *ROWS)

struct world {
    struct clock_page *clock;
    struct faulty_queue queues[N_ROWS];
    struct faulty_fleet f;
};

static int
make_world(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    struct err e;
    assert_non_null(w);
    faulty_fleet_init(&w->f);
    const char *path = tmp_path(w->f.dir, "clock");
    assert_int_equal(clock_page_create(path, &w->clock, &e), 0);
    setenv("FANOUT_TEST_CLOCK", path, 1);
    assert_int_equal(clock_init(&e), 0);
    atomic_store(&w->clock->frozen_at_ms, clock_wall_ms());
    memcpy(w->queues, ROWS, sizeof ROWS);
    *state = w;
    return 0;
}

static int
end_world(void **state)
{
    struct world *w = *state;
    faulty_fleet_clean_up(&w->f);
    free(w);
    return 0;
}

/* Every process looks at the clock each 10 ms at the latest while it is set, and does then what was due: so long is
 * given to each step. */
static void
pass(struct world *w)
{
    atomic_fetch_add(&w->clock->offset_ms, STEP_MS);
    poll(NULL, 0, 12);
}

/* Of its messages' visibility, which each of them needs changed. */
static bool
is_of_changes(const struct faulty_queue *q)
{
    return q->kind >= FAULTY_CHANGE_FAILING && q->kind <= FAULTY_CHANGE_MISSING;
}

static bool
is_of_moves(const struct faulty_queue *q)
{
    return q->kind >= FAULTY_DEAD_FAILING && q->kind <= FAULTY_DEAD_MISSING;
}

static void
assert_paced(const struct faulty_queue *q)
{
    print_message("%-26s %3u faults, %3u requests in %d s, at most %2u in one\n", q->name, q->failed, q->requests,
                  FAULT_MS / 1000, q->at_most_in_a_second);
    if (q->kind != FAULTY_NOT && q->kind != FAULTY_DUPLICATE && q->failed == 0)
        fail_msg("%s: the fault never struck", q->name);
    unsigned most = is_of_changes(q) || is_of_moves(q) ? MOST_OF_ENTRIES : MOST_WHILE_FAULTY;
    if (q->requests > most || q->at_most_in_a_second > MOST_IN_A_SECOND)
        fail_msg("%s: more than %u requests in %d s, or %d in one second", q->name, most, FAULT_MS / 1000,
                 MOST_IN_A_SECOND);
}

/* What is damaged is neither handled nor deleted; a wish for a wait is granted by the next two tries of a call; what
 * the dead-letter queue has not confirmed is not deleted, and what it has is not sent again. */
static void
assert_heeded(const struct faulty_queue *q)
{
    if (q->deleted_damaged > 0)
        fail_msg("%s: %u messages were deleted that had arrived damaged", q->name, q->deleted_damaged);
    if (q->hasty > (q->failed + 2) / 3)
        fail_msg("%s: %u of %u tries were sooner than asked for", q->name, q->hasty, q->failed);
    if (q->deleted_unsaved > 0)
        fail_msg("%s: %u messages were deleted before the dead-letter queue had them", q->name, q->deleted_unsaved);
    for (unsigned i = 0; is_of_moves(q) && i < FAULTY_MESSAGES; i++)
        if (q->dead[i] != 1)
            fail_msg("%s-%u was moved %u times", q->name, i, q->dead[i]);
}

static void
assert_handled(const struct faulty_fleet *f, const struct faulty_queue *q)
{
    if (q->kind == FAULTY_DEAD_SENDER)
        faulty_fleet_assert_rejected(f, q); /* its own fault: it is handled again */
    else if (is_of_moves(q))
        faulty_fleet_assert_rejected_once(f, q);
    else if (is_of_changes(q))
        faulty_fleet_assert_handled_twice(f, q);
    else
        faulty_fleet_assert_handled_once(f, q);
}

static void
every_fault_is_met_with_patience_and_recovered_from_with_nothing_lost(void **state)
{
    struct world *w = *state;
    faulty_fleet_serve(&w->f, w->queues, N_ROWS, 0);
    faulty_fleet_start(&w->f, faulty_sqs_url(w->f.sqs), w->queues, N_ROWS);
    for (int64_t ms = 0; ms < FAULT_MS; ms += STEP_MS)
        pass(w);
    faulty_sqs_mend(w->f.sqs);
    int64_t recovery_ms = 0;
    for (; faulty_sqs_left(w->f.sqs) > 0 && recovery_ms < RECOVERY_MS; recovery_ms += STEP_MS)
        pass(w);
    print_message("all went on after %lld s\n", (long long)recovery_ms / 1000);
    size_t left = faulty_sqs_left(w->f.sqs);
    atomic_store(&w->clock->frozen_at_ms, 0); /* the end takes its own time */
    faulty_fleet_end(&w->f);
    for (size_t i = 0; i < N_ROWS; i++)
        for (unsigned k = 0; k < FAULTY_MESSAGES; k++)
            if (w->queues[i].deleted[k] == 0)
                fail_msg("%s-%u was never deleted", w->queues[i].name, k);
    assert_int_equal(left, 0);
    for (size_t i = 0; i < N_ROWS; i++) {
        assert_paced(&w->queues[i]);
        assert_heeded(&w->queues[i]);
        assert_handled(&w->f, &w->queues[i]);
    }
    assert_int_equal(proc_count_lines(w->f.fleet, "worker started"), N_ROWS); /* an outage is no restart loop */
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_fault_is_met_with_patience_and_recovered_from_with_nothing_lost,
                                        make_world, end_world),
    };
    return cmocka_run_group_tests_name("fault_matrix", tests, NULL, NULL);
}
