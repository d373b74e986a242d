/* The requests of SQS's operations with several members spoilt at once, at random, and members of one request in
 * another's place, in both protocols: the answer is 200 or one of AWS's errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "lib/seeds.h"
#include "lib/skip.h"
#include "lib/sqs_requests.h"

#define REQUESTS   600
#define MAX_PLACES 64
#define MAX_FOUND  256

static const uint64_t KEPT_SEEDS[] = {1, 2};

static const char *const VALUES[] = {"null",
                                     "true",
                                     "0",
                                     "-1",
                                     "10",
                                     "1e9",
                                     "\"\"",
                                     "\"x\"",
                                     "\"\\u0001\"",
                                     "\"All\"",
                                     "[]",
                                     "{}",
                                     "[null, \"x\"]",
                                     "{\"x\": \"y\"}",
                                     "\"http://h/000000000000/f.fifo\"",
                                     "\"http://h/000000000000/made\""};

/* Members of other requests, to be put where they do not belong. */
struct found {
    cJSON *values[MAX_FOUND];
    size_t n;
};

static void
collect(const cJSON *tree, struct found *found)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, tree)
    {
        if (found->n < MAX_FOUND)
            found->values[found->n++] = cJSON_Duplicate(item, true);
        collect(item, found);
    }
}

/* Every value below the root. */
static void
list_places(cJSON *tree, cJSON **places, size_t *n)
{
    for (cJSON *item = tree->child; item && *n < MAX_PLACES; item = item->next) {
        places[(*n)++] = item;
        list_places(item, places, n);
    }
}

static cJSON *
parent_of(cJSON *tree, const cJSON *child)
{
    for (cJSON *item = tree->child; item; item = item->next) {
        cJSON *parent = item == child ? tree : parent_of(item, child);
        if (parent)
            return parent;
    }
    return NULL;
}

static cJSON *
draw_value(const struct found *found, uint64_t *random)
{
    if (found->n > 0 && seeds_draw(random, 2) == 0)
        return cJSON_Duplicate(found->values[seeds_draw(random, found->n)], true);
    return cJSON_Parse(VALUES[seeds_draw(random, sizeof VALUES / sizeof *VALUES)]);
}

/* Changes one place: another value, nothing at all, or one more of it. */
static void
spoil(cJSON *tree, const struct found *found, uint64_t *random)
{
    cJSON *places[MAX_PLACES];
    size_t n = 0;
    list_places(tree, places, &n);
    if (n == 0)
        return;
    cJSON *at = places[seeds_draw(random, n)], *parent = parent_of(tree, at);
    switch (seeds_draw(random, 5)) {
    case 0:
        cJSON_Delete(cJSON_DetachItemViaPointer(parent, at));
        break;
    case 1:
        if (cJSON_IsArray(parent))
            cJSON_AddItemToArray(parent, cJSON_Duplicate(at, true));
        else
            cJSON_AddItemToObject(parent, seeds_draw(random, 2) ? at->string : "Another", draw_value(found, random));
        break;
    default: {
        cJSON *value = draw_value(found, random);
        if (cJSON_IsObject(parent)) {
            char name[100];
            strncpy(name, at->string, sizeof name - 1);
            name[sizeof name - 1] = '\0';
            cJSON_Delete(cJSON_DetachItemViaPointer(parent, at));
            cJSON_AddItemToObject(parent, name, value);
        } else {
            cJSON_ReplaceItemViaPointer(parent, at, value);
        }
    }
    }
}

static void
force(cJSON *tree, const char *name, cJSON *value)
{
    while (cJSON_HasObjectItem(tree, name))
        cJSON_DeleteItemFromObject(tree, name);
    cJSON_AddItemToObject(tree, name, value);
}

/* Nobody moves the clock while a receive waits; and the queues that good requests need stay as they are. */
static void
do_no_harm(struct sqs_requests *r)
{
    const char *operation = r->request->operation;
    if (strcmp(operation, "ReceiveMessage") == 0)
        force(r->tree, "WaitTimeSeconds", cJSON_CreateNumber(0));
    else if (strcmp(operation, "DeleteQueue") == 0 || strcmp(operation, "SetQueueAttributes") == 0)
        force(r->tree, "QueueUrl", cJSON_CreateString("http://localhost/000000000000/made"));
}

static void
run(struct sqs_requests *r, uint64_t seed)
{
    uint64_t random = seed;
    struct found found = {.n = 0};
    for (size_t i = 0; i < N_SQS_REQUESTS; i++) {
        sqs_requests_take(r, &SQS_REQUESTS[i]);
        collect(r->tree, &found);
    }
    size_t n = seeds_events(REQUESTS);
    for (size_t i = 0; i < n; i++) {
        sqs_requests_take(r, &SQS_REQUESTS[seeds_draw(&random, N_SQS_REQUESTS)]);
        for (uint64_t left = 1 + seeds_draw(&random, 4); left > 0; left--)
            spoil(r->tree, &found, &random);
        do_no_harm(r);
        r->protocol = seeds_draw(&random, 2) ? SQS_QUERY : SQS_JSON;
        sqs_requests_ask(r);
    }
    for (size_t i = 0; i < found.n; i++)
        cJSON_Delete(found.values[i]);
}

static void
several_members_are_spoilt_at_once(void **state)
{
    (void)state;
    struct seeds seeds;
    uint64_t seed;
    seeds_init(&seeds, KEPT_SEEDS, sizeof KEPT_SEEDS / sizeof *KEPT_SEEDS);
    while (seeds_next(&seeds, &seed)) {
        struct sqs_requests r;
        if (!sqs_requests_start(&r))
            skip_because("../shared/data/sqs.errors.json is missing");
        run(&r, seed);
        print_message("%zu requests, %zu of them refused\n", r.n_calls, r.n_refused);
        sqs_requests_stop(&r);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(several_members_are_spoilt_at_once)};
    return cmocka_run_group_tests_name("local/sqs mixed", tests, NULL, NULL);
}
