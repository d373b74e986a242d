/* fuzz_conf: what can be written into a configuration. What is read is printed, and what is printed reads back as the
 * same. (Run it with ASAN_OPTIONS=detect_leaks=0: on a syntax error libconfig 1.5 forgets the string before it.) */

#include "config/conf.h"

#include "fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct conf *conf = NULL, *again = NULL;
    struct conf_problems problems;
    struct err e;
    struct buf printed = BUF_INIT, second = BUF_INIT;
    int rc = conf_read_text("fuzz", slice_of((const char *)data, size), &conf, &problems, &e);
    check(rc == 0 || (rc == ERR_INVALID && problems.count > 0 && problems.text.len > 0));
    buf_clean_up(&problems.text);
    if (rc == 0) {
        conf_print(conf, NULL, &printed);
        check(conf_read_text("printed", buf_slice(&printed), &again, NULL, &e) == 0);
        conf_print(again, NULL, &second);
        check(slice_equals(buf_slice(&printed), buf_slice(&second)));
    }
    conf_destroy(conf);
    conf_destroy(again);
    buf_clean_up(&printed);
    buf_clean_up(&second);
    return 0;
}
