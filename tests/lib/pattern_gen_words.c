#include "lib/pattern_gen_parts.h"

/* clang-format off */

/* Some that sort otherwise joined by dots than apart, and by UTF-16 units than by bytes. */
const char *const pattern_gen_names[] = {
    "a", "a", "a", "b", "b", "b", "c", "c", "c", "d", "d", "a.b", "b.c", "\xc3\xa9", "prefix", "a-", "\xee\x80\x80",
    "\xf0\x9f\x98\x80", NULL
};

/* With e acute, sharp s, the Kelvin sign, a character of two UTF-16 units, and addresses in several spellings. */
const char *const pattern_gen_strings[] = {
    "", "x", "X", "xy", "xyz", "xyxyz", "yx", "x*y", "x\\y", "*", "\"", "1", "null", "K", "k", "\xe2\x84\xaa",
    "\xc3\xa9t\xc3\xa9", "\xc3\x89T\xc3\x89", "stra\xc3\x9f" "e", "STRASSE", "strasse",
    "\xf0\x9f\x98\x80", "x\xf0\x9f\x98\x80y", "\xe7\xbb\x9f\xe6\xb2\xbb", "\xef\xbf\xbd",
    "10.0.0.1", "10.0.0.7", "010.0.0.1", "10.1.0.1", "300.0.0.1", "::1", "0:0:0:0:0:0:0:1", "2001:db8::1",
    "2001:DB8:0:0::1", "2001:db8::ff01", "::ffff:a00:1", "1::2::3", NULL
};

const char *const pattern_gen_numbers[] = {
    "0", "0", "-0", "0.0", "0e5", "1", "1.0", "1e0", "10e-1", "0.1E1", "100e-2", "5", "5.0", "-1", "-1.0", "0.1", "1e-1",
    "100", "1e2", "1E+2", "300", "3e2", "5000000001", "123456789012", "0.30000000000000004", "1e23", "4.35",
    "9007199254740992", NULL
};

/* What a double does not hold as it is written. */
const char *const pattern_gen_odd_numbers[] = {
    "0.10000000000000001", "300.000000000000001", "9007199254740993", "1e400", "1E400", "-1e400", "1e-400", NULL
};

const char *const pattern_gen_words[] = {"true", "false", "null", NULL};

const char *const pattern_gen_refused[] = {
    "", "{}", "[]", "1,[2]", "{\"prefix\":1}", "{\"prefix\":null}", "{\"prefix\":{}}",
    "{\"prefix\":{\"prefix\":\"x\"}}", "{\"prefix\":{\"equals-ignore-case\":[]}}",
    "{\"prefix\":{\"equals-ignore-case\":\"x\",\"y\":1}}", "{\"prefix\":\"x\",\"suffix\":\"y\"}",
    "{\"suffix\":[\"x\"]}", "{\"suffix\":{}}", "{\"suffix\":{\"wildcard\":\"x\"}}",
    "{\"equals-ignore-case\":true}", "{\"equals-ignore-case\":\"x\",\"y\":\"z\"}", "{\"wildcard\":{}}",
    "{\"wildcard\":\"a**b\"}", "{\"wildcard\":\"**\"}", "{\"wildcard\":\"a\\\\b\"}", "{\"wildcard\":\"a\\\\\"}",
    "{\"wildcard\":\"\\\\\\\\\\\\*\\\\x\"}", "{\"wildcard\":\"x\",\"y\":\"z\"}", "{\"exactly\":5}",
    "{\"exists\":1}", "{\"exists\":\"true\"}", "{\"exists\":true,\"exists\":false}", "{\"Prefix\":\"x\"}",
    "{\"numeric\":5}", "{\"numeric\":[]}", "{\"numeric\":[5]}", "{\"numeric\":[[]]}", "{\"numeric\":[{}]}",
    "{\"numeric\":[null]}", "{\"numeric\":[\"=\"]}", "{\"numeric\":[\"=\",\"5\"]}", "{\"numeric\":[\"=\",5,6]}",
    "{\"numeric\":[\"<\"]}", "{\"numeric\":[\"<\",5,\">\",3]}", "{\"numeric\":[\">\",5,\">\",6]}",
    "{\"numeric\":[\">\",5,6]}", "{\"numeric\":[\">\",5,\"<\"]}", "{\"numeric\":[\">\",5,\"<=\",\"6\"]}",
    "{\"numeric\":[\">\",5,\"<=\",6,7]}", "{\"numeric\":[\">\",5,\"<\",5]}", "{\"numeric\":[\">=\",5,\"<=\",4]}",
    "{\"numeric\":[\"==\",5]}", "{\"numeric\":[\"=\",1e400]}",
    "{\"numeric\":[\">\",1e400,\"<\",0.10000000000000001]}", "{\"numeric\":[\">\",1,\"<\",9007199254740993]}",
    "{\"numeric\":[\"=\",5],\"x\":1}", "{\"cidr\":1}", "{\"cidr\":\"10.0.0.1\"}", "{\"cidr\":\"10.0.0.0/8/8\"}",
    "{\"cidr\":\"10.0.0.0/x\"}", "{\"cidr\":\"10.0.0.0/\"}", "{\"cidr\":\"10.0.0.0/-1\"}",
    "{\"cidr\":\"10.0.0.0/32\"}", "{\"cidr\":\"10.0.0.0/99999999999\"}", "{\"cidr\":\"::/128\"}",
    "{\"cidr\":\"300.0.0.0/8\"}", "{\"cidr\":\"1:2:3/8\"}", "{\"cidr\":\"x/8\"}", "{\"cidr\":\"10.0.0/8\"}",
    "{\"cidr\":\"10.0.0.0/8\",\"x\":1}", "{\"anything-but\":null}", "{\"anything-but\":true}",
    "{\"anything-but\":[]}", "{\"anything-but\":[true]}", "{\"anything-but\":[null]}",
    "{\"anything-but\":[[\"x\"]]}", "{\"anything-but\":[{\"prefix\":\"x\"}]}", "{\"anything-but\":[1,\"x\"]}",
    "{\"anything-but\":1e400}", "{\"anything-but\":[1,1e400]}", "{\"anything-but\":{}}",
    "{\"anything-but\":{\"numeric\":[\"=\",1]}}", "{\"anything-but\":{\"prefix\":\"\"}}",
    "{\"anything-but\":{\"prefix\":1}}", "{\"anything-but\":{\"prefix\":[\"x\",\"\"]}}",
    "{\"anything-but\":{\"suffix\":\"\"}}", "{\"anything-but\":{\"suffix\":[1]}}",
    "{\"anything-but\":{\"suffix\":{\"equals-ignore-case\":\"x\"}}}",
    "{\"anything-but\":{\"equals-ignore-case\":1}}", "{\"anything-but\":{\"equals-ignore-case\":[\"x\",1]}}",
    "{\"anything-but\":{\"wildcard\":1}}", "{\"anything-but\":{\"wildcard\":[1]}}",
    "{\"anything-but\":{\"wildcard\":\"a**\"}}", "{\"anything-but\":{\"prefix\":\"x\",\"suffix\":\"y\"}}",
    "{\"anything-but\":{\"prefix\":\"x\"},\"y\":1}", "{\"anything-but\":\"x\",\"y\":1}", NULL
};
