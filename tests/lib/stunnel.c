#include "lib/stunnel.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/tmp.h"

#define PROGRAM  "/usr/bin/stunnel4"
#define START_MS 20000

bool
stunnel_start(struct stunnel *t, const char *dir, int plain_port, const struct cert *leaf,
              const struct cert *intermediate)
{
    *t = (struct stunnel){.port = 0};
    if (access(PROGRAM, X_OK) != 0)
        return false;
    const char *chain = cert_write(dir, "chain.pem", leaf, intermediate, NULL);
    const char *key = cert_write_key(dir, "key.pem", leaf);
    const char *conf = tmp_write(dir, "stunnel.conf",
                                 "foreground = yes\npid =\nsyslog = no\ndebug = 6\n"
                                 "[local]\naccept = 127.0.0.1:0\nconnect = 127.0.0.1:%d\ncert = %s\nkey = %s\n",
                                 plain_port, chain, key);
    t->process = proc_spawn((const char *[]){PROGRAM, conf, NULL}, NULL);
    const char *line = proc_wait_line(t->process, "bound to 127.0.0.1:", START_MS);
    assert_non_null(line);
    t->port = atoi(strrchr(line, ':') + 1);
    assert_true(t->port > 0);
    return true;
}

void
stunnel_stop(struct stunnel *t)
{
    proc_signal(t->process, SIGTERM);
    proc_wait_exit(t->process, START_MS);
    proc_destroy(t->process);
    t->process = NULL;
}

size_t
stunnel_full(struct stunnel *t)
{
    return proc_count_lines(t->process, "new session negotiated");
}

size_t
stunnel_resumed(struct stunnel *t)
{
    return proc_count_lines(t->process, "previous session reused");
}
