#include "worker/modules.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (INT64_C(1) << 32)

/* ---- what is mapped ---- */

static int
add(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    struct modules *m = context;
    if (m->count == MODULES_MAX)
        return 1;
    struct module *o = &m->module[m->count];
    *o = (struct module){.start = UINTPTR_MAX, .bias = info->dlpi_addr};
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type != PT_LOAD)
            continue;
        uintptr_t start = info->dlpi_addr + p->p_vaddr, end = start + p->p_memsz;
        o->start = start < o->start ? start : o->start;
        o->end = end > o->end ? end : o->end;
    }
    if (info->dlpi_name && *info->dlpi_name) {
        strncpy(o->path, info->dlpi_name, sizeof o->path - 1);
    } else { /* the program itself */
        ssize_t n = readlink("/proc/self/exe", o->path, sizeof o->path - 1);
        o->path[n > 0 ? n : 0] = '\0';
    }
    m->count += o->end > o->start;
    return 0;
}

void
modules_read(struct modules *m)
{
    m->count = 0;
    dl_iterate_phdr(add, m);
}

const struct module *
modules_find(const struct modules *m, uintptr_t address)
{
    for (size_t i = 0; i < m->count; i++)
        if (address >= m->module[i].start && address < m->module[i].end)
            return &m->module[i];
    return NULL;
}

/* ---- text, without the C library's help ---- */

struct text {
    char *p;
    size_t n, capacity; /* of capacity, one is the NUL's */
};

static void
put(struct text *t, const char *s, size_t n)
{
    for (size_t i = 0; i < n && t->n + 1 < t->capacity; i++)
        t->p[t->n++] = s[i];
    t->p[t->n] = '\0';
}

static void
put_string(struct text *t, const char *s)
{
    put(t, s, strlen(s));
}

static void
put_hex(struct text *t, uintptr_t value)
{
    char digits[2 * sizeof value];
    size_t at = sizeof digits;
    do
        digits[--at] = "0123456789abcdef"[value & 15];
    while (value >>= 4);
    put_string(t, "0x");
    put(t, digits + at, sizeof digits - at);
}

/* ---- a file's symbols ---- */

struct image {
    const unsigned char *p;
    size_t n;
};

/* n bytes at offset, or NULL: the file does not reach so far. */
static const void *
part(const struct image *f, uint64_t offset, uint64_t n)
{
    return offset <= f->n && n <= f->n - offset ? f->p + offset : NULL;
}

static bool
map_file(const char *path, struct image *ret)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return false;
    void *p = MAP_FAILED;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 && st.st_size <= FILE_MAX)
        p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (p == MAP_FAILED)
        return false;
    *ret = (struct image){.p = p, .n = (size_t)st.st_size};
    return true;
}

/* The header of section i, by value: a table need not be aligned in a file that is damaged. */
static bool
section(const struct image *f, const ElfW(Ehdr) * head, size_t i, ElfW(Shdr) * ret)
{
    const void *p = i < head->e_shnum ? part(f, head->e_shoff + i * sizeof *ret, sizeof *ret) : NULL;
    if (p)
        memcpy(ret, p, sizeof *ret);
    return p != NULL;
}

static bool
find_table(const struct image *f, const ElfW(Ehdr) * head, uint32_t type, ElfW(Shdr) * ret)
{
    for (size_t i = 0; section(f, head, i, ret); i++)
        if (ret->sh_type == type)
            return true;
    return false;
}

/* The function that `address` of the file belongs to, in one table; its name is written. */
static bool
name_in_table(const struct image *f, const ElfW(Ehdr) * head, const ElfW(Shdr) * table, uintptr_t address,
              struct text *ret_name, uintptr_t *ret_start)
{
    ElfW(Shdr) strings;
    ElfW(Sym) best = {0}, s;
    const unsigned char *symbols = part(f, table->sh_offset, table->sh_size);
    if (!symbols || !section(f, head, table->sh_link, &strings))
        return false;
    for (size_t i = 0; i < table->sh_size / sizeof s; i++) {
        memcpy(&s, symbols + i * sizeof s, sizeof s);
        bool function = ELF64_ST_TYPE(s.st_info) == STT_FUNC || ELF64_ST_TYPE(s.st_info) == STT_GNU_IFUNC;
        if (function && s.st_shndx != SHN_UNDEF && address >= s.st_value && address - s.st_value < s.st_size &&
            s.st_value >= best.st_value)
            best = s;
    }
    if (best.st_size == 0 || best.st_name >= strings.sh_size)
        return false;
    const char *name = part(f, strings.sh_offset + best.st_name, strings.sh_size - best.st_name);
    if (!name)
        return false;
    put(ret_name, name, strnlen(name, strings.sh_size - best.st_name));
    *ret_start = best.st_value;
    return true;
}

static bool
put_function(const struct module *o, uintptr_t address, uintptr_t looked_up, struct text *t)
{
    struct image f;
    ElfW(Ehdr) head;
    ElfW(Shdr) table;
    uintptr_t start;
    if (!map_file(o->path, &f))
        return false;
    const void *p = part(&f, 0, sizeof head);
    bool found = false;
    if (p) {
        memcpy(&head, p, sizeof head);
        if (memcmp(head.e_ident, ELFMAG, SELFMAG) == 0 && head.e_shentsize == sizeof table)
            found =
                (find_table(&f, &head, SHT_SYMTAB, &table) && name_in_table(&f, &head, &table, looked_up, t, &start)) ||
                (find_table(&f, &head, SHT_DYNSYM, &table) && name_in_table(&f, &head, &table, looked_up, t, &start));
    }
    if (found) {
        put_string(t, "+");
        put_hex(t, address - start);
    }
    munmap((void *)(uintptr_t)f.p, f.n);
    return found;
}

size_t
modules_describe(const struct modules *m, uintptr_t address, int is_return, char *ret_text, size_t capacity)
{
    struct text t = {.p = ret_text, .capacity = capacity};
    const struct module *o = modules_find(m, address - (is_return ? 1 : 0));
    if (!o) {
        put_hex(&t, address);
        return t.n;
    }
    uintptr_t in_file = address - o->bias;
    bool named = put_function(o, in_file, in_file - (is_return ? 1 : 0), &t);
    const char *slash = strrchr(o->path, '/');
    put_string(&t, named ? " (" : "");
    put_string(&t, slash ? slash + 1 : o->path);
    put_string(&t, "+");
    put_hex(&t, in_file);
    put_string(&t, named ? ")" : "");
    return t.n;
}
