# pyrunc: every job of the project.  `make` alone lists them.
# A target installs what it needs first: packages of the distribution (as root), .venv, the C parts.

SHELL   := /bin/bash
VENV    ?= .venv
PYTHON  := $(VENV)/bin/python
PYTEST  := $(PYTHON) -m pytest
ARGS    ?=
PREFIX  ?= /opt/pyrunc

C_SOURCES := $(wildcard csrc/*.c csrc/*.h csrc/*.py csrc/CMakeLists.txt csrc/*.cmake)

.DEFAULT_GOAL := help
.PHONY: help demo test check integration test-engines vm-test vm-whole conformance fuzz bench stress golden size quirks \
        clauses build install clean packages-build packages-test packages-bench \
        packages-conformance packages-engines

help: ## list the jobs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' Makefile

demo: build ## install what is missing, then run a container from the embedded image
	build/bin/pyrunc run --rm hello

test: packages-test build ## the whole suite: check and integration (as root)
	rm -f build/outcomes
	$(PYTEST) -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder --outcomes build/outcomes tests $(ARGS)

check: build ## format, lint, types and unit tests (no root)
	$(PYTEST) tests/unit $(ARGS)

integration: packages-test build ## what needs root and a kernel
	$(PYTEST) tests/integration $(ARGS)

vm-whole: packages-vm build ## all that `make test` runs in that machine, two hours and a half (as root)
	VENV=$(VENV) vagrant/qemu whole $(ARGS)

vm-test: packages-vm build ## what needs systemd, cgroup v2 alone and a reset, in an emulated machine (as root)
	VENV=$(VENV) vagrant/qemu test $(ARGS)

stress: packages-test build ## kills, crowds, floods and hostile layers with their full counts, an hour (as root)
	$(PYTHON) -m tests.stress $(ARGS)

golden: build ## write tests/golden anew from the plans of today; read the difference before you commit it
	PYRUNC_GOLDEN=write $(PYTEST) tests/golden $(ARGS)
	git diff --stat -- tests/golden

bench: packages-test packages-bench build ## start, load and pull against docker, podman, skopeo, umoci and runc (as root)
	$(PYTHON) -m tests.bench $(ARGS)

size: $(VENV)/.ready ## lengths of files and functions, against the guide in CONTRIBUTING.md
	$(PYTHON) tests/size.py

quirks: ## the index of what Linux does that surprises: every "Kernel:" comment
	@grep -rnE '(#|//|\*|/\*) ?Kernel:' --include='*.py' --include='*.c' --include='*.h' pyrunc csrc \
	    | sed -E 's/^([^:]+:[0-9]+):[[:space:]]*(#|\/\/|\/\*|\*) ?/\1: /'

clauses: build ## which sentences of the specifications a test holds pyrunc to
	$(PYTEST) --collect-only -q --clauses tests $(ARGS)

test-engines: packages-test packages-engines build ## podman, Docker, a swarm and containerd on pyrunc-oci (as root)
	$(PYTEST) tests/engines $(ARGS)

conformance: packages-test packages-conformance build ## runtime-tools' validation suite, beside runc and crun (as root)
	$(PYTHON) -m tests.conformance $(ARGS)

fuzz: packages-test build ## references, documents and tars nobody would write, for some minutes (as root)
	PYRUNC_FUZZ_EXAMPLES=$${PYRUNC_FUZZ_EXAMPLES:-3000} $(PYTEST) tests/fuzz --timeout=0 $(ARGS)

install: packages-build ## install into $(PREFIX), with links in /usr/local/bin
	python3 -m venv $(PREFIX)
	$(PREFIX)/bin/pip install --quiet .
	ln -sf $(PREFIX)/bin/pyrunc $(PREFIX)/bin/pyrunc-oci /usr/local/bin/

build: build/.built ## the C parts, beside the sources they belong to

build/.built: $(VENV)/.ready $(C_SOURCES)
	cmake -S csrc -B build/tree -G Ninja -DCMAKE_BUILD_TYPE=Release \
	    -DPYRUNC_IN_TREE=ON -DPython_EXECUTABLE=$(abspath $(PYTHON)) --log-level=WARNING >/dev/null
	cmake --build build/tree -- --quiet
	cmake --install build/tree --prefix $(CURDIR) >/dev/null
	touch $@

# One environment for running, building and testing; made anew when the dependencies change.
$(VENV)/.ready: pyproject.toml | packages-build
	python3 -m venv --clear $(VENV)
	$(PYTHON) -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	    print("\n".join(p["dependencies"] + p["optional-dependencies"]["dev"]))' >$(VENV)/requirements.txt
	$(VENV)/bin/pip install --quiet --use-pep517 --requirement $(VENV)/requirements.txt
	touch $@

packages-build:
	@vagrant/provision.sh run build

packages-test:
	@vagrant/provision.sh run build test

packages-engines:
	@vagrant/provision.sh engines

packages-conformance:
	@vagrant/provision.sh conformance

packages-vm:
	@vagrant/provision.sh vm

packages-bench:
	@vagrant/provision.sh bench

clean: ## remove what was built
	rm -rf build pyrunc/libexec pyrunc/kernel/_native*.so
