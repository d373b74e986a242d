/* clock_text: dates as text, the second half of clock.h. By arithmetic on the Gregorian calendar alone, so that neither
 * the locale nor the time zone of the process matters. */
#include "base/clock.h"

#include <string.h>

#include "base/slice.h"

#define DAY_S          86400
#define LOWEST_WALL_S  INT64_C(-62167219200) /* 0000-01-01T00:00:00Z */
#define HIGHEST_WALL_S INT64_C(253402300799) /* 9999-12-31T23:59:59Z */

struct date {
    int year, month, day; /* month and day from 1 */
    int hour, minute, second;
    int millisecond;
    int offset_minutes; /* east of UTC */
};

/* Days since 1970-01-01, and back: years are taken to begin in March, so that the leap day comes last (H. Hinnant,
 * "chrono-Compatible Low-Level Date Algorithms"). */
static int64_t
days_of_date(int year, int month, int day)
{
    int64_t y = year - (month <= 2);
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static struct date
date_of_days(int64_t days)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t day_of_era = days - era * 146097;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t march_month = (5 * day_of_year + 2) / 153;
    int month = (int)(march_month < 10 ? march_month + 3 : march_month - 9);
    return (struct date){
        .year = (int)(year_of_era + era * 400 + (month <= 2)),
        .month = month,
        .day = (int)(day_of_year - (153 * march_month + 2) / 5 + 1),
    };
}

static int
days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

static struct date
date_of_wall(int64_t wall_ms)
{
    int64_t s = wall_ms / 1000, ms = wall_ms % 1000;
    if (ms < 0) {
        ms += 1000;
        s--;
    }
    s = s < LOWEST_WALL_S ? LOWEST_WALL_S : s > HIGHEST_WALL_S ? HIGHEST_WALL_S : s;
    int64_t days = s / DAY_S, rest = s % DAY_S;
    if (rest < 0) {
        rest += DAY_S;
        days--;
    }
    struct date d = date_of_days(days);
    d.hour = (int)(rest / 3600);
    d.minute = (int)(rest / 60 % 60);
    d.second = (int)(rest % 60);
    d.millisecond = (int)ms;
    return d;
}

static bool
date_to_wall(const struct date *d, int64_t *ret_wall_ms)
{
    if (d->month < 1 || d->month > 12 || d->day < 1 || d->day > days_in_month(d->year, d->month))
        return false;
    if (d->hour > 23 || d->minute > 59 || d->second > 60)
        return false;
    int second = d->second == 60 ? 59 : d->second; /* a leap second: POSIX time has none */
    int64_t s = days_of_date(d->year, d->month, d->day) * DAY_S + d->hour * 3600 + d->minute * 60 + second;
    *ret_wall_ms = (s - d->offset_minutes * 60) * 1000 + d->millisecond;
    return true;
}

/* ---- writing ------------------------------------------------------------------------------------------------- */

static char *
put_digits(char *at, int v, int digits)
{
    for (int i = digits - 1; i >= 0; i--, v /= 10)
        at[i] = (char)('0' + v % 10);
    return at + digits;
}

static char *
put_char(char *at, char c)
{
    *at = c;
    return at + 1;
}

/* Date and time with the given separators, '\0' for none. */
static char *
put_date(char *at, const struct date *d, char date_separator, char time_separator)
{
    at = put_digits(at, d->year, 4);
    if (date_separator)
        at = put_char(at, date_separator);
    at = put_digits(at, d->month, 2);
    if (date_separator)
        at = put_char(at, date_separator);
    at = put_digits(at, d->day, 2);
    at = put_char(at, 'T');
    at = put_digits(at, d->hour, 2);
    if (time_separator)
        at = put_char(at, time_separator);
    at = put_digits(at, d->minute, 2);
    if (time_separator)
        at = put_char(at, time_separator);
    return put_digits(at, d->second, 2);
}

void
clock_format_seconds(int64_t wall_ms, char out[CLOCK_ISO8601_BYTES])
{
    struct date d = date_of_wall(wall_ms);
    memcpy(put_date(out, &d, '-', ':'), "Z", 2);
}

void
clock_format_ms(int64_t wall_ms, char out[CLOCK_ISO8601_BYTES])
{
    struct date d = date_of_wall(wall_ms);
    char *at = put_char(put_date(out, &d, '-', ':'), '.');
    memcpy(put_digits(at, d.millisecond, 3), "Z", 2);
}

void
clock_format_basic(int64_t wall_ms, char out[CLOCK_ISO8601_BYTES])
{
    struct date d = date_of_wall(wall_ms);
    memcpy(put_date(out, &d, '\0', '\0'), "Z", 2);
}

/* ---- reading ------------------------------------------------------------------------------------------------- */

/* Each of these takes something from the front of *s, or returns false. */
static bool
take_digits(struct slice *s, size_t digits, int *ret)
{
    if (s->n < digits)
        return false;
    int v = 0;
    for (size_t i = 0; i < digits; i++) {
        if (s->p[i] < '0' || s->p[i] > '9')
            return false;
        v = v * 10 + (s->p[i] - '0');
    }
    *s = slice_of(s->p + digits, s->n - digits);
    *ret = v;
    return true;
}

static bool
take_text(struct slice *s, const char *text)
{
    struct slice t = slice_of_string(text);
    if (!slice_starts_with(*s, t))
        return false;
    *s = slice_of(s->p + t.n, s->n - t.n);
    return true;
}

static bool
take_one_of(struct slice *s, const char *characters)
{
    if (s->n == 0 || !s->p[0] || !strchr(characters, s->p[0]))
        return false;
    *s = slice_of(s->p + 1, s->n - 1);
    return true;
}

static bool
take_name(struct slice *s, const char *const *names, int count, int *ret_index)
{
    for (int i = 0; i < count; i++) {
        if (take_text(s, names[i])) {
            *ret_index = i;
            return true;
        }
    }
    return false;
}

static bool
take_time(struct slice *s, struct date *d)
{
    return take_digits(s, 2, &d->hour) && take_text(s, ":") && take_digits(s, 2, &d->minute) && take_text(s, ":") &&
           take_digits(s, 2, &d->second);
}

/* "." and digits; what is finer than a millisecond is cut off. */
static bool
take_fraction(struct slice *s, struct date *d)
{
    int digit, unit = 100;
    if (!take_text(s, "."))
        return true;
    if (!take_digits(s, 1, &digit))
        return false;
    do {
        d->millisecond += digit * unit;
        unit /= 10;
    } while (take_digits(s, 1, &digit));
    return true;
}

static bool
take_zone(struct slice *s, struct date *d)
{
    int hours, minutes;
    if (take_one_of(s, "Zz"))
        return true;
    int sign = take_text(s, "+") ? 1 : take_text(s, "-") ? -1 : 0;
    if (!sign || !take_digits(s, 2, &hours) || !take_text(s, ":") || !take_digits(s, 2, &minutes))
        return false;
    d->offset_minutes = sign * (hours * 60 + minutes);
    return hours <= 23 && minutes <= 59;
}

int
clock_parse_iso8601(const char *p, size_t n, int64_t *ret_wall_ms, struct err *e)
{
    struct slice s = slice_of(p, n);
    struct date d = {0};
    if (take_digits(&s, 4, &d.year) && take_text(&s, "-") && take_digits(&s, 2, &d.month) && take_text(&s, "-") &&
        take_digits(&s, 2, &d.day) && take_one_of(&s, "Tt ") && take_time(&s, &d) && take_fraction(&s, &d) &&
        take_zone(&s, &d) && s.n == 0 && date_to_wall(&d, ret_wall_ms))
        return 0;
    return err_set(e, ERR_INVALID, "\"%.*s\" is no date and time; write it like 2026-11-20T06:00:00Z",
                   (int)(n < 64 ? n : 64), p ? p : "");
}

static const char *const MONTHS[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
static const char *const DAYS[] = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};
static const char *const LONG_DAYS[] = {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"};

static bool
take_month(struct slice *s, struct date *d)
{
    int index;
    if (!take_name(s, MONTHS, 12, &index))
        return false;
    d->month = index + 1;
    return true;
}

/* Sun, 06 Nov 1994 08:49:37 GMT */
static bool
parse_imf_fixdate(struct slice s, struct date *d)
{
    int weekday;
    return take_name(&s, DAYS, 7, &weekday) && take_text(&s, ", ") && take_digits(&s, 2, &d->day) &&
           take_text(&s, " ") && take_month(&s, d) && take_text(&s, " ") && take_digits(&s, 4, &d->year) &&
           take_text(&s, " ") && take_time(&s, d) && take_text(&s, " GMT") && s.n == 0;
}

/* Sunday, 06-Nov-94 08:49:37 GMT: a year that seems more than 50 years ahead is the last one with these digits. */
static bool
parse_rfc850(struct slice s, struct date *d)
{
    int weekday;
    if (!(take_name(&s, LONG_DAYS, 7, &weekday) && take_text(&s, ", ") && take_digits(&s, 2, &d->day) &&
          take_text(&s, "-") && take_month(&s, d) && take_text(&s, "-") && take_digits(&s, 2, &d->year) &&
          take_text(&s, " ") && take_time(&s, d) && take_text(&s, " GMT") && s.n == 0))
        return false;
    int this_year = date_of_wall(clock_wall_ms()).year;
    d->year += this_year - this_year % 100;
    if (d->year > this_year + 50)
        d->year -= 100;
    return true;
}

/* Sun Nov  6 08:49:37 1994 */
static bool
parse_asctime(struct slice s, struct date *d)
{
    int weekday;
    if (!(take_name(&s, DAYS, 7, &weekday) && take_text(&s, " ") && take_month(&s, d) && take_text(&s, " ")))
        return false;
    if (!(take_text(&s, " ") ? take_digits(&s, 1, &d->day) : take_digits(&s, 2, &d->day)))
        return false;
    return take_text(&s, " ") && take_time(&s, d) && take_text(&s, " ") && take_digits(&s, 4, &d->year) && s.n == 0;
}

int
clock_parse_http_date(const char *p, size_t n, int64_t *ret_wall_ms, struct err *e)
{
    static bool (*const forms[])(struct slice, struct date *) = {parse_imf_fixdate, parse_rfc850, parse_asctime};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        struct date d = {0};
        if (forms[i](slice_of(p, n), &d) && date_to_wall(&d, ret_wall_ms))
            return 0;
    }
    return err_set(e, ERR_INVALID, "\"%.*s\" is no HTTP date like Sun, 06 Nov 1994 08:49:37 GMT",
                   (int)(n < 64 ? n : 64), p ? p : "");
}
