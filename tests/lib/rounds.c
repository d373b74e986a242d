#include "lib/rounds.h"

#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_SANITIZER true
#else
#define HAS_SANITIZER false
#endif

#define SHARE 5

bool
rounds_are_all(void)
{
    const char *events = getenv("FANOUT_EVENTS");
    return !HAS_SANITIZER || (events && *events);
}

size_t
rounds_of(size_t n)
{
    return rounds_are_all() ? n : n / SHARE > 0 ? n / SHARE : 1;
}
