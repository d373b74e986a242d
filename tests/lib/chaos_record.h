/* chaos_record: what a chaos handler (tests/plugins/chaos.c) did, in a file that it and the judge map.
 *
 * One entry for each time a message was handed to the handler: begun when it is, ended just before its verdict is told
 * to the worker. So no kill takes away what was done, and what a worker did with a verdict comes after the entry that
 * has it. Entries are taken with an atomic counter and never written again by anybody else. Times are CLOCK_MONOTONIC's
 * in nanoseconds, comparable between processes; those of the run's clock are as old as its last pass. Needs libc alone:
 * the plugin includes it. */
#ifndef FANOUT_TESTS_LIB_CHAOS_RECORD_H
#define FANOUT_TESTS_LIB_CHAOS_RECORD_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define CHAOS_RECORD_MAGIC UINT64_C(0x6368616f73303031)

/* Verdicts besides the handler's: it broke the contract; the host said that the lease was over. */
#define CHAOS_VIOLATION 50
#define CHAOS_LOST      51

struct chaos_entry {
    uint32_t message; /* its number */
    int32_t pid;
    uint32_t receives;
    _Atomic int32_t verdict;          /* 0: none yet, or killed before */
    int64_t began_ns, began_clock_ms; /* ... by the run's clock */
    _Atomic int64_t ended_ns, ended_clock_ms;
};

struct chaos_record {
    uint64_t magic;
    uint32_t messages, capacity;
    _Atomic uint32_t next;    /* entries taken; may pass the capacity: what is beyond is lost, and told by this */
    _Atomic int64_t clock_ms; /* of the run: what slow handlers wait by */
    /* struct chaos_entry entries[capacity]; then _Atomic uint32_t times[messages], how often each was handled */
};

static inline size_t
chaos_record_bytes(uint32_t messages, uint32_t capacity)
{
    return sizeof(struct chaos_record) + capacity * sizeof(struct chaos_entry) + messages * sizeof(uint32_t);
}

static inline struct chaos_entry *
chaos_record_entries(struct chaos_record *r)
{
    return (struct chaos_entry *)(r + 1);
}

static inline _Atomic uint32_t *
chaos_record_times(struct chaos_record *r)
{
    return (_Atomic uint32_t *)(chaos_record_entries(r) + r->capacity);
}

static inline int64_t
chaos_record_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

#endif
