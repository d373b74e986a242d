/* failing_malloc: malloc and its like, that fail when a test wants them to. Linking this in replaces the C library's
 * for the program's own code (not for the shared libraries it uses). One thread. */
#ifndef FANOUT_TESTS_LIB_FAILING_MALLOC_H
#define FANOUT_TESTS_LIB_FAILING_MALLOC_H

/* Runs f with the N-th allocation failing, N rising until none fails any more, each alone and together with all behind
 * it. f returns 0 when it ended as if nothing had failed, else ERR_NO_MEMORY (or ERR_PROTOCOL, of an answer that could
 * not be taken in); it has to have freed all it made. */
void failing_malloc_each(int (*f)(void));

/* From here on every allocation fails, until failing_malloc_stop. */
void failing_malloc_begin(void);

/* For an f that makes something first with memory enough (suspend, resume), and ends it so (stop, disregard): what is
 * allocated outside of resume and stop counts for nothing. */
struct failing_malloc {
    long fails_at, live;
};
struct failing_malloc failing_malloc_suspend(void);
void failing_malloc_resume(const struct failing_malloc *s);
long failing_malloc_stop(void); /* the allocations since resume */
void failing_malloc_disregard(const struct failing_malloc *s, long counted);

#endif
