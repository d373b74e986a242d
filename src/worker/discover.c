#include "worker/discover.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define VISIBILITY_S 30 /* SQS's default, where the queue's own cannot be read or is 0 */
#define LOG_EVERY_MS 10000
#define REFRESH_MS   60000
#define SPARE        3 /* receives beyond the attempts: a crash, a deployment, a lost answer */

static const struct backoff_policy BACKOFF = {.base_ms = 500, .cap_ms = 15000, .floor_ms = 100};

static void begin(struct discover *d, enum discover_step step);

static void
try_again(struct timer *t, int64_t now_ms)
{
    struct discover *d = (struct discover *)((char *)t - offsetof(struct discover, again));
    (void)now_ms;
    begin(d, d->step);
}

static void
wait(struct discover *d)
{
    int64_t now_ms = d->world->clock_ms();
    timers_set(d->world->timers, &d->again, now_ms + backoff_fail(&d->backoff, now_ms));
}

static void
failed(struct discover *d, const struct aws_error *error)
{
    if (aws_error_is_missing_permission(error))
        log_write_limited(LOG_ERROR, LOG_EVERY_MS, "a permission is missing: allow it to the role of these credentials",
                          LOG_STR("permission", "sqs:GetQueueUrl"), LOG_STR("queue", d->options.queue),
                          LOG_ERR(&error->err));
    else if (strcmp(error->code, "AWS.SimpleQueueService.NonExistentQueue") == 0)
        log_write_limited(
            LOG_ERROR, LOG_EVERY_MS,
            "the queue does not exist: make it, or mend the consumer's queue, aws.region or the account of "
            "the credentials; it is looked for again and again",
            LOG_STR("queue", d->options.queue), LOG_ERR(&error->err));
    else
        log_write_limited(LOG_WARN, LOG_EVERY_MS, "the queue cannot be reached yet", LOG_STR("queue", d->options.queue),
                          LOG_ERR(&error->err));
    d->options.failed(d->options.context, error);
    wait(d);
}

static bool
replace_text(char **text, struct slice s)
{
    char *copy = strndup(s.p ? s.p : "", s.n);
    if (!copy)
        return false;
    free(*text);
    *text = copy;
    return true;
}

/* ---- the end ---- */

static void
forget_dead_letters(struct discover *d)
{
    free(d->world->queue->dead_letter_url);
    d->world->queue->dead_letter_url = NULL;
}

/* Not received from: see discover.h. */
static void
refuse(struct discover *d, const char *problem)
{
    char why[300];
    snprintf(why, sizeof why, "%s needs a dead-letter queue: %s", d->options.needs, problem);
    log_write_limited(LOG_ERROR, LOG_EVERY_MS, "nothing is received: there is no dead-letter queue",
                      LOG_STR("queue", d->options.queue), LOG_STR("needed_by", d->options.needs),
                      LOG_STR("what_to_do", problem));
    d->step = DISCOVER_URL; /* all of it again: the policy may have changed, or the queue */
    d->options.refused(d->options.context, why);
    wait(d);
}

static void
warn_of_few_receives(const struct discover *d)
{
    uint32_t wanted = d->options.max_attempts + SPARE;
    if (d->max_receive_count > 0 && d->max_receive_count < wanted)
        log_write_limited(LOG_WARN, 3600000,
                          "maxReceiveCount leaves few receives for crashes and deployments: SQS may move messages to "
                          "the dead-letter queue that were not handled; raise it, or lower retry.max_attempts",
                          LOG_STR("queue", d->world->queue->url), LOG_INT("max_receive_count", d->max_receive_count),
                          LOG_INT("at_least", wanted), LOG_INT("max_attempts", d->options.max_attempts));
}

static void
finish(struct discover *d)
{
    d->world->queue->max_receive_count = d->max_receive_count;
    warn_of_few_receives(d);
    d->step = DISCOVER_IDLE;
    backoff_succeed(&d->backoff);
    d->options.found(d->options.context, d->visibility_s, d->world->clock_ms());
}

/* ---- the queue's URL ---- */

static void
url_found(void *context, const struct sqs_queue *q)
{
    struct discover *d = context;
    if (d->stopped)
        return;
    if (q->error)
        failed(d, q->error);
    else if (!replace_text(&d->world->queue->url, q->url))
        wait(d);
    else
        begin(d, DISCOVER_ATTRIBUTES);
}

/* ---- its attributes ---- */

#define ACCOUNT_DIGITS (sizeof((struct discover *)0)->dead_letter_account - 1)

/* The account number that text ends with, behind separator; empty: none. */
static struct slice
account_at_end(struct slice text, char separator)
{
    size_t digits = 0;
    while (digits < text.n && text.p[text.n - digits - 1] >= '0' && text.p[text.n - digits - 1] <= '9')
        digits++;
    bool found = digits == ACCOUNT_DIGITS && text.n > digits && text.p[text.n - digits - 1] == separator;
    return found ? slice_of(text.p + text.n - digits, digits) : slice_of(NULL, 0);
}

static void
note_account(struct discover *d, struct slice arn_without_name)
{
    struct slice account = account_at_end(arn_without_name, ':');
    if (account.n > 0)
        memcpy(d->dead_letter_account, account.p, account.n);
    d->dead_letter_account[account.n] = '\0';
}

static bool
is_another_accounts(const struct discover *d, struct slice url)
{
    while (url.n > 0 && url.p[url.n - 1] != '/')
        url.n--;
    struct slice account = url.n > 0 ? account_at_end(slice_of(url.p, url.n - 1), '/') : slice_of(NULL, 0);
    return account.n > 0 && d->dead_letter_account[0] && !slice_equals_string(account, d->dead_letter_account);
}

static bool
is_given(const struct discover *d)
{
    return d->options.dead_letters && *d->options.dead_letters;
}

static void no_dead_letters(struct discover *d, const char *problem);
static void use_dead_letters(struct discover *d, struct slice url);

static void
look_up_dead_letters(struct discover *d, struct slice name)
{
    if (replace_text(&d->dead_letter_name, name))
        begin(d, DISCOVER_DEAD_LETTER);
    else
        wait(d);
}

/* The configuration's. */
static void
use_given(struct discover *d)
{
    struct slice given = slice_of_string(d->options.dead_letters);
    if (strstr(d->options.dead_letters, "://"))
        use_dead_letters(d, given);
    else
        look_up_dead_letters(d, given);
}

/* The RedrivePolicy's. */
static void
read_redrive_policy(struct discover *d, struct slice arn, bool denied)
{
    size_t name = arn.n;
    while (name > 0 && arn.p[name - 1] != ':')
        name--;
    note_account(d, slice_of(arn.p, name > 0 ? name - 1 : 0));
    if (name < arn.n)
        look_up_dead_letters(d, slice_of(arn.p + name, arn.n - name));
    else
        no_dead_letters(d, denied ? "allow sqs:GetQueueAttributes, so that the queue's can be known, or set "
                                    "dead_letter.queue"
                                  : "give the queue a RedrivePolicy, or set dead_letter.queue");
}

static void
attributes_found(void *context, const struct sqs_queue *q)
{
    struct discover *d = context;
    if (d->stopped)
        return;
    if (q->error && !aws_error_is_missing_permission(q->error)) {
        failed(d, q->error);
        return;
    }
    int own_s = q->error ? VISIBILITY_S : q->visibility_timeout_s;
    d->visibility_s = d->options.visibility_timeout_s > 0 ? d->options.visibility_timeout_s : own_s;
    if (d->visibility_s < 1)
        d->visibility_s = VISIBILITY_S;
    if (q->error)
        log_write_limited(LOG_WARN, LOG_EVERY_MS,
                          "may not read the queue's attributes: its dead-letter queue is not known",
                          LOG_INT("visibility_timeout_s", d->visibility_s), LOG_ERR(&q->error->err));
    d->max_receive_count = !q->error && q->max_receive_count > 0 ? (uint32_t)q->max_receive_count : 0;
    if (is_given(d))
        use_given(d);
    else
        read_redrive_policy(d, q->error ? slice_of(NULL, 0) : q->dead_letter_arn, q->error != NULL);
}

/* ---- its dead-letter queue ---- */

static void
no_dead_letters(struct discover *d, const char *problem)
{
    forget_dead_letters(d);
    if (d->options.needs)
        refuse(d, problem);
    else
        finish(d);
}

static void
use_dead_letters(struct discover *d, struct slice url)
{
    if (slice_equals_string(url, d->world->queue->url))
        no_dead_letters(d, "the one that is configured is the queue itself: set dead_letter.queue to another one");
    else if (replace_text(&d->world->queue->dead_letter_url, url))
        finish(d);
    else
        wait(d);
}

static void
dead_letter_found(void *context, const struct sqs_queue *q)
{
    struct discover *d = context;
    if (d->stopped)
        return;
    if (q->error && (q->error->err.retryable || q->error->status == 0)) { /* 0: the service was not heard */
        failed(d, q->error);
        return;
    }
    if (q->error) {
        log_write_limited(LOG_WARN, LOG_EVERY_MS,
                          "the dead-letter queue cannot be used: what would be moved there is retried",
                          LOG_STR("dead_letter_queue", d->dead_letter_name), LOG_ERR(&q->error->err));
        no_dead_letters(d, "the one that is named cannot be used: make it, allow sqs:GetQueueUrl on it, or set "
                           "dead_letter.queue to its URL");
    } else if (!is_given(d) && is_another_accounts(d, q->url)) {
        log_write_limited(LOG_WARN, LOG_EVERY_MS,
                          "the queue's dead-letter queue is in an account these credentials are not of: what would be "
                          "moved there is retried; set dead_letter.queue to its URL",
                          LOG_STR("dead_letter_queue", d->dead_letter_name), LOG_STR("account", d->dead_letter_account),
                          LOG_SLICE("found_instead", q->url));
        no_dead_letters(d, "the queue's is in another account: set dead_letter.queue to its URL");
    } else {
        use_dead_letters(d, q->url);
    }
}

/* ---- steps ---- */

static void
begin(struct discover *d, enum discover_step step)
{
    struct queue *q = d->world->queue;
    struct err e;
    int rc = 0;
    d->step = step;
    d->looked_ms = d->world->clock_ms();
    switch (step) {
    case DISCOVER_URL:
        if (!strstr(d->options.queue, "://"))
            rc = q->ops->find(q, d->options.queue, url_found, d, &e);
        else if (replace_text(&q->url, slice_of_string(d->options.queue)))
            begin(d, DISCOVER_ATTRIBUTES);
        else
            rc = err_no_memory(&e);
        break;
    case DISCOVER_ATTRIBUTES:
        rc = q->ops->describe(q, q->url, attributes_found, d, &e);
        break;
    case DISCOVER_DEAD_LETTER:
        rc = q->ops->find(q, d->dead_letter_name, dead_letter_found, d, &e);
        break;
    case DISCOVER_IDLE:
        break;
    }
    if (rc != 0) {
        log_write_limited(LOG_ERROR, LOG_EVERY_MS, "cannot ask for the queue", LOG_STR("queue", d->options.queue),
                          LOG_ERR(&e));
        wait(d);
    }
}

void
discover_init(struct discover *d, struct world *w, const struct discover_options *options)
{
    *d = (struct discover){.world = w, .options = *options};
    d->again.fire = try_again;
    backoff_init(&d->backoff, &BACKOFF, w->random);
}

void
discover_clean_up(struct discover *d)
{
    discover_stop(d);
    free(d->dead_letter_name);
    d->dead_letter_name = NULL;
}

void
discover_start(struct discover *d)
{
    if (d->step == DISCOVER_IDLE && !d->stopped)
        begin(d, DISCOVER_URL);
}

void
discover_refresh(struct discover *d)
{
    if (d->step == DISCOVER_IDLE && !d->stopped && d->world->queue->url &&
        d->world->clock_ms() - d->looked_ms >= REFRESH_MS)
        begin(d, DISCOVER_ATTRIBUTES);
}

void
discover_stop(struct discover *d)
{
    d->stopped = true;
    timers_cancel(d->world->timers, &d->again);
}
