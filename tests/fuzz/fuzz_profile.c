/* fuzz_profile: the shared files of AWS. The input is both, with a line "====" between them. */
#include "aws/profile.h"

#include "fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char mark[] = "====\n";
    const char *p = (const char *)data, *cut = size ? memmem(p, size, mark, sizeof mark - 1) : NULL;
    struct slice config = slice_of(p, cut ? (size_t)(cut - p) : size);
    struct slice credentials = cut ? slice_of(cut + sizeof mark - 1, size - config.n - (sizeof mark - 1)) : SLICE("");
    struct profile_files *f;
    struct err e = {0};
    if (profile_files_parse(config, "config", credentials, "credentials", &f, &e) < 0)
        return e.code == ERR_INVALID && *e.text ? 0 : (abort(), 0);
    static const char *const profiles[] = {"default", "dev", ""};
    for (size_t i = 0; i < sizeof profiles / sizeof *profiles; i++) {
        const char *value = profile_get(f, profiles[i], "aws_access_key_id");
        if (value && (!*value || strchr(value, '\n') || !profile_exists(f, profiles[i])))
            abort();
        value = profile_get_service(f, profiles[i], "sqs", "endpoint_url");
        if (value && !profile_get(f, profiles[i], "services"))
            abort();
    }
    profile_files_destroy(f);
    return 0;
}
