#include "lib/log_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/log.h"

static char folder[64];

char *
log_file_path(const char *name)
{
    static char paths[4][128];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

int
log_file_make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/fanout-log-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

int
log_file_remove_folder(void **state)
{
    (void)state;
    static const char *const names[] = {"log", "log.1", "fifo"};
    log_close(0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlink(log_file_path(names[i]));
    return rmdir(folder);
}

void
log_file_open(const char *file, bool asynchronous)
{
    struct err e = {0};
    struct log_options options = {.program = "test", .file = file, .level = LOG_INFO, .asynchronous = asynchronous};
    if (log_open(&options, &e) < 0)
        fail_msg("%s", e.text);
}

char *
log_file_text(const char *path)
{
    struct buf b = BUF_INIT;
    char piece[4096];
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    for (size_t n; (n = fread(piece, 1, sizeof piece, f)) > 0;)
        buf_add(&b, piece, n);
    fclose(f);
    return buf_take(&b);
}

int
log_file_count(const char *text, const char *what)
{
    int count = 0;
    for (; (text = strstr(text, what)); text += strlen(what))
        count++;
    return count;
}

uint64_t
log_file_announced(const char *text)
{
    static const char notice[] = "msg=\"log lines dropped\" count=";
    uint64_t sum = 0;
    for (; (text = strstr(text, notice)); text += sizeof notice - 1)
        sum += strtoull(text + sizeof notice - 1, NULL, 10);
    return sum;
}
