#include "local/store_wal.h"

#include <endian.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define HEADER_BYTES 32
#define FRAME_BYTES  24 /* in front of each page */
#define MAGIC        0x377f0682u
#define MAX_PAGE     65536

struct sums {
    uint32_t a, b;
};

struct wal {
    FILE *f;
    bool big_endian; /* the checksums' words */
    size_t page_bytes;
    uint32_t salt[2];
    struct sums sums; /* up to the last frame that was right */
    unsigned char *frame;
};

static uint32_t
word(const unsigned char *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return be32toh(v);
}

static struct sums
add(const struct wal *w, struct sums s, const unsigned char *p, size_t n)
{
    for (size_t i = 0; i + 8 <= n; i += 8) {
        uint32_t x[2];
        memcpy(x, p + i, sizeof x);
        s.a += (w->big_endian ? be32toh(x[0]) : le32toh(x[0])) + s.b;
        s.b += (w->big_endian ? be32toh(x[1]) : le32toh(x[1])) + s.a;
    }
    return s;
}

static bool
is_zero(const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i])
            return false;
    return true;
}

enum header { HEADER_NONE, HEADER_RIGHT, HEADER_WRONG };

static enum header
read_header(struct wal *w)
{
    unsigned char h[HEADER_BYTES];
    if (fread(h, 1, sizeof h, w->f) != sizeof h || is_zero(h, sizeof h))
        return HEADER_NONE;
    w->big_endian = (word(h) & 1) != 0;
    w->page_bytes = word(h + 8);
    w->salt[0] = word(h + 16);
    w->salt[1] = word(h + 20);
    w->sums = add(w, (struct sums){0}, h, 24);
    bool right = (word(h) & ~1u) == MAGIC && w->sums.a == word(h + 24) && w->sums.b == word(h + 28) &&
                 w->page_bytes >= 512 && w->page_bytes <= MAX_PAGE && (w->page_bytes & (w->page_bytes - 1)) == 0;
    return right ? HEADER_RIGHT : HEADER_WRONG;
}

static bool
read_frame(struct wal *w)
{
    return fread(w->frame, 1, FRAME_BYTES + w->page_bytes, w->f) == FRAME_BYTES + w->page_bytes;
}

/* Was it written since the log was begun last? Behind it there may be frames of before. */
static bool
is_of_this_log(const struct wal *w)
{
    return word(w->frame) != 0 && word(w->frame + 8) == w->salt[0] && word(w->frame + 12) == w->salt[1];
}

static bool
ends_transaction(const struct wal *w)
{
    return word(w->frame + 4) != 0;
}

/* Takes the frame's checksum to the others; false: it is wrong. */
static bool
is_right(struct wal *w)
{
    struct sums s = add(w, add(w, w->sums, w->frame, 8), w->frame + FRAME_BYTES, w->page_bytes);
    if (!is_of_this_log(w) || s.a != word(w->frame + 16) || s.b != word(w->frame + 20))
        return false;
    w->sums = s;
    return true;
}

enum finding { WHOLE, TORN, DAMAGED };

static enum finding
look_through(struct wal *w)
{
    bool wrong = false, ended = false;
    while (read_frame(w)) {
        if (!wrong && is_right(w))
            continue;
        if (is_of_this_log(w) && ended)
            return DAMAGED;
        ended |= is_of_this_log(w) && ends_transaction(w);
        wrong = true;
    }
    return ended ? TORN : WHOLE;
}

static enum finding
look_at(struct wal *w)
{
    enum finding finding = WHOLE;
    enum header header = read_header(w);
    if (header == HEADER_WRONG)
        return DAMAGED;
    w->frame = header == HEADER_RIGHT ? malloc(FRAME_BYTES + w->page_bytes) : NULL;
    if (w->frame)
        finding = look_through(w);
    free(w->frame);
    return finding;
}

static int
refuse(const char *log, const char *what, bool salvage, struct err *e)
{
    if (!salvage)
        return err_set(e, ERR_CORRUPT,
                       "%s is %s, and what was answered last was in it: put it back as it was, or put a copy in the "
                       "database's place (fanout-local backup makes them) and remove this file; --salvage goes on "
                       "without what is lost",
                       log, what);
    log_write(LOG_WARN, "the write-ahead log is not whole; what it held last is lost", LOG_STR("file", log),
              LOG_STR("it_is", what));
    return 0;
}

int
store_wal_check(const char *path, bool was_open, bool salvage, struct err *e)
{
    char *log;
    int code = 0;
    if (asprintf(&log, "%s-wal", path) < 0)
        return err_no_memory(e);
    struct wal w = {.f = fopen(log, "re")};
    if (w.f) {
        enum finding finding = look_at(&w);
        fclose(w.f);
        if (finding == DAMAGED)
            code = refuse(log, "damaged", salvage, e);
        else if (finding == TORN)
            log_write(LOG_WARN,
                      "the end of the write-ahead log is not whole: taken for a commit that power was lost in",
                      LOG_STR("file", log));
    } else if (errno == ENOENT && was_open) {
        code = refuse(log, "gone, though the database was not closed", salvage, e);
    }
    free(log);
    return code;
}
