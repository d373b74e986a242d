#include "lib/bare_loop.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <curl/curl.h>

#include "base/buf.h"

#define LANES_MAX 64

struct lane {
    CURL *easy;
    struct curl_slist *receive_headers, *delete_headers;
    struct buf in, out;
    bool deleting;
};

struct loop {
    CURLM *multi;
    const char *url;
    unsigned running;
    long deleted;
};

static size_t
collect(char *p, size_t size, size_t n, void *lane)
{
    struct lane *l = lane;
    buf_add(&l->in, p, size * n);
    return buf_failed(&l->in) ? 0 : size * n;
}

static struct curl_slist *
headers_of(const char *target)
{
    struct curl_slist *list = curl_slist_append(NULL, "Content-Type: application/x-amz-json-1.0");
    return curl_slist_append(list, target);
}

static void
post(struct loop *g, struct lane *l)
{
    buf_reset(&l->in);
    curl_easy_setopt(l->easy, CURLOPT_HTTPHEADER, l->deleting ? l->delete_headers : l->receive_headers);
    curl_easy_setopt(l->easy, CURLOPT_POSTFIELDS, l->out.data);
    curl_easy_setopt(l->easy, CURLOPT_POSTFIELDSIZE, (long)l->out.len);
    curl_multi_add_handle(g->multi, l->easy);
}

static void
receive(struct loop *g, struct lane *l)
{
    l->deleting = false;
    buf_reset(&l->out);
    buf_add_format(&l->out,
                   "{\"QueueUrl\":\"%s/000000000000/bench\",\"MaxNumberOfMessages\":10,"
                   "\"MessageSystemAttributeNames\":[\"All\"],\"MessageAttributeNames\":[\"All\"]}",
                   g->url);
    post(g, l);
}

/* False: nothing was received. */
static bool
delete_received(struct loop *g, struct lane *l, const cJSON *answer)
{
    const cJSON *message;
    int n = 0;
    l->deleting = true;
    buf_reset(&l->out);
    buf_add_format(&l->out, "{\"QueueUrl\":\"%s/000000000000/bench\",\"Entries\":[", g->url);
    cJSON_ArrayForEach(message, cJSON_GetObjectItemCaseSensitive(answer, "Messages"))
    {
        const char *handle = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(message, "ReceiptHandle"));
        if (!handle || !cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(message, "Body")))
            return false;
        buf_add_format(&l->out, "%s{\"Id\":\"%d\",\"ReceiptHandle\":\"%s\"}", n > 0 ? "," : "", n, handle);
        n++;
    }
    buf_add_string(&l->out, "]}");
    if (n == 0)
        return false;
    post(g, l);
    return true;
}

static void
finished(struct loop *g, struct lane *l)
{
    cJSON *answer = cJSON_ParseWithLength(l->in.data, l->in.len);
    if (l->deleting) {
        g->deleted += cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(answer, "Successful"));
        receive(g, l);
    } else if (!delete_received(g, l, answer)) {
        g->running--;
    }
    cJSON_Delete(answer);
}

static bool
turn(struct loop *g)
{
    int running, queued;
    if (curl_multi_perform(g->multi, &running) != CURLM_OK)
        return false;
    for (CURLMsg *m; (m = curl_multi_info_read(g->multi, &queued));) {
        struct lane *l;
        if (m->data.result != CURLE_OK) {
            fprintf(stderr, "bare loop: %s\n", curl_easy_strerror(m->data.result));
            return false;
        }
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&l);
        curl_multi_remove_handle(g->multi, l->easy);
        finished(g, l);
    }
    return g->running == 0 || curl_multi_poll(g->multi, NULL, 0, 1000, NULL) == CURLM_OK;
}

static void
lane_init(struct lane *l, const char *url)
{
    *l = (struct lane){.easy = curl_easy_init(),
                       .receive_headers = headers_of("X-Amz-Target: AmazonSQS.ReceiveMessage"),
                       .delete_headers = headers_of("X-Amz-Target: AmazonSQS.DeleteMessageBatch")};
    curl_easy_setopt(l->easy, CURLOPT_URL, url);
    curl_easy_setopt(l->easy, CURLOPT_WRITEFUNCTION, collect);
    curl_easy_setopt(l->easy, CURLOPT_WRITEDATA, l);
    curl_easy_setopt(l->easy, CURLOPT_PRIVATE, l);
}

static void
lane_clean_up(struct loop *g, struct lane *l)
{
    curl_multi_remove_handle(g->multi, l->easy);
    curl_easy_cleanup(l->easy);
    curl_slist_free_all(l->receive_headers);
    curl_slist_free_all(l->delete_headers);
    buf_clean_up(&l->in);
    buf_clean_up(&l->out);
}

long
bare_loop_run(const char *url, unsigned in_flight)
{
    struct loop g = {.url = url, .running = in_flight};
    struct lane lanes[LANES_MAX];
    bool ok = true;
    if (in_flight > LANES_MAX || curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
        return -1;
    g.multi = curl_multi_init();
    for (unsigned i = 0; i < in_flight; i++) {
        lane_init(&lanes[i], url);
        receive(&g, &lanes[i]);
    }
    while (ok && g.running > 0)
        ok = turn(&g);
    for (unsigned i = 0; i < in_flight; i++)
        lane_clean_up(&g, &lanes[i]);
    curl_multi_cleanup(g.multi);
    curl_global_cleanup();
    return ok ? g.deleted : -1;
}
