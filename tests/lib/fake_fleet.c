#include "lib/fake_fleet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "lib/tmp.h"

static const char *tree;    /* bin/fanoutd and libexec/fanoutd/fanout-worker, for all tests */
static const char *program; /* its fanoutd */

/* ---- set up ---- */

void
fake_fleet_copy_program(const char *from, const char *to)
{
    size_t n;
    char *bytes = tmp_read(from, &n);
    FILE *f = fopen(to, "we");
    if (!bytes || !f || fwrite(bytes, 1, n, f) != n || fclose(f) != 0 || chmod(to, 0755) != 0) {
        fprintf(stderr, "cannot copy %s to %s: %s\n", from, to, strerror(errno));
        abort();
    }
    free(bytes);
}

int
fake_fleet_build(void **state)
{
    (void)state;
    tree = tmp_new();
    mkdir(tmp_path(tree, "bin"), 0755);
    mkdir(tmp_path(tree, "libexec"), 0755);
    mkdir(tmp_path(tree, "libexec/fanoutd"), 0755);
    program = tmp_path(tree, "bin/fanoutd");
    fake_fleet_copy_program(proc_path("bin/fanoutd"), program);
    fake_fleet_copy_program("/proc/self/exe", tmp_path(tree, "libexec/fanoutd/fanout-worker"));
    return 0;
}

const char *
fake_fleet_program(void)
{
    return program;
}

int
fake_fleet_set_up(void **state)
{
    struct fake_fleet *w = calloc(1, sizeof *w);
    w->dir = tmp_new();
    *state = w;
    return 0;
}

int
fake_fleet_tear_down(void **state)
{
    struct fake_fleet *w = *state;
    proc_destroy(w->p);
    tmp_remove(w->dir);
    free(w);
    return 0;
}

void
fake_fleet_configure(struct fake_fleet *w, const char *top, const char *const modes[])
{
    struct buf text = BUF_INIT;
    buf_add_format(&text, "admin = { listen = \"127.0.0.1:0\"; };\n%s\nconsumers = (", top);
    for (size_t i = 0; modes[i]; i++) {
        int processes = 1, n = (int)strcspn(modes[i], " ");
        if (modes[i][n])
            processes = atoi(modes[i] + n);
        buf_add_format(&text,
                       "%s\n  { name = \"c%zu\"; queue = \"q\"; plugin = \"fake\"; processes = %d; threads = 3;\n"
                       "    prefetch = 1; batch = { size = 10; }; options = { mode = \"%.*s\"; }; }",
                       i ? "," : "", i, processes, n, modes[i]);
    }
    buf_add_string(&text, " );\n");
    w->conf = tmp_write(w->dir, "fanoutd.conf", "%s", text.data);
    buf_clean_up(&text);
}

void
fake_fleet_use_test_clock(struct fake_fleet *w)
{
    const char *path = tmp_path(w->dir, "clock");
    assert_int_equal(clock_page_create(path, &w->clock, NULL), 0);
    snprintf(w->clock_env, sizeof w->clock_env, "FANOUT_TEST_CLOCK=%s", path);
}

void
fake_fleet_start(struct fake_fleet *w)
{
    w->p = proc_spawn((const char *[]){program, "-c", w->conf, NULL},
                      (const char *[]){w->clock ? w->clock_env : "FANOUT_TEST_CLOCK", NULL});
}

void
fake_fleet_advance(struct fake_fleet *w, int64_t ms)
{
    atomic_fetch_add(&w->clock->offset_ms, ms);
}

void
fake_fleet_expect_end(struct fake_fleet *w, int code)
{
    assert_int_equal(proc_wait_exit(w->p, FAKE_SOON_MS), code);
}

struct count {
    struct proc *p;
    const char *line;
    size_t n;
};

static bool
has_counted(void *context)
{
    const struct count *c = context;
    return proc_count_lines(c->p, c->line) >= c->n;
}

void
fake_fleet_expect_count(struct fake_fleet *w, const char *line, size_t n)
{
    struct count c = {w->p, line, n};
    if (!proc_wait_until(has_counted, &c, FAKE_SOON_MS))
        fail_msg("not %zu times '%s' in\n%s", n, line, proc_stderr(w->p));
}

void
fake_fleet_expect(struct fake_fleet *w, const char *line)
{
    fake_fleet_expect_count(w, line, 1);
}

void
fake_fleet_run(struct fake_fleet *w, const char *top, const char *const modes[])
{
    fake_fleet_configure(w, top, modes);
    fake_fleet_start(w);
    fake_fleet_expect(w, "msg=ready");
}

int
fake_fleet_request(struct fake_fleet *w, const char *method, const char *path, char **ret_text)
{
    static char text[200000];
    int port = -1, status = 0;
    const char *at = strstr(proc_stderr(w->p), "admin=http://127.0.0.1:");
    if (at)
        port = atoi(at + strlen("admin=http://127.0.0.1:"));
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0) {
        size_t n =
            (size_t)snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", method, path);
        if (send(fd, text, n, MSG_NOSIGNAL) == (ssize_t)n) {
            ssize_t got;
            n = 0;
            while ((got = recv(fd, text + n, sizeof text - 1 - n, 0)) > 0)
                n += (size_t)got;
            text[n] = '\0';
            status = strncmp(text, "HTTP/1.1 ", 9) == 0 ? atoi(text + 9) : 0;
        }
    }
    close(fd);
    if (ret_text)
        *ret_text = text;
    return status;
}

pid_t
fake_fleet_worker(struct fake_fleet *w)
{
    const char *line = strstr(proc_stderr(w->p), "fake 0: pid ");
    return line ? (pid_t)strtol(line + strlen("fake 0: pid "), NULL, 10) : -1;
}
