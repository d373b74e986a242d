#include <stdio.h>

#include "base/clock.h"
#include "http/internal.h"

#define TRUSTED_MS 60000 /* so long nobody waits for a resolver that has just failed */

/* "host:port" of a URL, as CURLOPT_RESOLVE has it. False: it has none that a name could stand for. */
static bool
host_and_port(const char *url, char *out, size_t capacity)
{
    bool https = strncmp(url, "https://", 8) == 0;
    const char *host = url + (https ? 8 : 7);
    size_t authority = strncmp(url, "http", 4) == 0 ? strcspn(host, "/?#") : 0;
    for (size_t i = authority; i > 0; i--)
        if (host[i - 1] == '@') {
            host += i;
            authority -= i;
            break;
        }
    size_t name = strcspn(host, ":/?#");
    if (authority == 0 || name == 0 || name > authority || *host == '[')
        return false;
    const char *port = name < authority ? host + name + 1 : https ? "443" : "80";
    int digits = name < authority ? (int)(authority - name - 1) : (int)strlen(port);
    int n = snprintf(out, capacity, "%.*s:%.*s", (int)name, host, digits, port);
    return n > 0 && (size_t)n < capacity;
}

static struct http_known *
find(struct http_engine *g, const char *url)
{
    char key[sizeof g->known[0].key];
    if (!host_and_port(url, key, sizeof key))
        return NULL;
    for (size_t i = 0; i < HTTP_KNOWN; i++)
        if (strcmp(g->known[i].key, key) == 0)
            return &g->known[i];
    return NULL;
}

static void
remember(struct http_call *c)
{
    struct http_engine *g = c->engine;
    struct http_known *k = find(g, c->url);
    char key[sizeof k->key];
    char *address = NULL;
    if (curl_easy_getinfo(c->easy, CURLINFO_PRIMARY_IP, &address) != CURLE_OK || !address || !*address ||
        strlen(address) >= sizeof k->address || !host_and_port(c->url, key, sizeof key))
        return;
    for (size_t i = 0; !k && i < HTTP_KNOWN; i++)
        if (!*g->known[i].key)
            k = &g->known[i];
    if (!k)
        return; /* no program speaks to so many */
    snprintf(k->key, sizeof k->key, "%s", key);
    snprintf(k->address, sizeof k->address, "%s", address);
}

static bool
was_resolved(const struct http_call *c)
{
    curl_off_t resolved_us = 0;
    curl_easy_getinfo(c->easy, CURLINFO_NAMELOOKUP_TIME_T, &resolved_us);
    return resolved_us > 0;
}

/* A request that libcurl sends again, after a kept connection has ended, keeps the time of that one's look-up: then the
 * text is all that tells. */
static bool
timed_out_resolving(const struct http_call *c)
{
    return !was_resolved(c) || strncmp(c->text, "Resolving", 9) == 0;
}

static void
trust(struct http_call *c, int64_t until_ms)
{
    struct http_known *k = find(c->engine, c->url);
    if (k)
        k->until_ms = until_ms;
    c->engine->resolver_failed |= k != NULL;
}

void
http_known_note(struct http_call *c, CURLcode result)
{
    long connections = 0;
    if (c->engine->proxied || c->state != CALL_ACTIVE)
        return;
    curl_easy_getinfo(c->easy, CURLINFO_NUM_CONNECTS, &connections);
    if (result == CURLE_OK && connections > 0)
        remember(c);
    else if (result == CURLE_COULDNT_RESOLVE_HOST || (result == CURLE_OPERATION_TIMEDOUT && timed_out_resolving(c)))
        trust(c, clock_monotonic_ms() + TRUSTED_MS);
    else if (c->engine->resolver_failed && (result == CURLE_COULDNT_CONNECT || result == CURLE_OPERATION_TIMEDOUT))
        trust(c, 0); /* nobody is there any more */
}

void
http_known_note_timeout(struct http_call *c)
{
    if (!c->engine->proxied && c->state == CALL_ACTIVE && !was_resolved(c))
        trust(c, clock_monotonic_ms() + TRUSTED_MS);
}

void
http_known_apply(struct http_call *c)
{
    struct http_engine *g = c->engine;
    struct http_known *k = g->resolver_failed ? find(g, c->url) : NULL;
    bool wanted = k && k->until_ms > clock_monotonic_ms();
    if (!k || wanted == k->planted)
        return;
    bool bare = strchr(k->address, ':') == NULL;
    if (wanted)
        snprintf(k->text, sizeof k->text, bare ? "%s:%s" : "%s:[%s]", k->key, k->address);
    else
        snprintf(k->text, sizeof k->text, "-%s", k->key);
    k->line = (struct curl_slist){.data = k->text};
    if (curl_easy_setopt(c->easy, CURLOPT_RESOLVE, &k->line) == CURLE_OK)
        k->planted = wanted;
}
