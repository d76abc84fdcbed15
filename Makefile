# The commands of the repository. `make demo` and `make test` are the two a newcomer needs.
# Results go to CARGO_TARGET_DIR, by default target/.

.PHONY: help demo test setup lint docs bench chaos conformance ui test-ui

help:
	@echo "make demo    build Towpath and run examples/nycflights, twice"
	@echo "make test    install what tests need, then every check and test"
	@echo "make setup   only install what tests need (Debian packages)"
	@echo "make lint    formatting, clippy, repository rules, licences"
	@echo "make docs    the API pages of all crates"
	@echo "make bench   measure beside peers, writes bench/RESULTS.md"
	@echo "make ui      the pages of \`towpath serve\` (needs Node.js); build the binary afterwards"
	@echo "make test-ui the pages in Chromium against a real server; TOWPATH_BLESS=1 writes docs/img"
	@echo "make conformance  the suites of SQL against PostgreSQL, of sources and destinations, of the state store, of MySQL, of the emulators of clouds"
	@echo "make chaos   every commit edge killed a hundred times, and so often at random; 10,000 seeds of the store"

demo:
	@xtask/setup.sh --compiler-only
	@cargo xtask demo

test: setup
	@cargo xtask test

setup:
	@xtask/setup.sh

lint:
	cargo fmt --all --check
	cargo xtask tidy
	cargo clippy --locked --workspace --all-targets -- -D warnings
	@if cargo deny --version >/dev/null 2>&1; then cargo deny --locked check; \
	else echo "cargo-deny is not installed: advisories were not checked (licences were, by tidy)"; fi

docs:
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps

bench:
	@bench/run.sh

chaos: setup
	@echo "make chaos kills a hundred times at each edge and at random: some hours"
	@TOWPATH_KILLS=100 cargo test --locked --package towpath --test kill -- --nocapture --test-threads=2
	@TOWPATH_SEEDS=10000 cargo test --locked --package towpath-orchestrator -- --nocapture --test-threads=2 two_worker

conformance: setup
	@xtask/setup.sh --conformance
	@cargo test --locked --package towpath-engine --test meaning --test conformance
	@cargo test --locked --package towpath-connectors --test conformance
	@TOWPATH_TEST_MYSQL=1 cargo test --locked --package towpath-connectors --test mysql
	@TOWPATH_TEST_MYSQL=1 cargo test --locked --package towpath-connectors --test conformance mysql
	@cargo test --locked --package towpath-testkit --test conformance
	@cargo test --locked --package towpath-state --test store
	@cargo test --locked --package towpath --test clouds

ui:
	@cd ui && ../xtask/node.sh npm ci --no-audit --no-fund --loglevel=error && ../xtask/node.sh npm run --silent build
	@# Cargo does not see new pages; this file takes them into the binary.
	@touch -c crates/server/src/ui.rs

test-ui: ui
	@cargo build --locked --package towpath
	@TOWPATH="$${CARGO_TARGET_DIR:-target}/debug/towpath" xtask/node.sh ui/tests/run.sh
