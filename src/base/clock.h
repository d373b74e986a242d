/* clock: the only place time comes from.
 *
 * Wall time is for what people and AWS see (log lines, signatures, sent timestamps); monotonic time for every wait and
 * lease; boot time for judging whether this host slept. With FANOUT_TEST_CLOCK=FILE in the environment all three come
 * from a page of that file (struct clock_page), which a test maps too, so that it can stop and move the time of every
 * process of a system at once. */
#ifndef FANOUT_BASE_CLOCK_H
#define FANOUT_BASE_CLOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* The shared page. All fields are read with relaxed atomics at every call. While a page is mapped, monotonic and boot
 * time count from where wall time stood at clock_init, so that all three can stand at one frozen figure: freezing at or
 * after the present moves none of them back, and a frozen clock is moved by offset_ms (or by a later frozen_at_ms). */
struct clock_page {
    uint64_t magic;               /* CLOCK_PAGE_MAGIC */
    _Atomic int64_t frozen_at_ms; /* 0: time runs; otherwise it stands at this wall time (ms since 1970) */
    _Atomic int64_t offset_ms;    /* added to every clock, frozen or not */
    _Atomic int64_t wall_skew_ms; /* added to wall time only: a wall clock that jumps */
};
#define CLOCK_PAGE_MAGIC UINT64_C(0x46414e4f434c4b31)

/* Maps the test clock when FANOUT_TEST_CLOCK is set and not empty; otherwise does nothing. Every main() calls it first,
 * before there are threads. Errors when the file cannot be mapped or is no clock page. */
int clock_init(struct err *e);

/* For tests: makes FILE a clock page of running time and maps it (not into this process's own clock). */
int clock_page_create(const char *path, struct clock_page **ret_page, struct err *e);

int64_t clock_wall_ms(void); /* since 1970-01-01T00:00:00Z */
int64_t clock_monotonic_ms(void);
int64_t clock_monotonic_ns(void); /* for durations in figures; not moved by the test clock */
int64_t clock_boot_ms(void);      /* CLOCK_BOOTTIME */

/* The wait to hand to poll() and its like: wait_ms itself, but at most 10 while a test clock is mapped, because the
 * kernel does not know about it. Negative (for ever) is capped the same way. */
int clock_cap_wait_ms(int64_t wait_ms);

/* Times outside the years 0000 to 9999 are written as the nearest second inside.
 * "2026-11-20T06:00:00Z" (CLOCK_ISO8601_BYTES with the NUL) and "2026-11-20T06:00:00.123Z". */
#define CLOCK_ISO8601_BYTES 25
void clock_format_seconds(int64_t wall_ms, char out[CLOCK_ISO8601_BYTES]);
void clock_format_ms(int64_t wall_ms, char out[CLOCK_ISO8601_BYTES]);

/* SigV4's "20261120T060000Z". */
void clock_format_basic(int64_t wall_ms, char out[CLOCK_ISO8601_BYTES]);

/* Reads RFC 3339 / ISO 8601 with date and time, 'T' or ' ' between, optional fraction (cut to milliseconds), 'Z' or
 * +hh:mm. A leap second (:60) counts as :59; days a month does not have are refused. ERR_INVALID. */
int clock_parse_iso8601(const char *p, size_t n, int64_t *ret_wall_ms, struct err *e);

/* Reads an HTTP Date header ("Sun, 06 Nov 1994 08:49:37 GMT" or one of the two obsolete forms, RFC 9110 5.6.7).
 * ERR_INVALID. */
int clock_parse_http_date(const char *p, size_t n, int64_t *ret_wall_ms, struct err *e);

#endif
