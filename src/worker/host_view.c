#include "worker/host_view.h"

#include "base/log.h"

#define LOG_EVERY_MS 1000

static void *
alloc(struct handler_call *call, size_t n)
{
    void *p = arena_zalloc(&call->arena, n);
    if (!p)
        log_write_limited(LOG_ERROR, LOG_EVERY_MS, "out of memory: a handler does not get to see what a message holds",
                          LOG_INT("bytes", n));
    return p;
}

void *
host_view_alloc(struct host_view *v, size_t n)
{
    void *p = alloc(v->call, n);
    v->failed |= !p;
    return p;
}

struct host_view *
host_view_of(struct handler_call *call, uint32_t index)
{
    const struct message *m = host_message(call, index);
    if (!m)
        return NULL;
    if (!call->views)
        call->views = alloc(call, call->count * sizeof(struct host_view *));
    if (!call->views)
        return NULL;
    struct host_view *v = call->views[index];
    if (!v)
        v = call->views[index] = alloc(call, sizeof *v);
    if (v) {
        v->call = call;
        v->message = m;
    }
    return v;
}

void
host_forget_views(struct handler_call *call)
{
    call->views = NULL;
    arena_reset(&call->arena);
}

const struct content *
host_view_content(struct host_view *v)
{
    if (!v->content)
        v->content = v->message->content;
    if (!v->content) {
        struct content *c = host_view_alloc(v, sizeof *c);
        if (c)
            content_read(v->message->body, c);
        v->content = c;
    }
    return v->content;
}

/* Half of a surrogate pair, as json_decode_some gives it, becomes U+FFFD. */
static void
replace_surrogates(char *text, size_t n)
{
    for (size_t i = 0; i + 2 < n; i++) {
        if ((unsigned char)text[i] == 0xED && (unsigned char)text[i + 1] >= 0xA0) {
            text[i] = (char)0xEF;
            text[i + 1] = (char)0xBF;
            text[i + 2] = (char)0xBD;
        }
    }
}

struct handler_slice
host_view_text(struct host_view *v, struct json string)
{
    if (!string.text.p)
        return host_slice(string.text);
    struct slice raw = json_raw(string);
    if (json_is_plain(string))
        return host_slice(raw);
    size_t room = raw.n + 6, n = 0;
    char *text = host_view_alloc(v, room);
    if (!text)
        return host_slice(slice_of(NULL, 0));
    for (const char *p = raw.p; p < raw.p + raw.n;)
        n += json_decode_some(&p, raw.p + raw.n, text + n, room - n);
    replace_surrogates(text, n);
    return host_slice(slice_of(text, n));
}
