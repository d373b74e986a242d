/* fuzz_event: any bytes as an event, against patterns that use all there is: each alone, all in a set, parsed first or
 * from the text, and the naive matcher of the tests: all say the same. */
#include "event/pattern.h"

#include "fuzz/fuzz.h"

#include "event/ruleset.h"
#include "lib/naive_pattern.h"

#define NAIVE_BYTES 400

static const char *const PATTERNS[] = {
    "{\"a\":[\"x\",1,null,true,1e400,\"10.0.0.1\",\"::1\"],\"b\":[{\"prefix\":\"x\"},{\"suffix\":\"y\"}]}",
    "{\"a\":{\"b\":[{\"exists\":true}],\"c\":[{\"exists\":false}]}}",
    "{\"a\":{\"b\":[{\"exists\":false}],\"c\":[{\"exists\":true}]}}",
    "{\"a.b\":[{\"anything-but\":[\"x\",\"y\"]}],\"a\":{\"c\":[{\"anything-but\":[1,2]}]}}",
    "{\"a\":{\"b\":{\"c\":[1],\"d\":[1]},\"c\":[1]}}",
    "{\"$or\":[{\"a\":[1]},{\"b\":[2],\"$or\":[{\"c\":[3]},{\"a\":{\"d\":[{\"exists\":false}]}}]}],\"d\":[{\"exists\":"
    "true},\"x\"]}",
    "{\"$or\":[{\"prefix\":\"x\"},{\"suffix\":\"y\"}]}",
    "{\"a\":[{\"wildcard\":\"x*y\"},{\"wildcard\":\"*\\\\**\"}],\"b\":[{\"equals-ignore-case\":\"x\\u00e9\\u00df\"}]}",
    "{\"a\":[{\"prefix\":{\"equals-ignore-case\":\"k\\u212a\"}},{\"suffix\":{\"equals-ignore-case\":\"\\u00df\"}}]}",
    "{\"a\":[{\"numeric\":[\">\",0,\"<=\",5]},{\"numeric\":[\"=\",300]},{\"cidr\":\"10.0.0.0/"
    "8\"},{\"cidr\":\"2001:db8::/33\"}]}",
    "{\"a\":[{\"anything-but\":{\"prefix\":[\"x\",\"yz\"]}}],\"b\":[{\"anything-but\":{\"suffix\":\"y\"}}]}",
    "{\"a\":[{\"anything-but\":{\"wildcard\":[\"x*\",\"*y*z\"]}},{\"anything-but\":{\"equals-ignore-case\":\"xy\"}}]}",
    "{\"\\u00e9\":{\"\\ud83d\\ude00\":[\"\\ud83d\\ude00\"]},\"a\":[{\"exactly\":\"10.0.0.1\"},{\"anything-but\":1}]}",
};

#define N (sizeof PATTERNS / sizeof *PATTERNS)

static struct event_pattern *patterns[N];
static struct naive_pattern *witnesses[N];
static struct event_rules *rules;
static struct event_scratch *scratch;

static void
set_up(void)
{
    struct slice texts[N];
    char why[100];
    for (size_t i = 0; i < N; i++) {
        texts[i] = slice_of_string(PATTERNS[i]);
        check(event_pattern_compile(texts[i], &patterns[i], NULL) == 0);
        check(naive_pattern_compile(texts[i], &witnesses[i], why, sizeof why) == NAIVE_YES);
    }
    check(event_rules_compile(texts, N, &rules, NULL, NULL) == 0);
    check(event_scratch_new(rules, &scratch, NULL) == 0);
}

/* Whether pattern i matches, by everyone's word. */
static bool
match(size_t i, struct slice text, struct json event)
{
    struct buf said = BUF_INIT;
    bool yes = event_pattern_match(patterns[i], event), from_text = !yes;
    check(event_pattern_match_text(patterns[i], text, &from_text, NULL) == 0 && from_text == yes);
    check(event_pattern_explain(patterns[i], event, &said, NULL) == 0 && (said.len == 0) == yes);
    buf_clean_up(&said);
    if (text.n <= NAIVE_BYTES) {
        enum naive_answer answer = naive_pattern_match(witnesses[i], event);
        check(answer == NAIVE_UNSURE || yes == (answer == NAIVE_YES));
    }
    return yes;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_of((const char *)data, size);
    uint32_t hits[N], again[N];
    struct json event;
    struct err e;
    size_t n = N + 1;
    if (!rules)
        set_up();
    if (json_parse(text, &event, &e) != 0 || event.type != JSON_OBJECT) {
        bool yes;
        check(event_rules_match_text(rules, scratch, text, hits, &n, &e) != 0 && n == N + 1);
        check((e.code == ERR_INVALID || e.code == ERR_LIMIT) && e.text[0]);
        check(event_pattern_match_text(patterns[0], text, &yes, &e) == e.code && e.code != 0);
        return 0;
    }
    check(event_rules_match_text(rules, scratch, text, hits, &n, &e) == 0);
    check(event_rules_match(rules, scratch, event, again) == n && memcmp(hits, again, n * sizeof *hits) == 0);
    for (size_t i = 0, at = 0; i < N; i++) {
        bool together = at < n && hits[at] == i;
        check(match(i, text, event) == together);
        at += together;
    }
    return 0;
}
