#include "lib/seeds.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/uuid.h"
#include "lib/rounds.h"

#define SANITIZED_MOST 2

static int64_t
now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

static const char *
setting(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static void
refuse(const char *name, const char *value, const char *what)
{
    fprintf(stderr, "%s=\"%s\": %s\n", name, value, what);
    exit(2);
}

static uint64_t
whole_number(const char *name, const char *value)
{
    char *end;
    uint64_t n = strtoull(value, &end, 10);
    if (*end || *value == '-' || n == 0)
        refuse(name, value, "a number above 0");
    return n;
}

/* Moves to the next seed or range of the list; false: there is none. */
static bool
next_of_list(struct seeds *s)
{
    char *end;
    s->list += strspn(s->list, " ,\t\n");
    if (!*s->list)
        return false;
    s->next = s->last = strtoull(s->list, &end, 10);
    if (end != s->list && *end == '-')
        s->last = strtoull(end + 1, &end, 10);
    if (!isdigit((unsigned char)*s->list) || !strchr(" ,\t\n", *end) || s->last < s->next)
        refuse("FANOUT_SEEDS", s->list, "seeds and ranges of seeds, like \"7 20-29\"");
    s->list = end;
    return true;
}

void
seeds_init(struct seeds *s, const uint64_t *kept, size_t n_kept)
{
    const char *soak_s = setting("FANOUT_SOAK_S");
    *s = (struct seeds){.kept = kept, .n_kept = n_kept, .next = 1, .random = uuid_random_seed()};
    if (!rounds_are_all() && n_kept > SANITIZED_MOST)
        s->n_kept = SANITIZED_MOST;
    s->list = setting("FANOUT_SEEDS");
    if (s->list) { /* all of it is looked at before the first seed runs */
        struct seeds probe = *s;
        while (next_of_list(&probe))
            ;
    } else if (soak_s) {
        s->until_ms = now_ms() + (int64_t)whole_number("FANOUT_SOAK_S", soak_s) * 1000;
    }
}

bool
seeds_next(struct seeds *s, uint64_t *ret_seed)
{
    if (s->list) {
        if (s->next > s->last)
            if (!next_of_list(s))
                return false;
        *ret_seed = s->next++;
    } else if (s->until_ms) {
        if (now_ms() >= s->until_ms)
            return false;
        *ret_seed = 1000 + seeds_draw(&s->random, 1000000000);
    } else {
        if (s->n_kept == 0)
            return false;
        *ret_seed = *s->kept++;
        s->n_kept--;
    }
    printf("seed %llu\n", (unsigned long long)*ret_seed);
    fflush(stdout);
    return true;
}

/* SplitMix64 (Steele, Lea, Flood 2014). */
uint64_t
seeds_draw(uint64_t *random, uint64_t below)
{
    uint64_t z = *random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (z ^ z >> 31) % below;
}

size_t
seeds_events(size_t otherwise)
{
    const char *events = setting("FANOUT_EVENTS");
    return events ? whole_number("FANOUT_EVENTS", events) : otherwise;
}
