#include "lib/xml_tree.h"

#include <ctype.h>
#include <expat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
begin(void *tree, const XML_Char *name, const XML_Char **attributes)
{
    struct xml_tree *t = tree;
    struct xml_node *n = arena_zalloc(&t->arena, sizeof *n);
    (void)attributes;
    if (!n)
        abort();
    n->name = arena_strdup(&t->arena, name);
    n->text = SLICE("");
    n->parent = t->at;
    if (!t->at)
        t->root = n;
    else if (t->at->last)
        t->at->last = t->at->last->next = n;
    else
        t->at->first = t->at->last = n;
    t->at = n;
}

static void
add_text(void *tree, const XML_Char *text, int n)
{
    struct xml_tree *t = tree;
    struct slice *to = &t->at->text;
    char *longer = arena_alloc(&t->arena, to->n + (size_t)n + 1);
    if (!longer)
        abort();
    memcpy(longer, to->p, to->n);
    memcpy(longer + to->n, text, (size_t)n);
    longer[to->n + (size_t)n] = '\0';
    *to = slice_of(longer, to->n + (size_t)n);
}

static void
end(void *tree, const XML_Char *name)
{
    struct xml_tree *t = tree;
    (void)name;
    t->at = t->at->parent;
}

bool
xml_tree_read(struct xml_tree *t, struct slice document)
{
    XML_Parser p = XML_ParserCreate("UTF-8");
    *t = (struct xml_tree){0};
    arena_init(&t->arena, 0);
    XML_SetUserData(p, t);
    XML_SetElementHandler(p, begin, end);
    XML_SetCharacterDataHandler(p, add_text);
    bool ok = document.n > 0 && XML_Parse(p, document.p, (int)document.n, 1) == XML_STATUS_OK;
    XML_ParserFree(p);
    if (!ok)
        t->root = NULL;
    return ok;
}

void
xml_tree_clean_up(struct xml_tree *t)
{
    arena_clean_up(&t->arena);
    t->root = NULL;
}

static const struct xml_node *
from(const struct xml_node *n, const char *name)
{
    while (n && strcmp(n->name, name) != 0)
        n = n->next;
    return n;
}

const struct xml_node *
xml_tree_child(const struct xml_node *n, const char *name)
{
    return n ? from(n->first, name) : NULL;
}

const struct xml_node *
xml_tree_next(const struct xml_node *n)
{
    return from(n->next, n->name);
}

const struct xml_node *
xml_tree_at(const struct xml_tree *t, const char *path)
{
    const struct xml_node *n = t->root;
    char segment[80];
    while (n && *path) {
        size_t length = strcspn(path, ".");
        snprintf(segment, sizeof segment, "%.*s", (int)length, path);
        path += length + (path[length] == '.');
        if (isdigit((unsigned char)*segment))
            for (int i = atoi(segment); n && i > 0; i--)
                n = xml_tree_next(n);
        else
            n = xml_tree_child(n, segment);
    }
    return n;
}

const char *
xml_tree_text(const struct xml_tree *t, const char *path)
{
    const struct xml_node *n = xml_tree_at(t, path);
    return n ? n->text.p : NULL;
}

size_t
xml_tree_count(const struct xml_tree *t, const char *path, const char *name)
{
    size_t count = 0;
    for (const struct xml_node *n = xml_tree_child(xml_tree_at(t, path), name); n; n = xml_tree_next(n))
        count++;
    return count;
}
