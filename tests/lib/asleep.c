#include "lib/asleep.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ... PID (NAME) STATE ...; a name may have any characters in it. */
static bool
is_asleep(int tasks, const char *tid)
{
    char path[300], text[300];
    snprintf(path, sizeof path, "%s/stat", tid);
    int fd = openat(tasks, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return true;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0)
        return true;
    text[n] = '\0';
    const char *name_end = strrchr(text, ')');
    return name_end && name_end[1] == ' ' && strchr("SZXTtI", name_end[2]);
}

bool
asleep(pid_t pid)
{
    char path[60];
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *tasks = opendir(path);
    if (!tasks)
        return true;
    bool all = true;
    for (struct dirent *d; all && (d = readdir(tasks));)
        all = d->d_name[0] == '.' || is_asleep(dirfd(tasks), d->d_name);
    closedir(tasks);
    return all;
}
