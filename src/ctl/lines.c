#include "ctl/lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int
lines_open(struct lines *l, const char *name, const char *default_bus, struct err *e)
{
    bool standard_input = strcmp(name, "-") == 0;
    *l = (struct lines){.name = standard_input ? "standard input" : name, .default_bus = default_bus};
    buf_init_limited(&l->text, LINES_LINE_BYTES_MAX);
    l->file = standard_input ? stdin : fopen(name, "re");
    return l->file ? 0 : err_set_errno(e, errno, "cannot open %s", name);
}

void
lines_close(struct lines *l)
{
    if (l->file && l->file != stdin)
        fclose(l->file);
    buf_clean_up(&l->text);
    *l = (struct lines){0};
}

int
lines_keep(struct lines *l, struct err *e)
{
    struct stat st;
    if (fstat(fileno(l->file), &st) == 0 && S_ISREG(st.st_mode))
        return 0;
    FILE *copy = tmpfile();
    if (!copy)
        return err_set_errno(e, errno, "cannot keep a copy of %s", l->name);
    char piece[65536];
    size_t n;
    while ((n = fread(piece, 1, sizeof piece, l->file)) > 0 && fwrite(piece, 1, n, copy) == n)
        ;
    if (ferror(l->file) || ferror(copy) || fflush(copy) != 0) {
        int rc = err_set_errno(e, errno, "cannot %s %s", ferror(l->file) ? "read" : "keep a copy of", l->name);
        fclose(copy);
        return rc;
    }
    if (l->file != stdin)
        fclose(l->file);
    l->file = copy;
    rewind(copy);
    return 0;
}

void
lines_rewind(struct lines *l)
{
    rewind(l->file);
    l->number = 0;
    l->bad = 0;
    l->quiet = true;
}

static void
name_bad(struct lines *l, const char *reason)
{
    l->bad++;
    if (!l->quiet)
        fprintf(stderr, "%s:%zu: %s\n", l->name, l->number, reason);
}

/* Reads a line without its end. False at the end of the file; a line that is too long leaves l->text failed. */
static bool
read_line(struct lines *l)
{
    int c;
    size_t n = 0;
    buf_reset(&l->text);
    while ((c = getc_unlocked(l->file)) != EOF && c != '\n') {
        buf_add_char(&l->text, (char)c);
        n++;
    }
    if (c == EOF && ferror(l->file))
        l->error = errno;
    if (c == EOF && (n == 0 || l->error))
        return false;
    l->number++;
    if (!buf_failed(&l->text) && l->text.len > 0 && l->text.data[l->text.len - 1] == '\r')
        buf_truncate(&l->text, l->text.len - 1);
    return true;
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

struct entry *
lines_next(struct lines *l)
{
    while (read_line(l)) {
        struct entry *entry;
        struct err e = {0};
        if (buf_failed(&l->text))
            name_bad(l, "the line is longer than 8 MiB, which is more than any entry needs");
        else if (is_blank(buf_slice(&l->text)))
            continue;
        else if (entry_parse(buf_slice(&l->text), l->number, l->default_bus, &entry, &e) == 0)
            return entry;
        else
            name_bad(l, without_line_1(e.text));
    }
    return NULL;
}

int
lines_check(const struct lines *l, struct err *e)
{
    return l->error == 0 ? 0 : err_set_errno(e, l->error, "cannot read %s", l->name);
}
