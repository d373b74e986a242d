#include "base/digest.h"
#include "worker/dedup.h"
#include "worker/screen.h"

#define ID_MAX_BYTES 256 /* a longer one is told by its hash: DynamoDB takes keys of 2 KB */

static void
add_hash(struct buf *out, const char *kind, struct slice bytes)
{
    char hex[DIGEST_SHA256_HEX];
    digest_sha256_hex(bytes.p, bytes.n, hex);
    buf_add_string(out, kind);
    buf_add_string(out, hex);
}

void
dedup_key(struct message *m, const char *consumer, bool by_body, struct buf *out)
{
    struct slice id, body = slice_of(m->view.body, m->view.body_len);
    buf_reset(out);
    buf_add_string(out, consumer);
    if (screen_event_id(m, &id) && id.n > 0) {
        if (id.n > ID_MAX_BYTES) {
            add_hash(out, "/event-sha256/", id);
        } else {
            buf_add_string(out, "/event/");
            buf_add_slice(out, id);
        }
    } else if (by_body) {
        add_hash(out, "/body/", body);
    } else {
        buf_add_string(out, "/message/");
        buf_add_slice(out, m->id);
    }
}
