# Stagedoor's commands. `make help` lists them; what each does, step by step, is in scripts/.

.DEFAULT_GOAL := help
.PHONY: help run cluster watch bin dist test test-fast setup fmt lint unit e2e soak deny clean distclean
# One goal at a time: they share a build folder and a screen.
.NOTPARALLEL:

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

run: ## build if needed, then serve a demo shop on http://127.0.0.1:3000 (PORT=4000 make run)
	@exec scripts/run.sh

cluster: ## the same on PostgreSQL, Redis and NATS: two web replicas, two workers, a load balancer before them
	@exec scripts/cluster.sh

watch: ## cargo leptos watch: rebuild and reload while you edit
	@exec scripts/watch.sh

bin: ## build if needed and print the path of the finished binary
	@exec scripts/build.sh

dist: ## pack the binary with licences, documents and systemd units, and print the archive's path
	@exec scripts/dist.sh

test: ## everything that CI checks: format, lints, unit, integration and browser tests, the API's description
	@exec scripts/test.sh

test-fast: ## the quick half of it, before each commit: format, lints, unit tests, integration tests on SQLite
	@exec scripts/test.sh fast

setup: ## install the tools that the others need, once (they do it by themselves)
	@exec scripts/setup.sh --test

fmt: ## format the Rust code
	@cargo fmt --all

lint: ## format, architecture, deployment files, clippy for host and wasm, types of the browser tests
	@exec scripts/test.sh lint

unit: ## Rust tests on SQLite and on a private PostgreSQL, Redis and NATS (ARGS='name of a test')
	@exec scripts/test.sh rust $(ARGS)

e2e: ## browser tests against the finished binary (ARGS='--project desktop buy')
	@exec scripts/test.sh e2e $(ARGS)

soak: ## the long tests: kills under paying buyers, simulated histories, the API, for MINUTES=10 (STAGEDOOR_TEST_SEED repeats)
	@exec scripts/soak.sh

deny: ## licences, bans and advisories of all dependencies (needs cargo-deny)
	@exec scripts/deny.sh

clean: ## remove what was built in this clone
	rm -rf target end2end/test-results end2end/playwright-report

distclean: clean ## clean, and the shared build cache and tools as well
	@exec scripts/distclean.sh
