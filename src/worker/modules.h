/* modules: which function of which file an address of this process belongs to.
 *
 * The table of what is mapped is made beforehand, because the dynamic linker's own must not be asked by a thread that
 * crashes: it may hold the linker's lock. Names come from a file's symbol table (.symtab, so that static functions have
 * theirs, or .dynsym when it was stripped), read when they are needed and trusted in nothing. Reading a table again
 * takes in what was loaded since. */
#ifndef FANOUT_WORKER_MODULES_H
#define FANOUT_WORKER_MODULES_H

#include <stddef.h>
#include <stdint.h>

#define MODULES_MAX        128 /* more are not known: their addresses are written bare */
#define MODULES_PATH_BYTES 256

struct module {
    uintptr_t start, end; /* of its segments */
    uintptr_t bias;       /* an address less this one is that of the file */
    char path[MODULES_PATH_BYTES];
};

struct modules {
    size_t count;
    struct module module[MODULES_MAX];
};

void modules_read(struct modules *m);

/* NULL: in none of them. Async-signal-safe. */
const struct module *modules_find(const struct modules *m, uintptr_t address);

/* Writes "function+0x1c (file.so+0x11a9)", "file.so+0x11a9" where no function is known, or "0x55..." where no file is,
 * with a NUL, cut to fit; returns its length. Async-signal-safe: no memory is allocated, no lock taken.
 * is_return: the address is where a call returns to, so the function is that of the byte before it. */
size_t modules_describe(const struct modules *m, uintptr_t address, int is_return, char *ret_text, size_t capacity);

#endif
