#include "worker/fatal.h"

#include <errno.h>
#include <execinfo.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/log.h"
#include "worker/modules.h"

#define STACK_BYTES (64 << 10)
#define GUARD_BYTES (64 << 10) /* the largest page size in use */
#define LIMIT_S     1

static const int SIGNALS[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS, SIGTRAP};
#define N_SIGNALS (sizeof SIGNALS / sizeof *SIGNALS)

/* A signal handler is given nothing but the signal: what it needs is the process's. */
static struct {
    struct ledger_crash *crash;
    struct modules modules;
    uintptr_t plugin;
    atomic_flag taken;
} fatal = {.taken = ATOMIC_FLAG_INIT};

static _Thread_local int32_t thread_number = -1;
static _Thread_local void *thread_stack;

struct place {
    uintptr_t struck;  /* the instruction */
    uintptr_t came_by; /* the return address, where that is no function's instruction */
};

#if defined(__x86_64__)
static struct place
place_of(const ucontext_t *c)
{
    struct place p = {.struck = (uintptr_t)c->uc_mcontext.gregs[REG_RIP]};
    struct iovec here = {.iov_base = &p.came_by, .iov_len = sizeof p.came_by};
    struct iovec stack = {.iov_base = (void *)(uintptr_t)c->uc_mcontext.gregs[REG_RSP], .iov_len = sizeof p.came_by};
    process_vm_readv(getpid(), &here, 1, &stack, 1, 0); /* a read that cannot strike again */
    return p;
}
#elif defined(__aarch64__)
static struct place
place_of(const ucontext_t *c)
{
    return (struct place){.struck = c->uc_mcontext.pc, .came_by = c->uc_mcontext.regs[30]};
}
#else
#error "fatal.c does not know this machine's registers"
#endif

/* From where the signal struck: the frames of this file and of the kernel's call into it are left out. A jump to
 * nowhere leaves nothing to go by but where it came from: the unwinder would read there, and strike again. */
static void
find_frames(struct ledger_crash *c, struct place at)
{
    c->frames[0] = at.struck;
    c->frames[1] = at.came_by;
    c->n_frames = at.came_by ? 2 : 1;
    if (!modules_find(&fatal.modules, at.struck))
        return;
    c->n_frames = 1;
    void *found[LEDGER_FRAMES + 8];
    int n = backtrace(found, sizeof found / sizeof *found), i = 0;
    while (i < n && (uintptr_t)found[i] != at.struck)
        i++;
    for (i++; i < n && c->n_frames < LEDGER_FRAMES; i++)
        c->frames[c->n_frames++] = (uintptr_t)found[i];
}

static void
describe_where(struct ledger_crash *c)
{
    const struct module *plugin = fatal.plugin ? modules_find(&fatal.modules, fatal.plugin) : NULL;
    uint32_t i = 0;
    while (plugin && i < c->n_frames && modules_find(&fatal.modules, c->frames[i] - (i > 0)) != plugin)
        i++;
    if (!plugin || i == c->n_frames)
        i = 0;
    modules_describe(&fatal.modules, c->frames[i], i > 0, c->where, sizeof c->where);
}

static void
describe_all(struct ledger_crash *c)
{
    size_t n = 0;
    for (uint32_t i = 0; i < c->n_frames && n + 3 < sizeof c->backtrace; i++) {
        if (i > 0) {
            c->backtrace[n++] = ',';
            c->backtrace[n++] = ' ';
        }
        n += modules_describe(&fatal.modules, c->frames[i], i > 0, c->backtrace + n, sizeof c->backtrace - n);
    }
}

static void
report(const siginfo_t *info, const ucontext_t *context)
{
    struct ledger_crash *c = fatal.crash;
    c->code = info->si_code;
    c->address = info->si_code > 0 ? (uint64_t)(uintptr_t)info->si_addr : 0; /* of a fault alone */
    c->thread = thread_number;
    atomic_store(&c->signal, info->si_signo);
    find_frames(c, place_of(context));
    describe_where(c);
    describe_all(c);
}

/* Nothing in here may be relied upon to return: the alarm ends what does not. */
static void
die(int signal_number, siginfo_t *info, void *context)
{
    if (atomic_flag_test_and_set(&fatal.taken))
        for (;;)
            pause(); /* another thread was first, and takes this one with it */
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    signal(SIGALRM, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    alarm(LIMIT_S);
    report(info, context);
    for (size_t i = 0; i < N_SIGNALS; i++)
        signal(SIGNALS[i], SIG_DFL);
    /* A fault strikes again when this returns, at the place that a core file is to show; what was sent does not. */
    if (info->si_code <= 0)
        raise(signal_number);
}

static int
make_stack(struct err *e)
{
    unsigned char *p = mmap(NULL, GUARD_BYTES + STACK_BYTES, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return err_set_errno(e, errno, "mmap");
    stack_t stack = {.ss_sp = p + GUARD_BYTES, .ss_size = STACK_BYTES};
    if (mprotect(p, GUARD_BYTES, PROT_NONE) != 0 || sigaltstack(&stack, NULL) != 0) {
        int rc = err_set_errno(e, errno, "sigaltstack");
        munmap(p, GUARD_BYTES + STACK_BYTES);
        return rc;
    }
    thread_stack = p;
    return 0;
}

void
fatal_thread_begin(int32_t number)
{
    struct err e;
    thread_number = number;
    if (make_stack(&e) != 0)
        log_write(LOG_WARN, "a thread has no stack of its own for fatal signals", LOG_INT("thread", number),
                  LOG_ERR(&e));
}

void
fatal_thread_end(void)
{
    if (!thread_stack)
        return;
    stack_t none = {.ss_flags = SS_DISABLE};
    if (sigaltstack(&none, NULL) == 0)
        munmap(thread_stack, GUARD_BYTES + STACK_BYTES);
    thread_stack = NULL;
}

void
fatal_note_modules(uintptr_t plugin)
{
    modules_read(&fatal.modules);
    fatal.plugin = plugin;
}

int
fatal_init(struct ledger *l, struct err *e)
{
    void *first[2];
    fatal.crash = ledger_crash(l);
    fatal_note_modules(0);
    backtrace(first, 2); /* its first call loads a library */
    fatal_thread_begin(-1);
    struct sigaction action = {.sa_sigaction = die, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigfillset(&action.sa_mask);
    for (size_t i = 0; i < N_SIGNALS; i++)
        if (sigaction(SIGNALS[i], &action, NULL) != 0)
            return err_set_errno(e, errno, "sigaction");
    return 0;
}
