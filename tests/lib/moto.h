/* moto: moto's server (tests/bench/peers/moto), the best-known emulator of AWS, to measure beside fanout-local. */
#ifndef FANOUT_TESTS_LIB_MOTO_H
#define FANOUT_TESTS_LIB_MOTO_H

#include <stdbool.h>

#include "lib/proc.h"

struct moto {
    struct proc *process;
    char url[100];
};

/* Starts it, with a queue of that name in it. False, with the reason on standard error: it cannot be had here. */
bool moto_start(struct moto *m, const char *queue);

/* The same without a queue, and executing one request after the other, as conditional writes need it. */
bool moto_start_one_by_one(struct moto *m);
void moto_stop(struct moto *m);

#endif
