/* pattern_rule: a pattern as it was understood, for the files of event/ alone. pattern_parse.c makes it out of text;
 * the ruleset files compile many of them into one set, pattern_explain.c tells why an event does not match one.
 *
 * $or and nothing else makes alternatives: a pattern is a list of rules, each a conjunction of fields, and it matches
 * when one of its rules does. */
#ifndef FANOUT_EVENT_PATTERN_RULE_H
#define FANOUT_EVENT_PATTERN_RULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/slice.h"

/* AWS documents no bounds here; these are ours, so that nothing a pattern can say makes matching slow. */
#define PATTERN_MAX_RULES       1000 /* alternatives that $or makes */
#define PATTERN_MAX_RULE_FIELDS 4096 /* fields of all alternatives together */

/* Wildcards of one field: how many beginnings of them may match the same text. AWS accepts 9 and refuses 11. */
#define PATTERN_MAX_COMPLEXITY 10

/* What a scalar can be tested for. Strings come first, then what has a range of keys, then the rest. */
enum pattern_kind {
    PATTERN_EQUALS,
    PATTERN_PREFIX,
    PATTERN_SUFFIX,
    PATTERN_EQUALS_FOLDED, /* the text is ASCII in lower case, and so is what it is compared with */
    PATTERN_PREFIX_FOLDED,
    PATTERN_SUFFIX_FOLDED,
    PATTERN_EQUALS_ANY_CASE, /* the text holds other letters: pattern_case.c compares */
    PATTERN_PREFIX_ANY_CASE,
    PATTERN_SUFFIX_ANY_CASE,
    PATTERN_WILDCARD,
    PATTERN_NUMBER_TEXT, /* a number that is no double, by its text */
    PATTERN_NUMBER,      /* low to high, both included: keys of pattern_number.c */
    PATTERN_IPV4,        /* low to high: 32 bits */
    PATTERN_IPV6,        /* low to high: 128 bits */
    PATTERN_TRUE,
    PATTERN_FALSE,
    PATTERN_NULL,
    PATTERN_EXISTS,
    PATTERN_N_KINDS
};

typedef unsigned __int128 pattern_key; /* wide enough for an IPv6 address */

struct pattern_test {
    enum pattern_kind kind;
    struct slice text; /* as meant; of a wildcard as written, with its stars and backslashes */
    pattern_key low, high;
};

/* One entry of a field's array: a test, or (but) none of several, or (absent) that there is no such field. */
struct pattern_entry {
    struct pattern_test *tests;
    size_t n_tests;
    bool but, absent;
};

struct pattern_field {
    struct slice path;    /* names joined by dots, as meant */
    struct slice written; /* the array, as it was written */
    struct pattern_entry *entries;
    size_t n_entries;
    bool absent;  /* one of the entries is {"exists": false} */
    bool weighed; /* pattern_complexity.c has seen it */
};

struct pattern_rule {
    struct pattern_field **fields; /* by pattern_compare_paths, no path twice */
    size_t n_fields, room;
};

struct pattern {
    struct arena arena; /* everything, this struct excepted */
    struct pattern_rule *rules;
    size_t n_rules;
};

/* pattern_parse.c. As event_pattern_compile. */
int pattern_parse(struct slice text, struct pattern **ret_pattern, struct err *e);
void pattern_destroy(struct pattern *p); /* NULL is allowed */

/* The order in which AWS looks at the fields of a rule, which decides whether a missing field is missed in one element
 * of an array or in all: that of Java's strings, by UTF-16 units. */
int pattern_compare_paths(struct slice a, struct slice b);

/* ---- what the parser's files share ---- */

struct pattern_parser {
    struct slice text;
    struct pattern *pattern;
    bool with_or;  /* "$or" is the operator */
    bool is_final; /* the fault is none that a reading of $or as a name could mend */
    struct err *e;
};

/* Refuses the pattern because of what stands at `at`. */
int pattern_refuse(const struct pattern_parser *c, const char *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
#define pattern_refuse(...) err_negative(pattern_refuse(__VA_ARGS__))

/* The meaning of a string of the pattern, in its arena. */
int pattern_decode(const struct pattern_parser *c, struct json string, struct slice *ret_text);

/* How much of a text a message shows, at the most 100 bytes: whole characters. */
int pattern_shown_bytes(struct slice text);

/* A string of the pattern for a message: as it was written, and not too long. */
#define PATTERN_ARG(string) pattern_shown_bytes(json_raw(string)), (string).text.p + 1

/* pattern_entry.c: an entry of a field's array. */
int pattern_parse_entry(struct pattern_parser *c, struct json entry, struct pattern_entry *ret_entry);

#define PATTERN_TOO_MANY "Too many elements in numeric expression"

static inline bool
pattern_is(struct json string, const char *name)
{
    return json_equals_string(string, slice_of_string(name));
}

/* pattern_numeric.c: a number that can be compared; the array of {"numeric": [...]}. */
int pattern_parse_number(const struct pattern_parser *c, struct json value, uint64_t *ret_key);
int pattern_parse_numeric(const struct pattern_parser *c, struct json array, struct pattern_test *ret_test);

static inline struct pattern_test
pattern_number_from(uint64_t low, uint64_t high)
{
    return (struct pattern_test){.kind = PATTERN_NUMBER, .low = low, .high = high};
}

/* pattern_number.c. Numbers are compared as doubles, by keys that sort as they do. AWS (its Java library: a BigDecimal
 * that must survive becoming a double) has no key for a number that is no double to the last of its digits, such as
 * 1e400 or 9007199254740993: that one equals its own text alone. */
bool pattern_number_key(struct slice number, uint64_t *ret_key);

/* pattern_cidr.c. An address as Java reads one: IPv4 in four decimal parts, IPv6 in hexadecimal ones; an IPv4 address
 * mapped into IPv6 is that IPv4 address. PATTERN_IPV4, PATTERN_IPV6, or PATTERN_N_KINDS: neither. */
enum pattern_kind pattern_address(struct slice text, pattern_key *ret_address);

/* What is wrong with it (to be followed by the address when ret_names_address), or NULL. */
const char *pattern_parse_cidr(struct slice text, struct pattern_test *ret_test, struct slice *ret_names_address);

/* pattern_wildcard.c. What is wrong with the text and at which byte, counted as AWS does; or NULL. */
const char *pattern_check_wildcard(struct slice text, size_t *ret_at);

/* A wildcard's literal pieces between its stars, unescaped into out (room for text.n bytes); returns how many there
 * are: one more than stars. Of a pattern that was compiled those are few: a text that the whole wildcard matches is
 * matched by its beginning up to each star. */
#define PATTERN_MAX_PIECES (PATTERN_MAX_COMPLEXITY + 1)
size_t pattern_split_wildcard(struct slice text, char *out, struct slice *pieces);
bool pattern_wildcard_matches(const struct slice *pieces, size_t n, struct slice text);

/* pattern_complexity.c: whether the wildcards of a field are too many for AWS. Entries with `but` count as one. */
int pattern_check_complexity(const struct pattern *p, bool *ret_too_complex, struct err *e);

/* pattern_test.c: one value against one entry the plain way (matching many at once is ruleset_value.c's), or against
 * all of a field's. */
bool pattern_entry_matches(const struct pattern_entry *entry, struct json value);
bool pattern_field_matches(const struct pattern_field *field, struct json value);

/* Whether an event's key is the first names of the path: all of them (*here), or else *path becomes the rest. */
bool pattern_follow(struct json key, struct slice *path, bool *here);

/* pattern_explain.c: as event_pattern_explain, of an event that does not match. 0 or ERR_NO_MEMORY; out may have
 * failed. */
int pattern_explain(const struct pattern *p, struct json event, struct buf *out);

#endif
