/* The account listens. */
#include "lib/account.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "lib/account_impl.h"

#define BATCH_MAX 10

/* A worker ends a lease that a receive began a second early, one that it extended from when it asked; and it may have
 * asked before a leap of the clock or two that came before we heard it. */
#define CAUTION_MS 10000

/* ---- handles ----------------------------------------------------------------------------------------------------- */

static uint64_t
hash(struct slice s)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < s.n; i++)
        h = (h ^ (unsigned char)s.p[i]) * UINT64_C(0x100000001b3);
    return h ? h : 1;
}

static struct account_handle *
handle_of(struct account *a, struct slice text)
{
    uint64_t h = hash(text);
    size_t i = h % a->n_handles;
    while (a->handles[i].hash && a->handles[i].hash != h)
        i = (i + 1) % a->n_handles;
    return &a->handles[i];
}

static void
note_handle(struct account *a, struct slice text, uint32_t n)
{
    struct account_handle *h = handle_of(a, text);
    if (!h->hash)
        ACCOUNT_CHECK(++a->used_handles < a->n_handles / 2);
    *h = (struct account_handle){.hash = hash(text), .n = n};
}

/* The message of an entry's receipt handle; NULL: not one of ours. */
static struct account_message *
message_of_entry(struct account *a, struct json entry)
{
    struct json text;
    if (!json_get(entry, "ReceiptHandle", &text))
        return NULL;
    struct account_handle *h = handle_of(a, json_raw(text));
    return h->hash ? &a->messages[h->n] : NULL;
}

/* A body lies in the call as a JSON string, its quotes escaped; in an SNS notification they are so twice. */
struct account_message *
account_message_in(struct account *a, struct slice s)
{
    static const char *const NAMES[] = {"\\\"n\\\":", "\\\"n\\\\\\\":"};
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        size_t length = strlen(NAMES[i]);
        const char *at = s.n > 0 ? memmem(s.p, s.n, NAMES[i], length) : NULL;
        size_t n = at ? strtoul(at + length, NULL, 10) : SIZE_MAX;
        if (n < a->rules.messages)
            return &a->messages[n];
    }
    return NULL;
}

static struct account_message *
message_of_body(struct account *a, struct json body)
{
    return account_message_in(a, json_raw(body));
}

/* ---- what is in hand --------------------------------------------------------------------------------------------- */

static void
leave_hand(struct account *a, struct account_message *m)
{
    if (m->in_hand)
        a->in_hand[m->queue]--;
    m->in_hand = false;
}

/* Those whose lease is over are in nobody's hand. Who holds one is more cautious about its end than we are: CAUTION_MS.
 */
static void
sweep(struct account *a, unsigned queue)
{
    int64_t now_ms = a->rules.now_ms() + CAUTION_MS;
    for (size_t i = 0; i < a->rules.messages; i++)
        if (a->messages[i].queue == queue && a->messages[i].in_hand && a->messages[i].lease_ms <= now_ms)
            leave_hand(a, &a->messages[i]);
}

/* Whether a consumer has more in hand, with what its receives may bring, than its cap. What is counted here is never
 * more than what the worker counts, or this would be an alarm about nothing:
 *
 *   - a worker has a message in hand until what was decided is confirmed; here it leaves when that is asked for, and
 *     when a change of visibility may be a retry or an extension, it is taken for a retry
 *   - a worker knows of an answer after us, and asks for more after that: what it let go was let go here before. It
 *     knows of no answer that it did not read: those messages, and those whose extension was in it, leave (..._broken)
 *   - a receive counts from when it is asked for, and the worker had reserved that much before
 *   - a lease that ends without a word ends here before (CAUTION_MS); one that the queue will not extend, when it says
 * so
 *   - what another worker had in hand is not counted, nor a receive that was its own (epoch): after a change of workers
 *     too little is known for a while
 *
 * A message that is in hand here and given up there without any request, or a worker that asks beyond its room, is what
 * is found. */
static void
check_cap(struct account *a, unsigned queue)
{
    size_t cap = a->cap[queue];
    if (cap == 0 || a->in_hand[queue] + a->reserved[queue] <= cap)
        return;
    sweep(a, queue);
    if (a->in_hand[queue] + a->reserved[queue] > cap)
        account_find(a, "cap: %s: %zu in hand and %zu asked for, of at most %zu", a->rules.queues[queue],
                     a->in_hand[queue], a->reserved[queue], cap);
}

/* ---- receives ---------------------------------------------------------------------------------------------------- */

static struct account_receive *
receive_of(struct account *a, uint64_t number)
{
    for (size_t i = 0; i < a->n_receives; i++)
        if (a->receives[i].number == number)
            return &a->receives[i];
    return NULL;
}

static void
receive_asked(struct account *a, const struct wiretap_exchange *x, struct json request, unsigned queue)
{
    struct json max;
    int64_t n = 1;
    if (json_get(request, "MaxNumberOfMessages", &max))
        json_int64(max, &n);
    ACCOUNT_CHECK(a->n_receives < ACCOUNT_RECEIVES_MAX);
    a->receives[a->n_receives++] = (struct account_receive){.number = x->number,
                                                            .queue = queue,
                                                            .n = (size_t)n,
                                                            .asked_ns = clock_monotonic_ns(),
                                                            .asked_ms = a->rules.now_ms(),
                                                            .epoch = a->epoch[queue]};
    a->reserved[queue] += (size_t)n;
    check_cap(a, queue);
}

static struct account_receive
end_receive(struct account *a, uint64_t number)
{
    struct account_receive *r = receive_of(a, number), ended = {0};
    if (!r)
        return ended;
    ended = *r;
    if (r->epoch == a->epoch[r->queue])
        a->reserved[r->queue] -= r->n;
    *r = a->receives[--a->n_receives];
    return ended;
}

static void
delivered(struct account *a, struct account_message *m, struct json message, const struct account_receive *r)
{
    struct json text, count;
    int64_t now_ms = a->rules.now_ms(), receives = 0;
    if (json_get(message, "ReceiptHandle", &text))
        note_handle(a, json_raw(text), (uint32_t)(m - a->messages));
    if (json_get_path(message, &count, "Attributes", "ApproximateReceiveCount", NULL))
        receives = strtoll(json_raw(count).p, NULL, 10);
    m->deliveries++;
    account_trace(a, m, 0, "delivered, receive count", receives);
    m->receives = receives > m->receives ? (uint32_t)receives : m->receives;
    m->delivered_ns = clock_monotonic_ns();
    m->receive_ns = r->asked_ns;
    m->receive_number = r->number;
    m->lease_ms = now_ms + a->rules.visibility_s * INT64_C(1000);
    if (r->number && r->epoch == a->epoch[r->queue] && !m->in_hand) {
        m->in_hand = true;
        a->in_hand[m->queue]++;
    }
}

static void
receive_answered(struct account *a, const struct wiretap_exchange *x)
{
    struct account_receive r = end_receive(a, x->number);
    struct json answer, messages, body;
    if (x->status != 200 || json_parse(x->answer, &answer, NULL) != 0 || !json_get(answer, "Messages", &messages)) {
        if (x->status == 200)
            account_note_use(a, false);
        return;
    }
    account_note_use(a, true);
    for (struct json_iter it = json_iter(messages); json_next(&it);) {
        struct account_message *m = json_get(it.value, "Body", &body) ? message_of_body(a, body) : NULL;
        if (m)
            delivered(a, m, it.value, &r);
        else
            account_find(a, "a message was delivered that nobody had sent");
    }
    check_cap(a, r.queue);
}

/* What it had brought, or the extension it had granted, may not have come to any hand. */
static void
answer_unread(struct account *a, uint64_t number)
{
    if (end_receive(a, number).number)
        return;
    for (size_t i = 0; i < a->rules.messages; i++)
        if (a->messages[i].receive_number == number || a->messages[i].change_number == number)
            leave_hand(a, &a->messages[i]);
}

/* ---- deletes, changes of visibility, dead letters ---------------------------------------------------------------- */

static void
delete_asked(struct account *a, struct json entry)
{
    struct account_message *m = message_of_entry(a, entry);
    if (!m)
        return;
    leave_hand(a, m);
    account_trace(a, m, 0, "delete asked", 0);
    if (!m->delete_asked_ns)
        m->delete_asked_ns = clock_monotonic_ns();
}

static void
change_asked(struct account *a, struct json entry)
{
    struct account_message *m = message_of_entry(a, entry);
    struct json timeout;
    int64_t s = 0;
    if (!m || !json_get(entry, "VisibilityTimeout", &timeout) || !json_int64(timeout, &s))
        return;
    account_trace(a, m, 0, "visibility asked, s", s);
    if (s < a->rules.visibility_s || m->fate == ACCOUNT_LEFT) /* which is given back for longer than that */
        leave_hand(a, m);
    else
        m->extension_ms = a->rules.now_ms() + s * 1000;
}

static void
change_confirmed(struct account *a, struct json entry)
{
    struct account_message *m = message_of_entry(a, entry);
    struct json timeout;
    int64_t s = 0;
    if (m)
        account_trace(a, m, 0, "visibility confirmed", 0);
    if (m && json_get(entry, "VisibilityTimeout", &timeout) && json_int64(timeout, &s) && s < a->rules.visibility_s)
        leave_hand(a, m); /* it may have been delivered once more since that was asked */
    if (m)
        m->change_number = a->number;
    if (m && m->extension_ms > m->lease_ms)
        m->lease_ms = m->extension_ms;
}

static void
letter_asked(struct account *a, struct json entry)
{
    struct json body;
    struct account_message *m = json_get(entry, "MessageBody", &body) ? message_of_body(a, body) : NULL;
    if (!m)
        return;
    m->letters_asked++;
    account_trace(a, m, 0, "dead letter sent", 0);
    if (!m->letter_asked_ns)
        m->letter_asked_ns = clock_monotonic_ns();
}

/* One that breaks this is refused as a whole, for no fault of the others in it. */
static void
check_batch(struct account *a, const struct wiretap_exchange *x, struct json entries)
{
    struct json values[2][BATCH_MAX];
    static const char *const NAMES[] = {"Id", "ReceiptHandle"};
    size_t n = 0;
    for (struct json_iter it = json_iter(entries); json_next(&it); n++)
        for (size_t k = 0; k < 2 && n < BATCH_MAX; k++)
            if (!json_get(it.value, NAMES[k], &values[k][n]))
                values[k][n] = (struct json){0};
    bool good = n >= 1 && n <= BATCH_MAX;
    for (size_t i = 0; good && i < n; i++)
        for (size_t j = 0; j < i; j++)
            for (size_t k = 0; k < 2; k++)
                good = good && (values[k][i].text.n == 0 || !slice_equals(values[k][i].text, values[k][j].text));
    if (!good)
        account_find(a, "batch: %.*s of %zu entries, or with one of them twice", SLICE_ARG(x->operation), n);
}

static void
each_entry(struct account *a, const struct wiretap_exchange *x, void (*visit)(struct account *a, struct json entry))
{
    struct json request, entries;
    if (json_parse(x->request, &request, NULL) != 0 || !json_get(request, "Entries", &entries))
        return;
    check_batch(a, x, entries);
    for (struct json_iter it = json_iter(entries); json_next(&it);)
        visit(a, it.value);
}

static void
delete_confirmed(struct account *a, struct json entry)
{
    struct account_message *m = message_of_entry(a, entry);
    if (m)
        account_trace(a, m, 0, "delete confirmed", 0);
    if (m)
        leave_hand(a, m);
    if (m && !m->delete_confirmed_ns) {
        m->delete_confirmed_ns = clock_monotonic_ns();
        a->deleted++;
    }
}

/* Who had it may take it for lost. */
static void
change_refused(struct account *a, struct json entry)
{
    struct account_message *m = message_of_entry(a, entry);
    if (m)
        leave_hand(a, m);
}

static void
letter_confirmed(struct account *a, struct json entry)
{
    struct json body;
    struct account_message *m = json_get(entry, "MessageBody", &body) ? message_of_body(a, body) : NULL;
    if (m)
        account_trace(a, m, 0, "dead letter confirmed", 0);
    if (m && !m->letter_confirmed_ns)
        m->letter_confirmed_ns = clock_monotonic_ns();
}

/* The entries that the answer has in a list, "Successful" or "Failed", matched by their ids. */
static void
each_answered(struct account *a, const struct wiretap_exchange *x, const char *list,
              void (*visit)(struct account *a, struct json entry))
{
    struct json request, answer, entries, done, id, entry_id;
    if (x->status != 200 || json_parse(x->request, &request, NULL) != 0 || json_parse(x->answer, &answer, NULL) != 0 ||
        !json_get(request, "Entries", &entries) || !json_get(answer, list, &done))
        return;
    for (struct json_iter s = json_iter(done); json_next(&s);)
        for (struct json_iter e = json_iter(entries); json_get(s.value, "Id", &id) && json_next(&e);)
            if (json_get(e.value, "Id", &entry_id) && slice_equals(json_raw(id), json_raw(entry_id)))
                visit(a, e.value);
}

/* ---- hearing ----------------------------------------------------------------------------------------------------- */

/* "chaos" of ".../chaos"; ACCOUNT_QUEUES: none of ours. */
static unsigned
queue_of(struct account *a, struct json request)
{
    struct json url;
    unsigned q = ACCOUNT_QUEUES;
    if (!json_get(request, "QueueUrl", &url))
        return q;
    struct slice s = json_raw(url);
    const char *slash = memrchr(s.p, '/', s.n);
    if (slash)
        for (q = 0; q < ACCOUNT_QUEUES; q++)
            if (slice_equals_string(slice_of(slash + 1, (size_t)(s.p + s.n - slash - 1)), a->rules.queues[q]))
                break;
    return q;
}

static void
asked(struct account *a, const struct wiretap_exchange *x)
{
    struct json request;
    if (slice_equals_string(x->operation, "ReceiveMessage") && json_parse(x->request, &request, NULL) == 0) {
        unsigned queue = queue_of(a, request);
        if (queue < ACCOUNT_QUEUES)
            receive_asked(a, x, request, queue);
    } else if (slice_equals_string(x->operation, "DeleteMessageBatch")) {
        each_entry(a, x, delete_asked);
    } else if (slice_equals_string(x->operation, "ChangeMessageVisibilityBatch")) {
        each_entry(a, x, change_asked);
    } else if (slice_equals_string(x->operation, "SendMessageBatch")) {
        each_entry(a, x, letter_asked);
    }
}

static void
answered(struct account *a, const struct wiretap_exchange *x)
{
    if (slice_equals_string(x->operation, "ReceiveMessage")) {
        receive_answered(a, x);
    } else if (slice_equals_string(x->operation, "DeleteMessageBatch")) {
        each_answered(a, x, "Successful", delete_confirmed);
    } else if (slice_equals_string(x->operation, "ChangeMessageVisibilityBatch")) {
        each_answered(a, x, "Successful", change_confirmed);
        each_answered(a, x, "Failed", change_refused);
    } else if (slice_equals_string(x->operation, "SendMessageBatch")) {
        each_answered(a, x, "Successful", letter_confirmed);
    }
}

void
account_hear(void *account, enum wiretap_moment moment, const struct wiretap_exchange *x)
{
    struct account *a = account;
    pthread_mutex_lock(&a->lock);
    a->number = x->number;
    a->calls += moment == WIRETAP_ASKED;
    a->failed_calls += moment == WIRETAP_ANSWERED && x->status != 200;
    a->broken_calls += moment == WIRETAP_BROKEN;
    if (moment == WIRETAP_BROKEN || (moment == WIRETAP_ANSWERED && x->status != 200))
        account_note_use(a, false);
    else if (moment == WIRETAP_ANSWERED && !slice_equals_string(x->operation, "ReceiveMessage"))
        account_note_use(a, true);
    if (account_hear_publish(a, moment, x))
        ;
    else if (moment == WIRETAP_ASKED)
        asked(a, x);
    else if (moment == WIRETAP_ANSWERED)
        answered(a, x);
    else
        answer_unread(a, x->number);
    pthread_mutex_unlock(&a->lock);
}
