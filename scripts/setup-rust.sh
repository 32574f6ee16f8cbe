#!/usr/bin/env bash
# Checks that the programs which no script here installs are present and new enough.
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "$0")/env.sh"

have cargo && have rustc ||
  fail "Rust is missing: install it from https://rustup.rs, open a new shell and run this again."
rust=$(rustc --version 2>/dev/null | cut -d' ' -f2) || rust=
[ -n "$rust" ] ||
  fail "rustc does not start, most likely because the toolchain of rust-toolchain.toml is not installed: run 'rustup toolchain install' in $ROOT."
version_at_least "$rust" "$RUST_MIN" ||
  fail "Rust $rust is too old, $RUST_MIN is needed: run 'rustup update' (or unset RUSTUP_TOOLCHAIN)."
cargo clippy --version >/dev/null 2>&1 && cargo fmt --version >/dev/null 2>&1 ||
  fail "clippy or rustfmt is missing: run 'rustup component add clippy rustfmt'."
have cc || fail "a C compiler is missing (SQLite is compiled in): install gcc or clang."

have node && have npm ||
  fail "Node.js $NODE_MIN or newer with npm is missing (Tailwind, wasm-opt and the browser tests need it): see https://nodejs.org."
node=$(node --version)
version_at_least "${node#v}" "$NODE_MIN" ||
  fail "Node.js $node is too old, $NODE_MIN or newer is needed."
