/* Lists of delays. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/conf.h"

#define DELAY_MAX_MS 43200000 /* SQS: 12 h of invisibility */
#define SPACE        " \t\r\n"

size_t
conf_read_delays(const char *text, int64_t ret_delays_ms[CONF_DELAYS_MAX])
{
    for (size_t n = 0; n < CONF_DELAYS_MAX; n++) {
        char *end;
        text += strspn(text, SPACE);
        if (*text < '0' || *text > '9')
            return 0;
        errno = 0;
        long long value = strtoll(text, &end, 10);
        if (errno != 0 || value < 1 || value > DELAY_MAX_MS)
            return 0;
        ret_delays_ms[n] = value;
        end += strspn(end, SPACE);
        if (!*end)
            return n + 1;
        if (*end != ',')
            return 0;
        text = end + 1;
    }
    return 0;
}
