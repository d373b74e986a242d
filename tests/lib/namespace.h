/* namespace: mounts, and a network, of the test program's own: for full disks and silent resolvers that are real, and
 * that nobody else on the machine notices. Everything ends with the program.
 *
 * For the calling thread and what it starts from then on, processes included. Anybody's where the kernel allows user
 * namespaces, else root's. */
#ifndef FANOUT_TESTS_LIB_NAMESPACE_H
#define FANOUT_TESTS_LIB_NAMESPACE_H

#include <stdbool.h>

/* Once, at the beginning of main, before there are threads. with_network: with nothing but a loopback that is up.
 * Returns NULL, or why it cannot be done here (to skip with). */
const char *namespace_enter(bool with_network);

/* After namespace_enter; what fails fails the test. An empty file system of this size at dir; path's content instead of
 * target's. */
void namespace_mount_memory(const char *dir, unsigned megabytes);
void namespace_unmount(const char *dir);
void namespace_bind(const char *path, const char *target);

#endif
