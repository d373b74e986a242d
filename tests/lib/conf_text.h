/* conf_text: configurations as tests write them. */
#ifndef FANOUT_TESTS_LIB_CONF_TEXT_H
#define FANOUT_TESTS_LIB_CONF_TEXT_H

#include "config/conf.h"

#define CONF_TEXT_CONSUMER     "{ name = \"a\"; queue = \"q\"; plugin = \"p\"; }"
#define CONF_TEXT_HOW_TO_WRITE "write NAME = VALUE; NAME = { ... }; or NAME = ( ..., ... );"
#define CONF_TEXT_ONE          "consumers = ( " CONF_TEXT_CONSUMER " );\n"

/* Reads a configuration, called x.conf, that must be right. The caller destroys it. */
struct conf *conf_text_read(const char *text);

#endif
