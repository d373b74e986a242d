/* A shared object that is no handler. */
#include <fanout/handler.h>

HANDLER_EXPORT int32_t something_else(void);
HANDLER_EXPORT int32_t
something_else(void)
{
    return 1;
}
