/* sigv4_parse: reads what a client put into its Authorization header. */
#include "aws/sigv4.h"

static struct slice
trim(struct slice s)
{
    while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
        s = slice_of(s.p + 1, s.n - 1);
    while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

static bool
all_in(struct slice s, const char *set)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == '\0' || !strchr(set, s.p[i]))
            return false;
    return true;
}

/* Cuts what follows the last '/' off *s; false when there is none, or nothing follows. */
static bool
cut_last(struct slice *s, struct slice *ret_part)
{
    const char *slash = s->n > 0 ? memrchr(s->p, '/', s->n) : NULL;
    if (!slash)
        return false;
    size_t n = (size_t)(slash - s->p);
    *ret_part = slice_of(slash + 1, s->n - n - 1);
    s->n = n;
    return ret_part->n > 0;
}

/* AKID/20150830/us-east-1/sqs/aws4_request, from its end, because nothing forbids a '/' in an access key id. */
static bool
parse_credential(struct slice text, struct sigv4_authorization_parts *parts)
{
    struct slice end;
    if (!cut_last(&text, &end) || !slice_equals(end, SLICE("aws4_request")) || !cut_last(&text, &parts->service) ||
        !cut_last(&text, &parts->region) || !cut_last(&text, &parts->date))
        return false;
    parts->access_key_id = text;
    return text.n > 0 && parts->date.n == 8 && all_in(parts->date, "0123456789");
}

/* Lower-case names of RFC 9110 tokens between single semicolons. */
static bool
are_header_names(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == ';' && (i == 0 || i + 1 == s.n || s.p[i + 1] == ';'))
            return false;
    return s.n > 0 && all_in(s, "abcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~;");
}

static bool
is_signature(struct slice s)
{
    return s.n == 64 && all_in(s, "0123456789abcdef");
}

int
sigv4_parse_authorization(struct slice header, struct sigv4_authorization_parts *ret_parts, struct err *e)
{
    enum { CREDENTIAL = 1, SIGNED_HEADERS = 2, SIGNATURE = 4, ALL = 7 };
    struct sigv4_authorization_parts parts = {0};
    const struct slice scheme = SLICE("AWS4-HMAC-SHA256");
    int seen = 0;
    struct slice rest = trim(header);
    if (!slice_starts_with(rest, scheme) || rest.n == scheme.n || !all_in(slice_of(rest.p + scheme.n, 1), " \t"))
        return err_set(e, ERR_INVALID, "the Authorization header does not begin with %s and a space", scheme.p);
    rest = trim(slice_of(rest.p + scheme.n, rest.n - scheme.n));
    while (rest.n > 0) {
        const char *comma = memchr(rest.p, ',', rest.n);
        size_t n = comma ? (size_t)(comma - rest.p) : rest.n;
        struct slice field = trim(slice_of(rest.p, n));
        rest = slice_of(rest.p + n + (comma != NULL), rest.n - n - (comma != NULL));
        const char *equals = field.n > 0 ? memchr(field.p, '=', field.n) : NULL;
        if (!equals)
            return err_set(e, ERR_INVALID, "the Authorization header has a part that is not NAME=VALUE");
        struct slice name = slice_of(field.p, (size_t)(equals - field.p));
        struct slice value = slice_of(equals + 1, field.n - name.n - 1);
        int this = slice_equals_string(name, "Credential")      ? CREDENTIAL
                   : slice_equals_string(name, "SignedHeaders") ? SIGNED_HEADERS
                   : slice_equals_string(name, "Signature")     ? SIGNATURE
                                                                : 0;
        if (this == 0 || (seen & this))
            return err_set(e, ERR_INVALID, "the Authorization header has %s '%.*s'",
                           this ? "a second" : "an unknown part", (int)(name.n < 40 ? name.n : 40), name.p);
        seen |= this;
        if (this == CREDENTIAL && !parse_credential(value, &parts))
            return err_set(e, ERR_INVALID,
                           "Credential in the Authorization header is not KEY/YYYYMMDD/REGION/SERVICE/aws4_request");
        if (this == SIGNED_HEADERS && !are_header_names(value))
            return err_set(e, ERR_INVALID,
                           "SignedHeaders in the Authorization header is not a list of lower-case header names");
        if (this == SIGNATURE && !is_signature(value))
            return err_set(e, ERR_INVALID, "Signature in the Authorization header is not 64 lower-case hex digits");
        if (this == SIGNED_HEADERS)
            parts.signed_headers = value;
        if (this == SIGNATURE)
            parts.signature = value;
    }
    if (seen != ALL)
        return err_set(e, ERR_INVALID, "the Authorization header lacks %s",
                       !(seen & CREDENTIAL)       ? "Credential"
                       : !(seen & SIGNED_HEADERS) ? "SignedHeaders"
                                                  : "Signature");
    *ret_parts = parts;
    return 0;
}
