/* The calls about buckets. */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "local/s3_impl.h"

#define NAMESPACE "http://s3.amazonaws.com/doc/2006-03-01/"
#define PROLOG    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"

/* Four numbers between dots. */
static bool
is_ip_address(struct slice name)
{
    size_t dots = 0, digits = 0;
    for (size_t i = 0; i < name.n; i++) {
        bool dot = name.p[i] == '.';
        if (!dot && (name.p[i] < '0' || name.p[i] > '9'))
            return false;
        dots += dot;
        digits = dot ? 0 : digits + 1;
        if (digits > 3)
            return false;
    }
    return dots == 3;
}

/* What AWS keeps for itself. */
static bool
is_reserved(struct slice name)
{
    static const char *const BEGINNINGS[] = {"xn--", "sthree-", "amzn-s3-demo-"};
    static const char *const ENDS[] = {"-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"};
    for (size_t i = 0; i < sizeof BEGINNINGS / sizeof *BEGINNINGS; i++)
        if (slice_starts_with(name, slice_of_string(BEGINNINGS[i])))
            return true;
    for (size_t i = 0; i < sizeof ENDS / sizeof *ENDS; i++) {
        size_t n = strlen(ENDS[i]);
        if (name.n > n && memcmp(name.p + name.n - n, ENDS[i], n) == 0)
            return true;
    }
    return false;
}

/* AWS's rules for general purpose buckets. */
static bool
is_bucket_name(struct slice name)
{
    if (name.n < 3 || name.n > 63 || is_ip_address(name) || is_reserved(name))
        return false;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!letter && (i == 0 || i == name.n - 1 || (c != '-' && c != '.') || (c == '.' && name.p[i - 1] == '.')))
            return false;
    }
    return true;
}

static int
create(struct store_tx *tx, struct slice bucket)
{
    sqlite3_stmt *q = store_prepare(tx, "INSERT INTO s3_buckets (name, created_ms) VALUES (?1, ?2)");
    if (q) {
        store_bind_text(q, 1, bucket);
        store_bind_int(q, 2, store_now_ms(tx));
    }
    return store_run(tx, q);
}

int
local_s3_ensure_bucket(struct local_s3 *s, struct store_tx *tx, struct slice bucket, struct err *e)
{
    int64_t id;
    (void)s;
    if (!is_bucket_name(bucket))
        return err_set(
            e, ERR_INVALID,
            "\"%.*s\" is no bucket name: 3 to 63 of a-z, 0-9, '-' and '.', a letter or digit at both ends, no IP "
            "address, and no beginning or end that AWS reserves",
            SLICE_ARG(bucket));
    int rc = local_s3_find_bucket(tx, bucket, &id);
    return rc == ERR_NOT_FOUND ? create(tx, bucket) : rc;
}

static int
create_work(struct store_tx *tx, struct s3_call *c)
{
    int64_t id;
    int rc = local_s3_find_bucket(tx, c->bucket, &id);
    if (rc == 0 && strcmp(local_region(c->s3->local), "us-east-1") != 0)
        return local_s3_refuse(c, 409, "BucketAlreadyOwnedByYou",
                               "Your previous request to create the named bucket succeeded and you already own it.");
    if (rc == ERR_NOT_FOUND)
        rc = create(tx, c->bucket);
    local_s3_header(c, "Location", arena_format(&c->call->arena, "/%.*s", SLICE_ARG(c->bucket)));
    return rc;
}

static void
create_bucket(struct s3_call *c)
{
    if (is_bucket_name(c->bucket)) {
        local_s3_run(c, create_work);
    } else {
        local_s3_refuse(c, 400, "InvalidBucketName", "The specified bucket is not valid.");
        local_s3_finish(c);
    }
}

static int
delete_work(struct store_tx *tx, struct s3_call *c)
{
    int64_t id;
    int rc = local_s3_find_bucket(tx, c->bucket, &id);
    if (rc != 0)
        return rc == ERR_NOT_FOUND ? local_s3_refuse_no_bucket(c) : rc;
    sqlite3_stmt *q = store_prepare(tx, "SELECT 1 FROM s3_objects WHERE bucket = ?1 LIMIT 1");
    if (q)
        store_bind_int(q, 1, id);
    if ((rc = store_step(tx, q)) < 0)
        return rc;
    if (rc == 1) {
        store_reset(q);
        return local_s3_refuse(c, 409, "BucketNotEmpty", "The bucket you tried to delete is not empty");
    }
    q = store_prepare(tx, "DELETE FROM s3_buckets WHERE id = ?1");
    if (q)
        store_bind_int(q, 1, id);
    c->status = 204;
    return store_run(tx, q);
}

static void
delete_bucket(struct s3_call *c)
{
    local_s3_run(c, delete_work);
}

static int
head_work(struct store_tx *tx, struct s3_call *c)
{
    int64_t id;
    int rc = local_s3_find_bucket(tx, c->bucket, &id);
    if (rc == ERR_NOT_FOUND)
        return local_s3_refuse_no_bucket(c);
    local_s3_header(c, "x-amz-bucket-region", local_region(c->s3->local));
    return rc;
}

static void
head_bucket(struct s3_call *c)
{
    local_s3_run(c, head_work);
}

static int
location_work(struct store_tx *tx, struct s3_call *c)
{
    int64_t id;
    int rc = local_s3_find_bucket(tx, c->bucket, &id);
    if (rc != 0)
        return rc == ERR_NOT_FOUND ? local_s3_refuse_no_bucket(c) : rc;
    const char *region = local_region(c->s3->local);
    buf_add_format(&c->body, PROLOG "<LocationConstraint xmlns=\"" NAMESPACE "\">%s</LocationConstraint>",
                   strcmp(region, "us-east-1") == 0 ? "" : region);
    return 0;
}

static void
get_bucket_location(struct s3_call *c)
{
    local_s3_run(c, location_work);
}

static int
list_work(struct store_tx *tx, struct s3_call *c)
{
    const char *account = local_account(c->s3->local);
    buf_add_format(&c->body,
                   PROLOG "<ListAllMyBucketsResult xmlns=\"" NAMESPACE "\"><Owner><ID>%s</ID></Owner><Buckets>",
                   account);
    sqlite3_stmt *q = store_prepare(tx, "SELECT name, created_ms FROM s3_buckets ORDER BY name");
    int rc;
    while ((rc = store_step(tx, q)) == 1) {
        char created[CLOCK_ISO8601_BYTES];
        clock_format_ms(store_wall_ms(tx, sqlite3_column_int64(q, 1)), created);
        buf_add_string(&c->body, "<Bucket><Name>");
        local_s3_xml_text(&c->body, store_column(q, 0));
        buf_add_format(&c->body, "</Name><CreationDate>%s</CreationDate></Bucket>", created);
    }
    buf_add_string(&c->body, "</Buckets></ListAllMyBucketsResult>");
    return rc;
}

static void
list_buckets(struct s3_call *c)
{
    local_s3_run(c, list_work);
}

const struct s3_operation S3_BUCKET_OPERATIONS[] = {
    {"CreateBucket", create_bucket}, {"DeleteBucket", delete_bucket},
    {"HeadBucket", head_bucket},     {"GetBucketLocation", get_bucket_location},
    {"ListBuckets", list_buckets},   {NULL, NULL},
};
