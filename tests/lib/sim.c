#include "lib/sim.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/xorshift.h"

#define LOOK_MS  50
#define TWELVE_H INT64_C(43200000)
#define START_MS 1000000
#define FIVE_MIN INT64_C(300000)
#define NONE     SIZE_MAX

/* A call between its start and its answer. */
struct pending {
    struct timer timer;
    struct sim *sim;
    struct pending *previous, *next;
    enum sim_call call;
    union {
        sqs_queue_fn *queue;
        sqs_receive_fn *receive;
        sqs_batch_fn *batch;
    } done;
    void *context;
    struct sim_fault fault;
    size_t n;
    struct {
        char handle[64];
        unsigned timeout_s;
        char reason[200], kind[16], attempts[16], id[40], group[16], sequence[24];
        struct sim_fault fault;
    } entry[SQS_BATCH_MAX];
    struct sqs_result results[SQS_BATCH_MAX];
    unsigned max_messages;
    char attempt_id[40];
    unsigned new_until; /* the id was none of the sim's before attempt new_until; 0: it was not looked for yet */
    struct sqs_message got[SQS_BATCH_MAX];
    size_t garbled;
    int groups_garbled[SQS_BATCH_MAX]; /* -1: nobody can tell */
    int64_t until_ms, visibility_ms;
    int64_t sent_ms; /* the attempt that is answered */
    int64_t way_ms;  /* from the queue back to the caller */
    bool executed;
    char url[100]; /* SIM_FIND: the answer */
};

static int64_t now;
static struct pending *pendings; /* in flight, of the one simulation */

int64_t
sim_now_ms(void)
{
    return now;
}

void
sim_set_now(int64_t now_ms)
{
    now = now_ms;
}

void
sim_undelete(struct sim *s, size_t i)
{
    s->messages[i].deleted = false;
    s->gone = 0;
}

uint64_t
sim_random(struct sim *s)
{
    return xorshift_next(&s->random);
}

bool
sim_chance(struct sim *s, unsigned per_thousand)
{
    return sim_random(s) % 1000 < per_thousand;
}

/* One way. */
static int64_t
latency(struct sim *s)
{
    return s->latency_ms > 0 ? (int64_t)(sim_random(s) % (uint64_t)s->latency_ms) : 0;
}

static struct sim_fault
fault_of(struct sim *s, enum sim_call call, int entry)
{
    struct sim_fault f = {0};
    if (entry < 0) {
        f.call = sim_chance(s, s->fail_calls);
        if (!f.call && sim_chance(s, s->lose_answers))
            f.call = f.executed = true;
    } else {
        f.entry = sim_chance(s, s->fail_entries);
    }
    if (s->hook)
        s->hook(s->context, call, entry, &f);
    return f;
}

static void
wait(struct pending *p, int64_t ms)
{
    if (timers_set(&p->sim->timers, &p->timer, now + ms) != 0)
        abort();
}

static struct pending *
begin(struct sim *s, enum sim_call call, void *context, void (*fire)(struct timer *t, int64_t now_ms))
{
    struct pending *p = calloc(1, sizeof *p);
    if (!p)
        abort();
    p->sim = s;
    p->call = call;
    p->context = context;
    p->timer.fire = fire;
    p->next = pendings;
    if (pendings)
        pendings->previous = p;
    pendings = p;
    s->calls[call]++;
    p->fault = fault_of(s, call, -1);
    p->way_ms = latency(s) + 1;
    p->sent_ms = now + s->retried_ms[call];
    wait(p, s->retried_ms[call] + s->extra_ms[call] + latency(s));
    return p;
}

static void
take_out(struct pending *p)
{
    timers_cancel(&p->sim->timers, &p->timer);
    *(p->previous ? &p->previous->next : &pendings) = p->next;
    if (p->next)
        p->next->previous = p->previous;
}

static void
end(struct pending *p)
{
    take_out(p);
    free(p);
}

static struct pending *
pending_of(struct timer *t)
{
    return (struct pending *)((char *)t - offsetof(struct pending, timer));
}

static struct aws_error
error_of(const struct pending *p)
{
    struct aws_error e = {.maybe_executed = p->fault.executed};
    snprintf(e.code, sizeof e.code, "%s", p->fault.code ? p->fault.code : "InternalError");
    bool denied = strcmp(e.code, "AccessDenied") == 0, unverified = strcmp(e.code, "tls") == 0;
    bool invalid = strcmp(e.code, "InvalidParameterValue") == 0;
    bool missing = strcmp(e.code, "AWS.SimpleQueueService.NonExistentQueue") == 0;
    e.status = denied || invalid || missing ? 400 : 0;
    err_set(&e.err,
            invalid                ? ERR_INVALID
            : missing              ? ERR_NOT_FOUND
            : denied || unverified ? ERR_DENIED
                                   : ERR_UNAVAILABLE,
            "simulated failure of call %d: %s", p->call, e.code);
    return e;
}

/* ---- messages ---- */

struct sim_message *
sim_put(struct sim *s, const char *body)
{
    if ((s->n_messages & (s->n_messages - 1)) == 0) {
        size_t capacity = s->n_messages ? s->n_messages * 2 : 1;
        s->messages = realloc(s->messages, capacity * sizeof *s->messages);
        if (!s->messages)
            abort();
    }
    struct sim_message *m = &s->messages[s->n_messages];
    *m = (struct sim_message){.visible_at_ms = now, .body = strdup(body), .group = -1, .next_in_group = NONE};
    snprintf(m->id, sizeof m->id, "m-%zu", s->n_messages);
    s->n_messages++;
    return m;
}

struct sim_message *
sim_put_in_group(struct sim *s, int group, const char *body)
{
    assert(s->fifo && group >= 0);
    if ((size_t)group >= s->n_groups) {
        s->groups = realloc(s->groups, ((size_t)group + 1) * sizeof *s->groups);
        if (!s->groups)
            abort();
        for (; s->n_groups <= (size_t)group; s->n_groups++)
            s->groups[s->n_groups] = (struct sim_group){.first = NONE, .last = NONE};
    }
    struct sim_message *m = sim_put(s, body);
    struct sim_group *g = &s->groups[group];
    size_t i = s->n_messages - 1;
    m->group = group;
    m->place = g->n++;
    *(g->last == NONE ? &g->first : &s->messages[g->last].next_in_group) = i;
    if (g->first == NONE)
        g->first = i;
    g->last = i;
    return m;
}

static struct sim_message *
find_n(struct sim *s, const char *id, size_t n)
{
    char *rest;
    if (n < 3 || strncmp(id, "m-", 2) != 0)
        return NULL;
    size_t i = strtoul(id + 2, &rest, 10);
    return i < s->n_messages ? &s->messages[i] : NULL;
}

struct sim_message *
sim_find(struct sim *s, const char *id)
{
    return find_n(s, id, strlen(id));
}

/* The message of "ID/RECEIVES"; *ret_newest: nobody received it since. */
static struct sim_message *
message_of(struct sim *s, const char *handle, bool *ret_newest)
{
    const char *slash = strchr(handle, '/');
    struct sim_message *m = slash ? find_n(s, handle, (size_t)(slash - handle)) : NULL;
    *ret_newest = m && strtoul(slash + 1, NULL, 10) == m->receives;
    return m;
}

/* ---- receive ---- */

static void
receive_over(struct pending *p)
{
    p->sim->receiving--;
    p->sim->asked -= p->max_messages;
}

static int
receives_at_most(const struct sim *s)
{
    return s->max_receive_count > 0 ? s->max_receive_count : 10;
}

static bool
is_full(const struct pending *p)
{
    return p->n + p->garbled >= p->max_messages;
}

static bool
is_behind_garbled(const struct pending *p, const struct sim_message *m)
{
    bool behind = false;
    for (size_t i = 0; i < p->garbled; i++)
        behind |= p->groups_garbled[i] < 0 || p->groups_garbled[i] == m->group;
    return behind;
}

/* Hands m out. */
static void
hand_out(struct pending *p, struct sim_message *m)
{
    struct sim *s = p->sim;
    m->visible_at_ms = now + p->visibility_ms;
    m->received_at_ms = now;
    struct sim_fault f = {0};
    if (s->hook)
        s->hook(s->context, SIM_RECEIVE, (int)(p->n + p->garbled), &f);
    if (f.entry) {
        p->groups_garbled[p->garbled++] = f.groupless ? -1 : m->group;
        return;
    }
    snprintf(p->entry[p->n].handle, sizeof p->entry[p->n].handle, "%s/%u", m->id, m->receives);
    p->got[p->n] = sim_sqs_message(m->id, p->entry[p->n].handle, m->body, m->receives);
    snprintf(p->entry[p->n].id, sizeof p->entry[p->n].id, "%s", m->id); /* m moves when messages are put */
    p->got[p->n].id = slice_of_string(p->entry[p->n].id);
    p->got[p->n].behind_damaged = is_behind_garbled(p, m);
    if (m->group >= 0) {
        snprintf(p->entry[p->n].group, sizeof p->entry[p->n].group, "g-%d", m->group);
        snprintf(p->entry[p->n].sequence, sizeof p->entry[p->n].sequence, "%020zu", m->place + 1);
        p->got[p->n].group = slice_of_string(p->entry[p->n].group);
        p->got[p->n].sequence_number = slice_of_string(p->entry[p->n].sequence);
    }
    p->n++;
}

/* The same messages again, while nothing has happened to them. */
static bool
pick_again(struct pending *p)
{
    struct sim *s = p->sim;
    struct sim_attempt *a = s->attempts;
    if (p->new_until == s->next_attempt + 1) /* as the last look found */
        return false;
    while (a < s->attempts + SIM_ATTEMPTS && strcmp(a->id, p->attempt_id) != 0)
        a++;
    if (a == s->attempts + SIM_ATTEMPTS)
        p->new_until = s->next_attempt + 1;
    if (a == s->attempts + SIM_ATTEMPTS || now - a->at_ms > FIVE_MIN || a->visible_at_ms <= now)
        return false;
    for (size_t i = 0; i < a->n; i++) {
        const struct sim_message *m = &s->messages[a->messages[i]];
        if (m->deleted || m->receives != a->receives[i] || m->visible_at_ms != a->visible_at_ms)
            return false;
    }
    s->attempts_repeated++;
    a->visible_at_ms = now + p->visibility_ms;
    for (size_t i = 0; i < a->n; i++)
        hand_out(p, &s->messages[a->messages[i]]);
    return true;
}

static void
pick_from_groups(struct pending *p)
{
    struct sim *s = p->sim;
    struct sim_attempt a = {.at_ms = now, .visible_at_ms = now + p->visibility_ms};
    if (p->attempt_id[0] && pick_again(p))
        return;
    size_t offset = s->n_groups ? sim_random(s) % s->n_groups : 0;
    for (size_t k = 0; k < s->n_groups && !is_full(p); k++) {
        struct sim_group *g = &s->groups[(offset + k) % s->n_groups];
        while (g->first != NONE && s->messages[g->first].deleted)
            g->first = s->messages[g->first].next_in_group;
        for (size_t i = g->first; i != NONE && !is_full(p); i = s->messages[i].next_in_group) {
            struct sim_message *m = &s->messages[i];
            if (m->deleted)
                continue;
            if (m->visible_at_ms > now)
                break;
            if (s->redrives && (int)m->receives >= receives_at_most(s)) {
                m->deleted = m->moved = true;
                if (s->ended)
                    s->ended(s->ended_context, m);
                continue;
            }
            a.receives[a.n] = ++m->receives;
            a.messages[a.n++] = i;
            hand_out(p, m);
        }
    }
    snprintf(a.id, sizeof a.id, "%s", p->attempt_id);
    if (a.n > 0 && a.id[0])
        s->attempts[s->next_attempt++ % SIM_ATTEMPTS] = a;
}

static bool
all_are_deleted(struct sim *s)
{
    while (s->gone < s->n_messages && s->messages[s->gone].deleted && s->messages[s->gone].receives > 0)
        s->gone++;
    return s->gone == s->n_messages;
}

/* What can be had now. */
static void
pick(struct pending *p)
{
    struct sim *s = p->sim;
    if (s->fifo) {
        pick_from_groups(p);
        return;
    }
    size_t offset = s->n_messages ? sim_random(s) % s->n_messages : 0;
    if (all_are_deleted(s)) { /* what the walk draws is drawn, so that a seed's run stays what it is */
        uint64_t random = s->random;
        for (size_t i = 0; i < s->n_messages; i++)
            xorshift_next(&random);
        s->random = random;
        return;
    }
    for (size_t i = 0; i < s->n_messages && !is_full(p); i++) {
        struct sim_message *m = &s->messages[(offset + i) % s->n_messages];
        bool duplicate = m->receives > 0 && sim_chance(s, s->duplicates);
        if (m->deleted || (m->visible_at_ms > now && !duplicate))
            continue;
        if (s->redrives && (int)m->receives >= receives_at_most(s)) {
            m->deleted = m->moved = true;
            continue;
        }
        m->receives++;
        hand_out(p, m);
    }
}

static void
receive_fires(struct timer *t, int64_t now_ms)
{
    struct pending *p = pending_of(t);
    bool fails = p->fault.call && !p->fault.executed;
    if (!p->executed && !fails) {
        pick(p);
        p->executed = p->n + p->garbled > 0 || now_ms >= p->until_ms;
        int64_t left_ms = p->until_ms - now_ms, look_ms = p->sim->look_ms ? p->sim->look_ms : LOOK_MS;
        wait(p, p->executed ? p->way_ms + p->sim->transfer_ms : left_ms < look_ms ? left_ms : look_ms);
        return;
    }
    struct aws_error error = error_of(p);
    struct sqs_received r = {.error = p->fault.call ? &error : NULL,
                             .messages = p->got,
                             .n_messages = p->fault.call ? 0 : p->n,
                             .garbled = p->fault.call ? 0 : p->garbled,
                             .garbled_as = "simulated",
                             .age_ms = p->sim->transfer_ms};
    take_out(p);
    receive_over(p);
    p->done.receive(p->context, &r);
    free(p);
}

static int
sim_receive(struct queue *q, const struct sqs_receive_options *o, sqs_receive_fn *done, void *context,
            struct aws_call **ret_call, struct err *e)
{
    struct sim *s = (struct sim *)((char *)q - offsetof(struct sim, queue));
    (void)e;
    assert(o->max_messages >= 1 && o->max_messages <= SQS_BATCH_MAX && o->visibility_timeout_s >= 1);
    struct pending *p = begin(s, SIM_RECEIVE, context, receive_fires);
    p->done.receive = done;
    p->max_messages = o->max_messages;
    if (o->attempt_id)
        snprintf(p->attempt_id, sizeof p->attempt_id, "%s", o->attempt_id);
    p->until_ms = now + o->wait_time_s * INT64_C(1000);
    p->visibility_ms = o->visibility_timeout_s * INT64_C(1000);
    s->receiving++;
    s->asked += o->max_messages;
    *ret_call = (struct aws_call *)p;
    return 0;
}

static void
sim_cancel(struct queue *q, struct aws_call *call)
{
    struct pending *p = (struct pending *)call;
    (void)q;
    p->sim->cancelled++;
    receive_over(p);
    end(p);
}

/* ---- batch calls ---- */

static void
refuse(struct sqs_result *r, bool sender_fault, const char *code)
{
    r->ok = false;
    r->sender_fault = sender_fault;
    snprintf(r->code, sizeof r->code, "%s", code);
}

static void
execute(struct sim *s, struct pending *p, size_t i, struct sqs_result *r)
{
    bool newest;
    struct sim_message *m = message_of(s, p->entry[i].handle, &newest);
    int64_t timeout_ms = p->entry[i].timeout_s * INT64_C(1000);
    bool expired = s->fifo && m && !m->deleted && m->visible_at_ms <= now;
    switch (p->call) {
    case SIM_DELETE:
        if (!m)
            refuse(r, true, "ReceiptHandleIsInvalid");
        else if (expired)
            refuse(r, true, "ReceiptHandleIsInvalid");
        else if (newest && !m->deleted) {
            m->deleted = true;
            if (s->ended)
                s->ended(s->ended_context, m);
        }
        break;
    case SIM_VISIBILITY:
        s->last_timeout_s = p->entry[i].timeout_s;
        if (!m || m->deleted || !newest || expired || now + timeout_ms > m->received_at_ms + TWELVE_H)
            refuse(r, true, "InvalidParameterValue");
        else
            m->visible_at_ms = now + timeout_ms;
        break;
    case SIM_SEND_DEAD:
        assert(m);
        m->dead_letters++;
        if (s->ended)
            s->ended(s->ended_context, m);
        snprintf(m->dead_reason, sizeof m->dead_reason, "%s", p->entry[i].reason);
        snprintf(m->dead_kind, sizeof m->dead_kind, "%s", p->entry[i].kind);
        snprintf(m->dead_attempts, sizeof m->dead_attempts, "%s", p->entry[i].attempts);
        break;
    default:
        abort();
    }
}

static void
execute_all(struct pending *p)
{
    for (size_t i = 0; i < p->n; i++) {
        struct sqs_result *r = &p->results[i];
        const struct sim_fault *f = &p->entry[i].fault;
        r->ok = true;
        if (f->entry)
            refuse(r, f->sender_fault, f->code ? f->code : "InternalError");
        else
            execute(p->sim, p, i, r);
    }
}

static void
note_confirmed_deletes(struct pending *p)
{
    bool newest;
    for (size_t i = 0; i < p->n; i++) {
        struct sim_message *m = message_of(p->sim, p->entry[i].handle, &newest);
        if (m && p->results[i].ok && m->deleted)
            m->delete_confirmed = true;
    }
}

static bool
is_poisoned(const struct pending *p)
{
    const char *id = p->call == p->sim->poisoned_call ? p->sim->poison : NULL;
    for (size_t i = 0; id && i < p->n; i++)
        if (strncmp(p->entry[i].handle, id, strlen(id)) == 0 && p->entry[i].handle[strlen(id)] == '/')
            return true;
    return false;
}

static void
batch_fires(struct timer *t, int64_t now_ms)
{
    struct pending *p = pending_of(t);
    (void)now_ms;
    if (!p->executed) {
        p->executed = true;
        if (is_poisoned(p))
            p->fault = (struct sim_fault){.call = true, .code = "InvalidParameterValue"};
        if (!p->fault.call || p->fault.executed)
            execute_all(p);
        wait(p, p->way_ms);
        return;
    }
    if (p->call == SIM_DELETE && !p->fault.call)
        note_confirmed_deletes(p);
    struct aws_error error = error_of(p);
    struct sqs_batch_result r = {.error = p->fault.call ? &error : NULL,
                                 .results = p->fault.call ? NULL : p->results,
                                 .n = p->n,
                                 .elapsed_ms = now - p->sent_ms};
    take_out(p);
    p->done.batch(p->context, &r);
    free(p);
}

static struct pending *
begin_batch(struct queue *q, enum sim_call call, size_t n, sqs_batch_fn *done, void *context)
{
    struct sim *s = (struct sim *)((char *)q - offsetof(struct sim, queue));
    assert(n >= 1 && n <= SQS_BATCH_MAX);
    struct pending *p = begin(s, call, context, batch_fires);
    p->done.batch = done;
    p->n = n;
    s->entries[call] += (unsigned)n;
    for (size_t i = 0; i < n; i++)
        p->entry[i].fault = fault_of(s, call, (int)i);
    return p;
}

static int
sim_delete(struct queue *q, const struct slice *handles, size_t n, sqs_batch_fn *done, void *context, struct err *e)
{
    (void)e;
    struct pending *p = begin_batch(q, SIM_DELETE, n, done, context);
    for (size_t i = 0; i < n; i++) {
        snprintf(p->entry[i].handle, sizeof p->entry[i].handle, "%.*s", SLICE_ARG(handles[i]));
        for (size_t k = 0; k < i; k++)
            assert(strcmp(p->entry[i].handle, p->entry[k].handle) != 0);
    }
    return 0;
}

static int
sim_change_visibility(struct queue *q, const struct sqs_visibility *entries, size_t n, sqs_batch_fn *done,
                      void *context, struct err *e)
{
    (void)e;
    struct pending *p = begin_batch(q, SIM_VISIBILITY, n, done, context);
    for (size_t i = 0; i < n; i++) {
        snprintf(p->entry[i].handle, sizeof p->entry[i].handle, "%.*s", SLICE_ARG(entries[i].receipt_handle));
        p->entry[i].timeout_s = entries[i].timeout_s;
        assert(entries[i].timeout_s <= SQS_VISIBILITY_MAX_S);
    }
    return 0;
}

static struct slice
attribute(const struct sqs_send *m, const char *name)
{
    for (size_t i = 0; i < m->n_attributes; i++)
        if (slice_equals_string(m->attributes[i].name, name))
            return m->attributes[i].value;
    return slice_of(NULL, 0);
}

/* The id of the message that this is the letter of. */
static const char *
sender_of(struct sim *s, const struct sqs_send *m)
{
    struct slice id = attribute(m, "fanout.message-id");
    struct sim_letter *l = s->letters;
    while (l < s->letters + SIM_LETTERS && l->body != m->body.p)
        l++;
    if (l == s->letters + SIM_LETTERS)
        l = &s->letters[s->next_letter++ % SIM_LETTERS];
    l->body = m->body.p;
    if (id.n > 0)
        snprintf(l->id, sizeof l->id, "%.*s", SLICE_ARG(id));
    return l->id;
}

static int
sim_send_dead(struct queue *q, const struct sqs_send *entries, size_t n, sqs_batch_fn *done, void *context,
              struct err *e)
{
    (void)e;
    assert(q->dead_letter_url);
    struct pending *p = begin_batch(q, SIM_SEND_DEAD, n, done, context);
    for (size_t i = 0; i < n; i++) {
        assert(entries[i].n_attributes <= 10);
        struct slice reason = attribute(&entries[i], "fanout.reason");
        snprintf(p->entry[i].handle, sizeof p->entry[i].handle, "%s/0", sender_of(p->sim, &entries[i]));
        snprintf(p->entry[i].reason, sizeof p->entry[i].reason, "%.*s", SLICE_ARG(reason));
        struct slice kind = attribute(&entries[i], "fanout.reason-kind");
        snprintf(p->entry[i].kind, sizeof p->entry[i].kind, "%.*s", SLICE_ARG(kind));
        struct slice attempts = attribute(&entries[i], "fanout.attempts");
        snprintf(p->entry[i].attempts, sizeof p->entry[i].attempts, "%.*s", SLICE_ARG(attempts));
    }
    return 0;
}

/* ---- the queue itself ---- */

static void
queue_fires(struct timer *t, int64_t now_ms)
{
    struct pending *p = pending_of(t);
    struct sim *s = p->sim;
    (void)now_ms;
    struct aws_error error = error_of(p);
    struct sqs_queue r = {.error = p->fault.call ? &error : NULL,
                          .visibility_timeout_s = s->visibility_s,
                          .max_receive_count = s->has_dead_letters ? receives_at_most(s) : -1};
    char url[sizeof p->url];
    memcpy(url, p->url, sizeof url); /* the answer outlives the call */
    if (p->call == SIM_FIND)
        r.url = slice_of_string(url);
    else if (s->has_dead_letters)
        r.dead_letter_arn = s->dead_letter_arn
                                ? slice_of_string(s->dead_letter_arn)
                                : slice_of_string(s->fifo ? "arn:aws:sqs:us-east-1:000000000000:orders-dlq.fifo"
                                                          : "arn:aws:sqs:us-east-1:000000000000:orders-dlq");
    sqs_queue_fn *done = p->done.queue;
    void *context = p->context;
    end(p);
    done(context, &r);
}

static int
sim_find_queue(struct queue *q, const char *name, sqs_queue_fn *done, void *context, struct err *e)
{
    (void)e;
    struct pending *p = begin((struct sim *)((char *)q - offsetof(struct sim, queue)), SIM_FIND, context, queue_fires);
    p->done.queue = done;
    if (strcmp(name, "orders-dlq") == 0 && p->sim->dead_letter_url)
        snprintf(p->url, sizeof p->url, "%s", p->sim->dead_letter_url);
    else
        snprintf(p->url, sizeof p->url, "http://sim/%.80s", name);
    return 0;
}

static int
sim_describe(struct queue *q, const char *url, sqs_queue_fn *done, void *context, struct err *e)
{
    (void)e;
    (void)url;
    struct pending *p =
        begin((struct sim *)((char *)q - offsetof(struct sim, queue)), SIM_DESCRIBE, context, queue_fires);
    p->done.queue = done;
    return 0;
}

static void
sim_destroy(struct queue *q)
{
    (void)q;
}

static const struct queue_ops OPS = {.find = sim_find_queue,
                                     .describe = sim_describe,
                                     .receive = sim_receive,
                                     .cancel = sim_cancel,
                                     .delete_batch = sim_delete,
                                     .change_visibility = sim_change_visibility,
                                     .send_dead = sim_send_dead,
                                     .destroy = sim_destroy};

/* ---- life ---- */

void
sim_init(struct sim *s, uint64_t seed, uint32_t records, uint32_t threads)
{
    *s = (struct sim){.visibility_s = 30, .latency_ms = 5, .has_dead_letters = true};
    s->random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    now = START_MS;
    timers_init(&s->timers);
    s->queue.ops = &OPS;
    struct err e;
    int fd;
    const struct ledger_options ledger = {.records = records, .threads = threads};
    if (ledger_create(&ledger, &fd, &s->world.ledger, &e) != 0) {
        fprintf(stderr, "sim: %s\n", e.text);
        abort();
    }
    close(fd);
    ledger_reset(s->world.ledger);
    s->world.clock_ms = sim_now_ms;
    s->world.wall_ms = sim_now_ms;
    s->world.timers = &s->timers;
    s->world.queue = &s->queue;
    s->world.metrics = ledger_metrics(s->world.ledger);
    s->world.random = seed | 1;
}

void
sim_clean_up(struct sim *s)
{
    while (pendings)
        end(pendings);
    for (size_t i = 0; i < s->n_messages; i++)
        free(s->messages[i].body);
    free(s->messages);
    free(s->groups);
    free(s->queue.url);
    free(s->queue.dead_letter_url);
    ledger_close(s->world.ledger);
    timers_clean_up(&s->timers);
}

bool
sim_step(struct sim *s, int64_t until_ms)
{
    int64_t wait_ms = timers_next_ms(&s->timers, now);
    if (wait_ms < 0 || now + wait_ms > until_ms) {
        now = until_ms > now ? until_ms : now;
        return false;
    }
    now += wait_ms;
    timers_run(&s->timers, now);
    return true;
}

void
sim_run(struct sim *s, int64_t ms)
{
    int64_t until_ms = now + ms;
    while (sim_step(s, until_ms))
        ;
}

bool
sim_run_until(struct sim *s, bool (*condition)(void *context), void *context, int64_t ms)
{
    int64_t until_ms = now + ms;
    while (!condition(context))
        if (!sim_step(s, until_ms))
            return condition(context);
    return true;
}

struct sqs_message
sim_sqs_message(const char *id, const char *handle, const char *body, unsigned receive_count)
{
    return (struct sqs_message){.id = slice_of_string(id),
                                .receipt_handle = slice_of_string(handle),
                                .body = slice_of_string(body),
                                .receive_count = receive_count,
                                .sent_at_ms = now};
}
