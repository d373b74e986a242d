#include "lib/tmp.h"

#include <errno.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Every string handed out; folders are removed at the end. */
struct kept {
    struct kept *next;
    int is_folder;
    char text[];
};
static struct kept *all;
static pid_t owner; /* a forked child's exit() must not remove the folders */

static void
give_up(const char *what, const char *path)
{
    fprintf(stderr, "%s %s: %s\n", what, path, strerror(errno));
    abort();
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void
remove_tree(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static void
remove_all(void)
{
    while (all) {
        struct kept *k = all;
        all = k->next;
        if (k->is_folder && owner == getpid())
            remove_tree(k->text);
        free(k);
    }
}

static struct kept *
keep(int is_folder, const char *a, const char *b)
{
    size_t n = strlen(a) + strlen(b) + 2;
    struct kept *k = malloc(sizeof *k + n);
    if (!k)
        give_up("remember", a);
    if (owner == 0) {
        owner = getpid();
        atexit(remove_all);
    }
    snprintf(k->text, n, "%s/%s", a, b);
    k->is_folder = is_folder;
    k->next = all;
    all = k;
    return k;
}

const char *
tmp_new(void)
{
    const char *base = getenv("TMPDIR");
    struct kept *k = keep(1, base && *base ? base : "/tmp", "fanout-test-XXXXXX");
    if (!mkdtemp(k->text))
        give_up("mkdtemp", k->text);
    return k->text;
}

void
tmp_remove(const char *dir)
{
    remove_tree(dir);
}

const char *
tmp_path(const char *dir, const char *name)
{
    return keep(0, dir, name)->text;
}

const char *
tmp_write(const char *dir, const char *name, const char *format, ...)
{
    const char *path = tmp_path(dir, name);
    FILE *f = fopen(path, "we");
    if (!f)
        give_up("write", path);
    va_list ap;
    va_start(ap, format);
    int n = vfprintf(f, format, ap);
    va_end(ap);
    if (fclose(f) != 0 || n < 0)
        give_up("write", path);
    return path;
}

char *
tmp_read(const char *path, size_t *ret_bytes)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return NULL;
    size_t n = 0, capacity = 0;
    char *text = NULL;
    while (n == capacity) {
        capacity = capacity ? capacity * 2 : 4096;
        char *larger = realloc(text, capacity + 1);
        if (!larger)
            give_up("read", path);
        text = larger;
        n += fread(text + n, 1, capacity - n, f);
    }
    if (ferror(f))
        give_up("read", path);
    fclose(f);
    text[n] = '\0';
    if (ret_bytes)
        *ret_bytes = n;
    return text;
}
