/* A resolver that falls silent, or says nothing from the start: the real fanoutd goes on over the connections it has,
 * loses no lease, makes new connections to where the queue was last, holds up no turn of its engine, and asks for
 * little.
 *
 * Each in a network of its own, whose resolv.conf names an address that takes packets and never answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "lib/figures.h"
#include "lib/flow.h"
#include "lib/namespace.h"
#include "lib/side_by_side.h"
#include "lib/skip.h"
#include "lib/tmp.h"

#define SILENT_ADDRESS "127.77.0.1"
#define NAME           "sqs.silent.example"
#define WITHOUT_NAME   "127.0.0.1 localhost\n"
#define WITH_NAME      WITHOUT_NAME "127.0.0.1 " NAME "\n"

#define VISIBILITY_S     2
#define BUSY_MS          4500 /* of a handler: more than twice as long */
#define NAME_KEPT_MS     5000 /* an answer of the resolver is used for 5 s (http.h), and a second more at most */
#define MOST_IN_A_SECOND 12
#define MOST_FOR_FIVE    20 /* to receive five messages and to delete them */
#define MOST_TURN_S      0.1

static const char *why_not; /* there is no namespace */
static int silent_fd;       /* the resolver that never answers */

static const char *hosts; /* is /etc/hosts */

/* What the name is from here on: an address, or silence. */
static void
name_is(const char *text)
{
    FILE *f = fopen(hosts, "we");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static int
make_silence(void **state)
{
    (void)state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(53)};
    why_not = namespace_enter(true);
    if (why_not)
        return 0;
    const char *dir = tmp_new();
    hosts = tmp_write(dir, "hosts", WITH_NAME);
    namespace_bind(hosts, "/etc/hosts");
    namespace_bind(tmp_write(dir, "resolv.conf", "nameserver " SILENT_ADDRESS "\n"), "/etc/resolv.conf");
    namespace_bind(tmp_write(dir, "nsswitch.conf", "hosts: files dns\n"), "/etc/nsswitch.conf");
    assert_int_equal(inet_pton(AF_INET, SILENT_ADDRESS, &address.sin_addr), 1);
    silent_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(silent_fd >= 0 && bind(silent_fd, (struct sockaddr *)&address, sizeof address) == 0);
    return 0;
}

static int
end_silence(void **state)
{
    (void)state;
    return !why_not && close(silent_fd);
}

static int
set_up(void **state)
{
    *state = NULL;
    if (why_not)
        return 0;
    name_is(WITH_NAME);
    return flow_set_up(state);
}

static int
tear_down(void **state)
{
    return *state ? flow_tear_down(state) : 0;
}

static struct flow *
flow_of(void **state)
{
    if (why_not)
        skip_because("%s", why_not);
    return *state;
}

/* fanoutd, which knows the queue by its name alone. */
static void
start_fleet(struct flow *f, const char *more, const char *options)
{
    const char *conf = tmp_write(f->dir, "fanoutd.conf",
                                 "admin = { listen = \"127.0.0.1:0\"; };\n"
                                 "aws = { endpoint_url = \"http://" NAME ":%s\"; };\n%s\n",
                                 strrchr(f->s->url, ':') + 1, flow_consumers(f, more, options));
    f->s->fleet = proc_spawn((const char *[]){proc_path("bin/fanoutd"), "-c", conf, NULL}, f->s->env);
    flow_await_ready(f);
}

struct figures_told {
    struct flow *f;
    unsigned attempts;
};

static bool
figures_were_told(void *context)
{
    const struct figures_told *t = context;
    return flow_attempts(t->f) > t->attempts;
}

/* By the clock: what the engine's thread waited for a core in all its life may have been in its longest turn, all else
 * of it was work, or waiting for somebody's answer. */
static void
assert_engine_was_never_held_up(struct flow *f)
{
    struct figures_told t = {f, flow_attempts(f)};
    assert_true(proc_wait_until(figures_were_told, &t, FLOW_SOON_MS)); /* the turns until now are in them */
    double turn_s = flow_metric(f, "fanout_engine_longest_turn_seconds");
    double cpu_s = flow_metric(f, "fanout_engine_longest_turn_cpu_seconds");
    double delayed_s = (double)figure_run_delay_ns(system_worker(f->s), "engine") / 1e9;
    print_message("longest turn %.3f s, %.3f s of CPU; waited %.3f s for a core in all\n", turn_s, cpu_s, delayed_s);
    assert_true(delayed_s >= 0 && turn_s >= 0 && cpu_s >= 0);
    assert_true(cpu_s < MOST_TURN_S);
    assert_true(turn_s < MOST_TURN_S + delayed_s);
}

static bool
leases_were_extended(void *context)
{
    return flow_metric(context, "fanout_extended_total") >= 4;
}

/* Its handlers have more in hand than the visibility timeout lasts, all in silence. */
static void
messages_in_hand_stay_ours_over_the_connections_there_are(void **state)
{
    struct flow *f = flow_of(state);
    char more[100], options[50];
    snprintf(more, sizeof more, "threads = 8; prefetch = 0; batch = { size = 1; }; visibility_timeout_s = %d;",
             VISIBILITY_S);
    snprintf(options, sizeof options, "delay_ms = %d;", BUSY_MS);
    start_fleet(f, more, options);
    flow_send(f, 4);
    assert_true(proc_wait_until(leases_were_extended, f, FLOW_SOON_MS));

    name_is(WITHOUT_NAME);
    flow_send(f, 4); /* received and kept in silence */
    int64_t began_ms = clock_monotonic_ms();
    unsigned before = flow_attempts(f);
    double extended = flow_metric(f, "fanout_extended_total");
    while (flow_handled(f) < 8 && clock_monotonic_ms() - began_ms < FLOW_SOON_MS) {
        assert_int_equal(clock_monotonic_ms() - began_ms > VISIBILITY_S * 1000 ? flow_visible(f) : 0, 0);
        poll(NULL, 0, 20);
    }
    assert_true(proc_wait_until(flow_is_empty, f, FLOW_SOON_MS));
    int64_t seconds = (clock_monotonic_ms() - began_ms) / 1000 + 1;
    assert_in_range(flow_attempts(f) - before, 1, seconds * MOST_IN_A_SECOND);
    char *record = tmp_read(tmp_path(f->dir, "record"), NULL);
    for (const char *line = record; *line; line = strchr(line, '\n') + 1) {
        const char *receives = strchr(strchr(line, ' ') + 1, ' ');
        if (strncmp(receives, " 1\n", 3) != 0)
            fail_msg("a message went back to the queue while its handler was busy:\n%s", record);
    }
    free(record);
    assert_int_equal(flow_handled(f), 8);
    assert_true(flow_metric(f, "fanout_extended_total") - extended >= 4 * (BUSY_MS / (VISIBILITY_S * 1000)));
    assert_int_equal((int)flow_metric(f, "fanout_lost_total"), 0);
    assert_engine_was_never_held_up(f);
}

static void
connections_lost_in_silence_are_made_again_to_where_the_queue_was(void **state)
{
    struct flow *f = flow_of(state);
    start_fleet(f, "", "");
    int64_t named_ms = clock_monotonic_ms();
    flow_assert_goes_on(f);

    name_is(WITHOUT_NAME);
    flow_assert_goes_on(f);
    while (clock_monotonic_ms() - named_ms < NAME_KEPT_MS)
        poll(NULL, 0, 20);
    unsigned before = flow_attempts(f);
    int64_t began_ms = clock_monotonic_ms();
    char question[512];
    unsigned for_messages = 0;
    do { /* until it has asked, in vain */
        for_messages += MOST_FOR_FIVE;
        system_kill_local(f->s);
        system_restart_local(f->s);
        flow_connect(f);
        flow_assert_goes_on(f);
        assert_true(clock_monotonic_ms() - began_ms < FLOW_SOON_MS);
    } while (recv(silent_fd, question, sizeof question, MSG_DONTWAIT) < 0);
    assert_engine_was_never_held_up(f);
    int64_t seconds = (clock_monotonic_ms() - began_ms) / 1000 + 1;
    assert_in_range(flow_attempts(f) - before, 1, for_messages + seconds * MOST_IN_A_SECOND);

    name_is(WITH_NAME);
    flow_assert_goes_on(f);
}

static bool
an_attempt_failed(void *context)
{
    return flow_metric(context, "fanout_aws_retries_total") > 0;
}

static void
a_queue_that_nobody_can_name_at_the_start_is_waited_for(void **state)
{
    struct flow *f = flow_of(state);
    name_is(WITHOUT_NAME);
    start_fleet(f, "", "");
    assert_true(proc_wait_until(an_attempt_failed, f, FLOW_SOON_MS));
    assert_engine_was_never_held_up(f);
    name_is(WITH_NAME);
    flow_assert_goes_on(f);
    system_stop_fleet(f->s);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(messages_in_hand_stay_ours_over_the_connections_there_are),
        TEST(connections_lost_in_silence_are_made_again_to_where_the_queue_was),
        TEST(a_queue_that_nobody_can_name_at_the_start_is_waited_for),
    };
    return side_by_side_run("resolver", tests, sizeof tests / sizeof *tests, make_silence, end_silence);
}
