/* Numbers: which are doubles to the last of their digits, and how those sort. */
#include "event/pattern_rule.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* More digits than the shortest decimal of any double has. */
#define MAX_DIGITS 17

/* d.ddd * 10^exponent, without zeros around the digits. */
struct decimal {
    char digits[MAX_DIGITS];
    size_t n; /* 0: zero; more than MAX_DIGITS: so many, and no longer all of them kept */
    long exponent;
};

/* Reads a JSON number, or what printf's %e writes in any locale: a decimal point is whatever is no digit. */
static struct decimal
read_decimal(const char *p, const char *end)
{
    struct decimal d = {.n = 0, .exponent = -1};
    size_t count = 0; /* from the first digit on that is not 0 */
    bool in_fraction = false;
    for (; p < end && (*p | 0x20) != 'e'; p++) {
        if (*p < '0' || *p > '9') {
            in_fraction |= *p != '-';
        } else if (count == 0 && *p == '0') {
            d.exponent -= in_fraction;
        } else {
            if (count < MAX_DIGITS)
                d.digits[count] = *p;
            count++;
            d.exponent += !in_fraction;
            if (*p != '0')
                d.n = count;
        }
    }
    if (p < end) {
        bool below = *++p == '-';
        long written = 0;
        for (p += *p == '-' || *p == '+'; p < end; p++)
            if (written < 100000000)
                written = written * 10 + (*p - '0');
        d.exponent += below ? -written : written;
    }
    return d;
}

/* Whether the shortest decimal that reads as d is the one written. Up to 15 digits it always is; Java writes two digits
 * at least, which matters to the smallest of all numbers. */
static bool
is_written_so(double d, const struct decimal *written)
{
    if (written->n > MAX_DIGITS)
        return false;
    d = fabs(d);
    if (written->n <= 15 && d >= 2.2250738585072014e-308)
        return true;
    for (int precision = 1; precision < MAX_DIGITS; precision++) {
        char text[40];
        int n = snprintf(text, sizeof text, "%.*e", precision, d);
        if (strtod(text, NULL) != d)
            continue;
        struct decimal shortest = read_decimal(text, text + n);
        return shortest.n == written->n && shortest.exponent == written->exponent &&
               memcmp(shortest.digits, written->digits, shortest.n) == 0;
    }
    return false;
}

/* Quick answer for what most numbers are: an integer of few digits. */
static bool
small_integer(struct slice number, double *ret)
{
    size_t i = number.p[0] == '-';
    uint64_t v = 0;
    if (number.n - i > 15)
        return false;
    for (size_t k = i; k < number.n; k++) {
        unsigned digit = (unsigned char)(number.p[k] - '0');
        if (digit > 9)
            return false;
        v = v * 10 + digit;
    }
    *ret = i ? -(double)v : (double)v;
    return true;
}

bool
pattern_number_key(struct slice number, uint64_t *ret_key)
{
    double d;
    if (!small_integer(number, &d)) {
        d = json_double((struct json){.text = number, .type = JSON_NUMBER});
        struct decimal written = read_decimal(number.p, number.p + number.n);
        if (isinf(d) || (d == 0) != (written.n == 0) || (d != 0 && !is_written_so(d, &written)))
            return false;
    }
    uint64_t bits;
    d += 0.0; /* -0 becomes 0 */
    memcpy(&bits, &d, sizeof bits);
    *ret_key = bits >> 63 ? ~bits : bits | UINT64_C(1) << 63;
    return true;
}
