/* s3_server: a fanout-local whose S3 is tried, one for a group of tests, with a bucket for each of them. */
#ifndef FANOUT_TESTS_LIB_S3_SERVER_H
#define FANOUT_TESTS_LIB_S3_SERVER_H

#include "lib/proc.h"
#include "lib/s3_call.h"

#define HELLO_MD5    "\"5d41402abc4b2a76b9719d911017c592\""
#define HELLO_CRC32  "NhCmhg=="
#define HEADERS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define REQUEST(...) (&(struct s3_request){__VA_ARGS__})

extern struct proc *s3_server;
extern char s3_server_url[100];
extern unsigned s3_server_buckets; /* made so far: the newest is bucket-N */

/* Of a group of tests: a server that keeps nothing. */
int s3_server_start(void **state);
int s3_server_stop(void **state);

/* Starts s3_server with these arguments. */
void s3_server_spawn(const char *const *argv);

/* A path in a bucket of the test's own, which is made for suffix "". */
const char *s3_server_path(const char *suffix);

/* The status. */
int s3_server_call(const struct s3_request *r);

/* At the path of suffix. */
void s3_server_put(const char *suffix, struct slice body);
void s3_server_assert_body(const char *suffix, struct slice body);

void s3_server_assert_error(const struct s3_request *r, int status, const char *code);
void s3_server_assert_header(const struct s3_answer *a, const char *name, const char *value);

#endif
