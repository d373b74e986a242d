#include "lib/moto.h"

#include <stdio.h>
#include <string.h>

#include "lib/aws_call.h"

#define PROGRAM  "tests/bench/peers/moto" /* from the repository's root, where make runs benches */
#define FOLDER   "build/peers/moto"
#define START_MS 330000 /* it may have to be installed */

static bool
make_queue(const struct moto *m, const char *queue)
{
    struct aws_call c;
    aws_call_init(&c, m->url);
    int status = aws_call_sqs(&c, "CreateQueue", "{\"QueueName\": \"%s\"}", queue);
    if (status != 200)
        fprintf(stderr, "moto: CreateQueue was answered %d %s %s\n", status, c.error, c.message);
    aws_call_clean_up(&c);
    return status == 200;
}

static bool
start(struct moto *m, const char *mode)
{
    *m = (struct moto){.process = proc_spawn((const char *[]){PROGRAM, FOLDER, mode, NULL}, NULL)};
    const char *line = proc_wait_line(m->process, "Running on http://", START_MS);
    if (line) {
        line = strstr(line, "http://");
        snprintf(m->url, sizeof m->url, "%.*s", (int)strcspn(line, " \r\n\033"), line);
    }
    return line != NULL;
}

bool
moto_start(struct moto *m, const char *queue)
{
    if (start(m, NULL) && make_queue(m, queue))
        return true;
    moto_stop(m);
    return false;
}

bool
moto_start_one_by_one(struct moto *m)
{
    if (start(m, "one-by-one"))
        return true;
    moto_stop(m);
    return false;
}

void
moto_stop(struct moto *m)
{
    proc_destroy(m->process);
    m->process = NULL;
}
