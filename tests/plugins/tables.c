/* Hands out a right or a wrong table, as FANOUT_TEST_TABLE says: tests/abi/test_abi.c lists them. */
#include <fanout/handler.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int32_t
done(void *plugin, void *thread, struct handler_call *call, const struct handler_message *message)
{
    (void)plugin;
    (void)thread;
    (void)call;
    (void)message;
    return HANDLER_DONE;
}

static int32_t
all_done(void *plugin, void *thread, struct handler_call *call, const struct handler_batch *batch)
{
    (void)plugin;
    (void)thread;
    (void)call;
    (void)batch;
    return HANDLER_DONE;
}

static void
closing(void *plugin)
{
    (void)plugin;
}

static const struct handler_option OPTIONS[] = {{"word", "string", "", "A word."},
                                                {"count", "int", "3", "A count."},
                                                {"ratio", "number", "0.5", "A ratio."},
                                                {"flag", "bool", "false", "A flag."},
                                                {"must", "string", NULL, "What must be given."},
                                                {0}};
static const struct handler_option BAD_TYPE[] = {{"when", "date", NULL, NULL}, {0}};
static const struct handler_option NO_TYPE[] = {{"when", NULL, NULL, NULL}, {0}};
static const struct handler_option BAD_INT[] = {{"count", "int", "3.5", NULL}, {0}};
static const struct handler_option BAD_NUMBER[] = {{"ratio", "number", "nan", NULL}, {0}};
static const struct handler_option BAD_BOOL[] = {{"flag", "bool", "yes", NULL}, {0}};
static const struct handler_option BAD_NAME[] = {{"a b", "bool", "true", NULL}, {0}};
static const struct handler_option TWICE[] = {{"a", "bool", "true", NULL}, {"a", "int", "1", NULL}, {0}};

/* The table's first n bytes, with nothing to read behind them. */
static const struct handler *
first_bytes(const struct handler *table, size_t n)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *p = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED || mprotect(p + page, page, PROT_NONE) != 0)
        abort();
    return memcpy(p + page - n, table, n);
}

HANDLER_EXPORT const struct handler *handler_v1(void);
HANDLER_EXPORT const struct handler *
handler_v1(void)
{
    static struct {
        struct handler now;
        int32_t (*later[4])(void);
    } longer;
    static struct handler t;
    const char *wanted = getenv("FANOUT_TEST_TABLE");
    if (!wanted || strcmp(wanted, "null") == 0)
        return NULL;
    t = (struct handler){.size = sizeof t,
                         .abi_major = HANDLER_ABI_MAJOR,
                         .name = "tables",
                         .version = "1",
                         .options = OPTIONS,
                         .handle = done,
                         .close = closing};
    if (strcmp(wanted, "shorter") == 0) {
        t.size = offsetof(struct handler, handle_batch);
        return first_bytes(&t, t.size);
    }
    if (strcmp(wanted, "longer") == 0) {
        memset(&longer, 0xff, sizeof longer);
        longer.now = t;
        longer.now.size = sizeof longer;
        return &longer.now;
    }
    if (strcmp(wanted, "eight-bytes") == 0) {
        t.size = 8;
        return first_bytes(&t, 8);
    }
    if (strcmp(wanted, "zero-bytes") == 0)
        t.size = 0;
    else if (strcmp(wanted, "major") == 0)
        t.abi_major = 2;
    else if (strcmp(wanted, "no-name") == 0)
        t.name = NULL;
    else if (strcmp(wanted, "bad-name") == 0)
        t.name = "Tables!";
    else if (strcmp(wanted, "no-version") == 0)
        t.version = NULL;
    else if (strcmp(wanted, "none") == 0)
        t.handle = NULL;
    else if (strcmp(wanted, "both") == 0)
        t.handle_batch = all_done;
    else if (strcmp(wanted, "no-options") == 0)
        t.options = NULL;
    else if (strcmp(wanted, "bad-type") == 0)
        t.options = BAD_TYPE;
    else if (strcmp(wanted, "no-type") == 0)
        t.options = NO_TYPE;
    else if (strcmp(wanted, "bad-int") == 0)
        t.options = BAD_INT;
    else if (strcmp(wanted, "bad-number") == 0)
        t.options = BAD_NUMBER;
    else if (strcmp(wanted, "bad-bool") == 0)
        t.options = BAD_BOOL;
    else if (strcmp(wanted, "bad-option-name") == 0)
        t.options = BAD_NAME;
    else if (strcmp(wanted, "option-twice") == 0)
        t.options = TWICE;
    else if (strcmp(wanted, "equal") != 0)
        abort();
    return &t;
}
