#include "worker/load.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ipc/channel.h"

int
load_conf(struct load *l, const char *consumer, struct err *e)
{
    struct stat st;
    if (fstat(IPC_FD_CONFIG, &st) != 0)
        return err_set_errno(e, errno, "the configuration on descriptor %d", IPC_FD_CONFIG);
    if (st.st_size == 0)
        return err_set(e, ERR_INVALID, "the configuration on descriptor %d is empty", IPC_FD_CONFIG);
    void *text = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, IPC_FD_CONFIG, 0);
    if (text == MAP_FAILED)
        return err_set_errno(e, errno, "the configuration on descriptor %d", IPC_FD_CONFIG);
    int rc = conf_read_text("configuration", slice_of(text, (size_t)st.st_size), &l->conf, NULL, e);
    munmap(text, (size_t)st.st_size);
    close(IPC_FD_CONFIG);
    if (rc != 0)
        return rc;
    for (size_t i = 0; i < l->conf->n_consumers; i++)
        if (strcmp(l->conf->consumers[i].name, consumer) == 0)
            l->consumer = &l->conf->consumers[i];
    if (!l->consumer)
        return err_set(e, ERR_INVALID, "the configuration has no consumer \"%s\"", consumer);
    return 0;
}

int
load_filter(struct load *l, struct err *e)
{
    const char *filter = l->consumer->filter;
    if (!filter[0])
        return 0;
    int rc = event_pattern_compile(slice_of_string(filter), &l->filter, e);
    if (rc == ERR_LIMIT)
        rc = e->code = ERR_INVALID;
    return rc == 0 ? 0 : err_prefix(e, rc, "consumer \"%s\": filter", l->consumer->name);
}

/* lib/fanoutd/plugins beside libexec/fanoutd/fanout-worker, in the build folder as where it is installed. */
static int
plugin_folder(const struct conf *conf, char *out, size_t capacity, struct err *e)
{
    if (conf->plugin_dir[0])
        return snprintf(out, capacity, "%s", conf->plugin_dir) < (int)capacity
                   ? 0
                   : err_set(e, ERR_LIMIT, "plugin_dir is too long");
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n < 0)
        return err_set_errno(e, errno, "/proc/self/exe");
    self[n] = '\0';
    for (int i = 0; i < 3 && strrchr(self, '/'); i++) /* the program, fanoutd, libexec */
        *strrchr(self, '/') = '\0';
    if (snprintf(out, capacity, "%s/lib/fanoutd/plugins", self) >= (int)capacity)
        return err_set(e, ERR_LIMIT, "%s: the path of the plugins is too long", self);
    return 0;
}

int
load_plugin(struct load *l, struct err *e)
{
    char folder[PATH_MAX], path[PATH_MAX];
    assert(l->conf && l->consumer);
    int rc = plugin_folder(l->conf, folder, sizeof folder, e);
    if (rc == 0)
        rc = plugin_resolve(l->consumer->plugin, folder, path, sizeof path, e);
    if (rc == 0)
        rc = plugin_load(path, &l->plugin, e);
    if (rc != 0)
        return rc;
    snprintf(l->handler, sizeof l->handler, "%s %s", l->plugin->table.name, l->plugin->table.version);

    size_t n = l->consumer->n_options;
    struct plugin_option *options = calloc(n + 1, sizeof *options);
    if (!options)
        return err_no_memory(e);
    for (size_t i = 0; i < n; i++)
        options[i] =
            (struct plugin_option){.name = l->consumer->options[i].name, .value = l->consumer->options[i].value};
    rc = plugin_set_options(l->plugin, options, n, e);
    free(options);
    return rc;
}

void
load_clean_up(struct load *l)
{
    plugin_destroy(l->plugin);
    event_pattern_destroy(l->filter);
    conf_destroy(l->conf);
}
