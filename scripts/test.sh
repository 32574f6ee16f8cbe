#!/usr/bin/env bash
# `make test`: all checks, the quick ones first. CI runs exactly this.
#
#   scripts/test.sh              all of it; ends with "N passed, N failed"
#   scripts/test.sh fast         quick checks that need no service: formats, rules, lints, unit tests, and
#                                the integration tests on SQLite with fewer rounds of the long ones
#   scripts/test.sh lint         only formats, rules and lints
#   scripts/test.sh rust [ARGS]  only the Rust tests; ARGS are passed to `cargo test`
#   scripts/test.sh e2e [ARGS]   only the browser tests; ARGS are passed to `playwright test`
#
# On 2 cores `fast` takes under five minutes once it has been built; a full run takes about an hour the first
# time (tools, dependencies in four profiles), about 35 minutes after that.
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "$0")/env.sh"
# shellcheck source=scripts/services.sh
. "$ROOT/scripts/services.sh"

passed=0
failed=0
summary=()
temporary_files_in_memory
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# phase NAME COMMAND... : runs it, records its time, counts it as one failure if it fails.
phase() {
  local name=$1 start=$SECONDS result=ok
  shift
  say "$name"
  if ! "$@"; then
    result=FAILED
    failed=$((failed + 1))
  fi
  summary+=("$(printf '%-52s %5ds  %s' "$name" $((SECONDS - start)) "$result")")
  [ "$result" = ok ]
}

# Prints the summary; the last line is machine-readable.
finish() {
  printf '\n'
  [ ! -s "$work/failed" ] || cat "$work/failed"
  [ ${#summary[@]} -eq 0 ] || printf '  %s\n' "${summary[@]}"
  printf '  %-52s %5ds\n\n' total "$SECONDS"
  # A seed in the log above reproduces a run only with the same code.
  [ "$failed" -eq 0 ] || printf 'at commit %s\n' "$(git rev-parse --short HEAD 2>/dev/null || echo unknown)"
  printf '%d passed, %d failed\n' "$passed" "$failed"
  [ "$failed" -eq 0 ]
  exit
}

# Without `timeout` (macOS) a hanging test hangs the run.
within() {
  local seconds=$1
  shift
  if have timeout; then timeout --foreground --kill-after=30 "$seconds" "$@"; else "$@"; fi
}

# --- static checks ---

shellcheck_scripts() {
  if have shellcheck; then shellcheck scripts/*.sh .ci/run deploy/systemd/stagedoor-backup; else say "shellcheck is not installed: skipped"; fi
}
# On WASM, the browser's crates; on the host, islands is linted as built for the server.
clippy_wasm() { cargo clippy --locked -p islands -p frontend --target wasm32-unknown-unknown -- -D warnings; }
unused_dependencies() {
  if have cargo-machete; then cargo machete; else say "cargo-machete is not installed: left out"; fi
}
documentation() {
  RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" cargo doc --locked --workspace --exclude frontend --no-deps --document-private-items
}
denied() {
  if have cargo-deny; then cargo deny --locked check bans licenses sources; else say "cargo-deny is not installed: left out"; fi
}
clippy_host() { cargo clippy --locked --workspace --exclude frontend --all-targets -- -D warnings; }

quick_lints() {
  phase "rustfmt" cargo fmt --all --check || true
  phase "architecture rules" scripts/check-architecture.sh || true
  phase "shell scripts" shellcheck_scripts || true
  [ "$failed" -eq 0 ] || finish
}
lints() {
  phase "types of the browser tests" tsc --project end2end || true
  phase "deployment files" scripts/check-deploy.sh || true
  phase "clippy, wasm" clippy_wasm || true
  phase "clippy, host" clippy_host || true
  phase "documentation comments" documentation || true
  phase "unused dependencies" unused_dependencies || true
  phase "licences, sources and bans of dependencies" denied || true
  [ "$failed" -eq 0 ] || finish
}

# --- Rust tests ---

cargo_test=(cargo test --locked --workspace --exclude frontend --no-fail-fast)

# Many tests wait for a clock or a database, so more run in parallel than there are cores.
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-4}

# From cargo's log: the output of each failed test, without the servers' logs, truncated.
what_failed_tests_said() {
  awk '/^failures:$/ { on = 0 }
    /^---- .* stdout ----$/ { on = 1; lines = 0 }
    on && !/^\{/ && lines++ < 100 { print substr($0, 1, 300) }'
}
# rust_tests_run COMMAND... : runs it, and counts passed and failed tests.
rust_tests_run() {
  local code=0 counts
  within 2400 "$@" </dev/null 2>&1 | tee "$work/rust.log" || code=$?
  counts=$(awk '/^test result:/ { p += $4; f += $6 } END { print p + 0, f + 0 }' "$work/rust.log")
  passed=$((passed + ${counts% *}))
  # phase() counts one failure for the run itself; the others are added here.
  if [ "${counts#* }" -gt 1 ]; then failed=$((failed + ${counts#* } - 1)); fi
  [ "$code" -eq 0 ] || what_failed_tests_said <"$work/rust.log" >>"$work/failed"
  if [ "$code" -eq 124 ]; then say "the Rust tests did not end within 40 minutes; the log above shows which one was running"; fi
  if [ "$code" -eq 0 ] && [ "$counts" = "0 0" ]; then
    say "no Rust test ran"
    return 1
  fi
  return "$code"
}
rust_tests() {
  phase "compile the Rust tests" "${cargo_test[@]}" --no-run || finish
  phase "Rust tests (SQLite, PostgreSQL, Redis, NATS)" rust_tests_run scripts/with-services.sh "${cargo_test[@]}" "$@" || true
}
# A test that needs a service has the service's name in its own or its module's: lanes.rs checks this.
needs_a_service=(postgres redis nats cluster:: replicas::)
fast_rust_tests() {
  local skip=() word
  for word in "${needs_a_service[@]}"; do skip+=(--skip "$word"); done
  phase "compile the Rust tests" "${cargo_test[@]}" --no-run || finish
  phase "unit tests" rust_tests_run "${cargo_test[@]}" --lib --bins || true
  phase "integration tests on SQLite" rust_tests_run env -u TEST_POSTGRES_URL -u TEST_REDIS_URL -u TEST_NATS_URL \
    STAGEDOOR_CRASH_ROUNDS=4 STAGEDOOR_SIM_SEEDS=10 STAGEDOOR_PROPTEST_CASES=12 \
    "${cargo_test[@]}" --test it -- "${skip[@]}" || true
}

# --- the release binary ---

build_product() { STAGEDOOR_BIN=$(scripts/build.sh) && export STAGEDOOR_BIN; }

browser_tests_run() {
  local code=0 counts
  PLAYWRIGHT_CHROMIUM=$(chromium_path) STAGEDOOR_E2E_JSON=$work/e2e.json \
    within 3000 playwright test --config end2end "$@" </dev/null || code=$?
  # A test that passed when retried counts as passed, and is reported as flaky.
  counts=$(node scripts/playwright-counts.mjs "$work/e2e.json" "$work/failed")
  passed=$((passed + ${counts% *}))
  if [ "${counts#* }" -gt 1 ]; then failed=$((failed + ${counts#* } - 1)); fi
  return "$code"
}
# Duration of the API check, half of it with a session, and its fixed seed.
API_SECONDS=90
API_SEED=7
browser_tests() {
  phase "release build" build_product || finish
  phase "size of the WASM" node scripts/wasm-size.mjs || true
  phase "browser tests" browser_tests_run "$@" || true
}

case "${1:-all}" in
  lint)
    quick_lints
    scripts/setup.sh
    lints
    ;;
  rust)
    shift
    scripts/setup.sh --test
    rust_tests "$@"
    ;;
  e2e)
    shift
    scripts/setup.sh --test
    browser_tests "$@"
    ;;
  all)
    scripts/setup-rust.sh
    quick_lints
    phase "set-up" scripts/setup.sh --test || finish
    lints
    rust_tests
    browser_tests
    phase "the API against its description" scripts/check-api.sh "$API_SECONDS" "$API_SEED" || true
    ;;
  fast)
    scripts/setup-rust.sh
    quick_lints
    phase "set-up" scripts/setup.sh || finish
    lints
    fast_rust_tests
    ;;
  *) fail "usage: scripts/test.sh [fast | lint | rust [ARGS] | e2e [ARGS]]" ;;
esac
finish
