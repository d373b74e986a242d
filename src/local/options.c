#include "local/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PUT_EVENTS_BYTES 16777216

static const char HELP[] =
    "usage: fanout-local [options]\n"
    "       fanout-local backup FILE [--force] [--url URL | --data DIR] [--admin-token-file FILE]\n"
    "\n"
    "SQS, EventBridge and S3 on this machine, for the AWS CLI, SDKs and fanoutd: durable in one SQLite file, "
    "signatures\n"
    "verified. Makes the queues, buckets, buses and rules of a CloudFormation template at its start. Prints \"READY "
    "http://HOST:PORT\"\n"
    "(and \" no-auth\" behind it, with that option) on standard output when it can be used.\n"
    "\n"
    "  --listen HOST:PORT     where to listen (127.0.0.1:4566); port 0 picks a free one\n"
    "  --data DIR             where to keep everything ($XDG_STATE_HOME/fanout-local, else "
    "~/.local/state/fanout-local)\n"
    "  --memory               keep everything in memory: gone at the end\n"
    "  --template FILE        the template (JSON); default: durable-event-buffer.template.json as it comes with this "
    "program\n"
    "  --parameter NAME=VALUE a parameter of the template; may be given often\n"
    "  --no-provision         make nothing\n"
    "  --check                look at every page of the database before starting, not only at a small database's\n"
    "  --salvage              start although the database's write-ahead log is damaged or gone, without what it held\n"
    "  --access-key KEY       an access key id (test, unless --credentials is given)\n"
    "  --secret-key SECRET    and its secret (test)\n"
    "  --session-token TOKEN  and its session token (none)\n"
    "  --credentials FILE     more key pairs, each with a name: a shared credentials file of the AWS CLI's; HUP reads "
    "it again\n"
    "  --no-auth[=everybody]  let every request in, signed or not; everybody: also where other machines can ask\n"
    "  --admin-token-file FILE  /_fanout/ for who brings the token in FILE, from any machine (else: from this one)\n"
    "  --account NUMBER       the account of all ARNs, 12 digits (000000000000)\n"
    "  --region NAME          the region of all ARNs and signatures (us-east-1)\n"
    "  --put-events-bytes N   how large one PutEvents call may be: 262144 as it was until 2026, 1048576 as it is "
    "(1048576)\n"
    "  --log-level LEVEL      error, warn, info or debug (info); the log goes to standard error\n"
    "  --health               ask the server that listens there whether it can be used: exit status 0, otherwise 1\n"
    "  --version\n"
    "  --help\n"
    "\n"
    "Ends on TERM or INT: answers what waits, closes the database, exit status 0. Exit status 2: the command line or "
    "the\n"
    "template is at fault; 1: anything else.\n"
    "http://HOST:PORT/_fanout/ has health, figures, the last requests, faults and reset.\n"
    "\n"
    "fanout-local backup writes a copy of the database into FILE (never over one that is there, without --force) while "
    "the\n"
    "server goes on: everything answered before is in it. To use it: name it fanout-local.sqlite3 in an empty folder, "
    "and "
    "give\n"
    "that as --data. The server is asked at --url, or found by --data (or its default); of a folder no server uses the "
    "copy is\n"
    "made directly. Exit status 0: it is complete and on the disk; 1: there is none, and why; 2: the command line.\n";

/* ---- the command line -------------------------------------------------------------------------------------------- */

int
local_default_folder(char *out, size_t size, struct err *e)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    int n = state && state[0] == '/' ? snprintf(out, size, "%s/fanout-local", state)
            : home && *home          ? snprintf(out, size, "%s/.local/state/fanout-local", home)
                                     : -1;
    if (n < 0 || (size_t)n >= size)
        return err_set(e, ERR_INVALID, "there is no home folder to keep the data in: give --data DIR or --memory");
    return 0;
}

int
local_read_token(const char *path, char out[LOCAL_ADMIN_TOKEN_MAX + 2], struct err *e)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return err_set_errno(e, errno, "cannot open the token's file %s", path);
    char *line = fgets(out, LOCAL_ADMIN_TOKEN_MAX + 2, f);
    fclose(f);
    if (line)
        line[strcspn(line, "\r\n")] = '\0';
    if (!line || strlen(line) < 8 || strlen(line) > LOCAL_ADMIN_TOKEN_MAX || strpbrk(line, " \t"))
        return err_set(e, ERR_INVALID, "%s: its first line is to be a token of 8 to %d characters, without spaces",
                       path, LOCAL_ADMIN_TOKEN_MAX);
    return 0;
}

bool
local_is_loopback(const char *listen)
{
    return strncmp(listen, "127.", 4) == 0 || strncmp(listen, "[::1]", 5) == 0 ||
           strncmp(listen, "localhost:", 10) == 0;
}

static int
add_parameter(struct local_command *o, const char *text, struct err *e)
{
    const char *equals = strchr(text, '=');
    if (!equals || equals == text)
        return err_set(e, ERR_INVALID, "--parameter needs NAME=VALUE, not \"%s\"", text);
    if (o->n_parameters == LOCAL_MAX_PARAMETERS)
        return err_set(e, ERR_INVALID, "no more than %d --parameter", LOCAL_MAX_PARAMETERS);
    o->parameters[o->n_parameters++] = (struct template_parameter){.name = slice_of(text, (size_t)(equals - text)),
                                                                   .value = slice_of_string(equals + 1)};
    return 0;
}

static int
read_bytes(const char *text, size_t *ret, struct err *e)
{
    char *end;
    long n = strtol(text, &end, 10);
    if (end == text || *end || n < 1024 || n > MAX_PUT_EVENTS_BYTES)
        return err_set(e, ERR_INVALID, "--put-events-bytes needs a number from 1024 to %d, not \"%s\"",
                       MAX_PUT_EVENTS_BYTES, text);
    *ret = (size_t)n;
    return 0;
}

static bool
is_region(const char *text)
{
    size_t n = text ? strlen(text) : 0;
    return n > 0 && n <= 40 && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

static int
check_who_may_ask(const struct local_command *o, struct err *e)
{
    const struct local_options *l = &o->local;
    bool keys = o->has_access_key || o->has_secret_key || l->session_token || l->credentials;
    if (l->no_auth && keys)
        return err_set(e, ERR_INVALID,
                       "--no-auth needs no keys: --access-key, --credentials and their like exclude it");
    if (l->no_auth && !o->no_auth_everybody && !local_is_loopback(l->listen))
        return err_set(e, ERR_INVALID,
                       "--no-auth lets whoever reaches %s read and delete everything: listen on 127.0.0.1, or say "
                       "--no-auth=everybody",
                       l->listen);
    if (l->credentials && !*l->credentials)
        return err_set(e, ERR_INVALID, "--credentials needs the name of a file");
    if (!o->has_access_key && l->credentials && (o->has_secret_key || l->session_token))
        return err_set(e, ERR_INVALID, "--secret-key and --session-token need their --access-key");
    if (l->session_token && (!*l->session_token || strpbrk(l->session_token, " \t\r\n")))
        return err_set(e, ERR_INVALID, "--session-token needs a token, without spaces");
    return 0;
}

static int
check(const struct local_command *o, struct err *e)
{
    const struct local_options *l = &o->local;
    if (o->memory && l->data)
        return err_set(e, ERR_INVALID, "--data and --memory exclude each other");
    if (l->data && !*l->data)
        return err_set(e, ERR_INVALID, "--data needs the name of a folder");
    if (o->no_provision && (o->template || o->n_parameters > 0))
        return err_set(e, ERR_INVALID, "--no-provision and --template or --parameter exclude each other");
    if (!*l->access_key_id || strlen(l->access_key_id) > 128 || strpbrk(l->access_key_id, " ,\t\n"))
        return err_set(e, ERR_INVALID, "--access-key needs 1 to 128 characters, without spaces and commas");
    if (!*l->secret_access_key || strlen(l->secret_access_key) > 128)
        return err_set(e, ERR_INVALID, "--secret-key needs 1 to 128 characters");
    if (check_who_may_ask(o, e) != 0)
        return e->code;
    if (strlen(l->account) != 12 || strspn(l->account, "0123456789") != 12)
        return err_set(e, ERR_INVALID, "--account needs 12 digits, not \"%s\"", l->account);
    if (!is_region(l->region))
        return err_set(e, ERR_INVALID, "--region needs a name like us-east-1, not \"%s\"", l->region);
    return 0;
}

int
local_command_parse(int argc, char **argv, struct local_command *o, struct err *e)
{
    enum {
        LISTEN = 1,
        DATA,
        MEMORY,
        TEMPLATE,
        PARAMETER,
        NO_PROVISION,
        CHECK,
        SALVAGE,
        ACCESS_KEY,
        SECRET_KEY,
        SESSION_TOKEN,
        CREDENTIALS,
        NO_AUTH,
        ADMIN_TOKEN_FILE,
        ACCOUNT,
        REGION,
        PUT_EVENTS_BYTES,
        LOG_LEVEL,
        HEALTH,
        VERSION,
        HELP_
    };
    static const struct option NAMES[] = {
        {"listen", required_argument, NULL, LISTEN},
        {"data", required_argument, NULL, DATA},
        {"memory", no_argument, NULL, MEMORY},
        {"template", required_argument, NULL, TEMPLATE},
        {"parameter", required_argument, NULL, PARAMETER},
        {"no-provision", no_argument, NULL, NO_PROVISION},
        {"check", no_argument, NULL, CHECK},
        {"salvage", no_argument, NULL, SALVAGE},
        {"access-key", required_argument, NULL, ACCESS_KEY},
        {"secret-key", required_argument, NULL, SECRET_KEY},
        {"session-token", required_argument, NULL, SESSION_TOKEN},
        {"credentials", required_argument, NULL, CREDENTIALS},
        {"no-auth", optional_argument, NULL, NO_AUTH},
        {"admin-token-file", required_argument, NULL, ADMIN_TOKEN_FILE},
        {"account", required_argument, NULL, ACCOUNT},
        {"region", required_argument, NULL, REGION},
        {"put-events-bytes", required_argument, NULL, PUT_EVENTS_BYTES},
        {"log-level", required_argument, NULL, LOG_LEVEL},
        {"health", no_argument, NULL, HEALTH},
        {"version", no_argument, NULL, VERSION},
        {"help", no_argument, NULL, HELP_},
        {NULL, 0, NULL, 0},
    };
    *o = (struct local_command){.local = {.listen = "127.0.0.1:4566",
                                          .access_key_id = "test",
                                          .secret_access_key = "test",
                                          .account = "000000000000",
                                          .region = "us-east-1",
                                          .put_events_bytes = 1048576},
                                .log_level = LOG_INFO};
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, "", NAMES, NULL)) != -1;) {
        const char *value = optarg ? optarg : "";
        switch (c) {
        case LISTEN:
            o->local.listen = value;
            break;
        case DATA:
            o->local.data = value;
            break;
        case MEMORY:
            o->memory = true;
            break;
        case TEMPLATE:
            o->template = value;
            break;
        case PARAMETER:
            if (add_parameter(o, value, e) != 0)
                return e->code;
            break;
        case NO_PROVISION:
            o->no_provision = true;
            break;
        case CHECK:
            o->local.check = true;
            break;
        case SALVAGE:
            o->local.salvage = true;
            break;
        case ACCESS_KEY:
            o->local.access_key_id = value;
            o->has_access_key = true;
            break;
        case SECRET_KEY:
            o->local.secret_access_key = value;
            o->has_secret_key = true;
            break;
        case SESSION_TOKEN:
            o->local.session_token = value;
            break;
        case CREDENTIALS:
            o->local.credentials = value;
            break;
        case NO_AUTH:
            if (*value && strcmp(value, "everybody") != 0)
                return err_set(e, ERR_INVALID, "there are --no-auth and --no-auth=everybody, not \"%s\"", value);
            o->local.no_auth = true;
            o->no_auth_everybody = *value != '\0';
            break;
        case ADMIN_TOKEN_FILE:
            if (local_read_token(value, o->admin_token, e) != 0)
                return e->code;
            o->local.admin_token = o->admin_token;
            break;
        case ACCOUNT:
            o->local.account = value;
            break;
        case REGION:
            o->local.region = value;
            break;
        case PUT_EVENTS_BYTES:
            if (read_bytes(value, &o->local.put_events_bytes, e) != 0)
                return e->code;
            break;
        case LOG_LEVEL:
            if (log_parse_level(value, &o->log_level) != 0)
                return err_set(e, ERR_INVALID, "--log-level is error, warn, info or debug, not \"%s\"", value);
            break;
        case HEALTH:
            o->health = true;
            break;
        case VERSION:
            puts("fanout-local " FANOUT_VERSION);
            return 1;
        case HELP_:
            fputs(HELP, stdout);
            return 1;
        default:
            return err_set(e, ERR_INVALID, "unknown option, or one that lacks its value: %s", argv[optind - 1]);
        }
    }
    if (optind < argc)
        return err_set(e, ERR_INVALID, "unexpected argument: %s", argv[optind]);
    int code = check(o, e);
    if (!code && !o->memory && !o->local.data && !o->health) {
        code = local_default_folder(o->data, sizeof o->data, e);
        o->local.data = o->data;
    }
    if (o->local.credentials && !o->has_access_key)
        o->local.access_key_id = o->local.secret_access_key = NULL;
    return code;
}
