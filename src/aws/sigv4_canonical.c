/* sigv4_canonical: one spelling for every request that means the same, so that both ends hash the same text
 * (AWS IAM User Guide, "Create a canonical request"). */
#include "aws/sigv4.h"

#include <stdint.h>
#include <stdlib.h>

#define ON_STACK 32 /* headers and query parameters sorted without an allocation */

/* ---- percent-encoding ------------------------------------------------------------------------------------------ */

static bool
is_unreserved(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_' || c == '~';
}

static int
hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The byte that the escape at the start of s stands for; -1 when there is none. */
static int
escaped_byte(struct slice s)
{
    if (s.n < 3 || s.p[0] != '%')
        return -1;
    int high = hex_value(s.p[1]), low = hex_value(s.p[2]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* Appends s percent-encoded. decode: s is encoded already, and its escapes are read first, so that %7e becomes '~' and
 * %2f becomes %2F. keep_slash: a '/' (but no %2F) stays itself. */
static void
add_encoded(struct buf *out, struct slice s, bool decode, bool keep_slash)
{
    static const char digits[] = "0123456789ABCDEF";
    if (s.n > SIZE_MAX / 4 || !buf_reserve(out, 3 * s.n)) {
        out->failed = true;
        return;
    }
    char *at = out->data + out->len;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        int escaped = decode ? escaped_byte(slice_of(s.p + i, s.n - i)) : -1;
        if (escaped >= 0) {
            c = (unsigned char)escaped;
            i += 2;
        }
        if (is_unreserved(c) || (c == '/' && keep_slash && escaped < 0)) {
            *at++ = (char)c;
        } else {
            *at++ = '%';
            *at++ = digits[c >> 4];
            *at++ = digits[c & 15];
        }
    }
    *at = '\0';
    out->len = (size_t)(at - out->data);
}

void
sigv4_encode(struct buf *out, struct slice text)
{
    add_encoded(out, text, false, false);
}

/* ---- path ------------------------------------------------------------------------------------------------------ */

static void
drop_last_segment(struct buf *out, size_t start)
{
    const char *slash = out->len > start ? memrchr(out->data + start, '/', out->len - start) : NULL;
    buf_truncate(out, slash ? (size_t)(slash - out->data) : start);
}

static void
add_normalized_path(struct buf *out, struct slice path, bool decode)
{
    size_t start = out->len;
    for (size_t at = 0; at < path.n && !buf_failed(out);) {
        const char *slash = memchr(path.p + at, '/', path.n - at);
        size_t end = slash ? (size_t)(slash - path.p) : path.n;
        struct slice segment = slice_of(path.p + at, end - at);
        at = end + 1;
        if (segment.n == 0 || slice_equals(segment, SLICE(".")))
            continue;
        if (slice_equals(segment, SLICE(".."))) {
            drop_last_segment(out, start);
            continue;
        }
        buf_add_char(out, '/');
        add_encoded(out, segment, decode, false);
    }
    if (out->len == start || path.p[path.n - 1] == '/')
        buf_add_char(out, '/');
}

static void
add_path(struct buf *out, struct slice path, const struct sigv4_scope *scope)
{
    if (path.n == 0)
        buf_add_char(out, '/');
    else if (scope->normalize_path)
        add_normalized_path(out, path, !scope->encode_path_twice);
    else
        add_encoded(out, path, !scope->encode_path_twice, true);
}

/* ---- query ----------------------------------------------------------------------------------------------------- */

struct parameter {
    struct slice name, value; /* encoded */
};

static int
compare_bytes(struct slice a, struct slice b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n ? memcmp(a.p, b.p, n) : 0;
    return order ? order : (a.n > b.n) - (a.n < b.n);
}

static int
compare_parameters(const void *a, const void *b)
{
    const struct parameter *x = a, *y = b;
    int order = compare_bytes(x->name, y->name);
    return order ? order : compare_bytes(x->value, y->value);
}

/* The next parameter of *query, which is shortened; false at the end. Empty ones ("a&&b") are passed over. */
static bool
next_parameter(struct slice *query, struct slice *ret_parameter)
{
    while (query->n > 0) {
        const char *ampersand = memchr(query->p, '&', query->n);
        size_t n = ampersand ? (size_t)(ampersand - query->p) : query->n;
        *ret_parameter = slice_of(query->p, n);
        *query = slice_of(query->p + n + (ampersand != NULL), query->n - n - (ampersand != NULL));
        if (n > 0)
            return true;
    }
    return false;
}

/* Encodes s at the end of texts, whose memory must not move: the caller reserved it. */
static struct slice
encode_into(struct buf *texts, struct slice s)
{
    size_t start = texts->len;
    add_encoded(texts, s, true, false);
    return slice_of(texts->data + start, texts->len - start);
}

/* Parameters are decoded, encoded again and sorted as encoded, by name and then by value. A '+' is a plus (%2B), never
 * a space: it stands for a space in HTML forms only, and no AWS client sends it as one. */
static int
add_query(struct buf *out, struct slice query, struct err *e)
{
    struct parameter on_stack[ON_STACK], *parameters = on_stack;
    struct buf texts = BUF_INIT;
    struct slice rest = query, text;
    size_t n = 0, most = 0;
    int rc = 0;
    while (next_parameter(&rest, &text))
        most++;
    if (most == 0)
        return 0;
    if (most > ON_STACK)
        parameters = reallocarray(NULL, most, sizeof *parameters);
    if (!parameters || query.n > SIZE_MAX / 4 || !buf_reserve(&texts, 3 * query.n)) {
        rc = err_no_memory(e);
        goto cleanup;
    }
    rest = query;
    for (; n < most && next_parameter(&rest, &text); n++) {
        const char *equals = memchr(text.p, '=', text.n);
        size_t name_n = equals ? (size_t)(equals - text.p) : text.n;
        size_t value_at = equals ? name_n + 1 : text.n;
        parameters[n].name = encode_into(&texts, slice_of(text.p, name_n));
        parameters[n].value = encode_into(&texts, slice_of(text.p + value_at, text.n - value_at));
    }
    if (n > 1)
        qsort(parameters, n, sizeof *parameters, compare_parameters);
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            buf_add_char(out, '&');
        buf_add_slice(out, parameters[i].name);
        buf_add_char(out, '=');
        buf_add_slice(out, parameters[i].value);
    }

cleanup:
    buf_clean_up(&texts);
    if (parameters != on_stack)
        free(parameters);
    return rc;
}

/* ---- headers --------------------------------------------------------------------------------------------------- */

static unsigned char
lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

static int
compare_names(struct slice a, struct slice b)
{
    for (size_t i = 0; i < a.n && i < b.n; i++) {
        int order = lower(a.p[i]) - lower(b.p[i]);
        if (order)
            return order;
    }
    return (a.n > b.n) - (a.n < b.n);
}

struct sorted {
    const struct sigv4_header *header;
};

/* By name without case; the same name in the order of the request (the headers are in one array). */
static int
compare_headers(const void *a, const void *b)
{
    const struct sigv4_header *x = ((const struct sorted *)a)->header, *y = ((const struct sorted *)b)->header;
    int order = compare_names(x->name, y->name);
    return order ? order : (x > y) - (x < y);
}

static bool
is_name_of_previous(const struct sorted *sorted, size_t i)
{
    return i > 0 && compare_names(sorted[i].header->name, sorted[i - 1].header->name) == 0;
}

static void
add_lower(struct buf *out, struct slice s)
{
    if (!buf_reserve(out, s.n))
        return;
    for (size_t i = 0; i < s.n; i++)
        out->data[out->len++] = (char)lower(s.p[i]);
    out->data[out->len] = '\0';
}

static bool
is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Without white space at the ends; runs of it inside, folded lines included, become one space. */
static void
add_trimmed(struct buf *out, struct slice value)
{
    if (!buf_reserve(out, value.n))
        return;
    char *start = out->data + out->len, *at = start;
    bool space = false;
    for (size_t i = 0; i < value.n; i++) {
        if (is_space(value.p[i])) {
            space = true;
            continue;
        }
        if (space && at > start)
            *at++ = ' ';
        space = false;
        *at++ = value.p[i];
    }
    *at = '\0';
    out->len = (size_t)(at - out->data);
}

/* The header lines, an empty line, the list of names. */
static void
add_sorted_headers(struct buf *out, const struct sorted *sorted, size_t n, struct buf *signed_headers)
{
    for (size_t i = 0; i < n; i++) {
        if (is_name_of_previous(sorted, i)) {
            buf_add_char(out, ',');
        } else {
            if (i > 0)
                buf_add_char(out, '\n');
            add_lower(out, sorted[i].header->name);
            buf_add_char(out, ':');
        }
        add_trimmed(out, sorted[i].header->value);
    }
    buf_add(out, "\n\n", 2);
    size_t names_at = out->len;
    for (size_t i = 0; i < n; i++) {
        if (is_name_of_previous(sorted, i))
            continue;
        if (i > 0)
            buf_add_char(out, ';');
        add_lower(out, sorted[i].header->name);
    }
    if (signed_headers && !buf_failed(out))
        buf_add(signed_headers, out->data + names_at, out->len - names_at);
}

static int
add_headers(struct buf *out, const struct sigv4_request *request, struct buf *signed_headers, struct err *e)
{
    struct sorted on_stack[ON_STACK], *sorted = on_stack;
    size_t n = request->n_headers;
    bool host = false;
    if (n > ON_STACK)
        sorted = reallocarray(NULL, n, sizeof *sorted);
    if (!sorted)
        return err_no_memory(e);
    for (size_t i = 0; i < n; i++) {
        sorted[i].header = &request->headers[i];
        host = host || compare_names(request->headers[i].name, SLICE("host")) == 0;
    }
    if (host) {
        qsort(sorted, n, sizeof *sorted, compare_headers);
        add_sorted_headers(out, sorted, n, signed_headers);
    }
    if (sorted != on_stack)
        free(sorted);
    return host ? 0 : err_set(e, ERR_INVALID, "the host header is not among the signed headers, and it must be");
}

int
sigv4_canonical_request(const struct sigv4_request *request, const struct sigv4_scope *scope, struct buf *out,
                        struct buf *signed_headers, struct err *e)
{
    size_t out_start = out->len, names_start = signed_headers ? signed_headers->len : 0;
    buf_add_slice(out, request->method);
    buf_add_char(out, '\n');
    add_path(out, request->path, scope);
    buf_add_char(out, '\n');
    int rc = add_query(out, request->query, e);
    buf_add_char(out, '\n');
    if (rc == 0)
        rc = add_headers(out, request, signed_headers, e);
    buf_add_char(out, '\n');
    buf_add_slice(out, request->payload_hash);
    if (rc == 0 && (buf_failed(out) || (signed_headers && buf_failed(signed_headers))))
        rc = err_no_memory(e);
    if (rc != 0) {
        buf_truncate(out, out_start);
        if (signed_headers)
            buf_truncate(signed_headers, names_start);
    }
    return rc;
}
