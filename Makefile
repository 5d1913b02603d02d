# Every target does all of its own set-up. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash

# A toolchain that was installed a minute ago is not on PATH yet.
CARGO_HOME_BIN := $(if $(CARGO_HOME),$(CARGO_HOME),$(HOME)/.cargo)/bin
export PATH := $(PATH):$(CARGO_HOME_BIN)
PYTHON ?= python3

# `make setup` puts libtorch's place into .cargo/config.toml; cargo must not see a second one.
CARGO := env -u LIBTORCH cargo
# One profile for program, tests and lints: libtorch's bindings take minutes for each.
PROFILE := --release
BIN := target/release/alphascope
WARN := -D warnings

.PHONY: help demo test check ci setup build fmt clippy doc bench gpu-check ssh-check test-setup clean-cache

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14
	@echo "CUDA=1 fetches libtorch's GPU part, CUDA=0 leaves it out, LIBTORCH=DIR uses that one."

setup: ## find or fetch libtorch (asked for by all the others)
	@scripts/tools.sh $(PYTHON)
	@$(PYTHON) scripts/libtorch.py

# There are no examples; asking for them gives the dependencies the features that the tests have, so
# that `make demo` and `make test` share one build of libtorch's bindings.
build: setup ## the program, target/release/alphascope
	@$(CARGO) build $(PROFILE) --bins --examples

demo: build ## the embedded demo: on a terminal the screen, else a headless sweep with its table
	@if [ -t 0 ] && [ -t 1 ]; then exec $(BIN) --demo; else exec $(BIN) sweep --demo; fi

test: setup test-setup ## every test
	$(CARGO) test $(PROFILE)

test-setup: ## the tests of the set-up scripts
	@$(PYTHON) -m unittest discover -s tests -p 'setup_*.py'

fmt: ## format the code
	$(CARGO) fmt

clippy: setup ## lints, for all three sets of features
	$(CARGO) clippy $(PROFILE) --all-targets -- $(WARN)
	$(CARGO) clippy $(PROFILE) --all-targets --no-default-features --features torch -- $(WARN)
	$(CARGO) clippy $(PROFILE) --all-targets --no-default-features --features tui -- $(WARN)

doc: setup ## the library's documentation, target/doc/alphascope
	RUSTDOCFLAGS="$(WARN)" $(CARGO) doc $(PROFILE) --no-deps --lib --examples

check: test ## all that CI runs: tests, format, lints, documentation, the demo
	$(CARGO) fmt --check
	@$(MAKE) --no-print-directory clippy doc
	@set -o pipefail; $(MAKE) --no-print-directory demo </dev/null | cat

bench: build ## speed: this machine's peak, the engine, the screen's key delay; PyTorch beside it
	@PYTHON=$(PYTHON) bench/run.sh

gpu-check: ## the demo on CUDA against the CPU; skipped where there is no GPU
	@# A program carried here without a toolchain is checked as it is.
	@if PATH="$(PATH)" command -v cargo >/dev/null; then $(MAKE) --no-print-directory build; fi
	@PYTHON=$(PYTHON) scripts/gpu-check.sh

ssh-check: build ## a sweep over a real SSH line that is cut: bytes a second, and what goes on
	@$(PYTHON) scripts/ssh_check.py --program $(BIN)

clean-cache: ## delete the libtorch that was fetched into the user's cache folder
	@$(PYTHON) scripts/libtorch.py --clean-cache
