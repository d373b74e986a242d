# Builds handler plugins for fanoutd, outside its tree. With orders.c in the current folder:
#
#   make -f /usr/local/lib/fanoutd/plugin.mk orders.so
#
# builds orders.so from it (C++20 from orders.cc or orders.cpp). CPPFLAGS, CFLAGS, CXXFLAGS, LDFLAGS and LDLIBS are
# yours. -z defs says at the link, not at the start of a worker, that a symbol is missing.

fanout_here    := $(dir $(lastword $(MAKEFILE_LIST)))
fanout_header  := $(firstword $(wildcard $(fanout_here)../../include/fanout/handler.h \
                                         $(fanout_here)../src/handler/fanout/handler.h))
fanout_flags   := -I$(patsubst %/fanout/handler.h,%,$(fanout_header)) -fPIC -fvisibility=hidden -pthread
fanout_ldflags := -shared -pthread -Wl,-z,defs -Wl,-z,relro -Wl,-z,now
ifeq ($(fanout_header),)
$(error fanout/handler.h is not where plugin.mk was installed from: neither in $(fanout_here)../../include nor in a tree)
endif

CFLAGS   ?= -O2 -g -Wall -Wextra
CXXFLAGS ?= -O2 -g -Wall -Wextra

%.so: %.c $(fanout_header)
	$(CC) -std=gnu11 $(fanout_flags) $(CPPFLAGS) $(CFLAGS) $(fanout_ldflags) $(LDFLAGS) -o $@ $< $(LDLIBS)

%.so: %.cc $(fanout_header)
	$(CXX) -std=c++20 $(fanout_flags) $(CPPFLAGS) $(CXXFLAGS) $(fanout_ldflags) $(LDFLAGS) -o $@ $< $(LDLIBS)

%.so: %.cpp $(fanout_header)
	$(CXX) -std=c++20 $(fanout_flags) $(CPPFLAGS) $(CXXFLAGS) $(fanout_ldflags) $(LDFLAGS) -o $@ $< $(LDLIBS)
