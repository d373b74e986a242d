/* bench_pattern: event patterns, an event's bytes in and the answer out: one rule, ten and a thousand of mixed
 * operators over real events wrapped as EventBridge delivers them, and one large event.
 *
 * CPU time of one thread. All cases take turns in every round, so that the ratios mean something on a busy machine. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "event/envelope.h"
#include "event/pattern.h"
#include "event/ruleset.h"
#include "lib/figures.h"
#include "lib/shared.h"

#define ROUNDS     9
#define ROUND_NS   INT64_C(60000000) /* for each case, about */
#define MANY       1000
#define LARGE      1000000
#define N(a)       (sizeof(a) / sizeof *(a))
#define MOST_TEXTS 1000

/* '#' is the rule's number. */
static const char *const TEMPLATES[] = {
    "{\"source\":[\"buffer.source\"],\"detail-type\":[\"albEvent\",\"kind-#\"]}",
    "{\"source\":[\"buffer.source\"],\"detail\":{\"path\":[{\"prefix\":\"/my/path/#\"}]}}",
    "{\"detail\":{\"region\":[\"us-east-1\"],\"version\":[\"#\"]}}",
    "{\"detail\":{\"headers\":{\"host\":[{\"suffix\":\"#.amazonaws.com\"}]}}}",
    "{\"detail\":{\"httpMethod\":[{\"equals-ignore-case\":\"get\"}],\"path\":[\"/lambda/#\"]}}",
    "{\"detail\":{\"requestContext\":{\"http\":{\"path\":[{\"wildcard\":\"/merch*#\"}]}}}}",
    "{\"detail\":{\"requestContext\":{\"timeEpoch\":[{\"numeric\":[\">\",#,\"<=\",#000]}]}}}",
    "{\"detail\":{\"requestContext\":{\"http\":{\"sourceIp\":[{\"cidr\":\"10.#.0.0/16\"}]}}}}",
    "{\"detail\":{\"Records\":{\"eventSource\":[\"aws:sqs\"],\"awsRegion\":[{\"anything-but\":[\"us-east-1\",\"r#\"]}]}"
    "}}",
    "{\"detail\":{\"userName\":[{\"exists\":true}],\"triggerSource\":[{\"anything-but\":{\"prefix\":\"Custom#\"}}]}}",
    "{\"detail\":{\"isBase64Encoded\":[false],\"cookies\":[{\"exists\":false}],\"body\":[\"b#\"]}}",
    "{\"$or\":[{\"detail\":{\"stage\":[\"s#\"]}},{\"detail\":{\"requestContext\":{\"stage\":[\"t#\",{\"prefix\":\"x#\"}"
    "]}}}]}",
    "{\"detail\":{\"Records\":{\"eventName\":[{\"anything-but\":{\"suffix\":\"#\"}}],\"eventVersion\":[\"v#\"]}}}",
    "{\"resources\":[{\"wildcard\":\"arn:*:thing/#\"}],\"account\":[\"123456789012\"]}",
    "{\"detail\":{\"body\":[{\"anything-but\":{\"wildcard\":\"*#*\"}}],\"apiId\":[{\"prefix\":{\"equals-ignore-case\":"
    "\"A#\"}}]}}",
    "{\"detail-type\":[{\"suffix\":{\"equals-ignore-case\":\"Event#\"}}],\"region\":[\"us-east-1\"]}",
};

struct texts {
    struct slice of[MOST_TEXTS];
    size_t n, bytes;
};

static void
refuse(const char *what, const char *why)
{
    fprintf(stderr, "bench_pattern: %s: %s\n", what, why);
    exit(1);
}

static void
add_text(struct texts *t, struct buf *text)
{
    if (t->n == MOST_TEXTS)
        refuse("events", "more than there is room for");
    t->bytes += text->len;
    t->of[t->n].n = text->len;
    t->of[t->n].p = buf_take(text);
    if (!t->of[t->n++].p)
        refuse("events", "out of memory");
}

static void
add_envelope(struct texts *t, struct slice detail_type, struct slice detail)
{
    struct buf text = BUF_INIT;
    const struct slice resource = SLICE("arn:aws:events:us-east-1:123456789012:event-bus/durable-event-bus");
    const struct event_fields f = {.id = SLICE("5fea7756-0ea4-451a-a703-a558b933e274"),
                                   .detail_type = detail_type,
                                   .source = SLICE("buffer.source"),
                                   .account = SLICE("123456789012"),
                                   .time_ms = INT64_C(1790000000000),
                                   .region = SLICE("us-east-1"),
                                   .resources = &resource,
                                   .n_resources = 1,
                                   .detail = detail};
    event_envelope_write(&text, &f);
    add_text(t, &text);
}

/* Real events; false: there are none beside the repository. */
static bool
read_samples(struct texts *t)
{
    struct buf file = BUF_INIT;
    if (!shared_read("data/events/aws-samples.ndjson", &file))
        return false;
    struct slice rest = buf_slice(&file);
    struct json entry, detail_type, detail;
    while (json_parse_first(rest, &entry, &rest, NULL) == 0) {
        struct buf type = BUF_INIT, body = BUF_INIT;
        if (json_get(entry, "DetailType", &detail_type) && json_get(entry, "Detail", &detail) &&
            json_decode(detail_type, &type, NULL) == 0 && json_decode(detail, &body, NULL) == 0)
            add_envelope(t, buf_slice(&type), buf_slice(&body));
        buf_clean_up(&type);
        buf_clean_up(&body);
    }
    buf_clean_up(&file);
    return t->n > 0;
}

/* Of the real ones' size, and with fields of theirs: of one of three kinds, or (dense) of all of them, so that each
 * rule finds what it names. */
static void
make_samples(struct texts *t, bool dense)
{
    for (unsigned i = 0; i < 100; i++) {
        struct buf detail = BUF_INIT;
        buf_add_format(&detail, "{\"version\":\"%u\",\"region\":\"us-east-1\"", i % 3);
        if (dense || i % 3 == 0)
            buf_add_format(&detail,
                           ",\"path\":\"/my/path/%u\",\"httpMethod\":\"GET\",\"requestContext\":{\"stage\":\"test\","
                           "\"timeEpoch\":%u,\"http\":{\"path\":\"/merchants\",\"sourceIp\":\"10.%u.10.10\"}},"
                           "\"headers\":{\"host\":\"x%u.us-east-1.amazonaws.com\"},\"isBase64Encoded\":false,"
                           "\"body\":\"Hello\"",
                           i, 1583348638 + i, i, i);
        if (dense || i % 3 == 1)
            buf_add_format(&detail, ",\"userName\":\"u%u\",\"triggerSource\":\"PreSignUp\"", i);
        buf_add_string(&detail, ",\"Records\":[");
        for (unsigned k = 0; (dense || i % 3 == 2) && k <= i % 8; k++)
            buf_add_format(&detail,
                           "%s{\"eventSource\":\"aws:sqs\",\"awsRegion\":\"us-east-2\",\"eventName\":\"x%u\","
                           "\"body\":\"%0100u\"}",
                           k > 0 ? "," : "", k, k);
        buf_add_string(&detail, "]}");
        add_envelope(t, i % 10 ? SLICE("sampleEvent") : SLICE("albEvent"), buf_slice(&detail));
        buf_clean_up(&detail);
    }
}

/* One event with many records: what rules look at in each, and a small event that they do not. */
static void
make_large(struct texts *t, const struct texts *small)
{
    struct buf detail = BUF_INIT;
    buf_add_string(&detail, "{\"path\":\"/my/path/1\",\"Records\":[0");
    for (unsigned i = 0; detail.len < LARGE; i++) {
        buf_add_format(&detail,
                       ",{\"eventSource\":\"aws:sqs\",\"awsRegion\":\"us-east-1\",\"eventName\":\"n%u\","
                       "\"eventVersion\":\"v%u\",\"body\":",
                       i, i % 100);
        buf_add_slice(&detail, small->of[i % small->n]);
        buf_add_char(&detail, '}');
    }
    buf_add_string(&detail, "]}");
    add_envelope(t, SLICE("large"), buf_slice(&detail));
    buf_clean_up(&detail);
}

static void
make_rules(struct texts *t)
{
    for (unsigned i = 0; i < MANY; i++) {
        struct buf text = BUF_INIT;
        for (const char *c = TEMPLATES[i % N(TEMPLATES)]; *c; c++)
            if (*c == '#')
                buf_add_format(&text, "%u", i / (unsigned)N(TEMPLATES) + 1);
            else
                buf_add_char(&text, *c);
        add_text(t, &text);
    }
}

static void
free_texts(struct texts *t)
{
    for (size_t i = 0; i < t->n; i++)
        free((void *)t->of[i].p);
}

/* ---- the cases ---- */

enum { CHECK, ONE, TEN, THOUSAND, DENSE_ONE, DENSE_THOUSAND, LARGE_ONE, LARGE_THOUSAND, CASES };
enum events { SAMPLES, DENSE, ONE_LARGE };

struct bench_case {
    size_t rules; /* 0: is it JSON, no more */
    enum events events;
    double per_second[ROUNDS], megabytes[ROUNDS]; /* a second */
    struct event_pattern *pattern;                /* one rule */
    struct event_rules *set;
    struct event_scratch *scratch;
    size_t hits;
};

static struct bench_case cases[CASES] = {
    [CHECK] = {.rules = 0},
    [ONE] = {.rules = 1},
    [TEN] = {.rules = 10},
    [THOUSAND] = {.rules = MANY},
    [DENSE_ONE] = {.rules = 1, .events = DENSE},
    [DENSE_THOUSAND] = {.rules = MANY, .events = DENSE},
    [LARGE_ONE] = {.rules = 1, .events = ONE_LARGE},
    [LARGE_THOUSAND] = {.rules = MANY, .events = ONE_LARGE},
};

static int64_t
cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void
set_up(struct bench_case *c, const struct texts *rules)
{
    struct err e = {0};
    size_t bad = 0;
    if (c->rules == 1 && event_pattern_compile(rules->of[1], &c->pattern, &e) != 0)
        refuse(rules->of[1].p, e.text);
    if (c->rules > 1 && event_rules_compile(rules->of, c->rules, &c->set, &bad, &e) != 0)
        refuse(bad < c->rules ? rules->of[bad].p : "rules", e.text);
    if (c->set && event_scratch_new(c->set, &c->scratch, &e) != 0)
        refuse("scratch", e.text);
}

static void
clean_up(struct bench_case *c)
{
    event_pattern_destroy(c->pattern);
    event_scratch_destroy(c->scratch);
    event_rules_destroy(c->set);
}

static void
answer(struct bench_case *c, struct slice event)
{
    uint32_t hits[MANY];
    struct json value;
    struct err e = {0};
    bool yes = false;
    size_t n = 0;
    int rc;
    if (c->set)
        rc = event_rules_match_text(c->set, c->scratch, event, hits, &n, &e);
    else if (c->pattern)
        rc = event_pattern_match_text(c->pattern, event, &yes, &e);
    else
        rc = json_parse(event, &value, &e);
    if (rc != 0)
        refuse("an event", e.text);
    c->hits += n + yes;
}

static void
run(struct bench_case *c, int round, const struct texts *events)
{
    size_t passes = 0;
    int64_t start = cpu_ns(), took;
    do {
        for (size_t i = 0; i < events->n; i++)
            answer(c, events->of[i]);
        passes++;
        took = cpu_ns() - start;
    } while (took < ROUND_NS);
    c->per_second[round] = (double)(passes * events->n) * 1e9 / (double)took;
    c->megabytes[round] = (double)(passes * events->bytes) * 1e3 / (double)took;
}

/* The median of the ratios of two cases' rounds. */
static double
ratio(const double *a, const double *b)
{
    double ratios[ROUNDS];
    for (int i = 0; i < ROUNDS; i++)
        ratios[i] = a[i] / b[i];
    return figure_median(ratios, ROUNDS);
}

/* Without sorting what ratios are taken of, round by round. */
static double
median(const double *values)
{
    double sorted[ROUNDS];
    memcpy(sorted, values, sizeof sorted);
    return figure_median(sorted, ROUNDS);
}

/* How a case did, and how many times as long it took as another one (for the same number of events, or of bytes). */
static void
print(const char *what, const struct bench_case *c, const struct bench_case *other, const char *ratio_of, double least)
{
    bool bytes = c->events == ONE_LARGE;
    figure_print(&(struct figure){.what = what,
                                  .value = median(bytes ? c->megabytes : c->per_second),
                                  .unit = bytes ? "MB/s" : "/s",
                                  .ratio = bytes ? ratio(other->megabytes, c->megabytes)
                                                 : ratio(other->per_second, c->per_second),
                                  .ratio_of = ratio_of,
                                  .least = least});
}

static void
print_all(void)
{
    print("event patterns: 1 rule", &cases[ONE], &cases[CHECK], "check of JSON", 400000);
    print("event patterns: 10 rules", &cases[TEN], &cases[ONE], "1 rule", 0);
    print("event patterns: 1000 rules", &cases[THOUSAND], &cases[ONE], "1 rule", 40000);
    figure_print(&(struct figure){.what = "event patterns: 1000 rules' cost beside 1 rule's",
                                  .value = ratio(cases[ONE].per_second, cases[THOUSAND].per_second),
                                  .unit = "x",
                                  .most = 10});
    print("event patterns: 1000 rules, events with all fields", &cases[DENSE_THOUSAND], &cases[DENSE_ONE],
          "1 rule, same", 0);
    print("event patterns: 1 rule, event of 1 MB", &cases[LARGE_ONE], &cases[ONE], "1 rule, small", 0);
    print("event patterns: 1000 rules, event of 1 MB", &cases[LARGE_THOUSAND], &cases[THOUSAND], "1000, small", 0);
}

int
main(void)
{
    struct texts *events = calloc(3, sizeof *events), *rules = calloc(1, sizeof *rules);
    if (!events || !rules)
        refuse("events", "out of memory");
    if (!read_samples(&events[SAMPLES]))
        make_samples(&events[SAMPLES], false);
    make_samples(&events[DENSE], true);
    make_large(&events[ONE_LARGE], &events[SAMPLES]);
    make_rules(rules);
    for (int i = 0; i < CASES; i++)
        set_up(&cases[i], rules);
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < CASES; i++)
            run(&cases[i], round, &events[cases[i].events]);
    for (int i = 0; i < CASES; i++)
        if (cases[i].rules > 1 && cases[i].hits == 0)
            refuse("rules", "nothing matched");
    print_all();
    for (int i = 0; i < CASES; i++)
        clean_up(&cases[i]);
    for (int i = SAMPLES; i <= ONE_LARGE; i++)
        free_texts(&events[i]);
    free_texts(rules);
    free(events);
    free(rules);
    return 0;
}
