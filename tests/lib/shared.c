#include "lib/shared.h"

#include <stdio.h>
#include <stdlib.h>

bool
shared_read(const char *path, struct buf *out)
{
    char name[4096], chunk[65536];
    const char *folder = getenv("FANOUT_SHARED");
    snprintf(name, sizeof name, "%s/%s", folder && *folder ? folder : "../shared", path);
    FILE *f = fopen(name, "re");
    if (!f)
        return false;
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, f)) > 0;)
        buf_add(out, chunk, n);
    bool ok = !ferror(f) && !buf_failed(out);
    fclose(f);
    return ok;
}
