/* fuzz_template: a CloudFormation template, and the plan made of it. */
#include "local/template.h"

#include "fuzz/fuzz.h"

#include "base/json.h"
#include "local/plan.h"

static void
check_plan(const struct local_plan *plan)
{
    for (size_t i = 0; i < plan->n_steps; i++) {
        const struct local_plan_step *step = &plan->steps[i];
        check(step->name.n > 0);
        touch(step->name);
        touch(step->bus);
        touch(step->pattern);
        for (size_t k = 0; k < step->n_attributes; k++) {
            touch(step->attributes[k].name);
            touch(step->attributes[k].value);
        }
        check(step->n_targets <= LOCAL_PLAN_TARGETS_MAX);
        for (size_t k = 0; k < step->n_targets; k++) {
            touch(step->targets[k].id);
            touch(step->targets[k].arn);
            touch(step->targets[k].dead_letter_arn);
            touch(step->targets[k].capture_bucket);
        }
    }
    for (size_t i = 0; i < plan->n_notes; i++)
        check(plan->notes[i].path[0] && plan->notes[i].text[0]);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct template_environment ENVIRONMENT = {
        .account = "000000000000",
        .region = "us-east-1",
        .queue_url_base = "http://127.0.0.1:4566/000000000000/",
    };
    struct template *t = NULL;
    struct local_plan *plan = NULL;
    struct err e = {0};
    if (template_parse(slice_of((const char *)data, size), &ENVIRONMENT, &t, &e) != 0) {
        check((e.code == ERR_INVALID || e.code == ERR_LIMIT) && e.text[0] && !t);
        return 0;
    }
    for (size_t i = 0; i < t->n_resources; i++) {
        struct json properties;
        check(json_parse(t->resources[i].properties, &properties, NULL) == 0 && properties.type == JSON_OBJECT);
        check(t->resources[i].id[0] && t->resources[i].name[0]);
    }
    if (local_plan_make(t, &plan, &e) == 0)
        check_plan(plan);
    else
        check(e.code == ERR_INVALID && e.text[0] && !plan);
    local_plan_destroy(plan);
    template_destroy(t);
    return 0;
}
