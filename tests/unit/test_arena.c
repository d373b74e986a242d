#include "base/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void
allocations_are_aligned_and_do_not_overlap(void **state)
{
    (void)state;
    struct arena a;
    unsigned char *pieces[300];
    size_t sum = 0;
    arena_init(&a, 512);
    for (size_t i = 0; i < 300; i++) {
        size_t n = i * 7 % 97;
        pieces[i] = arena_alloc(&a, n);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % _Alignof(max_align_t), 0);
        memset(pieces[i], (int)(i & 255), n);
        sum += n;
    }
    assert_int_equal(a.used_bytes, sum);
    for (size_t i = 0; i < 300; i++)
        for (size_t k = 0; k < i * 7 % 97; k++)
            assert_int_equal(pieces[i][k], i & 255);
    arena_clean_up(&a);
}

static void
nothing_is_allocated_before_the_first_use(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 0);
    assert_null(a.chunks);
    assert_int_equal(a.chunk_bytes, 4096);
    arena_reset(&a);
    arena_clean_up(&a);
    arena_clean_up(&a);
}

static void
zero_bytes_are_a_place_of_their_own(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 0);
    void *first = arena_alloc(&a, 0), *second = arena_alloc(&a, 0);
    assert_non_null(first);
    assert_non_null(second);
    assert_ptr_not_equal(first, second);
    arena_clean_up(&a);
}

static void
zeroed_memory_is_zero_also_after_use(void **state)
{
    (void)state;
    static const char zeros[100];
    struct arena a;
    arena_init(&a, 256);
    memset(arena_alloc(&a, 200), 0xff, 200);
    arena_reset(&a);
    assert_memory_equal(arena_zalloc(&a, 100), zeros, 100);
    arena_clean_up(&a);
}

static void
an_outsize_request_leaves_the_room_of_the_chunk(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1024);
    char *before = arena_alloc(&a, 16);
    char *outsize = arena_alloc(&a, 100000);
    assert_non_null(outsize);
    memset(outsize, 1, 100000);
    char *after = arena_alloc(&a, 16);
    assert_ptr_equal(after, before + 16);
    arena_clean_up(&a);
}

static void
a_reset_keeps_one_chunk_for_the_next_use(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1024);
    arena_alloc(&a, 50000);
    for (int i = 0; i < 100; i++)
        arena_alloc(&a, 100);
    arena_reset(&a);
    assert_int_equal(a.used_bytes, 0);
    void *kept = arena_alloc(&a, 1024);
    arena_reset(&a);
    assert_ptr_equal(arena_alloc(&a, 10), kept);
    arena_clean_up(&a);
    assert_null(a.chunks);
}

static void
sizes_that_cannot_be_give_null(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 0);
    assert_null(arena_alloc(&a, SIZE_MAX));
    assert_null(arena_alloc(&a, SIZE_MAX - 15));
    assert_null(arena_alloc(&a, PTRDIFF_MAX));
    assert_null(arena_zalloc(&a, PTRDIFF_MAX));
    assert_null(arena_strndup(&a, "x", SIZE_MAX));
    assert_int_equal(a.used_bytes, 0);
    assert_non_null(arena_alloc(&a, 1));
    arena_clean_up(&a);
}

static void
texts_are_copied_with_a_nul_behind_them(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 64);
    assert_null(arena_strdup(&a, NULL));
    assert_string_equal(arena_strdup(&a, ""), "");
    assert_string_equal(arena_strdup(&a, "text"), "text");
    assert_string_equal(arena_strndup(&a, "text", 2), "te");
    assert_string_equal(arena_strndup(&a, NULL, 0), "");
    assert_memory_equal(arena_strndup(&a, "a\0b", 3), "a\0b", 4);
    assert_string_equal(arena_strdup_slice(&a, SLICE("slice")), "slice");
    assert_string_equal(arena_format(&a, "%s-%0100d", "x", 7) + 99, "007");
    arena_clean_up(&a);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocations_are_aligned_and_do_not_overlap),
        cmocka_unit_test(nothing_is_allocated_before_the_first_use),
        cmocka_unit_test(zero_bytes_are_a_place_of_their_own),
        cmocka_unit_test(zeroed_memory_is_zero_also_after_use),
        cmocka_unit_test(an_outsize_request_leaves_the_room_of_the_chunk),
        cmocka_unit_test(a_reset_keeps_one_chunk_for_the_next_use),
        cmocka_unit_test(sizes_that_cannot_be_give_null),
        cmocka_unit_test(texts_are_copied_with_a_nul_behind_them),
    };
    return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
