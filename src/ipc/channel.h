/* channel: how the supervisor and a worker talk: a SOCK_SEQPACKET pair, the worker's end on fd 3.
 *
 * Small, typed, one packet a message. End of file on the worker's side means that the supervisor died: the worker
 * drains. On the supervisor's side, an exit code means something only after the matching message (IPC_DRAINED,
 * IPC_BAD_CONFIG): a handler may call exit(0) at any time. Both ends are non-blocking. */
#ifndef FANOUT_IPC_CHANNEL_H
#define FANOUT_IPC_CHANNEL_H

#include <stdint.h>

#include "base/err.h"

/* Descriptors a worker is started with. */
enum {
    IPC_FD_CHANNEL = 3,
    IPC_FD_LEDGER = 4, /* memfd, see ledger.h */
    IPC_FD_CONFIG = 5, /* sealed memfd: the consumer's configuration as conf_print writes it */
};

/* Exit codes of a worker (and of fanoutd, fanoutctl and fanout-local where they apply). */
enum {
    IPC_EXIT_OK = 0, /* drained */
    IPC_EXIT_FAILURE = 1,
    IPC_EXIT_CONFIG = 2,  /* configuration or plugin refused */
    IPC_EXIT_UNCLEAN = 3, /* the drain's deadline passed with messages in hand */
};

enum ipc_type {
    /* worker -> supervisor */
    IPC_READY = 1,    /* the plugin is open; text: its name and version */
    IPC_HEALTH,       /* a health state changed; number: enum ipc_health; text: why */
    IPC_DRAINED,      /* everything is settled, exiting with IPC_EXIT_OK; number: messages left in hand (0) */
    IPC_BAD_CONFIG,   /* exiting with IPC_EXIT_CONFIG; text: what is wrong */
    IPC_RECYCLE,      /* exiting after a drain of its own (memory, age): start a successor */
    IPC_CANNOT_START, /* exiting with IPC_EXIT_FAILURE before it was ready; text: why */
    /* supervisor -> worker */
    IPC_DRAIN = 64, /* number: deadline, ms from now */
    IPC_REOPEN_LOGS,
    IPC_LOG_LEVEL,  /* number: enum log_level */
    IPC_DUMP_STATE, /* write a state dump to the log */
};

enum ipc_health {
    IPC_HEALTH_OK,
    IPC_HEALTH_CREDENTIALS,
    IPC_HEALTH_QUEUE,        /* it cannot be reached */
    IPC_HEALTH_PERMISSION,   /* one that the worker needs is missing */
    IPC_HEALTH_DEAD_LETTERS, /* the configuration needs a dead-letter queue, and there is none */
    IPC_HEALTH_HANDLER,      /* what the handler depends on is down: its breaker is not closed */
    IPC_HEALTH_DEDUP,        /* the deduplication store fails */
    IPC_HEALTH_STATES
};

#define IPC_TEXT_BYTES 1000

struct ipc_message {
    uint32_t type; /* enum ipc_type */
    uint32_t reserved;
    int64_t number;
    char text[IPC_TEXT_BYTES]; /* NUL-terminated */
};

/* Both ends CLOEXEC and non-blocking. */
int ipc_pair(int *ret_supervisor_fd, int *ret_worker_fd, struct err *e);

/* Sends one message; text may be NULL, and is cut to fit. ERR_UNAVAILABLE: the peer is gone; ERR_LIMIT: it does not
 * read (the message is lost). */
int ipc_send(int fd, enum ipc_type type, int64_t number, const char *text, struct err *e);

/* Receives one message. 1: a message; 0: none there now; ERR_UNAVAILABLE: end of file; ERR_PROTOCOL: a malformed packet
 * (skipped). */
int ipc_receive(int fd, struct ipc_message *ret_message, struct err *e);

#endif
