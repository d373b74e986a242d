#include "supervisor/slots.h"

#include <assert.h>
#include <sys/wait.h>

#include "ipc/channel.h"

#define HEALTHY_MS 60000 /* of being ready, and the next crash is the first of a new series */
#define BRIEF_MS   1000  /* an announced exit this soon after the start is a loop in the making */

static const struct backoff_policy RESTARTS = {.base_ms = 500, .cap_ms = 30000, .floor_ms = 250};

void
slots_init(struct slots *s, uint64_t seed, int64_t start_ms)
{
    *s = (struct slots){.state = SLOTS_IDLE, .start_ms = start_ms, .ready_at_ms = -1, .deadline_ms = INT64_MAX};
    backoff_init(&s->backoff, &RESTARTS, seed);
}

static enum slots_action
spawn(struct slots *s, int64_t now_ms)
{
    s->state = SLOTS_STARTING;
    s->spawning = true;
    s->spawned_at_ms = now_ms;
    s->start_by_ms = now_ms + s->start_ms;
    s->ready_at_ms = -1;
    s->deadline_ms = INT64_MAX;
    s->said_drained = s->said_refused = s->said_failed = s->said_recycle = false;
    s->left_in_hand = 0;
    return SLOTS_DO_SPAWN;
}

static void
back_off(struct slots *s, int64_t now_ms)
{
    s->state = SLOTS_BACKOFF;
    s->due_ms = now_ms + backoff_fail(&s->backoff, now_ms);
}

/* The process ends by itself before the deadline, or is killed. */
static void
expect_end(struct slots *s, int64_t within_ms, int64_t now_ms)
{
    int64_t deadline_ms = now_ms + (within_ms < 0 ? 0 : within_ms);
    if (s->state != SLOTS_STARTING && s->state != SLOTS_READY && s->state != SLOTS_DRAINING)
        return;
    s->state = SLOTS_DRAINING;
    if (deadline_ms < s->deadline_ms)
        s->deadline_ms = deadline_ms;
}

static enum slots_action
drain(struct slots *s, int64_t drain_ms, int64_t now_ms)
{
    bool running = s->state == SLOTS_STARTING || s->state == SLOTS_READY || s->state == SLOTS_DRAINING;
    if (!running)
        return SLOTS_DO_NOTHING;
    expect_end(s, drain_ms + SLOTS_GRACE_MS, now_ms);
    if (s->said_drained || s->said_refused || s->said_failed) /* it is ending already */
        return SLOTS_DO_NOTHING;
    s->drain_ms = drain_ms;
    return SLOTS_DO_DRAIN;
}

static enum slots_action
kill_it(struct slots *s)
{
    if (!slots_has_process(s) || s->state == SLOTS_KILLING)
        return SLOTS_DO_NOTHING;
    s->state = SLOTS_KILLING;
    return SLOTS_DO_KILL;
}

static enum slots_exit
judge(const struct slots *s, int status)
{
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    if (s->said_drained && code == IPC_EXIT_OK)
        return s->said_recycle ? SLOTS_EXIT_RECYCLED : SLOTS_EXIT_DRAINED;
    if (s->said_drained && code == IPC_EXIT_UNCLEAN)
        return SLOTS_EXIT_UNCLEAN;
    if (s->said_recycle && (code == IPC_EXIT_OK || code == IPC_EXIT_UNCLEAN))
        return SLOTS_EXIT_RECYCLED;
    if (s->said_refused && code == IPC_EXIT_CONFIG)
        return SLOTS_EXIT_REFUSED;
    if (s->said_failed && code == IPC_EXIT_FAILURE)
        return SLOTS_EXIT_FAILED;
    if (s->state == SLOTS_KILLING && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        return SLOTS_EXIT_KILLED;
    return SLOTS_EXIT_CRASHED;
}

static enum slots_action
end(struct slots *s, int status, int64_t now_ms)
{
    bool settled = s->said_drained && s->left_in_hand == 0;
    bool brief = now_ms - s->spawned_at_ms < BRIEF_MS;
    s->last_exit = judge(s, status);
    s->crashes += s->last_exit == SLOTS_EXIT_CRASHED;
    if (s->ready_at_ms >= 0 && now_ms - s->ready_at_ms >= HEALTHY_MS)
        backoff_succeed(&s->backoff);

    if (s->want != SLOTS_WANT_RUN) {
        s->state = s->want == SLOTS_WANT_HOLD ? SLOTS_HELD : SLOTS_IDLE;
        s->unclean |= s->ready_at_ms >= 0 && !settled;
        return SLOTS_DO_NOTHING;
    }
    bool failed = s->last_exit == SLOTS_EXIT_CRASHED || s->last_exit == SLOTS_EXIT_REFUSED ||
                  s->last_exit == SLOTS_EXIT_FAILED ||
                  (s->last_exit == SLOTS_EXIT_KILLED && !s->said_recycle && !s->said_drained);
    if (!failed && !brief)
        return spawn(s, now_ms);
    back_off(s, now_ms);
    return SLOTS_DO_NOTHING;
}

static enum slots_action
run(struct slots *s, int64_t now_ms)
{
    s->want = SLOTS_WANT_RUN;
    return s->state == SLOTS_IDLE || s->state == SLOTS_HELD ? spawn(s, now_ms) : SLOTS_DO_NOTHING;
}

static enum slots_action
stop(struct slots *s, bool hold, int64_t drain_ms, int64_t now_ms)
{
    s->want = hold ? SLOTS_WANT_HOLD : SLOTS_WANT_NONE;
    if (!slots_has_process(s))
        s->state = hold ? SLOTS_HELD : SLOTS_IDLE;
    return drain(s, drain_ms, now_ms);
}

static enum slots_action
tick(struct slots *s, int64_t now_ms)
{
    if (s->state == SLOTS_BACKOFF && now_ms >= s->due_ms)
        return spawn(s, now_ms);
    if (s->state == SLOTS_DRAINING && now_ms >= s->deadline_ms)
        return kill_it(s);
    if (s->state == SLOTS_STARTING && now_ms >= s->start_by_ms)
        return kill_it(s);
    return SLOTS_DO_NOTHING;
}

/* What only a process can cause. */
static enum slots_action
apply_to_process(struct slots *s, enum slots_event event, int64_t argument, int64_t now_ms)
{
    switch (event) {
    case SLOTS_SAID_READY:
        if (s->state == SLOTS_STARTING)
            s->state = SLOTS_READY;
        if (s->ready_at_ms < 0) { /* also on its way out: it has begun to receive */
            s->ready_at_ms = now_ms;
            s->was_ready = true;
        }
        return SLOTS_DO_NOTHING;
    case SLOTS_SAID_DRAINED:
        s->said_drained = true;
        s->left_in_hand = argument;
        expect_end(s, SLOTS_LINGER_MS, now_ms);
        return SLOTS_DO_NOTHING;
    case SLOTS_SAID_BAD_CONFIG:
        s->said_refused = true;
        expect_end(s, SLOTS_LINGER_MS, now_ms);
        return SLOTS_DO_NOTHING;
    case SLOTS_SAID_CANNOT_START:
        s->said_failed = true;
        expect_end(s, SLOTS_LINGER_MS, now_ms);
        return SLOTS_DO_NOTHING;
    case SLOTS_SAID_RECYCLE:
        s->said_recycle = true;
        expect_end(s, argument + SLOTS_GRACE_MS, now_ms);
        return SLOTS_DO_NOTHING;
    case SLOTS_CHANNEL_CLOSED:
        expect_end(s, SLOTS_LINGER_MS, now_ms);
        return SLOTS_DO_NOTHING;
    case SLOTS_EXITED:
        return end(s, (int)argument, now_ms);
    default:
        return SLOTS_DO_NOTHING;
    }
}

enum slots_action
slots_apply(struct slots *s, enum slots_event event, int64_t argument, int64_t now_ms)
{
    assert(s->spawning == (event == SLOTS_SPAWNED || event == SLOTS_SPAWN_FAILED));
    s->spawning = false;
    switch (event) {
    case SLOTS_SPAWNED:
        s->spawns++;
        return SLOTS_DO_NOTHING;
    case SLOTS_SPAWN_FAILED:
        back_off(s, now_ms);
        return SLOTS_DO_NOTHING;
    case SLOTS_START:
        return run(s, now_ms);
    case SLOTS_RESUME:
        return s->want == SLOTS_WANT_HOLD ? run(s, now_ms) : SLOTS_DO_NOTHING;
    case SLOTS_STOP:
        return stop(s, false, argument, now_ms);
    case SLOTS_HOLD:
        return s->want == SLOTS_WANT_RUN ? stop(s, true, argument, now_ms) : SLOTS_DO_NOTHING;
    case SLOTS_STOP_NOW:
        s->want = SLOTS_WANT_NONE;
        if (!slots_has_process(s))
            s->state = SLOTS_IDLE;
        return kill_it(s);
    case SLOTS_TICK:
        return tick(s, now_ms);
    default:
        return slots_has_process(s) ? apply_to_process(s, event, argument, now_ms) : SLOTS_DO_NOTHING;
    }
}

int64_t
slots_tick_at_ms(const struct slots *s)
{
    if (s->state == SLOTS_BACKOFF)
        return s->due_ms;
    if (s->state == SLOTS_STARTING)
        return s->start_by_ms;
    return s->state == SLOTS_DRAINING ? s->deadline_ms : INT64_MAX;
}

const char *
slots_state_name(enum slots_state state)
{
    static const char *const names[] = {"idle", "starting", "ready", "draining", "killing", "backoff", "held"};
    assert((unsigned)state < sizeof names / sizeof *names);
    return names[state];
}

const char *
slots_exit_name(enum slots_exit how)
{
    static const char *const names[] = {"none",    "drained", "unclean", "recycled",
                                        "refused", "failed",  "killed",  "crashed"};
    assert((unsigned)how < sizeof names / sizeof *names);
    return names[how];
}
