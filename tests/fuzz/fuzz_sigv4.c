/* fuzz_sigv4: what a stranger can put into a signed request. The input is lines: Authorization, method, path, query,
 * then one header a line. */
#include "aws/sigv4.h"

#include "fuzz/fuzz.h"

#define HEADERS_MAX 100

/* A canonical path or query is its own canonical form where it is encoded once. */
static void
canonicalise(const struct sigv4_request *request, const struct sigv4_scope *scope)
{
    struct buf text = BUF_INIT, again = BUF_INIT, names = BUF_INIT;
    if (sigv4_canonical_request(request, scope, &text, &names, NULL) == 0 && !scope->encode_path_twice) {
        struct slice rest = slice_of(text.data + request->method.n + 1, text.len - request->method.n - 1);
        struct sigv4_request canonical = *request;
        canonical.path = take_line(&rest);
        canonical.query = take_line(&rest);
        check(sigv4_canonical_request(&canonical, scope, &again, NULL, NULL) == 0);
        check(again.data && strcmp(text.data, again.data) == 0);
    }
    buf_clean_up(&text);
    buf_clean_up(&again);
    buf_clean_up(&names);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = slice_of((const char *)data, size);
    struct sigv4_header headers[HEADERS_MAX + 1] = {{.name = SLICE("Host"), .value = SLICE("h")}};
    struct sigv4_authorization_parts parts = {.region = SLICE("")};
    struct sigv4_request request = {.headers = headers, .n_headers = 1, .payload_hash = SLICE("UNSIGNED-PAYLOAD")};
    struct sigv4_credentials credentials = {.secret_access_key = SLICE("secret"), .session_token = SLICE("token")};
    struct buf out = BUF_INIT;
    sigv4_parse_authorization(take_line(&rest), &parts, NULL);
    request.method = take_line(&rest);
    request.path = take_line(&rest);
    request.query = take_line(&rest);
    while (rest.n > 0 && request.n_headers < HEADERS_MAX) {
        struct slice line = take_line(&rest);
        const char *colon = line.n ? memchr(line.p, ':', line.n) : NULL;
        size_t n = colon ? (size_t)(colon - line.p) : line.n;
        headers[request.n_headers++] = (struct sigv4_header){
            .name = slice_of(line.p, n), .value = slice_of(line.p + n + (colon != NULL), line.n - n - (colon != NULL))};
        sigv4_header_is_signed(slice_of(line.p, n));
    }
    for (int i = 0; i < 4; i++) {
        struct sigv4_scope scope = {.region = parts.region,
                                    .service = parts.service,
                                    .wall_ms = INT64_C(1795154400000),
                                    .normalize_path = i & 1,
                                    .encode_path_twice = i & 2};
        credentials.access_key_id = parts.access_key_id;
        canonicalise(&request, &scope);
        check(sigv4_presign(&request, &scope, &credentials, 60, size & 1, &out, NULL) == 0);
        buf_reset(&out);
        sigv4_authorization(&request, &scope, &credentials, NULL, &out, NULL);
        buf_reset(&out);
    }
    buf_clean_up(&out);
    return 0;
}
