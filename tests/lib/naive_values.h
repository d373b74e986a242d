/* naive_values: naive_pattern's idea of numbers, addresses, wildcards and letters' cases. */
#ifndef FANOUT_TESTS_LIB_NAIVE_VALUES_H
#define FANOUT_TESTS_LIB_NAIVE_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

/* Steps that are left, and whether something was met that the witness knows nothing of. */
struct naive_effort {
    long left;
    bool unsure;
};

/* False when it was used up: the answer is then unsure whatever it is. */
bool naive_spend(struct naive_effort *effort);

/* Whether AWS's matcher compares what is written here as a double: when it is finite and the shortest decimal that
 * gives that double is the number that was written. Others are compared as text. */
bool naive_number(struct slice text, double *ret, struct naive_effort *effort);

/* An IPv4 or IPv6 address as Java's InetAddress takes it, if it looks like one to AWS's matcher. IPv6 that holds an
 * IPv4 address (::ffff:102:304) is IPv4. */
struct naive_ip {
    unsigned char bytes[16];
    size_t n; /* 4 or 16 */
};
enum naive_ip_kind { NAIVE_IP, NAIVE_IP_NONE, NAIVE_IP_INVALID }; /* none: does not even look like one */
enum naive_ip_kind naive_ip(struct slice text, struct naive_ip *ret);

/* Whether the first `bits` bits are the same, in addresses of the same kind. */
bool naive_ip_within(const struct naive_ip *net, unsigned bits, const struct naive_ip *ip);

/* Pattern with * for any run of bytes and \ before a * or a \ that is meant. */
bool naive_wildcard(struct slice pattern, struct slice text, struct naive_effort *effort);

/* Whether text is pattern, starts with it, or ends with it, each of pattern's characters in its own, its lower or its
 * upper form as Java has it for one UTF-16 unit (so that the upper form of sharp s is SS). */
bool naive_folded_equals(struct slice pattern, struct slice text, struct naive_effort *effort);
bool naive_folded_starts(struct slice pattern, struct slice text, struct naive_effort *effort);
bool naive_folded_ends(struct slice pattern, struct slice text, struct naive_effort *effort);

/* Java's order of strings: by UTF-16 units. */
int naive_compare_paths(struct slice a, struct slice b);

#endif
