/* Deduplication in DynamoDB, whose protocol moto's server speaks here: the same answers as the model's, two clients
 * that begin at once, tables that are missing or wrong, and two real workers. Skipped where there is no moto. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/dedup_model.h"
#include "lib/dedup_scene.h"
#include "lib/moto.h"
#include "lib/skip.h"

#define INSTALLED "build/peers/moto/.installed" /* `make test` sees to it, where there is a package index */

/* ---- the server ---- */

struct server {
    struct moto moto; /* process NULL: there is none */
    struct aws_call call;
};

static void
make_table(struct server *s, const char *name, const char *key)
{
    char body[400];
    int n = snprintf(body, sizeof body,
                     "{\"TableName\": \"%s\", \"BillingMode\": \"PAY_PER_REQUEST\","
                     " \"AttributeDefinitions\": [{\"AttributeName\": \"%s\", \"AttributeType\": \"S\"}],"
                     " \"KeySchema\": [{\"AttributeName\": \"%s\", \"KeyType\": \"HASH\"}]}",
                     name, key, key);
    assert_true(aws_call_begin(&s->call, "dynamodb", "DynamoDB_20120810.CreateTable", slice_of(body, (size_t)n)));
    assert_int_equal(aws_call_finish(&s->call), 200);
}

static int
start_server(void **state)
{
    struct server *s = calloc(1, sizeof *s);
    assert_non_null(s);
    setenv("AWS_ACCESS_KEY_ID", "test", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "test", 1);
    setenv("AWS_REGION", "us-east-1", 1);
    *state = s;
    if (access(INSTALLED, F_OK) != 0 || !moto_start_one_by_one(&s->moto))
        return 0;
    aws_call_init(&s->call, s->moto.url);
    return 0;
}

static int
stop_server(void **state)
{
    struct server *s = *state;
    if (s->moto.process) {
        aws_call_clean_up(&s->call);
        moto_stop(&s->moto);
    }
    free(s);
    return 0;
}

#define NEEDS_MOTO(s)                                                                                                  \
    if (!(s)->moto.process)                                                                                            \
    skip_because("there is no moto (" INSTALLED "), which speaks DynamoDB's protocol")

/* ---- stores ---- */

struct clients {
    struct http_engine *engine;
    struct creds_provider *credentials;
    struct dedup_driver driver;
};

static void
wait(void *context)
{
    struct clients *c = context;
    struct err e;
    assert_int_equal(http_engine_run(c->engine, 20000, &e), 0);
}

static void
begin_clients(struct clients *c, const char *url, const char *table)
{
    struct err e;
    const struct http_engine_options engine = {0};
    *c = (struct clients){.driver = {.wait = wait, .context = c}};
    assert_int_equal(http_engine_new(&engine, &c->engine, &e), 0);
    assert_int_equal(creds_default_new(NULL, &c->credentials, &e), 0);
    for (int i = 0; i < DEDUP_MODEL_STORES; i++) {
        const struct aws_client_options options = {
            .engine = c->engine, .credentials = c->credentials, .service = AWS_DYNAMODB, .endpoint_url = url};
        struct aws_client *client;
        assert_int_equal(aws_client_new(&options, &client, &e), 0);
        assert_int_equal(dedup_dynamodb_new(client, table, &c->driver.stores[i], &e), 0);
    }
}

static void
end_clients(struct clients *c)
{
    for (int i = 0; i < DEDUP_MODEL_STORES; i++)
        c->driver.stores[i]->ops->destroy(c->driver.stores[i]);
    creds_provider_destroy(c->credentials);
    http_engine_destroy(c->engine);
}

static void
two_clients_answer_as_the_model_does(void **state)
{
    struct server *s = *state;
    struct clients c;
    NEEDS_MOTO(s);
    make_table(s, "model", "id");
    begin_clients(&c, s->moto.url, "model");
    dedup_model_run(&c.driver, 1, 150);
    end_clients(&c);
}

static void
of_two_clients_that_begin_the_same_at_once_one_may(void **state)
{
    struct server *s = *state;
    struct clients c;
    NEEDS_MOTO(s);
    make_table(s, "race", "id");
    begin_clients(&c, s->moto.url, "race");
    dedup_model_race(&c.driver, 40);
    end_clients(&c);
}

static void
a_table_that_is_missing_or_has_another_key_is_an_error_that_says_so(void **state)
{
    struct server *s = *state;
    struct clients c;
    NEEDS_MOTO(s);
    begin_clients(&c, s->moto.url, "later");
    for (int i = 0; i < 2; i++)
        assert_int_equal(dedup_driver_do(&c.driver, 0, DEDUP_BEGIN, "k", "a", 1000, 2000).code, ERR_NOT_FOUND);
    assert_non_null(strstr(c.driver.stores[0]->error.text, "dedup.table \"later\""));
    make_table(s, "later", "id");
    assert_int_equal(dedup_driver_do(&c.driver, 0, DEDUP_BEGIN, "k", "a", 1000, 2000).code, 0);
    end_clients(&c);

    make_table(s, "other", "key");
    begin_clients(&c, s->moto.url, "other");
    assert_int_equal(dedup_driver_do(&c.driver, 0, DEDUP_BEGIN, "k", "a", 1000, 2000).code, ERR_INVALID);
    assert_non_null(strstr(c.driver.stores[0]->error.text, "the partition key key (S); it must be id (S)"));
    end_clients(&c);
}

/* ---- workers ---- */

static void
two_workers_of_a_fleet_handle_each_event_once_and_the_next_one_what_a_killed_one_left(void **state)
{
    struct server *server = *state;
    void *scene;
    char settings[300], id[20];
    NEEDS_MOTO(server);
    make_table(server, "fleet", "id");
    dedup_scene_set_up(&scene);
    struct dedup_scene *s = scene;
    snprintf(settings, sizeof settings, "dedup = { store = \"dynamodb\"; table = \"fleet\"; endpoint_url = \"%s\"; };",
             server->moto.url);
    for (unsigned i = 0; i < 2; i++)
        dedup_scene_start(s, i, settings, "delay_ms = 20;");
    for (unsigned i = 0; i < 24; i++) {
        snprintf(id, sizeof id, "event-%u.", i % 6);
        dedup_scene_send(s, id);
    }
    dedup_scene_await_empty(s);
    for (unsigned i = 0; i < 6; i++) {
        snprintf(id, sizeof id, "event-%u.", i);
        assert_int_equal(dedup_scene_recorded(s, id), 1);
    }
    for (unsigned i = 0; i < 2; i++)
        dedup_scene_drain(s, i);

    dedup_scene_start(s, 0, settings, "delay_ms = 60000;");
    dedup_scene_send(s, "killed");
    dedup_scene_await_handler(s, 0);
    dedup_scene_kill(s, 0);
    dedup_scene_start(s, 1, settings, "");
    dedup_scene_await_empty(s);
    assert_int_equal(dedup_scene_recorded(s, "killed"), 1);
    dedup_scene_drain(s, 1);
    dedup_scene_tear_down(&scene);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_clients_answer_as_the_model_does),
        cmocka_unit_test(of_two_clients_that_begin_the_same_at_once_one_may),
        cmocka_unit_test(a_table_that_is_missing_or_has_another_key_is_an_error_that_says_so),
        cmocka_unit_test(two_workers_of_a_fleet_handle_each_event_once_and_the_next_one_what_a_killed_one_left),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
