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
# Of `make torture`: the first seed, how many follow it, and how many rounds go at a time; 0: three a core, as they mostly wait.
SEED        ?= 1
SEEDS       ?= 100
JOBS        ?= 0

# Looked for when they are needed: the set-up may have installed them by then.
CLANG   = $(shell command -v clang-14 || echo clang)
# The distribution's: another python3 that comes first in PATH need not have pytest.
PYTHON  = $(shell test -x /usr/bin/python3 && echo /usr/bin/python3 || echo python3)

CONFIGURE = $(PYTHON) tools/configure.py
SANITIZED = -Db_sanitize=address,undefined -Db_lundef=false

.PHONY: all demo check install uninstall bench torture fuzz sanitize valgrind vm-check gpu-check nvml-check lint format clean dist deb deb-check screenshots sched-table help
.PHONY: setup-build setup-check setup-lint setup-deb setup-vm build-tests
.NOTPARALLEL:

# The tests are built from the first `make check` on: they need more packages than the programs.
all: setup-build
	@$(CONFIGURE) $(BUILD) -- -Dtests=false -Dprefix=$(PREFIX) $(MESON_FLAGS)
	@ninja -C $(BUILD)

help:
	@echo "make          build $(BUILD)/taskflow, and taskflowd, taskflow-agent and taskflow-sim beside it"
	@echo "make demo     build, and run a first real task"
	@echo "make check    build, and run every test"
	@echo "make install  install below PREFIX=$(PREFIX); make uninstall takes it away"
	@echo "make bench torture fuzz sanitize valgrind vm-check gpu-check nvml-check sched-table lint format clean dist deb"

setup-build:
	@tools/setup.sh build
setup-check: setup-build
	@tools/setup.sh check
setup-lint: setup-check
	@tools/setup.sh lint
setup-deb: setup-build
	@tools/setup.sh deb
setup-vm: setup-build
	@tools/setup.sh vm

demo: all
	@BUILD=$(BUILD) tools/demo.sh

build-tests: setup-check
	@$(CONFIGURE) $(BUILD) -Dtests=true -- -Dprefix=$(PREFIX) $(MESON_FLAGS)
	@ninja -C $(BUILD)

check: build-tests
	@$(PYTHON) tools/run-tests.py $(BUILD)

install: setup-build
	@$(CONFIGURE) $(BUILD) -Dprefix=$(PREFIX) -- -Dtests=false $(MESON_FLAGS)
	@ninja -C $(BUILD)
	@meson install -C $(BUILD) --no-rebuild --quiet $(if $(DESTDIR),--destdir=$(abspath $(DESTDIR)))
	@echo "taskflow is installed in $(DESTDIR)$(PREFIX)."
	@echo "As it is, each user has a queue that is theirs alone. To share the machine (man taskflowd), as root:"
	@echo "    systemd-sysusers && systemctl daemon-reload"
	@echo "    systemctl enable --now taskflowd.socket taskflowd.service"

uninstall: setup-build
	@$(CONFIGURE) $(BUILD) -Dprefix=$(PREFIX) -- -Dtests=false $(MESON_FLAGS)
	@$(PYTHON) tools/uninstall.py $(BUILD) $(if $(DESTDIR),$(abspath $(DESTDIR)))

bench: build-tests
	@meson test -C $(BUILD) --no-rebuild --benchmark --verbose

torture: build-tests
	@TASKFLOW=$(BUILD)/taskflow TASKFLOWD=$(BUILD)/taskflowd \
		$(PYTHON) -B tests/torture/torture.py --seed $(SEED) --seeds $(SEEDS) --jobs $(JOBS)

sanitize: setup-lint
	@CC=$(CLANG) $(CONFIGURE) build-sanitize -- $(SANITIZED) $(MESON_FLAGS)
	@ninja -C build-sanitize
	@$(PYTHON) tools/run-tests.py build-sanitize

valgrind: setup-lint build-tests
	@$(PYTHON) tools/run-tests.py --suite unit --no-suite native --wrapper \
		'valgrind -q --leak-check=full --errors-for-leak-kinds=definite --error-exitcode=99 --child-silent-after-fork=yes' \
		$(BUILD)

fuzz: setup-lint
	@CC=$(CLANG) $(CONFIGURE) build-fuzz -- -Dfuzz=true $(SANITIZED) $(MESON_FLAGS)
	@ninja -C build-fuzz
	@tools/fuzz.sh build-fuzz $(FUZZ_SECONDS)

# Real logouts and reboots, in a machine of its own: minutes, so it is no part of `make check`.
vm-check: setup-vm
	@tools/vm-check.sh

# On a machine with a GPU of NVIDIA's, in a minute; status 77 where there is none (make itself then says 2).
gpu-check: all
	@$(PYTHON) -B tools/gpu-check.py $(BUILD)

# With NVIDIA's own libraries, which it fetches, and no GPU: minutes.
nvml-check: build-tests
	@$(PYTHON) -B tools/nvml-check.py $(BUILD)

# The pictures of README.md; root's alone, who can make three users for a while.
screenshots: build-tests
	@$(PYTHON) -B tools/screenshots.py $(BUILD) docs/images

# taskflow beside other schedulers.
sched-table: all
	@$(PYTHON) -B tools/sched-table.py --jobs $(JOBS) --into docs/scheduling.md $(BUILD)

lint: setup-lint
	@CC=$(CLANG) tools/lint.sh

format: setup-lint
	@git ls-files -co --exclude-standard 'src/*.[ch]' 'tests/*.[ch]' | xargs clang-format-14 -i

clean:
	rm -rf build build-sanitize build-fuzz build-lint build-vm $(BUILD)

dist: all
	@meson dist -C $(BUILD) --no-tests --formats gztar

deb: setup-deb
	@tools/make-deb.sh $(BUILD)

deb-check: deb
	@tools/deb-check.sh $(BUILD)
