/* percent: the escapes of URLs and forms ("%2F"). */
#ifndef FANOUT_LOCAL_PERCENT_H
#define FANOUT_LOCAL_PERCENT_H

static inline int
percent_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* The byte that the escape at p stands for, of which three characters are to be consumed; -1: there is none (p < end).
 */
static inline int
percent_decode(const char *p, const char *end)
{
    int high = *p == '%' && end - p >= 3 ? percent_digit(p[1]) : -1, low = high >= 0 ? percent_digit(p[2]) : -1;
    return low >= 0 ? high << 4 | low : -1;
}

#endif
