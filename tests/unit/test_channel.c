#include "ipc/channel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct pair {
    int supervisor, worker;
};

static int
open_pair(void **state)
{
    static struct pair p;
    *state = &p;
    return ipc_pair(&p.supervisor, &p.worker, NULL);
}

static int
close_pair(void **state)
{
    struct pair *p = *state;
    if (p->supervisor >= 0)
        close(p->supervisor);
    if (p->worker >= 0)
        close(p->worker);
    return 0;
}

static void
both_ends_are_closed_on_exec_and_do_not_block(void **state)
{
    struct pair *p = *state;
    const int fds[] = {p->supervisor, p->worker};
    for (int i = 0; i < 2; i++) {
        assert_true(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
        assert_true(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
    }
}

static void
messages_arrive_in_order_and_whole(void **state)
{
    struct pair *p = *state;
    struct ipc_message m;
    assert_int_equal(ipc_receive(p->supervisor, &m, NULL), 0);
    assert_int_equal(ipc_send(p->worker, IPC_READY, 0, "jsonl 1.0", NULL), 0);
    assert_int_equal(ipc_send(p->worker, IPC_DRAINED, -7, NULL, NULL), 0);
    assert_int_equal(ipc_send(p->supervisor, IPC_DRAIN, INT64_MAX, "", NULL), 0);

    assert_int_equal(ipc_receive(p->supervisor, &m, NULL), 1);
    assert_int_equal(m.type, IPC_READY);
    assert_string_equal(m.text, "jsonl 1.0");
    assert_int_equal(ipc_receive(p->supervisor, &m, NULL), 1);
    assert_int_equal(m.type, IPC_DRAINED);
    assert_int_equal(m.number, -7);
    assert_string_equal(m.text, "");
    assert_int_equal(ipc_receive(p->supervisor, &m, NULL), 0);
    assert_int_equal(ipc_receive(p->worker, &m, NULL), 1);
    assert_int_equal(m.number, INT64_MAX);
}

static void
a_long_text_is_cut_to_fit(void **state)
{
    struct pair *p = *state;
    struct ipc_message m;
    char text[3 * IPC_TEXT_BYTES];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    assert_int_equal(ipc_send(p->worker, IPC_BAD_CONFIG, 0, text, NULL), 0);
    assert_int_equal(ipc_receive(p->supervisor, &m, NULL), 1);
    assert_int_equal(strlen(m.text), IPC_TEXT_BYTES - 1);
}

static void
the_last_messages_of_a_peer_that_is_gone_are_still_received(void **state)
{
    struct pair *p = *state;
    struct ipc_message m;
    struct err e;
    /* The unread message makes the kernel answer ECONNRESET once. */
    assert_int_equal(ipc_send(p->supervisor, IPC_LOG_LEVEL, 2, NULL, NULL), 0);
    assert_int_equal(ipc_send(p->worker, IPC_HEALTH, IPC_HEALTH_OK, NULL, NULL), 0);
    assert_int_equal(ipc_send(p->worker, IPC_DRAINED, 0, NULL, NULL), 0);
    close(p->worker);
    p->worker = -1;
    assert_int_equal(ipc_receive(p->supervisor, &m, &e), 1);
    assert_int_equal(m.type, IPC_HEALTH);
    assert_int_equal(ipc_receive(p->supervisor, &m, &e), 1);
    assert_int_equal(m.type, IPC_DRAINED);
    assert_int_equal(ipc_receive(p->supervisor, &m, &e), ERR_UNAVAILABLE);
    assert_int_equal(ipc_receive(p->supervisor, &m, &e), ERR_UNAVAILABLE);
    assert_int_equal(ipc_send(p->supervisor, IPC_DRAIN, 0, NULL, &e), ERR_UNAVAILABLE);
}

static void
a_peer_that_does_not_read_costs_the_message_not_the_sender(void **state)
{
    struct pair *p = *state;
    struct err e;
    int sent = 0, rc;
    while ((rc = ipc_send(p->supervisor, IPC_DUMP_STATE, sent, NULL, &e)) == 0 && sent < 100000)
        sent++;
    assert_int_equal(rc, ERR_LIMIT);
    struct ipc_message m;
    for (int i = 0; i < sent; i++) {
        assert_int_equal(ipc_receive(p->worker, &m, NULL), 1);
        assert_int_equal(m.number, i);
    }
    assert_int_equal(ipc_send(p->supervisor, IPC_DUMP_STATE, 0, NULL, NULL), 0);
}

static void
malformed_packets_are_refused_one_by_one(void **state)
{
    struct pair *p = *state;
    struct ipc_message m, got;
    struct err e;
    char large[sizeof m + 1] = {0};
    memset(&m, 0, sizeof m);
    m.type = IPC_READY;

    assert_int_equal(send(p->worker, &m, 0, 0), 0);
    assert_int_equal(send(p->worker, &m, 3, 0), 3);
    assert_int_equal(send(p->worker, &m, offsetof(struct ipc_message, text), 0), offsetof(struct ipc_message, text));
    assert_int_equal(send(p->worker, large, sizeof large, 0), sizeof large);
    memset(m.text, 'x', sizeof m.text);
    assert_int_equal(send(p->worker, &m, sizeof m, 0), sizeof m);
    memset(m.text, 0, sizeof m.text);
    m.type = 4711;
    assert_int_equal(send(p->worker, &m, sizeof m, 0), sizeof m);
    assert_int_equal(ipc_send(p->worker, IPC_READY, 5, "fine", NULL), 0);

    for (int i = 0; i < 6; i++) {
        assert_int_equal(ipc_receive(p->supervisor, &got, &e), ERR_PROTOCOL);
        assert_int_equal(e.code, ERR_PROTOCOL);
    }
    assert_int_equal(ipc_receive(p->supervisor, &got, &e), 1);
    assert_string_equal(got.text, "fine");
    assert_int_equal(ipc_receive(p->supervisor, &got, &e), 0);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, open_pair, close_pair)
    const struct CMUnitTest tests[] = {
        TEST(both_ends_are_closed_on_exec_and_do_not_block),
        TEST(messages_arrive_in_order_and_whole),
        TEST(a_long_text_is_cut_to_fit),
        TEST(the_last_messages_of_a_peer_that_is_gone_are_still_received),
        TEST(a_peer_that_does_not_read_costs_the_message_not_the_sender),
        TEST(malformed_packets_are_refused_one_by_one),
    };
    return cmocka_run_group_tests_name("channel", tests, NULL, NULL);
}
