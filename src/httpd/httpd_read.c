/* What handlers see of a request (httpd.h). */
#include "httpd/httpd_impl.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"

struct slice
httpd_method(const struct httpd_request *r)
{
    return r->method;
}

struct slice
httpd_path(const struct httpd_request *r)
{
    return r->path;
}

struct slice
httpd_query(const struct httpd_request *r)
{
    return r->query;
}

struct slice
httpd_body(const struct httpd_request *r)
{
    return buf_slice(&r->body);
}

struct slice
httpd_header(const struct httpd_request *r, const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < r->n_headers; i++)
        if (r->headers[i].name.n == n && strncasecmp(r->headers[i].name.p, name, n) == 0)
            return r->headers[i].value;
    return (struct slice){0};
}

size_t
httpd_header_count(const struct httpd_request *r)
{
    return r->n_headers;
}

void
httpd_header_at(const struct httpd_request *r, size_t i, struct slice *ret_name, struct slice *ret_value)
{
    assert(i < r->n_headers);
    *ret_name = r->headers[i].name;
    *ret_value = r->headers[i].value;
}

bool
httpd_peer_is_loopback(const struct httpd_request *r)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    if (!info || !info->client_addr)
        return false;
    if (info->client_addr->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)info->client_addr;
        return ntohl(in->sin_addr.s_addr) >> 24 == 127;
    }
    if (info->client_addr->sa_family != AF_INET6)
        return false;
    const struct in6_addr *in6 = &((const struct sockaddr_in6 *)(const void *)info->client_addr)->sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(in6) || (IN6_IS_ADDR_V4MAPPED(in6) && in6->s6_addr[12] == 127);
}

bool
httpd_peer_gone(struct httpd_request *r)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct pollfd p = {.fd = info ? info->connect_fd : -1, .events = POLLRDHUP};
    return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL));
}
