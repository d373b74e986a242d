/* Internet addresses and ranges of them, in the spellings that AWS's Java library takes. */
#include <string.h>

#include "event/pattern_rule.h"

/* Java's bound on the text of an IPv4 address; leading zeros are decimal. */
#define MAX_IPV4_TEXT 15

static int
hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool
read_ipv4(struct slice text, pattern_key *ret_address)
{
    uint32_t address = 0, part = 0;
    size_t parts = 0, digits = 0;
    if (text.n > MAX_IPV4_TEXT)
        return false;
    for (size_t i = 0; i <= text.n; i++) {
        char c = i < text.n ? text.p[i] : '.';
        if (c == '.') {
            if (digits == 0 || part > 255 || ++parts > 4)
                return false;
            address = address << 8 | part;
            part = 0;
            digits = 0;
        } else if (c >= '0' && c <= '9') {
            part = part * 10 + (uint32_t)(c - '0');
            digits++;
            if (part > 255)
                return false;
        } else {
            return false;
        }
    }
    *ret_address = address;
    return parts == 4;
}

/* Hexadecimal groups alone: AWS knows no dotted tail, brackets or zones. */
static bool
read_ipv6(struct slice text, pattern_key *ret_address)
{
    uint16_t groups[8];
    size_t n = 0, gap = SIZE_MAX, i = 0;
    if (text.n < 2 || (text.p[0] == ':' && text.p[1] != ':'))
        return false;
    while (i < text.n) {
        uint32_t group = 0;
        size_t start = i;
        for (int d; i < text.n && (d = hex_digit(text.p[i])) >= 0; i++) {
            group = group << 4 | (uint32_t)d;
            if (group > 0xffff)
                return false;
        }
        if (i > start) {
            if (n == 8)
                return false;
            groups[n++] = (uint16_t)group;
            if (i == text.n)
                break;
            if (text.p[i++] != ':' || i == text.n)
                return false;
            if (text.p[i] != ':')
                continue;
            i--; /* the first colon of a gap */
        } else if (text.p[i] != ':') {
            return false;
        }
        /* at a colon that another one should follow */
        if (i + 1 >= text.n || text.p[i + 1] != ':' || gap != SIZE_MAX)
            return false;
        gap = n;
        i += 2;
        if (i < text.n && text.p[i] == ':')
            return false;
    }
    if (gap == SIZE_MAX ? n != 8 : n > 7)
        return false;
    pattern_key address = 0;
    for (size_t k = 0; k < 8; k++) {
        size_t after = gap == SIZE_MAX ? 0 : n - gap; /* groups behind the gap */
        uint16_t group = 0;
        if (gap == SIZE_MAX || k < gap)
            group = groups[k];
        else if (k >= 8 - after)
            group = groups[gap + k - (8 - after)];
        address = address << 16 | group;
    }
    *ret_address = address;
    return true;
}

enum pattern_kind
pattern_address(struct slice text, pattern_key *ret_address)
{
    if (text.n < 2 || (text.p[0] != ':' && hex_digit(text.p[0]) < 0))
        return PATTERN_N_KINDS;
    if (!memchr(text.p, ':', text.n))
        return read_ipv4(text, ret_address) ? PATTERN_IPV4 : PATTERN_N_KINDS;
    if (!read_ipv6(text, ret_address))
        return PATTERN_N_KINDS;
    if (*ret_address >> 32 != 0xffff)
        return PATTERN_IPV6;
    *ret_address = (uint32_t)*ret_address;
    return PATTERN_IPV4;
}

/* Only these can be addresses at all; Java would look up anything else as a host's name. */
static bool
looks_like_address(struct slice text)
{
    bool colon = false;
    size_t dots = 0;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        colon |= c == ':';
        dots += c == '.';
        if (c != ':' && c != '.' && hex_digit(c) < 0)
            return false;
    }
    if (colon || dots != 3)
        return colon && dots == 0;
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] == '.' ? (i == 0 || i + 1 == text.n || text.p[i - 1] == '.') : hex_digit(text.p[i]) > 9)
            return false;
    return true;
}

/* As Integer.parseInt: a sign, digits, 32 bits. */
static bool
read_integer(struct slice text, int64_t *ret)
{
    size_t i = text.n > 0 && (text.p[0] == '-' || text.p[0] == '+');
    int64_t v = 0;
    if (i == text.n)
        return false;
    for (size_t k = i; k < text.n; k++) {
        if (text.p[k] < '0' || text.p[k] > '9')
            return false;
        v = v * 10 + (text.p[k] - '0');
        if (v > INT64_C(2147483648))
            return false;
    }
    *ret = i && text.p[0] == '-' ? -v : v;
    return *ret <= INT32_MAX;
}

const char *
pattern_parse_cidr(struct slice text, struct pattern_test *ret_test, struct slice *ret_names_address)
{
    int64_t bits;
    *ret_names_address = slice_of(NULL, 0);
    while (text.n > 0 && text.p[text.n - 1] == '/') /* Java's split drops empty parts at the end */
        text.n--;
    const char *slash = text.n > 0 ? memchr(text.p, '/', text.n) : NULL;
    if (!slash || memchr(slash + 1, '/', text.n - (size_t)(slash + 1 - text.p)))
        return "Malformed CIDR, one '/' required";
    struct slice ip = slice_of(text.p, (size_t)(slash - text.p));
    if (!read_integer(slice_of(slash + 1, text.n - ip.n - 1), &bits))
        return "Malformed CIDR, mask bits must be an integer";
    if (bits < 0)
        return "Malformed CIDR, mask bits must not be negative";
    pattern_key address;
    enum pattern_kind kind = pattern_address(ip, &address);
    if (kind == PATTERN_N_KINDS) {
        *ret_names_address = ip;
        return looks_like_address(ip) ? "Invalid IP address: " : "Nonstandard IP address: ";
    }
    int width = kind == PATTERN_IPV4 ? 32 : 128;
    if (bits >= width)
        return kind == PATTERN_IPV4 ? "IPv4 mask bits must be < 32" : "IPv6 mask bits must be < 128";
    pattern_key rest = bits == 0 && width == 128 ? ~(pattern_key)0 : ((pattern_key)1 << (width - bits)) - 1;
    *ret_test = (struct pattern_test){.kind = kind, .low = address & ~rest, .high = address | rest};
    return NULL;
}
