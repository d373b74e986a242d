/* naive_parse: what naive_pattern makes of a pattern's text; shared by naive_parse.c, naive_entry.c and naive_pattern.c
 * alone. */
#ifndef FANOUT_TESTS_LIB_NAIVE_PARSE_H
#define FANOUT_TESTS_LIB_NAIVE_PARSE_H

#include "base/arena.h"
#include "lib/naive_pattern.h"
#include "lib/naive_values.h"

enum naive_kind {
    KIND_STRING,
    KIND_NUMBER, /* as a double or, when it cannot be compared as one, as text */
    KIND_WORD,   /* true, false, null */
    KIND_PREFIX,
    KIND_SUFFIX,
    KIND_FOLDED,
    KIND_FOLDED_PREFIX,
    KIND_FOLDED_SUFFIX,
    KIND_WILDCARD,
    KIND_RANGE,
    KIND_NET,
    KIND_PRESENT,
    KIND_ABSENT,
    KIND_NONE_OF, /* anything-but: none of `inner` */
};

struct naive_entry {
    enum naive_kind kind;
    struct slice text;
    bool comparable;
    double number;
    bool has_low, has_high, low_open, high_open;
    double low, high;
    struct naive_ip net;
    unsigned bits;
    struct naive_entry *inner;
    size_t n_inner;
};

struct naive_field {
    struct slice path;
    struct naive_entry *entries;
    size_t n_entries;
};

struct naive_rule {
    struct naive_field *fields;
    size_t n;
};

struct naive_rules {
    struct naive_rule *list;
    size_t n;
};

struct naive_pattern {
    struct arena arena;
    struct naive_rules rules;
};

/* A pattern being read. */
struct naive_parser {
    struct arena *arena;
    bool knows_or; /* false: $or is a name like any other */
    bool final;    /* what was said holds, $or or not */
    bool unsure;
    char *why;
    size_t size;
};

/* Everything that is made is in the arena. */
enum naive_answer naive_parse(struct arena *arena, struct json pattern, struct naive_rules *ret_rules, char *why,
                              size_t size);

/* Both end the program when there is no memory. */
void *naive_more(struct arena *arena, const void *list, size_t n, size_t size);
struct slice naive_join(struct arena *arena, struct slice path, struct slice name, bool first);

/* What the string means. Half of a surrogate pair is the byte 0xff, which is nowhere else, and *ret_lone. */
struct slice naive_decode(struct arena *arena, struct json string, bool *ret_lone);

/* Says why the pattern is invalid. False. */
bool naive_refuse(struct naive_parser *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

bool naive_parse_entry(struct naive_parser *p, struct json v, struct naive_entry *e);

static inline struct slice
naive_string(struct naive_parser *p, struct json string)
{
    return naive_decode(p->arena, string, &p->unsure);
}

#endif
