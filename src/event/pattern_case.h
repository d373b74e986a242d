/* pattern_case: what "the same but for case" means, as AWS's Java library decides it, one character at a time.
 *
 * A character of a pattern stands for itself in lower and in upper case, each as Java's String makes it of that one
 * character in no language's locale. So "s" is s or S; U+00DF (sharp s) is itself or SS; U+0131 (dotless i) is itself
 * or I, while "i" is i or I alone; a Greek sigma is U+03C3 or U+03A3, not the final U+03C2. Characters past U+FFFF
 * stand for themselves (Java's library can match them with nothing at all). */
#ifndef FANOUT_EVENT_PATTERN_CASE_H
#define FANOUT_EVENT_PATTERN_CASE_H

#include <stdbool.h>

#include "base/slice.h"

/* Of ASCII letters alone there is a quicker way: both sides in lower case, and then byte by byte. */
bool pattern_case_is_ascii(struct slice text);
static inline char
pattern_case_lower_ascii(char c)
{
    return (char)(c | (unsigned char)((unsigned char)(c - 'A') < 26) << 5);
}

/* Whether text is the pattern, starts with it, ends with it. */
bool pattern_case_equals(struct slice text, struct slice pattern);
bool pattern_case_starts_with(struct slice text, struct slice pattern);
bool pattern_case_ends_with(struct slice text, struct slice pattern);

#endif
