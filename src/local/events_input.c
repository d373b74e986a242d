#include "local/events_input.h"

#include <string.h>

#include "base/clock.h"
#include "local/events_path.h"
#include "local/events_shape.h"

enum variable { LITERAL, PATH, RULE_ARN, RULE_NAME, INGESTION_TIME, EVENT, EVENT_JSON };

/* A template is a run of these. */
struct events_piece {
    enum variable variable;
    bool in_string;
    struct slice literal;
    const struct events_path *path;
};

/* ---- compiling ----------------------------------------------------------------------------------------------------
 */

struct compiler {
    struct arena *arena;
    struct slice id;
    struct err *e;
};

static int
compile_path(const struct compiler *c, const char *member, struct slice text, const struct events_path **ret)
{
    struct err why = {0};
    int rc = local_events_path_compile(text, c->arena, ret, &why);
    if (rc == ERR_INVALID)
        return err_set(c->e, ERR_INVALID, "Parameter %s of target %.*s is not valid. Reason: %.*s: %s", member,
                       SLICE_ARG(c->id), (int)(text.n < 100 ? text.n : 100), text.p, why.text);
    return rc == 0 ? 0 : err_no_memory(c->e);
}

static int
find_predefined(struct slice name, enum variable *ret)
{
    static const struct {
        const char *name;
        enum variable variable;
    } KNOWN[] = {
        {"aws.events.rule-arn", RULE_ARN},
        {"aws.events.rule-name", RULE_NAME},
        {"aws.events.event.ingestion-time", INGESTION_TIME},
        {"aws.events.event", EVENT},
        {"aws.events.event.json", EVENT_JSON},
    };
    for (size_t i = 0; i < sizeof KNOWN / sizeof *KNOWN; i++)
        if (slice_equals_string(name, KNOWN[i].name)) {
            *ret = KNOWN[i].variable;
            return 0;
        }
    return ERR_NOT_FOUND;
}

/* The paths of the map are good already. */
static int
compile_variable(const struct compiler *c, struct json paths, struct slice name, struct events_piece *ret_piece)
{
    struct slice text;
    char *key = arena_strdup_slice(c->arena, name);
    if (!key)
        return err_no_memory(c->e);
    int rc = local_events_read_text(c->arena, paths, key, &text, c->e);
    if (rc != 0)
        return rc;
    ret_piece->variable = PATH;
    if (text.p && strlen(key) == name.n)
        return compile_path(c, "InputPathsMap", text, &ret_piece->path);
    if (find_predefined(name, &ret_piece->variable) == 0)
        return 0;
    return err_set(c->e, ERR_INVALID, "InputTemplate for target %.*s contains invalid placeholder %.*s.",
                   SLICE_ARG(c->id), (int)(name.n < 200 ? name.n : 200), name.p);
}

/* Whether what follows text, which begins inside a string or not, is inside one. */
static bool
string_goes_on(struct slice text, bool in_string)
{
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '"')
            in_string = !in_string;
        else if (in_string && text.p[i] == '\\')
            i++;
    }
    return in_string;
}

static int
compile_template(const struct compiler *c, struct json paths, struct slice text, struct events_input *in)
{
    size_t room = 1, at = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.n; i++)
        room += text.p[i] == '<' ? 2 : 0;
    struct events_piece *pieces = arena_zalloc(c->arena, room * sizeof *pieces);
    if (!pieces)
        return err_no_memory(c->e);
    in->pieces = pieces;
    while (at < text.n) {
        const char *open = memchr(text.p + at, '<', text.n - at);
        const char *close = open ? memchr(open, '>', (size_t)(text.p + text.n - open)) : NULL;
        size_t end = close ? (size_t)(open - text.p) : text.n;
        if (end > at) {
            struct slice literal = slice_of(text.p + at, end - at);
            pieces[in->n_pieces++] = (struct events_piece){.variable = LITERAL, .literal = literal};
            in_string = string_goes_on(literal, in_string);
        }
        at = end;
        if (close) {
            struct events_piece *piece = &pieces[in->n_pieces++];
            int rc = compile_variable(c, paths, slice_of(open + 1, (size_t)(close - open - 1)), piece);
            if (rc != 0)
                return rc;
            piece->in_string = in_string;
            at = (size_t)(close + 1 - text.p);
        }
    }
    return 0;
}

static int
compile_transformer(const struct compiler *c, struct json transformer, struct events_input *in)
{
    struct json paths = {.text = SLICE("{}"), .type = JSON_OBJECT};
    const struct events_path *unused;
    local_events_get(transformer, "InputPathsMap", &paths);
    for (struct json_iter it = json_iter(paths); json_next(&it);) {
        struct slice text;
        size_t size = json_raw(it.value).n + 1, n = 0;
        char *copy = arena_alloc(c->arena, size);
        if (!copy)
            return err_no_memory(c->e);
        text = json_decode_into(it.value, copy, size, &n) ? slice_of(copy, n) : slice_of(NULL, 0);
        int rc = compile_path(c, "InputPathsMap", text, &unused);
        if (rc != 0)
            return rc;
    }
    int rc = local_events_read_text(c->arena, transformer, "InputTemplate", &in->text, c->e);
    if (rc != 0)
        return rc;
    size_t at = strspn(in->text.p, " \t\r\n");
    in->kind = EVENTS_INPUT_TEMPLATE;
    in->is_structure = in->text.p[at] == '{' || in->text.p[at] == '[';
    return compile_template(c, paths, in->text, in);
}

static int
compile_text(const struct compiler *c, struct events_input *in)
{
    struct json ignored;
    struct err why = {0};
    in->kind = EVENTS_INPUT_TEXT;
    if (json_parse(in->text, &ignored, &why) == 0)
        return 0;
    return err_set(c->e, ERR_INVALID, "JSON syntax error in input for target %.*s: %s", SLICE_ARG(c->id), why.text);
}

int
local_events_input_compile(struct json target, struct slice id, struct arena *arena, struct events_input *ret_input,
                           struct err *e)
{
    const struct compiler c = {.arena = arena, .id = id, .e = e};
    struct events_input in = {.kind = EVENTS_INPUT_EVENT};
    struct json transformer, value;
    bool has_text = local_events_get(target, "Input", &value), has_path = local_events_get(target, "InputPath", &value);
    bool has_transformer = local_events_get(target, "InputTransformer", &transformer);
    int rc = 0;
    if (has_text + has_path + has_transformer > 1)
        return err_set(e, ERR_INVALID,
                       "Only one of Input, InputPath, or InputTransformer must be provided for target %.*s.",
                       SLICE_ARG(id));
    if (has_transformer)
        rc = compile_transformer(&c, transformer, &in);
    else
        rc = local_events_read_text(arena, target, has_text ? "Input" : "InputPath", &in.text, e);
    if (rc == 0 && has_text)
        rc = compile_text(&c, &in);
    if (rc == 0 && has_path) {
        in.kind = EVENTS_INPUT_PATH;
        rc = compile_path(&c, "InputPath", in.text, &in.path);
    }
    if (rc == 0)
        *ret_input = in;
    return rc;
}

/* ---- applying -----------------------------------------------------------------------------------------------------
 */

static int
add(struct buf *out, struct slice text, struct err *e)
{
    if (out->len + text.n > EVENTS_INPUT_MAX_BYTES)
        return err_set(e, ERR_LIMIT, "What the input template gives is larger than %zu bytes, which no message is.",
                       EVENTS_INPUT_MAX_BYTES);
    buf_add_slice(out, text);
    return buf_failed(out) ? err_no_memory(e) : 0;
}

/* A value inside a string: without the white space and the quotes it is written with. Escapes stay as they are, so what
 * was a JSON string still is one. */
static int
add_unquoted(struct buf *out, struct slice json, struct err *e)
{
    bool in_string = false;
    size_t from = 0;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < json.n; i++) {
        char c = json.p[i];
        bool is_quote = c == '"';
        if (in_string && c == '\\') {
            i++;
        } else if (is_quote || (!in_string && strchr(" \t\r\n", c))) {
            rc = add(out, slice_of(json.p + from, i - from), e);
            from = i + 1;
            in_string = is_quote ? !in_string : in_string;
        }
    }
    return rc != 0 ? rc : add(out, slice_of(json.p + from, json.n - from), e);
}

static int
add_value(const struct events_input *in, const struct events_piece *piece, struct json value, struct buf *out,
          struct err *e)
{
    if (!piece->in_string)
        return add(out, value.text, e);
    if (in->is_structure && value.type == JSON_ARRAY)
        return err_set(e, ERR_INVALID, "The input template has a list inside a string.");
    return add_unquoted(out, value.text, e);
}

/* A text that needs no escapes. */
static int
add_plain(const struct events_piece *piece, struct slice text, struct buf *out, struct err *e)
{
    int rc = piece->in_string ? 0 : add(out, SLICE("\""), e);
    if (rc == 0)
        rc = add(out, text, e);
    return rc != 0 || piece->in_string ? rc : add(out, SLICE("\""), e);
}

/* aws.events.event: all but the detail. */
static int
add_head(const struct events_input *in, const struct events_piece *piece, struct json event, struct buf *out,
         struct err *e)
{
    struct buf head = BUF_INIT;
    buf_add_char(&head, '{');
    for (struct json_iter it = json_iter(event); json_next(&it);) {
        if (json_equals_string(it.key, SLICE("detail")))
            continue;
        buf_add_string(&head, head.len > 1 ? "," : "");
        buf_add_slice(&head, json_equals_string(it.key, SLICE("detail-type")) ? SLICE("\"detailType\"") : it.key.text);
        buf_add_char(&head, ':');
        buf_add_slice(&head, it.value.text);
    }
    buf_add_char(&head, '}');
    struct json value = {.text = buf_slice(&head), .type = JSON_OBJECT};
    int rc = buf_failed(&head) ? err_no_memory(e) : add_value(in, piece, value, out, e);
    buf_clean_up(&head);
    return rc;
}

static int
add_piece(const struct events_input *in, const struct events_piece *piece, const struct events_input_subject *subject,
          struct buf *out, struct err *e)
{
    char time[CLOCK_ISO8601_BYTES];
    struct json value;
    switch (piece->variable) {
    case LITERAL:
        return add(out, piece->literal, e);
    case RULE_ARN:
        return add_plain(piece, subject->rule_arn, out, e);
    case RULE_NAME:
        return add_plain(piece, subject->rule_name, out, e);
    case INGESTION_TIME:
        clock_format_seconds(subject->ingested_at_ms, time);
        return add_plain(piece, slice_of_string(time), out, e);
    case EVENT:
        return add_head(in, piece, subject->event, out, e);
    case EVENT_JSON:
        return add_value(in, piece, subject->event, out, e);
    case PATH:
        break;
    }
    if (local_events_path_find(piece->path, subject->event, &value))
        return add_value(in, piece, value, out, e);
    return add_plain(piece, slice_of("", 0), out, e);
}

static int
fill_template(const struct events_input *in, const struct events_input_subject *subject, struct buf *out, struct err *e)
{
    struct json ignored;
    struct err why = {0};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < in->n_pieces; i++)
        rc = add_piece(in, &in->pieces[i], subject, out, e);
    if (rc == 0 && json_parse(buf_slice(out), &ignored, &why) != 0)
        rc = err_set(e, ERR_INVALID, "The input template gives no JSON for this event: %s", why.text);
    return rc;
}

int
local_events_input_apply(const struct events_input *input, const struct events_input_subject *subject, struct buf *made,
                         struct slice *ret_text, struct err *e)
{
    struct json value;
    int rc = 0;
    switch (input->kind) {
    case EVENTS_INPUT_EVENT:
        *ret_text = subject->event.text;
        break;
    case EVENTS_INPUT_TEXT:
        *ret_text = input->text;
        break;
    case EVENTS_INPUT_PATH:
        if (local_events_path_find(input->path, subject->event, &value))
            *ret_text = value.text;
        else
            rc = err_set(e, ERR_INVALID, "The event has nothing at the target's InputPath %.*s.",
                         SLICE_ARG(input->text));
        break;
    case EVENTS_INPUT_TEMPLATE:
        rc = fill_template(input, subject, made, e);
        if (rc == 0)
            *ret_text = buf_slice(made);
        break;
    }
    return rc;
}
