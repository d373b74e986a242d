/* certs: certificates of a test's own making: authorities, intermediates, servers; good ones and bad ones.
 *
 * Made with OpenSSL's library, P-256 keys. What fails here is the machine's fault: it is printed, and the program
 * aborts. */
#ifndef FANOUT_TESTS_LIB_CERTS_H
#define FANOUT_TESTS_LIB_CERTS_H

#include <openssl/x509.h>
#include <stdbool.h>

struct cert {
    X509 *x509;
    EVP_PKEY *key;
};

struct cert_wish {
    const char *name;          /* the subject's CN */
    const char *hosts;         /* what it is for, as in openssl.cnf: "DNS:localhost,IP:127.0.0.1"; NULL: none */
    const struct cert *issuer; /* NULL: itself */
    bool authority;            /* may sign others */
    long from_s, until_s;      /* validity, from now; until 0: a day */
};

struct cert *cert_new(const struct cert_wish *wish);
void cert_destroy(struct cert *c);

/* Write PEM files and return their path: certificates one after the other (the last argument is NULL), the key. */
const char *cert_write(const char *dir, const char *name, const struct cert *c, ...);
const char *cert_write_key(const char *dir, const char *name, const struct cert *c);

/* A private authority, one that it lets sign in between, and a server's certificate for localhost and 127.0.0.1, signed
 * by the one in between or by the authority itself. The authority's certificate is in DIR/ca.pem. */
struct cert_family {
    struct cert *authority, *intermediate, *good;
    const char *ca_file;
};
void cert_family_init(struct cert_family *f, const char *dir, bool in_between);
void cert_family_clean_up(struct cert_family *f);

#endif
