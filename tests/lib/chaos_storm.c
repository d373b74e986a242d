#include "lib/chaos_storm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/admin.h"
#include "lib/seeds.h"

#define PHASES     16
#define PHASE_MS   120000 /* of the run's clock, at most */
#define RULES_MAX  3
#define REST_SHARE 10 /* the part of the messages that is left to a calm end: a tenth */

/* percent: of the requests; 0: drawn from 1 to 40. delay_ms: at most. */
static const struct rule {
    const char *action, *kind, *more;
    unsigned percent, delay_ms;
} RULES[] = {
    {"sqs:*", "error", "\"status\": 500, \"code\": \"InternalError\"", 0, 0},
    {"sqs:*", "error", "\"status\": 503, \"code\": \"ServiceUnavailable\"", 0, 0},
    {"sqs:*", "error", "\"status\": 403, \"code\": \"RequestThrottled\"", 0, 0},
    {"sqs:ReceiveMessage", "error", "\"status\": 503, \"code\": \"ServiceUnavailable\"", 100, 0},
    {"sqs:ReceiveMessage", "error", "\"status\": 403, \"code\": \"AccessDenied\"", 100, 0},
    {"sqs:DeleteMessageBatch", "error", "\"status\": 403, \"code\": \"AccessDenied\"", 100, 0},
    {"sqs:DeleteMessageBatch", "error", "\"status\": 500, \"code\": \"InternalError\"", 100, 0},
    {"sqs:ChangeMessageVisibilityBatch", "error", "\"status\": 500, \"code\": \"InternalError\"", 0, 0},
    {"sqs:SendMessageBatch", "error", "\"status\": 403, \"code\": \"RequestThrottled\"", 100, 0},
    {"sqs:SendMessageBatch", "drop_after", "\"status\": 500", 50, 0},
    {"sqs:ReceiveMessage", "drop_before", "\"status\": 500", 0, 0},
    {"sqs:ReceiveMessage", "drop_after", "\"status\": 500", 0, 0},
    {"sqs:DeleteMessageBatch", "drop_after", "\"status\": 500", 0, 0},
    {"sqs:ChangeMessageVisibilityBatch", "drop_after", "\"status\": 500", 0, 0},
    {"sqs:*", "drop_before", "\"status\": 500", 0, 0},
    {"sqs:*", "delay", "\"status\": 500", 0, 3000},
    {"sqs:DeleteMessageBatch", "delay", "\"status\": 500", 0, 60000},
    {"sqs:ReceiveMessage", "duplicate", "\"status\": 500", 0, 0},
    {"sqs:SendMessageBatch", "duplicate", "\"status\": 500", 0, 0},
    {"events:PutEvents", "error", "\"status\": 500, \"code\": \"InternalFailure\"", 0, 0},
    {"events:PutEvents", "error", "\"status\": 400, \"code\": \"ThrottlingException\"", 100, 0},
    {"events:PutEvents", "error", "\"status\": 400, \"code\": \"ValidationException\"", 0, 0},
    {"events:PutEvents", "error", "\"status\": 400, \"code\": \"AccessDeniedException\"", 100, 0},
    {"events:PutEvents", "drop_after", "\"status\": 500", 0, 0},
    {"events:PutEvents", "delay", "\"status\": 500", 0, 60000},
};

static void
set_rule(struct chaos_run *r)
{
    char text[400];
    const struct rule *rule = &RULES[seeds_draw(&r->random, sizeof RULES / sizeof *RULES)];
    unsigned percent = rule->percent ? rule->percent : 1 + (unsigned)seeds_draw(&r->random, 40);
    unsigned delay_ms = rule->delay_ms ? 1 + (unsigned)seeds_draw(&r->random, rule->delay_ms) : 0;
    snprintf(
        text, sizeof text,
        "{\"action\": \"%s\", \"kind\": \"%s\", %s, \"delay_ms\": %u, \"percent\": %u, \"count\": 0, \"seed\": %u}",
        rule->action, rule->kind, rule->more, delay_ms, percent, 1 + (unsigned)seeds_draw(&r->random, 1000000));
    admin_set_fault(r->system->url, text);
    if (strcmp(rule->kind, "duplicate") == 0)
        account_allow_doubles(r->account);
    if (getenv("FANOUT_CHAOS_VERBOSE"))
        print_message("%8lld ms, %zu calls: %s\n", (long long)chaos_run_clock_ms(r), chaos_run_handled(r), text);
}

static void (*const BLOWS[])(struct chaos_run *r) = {chaos_run_kill_server, chaos_run_kill_worker,
                                                     chaos_run_restart_fleet, chaos_run_reload_fleet};
#define N_BLOWS (sizeof BLOWS / sizeof *BLOWS)

/* Which phase begins with which blow: each has its own. */
static void
draw_blows(struct chaos_run *r, size_t phases[N_BLOWS])
{
    for (size_t i = 0; i < N_BLOWS; i++) {
        phases[i] = 1 + seeds_draw(&r->random, PHASES);
        for (size_t k = 0; k < i; k++)
            if (phases[k] == phases[i]) {
                phases[i] = phases[i] % PHASES + 1;
                k = (size_t)-1;
            }
    }
}

static void
begin_phase(struct chaos_run *r, size_t phase, const size_t blows[N_BLOWS])
{
    uint64_t rules = seeds_draw(&r->random, RULES_MAX + 1);
    admin_clear_faults(r->system->url);
    chaos_run_look_at_fleet(r);
    for (size_t i = 0; i < N_BLOWS; i++)
        if (blows[i] == phase)
            BLOWS[i](r);
    for (uint64_t i = 0; i < rules; i++)
        set_rule(r);
}

void
chaos_storm(struct chaos_run *r)
{
    size_t stormy = r->messages - r->messages / REST_SHARE, blows[N_BLOWS];
    draw_blows(r, blows);
    for (size_t phase = 1; phase <= PHASES; phase++) {
        begin_phase(r, phase, blows);
        int64_t until_ms = chaos_run_clock_ms(r) + PHASE_MS;
        while (chaos_run_handled(r) < stormy * phase / PHASES && chaos_run_clock_ms(r) < until_ms)
            chaos_run_pass(r);
    }
    admin_clear_faults(r->system->url);
}
