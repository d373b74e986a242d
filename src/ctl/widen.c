#include "ctl/widen.h"

#include <errno.h>
#include <stdio.h>

#include "base/json.h"

#define EVERY_SOURCE "{ \"source\": [ { \"prefix\": \"\" } ] }"

int
widen_template(struct slice text, struct buf *out, struct err *e)
{
    struct json template, resources, type, pattern;
    int rc = json_parse(text, &template, e);
    if (rc != 0)
        return rc;
    const char *at = text.p;
    if (json_get(template, "Resources", &resources)) {
        for (struct json_iter it = json_iter(resources); json_next(&it);) {
            if (!json_get(it.value, "Type", &type) || !json_equals_string(type, SLICE("AWS::Events::Rule")) ||
                !json_get_path(it.value, &pattern, "Properties", "EventPattern", NULL))
                continue;
            buf_add(out, at, (size_t)(pattern.text.p - at));
            buf_add_string(out, EVERY_SOURCE);
            at = pattern.text.p + pattern.text.n;
        }
    }
    if (at == text.p)
        return err_set(e, ERR_INVALID, "there is no AWS::Events::Rule with an EventPattern in it");
    buf_add(out, at, (size_t)(text.p + text.n - at));
    return buf_failed(out) ? err_no_memory(e) : 0;
}

static int
read_file(const char *path, struct buf *text, struct err *e)
{
    char piece[65536];
    size_t n;
    FILE *f = fopen(path, "re");
    if (!f)
        return err_set_errno(e, errno, "cannot open %s", path);
    while ((n = fread(piece, 1, sizeof piece, f)) > 0)
        buf_add(text, piece, n);
    int rc = ferror(f) ? err_set_errno(e, errno, "cannot read %s", path) : 0;
    fclose(f);
    return rc == 0 && buf_failed(text) ? err_no_memory(e) : rc;
}

static int
write_file(const char *path, const struct buf *text, struct err *e)
{
    FILE *f = fopen(path, "wxe");
    if (!f)
        return err_set_errno(e, errno, "cannot write %s", path);
    bool written = fwrite(text->data, 1, text->len, f) == text->len;
    if (fclose(f) != 0 || !written)
        return err_set_errno(e, errno, "cannot write %s", path);
    return 0;
}

int
widen_file(const char *from, const char *to, struct err *e)
{
    struct buf text = BUF_INIT, wide = BUF_INIT;
    int rc = read_file(from, &text, e);
    if (rc == 0 && (rc = widen_template(buf_slice(&text), &wide, e)) != 0)
        err_prefix(e, rc, "%s", from);
    if (rc == 0)
        rc = write_file(to, &wide, e);
    buf_clean_up(&text);
    buf_clean_up(&wide);
    return rc;
}
