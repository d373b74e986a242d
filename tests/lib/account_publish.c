/* What handlers publish: pieces of ours, {"n":N,"piece":K}, in PutEvents' details or in messages to the queue of
 * events. A piece is sent once its message is done, and confirmed before that is deleted. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "lib/account_impl.h"

/* The piece that a request's entry is; NULL: none of ours. */
static struct account_piece *
piece_of(struct account *a, struct json entry, const char *member, struct account_message **ret_message)
{
    static const char NAME[] = "\\\"piece\\\":";
    struct json text;
    if (!json_get(entry, member, &text))
        return NULL;
    struct slice s = json_raw(text);
    struct account_message *m = account_message_in(a, s);
    const char *at = m ? memmem(s.p, s.n, NAME, sizeof NAME - 1) : NULL;
    unsigned long k = at ? strtoul(at + sizeof NAME - 1, NULL, 10) : ACCOUNT_PIECES;
    *ret_message = m;
    return k < ACCOUNT_PIECES ? &m->published[k] : NULL;
}

static void
note_asked(struct account *a, struct json entries, const char *member)
{
    struct account_message *m;
    for (struct json_iter it = json_iter(entries); json_next(&it);) {
        struct account_piece *p = piece_of(a, it.value, member, &m);
        if (!p) {
            account_find(a, "publish: a piece was sent that is none of ours");
            continue;
        }
        account_trace(a, m, 0, "published, piece", (int64_t)(p - m->published));
        if (!p->asked_ns)
            p->asked_ns = clock_monotonic_ns();
    }
}

static void
confirm(struct account *a, struct json entry, const char *member)
{
    struct account_message *m;
    struct account_piece *p = piece_of(a, entry, member, &m);
    if (p)
        account_trace(a, m, 0, "confirmed, piece", (int64_t)(p - m->published));
    if (p && !p->confirmed_ns)
        p->confirmed_ns = clock_monotonic_ns();
}

static void
refuse(struct account *a, struct json entry, const char *member)
{
    struct account_message *m;
    if (!piece_of(a, entry, member, &m))
        return;
    account_trace(a, m, 0, "publishing failed", 0);
    m->unsent++;
}

static void
refuse_all(struct account *a, struct json entries, const char *member)
{
    for (struct json_iter it = json_iter(entries); json_next(&it);)
        refuse(a, it.value, member);
}

/* PutEvents' answer has an entry for each of the request's, in its order. */
static void
note_events(struct account *a, struct json entries, struct json answer)
{
    struct json answered, id;
    if (!json_get(answer, "Entries", &answered))
        return;
    struct json_iter r = json_iter(answered);
    for (struct json_iter it = json_iter(entries); json_next(&it) && json_next(&r);)
        (json_get(r.value, "EventId", &id) ? confirm : refuse)(a, it.value, "Detail");
}

static void
note_messages(struct account *a, struct json entries, struct json answer)
{
    static const struct {
        const char *list;
        void (*note)(struct account *a, struct json entry, const char *member);
    } LISTS[] = {{"Successful", confirm}, {"Failed", refuse}};
    struct json list, id, entry_id;
    for (size_t i = 0; i < sizeof LISTS / sizeof *LISTS; i++) {
        if (!json_get(answer, LISTS[i].list, &list))
            continue;
        for (struct json_iter s = json_iter(list); json_next(&s);)
            for (struct json_iter e = json_iter(entries); json_get(s.value, "Id", &id) && json_next(&e);)
                if (json_get(e.value, "Id", &entry_id) && slice_equals(json_raw(id), json_raw(entry_id)))
                    LISTS[i].note(a, e.value, "MessageBody");
    }
}

static bool
is_to_events(const struct account *a, struct json request)
{
    struct json url;
    if (!json_get(request, "QueueUrl", &url))
        return false;
    struct slice s = json_raw(url);
    size_t n = strlen(a->rules.events);
    const char *slash = memrchr(s.p, '/', s.n);
    return slash && (size_t)(s.p + s.n - slash) > n && strncmp(slash + 1, a->rules.events, n) == 0;
}

bool
account_hear_publish(struct account *a, enum wiretap_moment moment, const struct wiretap_exchange *x)
{
    struct json request, entries, answer;
    bool events = slice_equals_string(x->operation, "PutEvents");
    if (!a->rules.events || (!events && !slice_equals_string(x->operation, "SendMessageBatch")))
        return false;
    if (moment == WIRETAP_BROKEN)
        return events;
    if (json_parse(x->request, &request, NULL) != 0 || (!events && !is_to_events(a, request)) ||
        !json_get(request, "Entries", &entries))
        return events;
    if (moment == WIRETAP_ASKED)
        note_asked(a, entries, events ? "Detail" : "MessageBody");
    else if (x->status != 200)
        refuse_all(a, entries, events ? "Detail" : "MessageBody");
    else if (json_parse(x->answer, &answer, NULL) == 0)
        (events ? note_events : note_messages)(a, entries, answer);
    return true;
}

void
account_judge_pieces(struct account *a, const struct account_message *m, uint32_t n, bool done_by_twin)
{
    for (unsigned k = 0; k < ACCOUNT_PIECES; k++) {
        const struct account_piece *p = &m->published[k];
        if (p->asked_ns && (!m->done_ns || p->asked_ns < m->done_ns))
            account_find(a, "publish: piece %u of message %u was sent before that was done", k, n);
        if (p->confirmed_ns && p->times == 0)
            account_find(a, "publish: piece %u of message %u was confirmed and is nowhere", k, n);
        if (k >= m->pieces || !m->done_ns || m->letters > 0 || done_by_twin)
            continue;
        if (p->times == 0)
            account_find(a, "publish: piece %u of message %u, which was done, is nowhere", k, n);
        if (m->delete_asked_ns && (!p->confirmed_ns || p->confirmed_ns > m->delete_asked_ns))
            account_find(a, "publish: message %u was deleted before its piece %u was confirmed", n, k);
    }
}
