/* wiretap: an HTTP/1.1 proxy on loopback that a listener hears everything through.
 *
 * Stands between a program and fanout-local and changes nothing: a request and an answer go on as they came, once they
 * are whole. A client's connection has one of its own to the server; where one ends, so does the other. So the listener
 * knows what the client was told, and when at the earliest: it hears an answer before the client does, and a request
 * before the server does. One thread of its own, in which the listener is called. Failures of the machinery abort. */
#ifndef FANOUT_TESTS_LIB_WIRETAP_H
#define FANOUT_TESTS_LIB_WIRETAP_H

#include <stdint.h>

#include "base/slice.h"

struct wiretap;

struct wiretap_exchange {
    uint64_t number;        /* of the exchange, from 1 */
    struct slice operation; /* "ReceiveMessage"; empty: none is named */
    struct slice request;   /* its body */
    int status;             /* 0: not answered yet, or ended without an answer */
    struct slice answer;    /* its body */
};

enum wiretap_moment {
    WIRETAP_ASKED,    /* about to go to the server */
    WIRETAP_ANSWERED, /* about to go to the client */
    WIRETAP_BROKEN,   /* ends without an answer; the server may have done it. Or has been answered a moment ago, and the
                       * client was gone: it may not have read that */
};

typedef void wiretap_fn(void *context, enum wiretap_moment moment, const struct wiretap_exchange *exchange);

/* To the server at url ("http://127.0.0.1:40123"), which need not be there all the time. */
struct wiretap *wiretap_start(const char *url, wiretap_fn *listener, void *context);
void wiretap_stop(struct wiretap *w); /* NULL is fine */

const char *wiretap_url(const struct wiretap *w);

/* CLOCK_MONOTONIC, ns, of the last thing heard. Any thread. */
int64_t wiretap_heard_ns(const struct wiretap *w);

#endif
