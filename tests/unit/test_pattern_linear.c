/* What it costs to match grows with the event's size alone, whatever the pattern and the event are made of: each case
 * here would take minutes or for ever with a matcher that backtracks, or that tries elements against elements.
 *
 * Time is the thread's CPU time, the least of a few runs: an event of 1 MB may take 15 times what one of 100 KB does,
 * and a number of times what it takes to check that it is JSON. (With a sanitizer events are smaller and nothing is
 * measured: what would hang still does.) */
#include "event/pattern.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "event/ruleset.h"

#define N_ELEMENTS(a) (sizeof(a) / sizeof *(a))
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MEASURED false
#define LARGE    50000
#else
#define MEASURED true
#define LARGE    1000000
#endif
#define GROWTH  30 /* ten, and what caches and a busy machine make of it; a square would be a hundred */
#define RUNS    3
#define CHANCES 12

/* ---- events of about n bytes ---- */

static void
repeat(struct buf *out, const char *text, size_t n)
{
    for (size_t length = strlen(text), at = 0; at + length <= n; at += length)
        buf_add(out, text, length);
}

static void
one_string(struct buf *out, size_t n)
{
    buf_add_string(out, "{\"a\":\"");
    repeat(out, "a", n);
    buf_add_string(out, "\"}");
}

/* No byte of it is written as it is meant. */
static void
one_escaped_string(struct buf *out, size_t n)
{
    buf_add_string(out, "{\"a\":\"");
    repeat(out, "\\u0061", n);
    buf_add_string(out, "\"}");
}

static void
one_name(struct buf *out, size_t n)
{
    buf_add_string(out, "{\"");
    repeat(out, "a.", n);
    buf_add_string(out, "a\":1}");
}

static void
one_number(struct buf *out, size_t n)
{
    buf_add_string(out, "{\"a\":0.");
    repeat(out, "1", n);
    buf_add_string(out, "}");
}

static void
strings(struct buf *out, size_t n)
{
    buf_add_string(out, "{\"a\":[\"aaaaaaab\"");
    repeat(out, ",\"aaaaaaab\"", n);
    buf_add_string(out, "]}");
}

static void
numbers(struct buf *out, size_t n)
{
    buf_add_string(out, "{\"a\":[7");
    repeat(out, ",123.5,-4e7", n);
    buf_add_string(out, "]}");
}

static void
addresses(struct buf *out, size_t n)
{
    buf_add_string(out, "{\"a\":[7");
    repeat(out, ",\"10.1.2.3\",\"2001:db8::1:2\"", n);
    buf_add_string(out, "]}");
}

/* Each field is in many elements, all of them in none. */
static void
elements(struct buf *out, size_t n)
{
    buf_add_string(out, "{\"a\":[{}");
    repeat(out, ",{\"b\":1,\"c\":2,\"d\":0},{\"c\":1,\"d\":1},{\"b\":1,\"d\":1}", n);
    buf_add_string(out, "]}");
}

/* The same, the elements arrays themselves. */
static void
elements_of_elements(struct buf *out, size_t n)
{
    buf_add_string(out, "{\"a\":[[]");
    for (size_t before = out->len; out->len - before < n;) {
        buf_add_string(out, ",[{}");
        repeat(out, ",{\"b\":[{\"x\":1},{\"y\":1}]},{\"c\":[[{\"x\":1}],[{\"y\":1}]]}", 3000);
        buf_add_string(out, "]");
    }
    buf_add_string(out, "]}");
}

/* Arrays in arrays, 500 deep, each with something behind the next one. */
static void
deep_arrays(struct buf *out, size_t n)
{
    buf_add_string(out, "{\"a\":[1");
    for (size_t before = out->len; out->len - before < n;) {
        buf_add_char(out, ',');
        repeat(out, "[", 500);
        buf_add_string(out, "0");
        for (int i = 0; i < 500; i++)
            buf_add_string(out, ",{\"b\":1},{\"c\":1}]");
    }
    buf_add_string(out, "]}");
}

static void
deep_objects(struct buf *out, size_t n)
{
    buf_add_string(out, "{\"x\":1");
    for (size_t before = out->len; out->len - before < n;) {
        buf_add_char(out, ',');
        for (int i = 0; i < 500; i++)
            buf_add_string(out, "\"a\":{");
        buf_add_string(out, "\"b\":0");
        for (int i = 0; i < 500; i++)
            buf_add_string(out, ",\"b\":1}");
    }
    buf_add_string(out, "}");
}

/* One name again and again: members of different arrays may be combined. */
static void
one_name_again(struct buf *out, size_t n)
{
    buf_add_string(out, "{\"x\":1");
    repeat(out, ",\"a\":[{\"b\":1},{\"c\":1}],\"a\":[{\"d\":1}]", n);
    buf_add_string(out, "}");
}

/* One path in two spellings. */
static void
two_spellings(struct buf *out, size_t n)
{
    buf_add_string(out, "{\"x\":1");
    repeat(out, ",\"a\":[{\"b.c\":1},{\"c\":1}],\"a.b\":[{\"c\":1},{\"d\":1}]", n);
    buf_add_string(out, "}");
}

/* ---- patterns ---- */

/* {"a":[{"NAME":"a"},{"NAME":"aa"},...]}, each ending as told. */
static void
ladder(struct buf *out, const char *before, const char *text, const char *end, const char *behind)
{
    buf_add_string(out, "{\"a\":[");
    for (size_t n = 1; out->len < 3900; n++) {
        if (n > 1)
            buf_add_char(out, ',');
        buf_add_string(out, before);
        repeat(out, text, n > 60 ? 60 : n);
        buf_add_format(out, "%s%zu%s", end, n, behind);
    }
    buf_add_string(out, "]}");
}

static void
many_prefixes(struct buf *out)
{
    ladder(out, "{\"prefix\":\"", "a", "b", "\"}");
}

static void
many_suffixes(struct buf *out)
{
    ladder(out, "{\"suffix\":\"", "a", "b", "\"}");
}

static void
many_folded(struct buf *out)
{
    ladder(out, "{\"suffix\":{\"equals-ignore-case\":\"", "A", "b", "\"}}");
}

static void
many_strings(struct buf *out)
{
    ladder(out, "\"", "a", "b", "\"");
}

static void
many_excluded(struct buf *out)
{
    ladder(out, "{\"anything-but\":[\"", "a", "\",\"aaaaaaab", "\",\"aaaaaaab\"]}");
}

static void
many_excluded_prefixes(struct buf *out)
{
    ladder(out, "{\"anything-but\":{\"prefix\":[\"", "a", "b\",\"a\",\"b", "\"]}}");
}

static void
many_ranges(struct buf *out)
{
    buf_add_string(out, "{\"a\":[1");
    for (int i = 100; i < 200; i++)
        buf_add_format(out, ",{\"numeric\":[\">\",-0.%d,\"<\",0.%d]}", i, i);
    buf_add_string(out, "]}");
}

static void
many_nets(struct buf *out)
{
    buf_add_string(out, "{\"a\":[{\"cidr\":\"1.0.0.0/31\"}");
    for (int i = 0; i < 120; i++)
        buf_add_format(out, ",{\"cidr\":\"1.%d.0.0/%d\"}", i, i % 32);
    buf_add_string(out, "]}");
}

/* Sub-rules as many as a product gives; and none of them matches. */
static void
product(struct buf *out)
{
    buf_add_string(out, "{\"a\":{\"z\":[{\"exists\":false}]}");
    for (char name = 'b'; name <= 'e'; name++)
        buf_add_format(out, ",\"$or\":[{\"a.%c\":[1]},{\"a.%c\":[2,3]},{\"a.%c\":[{\"prefix\":\"x\"}]}]", name, name,
                       name);
    buf_add_string(out, ",\"y\":[1]}");
}

static void
deep(struct buf *out)
{
    for (int i = 0; i < 500; i++)
        buf_add_string(out, "{\"a\":");
    buf_add_string(out, "{\"b\":[2]}");
    repeat(out, "}", 500);
}

struct attack {
    const char *name;
    void (*event)(struct buf *out, size_t n);
    void (*pattern)(struct buf *out); /* or: */
    const char *text;
    bool match;
    unsigned most; /* times what the check of the JSON takes */
};

static const struct attack ATTACKS[] = {
    {"a wildcard, one string", one_string, NULL, "{\"a\":[{\"wildcard\":\"*aaaaab*\"}]}", false, 60},
    {"two stars, one string", one_string, NULL, "{\"a\":[{\"wildcard\":\"*aab*aab\"}]}", false, 60},
    {"wildcards, one string", one_string, NULL,
     "{\"a\":[{\"wildcard\":\"*ab\"},{\"wildcard\":\"*ac\"},{\"wildcard\":\"a*ad\"}]}", false, 60},
    {"a wildcard, one escaped string", one_escaped_string, NULL, "{\"a\":[{\"wildcard\":\"*aaaab*\"}]}", false, 60},
    {"a suffix, one escaped string", one_escaped_string, NULL, "{\"a\":[{\"suffix\":\"ba\"}]}", false, 60},
    {"prefixes, one string", one_string, many_prefixes, NULL, false, 60},
    {"suffixes, one string", one_string, many_suffixes, NULL, false, 60},
    {"suffixes, strings", strings, many_suffixes, NULL, false, 60},
    {"folded suffixes, one string", one_string, many_folded, NULL, false, 60},
    {"folded suffixes, strings", strings, many_folded, NULL, false, 400},
    {"strings, strings", strings, many_strings, NULL, false, 60},
    {"excluded strings, strings", strings, many_excluded, NULL, false, 100},
    {"excluded prefixes, strings", strings, many_excluded_prefixes, NULL, false, 100},
    {"excluded wildcards, strings", strings, NULL,
     "{\"a\":[{\"anything-but\":{\"wildcard\":[\"*aa\",\"a*b\",\"x*\"]}}]}", false, 400},
    {"excluded wildcards, one string", one_string, NULL,
     "{\"a\":[{\"anything-but\":{\"wildcard\":[\"*aa\",\"a*b\",\"x*\"]}}]}", false, 400},
    {"folded equality, one string", one_string, NULL, "{\"a\":[{\"equals-ignore-case\":\"AAAA\"}]}", false, 60},
    {"ranges, one number", one_number, many_ranges, NULL, false, 60},
    {"ranges, numbers", numbers, many_ranges, NULL, false, 100},
    {"nets, addresses", addresses, many_nets, NULL, true, 100},
    {"a long name", one_name, NULL, "{\"a.a.a.a.a.a\":[1],\"a.a\":{\"b\":[1]}}", false, 60},
    {"fields of different elements", elements, NULL, "{\"a\":{\"b\":[1],\"c\":[1],\"d\":[1]}}", false, 60},
    {"absence in elements", elements, NULL, "{\"a\":{\"b\":[{\"exists\":false}],\"c\":[2],\"d\":[1]}}", false, 60},
    {"elements of elements", elements_of_elements, NULL,
     "{\"a\":{\"b\":{\"x\":[1],\"y\":[1]},\"c\":{\"x\":[1],\"y\":[1]}}}", false, 60},
    {"arrays 500 deep", deep_arrays, NULL, "{\"a\":{\"b\":[1],\"c\":[1]}}", false, 60},
    {"arrays 500 deep, absence", deep_arrays, NULL, "{\"a\":{\"b\":[{\"exists\":false}],\"c\":[2]}}", false, 60},
    {"objects 500 deep", deep_objects, deep, NULL, false, 60},
    {"one name again and again", one_name_again, NULL, "{\"a\":{\"b\":[1],\"c\":[1],\"d\":[2]}}", false, 400},
    {"one name again and again, absence", one_name_again, NULL,
     "{\"a\":{\"b\":[1],\"c\":[{\"exists\":false}],\"d\":[2]}}", false, 400},
    {"two spellings", two_spellings, NULL, "{\"a\":{\"b\":{\"c\":[1],\"d\":[1]},\"c\":[2]}}", false, 400},
    {"a product of $or, elements", elements, product, NULL, false, 400},
};

/* ---- measuring ---- */

static double
cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct subject {
    struct event_pattern *pattern;
    struct event_rules *rules;
    struct event_scratch *scratch;
    uint32_t *hits;
};

enum work { CHECK, ALONE, TOGETHER, WORKS };

static bool
work_on(const struct subject *s, enum work work, struct slice event)
{
    struct json value;
    struct err e;
    bool yes = false;
    size_t n = 0;
    int rc;
    if (work == CHECK)
        rc = json_parse(event, &value, &e);
    else if (work == ALONE)
        rc = event_pattern_match_text(s->pattern, event, &yes, &e);
    else
        rc = event_rules_match_text(s->rules, s->scratch, event, s->hits, &n, &e);
    if (rc != 0)
        fail_msg("%s", e.text);
    return yes || n > 0;
}

/* Seconds for the event, the least of a few runs, each long enough for the clock; no more runs than take 50 ms
 * together. */
static double
measure(const struct subject *s, enum work work, struct slice event, bool match)
{
    double least = 1e9, begun = cpu_s();
    for (int i = 0; i < RUNS && (i == 0 || cpu_s() - begun < 0.05); i++) {
        double start = cpu_s(), took;
        unsigned times = 0;
        do {
            if (work_on(s, work, event) != match && work != CHECK)
                fail_msg("it %s", match ? "should match" : "should not match");
            took = cpu_s() - start;
            times++;
        } while (took < 0.001);
        least = took / times < least ? took / times : least;
    }
    return least;
}

static void
write_pattern(const struct attack *a, struct buf *out)
{
    if (a->pattern)
        a->pattern(out);
    else
        buf_add_string(out, a->text);
}

static void
set_up(struct subject *s, const struct slice *patterns, size_t n)
{
    struct err e;
    size_t bad = 0;
    if (event_pattern_compile(patterns[0], &s->pattern, &e) != 0)
        fail_msg("%.*s: %s", SLICE_ARG(patterns[0]), e.text);
    if (event_rules_compile(patterns, n, &s->rules, &bad, &e) != 0)
        fail_msg("%.*s: %s", SLICE_ARG(patterns[bad]), e.text);
    assert_int_equal(event_scratch_new(s->rules, &s->scratch, &e), 0);
    s->hits = calloc(n, sizeof *s->hits);
    assert_non_null(s->hits);
}

static void
clean_up(struct subject *s)
{
    event_pattern_destroy(s->pattern);
    event_scratch_destroy(s->scratch);
    event_rules_destroy(s->rules);
    free(s->hits);
}

static void
take_least(double *least, double s)
{
    if (*least == 0 || s < *least)
        *least = s;
}

/* Both bounds. A machine that is busy, or a test that is unlucky, gets more chances. */
static void
bound(const char *name, const struct subject *s, enum work work, const struct buf *small, const struct buf *large,
      bool match, unsigned most)
{
    double small_s = 0, large_s = 0, check_s = 0;
    for (int chances = CHANCES; chances > 0; chances--) {
        take_least(&small_s, measure(s, work, buf_slice(small), match));
        take_least(&large_s, measure(s, work, buf_slice(large), match));
        take_least(&check_s, measure(s, CHECK, buf_slice(large), match));
        if (!MEASURED || (large_s <= GROWTH * small_s && large_s <= most * check_s))
            break;
    }
    print_message("%-36s %-8s %8.3f ms, %5.1f times the check, growth %4.1f\n", name,
                  work == ALONE ? "alone" : "in a set", large_s * 1e3, large_s / check_s, large_s / small_s);
    if (!MEASURED)
        return;
    if (large_s > GROWTH * small_s)
        fail_msg("%s: ten times the event takes %.1f times as long", name, large_s / small_s);
    if (large_s > most * check_s)
        fail_msg("%s: takes %.1f times what the check of the JSON does; %u are allowed", name, large_s / check_s, most);
}

static void
an_event_of_ten_times_the_size_takes_some_ten_times_as_long(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(ATTACKS); i++) {
        const struct attack *a = &ATTACKS[i];
        struct buf pattern = BUF_INIT, small = BUF_INIT, large = BUF_INIT;
        struct subject s = {.hits = NULL};
        write_pattern(a, &pattern);
        a->event(&small, LARGE / 10);
        a->event(&large, LARGE);
        set_up(&s, &(struct slice){.p = pattern.data, .n = pattern.len}, 1);
        bound(a->name, &s, ALONE, &small, &large, a->match, a->most);
        clean_up(&s);
        buf_clean_up(&pattern);
        buf_clean_up(&small);
        buf_clean_up(&large);
    }
}

/* All attacks' patterns in one set, against each attack's event. */
static void
so_it_does_against_all_patterns_together(void **state)
{
    (void)state;
    struct buf patterns[N_ELEMENTS(ATTACKS)];
    struct slice texts[N_ELEMENTS(ATTACKS)];
    struct subject s = {.hits = NULL};
    for (size_t i = 0; i < N_ELEMENTS(ATTACKS); i++) {
        buf_init(&patterns[i]);
        write_pattern(&ATTACKS[i], &patterns[i]);
        texts[i] = buf_slice(&patterns[i]);
    }
    set_up(&s, texts, N_ELEMENTS(texts));
    for (size_t i = 0; i < N_ELEMENTS(ATTACKS); i++) {
        struct buf small = BUF_INIT, large = BUF_INIT;
        ATTACKS[i].event(&small, LARGE / 10);
        ATTACKS[i].event(&large, LARGE);
        bool match = work_on(&s, TOGETHER, buf_slice(&small));
        bound(ATTACKS[i].name, &s, TOGETHER, &small, &large, match, 2000);
        buf_clean_up(&small);
        buf_clean_up(&large);
    }
    clean_up(&s);
    for (size_t i = 0; i < N_ELEMENTS(ATTACKS); i++)
        buf_clean_up(&patterns[i]);
}

/* ---- compiling ---- */

/* Compiles or refuses within two seconds of CPU. */
static void
compile_soon(struct buf *text)
{
    struct event_pattern *p = NULL;
    struct err e;
    double start = cpu_s();
    int rc = event_pattern_compile(buf_slice(text), &p, &e);
    double took = cpu_s() - start;
    if (rc != 0 && rc != ERR_INVALID && rc != ERR_LIMIT)
        fail_msg("%s", e.text);
    event_pattern_destroy(p);
    if (took > 2)
        fail_msg("%.1f s for %.100s...", took, text->data);
    buf_reset(text);
}

static void
patterns_compile_or_are_refused_soon(void **state)
{
    (void)state;
    struct buf p = BUF_INIT;
    buf_add_string(&p, "{\"x\":[1]"); /* 2 to the 130 sub-rules */
    repeat(&p, ",\"$or\":[{\"a\":[1]},{\"b\":[1]}]", 4000);
    buf_add_string(&p, "}");
    compile_soon(&p);

    buf_add_string(&p, "{\"x\":[1]"); /* the same, nested in each branch */
    for (int i = 0; i < 80; i++)
        buf_add_string(&p, ",\"$or\":[{\"a\":[1]},{\"b\":[1]");
    repeat(&p, "}]", 160);
    buf_add_string(&p, "}");
    compile_soon(&p);

    buf_add_string(&p, "{\"x\":[1],\"a\":[{\"wildcard\":\"");
    repeat(&p, "*a", 4000);
    buf_add_string(&p, "\"}]}");
    compile_soon(&p);

    buf_add_string(&p, "{\"a\":[{\"wildcard\":\"*a\"}");
    repeat(&p, ",{\"wildcard\":\"*a*b*a\"}", 4000);
    buf_add_string(&p, "]}");
    compile_soon(&p);

    repeat(&p, "{\"a\":", 4000);
    compile_soon(&p);

    repeat(&p, "{\"$or\":[", 4000);
    compile_soon(&p);

    deep(&p);
    compile_soon(&p);
    buf_clean_up(&p);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_compile_or_are_refused_soon),
        cmocka_unit_test(an_event_of_ten_times_the_size_takes_some_ten_times_as_long),
        cmocka_unit_test(so_it_does_against_all_patterns_together),
    };
    return cmocka_run_group_tests_name("pattern_linear", tests, NULL, NULL);
}
