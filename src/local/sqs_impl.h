/* sqs_impl: what the files of sqs share.
 *
 *     sqs.c            a call's way: operation table, decoding, the store's job, the answer
 *     sqs_shape.c      the typed requests and results, as tables that codecs read
 *     sqs_codec.c      which protocol a request speaks       sqs_json.c       the codec of JSON 1.0
 *     sqs_query.c      the codec of Query: its requests, their form in sqs_form.c, its answers in sqs_xml.c
 *     sqs_error.c      AWS's errors
 *     sqs_state.c      the queues in memory: counters, and how a rollback is taken back
 *     sqs_sweep.c      what is too old, or was purged, is removed
 *     sqs_queue.c      queues made, found, emptied, deleted           sqs_settings.c   their attributes
 *     sqs_list.c       queues listed, in pages
 *     sqs_tags.c       their tags                                     sqs_permission.c statements of their policy
 *     sqs_send.c       messages in                                    sqs_receive.c    and out
 *     sqs_wait.c       long polls: who waits, and when they are served
 *     sqs_settle.c     deleted, or their visibility changed           sqs_handle.c     receipt handles
 *     sqs_move.c       message move tasks
 *     sqs_dead_letters.c  what was received too often moves away      sqs_redrive.c    by which policies
 *     sqs_fair.c       which of them first, when they have groups
 *     sqs_message.c    entries; message attributes: packing, MD5, filters   sqs_attribute.c  their rules
 *     sqs_fifo*.c      FIFO queues (sqs_fifo.h)
 *
 * Names inside begin with lsqs_, for sqs_ are those of the client (aws/sqs). HTTP threads decode and check what needs
 * no queue; the rest, and all of struct local_sqs, is the writer's. */
#ifndef FANOUT_LOCAL_SQS_IMPL_H
#define FANOUT_LOCAL_SQS_IMPL_H

#include "base/digest.h"
#include "base/timers.h"
#include "local/local.h"
#include "local/sqs.h"
#include "local/store.h"

#define LSQS_MAX_ENTRIES       10
#define LSQS_MAX_BYTES         1048576 /* of a message, and of a batch */
#define LSQS_MAX_VISIBILITY_S  43200   /* also from a receive on, in total */
#define LSQS_MAX_IN_FLIGHT     120000
#define LSQS_MAX_TOKEN         128 /* bytes of a group's id, a deduplication id, a receive's attempt id */
#define LSQS_PURGE_INTERVAL_MS 60000
#define LSQS_DELETED_MS        60000 /* a deleted queue's name is not to be had for so long */

/* ---- errors ------------------------------------------------------------------------------------------------------ */

enum lsqs_error_kind {
    LSQS_OK,
    LSQS_BATCH_IDS_NOT_DISTINCT,
    LSQS_BATCH_TOO_LONG,
    LSQS_EMPTY_BATCH,
    LSQS_INVALID_ADDRESS,
    LSQS_INVALID_ATTRIBUTE_NAME,
    LSQS_INVALID_ATTRIBUTE_VALUE,
    LSQS_INVALID_BATCH_ID,
    LSQS_INVALID_CONTENTS,
    LSQS_INVALID_VALUE,
    LSQS_MISSING_PARAMETER,
    LSQS_NOT_FOUND,
    LSQS_NO_SUCH_QUEUE,
    LSQS_OVER_LIMIT,
    LSQS_PURGE_IN_PROGRESS,
    LSQS_QUEUE_DELETED_RECENTLY,
    LSQS_QUEUE_EXISTS,
    LSQS_INVALID_HANDLE,
    LSQS_THROTTLED,
    LSQS_TOO_MANY_ENTRIES,
    LSQS_UNSUPPORTED,
    LSQS_SERIALIZATION,
    LSQS_UNKNOWN_OPERATION,
    LSQS_INVALID_ACTION,
    LSQS_MALFORMED_INPUT,
    LSQS_MALFORMED_QUERY,
    LSQS_INTERNAL,
    /* those that only a fault says (faults.h) */
    LSQS_INVALID_ID_FORMAT,
    LSQS_INVALID_SECURITY,
    LSQS_KMS_ACCESS_DENIED,
    LSQS_KMS_DISABLED,
    LSQS_KMS_INVALID_KEY_USAGE,
    LSQS_KMS_INVALID_STATE,
    LSQS_KMS_NOT_FOUND,
    LSQS_KMS_OPT_IN_REQUIRED,
    LSQS_KMS_THROTTLED,
    LSQS_MESSAGE_NOT_IN_FLIGHT,
};

struct lsqs_error {
    enum lsqs_error_kind kind; /* LSQS_OK: none */
    char message[512];
};

#define LSQS_NO_OPERATION "UnknownOperationException" /* the code of LSQS_UNKNOWN_OPERATION */

/* Sets *e and returns false, so that checks can `return lsqs_fail(...)`. */
bool lsqs_fail(struct lsqs_error *e, enum lsqs_error_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool lsqs_fail_missing(struct lsqs_error *e, const char *parameter);

const char *lsqs_error_code(enum lsqs_error_kind kind);  /* "AWS.SimpleQueueService.NonExistentQueue" */
const char *lsqs_error_shape(enum lsqs_error_kind kind); /* "com.amazonaws.sqs#QueueDoesNotExist" */
int lsqs_error_status(enum lsqs_error_kind kind);
enum lsqs_error_kind lsqs_error_named(const char *name); /* by code or by shape; LSQS_OK: none of them */

/* ---- typed requests and results ---------------------------------------------------------------------------------- */

struct lsqs_int {
    bool given;
    int64_t value;
};

struct lsqs_list {
    void *items; /* of the type its member says */
    size_t n;
    bool given;
};

enum lsqs_type {
    LSQS_STRING,  /* struct slice; p NULL: not given */
    LSQS_BLOB,    /* the same, base64 on the wire */
    LSQS_INT,     /* struct lsqs_int */
    LSQS_FLAG,    /* struct lsqs_int, true or false on the wire */
    LSQS_STRINGS, /* struct lsqs_list of struct slice */
    LSQS_MAP,     /* struct lsqs_list of struct local_sqs_attribute */
    LSQS_LIST,    /* struct lsqs_list of structs of .shape */
    LSQS_MAP_OF,  /* the same, and each struct begins with its struct slice name */
};

struct lsqs_member {
    const char *name;
    enum lsqs_type type;
    size_t offset;
    const struct lsqs_shape *shape;
    bool always;           /* JSON: an empty list is written, too */
    const char *query;     /* its name in Query, of each item when it is a list; NULL: name */
    const char *query_key; /* a map's: "Key"; NULL: "Name" */
};

struct lsqs_shape {
    size_t size; /* of the struct; all zero is "nothing given" */
    const struct lsqs_member *members;
    size_t n_members;
};

/* A message attribute, as sent or to be returned. */
struct lsqs_attribute {
    struct slice name;
    struct slice data_type, string_value, binary_value;
    struct lsqs_list string_list, binary_list; /* refused */
};

/* Every request that is about a queue begins with its URL. */
struct lsqs_queue_request {
    struct slice queue_url;
};

struct lsqs_create_queue {
    struct slice name;
    struct lsqs_list attributes, tags;
};

struct lsqs_list_queues {
    struct slice prefix, token;
    struct lsqs_int max;
};

struct lsqs_get_url {
    struct slice name, owner;
};

struct lsqs_get_attributes {
    struct slice queue_url;
    struct lsqs_list names;
};

struct lsqs_set_attributes {
    struct slice queue_url;
    struct lsqs_list attributes;
};

struct lsqs_send {
    struct slice id, body;
    struct lsqs_int delay_s;
    struct lsqs_list attributes, system_attributes; /* of struct lsqs_attribute */
    struct slice deduplication_id, group_id;
    /* worked out before the writer sees it */
    struct slice content_id; /* the deduplication id of the body, where one may be needed */
    struct slice sender;     /* SenderId; p NULL: the account */
    struct slice packed;     /* attributes; p NULL: none */
    struct slice trace;      /* AWSTraceHeader; p NULL: none */
    size_t bytes;            /* as AWS counts them */
    uint8_t md5[DIGEST_MD5_BYTES];
    struct slice md5_hex, md5_attributes_hex, md5_system_hex;
    struct lsqs_error *refused; /* the entry is; the call goes on */
};

struct lsqs_send_one {
    struct slice queue_url;
    struct lsqs_send entry;
};

struct lsqs_receive {
    struct slice queue_url;
    struct lsqs_list attribute_names, system_names, message_names; /* of struct slice */
    struct lsqs_int max, visibility_s, wait_s;
    struct slice attempt_id;
};

/* An entry of a delete or of a visibility change. */
struct lsqs_settle {
    struct slice id, handle;
    struct lsqs_int visibility_s;
};

struct lsqs_settle_one {
    struct slice queue_url;
    struct lsqs_settle entry;
};

struct lsqs_batch {
    struct slice queue_url;
    struct lsqs_list entries; /* of struct lsqs_send or struct lsqs_settle */
};

struct lsqs_tag {
    struct slice queue_url;
    struct lsqs_list tags;
};

struct lsqs_untag {
    struct slice queue_url;
    struct lsqs_list keys;
};

struct lsqs_permission {
    struct slice queue_url;
    struct slice label;
    struct lsqs_list accounts, actions; /* of an addition */
};

struct lsqs_url_result {
    struct slice url;
};

struct lsqs_urls_result {
    struct lsqs_list urls;
    struct slice token;
};

struct lsqs_list_sources {
    struct slice queue_url, token;
    struct lsqs_int max;
};

struct lsqs_attributes_result {
    struct lsqs_list attributes;
};

struct lsqs_tags_result {
    struct lsqs_list tags;
};

struct lsqs_sent {
    struct slice id, message_id, md5, md5_attributes, md5_system, sequence;
};

struct lsqs_settled {
    struct slice id;
};

struct lsqs_failed {
    struct slice id, code, message;
    struct lsqs_int sender;
};

struct lsqs_batch_result {
    struct lsqs_list successful, failed;
};

struct lsqs_message {
    struct slice message_id, handle, md5, body;
    struct lsqs_list attributes; /* of struct local_sqs_attribute */
    struct slice md5_attributes;
    struct lsqs_list message_attributes; /* of struct lsqs_attribute */
};

struct lsqs_messages_result {
    struct lsqs_list messages;
};

/* ---- a call ------------------------------------------------------------------------------------------------------ */

struct lsqs_call;
struct lsqs_codec;
struct lsqs_queue;

struct lsqs_operation {
    const char *name;
    const struct lsqs_shape *request, *result; /* result NULL: nothing but 200 */
    bool about_queue;                          /* the request begins with a queue URL, and c->queue is found for run */

    /* What can be refused or worked out without a queue; false with c->error set. HTTP thread. May be NULL. */
    bool (*check)(struct lsqs_call *c);

    /* As store_job.run. A refusal is c->error and 0. */
    int (*run)(struct store_tx *tx, struct lsqs_call *c);
};

bool lsqs_is_operation(struct slice name);
const struct lsqs_operation *lsqs_operation_at(size_t i); /* of all of them; NULL: behind the last */

struct lsqs_call {
    struct store_job job; /* first: the job is the call */
    struct local_sqs *sqs;
    struct local_call *call;
    const struct lsqs_codec *codec;
    const struct lsqs_operation *op; /* NULL: there is none of the name */
    void *request, *result;
    struct lsqs_error error;
    struct slice url_base;    /* "http://HOST/ACCOUNT/", of calls that are about no queue */
    struct slice queue_name;  /* of the queue URL */
    struct lsqs_queue *queue; /* during run */

    /* A receive that waits. */
    int64_t deadline_ms; /* 0: it has not begun */
    int64_t waits_for;   /* the queue's id; 0: it is in no list */
};

/* ---- queues in memory -------------------------------------------------------------------------------------------- */

struct lsqs_counts {
    int64_t total, in_flight, delayed;
    int64_t counted_at_ms; /* in_flight and delayed are right for this time */
    int64_t oldest_at_ms;  /* no message was sent before this; INT64_MAX: there is none */
};

/* What SetQueueAttributes sets. Texts are NULL when they were not given. */
struct lsqs_settings {
    int64_t visibility_s, max_bytes, retention_s, delay_s, wait_s, kms_reuse_s, managed_sse;
    int64_t content_dedup, group_scope, group_limit; /* of a FIFO queue */
    bool fifo;                                       /* which its name says */
    char *policy, *redrive_policy, *redrive_allow_policy, *kms_key;
    char *dead_letter_arn; /* out of redrive_policy, with max_receives */
    int64_t max_receives;
};

struct lsqs_queue {
    int64_t id;
    int64_t box; /* whose messages are this queue's; a purge gives it a new one */
    char *name, *arn;
    struct lsqs_settings settings;
    char *tags; /* a JSON object; NULL: none */
    int64_t created_at_ms, modified_at_ms, purged_at_ms;

    struct lsqs_counts counts, counts_before; /* before the transaction touched_in */
    uint64_t touched_in;
    struct lsqs_queue *next_touched;

    struct timer expiry;                      /* when retention may end for the oldest message */
    int64_t swept_at_ms;                      /* when that was last looked at */
    struct store_job *waiting, **waiting_end; /* receives, in the order they came */
    struct timer wake;                        /* when one of them may get a message, or has waited long enough */
    int64_t next_visible_ms;                  /* while somebody waits: no message is visible before */
    struct lsqs_fifo *groups;                 /* of a FIFO queue; NULL: not read, or thrown away */

    struct lsqs_fair *fair; /* NULL: no message with a group was seen */

    struct local_sqs *sqs;
    struct lsqs_queue *next; /* of the same hash */
};

struct local_sqs {
    struct local *local;
    struct store *store;
    struct lsqs_queue **table; /* by name */
    size_t n_queues, n_places;
    struct lsqs_queue *touched; /* in touched_in */
    uint64_t touched_in, restructured_in;
    struct timers timers;     /* the queues', in store_now_ms's time */
    struct store_tx *turning; /* in lsqs_turn, for the timers */
    int turn_code;
    int64_t next_message_id, next_box, next_queue_id;
    bool has_garbage;         /* boxes to be emptied */
    struct lsqs_dedup *dedup; /* what was sent to FIFO queues */
    int64_t moves_due_ms;     /* no message move task has anything to do before */
    int64_t last_move;        /* the task that was served last */
    uint8_t handle_key[16];
    uint8_t random[2048]; /* for message ids; random_left of it are unused */
    size_t random_left;
};

int lsqs_state_load(void *sqs, struct store_tx *tx);
int lsqs_state_rollback(void *sqs, struct store_tx *tx);
void lsqs_state_clear(struct local_sqs *s); /* frees every queue; nobody waits */

struct lsqs_queue *lsqs_find_queue(struct local_sqs *s, struct slice name);
struct lsqs_queue *lsqs_find_queue_by_arn(struct local_sqs *s, struct slice arn);
/* A queue with default settings, not in the table yet; NULL: no memory. */
struct lsqs_queue *lsqs_new_queue(struct local_sqs *s, struct slice name);
bool lsqs_enter_queue(struct local_sqs *s, struct lsqs_queue *q); /* into the table; false: no memory */
void lsqs_leave_queue(struct local_sqs *s, struct lsqs_queue *q);
void lsqs_free_queue(struct lsqs_queue *q); /* NULL is fine */

/* Before a transaction changes a queue's counts: brings them up to store_now_ms and keeps them for a rollback. */
int lsqs_touch(struct local_sqs *s, struct store_tx *tx, struct lsqs_queue *q);

/* The queues themselves are changed: a rollback reads all of them again. */
void lsqs_restructure(struct local_sqs *s, struct store_tx *tx);

/* Messages have gone into the queue, or changed: the earliest is visible at at_ms. */
void lsqs_expect(struct lsqs_queue *q, int64_t at_ms);

/* Removes what is older than the queue's retention: all of it, so that counts are exact, but that a queue of more than
 * 10,000 messages is looked through once a minute only. The queue is touched. */
int lsqs_expire(struct store_tx *tx, struct lsqs_queue *q);
void lsqs_fire_expiry(struct timer *t, int64_t now_ms); /* a queue's expiry timer */
void lsqs_set_expiry(struct lsqs_queue *q);             /* after its oldest message, or its retention, has changed */

/* The row of a message; counts are the caller's. */
int lsqs_remove_message(struct store_tx *tx, int64_t id);

/* Gives up a box: its messages are removed bit by bit. */
int lsqs_discard_box(struct local_sqs *s, struct store_tx *tx, int64_t box);
int lsqs_clear_garbage(struct local_sqs *s, struct store_tx *tx);

/* ---- settings ---------------------------------------------------------------------------------------------------- */

void lsqs_settings_init(struct lsqs_settings *t);
void lsqs_settings_clean_up(struct lsqs_settings *t);
bool lsqs_settings_copy(const struct lsqs_settings *from, struct lsqs_settings *to); /* false: no memory */

/* Checks one attribute and sets it. false with e set; *t may hold part of it. t->fifo is set before the first. Whether
 * a dead-letter queue may be one is not looked at: lsqs_check_dead_letter_queue. */
bool lsqs_settings_apply(struct lsqs_settings *t, const struct local_sqs_attribute *a, struct lsqs_error *e);

/* Do those that are given in one call, those that were set, go together? */
bool lsqs_settings_check_given(const struct local_sqs_attribute *a, size_t n, struct lsqs_error *e);
bool lsqs_settings_check(const struct lsqs_settings *t, struct lsqs_error *e);

/* Does the attribute have the same value in both? */
bool lsqs_settings_agree(const struct lsqs_settings *x, const struct lsqs_settings *y, struct slice attribute);

/* The i-th of the attributes that GetQueueAttributes knows; NULL behind the last. Appends its text to out; nothing when
 * the queue has none. The queue is touched. */
const char *lsqs_attribute(const struct lsqs_queue *q, const struct store_tx *tx, size_t i, struct buf *out);

int lsqs_save_queue(struct store_tx *tx, const struct lsqs_queue *q); /* inserts or replaces its row */

/* ---- tags -------------------------------------------------------------------------------------------------------- */

/* The rules for each of them, and for how many a queue may have. false with e set. */
bool lsqs_check_tags(const struct lsqs_list *tags, struct lsqs_error *e);
bool lsqs_count_tags(const struct lsqs_list *tags, struct slice queue, struct lsqs_error *e);

bool lsqs_tags_text(const struct lsqs_list *tags,
                    char **ret_text); /* a queue's tags, NULL for none; false: no memory */

/* ---- messages ---------------------------------------------------------------------------------------------------- */

/* Is it 1 to 128 letters, digits and punctuation? false with e set. */
bool lsqs_check_token(struct slice s, const char *parameter, struct lsqs_error *e);

/* Checks an entry and works out what is derived; false with e set. */
bool lsqs_prepare_send(struct lsqs_send *m, struct arena *arena, struct lsqs_error *e);

/* Message attributes in the form their MD5 is of: sorted; length and bytes of name, type and value. */
bool lsqs_pack_attributes(const struct lsqs_list *attributes, struct arena *arena, struct slice *ret_packed,
                          struct lsqs_error *e);

/* Those of packed that names asks for ("All", ".*", "prefix.*"), with their MD5. */
bool lsqs_unpack_attributes(struct slice packed, const struct lsqs_list *names, struct arena *arena,
                            struct lsqs_list *ret_attributes, struct slice *ret_md5);

/* Puts one message into a queue; the entry was prepared and fits. ret_id gets its UUID, *ret_sequence the number that
 * its sequence number is made of (0: it has none). In a FIFO queue, one that was sent before is not sent again, and
 * both are those of the first. */
int lsqs_put_message(struct local_sqs *s, struct store_tx *tx, struct lsqs_queue *q, const struct lsqs_send *m,
                     char ret_id[UUID_TEXT_BYTES], int64_t *ret_sequence);

void lsqs_take_uuid(struct local_sqs *s, uint8_t uuid[16]); /* a new random one; writer thread */

struct slice lsqs_hex(struct arena *arena, const uint8_t *p, size_t n); /* p NULL: no memory */
void lsqs_format_uuid(const uint8_t bytes[16], char out[UUID_TEXT_BYTES]);

/* ---- receipt handles --------------------------------------------------------------------------------------------- */

struct lsqs_handle {
    int64_t queue, message;
    uint32_t receive; /* the message's receive count when it was given out */
    uint8_t uuid[4];  /* the first bytes of the message's */
};

#define LSQS_HANDLE_TEXT 64
void lsqs_write_handle(const uint8_t key[16], const struct lsqs_handle *h, char out[LSQS_HANDLE_TEXT]);
bool lsqs_read_handle(const uint8_t key[16], struct slice text, struct lsqs_handle *ret);
uint64_t lsqs_hash(const uint8_t key[16], const void *bytes, size_t n); /* keyed: nobody guesses it */

/* ---- receiving --------------------------------------------------------------------------------------------------- */

/* Receives what can be had; c->queue is touched. Returns 0 with c's result filled in or empty, or the store's error. */
int lsqs_receive_now(struct store_tx *tx, struct lsqs_call *c);

int lsqs_turn(void *sqs, struct store_tx *tx);
int64_t lsqs_due_ms(void *sqs);
void lsqs_stop(void *sqs, struct store_tx *tx);
int lsqs_reset(void *sqs, struct store_tx *tx);
int lsqs_empty(void *sqs, struct store_tx *tx, struct slice name); /* struct local_service */

void lsqs_fire_wake(struct timer *t, int64_t now_ms); /* a queue's wake timer */

/* Enters a receive, whose deadline is set, into the list of those that wait for q. */
int lsqs_wait(struct local_sqs *s, struct store_tx *tx, struct lsqs_queue *q, struct lsqs_call *c);

/* Takes a receive out of the list it waits in, if it does. */
void lsqs_stop_waiting(struct local_sqs *s, struct lsqs_call *c);

/* Ends every receive that waits for q, because q is gone. */
void lsqs_dismiss_waiting(struct local_sqs *s, struct store_tx *tx, struct lsqs_queue *q);

/* ---- batches ----------------------------------------------------------------------------------------------------- */

/* 1 to 10 entries, whose first member is the id: well-formed and no two the same. parameter names the entries. */
bool lsqs_check_entries(const struct lsqs_list *entries, size_t size, const char *parameter, struct lsqs_error *e);

/* Notes that an entry of the call's batch is refused. */
int lsqs_add_failure(struct lsqs_call *c, struct slice id, const struct lsqs_error *e);

/* Notes that an entry fails because of a fault: local_fails_entry. */
int lsqs_add_injected_failure(struct lsqs_call *c, struct slice id);

/* ---- lists in pages ---------------------------------------------------------------------------------------------- */

#define LSQS_MAX_LIST 1000 /* on a page, and without MaxResults */

/* NextToken and MaxResults as ListQueues has them. */
bool lsqs_check_page(struct slice token, const struct lsqs_int *max, struct lsqs_error *e);

bool lsqs_is_name(struct slice name); /* could a queue have it? */

/* A page's token is the last name on it, in base64. No token: no name. false with e set. */
bool lsqs_read_page_token(struct slice token, struct buf *ret_name, struct lsqs_error *e);

/* Where the queue of that name is, for the caller; p NULL: no memory. c->url_base is made first, by an operation that
 * is about a queue with lsqs_make_url_base in its check. */
struct slice lsqs_url_of(struct lsqs_call *c, struct slice name);
bool lsqs_make_url_base(struct lsqs_call *c);

/* ---- the operations' functions, by file -------------------------------------------------------------------------- */

bool lsqs_check_send(struct lsqs_call *c);
bool lsqs_check_send_batch(struct lsqs_call *c);
bool lsqs_check_receive(struct lsqs_call *c);
bool lsqs_check_settle(struct lsqs_call *c);
bool lsqs_check_delete_batch(struct lsqs_call *c);
bool lsqs_check_visibility_batch(struct lsqs_call *c);
bool lsqs_check_visibility(struct lsqs_call *c);
bool lsqs_check_create_queue(struct lsqs_call *c);
bool lsqs_check_list_queues(struct lsqs_call *c);
bool lsqs_check_list_sources(struct lsqs_call *c);
bool lsqs_check_get_url(struct lsqs_call *c);
bool lsqs_check_set_attributes(struct lsqs_call *c);
bool lsqs_check_tag(struct lsqs_call *c);
bool lsqs_check_untag(struct lsqs_call *c);
bool lsqs_check_add_permission(struct lsqs_call *c);
bool lsqs_check_remove_permission(struct lsqs_call *c);
int lsqs_run_create_queue(struct store_tx *tx, struct lsqs_call *c);
int lsqs_run_delete_queue(struct store_tx *tx, struct lsqs_call *c);
int lsqs_run_list_queues(struct store_tx *tx, struct lsqs_call *c);
int lsqs_run_list_sources(struct store_tx *tx, struct lsqs_call *c);
int lsqs_run_get_url(struct store_tx *tx, struct lsqs_call *c);
int lsqs_run_get_attributes(struct store_tx *tx, struct lsqs_call *c);
int lsqs_run_set_attributes(struct store_tx *tx, struct lsqs_call *c);
int lsqs_run_purge_queue(struct store_tx *tx, struct lsqs_call *c);
int lsqs_run_tag(struct store_tx *tx, struct lsqs_call *c);
int lsqs_run_untag(struct store_tx *tx, struct lsqs_call *c);
int lsqs_run_list_tags(struct store_tx *tx, struct lsqs_call *c);
int lsqs_run_add_permission(struct store_tx *tx, struct lsqs_call *c);
int lsqs_run_remove_permission(struct store_tx *tx, struct lsqs_call *c);
int lsqs_run_send(struct store_tx *tx, struct lsqs_call *c);
int lsqs_run_send_batch(struct store_tx *tx, struct lsqs_call *c);
int lsqs_run_receive(struct store_tx *tx, struct lsqs_call *c);
int lsqs_run_delete(struct store_tx *tx, struct lsqs_call *c);
int lsqs_run_delete_batch(struct store_tx *tx, struct lsqs_call *c);
int lsqs_run_visibility(struct store_tx *tx, struct lsqs_call *c);
int lsqs_run_visibility_batch(struct store_tx *tx, struct lsqs_call *c);

#endif
