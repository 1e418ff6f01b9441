# `make test` installs what it needs and runs everything; `make quick` is the inner loop.
# CONTRIBUTING.md tells more.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# Seconds that each fuzz target runs in `make test`.
FUZZ_SECONDS ?= 10
# Where the peers of the integration tests come from.
INSTALL := tests/peers/install
# Runs a command and tells how long it took.
STAGE := tests/peers/stage

.PHONY: help test quick deb peers fmt clippy unit integration real-peers autobahn fuzz loom doc deny advisories bench bench-gateway bench-cluster bench-socketio bench-check criterion clean

help: ## Lists the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

test: ## Installs what is missing and runs everything (under 30 minutes on two cores)
	@$(STAGE) --begin
	@$(STAGE) peers $(INSTALL)
	@$(STAGE) fmt $(MAKE) --no-print-directory fmt
	@$(STAGE) clippy $(MAKE) --no-print-directory clippy
	@$(STAGE) tests tests/peers/suites
	@$(STAGE) loom $(MAKE) --no-print-directory loom
	@$(STAGE) bench-check $(MAKE) --no-print-directory bench-check
	@$(STAGE) doc $(MAKE) --no-print-directory doc
	@$(STAGE) deny $(MAKE) --no-print-directory deny
	@$(STAGE) fuzz $(MAKE) --no-print-directory fuzz
	@$(STAGE) autobahn autobahn/run
	@$(STAGE) --end

quick: fmt clippy ## Formatting, clippy, unit tests and the integration tests without foreign peers
	cargo test --locked --lib --bins
	cargo test --locked $(FAST_TESTS)

# Every integration test but those that drive a browser, a proxy, a terminal or another language.
SLOW_TESTS := socketio_nodes adapter_wire backend_examples backend_trouble backend_http checker client cluster cluster_nginx cluster_redis cluster_registry doctor doctor_redis many metrics prometheus peers nginx browser pages_browser readme schema socketio_cluster socketio_peers \
	pitfalls_handshake pitfalls_frames lifecycle limits redis_support package containers kubernetes commands completions
FAST_TESTS = $(foreach test,$(filter-out $(SLOW_TESTS),$(basename $(notdir $(wildcard tests/*.rs)))),--test $(test))

peers: ## Installs the foreign peers (.peers/, Debian packages, cargo tools)
	$(INSTALL)

fmt: ## Checks the formatting
	cargo fmt --check

clippy: ## Lints, warnings are errors
	cargo clippy --locked --all-targets -- -D warnings

unit: ## Unit tests
	cargo test --locked --lib --bins

integration: ## All integration tests; needs the peers
	cargo test --locked --test '*'

real-peers: ## Only the tests with a browser, a terminal, nginx, Redis, Prometheus, ws, wscat, websockets and Schemathesis
	cargo test --locked $(addprefix --test ,$(SLOW_TESTS))

autobahn: ## Autobahn|Testsuite: server, client, and through nginx
	$(INSTALL) debian autobahn
	autobahn/run

fuzz: ## Each fuzz target for FUZZ_SECONDS
	$(INSTALL) fuzz
	tests/peers/fuzz $(FUZZ_SECONDS)

# A target directory of its own, so that neither build throws the other's away. Not `--all-targets`: the unit tests in the
# sources that loom/ includes are the package's.
LOOM := --locked --manifest-path loom/Cargo.toml --target-dir target/loom

loom: ## Model checks of what threads share without a lock (a minute)
	cargo fmt --manifest-path loom/Cargo.toml --check
	cargo clippy $(LOOM) --lib --test '*' -- -D warnings
	cargo test $(LOOM)

doc: ## Builds the documentation, warnings are errors
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items

deny: ## Licences, banned crates and sources; then the advisories, if their database can be had
	$(INSTALL) deny
	cargo deny --locked check --hide-inclusion-graph licenses bans sources
	cargo deny --locked --manifest-path loom/Cargo.toml --config deny.toml check --hide-inclusion-graph licenses bans sources
	tests/peers/advisories

bench: ## Measures the server against its peers and bare TCP servers, and writes benches/RESULTS.md (an hour)
	benches/peers/run

bench-socketio: ## Measures Socket.IO beside Node's own server, and writes benches/SOCKETIO.md (ten minutes, on a quiet machine)
	benches/peers/socketio

bench-check: ## Tests what `make bench`, `make bench-gateway`, `make bench-cluster`, `make bench-socketio` and `cargo bench --bench backend` run; installs and measures nothing
	python3 -B -m unittest discover --start-directory benches/peers --pattern 'test_*.py'
	cargo test --locked --bench gateway --bench cluster --bench backend -- --quick
	bash -n benches/peers/install
	for script in benches/peers/node/*.mjs; do node --check "$$script"; done

bench-gateway: ## Measures what users and rooms cost, and writes benches/GATEWAY.md (five minutes, on a quiet machine)
	cargo bench --locked --bench gateway -- --write

bench-cluster: ## Measures the way through Redis, and writes benches/CLUSTER.md (two minutes, on a quiet machine)
	cargo bench --locked --bench cluster -- --write

criterion: ## Criterion benches
	cargo bench --locked

deb: ## Builds the Debian package, and one with its debug symbols, into target/debian
	$(INSTALL) debian deb
	cargo build --locked --release
	deploy/deb/build

clean: ## Removes what was built and installed here
	cargo clean
	rm -rf .peers fuzz/target fuzz/artifacts
