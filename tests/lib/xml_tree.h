/* xml_tree: an XML document as a tree, read by expat, for tests that look at what a server wrote.
 *
 *     struct xml_tree t;
 *     assert_true(xml_tree_read(&t, body));
 *     xml_tree_text(&t, "SendMessageResult.MessageId");    // from below the root
 *     xml_tree_text(&t, "ReceiveMessageResult.Message.1.Body");    // of the second Message
 *     xml_tree_clean_up(&t); */
#ifndef FANOUT_TESTS_LIB_XML_TREE_H
#define FANOUT_TESTS_LIB_XML_TREE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/slice.h"

struct xml_node {
    const char *name;
    struct slice text; /* all of it that is directly within, put together */
    struct xml_node *parent, *first, *last, *next;
};

struct xml_tree {
    struct arena arena;
    struct xml_node *root; /* NULL: it is none */
    struct xml_node *at;   /* private */
};

/* False: the document is not well-formed. To be cleaned up in any case. */
bool xml_tree_read(struct xml_tree *t, struct slice document);
void xml_tree_clean_up(struct xml_tree *t);

/* The first child of that name, and the next sibling of the same name; NULL: none. */
const struct xml_node *xml_tree_child(const struct xml_node *n, const char *name);
const struct xml_node *xml_tree_next(const struct xml_node *n);

/* The node at a path from the root's children: names, each followed by the how manieth of the name if not the first
 * (from 0). NULL: there is none. And its text: NULL when there is no such. */
const struct xml_node *xml_tree_at(const struct xml_tree *t, const char *path);
const char *xml_tree_text(const struct xml_tree *t, const char *path);

/* How many children of that name the node at path has ("" is the root). */
size_t xml_tree_count(const struct xml_tree *t, const char *path, const char *name);

#endif
