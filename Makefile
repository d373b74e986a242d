# fanoutd. `make help` lists what there is to make.
#
# One Makefile, no lists of files: a folder's sources are what is in it. Everything that is built goes to
# build/VARIANT/, laid out as it will be installed (bin, libexec/fanoutd, lib/fanoutd/plugins), so that the binaries
# find each other in both places.

VARIANT ?= release
BUILD   ?= build
PREFIX  ?= /usr/local
B       := $(BUILD)/$(VARIANT)

# What is done, a line each; V=1 shows the commands themselves.
Q   := $(if $(V),,@)
say  = $(if $(V),,@printf '  %-5s %s\n' $(1) $(patsubst $(B)/%,%,$@))

VERSION := 0.1.0
PKGS    := libcurl libcrypto libcjson libconfig libmicrohttpd sqlite3 expat zlib
PKGS_TEST := cmocka

CFLAGS ?= -O2 -g
WARN   := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wformat=2
WERROR ?= $(if $(CI),-Werror)

HARDEN_C := -fPIE -fstack-protector-strong -D_FORTIFY_SOURCE=2
HARDEN_L := -pie -Wl,-z,relro -Wl,-z,now
OPT_release := $(HARDEN_C)
LD_release  := $(HARDEN_L)
OPT_debug   := -O0
OPT_asan    := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
LD_asan     := -fsanitize=address,undefined
OPT_tsan    := -O1 -fsanitize=thread -fno-omit-frame-pointer
LD_tsan     := -fsanitize=thread
OPT_cov     := -O0 --coverage
LD_cov      := --coverage
OPT_fuzz    := -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
LD_fuzz     := -fsanitize=fuzzer,address,undefined -Wl,-z,muldefs # a target's stand-ins go before the real ones
ifeq ($(origin OPT_$(VARIANT)),undefined)
$(error VARIANT=$(VARIANT) is none of release, debug, asan, tsan, cov, fuzz)
endif

# Nothing below may fail only because pkg-config's packages are missing: `make demo` and `make test` install them first.
pkg_cflags = $(shell pkg-config --cflags $(PKGS) $(PKGS_TEST) 2>/dev/null)
pkg_libs  := $(shell pkg-config --libs $(PKGS) 2>/dev/null)

all_cflags = -std=gnu11 -D_GNU_SOURCE $(WARN) $(WERROR) -pthread -fvisibility=hidden -Isrc -Isrc/handler -Itests \
             -DFANOUT_VERSION='"$(VERSION)"' -MMD -MP $(pkg_cflags) $(CFLAGS) $(OPT_$(VARIANT)) $(CPPFLAGS)
all_ldflags = -pthread -Wl,--as-needed $(LDFLAGS) $(LD_$(VARIANT))

# ---- what is built -------------------------------------------------------------------------------------------------
# A program is src/FOLDER/main.c and the archive of everything else; the linker takes what main needs and no more
# (`make check-layers` says which folder may need which).
program_fanoutd        := supervisor
program_fanout-worker  := worker
program_fanout-replayd := replay
program_fanoutctl      := ctl
program_fanout-local   := local
PROGRAMS := $(foreach p,fanoutd fanout-worker fanout-replayd fanoutctl fanout-local,\
              $(if $(wildcard src/$(program_$(p))/main.c),$(p)))
bin_of    = $(B)/$(if $(filter fanout-worker,$(1)),libexec/fanoutd,bin)/$(1)
BINS     := $(foreach p,$(PROGRAMS),$(call bin_of,$(p)))

LIB_SRC  := $(filter-out %/main.c,$(wildcard src/*/*.c))
LIB_OBJ  := $(LIB_SRC:%.c=$(B)/obj/%.o)
LIB      := $(B)/obj/libfanout.a
PLUGINS  := $(patsubst plugins/%.c,$(B)/lib/fanoutd/plugins/%.so,$(wildcard plugins/*.c))

TESTLIB_OBJ := $(patsubst %.c,$(B)/obj/%.o,$(wildcard tests/lib/*.c))
TESTLIB  := $(B)/obj/libtest.a
tests_in  = $(patsubst tests/%.c,$(B)/tests/%,$(wildcard tests/$(1)/test_*.c))
UNIT     := $(call tests_in,unit)
PROCESS  := $(call tests_in,process)
INTEROP  := $(call tests_in,interop)
INTEROP_MORE := $(call tests_in,interop/more)
ABI      := $(call tests_in,abi)
# Those that take long first, where it is not known yet how long each takes.
TESTS    := $(INTEROP) $(PROCESS) $(UNIT) $(ABI)
# The random ones: every test program with seeds of its own (tests/lib/seeds.h).
SOAK     := $(patsubst tests/%.c,$(B)/tests/%,$(shell grep -l 'KEPT_SEEDS' tests/*/test_*.c | grep -v test_seeds))
CHAOS    := $(call tests_in,chaos)
TESTPLUGINS := $(patsubst tests/%.c,$(B)/tests/%.so,$(wildcard tests/plugins/*.c))
BENCHES  := $(patsubst tests/bench/%.c,$(B)/tests/bench/%,$(wildcard tests/bench/bench_*.c))

## make                  build everything into build/release
.PHONY: all
all: $(BINS) $(PLUGINS)

define link_program
$(call bin_of,$(1)): $(B)/obj/src/$(program_$(1))/main.o $(LIB)
	@mkdir -p $$(@D)
	$$(call say,LD)
	$$(Q)$$(CC) $$(all_ldflags) -rdynamic -o $$@ $$< $(LIB) $(pkg_libs) -ldl
endef
$(foreach p,$(PROGRAMS),$(eval $(call link_program,$(p))))

$(LIB): $(LIB_OBJ)
$(TESTLIB): $(TESTLIB_OBJ)
$(LIB) $(TESTLIB): $(B)/.objects
	@mkdir -p $(@D); rm -f $@
	@$(AR) rcsT $@ $(filter %.o,$^)

$(B)/obj/%.o: %.c $(B)/.flags
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(all_cflags) -c -o $@ $<

# A plugin gets the handler header and nothing else of ours; -z defs proves that it needs nothing of the host. (The
# sanitizers' own symbols come from the host, so it is left out there.)
plugin_cflags = -std=gnu11 -D_GNU_SOURCE $(WARN) $(WERROR) -pthread -fPIC -fvisibility=hidden -Isrc/handler -MMD -MP \
                $(CFLAGS) $(filter-out -fPIE,$(OPT_$(VARIANT))) $(CPPFLAGS)
plugin_ldflags = -shared -pthread $(LDFLAGS) $(filter-out -pie,$(LD_$(VARIANT))) \
                 $(if $(filter asan tsan,$(VARIANT)),,-Wl$(,)-z$(,)defs)
, := ,
$(B)/lib/fanoutd/plugins/%.so: plugins/%.c $(B)/.flags
	@mkdir -p $(@D)
	$(call say,SO)
	$(Q)$(CC) $(plugin_cflags) $(plugin_ldflags) -o $@ $<
$(B)/tests/plugins/%.so: tests/plugins/%.c $(B)/.flags
	@mkdir -p $(@D)
	$(call say,SO)
	$(Q)$(CC) $(plugin_cflags) $(plugin_ldflags) -o $@ $<

# Two hundred programs: the linker that needs a quarter of the time, where it is installed, and no more optimisation of
# what runs once.
test_cflags  := $(if $(filter release,$(VARIANT)),-O1)
test_ldflags := $(if $(filter fuzz,$(VARIANT)),,$(if $(shell command -v ld.gold),-fuse-ld=gold))
$(B)/tests/bench/%: test_cflags :=
$(B)/tests/%: tests/%.c $(TESTLIB) $(LIB) $(B)/.flags
	@mkdir -p $(@D)
	$(call say,LD)
	$(Q)$(CC) $(all_cflags) $(test_cflags) $(all_ldflags) $(test_ldflags) -rdynamic -o $@ $< $(TESTLIB) $(LIB) $(pkg_libs) -lcmocka -lssl -lcrypto -lm -ldl

# Rebuild when the flags change, not only when the files do. Everything compiled comes by here first, so this is where
# missing packages are named.
$(B)/.flags: FORCE
	@[ -n '$(pkg_libs)' ] || { .ci/deps build --print && echo 'pkg-config does not find all of: $(PKGS)'; exit 1; } >&2
	@mkdir -p $(@D); echo '$(CC) $(all_cflags) $(all_ldflags)' | cmp -s - $@ || \
	  echo '$(CC) $(all_cflags) $(all_ldflags)' > $@
# Archive again when a source was removed: nothing that is left is newer then.
$(B)/.objects: FORCE
	@mkdir -p $(@D); echo '$(LIB_OBJ) $(TESTLIB_OBJ)' | cmp -s - $@ || echo '$(LIB_OBJ) $(TESTLIB_OBJ)' > $@
.PHONY: FORCE
FORCE:

# ---- checks --------------------------------------------------------------------------------------------------------
.PHONY: deps test test-run soak soak-run chaos chaos-run interop-tools interop-more-tools test-interop test-interop-run check check-run lint check-layers bench bench-run fuzz fuzz-run demo install docs figures help

deps:
	@.ci/deps build

# These install what is missing, and so must look at the machine again afterwards; with as many jobs as there are cores
# unless told otherwise.
again = $(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))

## make test             install what is missing, build, run every test; ends with "N passed, N failed, N skipped"
test:
	@.ci/deps test
	+@$(again) test-run

test-run: all $(TESTS) $(TESTPLUGINS) | interop-tools $(BUILD)/peers/moto/.installed
	@TEST_TIMES=$(BUILD)/test-times tests/lib/run $(TESTS)

# What tests/interop needs of package indexes, in a folder of its own. Without an index there is none of it, and those
# tests skip themselves. FANOUT_AWS and FANOUT_PYTHON name an aws-cli and a python with boto3 to be used instead.
INTEROP_TOOLS := $(if $(and $(FANOUT_AWS),$(FANOUT_PYTHON)),,python) node
interop-tools: $(INTEROP_TOOLS:%=$(BUILD)/interop/%/.installed)
$(BUILD)/interop/python/.installed: tests/interop/boto3/requirements.txt
$(BUILD)/interop/node/.installed: tests/interop/node/package.json
$(BUILD)/interop/moto/.installed: tests/interop/moto/requirements.txt
$(BUILD)/interop/go/.installed: $(wildcard tests/interop/go/*)
$(BUILD)/interop/%/.installed:
	@tests/interop/install $* $(@D)

# moto's server, which speaks DynamoDB's protocol to tests/process/test_dedup_dynamodb.c.
$(BUILD)/peers/moto/.installed:
	@tests/bench/peers/moto $(@D) install || true

## make test-interop     the clients that take longer (half a minute, and what it takes to install them): aws-cli, the AWS
##                       SDK for Go, moto's own tests of SQS
test-interop:
	@.ci/deps test
	+@$(again) test-interop-run

interop-more-tools: $(BUILD)/interop/go/.installed $(BUILD)/interop/moto/.installed
test-interop-run: all $(INTEROP_MORE) | interop-tools interop-more-tools
	@tests/lib/run $(INTEROP_MORE)

## make check            the unit and ABI tests and the random ones (two seeds) alone
check:
	@.ci/deps test
	+@$(again) check-run

check-run: all $(UNIT) $(ABI) $(SOAK) $(TESTPLUGINS)
	@TEST_TIMES=$(BUILD)/test-times tests/lib/run $(sort $(UNIT) $(ABI) $(SOAK))

## make soak             random tests at full size, each for SOAK_SECONDS (600) with new seeds, or with SEEDS="7 20-29";
##                       SOAK_EVENTS=20000 of a run. Then CHAOS_SEEDS (100) new ones of make chaos, of MESSAGES=50000,
##                       or SEEDS: two hours and more, a minute or two each
SOAK_SECONDS ?= 600
SOAK_EVENTS  ?= 20000
CHAOS_SEEDS  ?= 100
soak:
	@.ci/deps test
	+@$(again) soak-run

soak-run: all $(SOAK) $(TESTPLUGINS)
	@failed=0; export FANOUT_EVENTS='$(SOAK_EVENTS)' TEST_TIMEOUT_S=86400 TEST_SHOW='seed' TEST_LOG_LINES=100000; \
	FANOUT_SEEDS='$(SEEDS)' FANOUT_SOAK_S='$(SOAK_SECONDS)' tests/lib/run $(filter-out $(B)/tests/chaos/%,$(SOAK)) || failed=1; \
	$(if $(CHAOS),FANOUT_EVENTS='$(MESSAGES)' FANOUT_SEEDS='$(or $(SEEDS),$(shell shuf -i 1000-999999999 -n $(CHAOS_SEEDS)))' \
	  tests/lib/run $(CHAOS) || failed=1;) \
	exit $$failed

## make chaos            the whole fleet in storms of faults, each in a configuration of its own: those it keeps, or
##                       SEEDS="7 20-29"; of MESSAGES=50000 each
MESSAGES ?= 50000
chaos:
	@.ci/deps test
	+@$(again) chaos-run

chaos-run: all $(CHAOS) $(TESTPLUGINS)
	@FANOUT_SEEDS='$(SEEDS)' FANOUT_EVENTS='$(MESSAGES)' TEST_TIMEOUT_S=86400 TEST_SHOW='seed' TEST_LOG_LINES=1000 \
	  tests/lib/run $(CHAOS)

## make lint             clang-format, clang-tidy, cppcheck, headers that stand alone
C_FILES := $(wildcard src/*/*.c plugins/*.c tests/*/*.c tests/interop/more/*.c)
H_FILES := $(wildcard src/*/*.h src/*/*/*.h tests/*/*.h)
lint_cflags = -std=gnu11 -D_GNU_SOURCE -Isrc -Isrc/handler -Itests -DFANOUT_VERSION='"$(VERSION)"' $(pkg_cflags)
lint:
	@.ci/deps lint
	clang-format-14 --dry-run -Werror $(C_FILES) $(H_FILES)
	@for h in $(H_FILES); do echo "#include \"$$h\"" | \
	  $(CC) $(WARN) -Werror $(lint_cflags) -I. -fsyntax-only -xc - || exit 1; done
	cppcheck --quiet --error-exitcode=1 --inline-suppr --std=c11 --enable=warning,portability,performance \
	  --suppressions-list=.ci/cppcheck -j2 -Isrc -Isrc/handler -Itests src plugins tests
	printf '%s\n' $(filter-out tests/%,$(C_FILES)) | xargs -P2 -I{} clang-tidy-14 --quiet --warnings-as-errors='*' {} -- $(lint_cflags)

## make check-layers     the dependency rule: which folder may include which, which program may link what
check-layers: $(BINS)
	@.ci/check-layers $(B)

## make bench            the figures, as ratios within the run; kept in build/VARIANT/bench.json for the next run to compare
bench:
	@.ci/deps test
	+@$(again) bench-run

bench-run: all $(BENCHES) $(TESTPLUGINS)
	@for b in $(BENCHES); do $$b || echo "FAILED $$b"; done | tests/bench/table $(B)/bench.json

## make fuzz             each fuzz target for FUZZ_SECONDS (20), two at a time; what is found is kept in build/fuzz/found
FUZZ_SECONDS ?= 20
FUZZ_SRC := $(wildcard tests/fuzz/fuzz_*.c)
ifeq ($(VARIANT),fuzz)
FUZZERS := $(patsubst tests/%.c,$(B)/tests/%,$(FUZZ_SRC))
fuzz-run: $(FUZZERS)
	@tests/fuzz/run $(B) $(FUZZ_SECONDS) $^
endif
fuzz:
	@.ci/deps lint
	+@$(again) VARIANT=fuzz CC=clang-14 fuzz-run

# ---- containers ----------------------------------------------------------------------------------------------------
## make docker           build the images fanoutd, fanout-local and fanoutd-sdk (TAG=latest) with docker or podman
TAG ?= latest
.PHONY: docker test-containers
docker:
	@.ci/containers $(BUILD)/containers
	@docker/build $(BUILD)/containers $(VERSION) $(TAG)

## make test-containers  the images, and a fleet of them that loses nothing; skipped where containers cannot be run
test-containers:
	@.ci/deps test
	@.ci/containers $(BUILD)/containers
	+@$(again) $(B)/tests/containers/test_containers
	@. $(BUILD)/containers/env; tag=test-$$(pwd | cksum | cut -d' ' -f1); [ -z "$$engine" ] || docker/build $(BUILD)/containers $(VERSION) $$tag || exit 1; \
	  export engine compose why base version=$(VERSION) tag project=fanout-test-$$$$; \
	  trap '[ -z "$$engine" ] || tests/containers/clean' EXIT; trap 'exit 130' INT TERM HUP; \
	  TEST_TIMEOUT_S=900 tests/lib/run $(B)/tests/containers/test_containers || [ -z "$$engine" ]

# ---- use -----------------------------------------------------------------------------------------------------------
## make demo             install what is missing, build, run the whole system for a minute; EVENTS=file.ndjson for your own
demo: export EVENTS := $(EVENTS)
demo:
	@.ci/deps build
	+@$(again) all
	@$(B)/bin/fanoutctl demo $(if $(EVENTS),--events "$$EVENTS")

## make figures          write the figures of the last make bench into the README
figures:
	@tests/bench/readme $(B)/bench.json README.md

## make docs             write conf/fanoutd.conf and the README's tables of options and metrics
docs: $(B)/tests/tools/docs
	@$< conf/fanoutd.conf README.md

## make install          PREFIX=/usr/local, DESTDIR=
libdir := $(DESTDIR)$(PREFIX)/lib/fanoutd
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/libexec/fanoutd $(libdir)/plugins \
	  $(DESTDIR)$(PREFIX)/include/fanout $(DESTDIR)$(PREFIX)/share/fanoutd
	install $(filter $(B)/bin/%,$(BINS)) $(DESTDIR)$(PREFIX)/bin
	install $(filter $(B)/libexec/%,$(BINS)) $(DESTDIR)$(PREFIX)/libexec/fanoutd
	install -m 644 $(PLUGINS) $(libdir)/plugins
	install -m 644 plugins/plugin.mk $(libdir)
	install -m 644 src/handler/fanout/handler.h $(DESTDIR)$(PREFIX)/include/fanout
	install -m 644 $(wildcard conf/*.conf conf/*.json) $(DESTDIR)$(PREFIX)/share/fanoutd

## make VARIANT=asan     any of the above under: release, debug, asan, tsan, cov; outputs in build/VARIANT
## make clean
## make help
help:
	@sed -n 's/^## /  /p' Makefile

.PHONY: clean
clean:
	rm -rf $(BUILD)

-include $(shell find $(B) -name '*.d' 2>/dev/null)
