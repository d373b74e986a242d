#include "base/digest.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void
md5_gives_the_digests_of_rfc_1321(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", "d41d8cd98f00b204e9800998ecf8427e"},
        {"a", "0cc175b9c0f1b6a831c399e269772661"},
        {"abc", "900150983cd24fb0d6963f7d28e17f72"},
        {"message digest", "f96b697d7cb7938d525a2f31aaf161d0"},
        {"12345678901234567890123456789012345678901234567890123456789012345678901234567890",
         "57edf4a22be3c955ac49da2e2107b67a"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char hex[DIGEST_MD5_HEX];
        digest_md5_hex(cases[i][0], strlen(cases[i][0]), hex);
        assert_string_equal(hex, cases[i][1]);
    }
    char hex[DIGEST_MD5_HEX];
    digest_md5_hex(NULL, 0, hex);
    assert_string_equal(hex, cases[0][1]);
}

static void
sha256_gives_the_digests_of_fips_180(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char hex[DIGEST_SHA256_HEX];
        digest_sha256_hex(cases[i][0], strlen(cases[i][0]), hex);
        assert_string_equal(hex, cases[i][1]);
    }
}

static void
hmac_gives_the_codes_of_rfc_4231(void **state)
{
    (void)state;
    uint8_t key[131], data[50], out[DIGEST_SHA256_BYTES];
    char hex[DIGEST_SHA256_HEX];

    memset(key, 0x0b, 20);
    digest_hmac_sha256(key, 20, "Hi There", 8, out);
    digest_hex(out, sizeof out, hex);
    assert_string_equal(hex, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");

    digest_hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, out);
    digest_hex(out, sizeof out, hex);
    assert_string_equal(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");

    memset(key, 0xaa, 131);
    memset(data, 0xdd, 50);
    digest_hmac_sha256(key, 20, data, 50, out);
    digest_hex(out, sizeof out, hex);
    assert_string_equal(hex, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");

    digest_hmac_sha256(key, 131, "Test Using Larger Than Block-Size Key - Hash Key First", 54, out);
    digest_hex(out, sizeof out, hex);
    assert_string_equal(hex, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void
each_call_has_its_own_key(void **state)
{
    (void)state;
    uint8_t keys[3][DIGEST_SHA256_BYTES + 1], first[3][DIGEST_SHA256_BYTES], again[DIGEST_SHA256_BYTES];
    const size_t lengths[] = {DIGEST_SHA256_BYTES, DIGEST_SHA256_BYTES, DIGEST_SHA256_BYTES + 1};
    for (size_t i = 0; i < 3; i++) {
        memset(keys[i], i == 1 ? 'b' : 'a', sizeof keys[i]);
        digest_hmac_sha256(keys[i], lengths[i], "text", 4, first[i]);
    }
    assert_memory_not_equal(first[0], first[1], sizeof again);
    assert_memory_not_equal(first[0], first[2], sizeof again);
    for (size_t i = 0; i < 9; i++) { /* after each of the three, every one */
        digest_hmac_sha256(keys[i / 3], lengths[i / 3], "text", 4, again);
        digest_hmac_sha256(keys[i % 3], lengths[i % 3], "text", 4, again);
        assert_memory_equal(again, first[i % 3], sizeof again);
    }
}

static void
an_empty_key_is_not_the_key_of_the_call_before(void **state)
{
    (void)state;
    uint8_t out[DIGEST_SHA256_BYTES];
    char hex[DIGEST_SHA256_HEX];
    digest_hmac_sha256("another", 7, "", 0, out);
    digest_hmac_sha256(NULL, 0, NULL, 0, out);
    digest_hex(out, sizeof out, hex);
    assert_string_equal(hex, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void
an_md5_in_pieces_is_that_of_the_whole(void **state)
{
    (void)state;
    char data[5000];
    uint8_t whole[DIGEST_MD5_BYTES], pieces[DIGEST_MD5_BYTES];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (char)(i * 31);
    digest_md5(data, sizeof data, whole);
    for (size_t step = 1; step < sizeof data; step = step * 3 + 1) {
        struct digest_md5_stream *s = digest_md5_begin();
        assert_non_null(s);
        for (size_t at = 0; at < sizeof data; at += step)
            digest_md5_update(s, data + at, sizeof data - at < step ? sizeof data - at : step);
        digest_md5_end(s, pieces);
        assert_memory_equal(pieces, whole, sizeof whole);
    }
}

static void
bytes_become_lower_case_hex(void **state)
{
    (void)state;
    char hex[9];
    digest_hex((const uint8_t[]){0x00, 0x7f, 0xab, 0xff}, 4, hex);
    assert_string_equal(hex, "007fabff");
    digest_hex(NULL, 0, hex);
    assert_string_equal(hex, "");
}

static void
equal_means_every_byte(void **state)
{
    (void)state;
    assert_true(digest_equal("abcd", "abcd", 4));
    assert_false(digest_equal("abcd", "abce", 4));
    assert_false(digest_equal("abcd", "bbcd", 4));
    assert_true(digest_equal("abcd", "abce", 3));
    assert_true(digest_equal("a", "b", 0));
}

static void
base64_gives_the_vectors_of_rfc_4648(void **state)
{
    (void)state;
    static const char *const cases[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf b = BUF_INIT;
        buf_add_string(&b, ">");
        digest_base64_encode(&b, cases[i][0], strlen(cases[i][0]));
        assert_string_equal(b.data + 1, cases[i][1]);
        buf_reset(&b);
        buf_add_string(&b, ">");
        assert_true(digest_base64_decode(&b, slice_of_string(cases[i][1])));
        assert_string_equal(b.data + 1, cases[i][0]);
        buf_clean_up(&b);
    }
}

static void
any_bytes_survive_base64(void **state)
{
    (void)state;
    srand(3);
    for (size_t n = 0; n < 300; n++) {
        unsigned char data[300];
        struct buf text = BUF_INIT, back = BUF_INIT;
        for (size_t i = 0; i < n; i++)
            data[i] = (unsigned char)rand();
        digest_base64_encode(&text, data, n);
        assert_int_equal(text.len, (n + 2) / 3 * 4);
        assert_true(digest_base64_decode(&back, buf_slice(&text)));
        assert_int_equal(back.len, n);
        if (n > 0)
            assert_memory_equal(back.data, data, n);
        buf_clean_up(&text);
        buf_clean_up(&back);
    }
}

static void
base64_that_is_not_strict_is_refused_and_leaves_the_buf(void **state)
{
    (void)state;
    static const char *const cases[] = {"Z",        "Zg",       "Zg=",  "Zg===",    "=",        "====",
                                        "Z===",     "Zh==",     "Zm9=", "Zm9v\n",   "Zm 9",     "Zm9-",
                                        "Zm9_",     "Zg==Zg==", "Z=g=", "Zm8=Zm8=", "Zm9v====", "\xc3\xa4\xc3\xa4",
                                        "Zm9vZm9!", "!m9vZm9v"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf b = BUF_INIT;
        buf_add_string(&b, "before");
        assert_false(digest_base64_decode(&b, slice_of_string(cases[i])));
        assert_false(buf_failed(&b));
        assert_string_equal(b.data, "before");
        buf_clean_up(&b);
    }
}

static void
base64_into_a_buf_without_room_fails(void **state)
{
    (void)state;
    struct buf b;
    buf_init_limited(&b, 7);
    digest_base64_encode(&b, "foobar", 6);
    assert_true(buf_failed(&b));
    buf_reset(&b);
    buf_add_string(&b, "12345");
    assert_false(digest_base64_decode(&b, SLICE("Zm9v")));
    assert_true(buf_failed(&b));
    buf_clean_up(&b);
}

static void *
hash_many(void *seed)
{
    uintptr_t mistakes = 0;
    char data[64];
    memset(data, *(char *)seed, sizeof data);
    uint8_t md5[DIGEST_MD5_BYTES], sha[DIGEST_SHA256_BYTES], hmac[DIGEST_SHA256_BYTES];
    digest_md5(data, sizeof data, md5);
    digest_sha256(data, sizeof data, sha);
    digest_hmac_sha256(data, 32, data, sizeof data, hmac);
    for (int i = 0; i < 2000; i++) {
        uint8_t again[DIGEST_SHA256_BYTES];
        digest_md5(data, sizeof data, again);
        mistakes += memcmp(again, md5, sizeof md5) != 0;
        digest_sha256(data, sizeof data, again);
        mistakes += memcmp(again, sha, sizeof sha) != 0;
        digest_hmac_sha256(data, 32, data, sizeof data, again);
        mistakes += memcmp(again, hmac, sizeof hmac) != 0;
    }
    return (void *)mistakes;
}

static void
threads_do_not_disturb_each_other(void **state)
{
    (void)state;
    pthread_t threads[6];
    char seeds[6];
    for (size_t i = 0; i < 6; i++) {
        seeds[i] = (char)i;
        pthread_create(&threads[i], NULL, hash_many, &seeds[i]);
    }
    for (size_t i = 0; i < 6; i++) {
        void *mistakes;
        pthread_join(threads[i], &mistakes);
        assert_null(mistakes);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_do_not_disturb_each_other), /* first, so that they race for the fetch */
        cmocka_unit_test(md5_gives_the_digests_of_rfc_1321),
        cmocka_unit_test(sha256_gives_the_digests_of_fips_180),
        cmocka_unit_test(hmac_gives_the_codes_of_rfc_4231),
        cmocka_unit_test(each_call_has_its_own_key),
        cmocka_unit_test(an_empty_key_is_not_the_key_of_the_call_before),
        cmocka_unit_test(an_md5_in_pieces_is_that_of_the_whole),
        cmocka_unit_test(bytes_become_lower_case_hex),
        cmocka_unit_test(equal_means_every_byte),
        cmocka_unit_test(base64_gives_the_vectors_of_rfc_4648),
        cmocka_unit_test(any_bytes_survive_base64),
        cmocka_unit_test(base64_that_is_not_strict_is_refused_and_leaves_the_buf),
        cmocka_unit_test(base64_into_a_buf_without_room_fails),
    };
    return cmocka_run_group_tests_name("digest", tests, NULL, NULL);
}
