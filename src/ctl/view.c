#include "ctl/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BAR_CELLS         36
#define COLUMNS_MIN       62 /* of a line with a bar */
#define ROWS_MIN          7  /* for what is drawn and the cursor below it */
#define PLAIN_INTERVAL_MS 2000

void
view_init(struct view *v)
{
    const char *kind = getenv("TERM");
    *v = (struct view){.terminal = isatty(STDOUT_FILENO) == 1 && kind && *kind && strcmp(kind, "dumb") != 0};
}

/* The window may have any size, and another one each time; 0 is one that is not known. */
static bool
has_room(void)
{
    struct winsize size;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 ||
           ((size.ws_col == 0 || size.ws_col >= COLUMNS_MIN) && (size.ws_row == 0 || size.ws_row >= ROWS_MIN));
}

static void
draw_bar(const char *label, uint64_t value, size_t total)
{
    size_t filled = total == 0 ? 0 : (size_t)(value < total ? value : total) * BAR_CELLS / total;
    char bar[BAR_CELLS + 1];
    memset(bar, '.', BAR_CELLS);
    memset(bar, '#', filled);
    bar[BAR_CELLS] = '\0';
    printf("\033[2K  %-10s [%s] %8llu\n", label, bar, (unsigned long long)value);
}

static void
draw(struct view *v, const struct view_numbers *n)
{
    if (v->lines > 0)
        printf("\033[%dA", v->lines);
    draw_bar("published", n->published, n->total);
    draw_bar("captured", n->captured, n->total);
    draw_bar("delivered", n->delivered, n->total);
    draw_bar("handled", n->handled, n->total);
    draw_bar("deleted", n->deleted, n->total);
    printf("\033[2K  %-10s %llu   %.0f s of at most 60\n", "retried", (unsigned long long)n->retried, n->elapsed_s);
    v->lines = 6;
}

void
view_show(struct view *v, const struct view_numbers *n, int64_t now_ms, bool last)
{
    if (v->terminal && has_room()) {
        draw(v, n);
        v->next_line_ms = 0;
    } else if (last || now_ms >= v->next_line_ms) {
        printf("%3.0f s  published %zu of %zu  captured %zu  delivered %llu  handled %zu  retried %llu  deleted %llu\n",
               n->elapsed_s, n->published, n->total, n->captured, (unsigned long long)n->delivered, n->handled,
               (unsigned long long)n->retried, (unsigned long long)n->deleted);
        v->next_line_ms = now_ms + PLAIN_INTERVAL_MS;
        v->lines = 0;
    }
    fflush(stdout);
}

void
view_make_room(struct view *v)
{
    if (v->lines > 0)
        printf("\033[%dA\033[J", v->lines);
    v->lines = 0;
    fflush(stdout);
}
