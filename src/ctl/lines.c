#include "ctl/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE_BYTES 65536

int
lines_open(struct lines *l, const char *name, const char *default_bus, struct err *e)
{
    bool standard_input = strcmp(name, "-") == 0;
    *l = (struct lines){.fd = -1, .name = standard_input ? "standard input" : name, .default_bus = default_bus};
    buf_init(&l->unread);
    l->fd = standard_input ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0) : open(name, O_RDONLY | O_CLOEXEC);
    if (l->fd < 0)
        return err_set_errno(e, errno, "cannot open %s", l->name);
    off_t at = lseek(l->fd, 0, SEEK_CUR);
    l->start = at > 0 ? at : 0;
    return 0;
}

void
lines_close(struct lines *l)
{
    if (l->name && l->fd >= 0)
        close(l->fd);
    buf_clean_up(&l->unread);
    *l = (struct lines){.fd = -1};
}

/* ---- bytes ------------------------------------------------------------------------------------------------------- */

/* Waits for the writer when asked to; false: it has not said more. */
static bool
is_readable(const struct lines *l, bool wait)
{
    struct pollfd p = {.fd = l->fd, .events = POLLIN};
    int n;
    do
        n = poll(&p, 1, wait ? -1 : 0);
    while (n < 0 && errno == EINTR);
    return n != 0;
}

/* Adds a piece to what is unread, or notes the end. False: nothing was there to read. */
static bool
read_piece(struct lines *l)
{
    if (l->at > 0) {
        buf_consume(&l->unread, l->at);
        l->looked -= l->at;
        l->at = 0;
    }
    if (!buf_reserve(&l->unread, PIECE_BYTES)) {
        l->error = ENOMEM;
        l->ended = true;
        return true;
    }
    ssize_t n = read(l->fd, l->unread.data + l->unread.len, PIECE_BYTES);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return false;
    l->error = n < 0 ? errno : 0;
    l->ended = n <= 0;
    if (n > 0)
        l->unread.len += (size_t)n;
    l->unread.data[l->unread.len] = '\0';
    return true;
}

int
lines_keep(struct lines *l, struct err *e)
{
    struct stat st;
    if (fstat(l->fd, &st) == 0 && S_ISREG(st.st_mode))
        return 0;
    FILE *copy = tmpfile();
    if (!copy)
        return err_set_errno(e, errno, "cannot keep a copy of %s", l->name);
    bool written = true;
    while (written && !l->ended) {
        if (is_readable(l, true) && read_piece(l)) {
            written = fwrite(l->unread.data, 1, l->unread.len, copy) == l->unread.len;
            buf_reset(&l->unread);
        }
    }
    int rc = lines_check(l, e);
    int fd = -1;
    if (rc == 0 && (!written || fflush(copy) != 0 || (fd = fcntl(fileno(copy), F_DUPFD_CLOEXEC, 0)) < 0 ||
                    lseek(fd, 0, SEEK_SET) < 0))
        rc = err_set_errno(e, errno, "cannot keep a copy of %s", l->name);
    fclose(copy);
    if (fd >= 0) {
        close(l->fd);
        l->fd = fd;
        l->start = 0;
        l->ended = false;
    }
    return rc;
}

void
lines_rewind(struct lines *l)
{
    (void)lseek(l->fd, l->start, SEEK_SET);
    buf_reset(&l->unread);
    l->at = l->looked = l->number = l->bad = 0;
    l->ended = l->too_long = false;
    l->quiet = true;
}

/* ---- lines ------------------------------------------------------------------------------------------------------- */

/* The next line without its end, when all of it was read; it is valid until the next piece is. *ret_too_long: there is
 * one, which was dropped. */
static bool
take_line(struct lines *l, struct slice *ret_line, bool *ret_too_long)
{
    const char *data = l->unread.data;
    const char *end = l->looked < l->unread.len ? memchr(data + l->looked, '\n', l->unread.len - l->looked) : NULL;
    size_t n = end ? (size_t)(end - data) - l->at : l->unread.len - l->at;
    if (!end && l->ended && n == 0 && !l->too_long)
        return false;
    if (n > LINES_LINE_BYTES_MAX)
        l->too_long = true;
    if (!end && !l->ended) {
        if (l->too_long)
            l->at = l->unread.len;
        l->looked = l->unread.len;
        return false;
    }
    *ret_line = slice_of(data + l->at, n);
    *ret_too_long = l->too_long;
    l->at = l->looked = end ? (size_t)(end - data) + 1 : l->unread.len;
    l->too_long = false;
    l->number++;
    return true;
}

static struct slice
without(struct slice line, struct slice mark)
{
    return slice_starts_with(line, mark) ? slice_of(line.p + mark.n, line.n - mark.n) : line;
}

static bool
is_blank(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] != ' ' && s.p[i] != '\t' && s.p[i] != '\r')
            return false;
    return true;
}

/* What the scanner says of a text of one line, without the number of that line: the file's is in front of it. */
static const char *
without_line_1(const char *text)
{
    static const char LINE_1[] = "JSON, line 1, ";
    return strncmp(text, LINE_1, strlen(LINE_1)) == 0 ? text + strlen(LINE_1) : text;
}

void
lines_name_bad(struct lines *l, const char *reason)
{
    l->bad++;
    if (!l->quiet)
        fprintf(stderr, "%s:%zu: %s\n", l->name, l->number, without_line_1(reason));
}

static enum lines_outcome
next_text(struct lines *l, bool wait, struct slice *ret_text)
{
    for (;;) {
        struct slice line;
        bool too_long;
        while (!l->error && take_line(l, &line, &too_long)) {
            if (l->number == 1)
                line = without(line, SLICE("\xef\xbb\xbf"));
            if (too_long) {
                lines_name_bad(l, "the line is longer than 8 MiB, which is more than any event needs");
            } else if (!is_blank(line)) {
                *ret_text = line;
                return LINES_ENTRY;
            }
        }
        if (l->ended)
            return LINES_END;
        if (!(is_readable(l, wait) && read_piece(l)) && !wait)
            return LINES_WAIT;
    }
}

enum lines_outcome
lines_try_text(struct lines *l, struct slice *ret_text)
{
    return next_text(l, false, ret_text);
}

void
lines_wait(const struct lines *l)
{
    is_readable(l, true);
}

static enum lines_outcome
next(struct lines *l, bool wait, struct entry **ret_entry)
{
    enum lines_outcome got;
    struct slice line;
    struct err e = {0};
    while ((got = next_text(l, wait, &line)) == LINES_ENTRY) {
        if (entry_parse(line, l->number, l->default_bus, ret_entry, &e) == 0)
            return LINES_ENTRY;
        lines_name_bad(l, e.text);
    }
    return got;
}

enum lines_outcome
lines_try(struct lines *l, struct entry **ret_entry)
{
    return next(l, false, ret_entry);
}

struct entry *
lines_next(struct lines *l)
{
    struct entry *entry = NULL;
    return next(l, true, &entry) == LINES_ENTRY ? entry : NULL;
}

int
lines_check(const struct lines *l, struct err *e)
{
    return l->error == 0 ? 0 : err_set_errno(e, l->error, "cannot read %s", l->name);
}
