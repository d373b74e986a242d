#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "local/sqs_impl.h"

/* A permission is a statement of the queue's policy, its Sid the label. The rest of a policy, which may be a user's
 * own, keeps its bytes. */

#define MAX_LABEL        80
#define MAX_ACTIONS      7
#define MAX_PRINCIPALS   50
#define MAX_STATEMENTS   20
#define MAX_POLICY_BYTES 8192

/* ---- rules ------------------------------------------------------------------------------------------------------- */

static bool
check_label(struct slice label, struct lsqs_error *e)
{
    bool ok = label.n >= 1 && label.n <= MAX_LABEL;
    if (!label.p)
        return lsqs_fail_missing(e, "Label");
    for (size_t i = 0; ok && i < label.n; i++)
        ok = isalnum((unsigned char)label.p[i]) || label.p[i] == '-' || label.p[i] == '_';
    return ok || lsqs_fail(e, LSQS_INVALID_VALUE,
                           "Value %.*s for parameter Label is invalid. Reason: Can only include alphanumeric "
                           "characters, hyphens, or underscores. 1 to 80 in length.",
                           (int)(label.n < 200 ? label.n : 200), label.p);
}

static bool
is_account(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!isdigit((unsigned char)s.p[i]))
            return false;
    return s.n == 12;
}

static bool
check_accounts(const struct lsqs_list *accounts, struct lsqs_error *e)
{
    const struct slice *a = accounts->items;
    if (!accounts->given)
        return lsqs_fail_missing(e, "AWSAccountIds");
    if (accounts->n == 0)
        return lsqs_fail(e, LSQS_INVALID_VALUE,
                         "Value [] for parameter PrincipalId is invalid. Reason: Unable to "
                         "verify.");
    if (accounts->n > MAX_PRINCIPALS)
        return lsqs_fail(e, LSQS_OVER_LIMIT, "%zu Principals were found, maximum allowed is %d.", accounts->n,
                         MAX_PRINCIPALS);
    for (size_t i = 0; i < accounts->n; i++)
        if (!is_account(a[i]))
            return lsqs_fail(e, LSQS_INVALID_VALUE,
                             "Value [%.*s] for parameter PrincipalId is invalid. Reason: Unable to verify.",
                             (int)(a[i].n < 100 ? a[i].n : 100), a[i].p ? a[i].p : "");
    return true;
}

static bool
check_action(struct slice action, struct lsqs_error *e)
{
    static const char *const SHARED[] = {"*",
                                         "SendMessage",
                                         "ReceiveMessage",
                                         "DeleteMessage",
                                         "ChangeMessageVisibility",
                                         "GetQueueAttributes",
                                         "GetQueueUrl",
                                         "ListDeadLetterSourceQueues",
                                         "PurgeQueue"};
    for (size_t i = 0; i < sizeof SHARED / sizeof *SHARED; i++)
        if (slice_equals_string(action, SHARED[i]))
            return true;
    return lsqs_fail(e, LSQS_INVALID_VALUE, "Value SQS:%.*s for parameter ActionName is invalid. Reason: %s",
                     (int)(action.n < 100 ? action.n : 100), action.p ? action.p : "",
                     lsqs_is_operation(action) ? "Only the queue owner is allowed to invoke this action."
                                               : "Please refer to the appropriate WSDL for a list of valid actions.");
}

bool
lsqs_check_add_permission(struct lsqs_call *c)
{
    const struct lsqs_permission *r = c->request;
    const struct slice *actions = r->actions.items;
    if (!check_label(r->label, &c->error) || !check_accounts(&r->accounts, &c->error))
        return false;
    if (r->actions.n == 0)
        return lsqs_fail_missing(&c->error, "Actions");
    if (r->actions.n > MAX_ACTIONS)
        return lsqs_fail(&c->error, LSQS_OVER_LIMIT, "%zu Actions were found, maximum allowed is %d.", r->actions.n,
                         MAX_ACTIONS);
    for (size_t i = 0; i < r->actions.n; i++)
        if (!check_action(actions[i], &c->error))
            return false;
    return true;
}

bool
lsqs_check_remove_permission(struct lsqs_call *c)
{
    const struct lsqs_permission *r = c->request;
    return r->label.p ? true : lsqs_fail_missing(&c->error, "Label");
}

/* ---- the policy -------------------------------------------------------------------------------------------------- */

/* Statements are an array, or one alone. */
struct policy {
    struct json whole, statements; /* JSON_NULL: none */
};

static struct policy
read_policy(const struct lsqs_queue *q)
{
    struct policy p = {.whole.type = JSON_NULL};
    const char *text = q->settings.policy;
    if (text && json_parse(slice_of_string(text), &p.whole, NULL) == 0 && p.whole.type == JSON_OBJECT)
        json_get(p.whole, "Statement", &p.statements);
    return p;
}

static bool
is_labelled(struct json statement, struct slice label)
{
    struct json sid;
    return json_get(statement, "Sid", &sid) && sid.type == JSON_STRING && json_equals_string(sid, label);
}

/* Writes the statements but those with this label, which may be empty, and returns how many they are; ret_left_out is
 * the number of the others. */
static size_t
write_statements(const struct policy *p, struct slice label, struct buf *out, size_t *ret_left_out)
{
    size_t n = 0;
    *ret_left_out = 0;
    if (p->statements.type == JSON_OBJECT) {
        *ret_left_out = is_labelled(p->statements, label);
        if (*ret_left_out == 0)
            json_write_compact(out, p->statements);
        return *ret_left_out == 0;
    }
    for (struct json_iter it = json_iter(p->statements); json_next(&it);) {
        if (is_labelled(it.value, label)) {
            ++*ret_left_out;
            continue;
        }
        if (n++ > 0)
            buf_add_char(out, ',');
        json_write_compact(out, it.value);
    }
    return n;
}

static void
write_texts(struct buf *out, const struct lsqs_list *texts, const char *before, const char *behind)
{
    const struct slice *t = texts->items;
    if (texts->n > 1)
        buf_add_char(out, '[');
    for (size_t i = 0; i < texts->n; i++)
        buf_add_format(out, "%s\"%s%.*s%s\"", i ? "," : "", before, SLICE_ARG(t[i]), behind);
    if (texts->n > 1)
        buf_add_char(out, ']');
}

/* Label, accounts and actions are of characters that need no escape. */
static void
write_statement(const struct lsqs_queue *q, const struct lsqs_permission *r, struct buf *out)
{
    buf_add_format(out, "{\"Sid\":\"%.*s\",\"Effect\":\"Allow\",\"Principal\":{\"AWS\":", SLICE_ARG(r->label));
    write_texts(out, &r->accounts, "arn:aws:iam::", ":root");
    buf_add_string(out, "},\"Action\":");
    write_texts(out, &r->actions, "SQS:", "");
    buf_add_format(out, ",\"Resource\":\"%s\"}", q->arn);
}

/* The policy with other statements: what else was in it comes first, as it was. */
static void
write_policy(const struct lsqs_queue *q, const struct policy *p, struct slice statements, struct buf *out)
{
    if (p->whole.type != JSON_OBJECT)
        buf_add_format(out, "{\"Version\":\"2008-10-17\",\"Id\":\"%s/SQSDefaultPolicy\",", q->arn);
    else
        buf_add_char(out, '{');
    for (struct json_iter it = json_iter(p->whole); json_next(&it);)
        if (!json_equals_string(it.key, SLICE("Statement"))) {
            json_write_compact(out, it.key);
            buf_add_char(out, ':');
            json_write_compact(out, it.value);
            buf_add_char(out, ',');
        }
    buf_add_string(out, "\"Statement\":[");
    buf_add_slice(out, statements);
    buf_add_string(out, "]}");
}

/* Takes *policy, which is emptied: with nothing in it there is no policy. */
static int
save(struct store_tx *tx, struct lsqs_call *c, struct buf *policy)
{
    bool none = policy->len == 0;
    char *text = none ? NULL : buf_take(policy);
    if (!none && !text)
        return store_fail(tx, ERR_NO_MEMORY, "out of memory");
    lsqs_restructure(c->sqs, tx);
    free(c->queue->settings.policy);
    c->queue->settings.policy = text;
    c->queue->modified_at_ms = store_now_ms(tx);
    return lsqs_save_queue(tx, c->queue);
}

/* ---- operations -------------------------------------------------------------------------------------------------- */

/* The statements with that label are taken out, and with add one is put in. */
static int
change(struct store_tx *tx, struct lsqs_call *c, bool add)
{
    const struct lsqs_permission *r = c->request;
    struct policy p = read_policy(c->queue);
    struct buf statements = BUF_INIT, text = BUF_INIT;
    size_t there, n = write_statements(&p, r->label, &statements, &there);
    int code = 0;
    if (add && n > 0)
        buf_add_char(&statements, ',');
    if (add)
        write_statement(c->queue, r, &statements);
    if (statements.len > 0)
        write_policy(c->queue, &p, buf_slice(&statements), &text);
    if (add != (there == 0))
        lsqs_fail(&c->error, LSQS_INVALID_VALUE, "Value %.*s for parameter Label is invalid. Reason: %s",
                  (int)(r->label.n < 200 ? r->label.n : 200), r->label.p,
                  add ? "Already exists." : "can't find label.");
    else if (add && n >= MAX_STATEMENTS)
        lsqs_fail(&c->error, LSQS_OVER_LIMIT, "%zu Statements were found, maximum allowed is %d.", n + 1,
                  MAX_STATEMENTS);
    else if (add && text.len > MAX_POLICY_BYTES)
        lsqs_fail(&c->error, LSQS_OVER_LIMIT, "The policy would be %zu bytes long, maximum allowed is %d.", text.len,
                  MAX_POLICY_BYTES);
    else if (buf_failed(&statements) || buf_failed(&text))
        code = store_fail(tx, ERR_NO_MEMORY, "out of memory");
    else
        code = save(tx, c, &text);
    buf_clean_up(&statements);
    buf_clean_up(&text);
    return code;
}

int
lsqs_run_add_permission(struct store_tx *tx, struct lsqs_call *c)
{
    return change(tx, c, true);
}

int
lsqs_run_remove_permission(struct store_tx *tx, struct lsqs_call *c)
{
    return change(tx, c, false);
}
