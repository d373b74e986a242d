#include "lib/certs.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/tmp.h"

#define DAY_S 86400

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "certs: %s\n", #condition);                                                                \
            ERR_print_errors_fp(stderr);                                                                               \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

static void
add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    CHECK(extension && X509_add_ext(x, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

static void
set_serial(X509 *x)
{
    unsigned char bytes[8];
    BIGNUM *number;
    CHECK(RAND_bytes(bytes, sizeof bytes) == 1 && (number = BN_bin2bn(bytes, sizeof bytes, NULL)));
    CHECK(BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x)));
    BN_free(number);
}

struct cert *
cert_new(const struct cert_wish *wish)
{
    struct cert *c = calloc(1, sizeof *c);
    CHECK(c && (c->x509 = X509_new()) && (c->key = EVP_EC_gen("P-256")));
    X509 *x = c->x509, *issuer = wish->issuer ? wish->issuer->x509 : x;
    X509_NAME *name = X509_get_subject_name(x);
    CHECK(X509_set_version(x, X509_VERSION_3) == 1);
    set_serial(x);
    CHECK(X509_gmtime_adj(X509_getm_notBefore(x), wish->from_s ? wish->from_s : -60));
    CHECK(X509_gmtime_adj(X509_getm_notAfter(x), wish->until_s ? wish->until_s : DAY_S));
    CHECK(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)wish->name, -1, -1, 0) == 1);
    CHECK(X509_set_issuer_name(x, X509_get_subject_name(issuer)) == 1);
    CHECK(X509_set_pubkey(x, c->key) == 1);
    add_extension(x, issuer, NID_subject_key_identifier, "hash");
    if (wish->issuer)
        add_extension(x, issuer, NID_authority_key_identifier, "keyid:always");
    add_extension(x, issuer, NID_basic_constraints, wish->authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
    if (wish->authority)
        add_extension(x, issuer, NID_key_usage, "critical,keyCertSign,cRLSign");
    if (wish->hosts)
        add_extension(x, issuer, NID_subject_alt_name, wish->hosts);
    CHECK(X509_sign(x, wish->issuer ? wish->issuer->key : c->key, EVP_sha256()) > 0);
    return c;
}

void
cert_destroy(struct cert *c)
{
    if (!c)
        return;
    X509_free(c->x509);
    EVP_PKEY_free(c->key);
    free(c);
}

static const char *
write_pem(const char *dir, const char *name, BIO *pem)
{
    char *text;
    long n = BIO_get_mem_data(pem, &text);
    CHECK(n > 0);
    const char *path = tmp_write(dir, name, "%.*s", (int)n, text);
    BIO_free(pem);
    return path;
}

const char *
cert_write(const char *dir, const char *name, const struct cert *c, ...)
{
    BIO *pem = BIO_new(BIO_s_mem());
    va_list more;
    CHECK(pem);
    va_start(more, c);
    for (; c; c = va_arg(more, const struct cert *))
        CHECK(PEM_write_bio_X509(pem, c->x509) == 1);
    va_end(more);
    return write_pem(dir, name, pem);
}

const char *
cert_write_key(const char *dir, const char *name, const struct cert *c)
{
    BIO *pem = BIO_new(BIO_s_mem());
    CHECK(pem && PEM_write_bio_PrivateKey(pem, c->key, NULL, NULL, 0, NULL, NULL) == 1);
    return write_pem(dir, name, pem);
}

void
cert_family_init(struct cert_family *f, const char *dir, bool in_between)
{
    f->authority = cert_new(&(struct cert_wish){.name = "test authority", .authority = true});
    f->intermediate = cert_new(&(struct cert_wish){.name = "between", .authority = true, .issuer = f->authority});
    f->good = cert_new(&(struct cert_wish){
        .name = "good", .hosts = "DNS:localhost,IP:127.0.0.1", .issuer = in_between ? f->intermediate : f->authority});
    f->ca_file = cert_write(dir, "ca.pem", f->authority, NULL);
}

void
cert_family_clean_up(struct cert_family *f)
{
    cert_destroy(f->good);
    cert_destroy(f->intermediate);
    cert_destroy(f->authority);
}
