/* skip: ends a cmocka test as skipped and says why; tests/lib/run prints the reason. */
#ifndef FANOUT_TESTS_LIB_SKIP_H
#define FANOUT_TESTS_LIB_SKIP_H

#define skip_because(...)                                                                                              \
    do {                                                                                                               \
        print_message("skipped: " __VA_ARGS__);                                                                        \
        print_message("\n");                                                                                           \
        skip();                                                                                                        \
    } while (0)

#endif
