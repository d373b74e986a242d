/* fanoutctl pattern test: grep for events, by an event pattern. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "ctl/command.h"
#include "ctl/lines.h"
#include "event/envelope.h"
#include "event/pattern.h"

/* grep's. */
enum { MATCHED = 0, NOT_MATCHED = 1, TROUBLE = 2 };

/* What a bus alone knows of an event that is yet to be published. */
#define ENTRY_ID      "00000000-0000-0000-0000-000000000000"
#define ENTRY_ACCOUNT "000000000000"
#define ENTRY_REGION  "us-east-1"

struct options {
    const char *pattern, *pattern_file, *file;
    bool entries, invert, count, quiet, explain;
};

struct test {
    struct options options;
    struct event_pattern *pattern;
    struct lines lines;
    struct buf envelope; /* made of an entry */
    size_t selected;
    bool trouble;
};

__attribute__((format(printf, 1, 2))) static int
complain(const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    fputs("fanoutctl pattern test: ", stderr);
    vfprintf(stderr, format, ap);
    fputc('\n', stderr);
    va_end(ap);
    return TROUBLE;
}

/* ---- the pattern --------------------------------------------------------------------------------------------------
 */

#define READ_BYTES 4096

static int
read_file(const char *name, struct buf *text)
{
    FILE *file = fopen(name, "re");
    size_t n = 1;
    while (file && n > 0 && text->len <= EVENT_PATTERN_MAX_BYTES && buf_reserve(text, READ_BYTES)) {
        n = fread(text->data + text->len, 1, READ_BYTES, file);
        text->len += n;
    }
    int failed = !file || ferror(file) ? errno : 0;
    if (file)
        fclose(file);
    return failed == 0 ? 0 : complain("cannot read the pattern from %s: %s", name, strerror(failed));
}

/* Where the error says it is: of what is no JSON at the start, of all else at the end, behind what may quote the
 * pattern. */
static bool
read_place(const char *error, size_t *ret_line, size_t *ret_column)
{
    const char *place = NULL;
    if (sscanf(error, "Event pattern is not valid. Reason: JSON, line %zu, column %zu", ret_line, ret_column) == 2)
        return true;
    for (const char *at = error; (at = strstr(at, " at [line: ")) != NULL; at++)
        place = at;
    return place && sscanf(place, " at [line: %zu, column: %zu]", ret_line, ret_column) == 2;
}

/* The line that the error names, and a mark under the place. */
static void
show_place(struct slice text, const char *error)
{
    size_t line, column;
    if (!read_place(error, &line, &column))
        return;
    const char *from = text.p, *end = text.p + text.n;
    for (; line > 1 && from < end; line--) {
        const char *next = memchr(from, '\n', (size_t)(end - from));
        from = next ? next + 1 : end;
    }
    const char *stop = from < end ? memchr(from, '\n', (size_t)(end - from)) : NULL;
    fprintf(stderr, "  %.*s\n  ", (int)((stop ? stop : end) - from), from);
    for (const char *at = from; column > 1 && at < end; at++) {
        if (((unsigned char)*at & 0xc0) == 0x80) /* columns are characters */
            continue;
        fputc(*at == '\t' ? '\t' : ' ', stderr);
        column--;
    }
    fputs("^\n", stderr);
}

static int
compile(struct test *t)
{
    struct buf text = BUF_INIT;
    struct err e = {0};
    int code = MATCHED;
    if (t->options.pattern)
        buf_add_string(&text, t->options.pattern);
    else
        code = read_file(t->options.pattern_file, &text);
    if (code == MATCHED && event_pattern_compile(buf_slice(&text), &t->pattern, &e) != 0) {
        code = complain("%s", e.text);
        show_place(buf_slice(&text), e.text);
    }
    buf_clean_up(&text);
    return code;
}

/* ---- events -------------------------------------------------------------------------------------------------------
 */

/* The event that the entry in this line would become. */
static int
read_entry(struct test *t, struct slice line, struct json *ret_event, struct err *e)
{
    struct entry *entry;
    int rc = entry_parse(line, t->lines.number, NULL, &entry, e);
    if (rc != 0)
        return rc;
    const struct events_entry *from = &entry->event;
    const struct event_fields fields = {
        .id = SLICE(ENTRY_ID),
        .detail_type = from->detail_type,
        .source = from->source,
        .account = SLICE(ENTRY_ACCOUNT),
        .time_ms = from->time_ms ? from->time_ms : clock_wall_ms(),
        .region = SLICE(ENTRY_REGION),
        .resources = from->resources,
        .n_resources = from->n_resources,
        .detail = from->detail,
    };
    buf_reset(&t->envelope);
    event_envelope_write(&t->envelope, &fields);
    entry_destroy(entry);
    return buf_failed(&t->envelope) ? err_no_memory(e) : json_parse(buf_slice(&t->envelope), ret_event, e);
}

static bool
looks_like_an_entry(struct json event)
{
    struct json field;
    return json_get(event, "DetailType", &field) && json_get(event, "Source", &field) &&
           !json_get(event, "detail-type", &field);
}

static int
read_event(struct test *t, struct slice line, struct json *ret_event, struct err *e)
{
    if (t->options.entries)
        return read_entry(t, line, ret_event, e);
    int rc = json_parse(line, ret_event, e);
    if (rc == 0 && ret_event->type != JSON_OBJECT)
        rc = err_set(e, ERR_INVALID, "an event is a JSON object");
    if (rc == 0 && looks_like_an_entry(*ret_event))
        rc = err_set(e, ERR_INVALID, "this is a PutEvents entry and no event; --entries takes those");
    return rc;
}

static void
explain(struct test *t, struct json event)
{
    struct buf why = BUF_INIT;
    struct err e = {0};
    if (event_pattern_explain(t->pattern, event, &why, &e) != 0 || buf_failed(&why)) {
        complain("out of memory");
        t->trouble = true;
    } else {
        for (const char *at = why.data; at && *at;) {
            size_t n = strcspn(at, "\n");
            fprintf(stderr, "%s:%zu: %.*s\n", t->lines.name, t->lines.number, (int)n, at);
            at += n + (at[n] == '\n');
        }
    }
    buf_clean_up(&why);
}

static void
take(struct test *t, struct slice line)
{
    struct json event;
    struct err e = {0};
    if (read_event(t, line, &event, &e) != 0) {
        lines_name_bad(&t->lines, e.text);
        return;
    }
    enum event_answer answer = event_pattern_ask(t->pattern, event);
    if (answer == EVENT_UNDECIDED) {
        lines_name_bad(&t->lines, "cannot be decided in time: the event spells the way to its arrays in too many ways");
        return;
    }
    bool matches = answer == EVENT_MATCH;
    if (!matches && t->options.explain)
        explain(t, event);
    if (matches == t->options.invert)
        return;
    t->selected++;
    if (!t->options.count && !t->options.quiet) {
        fwrite(line.p, 1, line.n, stdout);
        putchar('\n');
    }
}

static int
take_all(struct test *t)
{
    struct err e = {0};
    enum lines_outcome got = LINES_ENTRY;
    struct slice line;
    if (lines_open(&t->lines, t->options.file, NULL, &e) != 0)
        return complain("%s", e.text);
    while (got != LINES_END && !(t->options.quiet && t->selected > 0)) {
        got = lines_try_text(&t->lines, &line);
        if (got == LINES_ENTRY) {
            take(t, line);
        } else if (got == LINES_WAIT) {
            fflush(stdout);
            lines_wait(&t->lines);
        }
    }
    if (t->options.quiet && t->selected > 0)
        return MATCHED;
    if (t->options.count && !t->options.quiet)
        printf("%zu\n", t->selected);
    if (lines_check(&t->lines, &e) != 0)
        return complain("%s", e.text);
    if (fflush(stdout) != 0 || ferror(stdout))
        return complain("cannot write standard output: %s", strerror(errno));
    return t->lines.bad > 0 || t->trouble ? TROUBLE : t->selected > 0 ? MATCHED : NOT_MATCHED;
}

/* ---- the command --------------------------------------------------------------------------------------------------
 */

static void
print_help(void)
{
    puts(
        "usage: fanoutctl pattern test --pattern PATTERN|--pattern-file FILE [OPTION...] [EVENTS]\n"
        "\n"
        "Prints the events that an EventBridge event pattern matches, as grep prints lines. EVENTS, or standard "
        "input,\n"
        "holds one event a line, as rules deliver them and raw-events/ keeps them:\n"
        "  {\"version\":\"0\",\"id\":\"...\",\"detail-type\":\"...\",\"source\":\"...\",...,\"detail\":{...}}\n"
        "Any JSON object will do: fields the pattern does not name need not be there. A bad line is named with its\n"
        "number and reason, and the rest goes on.\n"
        "\n"
        "  --pattern PATTERN    '{\"source\":[\"orders\"]}'\n"
        "  --pattern-file FILE  the pattern from a file\n"
        "  --entries            EVENTS holds PutEvents entries, as fanoutctl send takes them; each is matched as the\n"
        "                       event it would become (id, account and region, which a bus gives, are zeros and\n"
        "                       us-east-1) and printed as it stands\n"
        "  -v, --invert         print the events that do not match\n"
        "  -c, --count          print how many, not which\n"
        "  -q, --quiet          print nothing, and end at the first: for the exit status\n"
        "  --explain            say on standard error why an event does not match: NAME:LINE: FIELD: what was wanted,\n"
        "                       what is there\n"
        "\n"
        "Exit status: 0 an event was printed (or counted), 1 none was, 2 the pattern or a line is bad, or it could "
        "not\n"
        "be read.");
}

static int
test(struct options options)
{
    struct test t = {.options = options};
    if (!options.pattern == !options.pattern_file)
        return complain("give the pattern by --pattern or by --pattern-file; fanoutctl pattern --help describes both");
    signal(SIGPIPE, SIG_DFL); /* as any filter: when nobody reads on, it ends */
    int code = compile(&t);
    if (code == MATCHED)
        code = take_all(&t);
    lines_close(&t.lines);
    event_pattern_destroy(t.pattern);
    buf_clean_up(&t.envelope);
    return code;
}

int
ctl_pattern(int argc, char **argv)
{
    static const struct option OPTIONS[] = {
        {"pattern", required_argument, NULL, 'p'},
        {"pattern-file", required_argument, NULL, 'f'},
        {"entries", no_argument, NULL, 'E'},
        {"invert", no_argument, NULL, 'v'},
        {"count", no_argument, NULL, 'c'},
        {"quiet", no_argument, NULL, 'q'},
        {"explain", no_argument, NULL, 'e'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct options options = {.file = "-"};
    int option;
    while ((option = getopt_long(argc, argv, "vcqh", OPTIONS, NULL)) != -1) {
        switch (option) {
        case 'p':
            options.pattern = optarg;
            break;
        case 'f':
            options.pattern_file = optarg;
            break;
        case 'E':
            options.entries = true;
            break;
        case 'v':
            options.invert = true;
            break;
        case 'c':
            options.count = true;
            break;
        case 'q':
            options.quiet = true;
            break;
        case 'e':
            options.explain = true;
            break;
        case 'h':
            print_help();
            return CTL_OK;
        default:
            fprintf(stderr, "fanoutctl pattern --help lists the options\n");
            return CTL_USAGE;
        }
    }
    if (optind == argc || strcmp(argv[optind++], "test") != 0) {
        fprintf(stderr, "usage: fanoutctl pattern test [OPTION...]; fanoutctl pattern --help describes it\n");
        return CTL_USAGE;
    }
    if (optind < argc)
        options.file = argv[optind++];
    if (optind < argc) {
        fprintf(stderr, "fanoutctl pattern test: one file at a time, \"%s\" is too much\n", argv[optind]);
        return CTL_USAGE;
    }
    return test(options);
}
