#include "lib/rounds.h"

#include <stdbool.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_SANITIZER true
#else
#define HAS_SANITIZER false
#endif

#define SHARE 5

size_t
rounds_of(size_t n)
{
    const char *events = getenv("FANOUT_EVENTS");
    bool all = !HAS_SANITIZER || (events && *events);
    return all ? n : n / SHARE > 0 ? n / SHARE : 1;
}
