/* The breaker by itself: when it opens, for how long, what is tried, when it closes; by table, and beside a naive model
 * on random calls. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "lib/seeds.h"
#include "worker/breaker.h"

static const uint64_t KEPT_SEEDS[] = {1, 2};

static const struct breaker_policy POLICY = {
    .failure_percent = 50, .min_calls = 4, .window_ms = 10000, .pause_ms = 1000, .pause_cap_ms = 8000, .full = 4};

static bool
call(struct breaker *b, enum breaker_outcome outcome, int64_t now_ms)
{
    return breaker_end(b, breaker_begin(b), outcome, now_ms);
}

/* ---- closed ---- */

static void
opens_by_the_failures_of_the_window(void **state)
{
    (void)state;
    static const struct {
        const char *calls; /* each a second after the one before; s: success, f: failure, d: down, -: says nothing */
        unsigned percent, min_calls;
        bool opens; /* at the last, and not before */
    } CASES[] = {
        {"ffff", 50, 4, true},     /* */
        {"fff", 50, 4, false},     /* too few to say anything */
        {"sssfff", 50, 4, true},   /* half of them */
        {"ssssfff", 50, 4, false}, /* not half */
        {"ffs", 50, 2, true},      /* at the second already */
        {"ffss", 50, 4, false},    /* a success opens nothing: the next failure does */
        {"ffssf", 50, 4, true},    /* */
        {"sssssssssf", 10, 10, true},
        {"ffffffff", 0, 1, false}, /* failures do not count */
        {"d", 0, 1, true},         /* but the handler's word does */
        {"ssssssssd", 100, 100, true},
        {"f-----------f-----------f", 1, 2,
         false}, /* what says nothing is no call; what is older than the window, neither */
        {"f---------ff", 100, 3, false},
        {"f------ff", 100, 3, true},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct breaker_policy policy = POLICY;
        struct breaker b;
        policy.failure_percent = CASES[i].percent;
        policy.min_calls = CASES[i].min_calls;
        breaker_init(&b, &policy, 1);
        int64_t now_ms = 1000000;
        for (const char *c = CASES[i].calls; *c && b.state == BREAKER_CLOSED; c++, now_ms += 1000)
            call(&b,
                 *c == 's'   ? BREAKER_SUCCESS
                 : *c == 'f' ? BREAKER_FAILURE
                 : *c == 'd' ? BREAKER_DOWN
                             : BREAKER_NOTHING,
                 now_ms);
        if ((b.state == BREAKER_OPEN) != CASES[i].opens)
            fail_msg("%s (%u %% of %u): %s", CASES[i].calls, CASES[i].percent, CASES[i].min_calls,
                     breaker_state_name(b.state));
    }
}

static void
open_lets_nothing_go_until_its_pause_is_over(void **state)
{
    (void)state;
    struct breaker b;
    breaker_init(&b, &POLICY, 1);
    assert_true(breaker_room(&b) == SIZE_MAX);
    assert_true(call(&b, BREAKER_DOWN, 5000));
    assert_int_equal(breaker_room(&b), 0);
    assert_in_range(b.tries_at_ms, 5500, 6000);
    assert_false(breaker_tick(&b, b.tries_at_ms - 1));
    assert_int_equal(breaker_room(&b), 0);
    assert_true(breaker_tick(&b, b.tries_at_ms));
    assert_int_equal(breaker_room(&b), 1);
    assert_false(breaker_tick(&b, b.tries_at_ms));
}

/* ---- trying ---- */

static void
go_to_trying(struct breaker *b, int64_t *now_ms)
{
    call(b, BREAKER_DOWN, *now_ms);
    *now_ms = b->tries_at_ms;
    assert_true(breaker_tick(b, *now_ms));
}

static void
one_message_decides_and_then_more_go_at_once_until_it_closes(void **state)
{
    (void)state;
    struct breaker b;
    int64_t now_ms = 5000;
    breaker_init(&b, &POLICY, 1);
    go_to_trying(&b, &now_ms);
    uint32_t first = breaker_begin(&b);
    assert_int_equal(breaker_room(&b), 0);
    assert_false(breaker_end(&b, first, BREAKER_SUCCESS, now_ms));
    assert_int_equal(breaker_room(&b), 2);
    uint32_t second = breaker_begin(&b), third = breaker_begin(&b);
    assert_int_equal(breaker_room(&b), 0);
    assert_false(breaker_end(&b, second, BREAKER_SUCCESS, now_ms));
    assert_int_equal(breaker_room(&b), 2);
    assert_true(breaker_end(&b, third, BREAKER_SUCCESS, now_ms));
    assert_int_equal(b.state, BREAKER_CLOSED);
    assert_true(breaker_room(&b) == SIZE_MAX);
}

static void
on_a_quiet_queue_it_closes_when_a_window_went_well(void **state)
{
    (void)state;
    struct breaker_policy policy = POLICY;
    struct breaker b;
    int64_t now_ms = 5000;
    policy.full = 100;
    breaker_init(&b, &policy, 1);
    go_to_trying(&b, &now_ms);
    assert_false(call(&b, BREAKER_SUCCESS, now_ms + policy.window_ms)); /* one that was slow says too little */
    assert_true(call(&b, BREAKER_SUCCESS, now_ms + policy.window_ms));
    assert_int_equal(b.state, BREAKER_CLOSED);

    breaker_init(&b, &policy, 1);
    go_to_trying(&b, &now_ms);
    for (int i = 0; i < 20; i++)
        assert_false(call(&b, BREAKER_SUCCESS, now_ms + policy.window_ms - 1));
    assert_int_equal(b.state, BREAKER_TRYING);
}

static void
a_try_that_says_nothing_makes_room_for_another(void **state)
{
    (void)state;
    struct breaker b;
    int64_t now_ms = 5000;
    breaker_init(&b, &POLICY, 1);
    go_to_trying(&b, &now_ms);
    for (int i = 0; i < 5; i++) {
        assert_false(call(&b, BREAKER_NOTHING, now_ms));
        assert_int_equal(breaker_room(&b), 1);
    }
    assert_true(call(&b, BREAKER_FAILURE, now_ms));
    assert_int_equal(b.state, BREAKER_OPEN);
}

static void
a_few_that_fail_among_tries_that_succeed_only_slow_them_down(void **state)
{
    (void)state;
    struct breaker b;
    int64_t now_ms = 5000;
    breaker_init(&b, &POLICY, 1);
    go_to_trying(&b, &now_ms);
    call(&b, BREAKER_SUCCESS, now_ms);
    call(&b, BREAKER_SUCCESS, now_ms);
    assert_int_equal(breaker_room(&b), 3);
    assert_false(call(&b, BREAKER_FAILURE, now_ms));
    assert_int_equal(breaker_room(&b), 2);
    assert_true(call(&b, BREAKER_DOWN, now_ms)); /* but that is plain */
    assert_int_equal(b.state, BREAKER_OPEN);
}

static void
pauses_double_to_the_cap_and_begin_anew_after_a_closed_window(void **state)
{
    (void)state;
    static const int64_t LONGEST[] = {1000, 2000, 4000, 8000, 8000, 8000};
    struct breaker b;
    int64_t now_ms = 5000;
    breaker_init(&b, &POLICY, 1);
    for (size_t i = 0; i < sizeof LONGEST / sizeof *LONGEST; i++) {
        assert_true(call(&b, BREAKER_DOWN, now_ms));
        assert_in_range(b.tries_at_ms - now_ms, LONGEST[i] / 2, LONGEST[i]);
        assert_int_equal(b.opened_ms, 5000);
        now_ms = b.tries_at_ms;
        assert_true(breaker_tick(&b, now_ms));
    }
    while (b.state != BREAKER_CLOSED)
        call(&b, BREAKER_SUCCESS, now_ms);
    now_ms += POLICY.window_ms - 1; /* a relapse */
    assert_true(call(&b, BREAKER_DOWN, now_ms));
    assert_in_range(b.tries_at_ms - now_ms, 4000, 8000);
    now_ms = b.tries_at_ms;
    breaker_tick(&b, now_ms);
    while (b.state != BREAKER_CLOSED)
        call(&b, BREAKER_SUCCESS, now_ms);
    now_ms += POLICY.window_ms;
    assert_true(call(&b, BREAKER_DOWN, now_ms));
    assert_in_range(b.tries_at_ms - now_ms, 500, 1000);
}

static void
what_was_begun_before_it_opened_says_nothing_about_now(void **state)
{
    (void)state;
    struct breaker b;
    int64_t now_ms = 5000;
    breaker_init(&b, &POLICY, 1);
    uint32_t early[3];
    for (int i = 0; i < 3; i++)
        early[i] = breaker_begin(&b);
    go_to_trying(&b, &now_ms);
    assert_false(breaker_end(&b, early[0], BREAKER_DOWN, now_ms));
    assert_int_equal(breaker_room(&b), 1);
    for (int i = 0; i < 5; i++)
        call(&b, BREAKER_SUCCESS, now_ms);
    assert_int_equal(b.state, BREAKER_CLOSED);
    assert_false(breaker_end(&b, early[1], BREAKER_DOWN, now_ms));
    assert_false(breaker_end(&b, early[2], BREAKER_FAILURE, now_ms));
    assert_int_equal(b.state, BREAKER_CLOSED);
}

/* ---- beside a model ---- */

#define CALLS 4000

/* Every call that ever ended, and what follows from all of them each time. */
struct model {
    struct breaker_policy policy;
    struct {
        int64_t at_ms;
        bool failed;
    } calls[CALLS];
    size_t n, from; /* of this closed time */
    enum breaker_state state;
    size_t allowed, out;
    int64_t trying_ms; /* since when */
};

static bool
model_opens(const struct model *m, int64_t now_ms)
{
    int64_t tenth = m->policy.window_ms / 10;
    uint64_t calls = 0, failures = 0;
    for (size_t i = m->from; i < m->n; i++) {
        if (m->calls[i].at_ms / tenth + 10 <= now_ms / tenth)
            continue;
        calls++;
        failures += m->calls[i].failed;
    }
    return m->policy.failure_percent > 0 && calls >= m->policy.min_calls &&
           failures * 100 >= calls * m->policy.failure_percent;
}

static void
model_ends(struct model *m, enum breaker_outcome outcome, int64_t now_ms)
{
    if (m->state == BREAKER_TRYING)
        m->out--;
    if (outcome == BREAKER_NOTHING)
        return;
    if (m->state == BREAKER_CLOSED) {
        m->calls[m->n].at_ms = now_ms;
        m->calls[m->n++].failed = outcome == BREAKER_FAILURE;
        if (outcome == BREAKER_DOWN || (outcome == BREAKER_FAILURE && model_opens(m, now_ms)))
            m->state = BREAKER_OPEN;
        return;
    }
    m->allowed += outcome == BREAKER_SUCCESS ? 1 : (size_t)-1;
    if (outcome == BREAKER_DOWN || m->allowed == 0) {
        m->state = BREAKER_OPEN;
    } else if (outcome == BREAKER_SUCCESS &&
               (m->allowed >= m->policy.full || (m->allowed >= 3 && now_ms - m->trying_ms >= m->policy.window_ms))) {
        m->state = BREAKER_CLOSED;
        m->from = m->n;
    }
}

static void
run_beside_model(uint64_t seed)
{
    static struct model m;
    uint32_t out[CALLS];
    size_t n_out = 0;
    uint64_t random = seed;
    struct breaker b;
    m = (struct model){.policy = {.failure_percent = (unsigned)seeds_draw(&random, 101),
                                  .min_calls = 1 + (unsigned)seeds_draw(&random, 30),
                                  .window_ms = 10 + (int64_t)seeds_draw(&random, 20000),
                                  .pause_ms = 1 + (int64_t)seeds_draw(&random, 5000),
                                  .pause_cap_ms = 5001 + (int64_t)seeds_draw(&random, 50000),
                                  .full = 1 + seeds_draw(&random, 20)}};
    unsigned bad = (unsigned)seeds_draw(&random, 100);
    int64_t now_ms = 1000000;
    breaker_init(&b, &m.policy, seed | 1);
    for (int step = 0; step < CALLS; step++) {
        now_ms += (int64_t)seeds_draw(&random, 300);
        bool due = m.state == BREAKER_OPEN && now_ms >= b.tries_at_ms;
        assert_int_equal(breaker_tick(&b, now_ms), due);
        if (due) {
            m.state = BREAKER_TRYING;
            m.allowed = 1;
            m.out = 0;
            m.trying_ms = now_ms;
        }
        size_t room = m.state == BREAKER_CLOSED                        ? SIZE_MAX
                      : m.state == BREAKER_TRYING && m.allowed > m.out ? m.allowed - m.out
                                                                       : 0;
        assert_true(breaker_room(&b) == room);
        if (room > 0 && seeds_draw(&random, 2)) {
            out[n_out++] = breaker_begin(&b);
            m.out += m.state == BREAKER_TRYING;
        } else if (n_out > 0) {
            uint64_t x = seeds_draw(&random, 100);
            enum breaker_outcome outcome = seeds_draw(&random, 20) == 0 ? BREAKER_NOTHING
                                           : x >= bad                   ? BREAKER_SUCCESS
                                           : x % 20 == 0                ? BREAKER_DOWN
                                                                        : BREAKER_FAILURE;
            size_t which = seeds_draw(&random, n_out);
            uint32_t turn = out[which];
            enum breaker_state before = m.state;
            out[which] = out[--n_out];
            if (turn == b.turn)
                model_ends(&m, outcome, now_ms);
            assert_int_equal(breaker_end(&b, turn, outcome, now_ms), before != m.state);
        }
        if (b.state != m.state)
            fail_msg("seed %llu, step %d: %s, the model is %s", (unsigned long long)seed, step,
                     breaker_state_name(b.state), breaker_state_name(m.state));
    }
}

static void
does_what_a_naive_model_does(void **state)
{
    (void)state;
    struct seeds seeds;
    uint64_t seed;
    seeds_init(&seeds, KEPT_SEEDS, sizeof KEPT_SEEDS / sizeof *KEPT_SEEDS);
    while (seeds_next(&seeds, &seed))
        for (uint64_t i = 0; i < 20; i++)
            run_beside_model(seed * 1000 + i);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_by_the_failures_of_the_window),
        cmocka_unit_test(open_lets_nothing_go_until_its_pause_is_over),
        cmocka_unit_test(one_message_decides_and_then_more_go_at_once_until_it_closes),
        cmocka_unit_test(on_a_quiet_queue_it_closes_when_a_window_went_well),
        cmocka_unit_test(a_try_that_says_nothing_makes_room_for_another),
        cmocka_unit_test(a_few_that_fail_among_tries_that_succeed_only_slow_them_down),
        cmocka_unit_test(pauses_double_to_the_cap_and_begin_anew_after_a_closed_window),
        cmocka_unit_test(what_was_begun_before_it_opened_says_nothing_about_now),
        cmocka_unit_test(does_what_a_naive_model_does),
    };
    return cmocka_run_group_tests_name("worker_breaker", tests, NULL, NULL);
}
