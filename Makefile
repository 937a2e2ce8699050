# SPDX-License-Identifier: GPL-3.0-or-later
#
# A thin front of Meson: what stands here are the words of README.md and CONTRIBUTING.md.

BUILD       ?= build
PREFIX      ?= /usr/local
DESTDIR     ?=
# For example MESON_FLAGS=-Dwerror=true, which is what developers and CI want.
MESON_FLAGS ?=
# What `make fuzz` gives to each fuzzer.
FUZZ_SECONDS ?= 60

CLANG  := $(shell command -v clang-14 || echo clang)
# The distribution's: another python3 that comes first in PATH need not have pytest.
PYTHON := $(shell test -x /usr/bin/python3 && echo /usr/bin/python3 || echo python3)

SANITIZED = -Db_sanitize=address,undefined -Db_lundef=false

.PHONY: all demo check install uninstall bench fuzz sanitize valgrind lint format clean dist deb help
.PHONY: setup-build setup-check setup-lint
.NOTPARALLEL:

all: setup-build $(BUILD)/build.ninja
	@ninja -C $(BUILD)

help:
	@echo "make          build $(BUILD)/taskflow and $(BUILD)/taskflowd"
	@echo "make demo     build, and run a first real task"
	@echo "make check    build, and run every test"
	@echo "make install  install below PREFIX=$(PREFIX); make uninstall takes it away"
	@echo "make bench fuzz sanitize valgrind lint format clean dist"

setup-build:
	@tools/setup.sh build
setup-check: setup-build
	@tools/setup.sh check
setup-lint: setup-check
	@tools/setup.sh lint

$(BUILD)/build.ninja:
	@meson setup --prefix=$(PREFIX) $(MESON_FLAGS) $(BUILD)
build-sanitize/build.ninja:
	@CC=$(CLANG) meson setup $(SANITIZED) $(MESON_FLAGS) build-sanitize
build-fuzz/build.ninja:
	@CC=$(CLANG) meson setup -Dfuzz=true $(SANITIZED) $(MESON_FLAGS) build-fuzz

demo: all
	@BUILD=$(BUILD) tools/demo.sh

check: setup-check all
	@$(PYTHON) tools/run-tests.py $(BUILD)

# Meson fixes the prefix when it sets up, so another one than then is a change of the set-up.
install: setup-build $(BUILD)/build.ninja
	@meson configure $(BUILD) -Dprefix=$(PREFIX)
	@ninja -C $(BUILD)
	@meson install -C $(BUILD) --no-rebuild --quiet $(if $(DESTDIR),--destdir=$(abspath $(DESTDIR)))
	@echo "taskflow is installed in $(DESTDIR)$(PREFIX)."
	@echo "As it is, each user gets a queue of one's own; to share the machine, one taskflowd must serve"
	@echo "everybody: see 'SHARING A MACHINE' in the manual, man 8 taskflowd."

uninstall: $(BUILD)/build.ninja
	@meson configure $(BUILD) -Dprefix=$(PREFIX)
	@$(PYTHON) tools/uninstall.py $(BUILD) $(if $(DESTDIR),$(abspath $(DESTDIR)))

bench: all
	@meson test -C $(BUILD) --no-rebuild --benchmark --verbose

sanitize: setup-lint build-sanitize/build.ninja
	@ninja -C build-sanitize
	@$(PYTHON) tools/run-tests.py build-sanitize

valgrind: setup-lint all
	@$(PYTHON) tools/run-tests.py --suite unit --wrapper \
		'valgrind -q --leak-check=full --errors-for-leak-kinds=definite --error-exitcode=99 --child-silent-after-fork=yes' \
		$(BUILD)

fuzz: setup-lint build-fuzz/build.ninja
	@ninja -C build-fuzz
	@tools/fuzz.sh build-fuzz $(FUZZ_SECONDS)

lint: setup-lint
	@CC=$(CLANG) tools/lint.sh

format: setup-lint
	@git ls-files -co --exclude-standard 'src/*.[ch]' 'tests/*.[ch]' | xargs clang-format-14 -i

clean:
	rm -rf build build-sanitize build-fuzz build-lint $(BUILD)

dist: setup-build $(BUILD)/build.ninja
	@meson dist -C $(BUILD) --no-tests --formats gztar

deb:
	@echo "make deb: the Debian package is not available yet; 'make install' installs taskflow" >&2
	@exit 1
