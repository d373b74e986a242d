#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/utf8.h"
#include "local/sqs_impl.h"

/* A queue keeps its tags as one JSON object. */

#define MAX_TAGS  50
#define MAX_KEY   128 /* characters */
#define MAX_VALUE 256

/* ---- rules ------------------------------------------------------------------------------------------------------- */

static size_t
count_characters(struct slice s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
    return n;
}

/* Of the characters of ASCII these alone; which of the others are letters, this does not judge. */
static bool
has_tag_characters(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (c < 0x80 && !letter && (c == '\0' || !strchr(" _.:/=+-@", c)))
            return false;
    }
    return true;
}

static bool
check_key(struct slice key, struct lsqs_error *e)
{
    size_t n = count_characters(key);
    if (n < 1 || n > MAX_KEY)
        return lsqs_fail(e, LSQS_INVALID_VALUE, "Tag keys must be between 1 and 128 characters in length.");
    if (key.n >= 4 && strncasecmp(key.p, "aws:", 4) == 0)
        return lsqs_fail(e, LSQS_INVALID_VALUE, "Tag keys cannot begin with aws:, which is reserved.");
    return has_tag_characters(key) ||
           lsqs_fail(e, LSQS_INVALID_VALUE,
                     "Tag keys can only include letters, numbers, spaces and the characters _ . : / = + - @.");
}

bool
lsqs_check_tags(const struct lsqs_list *tags, struct lsqs_error *e)
{
    const struct local_sqs_attribute *t = tags->items;
    for (size_t i = 0; i < tags->n; i++) {
        if (!check_key(t[i].name, e))
            return false;
        if (!t[i].value.p || count_characters(t[i].value) > MAX_VALUE)
            return lsqs_fail(e, LSQS_INVALID_VALUE, "Tag values must be between 0 and 256 characters in length.");
        if (!has_tag_characters(t[i].value))
            return lsqs_fail(e, LSQS_INVALID_VALUE,
                             "Tag values can only include letters, numbers, spaces and the characters _ . : / = + - "
                             "@.");
    }
    return true;
}

bool
lsqs_check_tag(struct lsqs_call *c)
{
    const struct lsqs_tag *r = c->request;
    return r->tags.n > 0 ? lsqs_check_tags(&r->tags, &c->error) : lsqs_fail_missing(&c->error, "Tags");
}

bool
lsqs_check_untag(struct lsqs_call *c)
{
    const struct lsqs_untag *r = c->request;
    const struct slice *keys = r->keys.items;
    if (!r->keys.given)
        return lsqs_fail_missing(&c->error, "TagKeys");
    if (r->keys.n == 0)
        return check_key(SLICE(""), &c->error);
    for (size_t i = 0; i < r->keys.n; i++)
        if (keys[i].n == 0 || count_characters(keys[i]) > MAX_KEY)
            return check_key(SLICE(""), &c->error);
    return true;
}

/* ---- the set of them --------------------------------------------------------------------------------------------- */

static struct local_sqs_attribute *
find(const struct lsqs_list *tags, struct slice key)
{
    struct local_sqs_attribute *t = tags->items;
    for (size_t i = 0; i < tags->n; i++)
        if (slice_equals(t[i].name, key))
            return &t[i];
    return NULL;
}

/* A key that is there already gets the new value. list has room. */
static void
set(struct lsqs_list *list, struct slice key, struct slice value)
{
    struct local_sqs_attribute *t = find(list, key);
    if (!t)
        t = (struct local_sqs_attribute *)list->items + list->n++;
    *t = (struct local_sqs_attribute){.name = key, .value = value};
}

static bool
copy_text(struct json string, struct arena *arena, struct slice *ret)
{
    struct slice raw = json_raw(string);
    char *text = arena_alloc(arena, raw.n + 1);
    size_t n;
    if (!text || !json_decode_into(string, text, raw.n + 1, &n))
        return false;
    *ret = slice_of(text, n);
    return true;
}

/* The queue's tags, with room for more; false: no memory. */
static bool
read_tags(const struct lsqs_queue *q, size_t room, struct arena *arena, struct lsqs_list *ret)
{
    struct json object = {.type = JSON_NULL};
    if (q->tags && json_parse(slice_of_string(q->tags), &object, NULL) != 0)
        object.type = JSON_NULL;
    size_t n = json_count(object);
    *ret = (struct lsqs_list){.items = arena_alloc(arena, (n + room) * sizeof(struct local_sqs_attribute))};
    if (!ret->items)
        return false;
    for (struct json_iter it = json_iter(object); json_next(&it);) {
        struct slice key, value;
        if (!copy_text(it.key, arena, &key) || !copy_text(it.value, arena, &value))
            return false;
        set(ret, key, value);
    }
    return true;
}

bool
lsqs_tags_text(const struct lsqs_list *tags, char **ret_text)
{
    const struct local_sqs_attribute *t = tags->items;
    struct buf text = BUF_INIT;
    *ret_text = NULL;
    if (tags->n == 0)
        return true;
    for (size_t i = 0; i < tags->n; i++) {
        buf_add_char(&text, i ? ',' : '{');
        json_write_string(&text, t[i].name);
        buf_add_char(&text, ':');
        json_write_string(&text, t[i].value);
    }
    buf_add_char(&text, '}');
    *ret_text = buf_take(&text);
    return *ret_text != NULL;
}

static int
save(struct store_tx *tx, struct lsqs_call *c, const struct lsqs_list *tags)
{
    char *text;
    if (!lsqs_tags_text(tags, &text))
        return store_fail(tx, ERR_NO_MEMORY, "out of memory");
    lsqs_restructure(c->sqs, tx);
    free(c->queue->tags);
    c->queue->tags = text;
    return lsqs_save_queue(tx, c->queue);
}

/* ---- operations -------------------------------------------------------------------------------------------------- */

bool
lsqs_count_tags(const struct lsqs_list *tags, struct slice queue, struct lsqs_error *e)
{
    return tags->n <= MAX_TAGS ||
           lsqs_fail(e, LSQS_INVALID_VALUE, "Too many tags added for queue %.*s.", SLICE_ARG(queue));
}

int
lsqs_run_tag(struct store_tx *tx, struct lsqs_call *c)
{
    const struct lsqs_tag *r = c->request;
    const struct local_sqs_attribute *t = r->tags.items;
    struct lsqs_list tags;
    if (!read_tags(c->queue, r->tags.n, &c->call->arena, &tags))
        return store_fail(tx, ERR_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < r->tags.n; i++)
        set(&tags, t[i].name, t[i].value);
    return lsqs_count_tags(&tags, c->queue_name, &c->error) ? save(tx, c, &tags) : 0;
}

int
lsqs_run_untag(struct store_tx *tx, struct lsqs_call *c)
{
    const struct lsqs_untag *r = c->request;
    const struct slice *keys = r->keys.items;
    struct lsqs_list tags;
    if (!read_tags(c->queue, 0, &c->call->arena, &tags))
        return store_fail(tx, ERR_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < r->keys.n; i++) {
        struct local_sqs_attribute *t = find(&tags, keys[i]), *items = tags.items;
        if (t)
            memmove(t, t + 1, (size_t)(items + --tags.n - t) * sizeof *t);
    }
    return save(tx, c, &tags);
}

int
lsqs_run_list_tags(struct store_tx *tx, struct lsqs_call *c)
{
    struct lsqs_tags_result *result = c->result;
    return read_tags(c->queue, 0, &c->call->arena, &result->tags) ? 0 : store_fail(tx, ERR_NO_MEMORY, "out of memory");
}
