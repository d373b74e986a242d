/* profile: AWS's shared files, ~/.aws/config and ~/.aws/credentials, as the SDKs read them.
 *
 * INI with sections ([default], [profile NAME], [services NAME] in config; [NAME] in credentials), comments that begin
 * with # or ; (behind a value: after white space), and one level of nested settings, indented under "key =". Of a
 * setting written twice the last one counts; what is in credentials goes before config. Used for credentials, regions
 * and endpoints. */
#ifndef FANOUT_AWS_PROFILE_H
#define FANOUT_AWS_PROFILE_H

#include <stdbool.h>

#include "base/err.h"
#include "base/slice.h"

struct profile_paths {
    char *config, *credentials;
};

/* AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE, else ~/.aws/config and ~/.aws/credentials ("~" at the beginning is
 * HOME). Without HOME the second kind is left out (NULL). */
int profile_paths_init(struct profile_paths *p, struct err *e);
void profile_paths_clean_up(struct profile_paths *p);

/* The argument if it names one, else AWS_PROFILE, else "default". Borrowed. */
const char *profile_name(const char *argument);

struct profile_files;

/* Reads both files; one that does not exist counts as empty. ERR_INVALID names file, line and what is wrong;
 * ERR_DENIED, ERR_IO, ERR_LIMIT: a file that cannot be read, or is larger than 1 MiB. */
int profile_files_read(const struct profile_paths *paths, struct profile_files **ret_files, struct err *e);
void profile_files_destroy(struct profile_files *f); /* wipes; NULL is fine */

/* Parses texts instead, for tests and fuzzing; the names are for error messages. */
int profile_files_parse(struct slice config, const char *config_name, struct slice credentials,
                        const char *credentials_name, struct profile_files **ret_files, struct err *e);

enum profile_file { PROFILE_CREDENTIALS, PROFILE_CONFIG };

/* Whether the profile has a section in one of the files. */
bool profile_exists(const struct profile_files *f, const char *profile);

/* A setting of a profile, from the first file that has it (profile_get) or from that one file; NULL: none. An empty
 * value counts as none. */
const char *profile_get(const struct profile_files *f, const char *profile, const char *key);
const char *profile_get_from(const struct profile_files *f, enum profile_file which, const char *profile,
                             const char *key);

/* services = NAME in the profile, [services NAME] in config, and in it "service =" with the nested key. */
const char *profile_get_service(const struct profile_files *f, const char *profile, const char *service,
                                const char *key);

#endif
