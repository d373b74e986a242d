/* fuzz_local_sqs: what strangers may send to fanout-local's SQS. The first byte says which request the rest is. */
#include "local/faults.h"

#include "fuzz/fuzz.h"
#include "local/sqs_codec.h"
#include "local/sqs_shape.h"

/* What was accepted comes back as it was, out of its packed form. */
static void
check_packed(struct lsqs_send *m, struct arena *arena)
{
    struct slice all = SLICE("All"), md5 = {0};
    struct lsqs_list wanted = {.items = &all, .n = 1}, back = {0};
    const struct lsqs_attribute *sent = m->attributes.items, *got;
    if (!m->packed.p)
        return;
    if (!lsqs_unpack_attributes(m->packed, &wanted, arena, &back, &md5) || back.n != m->attributes.n ||
        !slice_equals(md5, m->md5_attributes_hex))
        abort();
    got = back.items;
    for (size_t i = 0; i < back.n; i++)
        if (!slice_equals(sent[i].name, got[i].name) || !slice_equals(sent[i].data_type, got[i].data_type) ||
            !slice_equals(sent[i].string_value, got[i].string_value) ||
            !slice_equals(sent[i].binary_value, got[i].binary_value))
            abort();
}

static void
prepare(struct lsqs_send *m, struct arena *arena)
{
    struct lsqs_error e = {.kind = LSQS_OK};
    if (m->body.n == 0)
        return;
    if (lsqs_prepare_send(m, arena, &e))
        check_packed(m, arena);
    else if (e.kind == LSQS_OK || e.kind == LSQS_INTERNAL)
        abort();
}

static void
add_fault(struct slice text)
{
    struct local_faults *f;
    struct local_fault fault;
    struct err e;
    if (local_faults_new(&f, &e) != 0)
        abort();
    if (local_faults_add(f, text, NULL, NULL, &e) == 0)
        local_faults_draw(f, "sqs", SLICE("SendMessage"), &fault);
    local_faults_destroy(f);
}

/* Ours reads back; with another character in it, or for another server's key, it is none. */
static void
write_handle(const uint8_t key[16], struct slice bytes)
{
    const uint8_t other_key[16] = {1};
    struct lsqs_handle handle = {.queue = 0}, back;
    char text[LSQS_HANDLE_TEXT];
    if (bytes.n < 33)
        return;
    memcpy(&handle.queue, bytes.p, 8);
    memcpy(&handle.message, bytes.p + 8, 8);
    memcpy(handle.uuid, bytes.p + 16, sizeof handle.uuid);
    handle.receive = (uint8_t)bytes.p[32];
    lsqs_write_handle(key, &handle, text);
    struct slice whole = slice_of_string(text);
    check(lsqs_read_handle(key, whole, &back));
    check(back.queue == handle.queue && back.message == handle.message && back.receive == handle.receive &&
          memcmp(back.uuid, handle.uuid, sizeof back.uuid) == 0);
    check(!lsqs_read_handle(other_key, whole, &back));
    check(!lsqs_read_handle(key, slice_of(whole.p, whole.n - 1), &back));
    size_t at = (uint8_t)bytes.p[0] % whole.n;
    text[at] = text[at] == 'A' ? 'B' : 'A';
    check(!lsqs_read_handle(key, whole, &back));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct lsqs_shape *const SHAPES[] = {
        &LSQS_SHAPE_SEND,           &LSQS_SHAPE_SEND_BATCH,     &LSQS_SHAPE_RECEIVE,
        &LSQS_SHAPE_DELETE_BATCH,   &LSQS_SHAPE_SETTLE,         &LSQS_SHAPE_CREATE_QUEUE,
        &LSQS_SHAPE_SET_ATTRIBUTES, &LSQS_SHAPE_GET_ATTRIBUTES, &LSQS_SHAPE_LIST_QUEUES};
    const size_t n_shapes = sizeof SHAPES / sizeof *SHAPES;
    const uint8_t key[16] = {0};
    if (size == 0)
        return 0;
    struct slice text = slice_of((const char *)data + 1, size - 1);
    size_t which = data[0] % (n_shapes + 2);
    struct lsqs_handle handle;
    struct lsqs_error e = {.kind = LSQS_OK};
    struct arena arena;
    if (which == n_shapes) {
        check(!lsqs_read_handle(key, text, &handle)); /* nobody guesses one */
        write_handle(key, text);
        return 0;
    }
    if (which == n_shapes + 1) {
        add_fault(text);
        return 0;
    }
    arena_init(&arena, 0);
    void *request = arena_zalloc(&arena, SHAPES[which]->size);
    if (lsqs_json_decode(text, SHAPES[which], request, &arena, &e)) {
        struct buf again = BUF_INIT;
        lsqs_json_encode(SHAPES[which], request, &again);
        if (which == 0)
            prepare(&((struct lsqs_send_one *)request)->entry, &arena);
        const struct lsqs_list *entries = &((struct lsqs_batch *)request)->entries;
        for (size_t i = 0; which == 1 && i < entries->n; i++)
            prepare((struct lsqs_send *)entries->items + i, &arena);
        buf_clean_up(&again);
    } else if (e.kind != LSQS_SERIALIZATION) {
        abort();
    }
    arena_clean_up(&arena);
    return 0;
}
