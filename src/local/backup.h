/* backup: `fanout-local backup FILE`, a copy of the database of a server that runs, or of one that does not.
 *
 * A running server writes the copy (admin_backup.c) into an empty file that this makes beside FILE; this makes it
 * durable and gives it its name, which nothing has that is not complete. */
#ifndef FANOUT_LOCAL_BACKUP_H
#define FANOUT_LOCAL_BACKUP_H

#define LOCAL_BACKUP_SUFFIX ".fanout-backup" /* of the file until it is complete */

/* argv[0] is "backup". Prints what was made on standard output, or why nothing was on standard error. Returns the exit
 * status: 0, 1, or 2 for a command line that cannot be. */
int local_backup_main(int argc, char **argv);

#endif
