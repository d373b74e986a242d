/* ordered, a message at a time. */
#define ORDERED_EACH
#include "ordered.c"
