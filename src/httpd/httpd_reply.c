/* What an answer is made of: libmicrohttpd's responses, with their dates. */
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/clock.h"
#include "httpd/httpd_impl.h"

static void
put_digits(char out[2], int v)
{
    out[0] = (char)('0' + v / 10 % 10);
    out[1] = (char)('0' + v % 10);
}

/* By hand: every answer has one, and printf took longer than all else in an answer's head. */
void
httpd_format_date(int64_t wall_ms, char out[HTTPD_DATE_BYTES])
{
    static const char DAYS[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char MONTHS[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t s = (time_t)(wall_ms / 1000);
    struct tm t;
    gmtime_r(&s, &t);
    memcpy(out, "Sun, 00 Nov 0000 00:00:00 GMT", HTTPD_DATE_BYTES);
    memcpy(out, DAYS[t.tm_wday], 3);
    put_digits(out + 5, t.tm_mday);
    memcpy(out + 8, MONTHS[t.tm_mon], 3);
    put_digits(out + 12, (t.tm_year + 1900) / 100);
    put_digits(out + 14, (t.tm_year + 1900) % 100);
    put_digits(out + 17, t.tm_hour);
    put_digits(out + 20, t.tm_min);
    put_digits(out + 23, t.tm_sec);
}

struct MHD_Response *
httpd_reply_plain(const char *text)
{
    struct MHD_Response *reply =
        MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_PERSISTENT);
    char date[HTTPD_DATE_BYTES];
    httpd_format_date(clock_wall_ms(), date);
    if (reply) {
        MHD_add_response_header(reply, "Date", date);
        MHD_add_response_header(reply, "Content-Type", "text/plain");
        MHD_add_response_header(reply, "Connection", "close");
    }
    return reply;
}

static ssize_t
no_bytes(void *context, uint64_t at, char *out, size_t max)
{
    (void)context, (void)at, (void)out, (void)max;
    return MHD_CONTENT_READER_END_WITH_ERROR;
}

struct MHD_Response *
httpd_reply_build(const struct httpd_request *r, const struct httpd_answer *answer)
{
    struct MHD_Response *reply;
    if (answer->content_length > 0 && slice_equals_string(r->method, "HEAD"))
        reply = MHD_create_response_from_callback((uint64_t)answer->content_length, 1, no_bytes, NULL, NULL);
    else
        reply =
            MHD_create_response_from_buffer(answer->body.n, (void *)(uintptr_t)answer->body.p, MHD_RESPMEM_MUST_COPY);
    if (!reply)
        return NULL;
    bool dated = false;
    for (size_t i = 0; i < answer->n_headers; i++) {
        dated |= strcasecmp(answer->headers[i].name, "Date") == 0;
        MHD_add_response_header(reply, answer->headers[i].name, answer->headers[i].value);
    }
    if (answer->content_type)
        MHD_add_response_header(reply, "Content-Type", answer->content_type);
    if (!dated) {
        char date[HTTPD_DATE_BYTES];
        httpd_format_date(clock_wall_ms(), date);
        MHD_add_response_header(reply, "Date", date);
    }
    return reply;
}
