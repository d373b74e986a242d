/* view: the demo's progress, in place on a terminal that has room for it, plain lines elsewhere. */
#ifndef FANOUT_CTL_VIEW_H
#define FANOUT_CTL_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct view_numbers {
    size_t total; /* events to be published */
    size_t published, captured, handled;
    uint64_t delivered, retried, deleted;
    double elapsed_s;
};

struct view {
    bool terminal;        /* stdout is one that can draw in place */
    int lines;            /* drawn, to be drawn over */
    int64_t next_line_ms; /* plain output: when the next line is due */
};

void view_init(struct view *v);

/* Shows the numbers; plain output appears every two seconds, or when last is set. */
void view_show(struct view *v, const struct view_numbers *n, int64_t now_ms, bool last);

/* Makes room for a message on stderr: what is drawn is taken away, and drawn again below it by the next view_show. */
void view_make_room(struct view *v);

#endif
