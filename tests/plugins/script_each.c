/* script_each: script, a message at a time. */
#define SCRIPT_EACH
#include "script.c"
