/* pattern_gen_parts: what pattern_gen's files share. */
#ifndef FANOUT_TESTS_LIB_PATTERN_GEN_PARTS_H
#define FANOUT_TESTS_LIB_PATTERN_GEN_PARTS_H

#include "lib/pattern_gen.h"
#include "lib/seeds.h"

/* Lists that end with NULL. */
extern const char *const pattern_gen_names[], *const pattern_gen_strings[], *const pattern_gen_numbers[],
                                                                                *const pattern_gen_odd_numbers[],
                                                                                    *const pattern_gen_words[],
                                                                                        *const pattern_gen_refused[];

static inline size_t
pattern_gen_draw(struct pattern_gen *g, size_t below)
{
    return (size_t)seeds_draw(&g->random, below);
}

static inline bool
pattern_gen_chance(struct pattern_gen *g, unsigned percent)
{
    return pattern_gen_draw(g, 100) < percent;
}

const char *pattern_gen_one_of(struct pattern_gen *g, const char *const *list);

/* White space, rarely. */
void pattern_gen_space(struct pattern_gen *g, struct buf *out);

/* As a JSON string, in any of the ways to write it. What is no UTF-8 becomes halves of surrogate pairs. */
void pattern_gen_string(struct pattern_gen *g, struct buf *out, const char *text, size_t n);

void pattern_gen_draw_scalar(struct pattern_gen *g, struct pattern_gen_leaf *leaf);
void pattern_gen_scalar(struct pattern_gen *g, struct buf *out, const struct pattern_gen_leaf *leaf);

/* One entry of a field, to accept the hint (NULL: none) mostly. */
void pattern_gen_entry(struct pattern_gen *g, struct buf *out, const struct pattern_gen_leaf *hint);

#endif
