/* A handler of a later ABI: it has that entry alone. */
#include <fanout/handler.h>

HANDLER_EXPORT const void *handler_v2(void);
HANDLER_EXPORT const void *
handler_v2(void)
{
    return NULL;
}
