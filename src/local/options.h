/* options: the command line of fanout-local. */
#ifndef FANOUT_LOCAL_OPTIONS_H
#define FANOUT_LOCAL_OPTIONS_H

#include <limits.h>

#include "base/log.h"
#include "local/local.h"
#include "local/provision.h"

#define LOCAL_MAX_PARAMETERS  64
#define LOCAL_ADMIN_TOKEN_MAX 256

struct local_command {
    struct local_options local;
    bool memory, no_provision, health;
    bool no_auth_everybody;
    bool has_access_key, has_secret_key;
    enum log_level log_level;
    char data[PATH_MAX]; /* the default folder */
    const char *template;
    char admin_token[LOCAL_ADMIN_TOKEN_MAX + 2];
    char template_path[PATH_MAX]; /* the default template */
    struct template_parameter parameters[LOCAL_MAX_PARAMETERS];
    size_t n_parameters;
};

/* 0: to be run. 1: nothing is left to do (--help, --version). ERR_INVALID names the option; other errors are of the
 * token's file. What *ret points to is argv's, or lies in it. */
int local_command_parse(int argc, char **argv, struct local_command *ret, struct err *e);

/* Where a server keeps its data when nobody says where. ERR_INVALID: there is no home folder. */
int local_default_folder(char *out, size_t size, struct err *e);

/* The token in a file: its first line. ERR_INVALID: it has none, or one that is too long. */
int local_read_token(const char *path, char out[LOCAL_ADMIN_TOKEN_MAX + 2], struct err *e);

/* Can only this machine reach that address? */
bool local_is_loopback(const char *listen);

#endif
