#include "supervisor/slots.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "lib/xorshift.h"

#define EXITED(code)   ((code) << 8)
#define SIGNALLED(sig) (sig)
#define START_MS       60000

static const char *
action_name(enum slots_action action)
{
    static const char *const names[] = {"", "spawn ", "drain ", "kill "};
    return names[action];
}

/* Applies, and answers a spawn with success. */
static enum slots_action
apply(struct slots *s, enum slots_event event, int64_t argument, int64_t now_ms)
{
    enum slots_action action = slots_apply(s, event, argument, now_ms);
    if (action == SLOTS_DO_SPAWN)
        assert_int_equal(slots_apply(s, SLOTS_SPAWNED, 0, now_ms), SLOTS_DO_NOTHING);
    return action;
}

/* A slot brought into a state in the first second. */
static struct slots
in_state(enum slots_state state)
{
    struct slots s;
    slots_init(&s, 42, START_MS);
    if (state == SLOTS_IDLE)
        return s;
    apply(&s, SLOTS_START, 0, 0);
    if (state == SLOTS_READY || state == SLOTS_DRAINING)
        apply(&s, SLOTS_SAID_READY, 0, 100);
    if (state == SLOTS_DRAINING)
        apply(&s, SLOTS_STOP, 5000, 200);
    if (state == SLOTS_KILLING)
        apply(&s, SLOTS_STOP_NOW, 0, 200);
    if (state == SLOTS_BACKOFF || state == SLOTS_HELD)
        apply(&s, SLOTS_EXITED, SIGNALLED(SIGSEGV), 100);
    if (state == SLOTS_HELD)
        apply(&s, SLOTS_HOLD, 5000, 200);
    assert_int_equal(s.state, state);
    return s;
}

/* Every event in every state, ten seconds later: what is done, and the state after it. */
static void
every_event_in_every_state_has_its_effect(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum slots_event event;
        int64_t argument;
        const char *effect[SLOTS_STATES]; /* of idle, starting, ready, draining, killing, backoff, held */
    } rows[] = {
        {"start",
         SLOTS_START,
         0,
         {"spawn starting", "starting", "ready", "draining", "killing", "backoff", "spawn starting"}},
        {"ready", SLOTS_SAID_READY, 0, {"idle", "ready", "ready", "draining", "killing", "backoff", "held"}},
        {"drained", SLOTS_SAID_DRAINED, 0, {"idle", "draining", "draining", "draining", "killing", "backoff", "held"}},
        {"bad configuration",
         SLOTS_SAID_BAD_CONFIG,
         0,
         {"idle", "draining", "draining", "draining", "killing", "backoff", "held"}},
        {"cannot start",
         SLOTS_SAID_CANNOT_START,
         0,
         {"idle", "draining", "draining", "draining", "killing", "backoff", "held"}},
        {"recycle", SLOTS_SAID_RECYCLE, 9, {"idle", "draining", "draining", "draining", "killing", "backoff", "held"}},
        {"channel closed",
         SLOTS_CHANNEL_CLOSED,
         0,
         {"idle", "draining", "draining", "draining", "killing", "backoff", "held"}},
        {"exited", SLOTS_EXITED, 0, {"idle", "backoff", "backoff", "idle", "idle", "backoff", "held"}},
        {"tick", SLOTS_TICK, 0, {"idle", "starting", "ready", "kill killing", "killing", "spawn starting", "held"}},
        {"stop",
         SLOTS_STOP,
         5000,
         {"idle", "drain draining", "drain draining", "drain draining", "killing", "idle", "idle"}},
        {"stop now",
         SLOTS_STOP_NOW,
         0,
         {"idle", "kill killing", "kill killing", "kill killing", "killing", "idle", "idle"}},
        {"hold", SLOTS_HOLD, 5000, {"idle", "drain draining", "drain draining", "draining", "killing", "held", "held"}},
        {"resume", SLOTS_RESUME, 0, {"idle", "starting", "ready", "draining", "killing", "backoff", "spawn starting"}},
    };
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        for (int from = 0; from < SLOTS_STATES; from++) {
            struct slots s = in_state((enum slots_state)from);
            enum slots_action action = apply(&s, rows[r].event, rows[r].argument, 10000);
            char effect[60];
            snprintf(effect, sizeof effect, "%s%s", action_name(action), slots_state_name(s.state));
            if (strcmp(effect, rows[r].effect[from]) != 0)
                fail_msg("%s while %s: '%s', not '%s'", rows[r].name, slots_state_name((enum slots_state)from), effect,
                         rows[r].effect[from]);
        }
    }
}

static void
an_exit_counts_only_after_the_matching_word(void **state)
{
    (void)state;
    enum { NOTHING = -1 };
    static const struct {
        int said, status;
        enum slots_exit how;
    } cases[] = {
        {NOTHING, EXITED(0), SLOTS_EXIT_CRASHED},
        {NOTHING, EXITED(1), SLOTS_EXIT_CRASHED},
        {NOTHING, EXITED(2), SLOTS_EXIT_CRASHED},
        {NOTHING, EXITED(3), SLOTS_EXIT_CRASHED},
        {NOTHING, SIGNALLED(SIGSEGV), SLOTS_EXIT_CRASHED},
        {NOTHING, SIGNALLED(SIGKILL), SLOTS_EXIT_CRASHED},
        {SLOTS_SAID_DRAINED, EXITED(0), SLOTS_EXIT_DRAINED},
        {SLOTS_SAID_DRAINED, EXITED(3), SLOTS_EXIT_UNCLEAN},
        {SLOTS_SAID_DRAINED, EXITED(1), SLOTS_EXIT_CRASHED},
        {SLOTS_SAID_DRAINED, EXITED(2), SLOTS_EXIT_CRASHED},
        {SLOTS_SAID_DRAINED, SIGNALLED(SIGABRT), SLOTS_EXIT_CRASHED},
        {SLOTS_SAID_BAD_CONFIG, EXITED(2), SLOTS_EXIT_REFUSED},
        {SLOTS_SAID_BAD_CONFIG, EXITED(0), SLOTS_EXIT_CRASHED},
        {SLOTS_SAID_CANNOT_START, EXITED(1), SLOTS_EXIT_FAILED},
        {SLOTS_SAID_CANNOT_START, EXITED(2), SLOTS_EXIT_CRASHED},
        {SLOTS_SAID_RECYCLE, EXITED(0), SLOTS_EXIT_RECYCLED},
        {SLOTS_SAID_RECYCLE, EXITED(3), SLOTS_EXIT_RECYCLED},
        {SLOTS_SAID_RECYCLE, EXITED(2), SLOTS_EXIT_CRASHED},
        {SLOTS_SAID_RECYCLE, SIGNALLED(SIGSEGV), SLOTS_EXIT_CRASHED},
        {SLOTS_SAID_READY, EXITED(0), SLOTS_EXIT_CRASHED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct slots s = in_state(SLOTS_READY);
        if (cases[i].said != NOTHING)
            apply(&s, (enum slots_event)cases[i].said, 0, 5000);
        apply(&s, SLOTS_EXITED, cases[i].status, 5001);
        if (s.last_exit != cases[i].how)
            fail_msg("case %zu: %s", i, slots_exit_name(s.last_exit));
        bool waits = cases[i].how == SLOTS_EXIT_CRASHED || cases[i].how == SLOTS_EXIT_REFUSED ||
                     cases[i].how == SLOTS_EXIT_FAILED;
        assert_int_equal(s.state, waits ? SLOTS_BACKOFF : SLOTS_STARTING);
        assert_int_equal(s.crashes, cases[i].how == SLOTS_EXIT_CRASHED);
    }
    struct slots s = in_state(SLOTS_READY);
    apply(&s, SLOTS_SAID_RECYCLE, 1000, 5000);
    apply(&s, SLOTS_SAID_DRAINED, 0, 5000);
    apply(&s, SLOTS_EXITED, EXITED(0), 5001);
    assert_int_equal(s.last_exit, SLOTS_EXIT_RECYCLED);
}

/* The largest wait after the n-th crash in a row, over many seeds. */
static int64_t
largest_wait(int crashes, int64_t healthy_ms)
{
    int64_t largest = 0;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct slots s;
        int64_t now = 1000000, wait = 0;
        slots_init(&s, seed * 7919, START_MS);
        apply(&s, SLOTS_START, 0, now);
        for (int i = 0; i < crashes; i++) {
            apply(&s, SLOTS_SAID_READY, 0, now);
            now += healthy_ms;
            apply(&s, SLOTS_EXITED, SIGNALLED(SIGSEGV), now);
            assert_int_equal(s.state, SLOTS_BACKOFF);
            wait = s.due_ms - now;
            assert_in_range(wait, 250, 30000);
            assert_int_equal(apply(&s, SLOTS_TICK, 0, s.due_ms - 1), SLOTS_DO_NOTHING);
            now = s.due_ms;
            assert_int_equal(apply(&s, SLOTS_TICK, 0, now), SLOTS_DO_SPAWN);
        }
        largest = wait > largest ? wait : largest;
    }
    return largest;
}

static void
crashes_wait_longer_and_longer_and_health_forgives(void **state)
{
    (void)state;
    assert_in_range(largest_wait(1, 10), 400, 500);
    assert_in_range(largest_wait(2, 10), 850, 1000);
    assert_in_range(largest_wait(4, 10), 3500, 4000);
    assert_in_range(largest_wait(12, 10), 28000, 30000);
    assert_in_range(largest_wait(12, 59999), 28000, 30000);
    assert_in_range(largest_wait(12, 60000), 400, 500);
}

static void
a_failed_start_waits_like_a_crash(void **state)
{
    (void)state;
    struct slots s = in_state(SLOTS_IDLE);
    assert_int_equal(slots_apply(&s, SLOTS_START, 0, 0), SLOTS_DO_SPAWN);
    assert_int_equal(slots_apply(&s, SLOTS_SPAWN_FAILED, 0, 0), SLOTS_DO_NOTHING);
    assert_int_equal(s.state, SLOTS_BACKOFF);
    assert_int_equal(s.spawns, 0);
    assert_int_equal(slots_tick_at_ms(&s), s.due_ms);
    assert_int_equal(apply(&s, SLOTS_TICK, 0, s.due_ms), SLOTS_DO_SPAWN);
}

static void
who_is_not_ready_in_time_is_killed_and_waits_like_a_crash(void **state)
{
    (void)state;
    struct slots s = in_state(SLOTS_STARTING);
    assert_int_equal(slots_tick_at_ms(&s), START_MS);
    assert_int_equal(apply(&s, SLOTS_TICK, 0, START_MS - 1), SLOTS_DO_NOTHING);
    assert_int_equal(apply(&s, SLOTS_TICK, 0, START_MS), SLOTS_DO_KILL);
    apply(&s, SLOTS_EXITED, SIGNALLED(SIGKILL), START_MS + 1);
    assert_int_equal(s.last_exit, SLOTS_EXIT_KILLED);
    assert_int_equal(s.state, SLOTS_BACKOFF);
    assert_int_equal(s.crashes, 0);
    int64_t again = s.due_ms;
    assert_int_equal(apply(&s, SLOTS_TICK, 0, again), SLOTS_DO_SPAWN);
    assert_int_equal(slots_tick_at_ms(&s), again + START_MS);

    /* Who is ready just in time has all the time there is. */
    apply(&s, SLOTS_SAID_READY, 0, again + START_MS - 1);
    assert_int_equal(apply(&s, SLOTS_TICK, 0, again + START_MS), SLOTS_DO_NOTHING);
    assert_int_equal(slots_tick_at_ms(&s), INT64_MAX);

    /* A drain has its own time, though the start was about to be over. */
    s = in_state(SLOTS_STARTING);
    assert_int_equal(apply(&s, SLOTS_STOP, 25000, START_MS - 1), SLOTS_DO_DRAIN);
    apply(&s, SLOTS_SAID_READY, 0, START_MS);
    assert_int_equal(slots_tick_at_ms(&s), START_MS - 1 + 25000 + SLOTS_GRACE_MS);

    /* Who never becomes ready is killed at the drain's deadline, and left nothing in hand. */
    s = in_state(SLOTS_STARTING);
    apply(&s, SLOTS_STOP, 25000, 1000);
    assert_int_equal(apply(&s, SLOTS_TICK, 0, 26000 + SLOTS_GRACE_MS), SLOTS_DO_KILL);
    apply(&s, SLOTS_EXITED, SIGNALLED(SIGKILL), 30000);
    assert_int_equal(s.state, SLOTS_IDLE);
    assert_false(s.unclean);
}

static void
an_announced_end_restarts_at_once_unless_it_comes_at_once(void **state)
{
    (void)state;
    struct slots s = in_state(SLOTS_READY);
    apply(&s, SLOTS_SAID_RECYCLE, 10000, 5000);
    assert_int_equal(slots_tick_at_ms(&s), 15000 + SLOTS_GRACE_MS);
    assert_int_equal(apply(&s, SLOTS_EXITED, EXITED(0), 6000), SLOTS_DO_SPAWN);
    assert_int_equal(s.state, SLOTS_STARTING);
    apply(&s, SLOTS_SAID_DRAINED, 0, 6001);
    assert_int_equal(apply(&s, SLOTS_EXITED, EXITED(0), 6002), SLOTS_DO_NOTHING);
    assert_int_equal(s.state, SLOTS_BACKOFF);
}

static void
a_drain_has_its_time_and_a_grace_then_it_is_killed_once(void **state)
{
    (void)state;
    struct slots s = in_state(SLOTS_READY);
    assert_int_equal(apply(&s, SLOTS_STOP, 25000, 1000), SLOTS_DO_DRAIN);
    assert_int_equal(s.drain_ms, 25000);
    assert_int_equal(slots_tick_at_ms(&s), 26000 + SLOTS_GRACE_MS);
    assert_int_equal(apply(&s, SLOTS_TICK, 0, 26000 + SLOTS_GRACE_MS - 1), SLOTS_DO_NOTHING);
    assert_int_equal(apply(&s, SLOTS_TICK, 0, 26000 + SLOTS_GRACE_MS), SLOTS_DO_KILL);
    assert_int_equal(apply(&s, SLOTS_TICK, 0, 99000), SLOTS_DO_NOTHING);
    assert_int_equal(slots_tick_at_ms(&s), INT64_MAX);
    apply(&s, SLOTS_EXITED, SIGNALLED(SIGKILL), 99001);
    assert_int_equal(s.state, SLOTS_IDLE);
    assert_int_equal(s.last_exit, SLOTS_EXIT_KILLED);
    assert_int_equal(s.crashes, 0);
    assert_true(s.unclean);
}

static void
who_lingers_after_the_last_word_is_killed(void **state)
{
    (void)state;
    static const enum slots_event last_words[] = {SLOTS_SAID_DRAINED, SLOTS_SAID_BAD_CONFIG, SLOTS_SAID_CANNOT_START,
                                                  SLOTS_CHANNEL_CLOSED};
    for (size_t i = 0; i < 4; i++) {
        struct slots s = in_state(SLOTS_READY);
        apply(&s, last_words[i], 0, 1000);
        assert_int_equal(apply(&s, SLOTS_TICK, 0, 1000 + SLOTS_LINGER_MS - 1), SLOTS_DO_NOTHING);
        assert_int_equal(apply(&s, SLOTS_TICK, 0, 1000 + SLOTS_LINGER_MS), SLOTS_DO_KILL);
    }
    /* It is not told to drain any more. */
    static const int codes[] = {0, 2, 1};
    for (size_t i = 0; i < 3; i++) {
        struct slots s = in_state(SLOTS_READY);
        apply(&s, last_words[i], 0, 1000);
        assert_int_equal(apply(&s, SLOTS_STOP, 60000, 1001), SLOTS_DO_NOTHING);
        assert_int_equal(slots_tick_at_ms(&s), 1000 + SLOTS_LINGER_MS);
        apply(&s, SLOTS_EXITED, EXITED(codes[i]), 1002);
        assert_int_equal(s.state, SLOTS_IDLE);
    }
    /* A later word never gives more time than an earlier one left. */
    struct slots s = in_state(SLOTS_READY);
    apply(&s, SLOTS_STOP, 500, 1000);
    apply(&s, SLOTS_SAID_DRAINED, 0, 1100);
    assert_int_equal(slots_tick_at_ms(&s), 1500 + SLOTS_GRACE_MS);
}

static void
only_what_was_left_in_hand_is_unclean(void **state)
{
    (void)state;
    struct slots s = in_state(SLOTS_READY);
    apply(&s, SLOTS_STOP, 5000, 1000);
    apply(&s, SLOTS_SAID_DRAINED, 0, 2000);
    apply(&s, SLOTS_EXITED, EXITED(0), 2001);
    assert_false(s.unclean);

    s = in_state(SLOTS_READY);
    apply(&s, SLOTS_STOP, 5000, 1000);
    apply(&s, SLOTS_SAID_DRAINED, 7, 6000);
    apply(&s, SLOTS_EXITED, EXITED(3), 6001);
    assert_true(s.unclean);

    s = in_state(SLOTS_STARTING); /* its first word crosses with the order to drain */
    apply(&s, SLOTS_STOP, 5000, 1000);
    apply(&s, SLOTS_SAID_READY, 0, 1001);
    assert_int_equal(s.state, SLOTS_DRAINING);
    apply(&s, SLOTS_SAID_DRAINED, 7, 6000);
    apply(&s, SLOTS_EXITED, EXITED(3), 6001);
    assert_true(s.unclean);

    s = in_state(SLOTS_STARTING); /* it had received nothing yet */
    apply(&s, SLOTS_STOP_NOW, 0, 1000);
    apply(&s, SLOTS_EXITED, SIGNALLED(SIGKILL), 1001);
    assert_false(s.unclean);
}

static void
a_stop_can_be_taken_back(void **state)
{
    (void)state;
    struct slots s = in_state(SLOTS_DRAINING);
    apply(&s, SLOTS_START, 0, 3000);
    apply(&s, SLOTS_SAID_DRAINED, 0, 4000);
    assert_int_equal(apply(&s, SLOTS_EXITED, EXITED(0), 4001), SLOTS_DO_SPAWN);
}

static void
a_held_slot_drains_and_starts_nothing_until_it_is_resumed(void **state)
{
    (void)state;
    struct slots s = in_state(SLOTS_READY);
    assert_int_equal(apply(&s, SLOTS_HOLD, 5000, 2000), SLOTS_DO_DRAIN);
    apply(&s, SLOTS_SAID_DRAINED, 0, 3000);
    assert_int_equal(apply(&s, SLOTS_EXITED, EXITED(0), 3001), SLOTS_DO_NOTHING);
    assert_int_equal(s.state, SLOTS_HELD);
    assert_int_equal(apply(&s, SLOTS_TICK, 0, 1000000), SLOTS_DO_NOTHING);
    assert_int_equal(slots_tick_at_ms(&s), INT64_MAX);
    assert_int_equal(apply(&s, SLOTS_RESUME, 0, 1000001), SLOTS_DO_SPAWN);
}

/* Whatever comes in whatever order: what is asked for can be done, and once all stop it comes to rest. */
static void
any_walk_keeps_the_invariants(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 400; seed++) {
        struct slots s;
        uint64_t random = seed * 104729;
        int64_t now = 1000;
        bool alive = false, killed = false, stopped = false;
        uint64_t spawned = 0;
        slots_init(&s, seed, START_MS);
        for (int step = 0; step < 1500; step++) {
            bool ending = step >= 1400; /* nobody starts any more; processes end sooner or later */
            enum slots_event event = (enum slots_event)(xorshift_next(&random) % SLOTS_EVENTS);
            if (event == SLOTS_SPAWNED || event == SLOTS_SPAWN_FAILED)
                event = SLOTS_TICK;
            if (event == SLOTS_EXITED && !alive)
                event = SLOTS_TICK;
            if (ending && (event == SLOTS_START || event == SLOTS_RESUME || event == SLOTS_HOLD))
                event = SLOTS_STOP;
            int64_t argument = (int64_t)(xorshift_next(&random) % 30000);
            if (event == SLOTS_EXITED)
                argument = argument % 2 ? EXITED(argument / 2 % 4) : SIGNALLED(SIGKILL);
            now += (int64_t)(xorshift_next(&random) % 3000);
            alive = alive && event != SLOTS_EXITED;
            stopped |= ending && (event == SLOTS_STOP || event == SLOTS_STOP_NOW);
            enum slots_action action = slots_apply(&s, event, argument, now);

            if (action == SLOTS_DO_SPAWN) {
                assert_false(alive);
                assert_false(stopped);
                assert_int_equal(s.want, SLOTS_WANT_RUN);
                alive = xorshift_next(&random) % 4 != 0;
                killed = false;
                spawned += alive;
                slots_apply(&s, alive ? SLOTS_SPAWNED : SLOTS_SPAWN_FAILED, 0, now);
            } else if (action == SLOTS_DO_KILL) {
                assert_true(alive && !killed);
                killed = true;
            } else if (action == SLOTS_DO_DRAIN) {
                assert_true(alive && !killed);
                assert_true(s.deadline_ms <= now + s.drain_ms + SLOTS_GRACE_MS);
            }
            assert_int_equal(slots_has_process(&s), alive);
            assert_int_equal(s.state == SLOTS_KILLING, alive && killed);
            assert_int_equal(s.spawns, spawned);
            if (s.state == SLOTS_BACKOFF)
                assert_true(s.due_ms - now <= 30000);
            if (s.state == SLOTS_DRAINING)
                assert_true(s.deadline_ms < INT64_MAX);
            if (s.state == SLOTS_BACKOFF)
                assert_int_equal(s.want, SLOTS_WANT_RUN);
            if (s.state == SLOTS_IDLE)
                assert_int_equal(s.want, SLOTS_WANT_NONE);
        }
        slots_apply(&s, SLOTS_STOP, 1000, now);
        if (slots_has_process(&s)) {
            int64_t at = slots_tick_at_ms(&s);
            if (s.state == SLOTS_DRAINING)
                assert_int_equal(slots_apply(&s, SLOTS_TICK, 0, at), SLOTS_DO_KILL);
            slots_apply(&s, SLOTS_EXITED, SIGNALLED(SIGKILL), now);
        }
        assert_int_equal(s.state, SLOTS_IDLE);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_event_in_every_state_has_its_effect),
        cmocka_unit_test(an_exit_counts_only_after_the_matching_word),
        cmocka_unit_test(crashes_wait_longer_and_longer_and_health_forgives),
        cmocka_unit_test(a_failed_start_waits_like_a_crash),
        cmocka_unit_test(who_is_not_ready_in_time_is_killed_and_waits_like_a_crash),
        cmocka_unit_test(an_announced_end_restarts_at_once_unless_it_comes_at_once),
        cmocka_unit_test(a_drain_has_its_time_and_a_grace_then_it_is_killed_once),
        cmocka_unit_test(who_lingers_after_the_last_word_is_killed),
        cmocka_unit_test(only_what_was_left_in_hand_is_unclean),
        cmocka_unit_test(a_stop_can_be_taken_back),
        cmocka_unit_test(a_held_slot_drains_and_starts_nothing_until_it_is_resumed),
        cmocka_unit_test(any_walk_keeps_the_invariants),
    };
    return cmocka_run_group_tests_name("slots", tests, NULL, NULL);
}
