/* The regular expressions of the service's model, each by hand: none is worth an engine, whose time would depend on
 * what a caller sends. */
#include <string.h>

#include "local/events_shape.h"

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define DIGIT "0123456789"
#define ALNUM LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ" DIGIT
#define WORD  ALNUM "_"
#define NAME  WORD ".-"

/* Passes those characters of s at *at that are c's, most of them at most; returns how many those were. */
static size_t
skip(struct slice s, size_t *at, const char *c, size_t most)
{
    size_t from = *at;
    while (*at < s.n && *at - from < most && s.p[*at] != '\0' && strchr(c, s.p[*at]))
        (*at)++;
    return *at - from;
}

static bool
skip_text(struct slice s, size_t *at, const char *text)
{
    size_t n = strlen(text);
    if (s.n - *at < n || memcmp(s.p + *at, text, n) != 0)
        return false;
    *at += n;
    return true;
}

/* One of c's characters or more, and nothing else. */
static bool
is_all(struct slice s, const char *c)
{
    size_t at = 0;
    return skip(s, &at, c, s.n) > 0 && at == s.n;
}

static bool
is_name(struct slice s)
{
    return is_all(s, NAME);
}

static bool
is_placeholder(struct slice s)
{
    return is_all(s, WORD "-");
}

/* A name, or an ARN that ends with one. */
static bool
is_bus_called(struct slice s, const char *characters)
{
    size_t at = 0;
    if (!skip_text(s, &at, "arn:aws"))
        return is_all(s, characters);
    skip(s, &at, WORD "-", s.n);
    if (skip_text(s, &at, ":events:") && skip(s, &at, LOWER, s.n) && skip_text(s, &at, "-") &&
        skip(s, &at, LOWER, s.n) && skip_text(s, &at, "-") && skip(s, &at, WORD "-", s.n) && skip_text(s, &at, ":") &&
        skip(s, &at, DIGIT, 12) == 12 && skip_text(s, &at, ":event-bus/"))
        return is_all(slice_of(s.p + at, s.n - at), characters);
    return is_all(s, characters);
}

static bool
is_bus(struct slice s)
{
    return is_bus_called(s, NAME);
}

static bool
is_any_bus(struct slice s)
{
    return is_bus_called(s, NAME "/");
}

#define ARN "(arn:aws[\\w-]*:events:[a-z]+-[a-z]+-[\\w-]+:[0-9]{12}:event-bus\\/)?"

const struct events_form EVENTS_FORM_NAME = {"[\\.\\-_A-Za-z0-9]+", is_name};
const struct events_form EVENTS_FORM_BUS = {ARN "[\\.\\-_A-Za-z0-9]+", is_bus};
const struct events_form EVENTS_FORM_ANY_BUS = {ARN "[/\\.\\-_A-Za-z0-9]+", is_any_bus};
const struct events_form EVENTS_FORM_PLACEHOLDER = {"[A-Za-z0-9\\_\\-]+", is_placeholder};
