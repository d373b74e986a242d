#include "local/events_requests.h"

#define ARN_MAX 1600

static const struct events_shape ANYTHING = {.kind = EVENTS_ANYTHING};
static const struct events_shape BOOLEAN = {.kind = EVENTS_BOOLEAN};
static const struct events_shape TEXT = {.kind = EVENTS_STRING};
static const struct events_shape ARN = {.kind = EVENTS_STRING, .min = 1, .max = ARN_MAX};
static const struct events_shape NAME = {.kind = EVENTS_STRING, .min = 1, .max = 64, .form = &EVENTS_FORM_NAME};
static const struct events_shape BUS = {.kind = EVENTS_STRING, .min = 1, .max = ARN_MAX, .form = &EVENTS_FORM_ANY_BUS};
static const struct events_shape PATTERN = {.kind = EVENTS_STRING, .max = 4096};
static const struct events_shape SCHEDULE = {.kind = EVENTS_STRING, .max = 256};
static const struct events_shape DESCRIPTION = {.kind = EVENTS_STRING, .max = 512};
static const struct events_shape NEXT_TOKEN = {.kind = EVENTS_STRING, .min = 1, .max = 2048};
static const struct events_shape LIMIT = {.kind = EVENTS_INTEGER, .min = 1, .max = 100};
static const struct events_shape STATE = {
    .kind = EVENTS_STRING,
    .values = (const char *const[]){"ENABLED", "DISABLED", "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS", NULL},
};

/* ---- rules --------------------------------------------------------------------------------------------------------
 */

static const struct events_shape TAG_KEY = {.kind = EVENTS_STRING, .min = 1, .max = 128};
static const struct events_shape TAG_VALUE = {.kind = EVENTS_STRING, .max = 256};
static const struct events_shape TAG = {
    .kind = EVENTS_STRUCTURE,
    .members = (const struct events_member[]){{"Key", &TAG_KEY, true}, {"Value", &TAG_VALUE, true}, {.name = NULL}},
};
static const struct events_shape TAGS = {.kind = EVENTS_LIST, .element = &TAG};

const struct events_shape EVENTS_TEST_EVENT_PATTERN = {
    .kind = EVENTS_STRUCTURE,
    .members = (const struct events_member[]){{"EventPattern", &PATTERN, true}, {"Event", &TEXT, true}, {.name = NULL}},
};

const struct events_shape EVENTS_PUT_RULE = {
    .kind = EVENTS_STRUCTURE,
    .members = (const struct events_member[]){{"Name", &NAME, true},
                                              {"ScheduleExpression", &SCHEDULE, false},
                                              {"EventPattern", &PATTERN, false},
                                              {"State", &STATE, false},
                                              {"Description", &DESCRIPTION, false},
                                              {"RoleArn", &ARN, false},
                                              {"Tags", &TAGS, false},
                                              {"EventBusName", &BUS, false},
                                              {.name = NULL}},
};

/* DescribeRule, EnableRule and DisableRule. */
const struct events_shape EVENTS_NAMED_RULE = {
    .kind = EVENTS_STRUCTURE,
    .members = (const struct events_member[]){{"Name", &NAME, true}, {"EventBusName", &BUS, false}, {.name = NULL}},
};

const struct events_shape EVENTS_DELETE_RULE = {
    .kind = EVENTS_STRUCTURE,
    .members =
        (const struct events_member[]){
            {"Name", &NAME, true}, {"EventBusName", &BUS, false}, {"Force", &BOOLEAN, false}, {.name = NULL}},
};

const struct events_shape EVENTS_LIST_RULES = {
    .kind = EVENTS_STRUCTURE,
    .members = (const struct events_member[]){{"NamePrefix", &NAME, false},
                                              {"EventBusName", &BUS, false},
                                              {"NextToken", &NEXT_TOKEN, false},
                                              {"Limit", &LIMIT, false},
                                              {.name = NULL}},
};

/* ---- targets ------------------------------------------------------------------------------------------------------
 */

static const struct events_shape INPUT = {.kind = EVENTS_STRING, .max = 8192};
static const struct events_shape INPUT_PATH = {.kind = EVENTS_STRING, .max = 256};
static const struct events_shape INPUT_TEMPLATE = {.kind = EVENTS_STRING, .min = 1, .max = 8192};
static const struct events_shape INPUT_KEY = {
    .kind = EVENTS_STRING, .min = 1, .max = 256, .form = &EVENTS_FORM_PLACEHOLDER};
static const struct events_shape INPUT_PATHS = {
    .kind = EVENTS_MAP, .max = 100, .key = &INPUT_KEY, .element = &INPUT_PATH};
static const struct events_shape INPUT_TRANSFORMER = {
    .kind = EVENTS_STRUCTURE,
    .members = (const struct events_member[]){{"InputPathsMap", &INPUT_PATHS, false},
                                              {"InputTemplate", &INPUT_TEMPLATE, true},
                                              {.name = NULL}},
};
static const struct events_shape GROUP_ID = {.kind = EVENTS_STRING, .max = 100};
static const struct events_shape SQS_PARAMETERS = {
    .kind = EVENTS_STRUCTURE,
    .members = (const struct events_member[]){{"MessageGroupId", &GROUP_ID, false}, {.name = NULL}},
};
static const struct events_shape DEAD_LETTERS = {
    .kind = EVENTS_STRUCTURE,
    .members = (const struct events_member[]){{"Arn", &ARN, false}, {.name = NULL}},
};
static const struct events_shape RETRY_ATTEMPTS = {.kind = EVENTS_INTEGER, .min = 0, .max = 185};
static const struct events_shape RETRY_AGE = {.kind = EVENTS_INTEGER, .min = 60, .max = 86400};
static const struct events_shape RETRY_POLICY = {
    .kind = EVENTS_STRUCTURE,
    .members = (const struct events_member[]){{"MaximumRetryAttempts", &RETRY_ATTEMPTS, false},
                                              {"MaximumEventAgeInSeconds", &RETRY_AGE, false},
                                              {.name = NULL}},
};

/* What belongs to other services' targets is refused by its name, whatever is in it. */
const struct events_shape EVENTS_TARGET = {
    .kind = EVENTS_STRUCTURE,
    .members = (const struct events_member[]){{"Id", &NAME, true},
                                              {"Arn", &ARN, true},
                                              {"RoleArn", &ARN, false},
                                              {"Input", &INPUT, false},
                                              {"InputPath", &INPUT_PATH, false},
                                              {"InputTransformer", &INPUT_TRANSFORMER, false},
                                              {"KinesisParameters", &ANYTHING, false},
                                              {"RunCommandParameters", &ANYTHING, false},
                                              {"EcsParameters", &ANYTHING, false},
                                              {"BatchParameters", &ANYTHING, false},
                                              {"SqsParameters", &SQS_PARAMETERS, false},
                                              {"HttpParameters", &ANYTHING, false},
                                              {"RedshiftDataParameters", &ANYTHING, false},
                                              {"SageMakerPipelineParameters", &ANYTHING, false},
                                              {"DeadLetterConfig", &DEAD_LETTERS, false},
                                              {"RetryPolicy", &RETRY_POLICY, false},
                                              {"AppSyncParameters", &ANYTHING, false},
                                              {.name = NULL}},
};

static const struct events_shape TARGETS = {.kind = EVENTS_LIST, .min = 1, .max = 100, .element = &EVENTS_TARGET};
static const struct events_shape IDS = {.kind = EVENTS_LIST, .min = 1, .max = 100, .element = &NAME};

const struct events_shape EVENTS_PUT_TARGETS = {
    .kind = EVENTS_STRUCTURE,
    .members =
        (const struct events_member[]){
            {"Rule", &NAME, true}, {"EventBusName", &BUS, false}, {"Targets", &TARGETS, true}, {.name = NULL}},
};

const struct events_shape EVENTS_REMOVE_TARGETS = {
    .kind = EVENTS_STRUCTURE,
    .members = (const struct events_member[]){{"Rule", &NAME, true},
                                              {"EventBusName", &BUS, false},
                                              {"Ids", &IDS, true},
                                              {"Force", &BOOLEAN, false},
                                              {.name = NULL}},
};

const struct events_shape EVENTS_LIST_TARGETS = {
    .kind = EVENTS_STRUCTURE,
    .members = (const struct events_member[]){{"Rule", &NAME, true},
                                              {"EventBusName", &BUS, false},
                                              {"NextToken", &NEXT_TOKEN, false},
                                              {"Limit", &LIMIT, false},
                                              {.name = NULL}},
};
