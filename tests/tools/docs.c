/* docs: writes what documents the options and the metrics: conf/fanoutd.conf, and in the README what is between
 * <!-- options --> and <!-- /options -->, <!-- metrics --> and <!-- /metrics -->. Run by `make docs` in the repository;
 * tests/unit/test_conf_docs.c says when it is due. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/metrics_text.h"
#include "config/conf.h"

static int
read_all(const char *path, struct buf *out)
{
    FILE *f = fopen(path, "re");
    char chunk[4096];
    size_t n;
    if (!f)
        return -1;
    while ((n = fread(chunk, 1, sizeof chunk, f)) > 0)
        buf_add(out, chunk, n);
    int failed = ferror(f);
    return fclose(f) || failed || buf_failed(out) ? -1 : 0;
}

static int
write_all(const char *path, const struct buf *text)
{
    FILE *f = fopen(path, "we");
    if (!f)
        return -1;
    size_t n = fwrite(text->data, 1, text->len, f);
    return fclose(f) || n != text->len ? -1 : 0;
}

/* Replaces what is between the two lines. */
static int
write_table(const char *path, const char *opening_line, const char *closing_line, void (*print)(struct buf *out))
{
    struct buf old = BUF_INIT, new = BUF_INIT;
    int rc = read_all(path, &old);
    char *opening = rc == 0 && old.data ? strstr(old.data, opening_line) : NULL;
    char *closing = opening ? strstr(opening, closing_line) : NULL;
    if (!closing) {
        fprintf(stderr, "docs: %s has no lines %sand %s\n", path, opening_line, closing_line);
        rc = -1;
    } else {
        char *table = opening + strlen(opening_line);
        buf_add(&new, old.data, (size_t)(table - old.data));
        print(&new);
        buf_add_string(&new, closing);
        rc = buf_failed(&new) ? -1 : write_all(path, &new);
    }
    buf_clean_up(&old);
    buf_clean_up(&new);
    return rc;
}

int
main(int argc, char **argv)
{
    struct buf example = BUF_INIT;
    if (argc != 3) {
        fprintf(stderr, "usage: docs CONF README\n");
        return 2;
    }
    conf_print_example(&example);
    int rc = buf_failed(&example) ? -1 : write_all(argv[1], &example);
    if (rc)
        fprintf(stderr, "docs: cannot write %s\n", argv[1]);
    buf_clean_up(&example);
    rc |= write_table(argv[2], "<!-- options -->\n", "<!-- /options -->", conf_print_markdown);
    rc |= write_table(argv[2], "<!-- metrics -->\n", "<!-- /metrics -->", metrics_text_markdown);
    return rc ? 1 : 0;
}
