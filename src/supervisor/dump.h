/* dump: the fleet as log lines, one for each worker (USR2). */
#ifndef FANOUT_SUPERVISOR_DUMP_H
#define FANOUT_SUPERVISOR_DUMP_H

#include <stdint.h>

#include "supervisor/fleet.h"

void dump_write(const struct fleet *f, int64_t now_ms);

#endif
