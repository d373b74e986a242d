/* admin_impl: the pages of /_fanout/, shared by admin.c (who may ask, which page), admin_stats.c, admin_reset.c and
 * admin_backup.c. */
#ifndef FANOUT_LOCAL_ADMIN_IMPL_H
#define FANOUT_LOCAL_ADMIN_IMPL_H

#include "local/local_impl.h"

/* A request that needs the writer. */
struct local_admin_job {
    struct store_job job;
    struct local *local;
    struct httpd_request *http;
    struct buf out;
};

void local_admin_answer(struct httpd_request *r, int status, struct slice json);
void local_admin_answer_error(struct httpd_request *r, int status, const char *text);

/* Has run called on the writer, and finish then. Without memory the request is answered so. */
void local_admin_submit(struct local *l, struct httpd_request *r,
                        int (*run)(struct store_tx *tx, struct store_job *job),
                        void (*finish)(struct store_job *job, const struct err *error));

void local_admin_stats(struct local *l, struct httpd_request *r);
void local_admin_reset(struct local *l, struct httpd_request *r);
void local_admin_backup(struct local *l, struct httpd_request *r);

#endif
