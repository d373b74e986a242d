#include "aws/s3_decode.h"

#include <expat.h>
#include <limits.h>
#include <stdlib.h>

#include "aws/answer.h"
#include "base/buf.h"
#include "base/clock.h"
#include "http/http.h"

#define DEPTH_MAX 16

/* What of an answer is read. */
enum element { OTHER, ROOT, TRUNCATED, TOKEN, ENCODING, CONTENTS, KEY, MODIFIED, ETAG, SIZE, PREFIXES, PREFIX };

static const struct {
    enum element inside, element;
    const char *name;
} ELEMENTS[] = {
    {ROOT, TRUNCATED, "IsTruncated"},
    {ROOT, TOKEN, "NextContinuationToken"},
    {ROOT, ENCODING, "EncodingType"},
    {ROOT, CONTENTS, "Contents"},
    {CONTENTS, KEY, "Key"},
    {CONTENTS, MODIFIED, "LastModified"},
    {CONTENTS, ETAG, "ETag"},
    {CONTENTS, SIZE, "Size"},
    {ROOT, PREFIXES, "CommonPrefixes"},
    {PREFIXES, PREFIX, "Prefix"},
};

struct reader {
    XML_Parser parser;
    struct arena *arena;
    struct err *e;
    int rc;
    enum element stack[DEPTH_MAX];
    int depth;
    struct buf text; /* of the innermost element */
    struct s3_entry *entries;
    struct slice *prefixes;
    size_t n_entries, entries_capacity, n_prefixes, prefixes_capacity;
    bool truncated, encoded;
    struct slice token;
};

static void
stop(struct reader *r, int rc)
{
    if (r->rc == 0)
        r->rc = rc;
    XML_StopParser(r->parser, XML_FALSE);
}

static struct slice
keep(struct reader *r, struct slice s)
{
    char *copy = arena_strndup(r->arena, s.n > 0 ? s.p : "", s.n);
    if (!copy)
        stop(r, err_no_memory(r->e));
    return slice_of(copy, copy ? s.n : 0);
}

/* ---- elements -------------------------------------------------------------------------------------------------- */

static enum element
element_of(enum element inside, const char *name)
{
    for (size_t i = 0; i < sizeof ELEMENTS / sizeof *ELEMENTS; i++)
        if (ELEMENTS[i].inside == inside && strcmp(ELEMENTS[i].name, name) == 0)
            return ELEMENTS[i].element;
    return OTHER;
}

/* Room for one more in an array of n; NULL: no memory. */
static void *
grow(void *array, size_t n, size_t *capacity, size_t size)
{
    if (n < *capacity)
        return array;
    size_t more = *capacity ? *capacity * 2 : 64;
    void *grown = reallocarray(array, more, size);
    if (grown)
        *capacity = more;
    return grown;
}

static void
begin_entry(struct reader *r)
{
    struct s3_entry *entries = grow(r->entries, r->n_entries, &r->entries_capacity, sizeof *entries);
    if (!entries) {
        stop(r, err_no_memory(r->e));
        return;
    }
    r->entries = entries;
    r->entries[r->n_entries++] = (struct s3_entry){0};
}

static void XMLCALL
start_element(void *user, const XML_Char *name, const XML_Char **attributes)
{
    struct reader *r = user;
    (void)attributes;
    if (r->rc != 0)
        return;
    if (r->depth == DEPTH_MAX) {
        stop(r, err_set(r->e, ERR_PROTOCOL, "the XML is nested deeper than %d", DEPTH_MAX));
        return;
    }
    if (r->depth == 0 && strcmp(name, "ListBucketResult") != 0) {
        stop(r, err_set(r->e, ERR_PROTOCOL, "the XML is a %.40s, no ListBucketResult", name));
        return;
    }
    enum element element = r->depth == 0 ? ROOT : element_of(r->stack[r->depth - 1], name);
    r->stack[r->depth++] = element;
    buf_reset(&r->text);
    if (element == CONTENTS)
        begin_entry(r);
}

static void XMLCALL
character_data(void *user, const XML_Char *s, int n)
{
    struct reader *r = user;
    if (r->rc == 0 && r->depth > 0 && r->stack[r->depth - 1] != OTHER)
        buf_add(&r->text, s, (size_t)n);
}

static void
end_prefix(struct reader *r, struct slice text)
{
    struct slice *prefixes = grow(r->prefixes, r->n_prefixes, &r->prefixes_capacity, sizeof *prefixes);
    if (!prefixes) {
        stop(r, err_no_memory(r->e));
        return;
    }
    r->prefixes = prefixes;
    r->prefixes[r->n_prefixes++] = keep(r, text);
}

static void
end_entry_member(struct reader *r, enum element element, struct slice text)
{
    struct s3_entry *entry = &r->entries[r->n_entries - 1];
    if (element == KEY)
        entry->key = keep(r, text);
    else if (element == ETAG)
        entry->etag = keep(r, text);
    else if (element == SIZE && !answer_parse_number(text, &entry->size))
        stop(r, err_set(r->e, ERR_PROTOCOL, "a Size is no number"));
    else if (element == MODIFIED && clock_parse_iso8601(text.p, text.n, &entry->modified_at_ms, NULL) != 0)
        stop(r, err_set(r->e, ERR_PROTOCOL, "a LastModified is no time"));
}

static void XMLCALL
end_element(void *user, const XML_Char *name)
{
    struct reader *r = user;
    (void)name;
    if (r->rc != 0)
        return;
    enum element element = r->stack[--r->depth];
    struct slice text = slice_of(r->text.data ? r->text.data : "", r->text.len);
    if (buf_failed(&r->text)) {
        stop(r, err_no_memory(r->e));
        return;
    }
    switch (element) {
    case TRUNCATED:
        r->truncated = slice_equals(text, SLICE("true"));
        break;
    case TOKEN:
        r->token = keep(r, text);
        break;
    case ENCODING:
        r->encoded = slice_equals(text, SLICE("url"));
        break;
    case KEY:
    case MODIFIED:
    case ETAG:
    case SIZE:
        end_entry_member(r, element, text);
        break;
    case PREFIX:
        end_prefix(r, text);
        break;
    case OTHER:
    case ROOT:
    case CONTENTS:
    case PREFIXES:
        break;
    }
    buf_reset(&r->text);
}

static void XMLCALL
start_doctype(void *user, const XML_Char *name, const XML_Char *system, const XML_Char *public, int internal)
{
    struct reader *r = user;
    (void)name;
    (void)system;
    (void)public;
    (void)internal;
    stop(r, err_set(r->e, ERR_PROTOCOL, "the XML has a document type"));
}

/* ---- the whole ------------------------------------------------------------------------------------------------- */

static int
parse(struct reader *r, struct slice xml)
{
    if (xml.n > INT_MAX)
        return err_set(r->e, ERR_PROTOCOL, "the XML has %zu bytes", xml.n);
    XML_SetUserData(r->parser, r);
    XML_SetElementHandler(r->parser, start_element, end_element);
    XML_SetCharacterDataHandler(r->parser, character_data);
    XML_SetStartDoctypeDeclHandler(r->parser, start_doctype);
    enum XML_Status status = XML_Parse(r->parser, xml.n > 0 ? xml.p : "", (int)xml.n, XML_TRUE);
    if (r->rc != 0)
        return r->rc;
    if (status != XML_STATUS_OK)
        return err_set(r->e, ERR_PROTOCOL, "the XML is broken at line %lu: %s",
                       (unsigned long)XML_GetCurrentLineNumber(r->parser),
                       XML_ErrorString(XML_GetErrorCode(r->parser)));
    return 0;
}

static int
decode_text(struct reader *r, struct slice *text)
{
    struct buf decoded = BUF_INIT;
    int rc = 0;
    if (!r->encoded || text->n == 0)
        return 0;
    if (!http_decode(&decoded, *text, true)) {
        rc = err_set(r->e, ERR_PROTOCOL, "a key is badly encoded");
    } else if (buf_failed(&decoded)) {
        rc = err_no_memory(r->e);
    } else {
        *text = keep(r, buf_slice(&decoded));
        rc = r->rc;
    }
    buf_clean_up(&decoded);
    return rc;
}

/* Decodes at the end, because nothing says that EncodingType comes first. */
static int
finish(struct reader *r)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < r->n_entries; i++)
        rc = r->entries[i].key.n > 0 ? decode_text(r, &r->entries[i].key)
                                     : err_set(r->e, ERR_PROTOCOL, "an object has no Key");
    for (size_t i = 0; rc == 0 && i < r->n_prefixes; i++)
        rc = decode_text(r, &r->prefixes[i]);
    if (rc == 0 && r->truncated && r->token.n == 0)
        rc = err_set(r->e, ERR_PROTOCOL, "the listing is truncated without a NextContinuationToken");
    return rc;
}

/* Moves an array of the heap into the arena. */
static const void *
move(struct reader *r, const void *array, size_t bytes, int *ret_rc)
{
    void *copy = arena_alloc(r->arena, bytes);
    if (copy && bytes > 0)
        memcpy(copy, array, bytes);
    if (!copy)
        *ret_rc = err_no_memory(r->e);
    return copy;
}

int
s3_decode_list(struct slice xml, struct arena *arena, struct s3_listing *ret, struct err *e)
{
    struct reader r = {.parser = XML_ParserCreate(NULL), .arena = arena, .e = e};
    struct s3_listing listing = {0};
    int rc = r.parser ? parse(&r, xml) : err_no_memory(e);
    if (rc == 0)
        rc = finish(&r);
    if (rc == 0) {
        listing.entries = move(&r, r.entries, r.n_entries * sizeof *r.entries, &rc);
        listing.prefixes = move(&r, r.prefixes, r.n_prefixes * sizeof *r.prefixes, &rc);
    }
    if (rc == 0) {
        listing.n_entries = r.n_entries;
        listing.n_prefixes = r.n_prefixes;
        listing.truncated = r.truncated;
        listing.next_token = r.truncated ? r.token : slice_of("", 0);
        *ret = listing;
    }
    if (r.parser)
        XML_ParserFree(r.parser);
    buf_clean_up(&r.text);
    free(r.entries);
    free(r.prefixes);
    return rc;
}
