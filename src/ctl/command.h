/* command: what every file of fanoutctl provides: one command each. */
#ifndef FANOUT_CTL_COMMAND_H
#define FANOUT_CTL_COMMAND_H

/* Exit codes of fanoutctl, for scripts. */
enum { CTL_OK = 0, CTL_FAILED = 1, CTL_USAGE = 2 };

/* Each takes its own arguments, argv[0] being the command's name, and returns an exit code. */
int ctl_send(int argc, char **argv);
int ctl_demo(int argc, char **argv);
int ctl_plugin(int argc, char **argv);
int ctl_pattern(int argc, char **argv);

#endif
